//! Accounts of the store, compiled from their rows by the products of a policy that is there already, and accounts
//! of files as the rows that they would be.
//!
//! A row was checked when it was written, but the configuration may have changed since. What of an account does not
//! fit any more is left out of it and said, and the rest of it serves: a token does not cover a product that is not
//! there, nor one with prices that the account says nothing of, so that no lookup is given away.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use super::common::share;
use super::counting::Counting;
use crate::ledger::store::import::{ImportedAccount, ImportedToken};
use crate::ledger::store::records::{
    Absent, AccountProduct, AccountState, AccountTerms, ListEntry, ListMode, Period, ProductFunds, QuotaLimit,
    RateLimit, StoredPlan, StoredToken, Terms as StoredTerms, TokenList, TokenState, WholeAccount,
};
use crate::policy::account::{Account, CreditAccounts, Expiry, Key, ProductSet, Token};
use crate::policy::check::domain::{DomainList, Domains, Pattern};
use crate::policy::check::network::{Networks, Ranges, parse_network};
use crate::policy::credits::CreditAccount;
use crate::policy::limit::Owner;
use crate::policy::plan::{Allowances, Quota, Terms};
use crate::policy::rate::{Allowance, Rate, Tat};
use crate::policy::weight::Weight;
use crate::policy::{Policy, Product};

/// The credits of an account for a product, if somebody knows them.
pub type KnownCredits<'k> = &'k dyn Fn(&str, &str) -> Option<Arc<CreditAccount>>;

/// Compiles rows, with what accounts have in common once.
pub struct RowCompiler<'c> {
    policy: &'c Policy,
    plans: &'c [StoredPlan],
    known: KnownCredits<'c>,
    counting: Counting,
    networks: HashSet<Arc<Ranges>>,
    domains: HashSet<Arc<DomainList>>,
}

/// What has become of an account's rows.
#[derive(Debug)]
pub struct CompiledRows {
    /// The account; `None` for one that is closed.
    pub account: Option<Arc<Account>>,
    /// What of it was left out, in words that name it.
    pub flaws: Vec<String>,
}

impl<'c> RowCompiler<'c> {
    /// A compiler by the products of a policy. `plans` are the store's.
    pub fn new(policy: &'c Policy, plans: &'c [StoredPlan], known: KnownCredits<'c>) -> RowCompiler<'c> {
        let (networks, domains) = (HashSet::new(), HashSet::new());
        RowCompiler { policy, plans, known, counting: Counting::default(), networks, domains }
    }

    /// Compiles an account.
    ///
    /// # Errors
    /// Why nothing of it can be used: a row that no operation can have written, or a plan that is not there.
    pub fn compile(&mut self, whole: &WholeAccount) -> Result<CompiledRows, String> {
        let WholeAccount { account, tokens } = whole;
        let mut flaws = Vec::new();
        if account.state == AccountState::Closed {
            return Ok(CompiledRows { account: None, flaws });
        }
        let (terms, plan, of_plan) = self.terms(&account.terms)?;
        let name: Arc<str> = account.name.as_str().into();
        let (credit_accounts, free) = self.funds(&name, &account.products, &mut flaws);
        // What the account may be used for at all.
        let mut allowed = ProductSet::default();
        for product in &self.policy.products {
            let paid = credit_accounts.iter().any(|(place, _)| *place == product.balance);
            if !product.is_priced || paid || free.contains(product.balance) {
                allowed.insert(product.index);
            }
        }
        let (mut keys, mut of_tokens) = (Vec::with_capacity(tokens.len()), Vec::new());
        for token in tokens.iter().filter(|token| token.info.state != TokenState::Revoked) {
            let is_on = account.state == AccountState::Active && token.info.state == TokenState::Enabled;
            keys.push(self.token(token, is_on, of_plan, allowed, &mut flaws)?);
            let info = &token.info;
            of_tokens.push((info.name.as_str().into(), allowances(&info.rates, info.quota)?));
        }
        let covered = keys.iter().map(|key: &Key| key.token.products).collect();
        let products = self.policy.products.iter().map(|product| (&product.name, product.index, &product.allowances));
        let (rate, meter) = self.counting.of(&name, (&terms, plan), covered, products, of_tokens.into_iter());
        let credit_accounts = CreditAccounts::from(credit_accounts);
        let keys = keys.into();
        let account = Account { name, rate, meter, account_info_rate: Tat::default(), credit_accounts, keys };
        Ok(CompiledRows { account: Some(Arc::new(account)), flaws })
    }

    /// What an account may use, the name of its plan, and what tokens cover by it that name no products. A plan of the
    /// store is meant before one of the files.
    fn terms(&self, terms: &AccountTerms) -> Result<(Terms, Option<Arc<str>>, ProductSet), String> {
        let name = match terms {
            AccountTerms::Own(own) => return Ok((compiled_terms(own)?, None, ProductSet::default())),
            AccountTerms::Plan(name) => name,
        };
        if let Some(plan) = self.plans.iter().find(|plan| plan.name == *name) {
            let mut products = ProductSet::default();
            let known = plan.products.iter().filter_map(|product| self.product(product));
            known.for_each(|product| products.insert(product.index));
            return Ok((compiled_terms(&plan.terms)?, Some(name.as_str().into()), products));
        }
        match self.policy.plans.iter().find(|plan| *plan.name == **name) {
            Some(plan) => Ok((plan.terms.clone(), Some(Arc::clone(&plan.name)), plan.products)),
            None => Err(format!("has the plan {name}, which does not exist; create it, or give the account another")),
        }
    }

    fn product(&self, name: &str) -> Option<&'c Product> {
        self.policy.products.iter().find(|product| *product.name == *name)
    }

