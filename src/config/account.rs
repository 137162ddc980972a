//! One account as it is written, compiled by itself: what it may use, its tokens, its first credits.
//!
//! It depends on nothing but the products.

use std::time::Duration;

use super::compile::check_name;
use super::file;
use super::products::{known, listed};
use super::units::Parsed;
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::policy::Product;
use crate::policy::account::{Expiry, Key, ProductSet, Token};
use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::credits::balance::MAX_CREDITS;
use crate::policy::rate::Allowance;

/// The longest time that a burst may need to be there again; far below what the clock can count.
const LONGEST_REFILL: Duration = Duration::from_secs(366 * 86_400);

/// What accounts are judged by.
pub struct AccountContext<'c> {
    pub products: &'c [Product],
    /// Where the products are written, and what was wrong before any account was read.
    pub products_place: Place,
    pub before: Mistakes,
}

/// An account before it has its place in the policy.
pub struct Compiled {
    pub rate: Option<Allowance>,
    /// The products that it has credits for, or needs none.
    pub funds: Vec<(u8, file::Funds)>,
    pub tokens: Vec<(Key, Place)>,
}

impl AccountContext<'_> {
    /// Compiles the account of one line, with its name.
    pub fn compile_line(
        &self,
        line: file::AccountLine,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Option<(String, Compiled)> {
        let name = line.name.require(place, "name", "name the account", mistakes);
        let account = file::Account { rate: line.rate, credits: line.credits, tokens: line.tokens };
        let compiled = self.compile(account, place, mistakes);
        name.map(|name| (name, compiled))
    }

    /// Compiles an account.
    pub fn compile(&self, account: file::Account, place: &Place, mistakes: &mut Mistakes) -> Compiled {
        let file::Account { rate, credits, tokens } = account;
        let rate = self::rate(rate, place, mistakes);
        let funds = self.funds(credits, mistakes);
        let tokens = tokens.take().unwrap_or_default().0;
        let tokens: Vec<_> =
            tokens.into_iter().filter_map(|(token, place)| self.token(token, place, mistakes)).collect();
        // Whoever forgets the line must not give lookups away.
        for product in self.products.iter().filter(|product| product.tariff.is_some()) {
            let used = tokens.iter().any(|(key, _)| key.token.products.contains(product.place));
            let told = funds.iter().any(|(known, _)| *known == product.place);
            if used && !told && !mistakes.touch(&place.key("credits")) {
                let name = &product.name;
                let what = format!(
                    "says nothing of {name}, whose lookups cost credits; write {{ {name}: 1000 }}, or {{ {name}: unmetered }}"
                );
                mistakes.push(place.key("credits"), what);
            }
        }
        Compiled { rate, funds, tokens }
    }

    /// The products that an account has credits for, or needs none.
    fn funds(&self, credits: Entries<file::Funds>, mistakes: &mut Mistakes) -> Vec<(u8, file::Funds)> {
        let mut compiled = Vec::new();
        for (name, place, funds) in credits.0 {
            match self.products.iter().find(|product| *product.name == *name) {
                None => self.unknown_product(&name, place, mistakes),
                Some(product) if product.tariff.is_none() => {
                    // Prices that could not be read are not missing.
                    if !self.before.touch(&self.products_place.key(&name).key("credits")) {
                        let what = "is a product without prices; give the product `credits`, or remove it here";
                        mistakes.push(place, what);
                    }
                }
                Some(product) => {
                    if matches!(funds, file::Funds::FirstGrant(credits) if credits > MAX_CREDITS) {
                        mistakes.push(place, format!("is too much; write at most {MAX_CREDITS} credits"));
                    }
                    compiled.push((product.place, funds));
                }
            }
        }
        compiled
    }

    fn unknown_product(&self, name: &str, place: Place, mistakes: &mut Mistakes) {
        // One that is there but could not be read is not unknown, and if there is none that is a
        // mistake already.
        if !self.products.is_empty() && !self.before.touch(&self.products_place.key(name)) {
            let known = known(self.products.iter().map(|product| &*product.name));
            mistakes.push(place, format!("names no product; {known}"));
        }
    }

    fn token(&self, token: file::Token, place: Place, mistakes: &mut Mistakes) -> Option<(Key, Place)> {
        let name_place = token.name.place().cloned();
        let name = token.name.require(&place, "name", "name the token, for logs and lists", mistakes);
        if let (Some(name), Some(name_place)) = (&name, &name_place) {
            check_name(name, name_place, mistakes);
        }
        let digest = token.hash.require(&place, "hash", "write the digest that `tollgate token hash` prints", mistakes);
        let products = self.products(token.products, &place, mistakes);
        let networks = match token.networks {
            Written::Missing => Networks::Any,
            written @ (Written::Bad | Written::Here(..)) => {
                let networks =
                    listed(written, &place, "networks", "write networks, or remove the key to allow all", mistakes);
                Networks::listed(networks.into_iter().map(|(Parsed(network), _)| network))
            }
        };
        let absent = token.absent;
        let absent_allowed = matches!(absent.get(), Some(file::Absent::Allow));
        let domains = match token.domains {
            Written::Missing => {
                if let Some(place) = absent.place() {
                    mistakes.push(place.clone(), "says nothing without a list of domains; add `domains` or remove it");
                }
                Domains::Any
            }
            written @ (Written::Bad | Written::Here(..)) => {
                let domains =
                    listed(written, &place, "domains", "write hosts, or remove the key to allow all", mistakes);
                Domains::listed(domains.into_iter().map(|(Parsed(domain), _)| domain), absent_allowed)
            }
        };
        let token = Token {
            name: name?.into(),
            products,
            enabled: !token.disabled.take().unwrap_or(false),
            expiry: token.expires.take().map_or(Expiry::Never, |expiry| expiry.0),
            networks,
            domains,
        };
        Some((Key { digest: digest?.0, token }, place))
    }

    fn products(&self, products: Written<Listed<String>>, parent: &Place, mistakes: &mut Mistakes) -> ProductSet {
        let mut set = ProductSet::default();
        for (name, place) in listed(products, parent, "products", "name the products that the token covers", mistakes) {
            match self.products.iter().find(|product| *product.name == *name) {
                Some(product) => set.insert(product.place),
                None => self.unknown_product(&name, place, mistakes),
            }
        }
        set
    }
}

