//! The keys of one account and their compiler: its rate, its tokens, its first credits.
//!
//! It depends only on the products.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::common::{check_name, known, listed};
use super::fill::{fill, reference};
use super::lists::{self, written::AnyList, written::DomainList, written::Mode, written::NetworkList};
use super::plans::{self, WrittenTerms};
use super::products::Draft;
use super::references::referred;
use super::source::Source;
use super::units::Parsed;
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::policy::Policy;
use crate::policy::account::{Account, Expiry, Key, ProductSet, Token};
use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::credits::balance::MAX_CREDITS;
use crate::policy::limit::Owner;
use crate::policy::plan::{Allowances, Plan, Terms};
use crate::policy::rate::Rate;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::num::NonZeroU32;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::lists::written::{AnyList, DomainList, NetworkList};
    use crate::config::plans::written::{AnyRate, Quota};
    use crate::config::rates::written::Rate;
    use crate::config::units::{Referred, Text};
    use crate::config::yaml::{Entries, Listed, Written};
    use crate::policy::account::{Digest, Expiry};

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

                fn visit_i64<E: serde::de::Error>(self, credits: i64) -> Result<Funds, E> {
                    const NEGATIVE: &str = "is less than 0; write a whole number of credits from 0 on, or unmetered";
                    u64::try_from(credits).map(Funds::FirstGrant).map_err(|_| E::custom(NEGATIVE))
                }

                fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Funds, E> {
                    Err(E::custom("is not a whole number that fits; write a whole number of credits, or unmetered"))
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
    #[schemars(extend("anyOf" = [{"required": ["rate"]}, {"required": ["rates"]}, {"required": ["plan"]}]))]
    pub struct Account {
        /// The rate limit of all tokens of the account together.
        pub rate: Written<Rate>,
        /// Several rates at once, in place of `rate`: one for each of the periods s, min, h and d.
        #[schemars(length(min = 1, max = 4))]
        pub rates: Written<Listed<AnyRate>>,
        /// Requests of the account in a day or month. Default: any number.
        pub quota: Written<Quota>,
        /// Requests of the account in flight at a time, on each node. Default: any number.
        pub concurrency: Written<NonZeroU32>,
        /// How much the account gets beside others when an upstream with `concurrency_limit` has no room for all, relative
        /// to their weights. Default: 1.
        #[schemars(range(min = 1, max = crate::policy::weight::Weight::MAX))]
        pub weight: Written<u32>,
        /// One of `plans`, in place of `rate`, `rates`, `quota`, `concurrency` and `weight`.
        pub plan: Written<String>,
        /// For each product with prices that its tokens cover: the credits that the account begins with, granted once;
        /// or unmetered, if lookups cost the account nothing.
        pub credits: Entries<Funds>,
        /// Its tokens. `tollgate token new` makes a token and prints its line.
        pub tokens: Written<Listed<Token>>,
    }

    /// One line of a JSON Lines file: an account with its name.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend(
        "required" = ["name"],
        "anyOf" = [{"required": ["rate"]}, {"required": ["rates"]}, {"required": ["plan"]}],
    ))]
    pub struct AccountLine {
        /// The account's name.
        #[schemars(regex(pattern = r"\S"))]
        pub name: Written<String>,
        /// The rate limit of all tokens of the account together.
        pub rate: Written<Rate>,
        /// Several rates at once, in place of `rate`: one for each of the periods s, min, h and d.
        #[schemars(length(min = 1, max = 4))]
        pub rates: Written<Listed<AnyRate>>,
        /// Requests of the account in a day or month. Default: any number.
        pub quota: Written<Quota>,
        /// Requests of the account in flight at a time, on each node. Default: any number.
        pub concurrency: Written<NonZeroU32>,
        /// How much the account gets beside others when an upstream with `concurrency_limit` has no room for all, relative
        /// to their weights. Default: 1.
        #[schemars(range(min = 1, max = crate::policy::weight::Weight::MAX))]
        pub weight: Written<u32>,
        /// One of `plans`, in place of `rate`, `rates`, `quota`, `concurrency` and `weight`.
        pub plan: Written<String>,
        /// For each product with prices that its tokens cover: the credits that the account begins with, granted once;
        /// or unmetered, if lookups cost the account nothing.
        pub credits: Entries<Funds>,
        /// Its tokens. `tollgate token new` makes a token and prints its line.
        pub tokens: Written<Listed<Token>>,
    }

    /// A token of a customer.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["name", "hash"]))]
    pub struct Token {
        /// Its name in logs.
        #[schemars(regex(pattern = r"\S"))]
        pub name: Written<String>,
        /// Its SHA-256 digest, as `tollgate token hash` prints it, or ${env:NAME} or ${file:PATH} where that
        /// is; the token itself is never written here.
        pub hash: Text<Referred<Digest>>,
        /// The products that it covers. Default: the products of the account's plan.
        #[schemars(length(min = 1))]
        pub products: Written<Listed<String>>,
        /// Disables it. Default: false.
        pub disabled: Written<bool>,
        /// Its last day, in UTC. Default: never.
        pub expires: Text<Expiry>,
        /// Requests with this token, beside those of the account: one rate for each of the periods s, min, h and
        /// d. Default: any number.
        #[schemars(length(min = 1, max = 4))]
        pub rates: Written<Listed<AnyRate>>,
        /// Requests with this token in a day or month, beside those of the account. Default: any number.
        pub quota: Written<Quota>,
        /// Where requests may come from: addresses and networks, in a list, or in a mapping with its mode. Default:
        /// anywhere.
        pub networks: Written<AnyList<NetworkList>>,
        /// Web domains that browsers may call from, in a list, or in a mapping with its mode; *.host is any
        /// subdomain. Default: any.
        pub domains: Written<AnyList<DomainList>>,
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
    pub plans: &'c [Arc<Plan>],
    pub source: &'c Source,
    /// The current day in UTC, in days since 1970.
    pub today: u32,
    /// The place of the products, and the mistakes found before any account was read.
    pub products_place: Place,
    /// Where the plans are written.
    pub plans_place: Place,
    pub before: Mistakes,
}