    /// The credits of an account, and the products that cost it nothing.
    fn funds(
        &self,
        account: &Arc<str>,
        products: &[AccountProduct],
        flaws: &mut Vec<String>,
    ) -> (Vec<(u8, Arc<CreditAccount>)>, ProductSet) {
        let (mut credit_accounts, mut free) = (Vec::new(), ProductSet::default());
        for AccountProduct { product: name, funds } in products {
            match (self.product(name), funds) {
                (None, _) => flaws.push(format!("has the product {name}, which the configuration does not have")),
                // The credits of another product pay for it.
                (Some(product), _) if product.is_priced && !product.has_balance() => {
                    let balance = self.policy.balance_name(product);
                    flaws.push(format!("has credits for {name}, which is paid from those for {balance}"));
                }
                // Without prices there is nothing to pay.
                (Some(product), ProductFunds::Unmetered) => free.insert(product.index),
                (Some(product), ProductFunds::Credits { .. }) if !product.is_priced => {}
                (Some(product), ProductFunds::Credits { first_grant }) => {
                    let known = (self.known)(account, &product.name);
                    let new =
                        || Arc::new(CreditAccount::new(Arc::clone(account), Arc::clone(&product.name), *first_grant));
                    credit_accounts.push((product.index, known.unwrap_or_else(new)));
                }
            }
        }
        credit_accounts.sort_by_key(|(place, _)| *place);
        (credit_accounts, free)
    }

    fn token(
        &mut self,
        stored: &StoredToken,
        is_on: bool,
        of_plan: ProductSet,
        allowed: ProductSet,
        flaws: &mut Vec<String>,
    ) -> Result<Key, String> {
        let StoredToken { info, digest, networks, domains } = stored;
        let mut products = ProductSet::default();
        let mut cover = |product: &Product| {
            if allowed.contains(product.index) {
                products.insert(product.index);
            } else {
                let what = "whose lookups cost credits, and the account says nothing of it";
                flaws.push(format!("its token {} covers {}, {what}", info.name, product.name));
            }
        };
        if info.products.is_empty() {
            self.policy.products.iter().filter(|product| of_plan.contains(product.index)).for_each(&mut cover);
        }
        let mut unknown = Vec::new();
        for name in &info.products {
            match self.product(name) {
                Some(product) => cover(product),
                None => unknown.push(name),
            }
        }
        for name in unknown {
            flaws.push(format!("its token {} covers {name}, which the configuration does not have", info.name));
        }
        let networks = self.networks(info.networks_mode, networks).map_err(|why| told(&info.name, "networks", why))?;
        let allow_absent = info.absent == Absent::Allow;
        let domains =
            self.domains(info.domains_mode, domains, allow_absent).map_err(|why| told(&info.name, "domains", why))?;
        let expiry = expiry(info.last_day, info.not_after);
        let token = Token { name: info.name.as_str().into(), products, enabled: is_on, expiry, networks, domains };
        Ok(Key { digest: *digest, token })
    }

