//! The keys of one account and their compiler: its rate, its tokens, its first credits.
//!
//! It depends only on the products.

use serde_json::{Map, Value, json};

use super::common::{check_name, known, listed};
use super::fill::{fill, reference};
use super::products::Draft;
use super::rates;
use super::references::referred;
use super::source::Source;
use super::units::Parsed;
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::policy::Policy;
use crate::policy::account::{Account, Expiry, Key, ProductSet, Token};
use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::credits::balance::MAX_CREDITS;
use crate::policy::rate::{Allowance, Rate};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use ipnet::IpNet;
    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::rates::written::Rate;
    use crate::config::units::{Referred, Text, Texts};
    use crate::config::yaml::{Entries, Listed, Written};
    use crate::policy::account::{Digest, Expiry};
    use crate::policy::check::domain::Pattern;

    /// The word for an account whose lookups cost nothing.
    pub const UNMETERED: &str = "unmetered";

    /// The credits of an account for a product.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Funds {
        /// This many credits, granted once.
        FirstGrant(u64),
        /// Lookups cost nothing.
        Unmetered,
    }

    impl<'de> Deserialize<'de> for Funds {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Funds, D::Error> {
            struct FundsVisitor;
            impl serde::de::Visitor<'_> for FundsVisitor {
                type Value = Funds;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a whole number of credits, or unmetered")
                }

                fn visit_u64<E>(self, credits: u64) -> Result<Funds, E> {
                    Ok(Funds::FirstGrant(credits))
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Funds, E> {
                    const WANTED: &str = "is not an amount; write a whole number of credits, or unmetered";
                    if text == UNMETERED { Ok(Funds::Unmetered) } else { Err(E::custom(WANTED)) }
                }
            }
            deserializer.deserialize_any(FundsVisitor)
        }
    }

    /// A customer.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["rate"]))]
    pub struct Account {
        /// The rate limit of all tokens of the account together.
        pub rate: Written<Rate>,
        /// For each product with prices that its tokens cover: the credits that the account begins with, granted once;
        /// or unmetered, if lookups cost the account nothing.
        pub credits: Entries<Funds>,
        /// Its tokens. `tollgate token new` makes a token and prints its line.
        pub tokens: Written<Listed<Token>>,
    }

    /// One line of a JSON Lines file: an account with its name.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["name", "rate"]))]
    pub struct AccountLine {
        /// The account's name.
        #[schemars(regex(pattern = r"\S"))]
        pub name: Written<String>,
        /// The rate limit of all tokens of the account together.
        pub rate: Written<Rate>,
        /// For each product with prices that its tokens cover: the credits that the account begins with, granted once;
        /// or unmetered, if lookups cost the account nothing.
        pub credits: Entries<Funds>,
        /// Its tokens. `tollgate token new` makes a token and prints its line.
        pub tokens: Written<Listed<Token>>,
    }

    /// A token of a customer.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["name", "hash", "products"]))]
    pub struct Token {
        /// Its name in logs.
        #[schemars(regex(pattern = r"\S"))]
        pub name: Written<String>,
        /// Its SHA-256 digest, as `tollgate token hash` prints it, or ${env:NAME} or ${file:PATH} where that
        /// is; the token itself is never written here.
        pub hash: Text<Referred<Digest>>,
        /// The products that it covers.
        #[schemars(length(min = 1))]
        pub products: Written<Listed<String>>,
        /// Disables it. Default: false.
        pub disabled: Written<bool>,
        /// Its last day, in UTC. Default: never.
        pub expires: Text<Expiry>,
        /// Where requests may come from: addresses and networks. Default: anywhere.
        #[schemars(length(min = 1))]
        pub networks: Texts<IpNet>,
        /// Web domains that browsers may call from; *.host is any subdomain. Default: any.
        #[schemars(length(min = 1))]
        pub domains: Texts<Pattern>,
        /// With `domains`: whether requests without Origin and Referer are allowed. Default: deny.
        pub absent: Written<Absent>,
    }

    /// Whether a token with a list of domains allows requests that have neither Origin nor Referer.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Absent {
        /// They are allowed.
        Allow,
        /// They are refused.
        Deny,
    }
}

