//! Limits of accounts, tokens and products: whose they are, what they allow, and how they are at one moment.
//!
//! A limit has no state, so that accounts can share it; what was used of it is counted in `meter.rs`.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::policy::calendar::{Calendar, Counter};
use crate::policy::now::Now;
use crate::policy::plan::Allowances;
use crate::policy::rate::{RateState, Tat, Window};

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The account with all its tokens.
    Account,
    /// The account on the product with this name.
    Product(Arc<str>),
    /// The account's token with this name.
    Token(Box<str>),
}

/// What limits a request depends on.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The name of the product; `None` for a request that is no lookup.
    pub product: Option<&'a str>,
    /// The name of the token.
    pub token: &'a str,
}

impl Owner {
    pub(super) fn applies(&self, asker: Asker<'_>) -> bool {
        match self {
            Owner::Account => true,
            Owner::Product(name) => asker.product.is_some_and(|product| *product == **name),
            Owner::Token(name) => *asker.token == **name,
        }
    }
}

/// The limits of an account. They have no state, so that accounts can share them.
#[derive(Debug, Default, PartialEq)]
pub struct Limits {
    pub(super) rates: Box<[RateLimit]>,
    pub(super) quotas: Box<[QuotaLimit]>,
}

/// A rate of an owner.
#[derive(Debug, PartialEq)]
pub(super) struct RateLimit {
    pub(super) owner: Owner,
    /// What headers call it.
    pub(super) name: &'static str,
    pub(super) window: Window,
}

/// A quota of an owner.
#[derive(Debug, PartialEq)]
pub(super) struct QuotaLimit {
    pub(super) owner: Owner,
    /// What headers call it.
    name: &'static str,
    pub(super) calendar: Calendar,
    /// Requests in a day or month.
    pub(super) most: NonZeroU64,
}

/// A limit at one moment, as headers and documents tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// What headers call it.
    pub name: &'static str,
    /// Requests in the window.
    pub limit: u64,
    /// Seconds of the window; of a month, those that it has.
    pub window_seconds: u64,
    /// Requests that would pass at this moment.
    pub remaining: u64,
    /// Seconds until all are there again, rounded up.
    pub reset_after_seconds: u64,
    /// The same as a time, in seconds since 1970-01-01 UTC.
    pub reset_unix_seconds: u64,
    /// `None` for a rate.
    pub calendar: Option<Calendar>,
}

/// The limits of a request at one moment.
pub type LimitStates = SmallVec<[LimitState; 8]>;

/// What was used of a limit, in terms that hold for any process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub owner: Owner,
    pub used: Used,
}

/// How much was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// The burst of a rate is whole again after `left`, of which each request takes `interval`.
    Rate { period: Duration, interval: Duration, left: Duration },
    /// So many requests were counted in the day or month that began at this second since 1970-01-01 UTC.
    Quota { calendar: Calendar, began: u64, used: u64 },
}

impl Usage {
    /// What was used of a plain rate of an account.
    pub fn of_rate(window: &Window, tat: &Tat, now: Now) -> Usage {
        Usage { owner: Owner::Account, used: rate_used(window, tat, now) }
    }

    /// Whether it is of the day or month that it is. What was used of a rate is carried over to the rates that there
    /// are, and not kept beside them.
    pub(super) fn is_current(&self, now: Now) -> bool {
        match self.used {
            Used::Rate { .. } => false,
            Used::Quota { calendar, began, .. } => calendar.period(now.unix_seconds).start == began,
        }
    }
}

fn rate_used(window: &Window, tat: &Tat, now: Now) -> Used {
    let left = tat.full_at().saturating_sub(now.monotonic);
    Used::Rate { period: window.allowance().period, interval: window.interval(), left }
}

/// What a window has to count for what was used of the rates of the same owner: of the one with the same period, or
/// else of the one in which most requests are used. What was used stays used ([`Window::carried`]).
pub fn carried(window: &Window, owner: &Owner, usage: &[Usage]) -> Duration {
    let mut most = (false, 0, Duration::ZERO);
    for Usage { owner: of, used } in usage {
        let Used::Rate { period, interval, left } = *used else { continue };
        if of == owner {
            let requests = left.as_nanos().div_ceil(interval.as_nanos().max(1));
            most = most.max((period == window.allowance().period, requests, window.carried(left, interval)));
        }
    }
    most.2
}