    fn networks(&mut self, mode: ListMode, entries: &[ListEntry]) -> Result<Networks, &'static str> {
        let mut networks = networks(mode, entries)?;
        if let Networks::Listed(list) = &mut networks {
            share(&mut self.networks, list);
        }
        Ok(networks)
    }

    fn domains(&mut self, mode: ListMode, entries: &[ListEntry], allow_absent: bool) -> Result<Domains, &'static str> {
        let mut domains = domains(mode, entries, allow_absent)?;
        if let Domains::Listed(list) = &mut domains {
            share(&mut self.domains, list);
        }
        Ok(domains)
    }
}

/// A list of networks as requests are judged by it.
///
/// # Errors
/// What is wrong with an entry.
pub fn networks(mode: ListMode, entries: &[ListEntry]) -> Result<Networks, &'static str> {
    if mode == ListMode::Any {
        return Ok(Networks::Any);
    }
    let parsed = entries.iter().map(|entry| parse_network(&entry.value)).collect::<Result<Vec<_>, _>>()?;
    let networks = Networks::listed(parsed);
    Ok(if mode == ListMode::Watch { networks.watched() } else { networks })
}

/// A list of domains as requests are judged by it.
///
/// # Errors
/// What is wrong with an entry.
pub fn domains(mode: ListMode, entries: &[ListEntry], allow_absent: bool) -> Result<Domains, &'static str> {
    if mode == ListMode::Any {
        return Ok(Domains::Any);
    }
    let parsed = entries.iter().map(|entry| Pattern::parse(&entry.value)).collect::<Result<Vec<_>, _>>()?;
    let domains = Domains::listed(parsed, allow_absent);
    Ok(if mode == ListMode::Watch { domains.watched() } else { domains })
}

/// What the store says of an account or a plan, as it is counted.
fn compiled_terms(stored: &StoredTerms) -> Result<Terms, String> {
    let StoredTerms { rates, quota, concurrency, weight } = stored;
    let at_least_one = |most| NonZeroU32::new(most).ok_or("may have no request in flight");
    let known = |weight| Weight::new(weight).ok_or("has a weight that is out of range");
    Ok(Terms {
        allowances: allowances(rates, *quota)?,
        concurrency: concurrency.map(at_least_one).transpose()?,
        weight: weight.map(known).transpose()?.unwrap_or_default(),
    })
}

/// A weight as the store has it: none where it is that of everybody.
fn stored_weight(weight: Weight) -> Option<u32> {
    (weight != Weight::default()).then(|| weight.get().into())
}

fn allowances(rates: &[RateLimit], quota: QuotaLimit) -> Result<Allowances, String> {
    let allowance = |RateLimit { period, requests, burst }: &RateLimit| {
        Some(Allowance {
            limit: NonZeroU32::new(*requests)?,
            period: Duration::from_secs(period.seconds().into()),
            burst: NonZeroU32::new(*burst)?,
        })
    };
    let mut rates: Vec<Allowance> =
        rates.iter().map(allowance).collect::<Option<_>>().ok_or("has a rate of 0 requests")?;
    rates.sort_by_key(|rate| rate.period);
    let most = |most| NonZeroU64::new(most).ok_or("has a quota of 0 requests");
    let quota = Quota { day: quota.day.map(most).transpose()?, month: quota.month.map(most).transpose()? };
    Ok(Allowances { rates: rates.into(), quota })
}

fn told(token: &str, list: &str, why: &str) -> String {
    format!("its token {token} has an entry of {list} that {why}")
}

/// When a token ends: after its last day, or at a moment in milliseconds, whichever comes first. A moment within a
/// second counts as the end of it.
fn expiry(last_day: Option<u32>, not_after_ms: Option<i64>) -> Expiry {
    const DAY: u64 = 86_400;
    let moment = not_after_ms.map(|moment| u64::try_from(moment).unwrap_or(0).div_ceil(1000));
    match (last_day, moment) {
        (None, None) => Expiry::Never,
        (Some(day), None) => Expiry::LastDay(day),
        (Some(day), Some(moment)) if (u64::from(day) + 1) * DAY <= moment => Expiry::LastDay(day),
        (_, Some(moment)) => Expiry::Until(u32::try_from(moment).unwrap_or(u32::MAX)),
    }
}