/// An account before it is added to the policy.
pub struct Compiled {
    /// Its own terms, or those of its plan.
    pub terms: Terms,
    pub plan: Option<Arc<Plan>>,
    /// What its tokens may use beside that, by their names.
    pub of_tokens: Vec<(Box<str>, Allowances)>,
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
        let written::AccountLine { rate, rates, quota, concurrency, weight, plan, credits, tokens, .. } = line;
        let account = written::Account { rate, rates, quota, concurrency, weight, plan, credits, tokens };
        let compiled = self.compile(account, place, mistakes);
        name.map(|name| (name, compiled))
    }

    /// Compiles an account.
    pub fn compile(&self, account: written::Account, place: &Place, mistakes: &mut Mistakes) -> Compiled {
        let written::Account { rate, rates, quota, concurrency, weight, plan, credits, tokens } = account;
        let own = WrittenTerms { rate, rates, quota, concurrency, weight };
        let (terms, plan) = self.terms(own, plan, place, mistakes);
        let funds = self.funds(credits, mistakes);
        let tokens = tokens.take().unwrap_or_default().0;
        let mut of_tokens = Vec::new();
        let compile = |(token, place): (written::Token, Place)| {
            self.token(token, place, plan.as_deref(), &mut of_tokens, mistakes)
        };
        let tokens: Vec<_> = tokens.into_iter().filter_map(compile).collect();
        // Required, so that a forgotten line does not make lookups free.
        for product in self.products.iter().filter(|product| product.is_priced) {
            let used = tokens.iter().any(|(key, _)| key.token.products.contains(product.index));
            let told = funds.iter().any(|(known, _)| *known == product.balance);
            if used && !told && !mistakes.touch(&place.key("credits")) {
                let name = self.balance_name(product);
                let what = format!(
                    "does not mention {name}, whose lookups cost credits; write {{ {name}: 1000 }}, or {{ {name}: unmetered }}"
                );
                mistakes.push(place.key("credits"), what);
            }
        }
        Compiled { terms, plan, of_tokens, funds, tokens }
    }

    /// What an account may use: its own, or that of the plan that it names.
    fn terms(
        &self,
        own: WrittenTerms,
        plan: Written<String>,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> (Terms, Option<Arc<Plan>>) {
        let WrittenTerms { rate, rates, quota, concurrency, weight } = &own;
        let name_place = match &plan {
            Written::Missing => return (plans::terms(own, place, TERMS_WANTED, mistakes), None),
            Written::Bad => return (Terms::default(), None),
            Written::Here(_, name_place) => name_place.clone(),
        };
        let beside = [
            ("rate", !rate.is_missing()),
            ("rates", !rates.is_missing()),
            ("quota", !quota.is_missing()),
            ("concurrency", !concurrency.is_missing()),
            ("weight", !weight.is_missing()),
        ];
        if let Some((key, _)) = beside.into_iter().find(|(_, written)| *written) {
            let what =
                format!("stands beside `{key}`; keep the plan, or write all that the account may use without it");
            mistakes.push(name_place.clone(), what);
        }
        let name = plan.take().unwrap_or_default();
        let found = self.plans.iter().find(|plan| *plan.name == *name).map(Arc::clone);
        // One that is there but could not be read is not unknown.
        if found.is_none() && !self.before.touch(&self.plans_place.key(&name)) {
            mistakes.push(
                name_place,
                match self.plans {
                    [] => "names a plan, and there are none; write it below `plans`, or give the account a rate"
                        .to_owned(),
                    plans => format!("names no plan; {}", known(plans.iter().map(|plan| &*plan.name))),
                },
            );
        }
        (found.as_ref().map(|plan| plan.terms.clone()).unwrap_or_default(), found)
    }

    /// The products for which an account has credits, or is unmetered.
    fn funds(&self, credits: Entries<written::Funds>, mistakes: &mut Mistakes) -> Vec<(u8, written::Funds)> {
        let mut compiled = Vec::new();
        for (name, place, funds) in credits.0 {
            match self.products.iter().find(|product| *product.name == *name) {
                None => self.unknown_product(&name, place, mistakes),
                Some(product) if !product.is_priced => {
                    // Not a mistake here if the prices could not be read.
                    if !self.before.touch(&self.products_place.key(&name).key("credits")) {
                        let what = "is a product without prices; give the product `credits`, or remove it here";
                        mistakes.push(place, what);
                    }
                }
                Some(product) if !product.has_balance() => {
                    let name = self.balance_name(product);
                    mistakes.push(place, format!("is paid from the credits for {name}; write them there alone"));
                }
                Some(product) => {
                    if matches!(funds, written::Funds::FirstGrant(credits) if credits > MAX_CREDITS) {
                        mistakes.push(place, format!("is too much; write at most {MAX_CREDITS} credits"));
                    }
                    compiled.push((product.index, funds));
                }
            }
        }
        compiled
    }

    /// The name of the product whose credits pay for one.
    fn balance_name<'d>(&'d self, product: &'d Draft) -> &'d str {
        self.products.iter().find(|known| known.index == product.balance).map_or(&product.name, |known| &known.name)
    }

    fn unknown_product(&self, name: &str, place: Place, mistakes: &mut Mistakes) {
        // Not reported if the product exists but could not be read, or if there are no products: that is a mistake
        // already.
        if !self.products.is_empty() && !self.before.touch(&self.products_place.key(name)) {
            let known = known(self.products.iter().map(|product| &*product.name));
            mistakes.push(place, format!("is not a product; {known}"));
        }
    }

    fn token(
        &self,
        token: written::Token,
        place: Place,
        plan: Option<&Plan>,
        of_tokens: &mut Vec<(Box<str>, Allowances)>,
        mistakes: &mut Mistakes,
    ) -> Option<(Key, Place)> {
        let name_place = token.name.place().cloned();
        let name = token.name.require(&place, "name", "name the token, for logs and lists", mistakes);
        if let (Some(name), Some(name_place)) = (&name, &name_place) {
            check_name(name, name_place, mistakes);
        }
        let hash_place = token.hash.place().cloned();
        let digest = token.hash.require(&place, "hash", "write the digest that `tollgate token hash` prints", mistakes);
        let of_plan = plan.map(|plan| plan.products).filter(|products| !products.is_empty());
        let products = match of_plan {
            Some(products) if token.products.is_missing() => products,
            Some(_) | None => self.products(token.products, &place, mistakes),
        };
        let allowances = plans::allowances(token.rates, token.quota, &place, mistakes);
        if let Some(name) = name.as_deref().filter(|_| !allowances.is_empty()) {
            if of_tokens.iter().any(|(known, _)| **known == *name) {
                let what = "is the name of two tokens with limits of their own; give each a name of its own";
                mistakes.push(name_place.clone().unwrap_or_else(|| place.clone()), what);
            }
            of_tokens.push((name.into(), allowances));
        }
        let networks = networks(token.networks, &place, mistakes);
        let domains = domains(token.domains, &token.absent, &place, mistakes);
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
                Some(product) => set.insert(product.index),
                None => self.unknown_product(&name, place, mistakes),
            }
        }
        set
    }
}