impl Limits {
    /// Those of some owners, in their order.
    pub fn of(owners: &[(Owner, Allowances)]) -> Limits {
        let rates = owners.iter().flat_map(|(owner, allowances)| {
            let only = allowances.rates.len() == 1;
            allowances.rates.iter().map(move |rate| RateLimit {
                owner: owner.clone(),
                name: rate_name(owner, rate.period.as_secs(), only),
                window: Window::new(*rate),
            })
        });
        let quotas = owners.iter().flat_map(|(owner, allowances)| {
            allowances.quota.iter().map(|(calendar, most)| QuotaLimit {
                owner: owner.clone(),
                name: quota_name(owner, calendar),
                calendar,
                most,
            })
        });
        Limits { rates: rates.collect(), quotas: quotas.collect() }
    }
}

impl RateLimit {
    pub(super) fn exceeded(&self) -> &'static str {
        match self.owner {
            Owner::Account => "the account's rate is used up",
            Owner::Product(_) => "the account's rate for the product is used up",
            Owner::Token(_) => "the token's rate is used up",
        }
    }

    pub(super) fn usage(&self, tat: &Tat, now: Now) -> Usage {
        Usage { owner: self.owner.clone(), used: rate_used(&self.window, tat, now) }
    }
}

impl QuotaLimit {
    pub(super) fn exceeded(&self) -> &'static str {
        match self.owner {
            Owner::Account => "the account's quota is used up",
            Owner::Product(_) => "the account's quota for the product is used up",
            Owner::Token(_) => "the token's quota is used up",
        }
    }

    pub(super) fn usage(&self, began: u64, used: u64) -> Usage {
        Usage { owner: self.owner.clone(), used: Used::Quota { calendar: self.calendar, began, used } }
    }

    /// What was used of it: when the period began, and how much.
    pub(super) fn used_in<'u>(&'u self, usage: &'u [Usage]) -> impl Iterator<Item = (u64, u64)> + 'u {
        usage.iter().filter(|usage| usage.owner == self.owner).filter_map(|usage| match usage.used {
            Used::Quota { calendar, began, used } if calendar == self.calendar => Some((began, used)),
            Used::Quota { .. } | Used::Rate { .. } => None,
        })
    }

    pub(super) fn state(&self, counter: &Counter, now: Now) -> LimitState {
        let (period, most) = (counter.period(), self.most.get());
        LimitState {
            name: self.name,
            limit: most,
            window_seconds: period.end.saturating_sub(period.start),
            remaining: most.saturating_sub(counter.used()),
            reset_after_seconds: period.end.saturating_sub(now.unix_seconds),
            reset_unix_seconds: period.end,
            calendar: Some(self.calendar),
        }
    }
}

/// What headers call a rate: after its owner, and if there are several after its period.
fn rate_name(owner: &Owner, period_seconds: u64, only: bool) -> &'static str {
    match (owner, only, period_seconds) {
        (Owner::Account, true, _) => "account",
        (Owner::Account, false, 1) => "account-second",
        (Owner::Account, false, 60) => "account-minute",
        (Owner::Account, false, 3600) => "account-hour",
        (Owner::Account, false, _) => "account-day",
        (Owner::Product(_), true, _) => "product",
        (Owner::Product(_), false, 1) => "product-second",
        (Owner::Product(_), false, 60) => "product-minute",
        (Owner::Product(_), false, 3600) => "product-hour",
        (Owner::Product(_), false, _) => "product-day",
        (Owner::Token(_), true, _) => "token",
        (Owner::Token(_), false, 1) => "token-second",
        (Owner::Token(_), false, 60) => "token-minute",
        (Owner::Token(_), false, 3600) => "token-hour",
        (Owner::Token(_), false, _) => "token-day",
    }
}

fn quota_name(owner: &Owner, calendar: Calendar) -> &'static str {
    match (owner, calendar) {
        (Owner::Account, Calendar::Day) => "account-quota-day",
        (Owner::Account, Calendar::Month) => "account-quota-month",
        (Owner::Product(_), Calendar::Day) => "product-quota-day",
        (Owner::Product(_), Calendar::Month) => "product-quota-month",
        (Owner::Token(_), Calendar::Day) => "token-quota-day",
        (Owner::Token(_), Calendar::Month) => "token-quota-month",
    }
}

impl LimitState {
    /// A rate at one moment.
    pub fn of_rate(name: &'static str, state: &RateState) -> LimitState {
        LimitState {
            name,
            limit: state.allowance.limit.get().into(),
            window_seconds: state.allowance.period.as_secs(),
            remaining: state.remaining.into(),
            reset_after_seconds: state.reset_after_seconds,
            reset_unix_seconds: state.reset_unix_seconds,
            calendar: None,
        }
    }
}

/// The rate that is nearest to its end: of those with the fewest requests left the one that takes longest to be
/// whole again.
pub fn nearest(states: &[LimitState]) -> Option<&LimitState> {
    let rates = states.iter().filter(|state| state.calendar.is_none());
    rates.min_by_key(|state| (state.remaining, u64::MAX - state.reset_after_seconds))
}