/// What the compiler of accounts needs.
pub struct AccountContext<'c> {
    pub products: &'c [Draft],
    pub source: &'c Source,
    /// The current day in UTC, in days since 1970.
    pub today: u32,
    /// The place of the products, and the mistakes found before any account was read.
    pub products_place: Place,
    pub before: Mistakes,
}

/// An account before it is added to the policy.
pub struct Compiled {
    pub rate: Option<Allowance>,
    /// The products for which it has credits, or is unmetered.
    pub funds: Vec<(u8, written::Funds)>,
    pub tokens: Vec<(Key, Place)>,
}

impl AccountContext<'_> {
    /// Compiles the account of one line, with its name.
    pub fn compile_line(
        &self,
        line: written::AccountLine,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Option<(String, Compiled)> {
        let name = line.name.require(place, "name", "name the account", mistakes);
        let account = written::Account { rate: line.rate, credits: line.credits, tokens: line.tokens };
        let compiled = self.compile(account, place, mistakes);
        name.map(|name| (name, compiled))
    }

    /// Compiles an account.
    pub fn compile(&self, account: written::Account, place: &Place, mistakes: &mut Mistakes) -> Compiled {
        let written::Account { rate, credits, tokens } = account;
        let rate = rates::rate(rate, place, mistakes);
        let funds = self.funds(credits, mistakes);
        let tokens = tokens.take().unwrap_or_default().0;
        let tokens: Vec<_> =
            tokens.into_iter().filter_map(|(token, place)| self.token(token, place, mistakes)).collect();
        // Required, so that a forgotten line does not make lookups free.
        for product in self.products.iter().filter(|product| product.tariff.is_some()) {
            let used = tokens.iter().any(|(key, _)| key.token.products.contains(product.place));
            let told = funds.iter().any(|(known, _)| *known == product.place);
            if used && !told && !mistakes.touch(&place.key("credits")) {
                let name = &product.name;
                let what = format!(
                    "does not mention {name}, whose lookups cost credits; write {{ {name}: 1000 }}, or {{ {name}: unmetered }}"
                );
                mistakes.push(place.key("credits"), what);
            }
        }
        Compiled { rate, funds, tokens }
    }

    /// The products for which an account has credits, or is unmetered.
    fn funds(&self, credits: Entries<written::Funds>, mistakes: &mut Mistakes) -> Vec<(u8, written::Funds)> {
        let mut compiled = Vec::new();
        for (name, place, funds) in credits.0 {
            match self.products.iter().find(|product| *product.name == *name) {
                None => self.unknown_product(&name, place, mistakes),
                Some(product) if product.tariff.is_none() => {
                    // Not a mistake here if the prices could not be read.
                    if !self.before.touch(&self.products_place.key(&name).key("credits")) {
                        let what = "is a product without prices; give the product `credits`, or remove it here";
                        mistakes.push(place, what);
                    }
                }
                Some(product) => {
                    if matches!(funds, written::Funds::FirstGrant(credits) if credits > MAX_CREDITS) {
                        mistakes.push(place, format!("is too much; write at most {MAX_CREDITS} credits"));
                    }
                    compiled.push((product.place, funds));
                }
            }
        }
        compiled
    }

    fn unknown_product(&self, name: &str, place: Place, mistakes: &mut Mistakes) {
        // Not reported if the product exists but could not be read, or if there are no products: that is a mistake
        // already.
        if !self.products.is_empty() && !self.before.touch(&self.products_place.key(name)) {
            let known = known(self.products.iter().map(|product| &*product.name));
            mistakes.push(place, format!("is not a product; {known}"));
        }
    }

    fn token(&self, token: written::Token, place: Place, mistakes: &mut Mistakes) -> Option<(Key, Place)> {
        let name_place = token.name.place().cloned();
        let name = token.name.require(&place, "name", "name the token, for logs and lists", mistakes);
        if let (Some(name), Some(name_place)) = (&name, &name_place) {
            check_name(name, name_place, mistakes);
        }
        let hash_place = token.hash.place().cloned();
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
        let absent_allowed = matches!(absent.get(), Some(written::Absent::Allow));
        let domains = match token.domains {
            Written::Missing => {
                if let Some(place) = absent.place() {
                    mistakes.push(place.clone(), "has no effect without a list of domains; add `domains` or remove it");
                }
                Domains::Any
            }
            written @ (Written::Bad | Written::Here(..)) => {
                let domains =
                    listed(written, &place, "domains", "write hosts, or remove the key to allow all", mistakes);
                Domains::listed(domains.into_iter().map(|(Parsed(domain), _)| domain), absent_allowed)
            }
        };
        if let Written::Here(Parsed(Expiry::LastDay(day)), place) = &token.expires
            && *day < self.today
        {
            mistakes.warn(place.clone(), "has passed, so the token is refused; write a later day, or remove the token");
        }
        let token = Token {
            name: name?.into(),
            products,
            enabled: !token.disabled.take().unwrap_or(false),
            expiry: token.expires.take().map_or(Expiry::Never, |expiry| expiry.0),
            networks,
            domains,
        };
        let digest = match referred(digest?.0, self.source) {
            Ok(digest) => digest,
            Err(what) => {
                mistakes.push(hash_place.unwrap_or_else(|| place.clone()), what);
                return None;
            }
        };
        Some((Key { digest, token }, place))
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

/// An account as it is shown.
pub fn shown(account: &Account, policy: &Policy) -> Value {
    let rate = match &account.rate {
        Rate::Unlimited => json!({ "unlimited": true }),
        Rate::Limited(window, _) => rates::shown(window.allowance()),
    };
    let tokens = account.keys.iter().enumerate();
    let tokens: Vec<Value> =
        tokens.map(|(number, key)| shown_token(&key.token, &account.name, number, policy)).collect();
    let mut shown = json!({ "rate": rate, "tokens": tokens });
    let credits = funds(account, policy);
    if !credits.is_empty() {
        fill(&mut shown, "credits", credits);
    }
    shown
}

/// The credits of an account for each product with prices.
fn funds(account: &Account, policy: &Policy) -> Map<String, Value> {
    let priced = policy.products.iter().filter(|product| product.tariff.is_some());
    let funds = priced.map(|product| {
        let credit_account =
            account.credit_accounts.iter().find(|credit_account| credit_account.product == product.name);
        let funds = credit_account
            .map_or_else(|| written::UNMETERED.into(), |credit_account| credit_account.first_grant.into());
        (product.name.to_string(), funds)
    });
    funds.collect()
}

fn shown_token(token: &Token, account: &str, number: usize, policy: &Policy) -> Value {
    let products = policy.products.iter().filter(|product| token.products.contains(product.place));
    let mut shown = json!({
        "name": &*token.name,
        "hash": reference(&["accounts", account, "tokens", &number.to_string(), "hash"]),
        "products": products.map(|product| &*product.name).collect::<Vec<_>>(),
        "disabled": !token.enabled,
    });
    if let Expiry::LastDay(day) = token.expiry {
        let day = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default();
        fill(&mut shown, "expires", day.format("%Y-%m-%d").to_string());
    }
    if let Some(blocks) = token.networks.blocks() {
        let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
        fill(&mut shown, "networks", blocks);
    }
    if let Some((patterns, allow_absent)) = token.domains.patterns() {
        fill(&mut shown, "domains", patterns);
        fill(&mut shown, "absent", if allow_absent { "allow" } else { "deny" });
    }
    shown
}