fn rate(written: Written<file::Rate>, parent: &Place, mistakes: &mut Mistakes) -> Option<Allowance> {
    let place = written.place().cloned().unwrap_or_default();
    rate_of(written.require(parent, "rate", RATE_WANTED, mistakes)?, place, mistakes)
}

const RATE_WANTED: &str = "write { limit: 150/min, burst: 150 }, or { unlimited: true }";

/// What a rate allows; `None` for one without limits, or with a mistake.
pub fn rate_of(rate: file::Rate, place: Place, mistakes: &mut Mistakes) -> Option<Allowance> {
    let burst_place = rate.burst.place().cloned();
    let burst = rate.burst.take();
    match (rate.limit, rate.unlimited) {
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Here(Parsed(limit), _), Written::Missing | Written::Here(false, _)) => {
            let allowance = limit.with_burst(burst);
            if let Some(place) = burst_place
                && allowance.time_to_refill().is_none_or(|time| time > LONGEST_REFILL)
            {
                let what = "takes more than a year to be there again at this rate; write a smaller burst";
                mistakes.push(place, what);
            }
            Some(allowance)
        }
        (Written::Missing, Written::Here(true, _)) if burst.is_none() => None,
        (Written::Here(..) | Written::Missing, _) => {
            mistakes.push(place, format!("does not say one rate; {RATE_WANTED}"));
            None
        }
    }
}