/// An account of a policy as what an import writes.
///
/// # Errors
/// What of it the store has no rows for.
pub fn imported(account: &Account, policy: &Policy) -> Result<ImportedAccount, String> {
    let terms = match (account.plan(), &account.meter, &account.rate) {
        (Some(plan), _, _) => AccountTerms::Plan(plan.to_owned()),
        (None, Some(meter), _) => {
            let (rates, quota) = stored(&meter.allowances(&Owner::Account))?;
            let concurrency = meter.in_flight().map(|(_, most)| most.get());
            AccountTerms::Own(StoredTerms { rates, quota, concurrency, weight: stored_weight(meter.weight) })
        }
        (None, None, Rate::Limited(window, _)) => AccountTerms::Own(StoredTerms {
            rates: vec![rate_limit(window.allowance())?],
            weight: stored_weight(window.weight()),
            ..StoredTerms::default()
        }),
        (None, None, Rate::Unlimited) => AccountTerms::Own(StoredTerms::default()),
    };
    let priced = policy.products.iter().filter(|product| product.has_balance());
    let products = priced.map(|product| AccountProduct {
        product: product.name.to_string(),
        funds: account
            .credit_accounts
            .of(product.index)
            .map_or(ProductFunds::Unmetered, |known| ProductFunds::Credits { first_grant: known.first_grant }),
    });
    let is_used = |product: &AccountProduct| {
        let covered = policy.products.iter().find(|known| *known.name == *product.product);
        let covered =
            covered.is_some_and(|known| account.keys.iter().any(|key| key.token.products.contains(known.index)));
        covered || product.funds != ProductFunds::Unmetered
    };
    Ok(ImportedAccount {
        name: account.name.to_string(),
        terms,
        products: products.filter(is_used).collect(),
        tokens: account.keys.iter().map(|key| imported_token(account, key, policy)).collect::<Result<_, _>>()?,
    })
}

fn imported_token(account: &Account, Key { digest, token }: &Key, policy: &Policy) -> Result<ImportedToken, String> {
    let own = account.meter.as_ref().map(|meter| meter.allowances(&Owner::Token(token.name.clone())));
    let (rates, quota) = stored(&own.unwrap_or_default())?;
    let mode = |is_watched| if is_watched { ListMode::Watch } else { ListMode::Enforce };
    let entry = |value: String| ListEntry { value, note: String::new() };
    let networks = token.networks.blocks().map(|blocks| TokenList {
        mode: mode(token.networks.is_watched()),
        entries: blocks.into_iter().map(|block| entry(block.to_string())).collect(),
        absent: None,
    });
    let domains = token.domains.patterns().map(|(patterns, allow_absent)| TokenList {
        mode: mode(token.domains.is_watched()),
        entries: patterns.into_iter().map(entry).collect(),
        absent: Some(if allow_absent { Absent::Allow } else { Absent::Deny }),
    });
    let products = policy.products.iter().filter(|product| token.products.contains(product.index));
    Ok(ImportedToken {
        name: token.name.to_string(),
        digest: *digest,
        products: products.map(|product| product.name.to_string()).collect(),
        is_enabled: token.enabled,
        last_day: match token.expiry {
            Expiry::LastDay(day) => Some(day),
            Expiry::Never | Expiry::Until(_) => None,
        },
        rates,
        quota,
        networks,
        domains,
    })
}

fn stored(allowances: &Allowances) -> Result<(Vec<RateLimit>, QuotaLimit), String> {
    let Allowances { rates, quota } = allowances;
    let rates = rates.iter().map(|rate| rate_limit(*rate)).collect::<Result<_, _>>()?;
    Ok((rates, QuotaLimit { day: quota.day.map(NonZeroU64::get), month: quota.month.map(NonZeroU64::get) }))
}

fn rate_limit(allowance: Allowance) -> Result<RateLimit, String> {
    let Allowance { limit, period, burst } = allowance;
    let known = Period::ALL.iter().find(|known| u64::from(known.seconds()) == period.as_secs());
    let period = *known.ok_or("has a rate of a period that the store does not know")?;
    Ok(RateLimit { period, requests: limit.get(), burst: burst.get() })
}