/// Where requests of a token may come from.
fn networks(written: Written<AnyList<NetworkList>>, token: &Place, mistakes: &mut Mistakes) -> Networks {
    let wanted = "write networks, or remove the key to allow all";
    let Some((networks, mode)) = lists::compile(written, token, "networks", wanted, mistakes) else {
        return Networks::Any;
    };
    let networks = Networks::listed(networks.into_iter().map(|(Parsed(network), _)| network));
    if mode == Mode::Watch { networks.watched() } else { networks }
}

/// The web domains that browsers may use a token from.
fn domains(
    written: Written<AnyList<DomainList>>,
    absent: &Written<written::Absent>,
    token: &Place,
    mistakes: &mut Mistakes,
) -> Domains {
    let wanted = "write hosts, or remove the key to allow all";
    let Some((domains, mode)) = lists::compile(written, token, "domains", wanted, mistakes) else {
        if let Some(place) = absent.place() {
            mistakes.push(place.clone(), "has no effect without a list of domains; add `domains` or remove it");
        }
        return Domains::Any;
    };
    let absent_allowed = matches!(absent.get(), Some(written::Absent::Allow));
    let domains = Domains::listed(domains.into_iter().map(|(Parsed(domain), _)| domain), absent_allowed);
    if mode == Mode::Watch { domains.watched() } else { domains }
}

