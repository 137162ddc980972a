//! What customers may use: rates, quotas of the calendar and requests in flight, as a plan with a name or as an
//! account's own.
//!
//! Nothing here is counted: what was used is `meter.rs`, and a rate of its own that is an account's only limit is
//! `rate.rs` alone.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use crate::policy::calendar::Calendar;
use crate::policy::product_set::ProductSet;
use crate::policy::rate::Allowance;
use crate::policy::weight::Weight;

/// Requests of one day or month at most: the largest whole number that headers can tell (RFC 9651, section 3.3.1).
pub const MAX_QUOTA: u64 = 999_999_999_999_999;

/// How many requests a day and a month may have, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    pub day: Option<NonZeroU64>,
    pub month: Option<NonZeroU64>,
}

impl Quota {
    /// Those that there are, the shorter first.
    pub fn iter(self) -> impl Iterator<Item = (Calendar, NonZeroU64)> {
        let of = move |calendar| match calendar {
            Calendar::Day => self.day,
            Calendar::Month => self.month,
        };
        Calendar::ALL.into_iter().filter_map(move |calendar| Some((calendar, of(calendar)?)))
    }
}

/// Rates and quotas of one account, one token, or one account on one product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowances {
    /// Each of another period, the shortest first; none: any number of requests.
    pub rates: Box<[Allowance]>,
    pub quota: Quota,
}

impl Allowances {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.quota == Quota::default()
    }
}

/// What a plan, or an account by itself, allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    pub allowances: Allowances,
    /// Requests in flight at a time, on this node; `None`: any number.
    pub concurrency: Option<NonZeroU32>,
    /// How much an account gets beside others where they have to share.
    pub weight: Weight,
}

impl Terms {
    /// The rate, if it is the only limit.
    pub fn only_rate(&self) -> Option<Allowance> {
        match (&*self.allowances.rates, self.allowances.quota == Quota::default(), self.concurrency) {
            ([rate], true, None) => Some(*rate),
            _ => None,
        }
    }
}

/// Terms with a name, which accounts can have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub name: Arc<str>,
    pub terms: Terms,
    /// What tokens of its accounts cover that name no products.
    pub products: ProductSet,
}