/// An account as it is shown.
pub fn shown(account: &Account, policy: &Policy) -> Value {
    let mut shown = match account.plan() {
        Some(plan) => json!({ "plan": plan }),
        None => plans::shown_terms(&terms(account)),
    };
    let tokens = account.keys.iter().enumerate();
    let tokens = tokens.map(|(number, key)| {
        let mut shown = shown_token(&key.token, &account.name, number, policy);
        if let Some(meter) = &account.meter {
            plans::show(&mut shown, &meter.allowances(&Owner::Token(key.token.name.clone())));
        }
        shown
    });
    fill(&mut shown, "tokens", tokens.collect::<Vec<Value>>());
    let credits = funds(account, policy);
    if !credits.is_empty() {
        fill(&mut shown, "credits", credits);
    }
    shown
}

/// What an account may use by itself.
fn terms(account: &Account) -> Terms {
    match (&account.meter, &account.rate) {
        (Some(meter), _) => {
            let concurrency = meter.in_flight().map(|(_, most)| most);
            Terms { allowances: meter.allowances(&Owner::Account), concurrency, weight: meter.weight }
        }
        (None, Rate::Limited(window, _)) => Terms {
            allowances: Allowances { rates: [window.allowance()].into(), ..Allowances::default() },
            concurrency: None,
            weight: window.weight(),
        },
        (None, Rate::Unlimited) => Terms::default(),
    }
}

/// The credits of an account for each product with prices.
fn funds(account: &Account, policy: &Policy) -> Map<String, Value> {
    let priced = policy.products.iter().filter(|product| product.has_balance());
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
    let products = policy.products.iter().filter(|product| token.products.contains(product.index));
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
        let is_watched = token.networks.is_watched();
        fill(&mut shown, "networks", with_mode(blocks, is_watched));
    }
    if let Some((patterns, allow_absent)) = token.domains.patterns() {
        let is_watched = token.domains.is_watched();
        fill(&mut shown, "domains", with_mode(patterns, is_watched));
        fill(&mut shown, "absent", if allow_absent { "allow" } else { "deny" });
    }
    shown
}

/// A list with its mode, if it is only watched.
fn with_mode(list: Vec<String>, is_watched: bool) -> Value {
    if is_watched { json!({ "mode": "watch", "list": list }) } else { list.into() }
}

const TERMS_WANTED: &str = "write { limit: 150/min, burst: 150 }, or { unlimited: true }, or several as in rates: [10/s, 5000/d], or name a plan";
