//! What a shadow has found: how many requests would end as they did, and which would not.
//!
//! Everything that is counted by names has a limit, beyond which the rest is counted together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::seconds::Seconds;

/// Accounts that are counted by name, at the most.
pub const MOST_ACCOUNTS: usize = 1000;

/// Pairs of rows, and pairs of prices, at the most.
pub const MOST_PAIRS: usize = 256;

/// Examples of each pair.
pub const EXAMPLES: usize = 3;

/// The name that all further accounts are counted by, and both names of all further pairs of rows.
pub const FURTHER: &str = "(further)";

/// The name of requests whose account is not known.
pub const UNKNOWN: &str = "(unknown)";

/// A request by which something can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub transaction_id: String,
    /// When it came, in seconds since 1970.
    pub at: Seconds,
    pub account: Option<Arc<str>>,
}

/// Requests with the same change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub count: u64,
    pub examples: Vec<Example>,
}

impl Changed {
    fn add(&mut self, example: impl FnOnce() -> Example) {
        self.count = self.count.saturating_add(1);
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// What changes for an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfAccount {
    /// Requests that had an answer and would be refused.
    pub refused: u64,
    /// Requests that were refused and would not be so.
    pub let_in: u64,
    /// Requests that would end with another problem, or another status.
    pub otherwise: u64,
    /// Requests that would cost something else.
    pub charged_otherwise: u64,
    /// Credits of those then and now.
    pub credits: (u64, u64),
}

/// What became of one request, and what would have.
pub struct Found<'f> {
    pub then: &'f str,
    pub now: &'f str,
    pub was_refused: bool,
    pub would_be_refused: bool,
    /// The credits that it was charged.
    pub charged: u32,
    /// What it would have cost; `None` if that is not known.
    pub price: Option<u32>,
    pub example: Example,
}

/// All counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub decisions: u64,
    /// Neither refused nor charged otherwise.
    pub same: u64,
    pub refused_otherwise: u64,
    pub charged_otherwise: u64,
    /// Requests whose clients have disconnected, or whose bodies or answers did not fit.
    pub undecided: u64,
    /// By what was, and what would be.
    pub rows: BTreeMap<(Box<str>, Box<str>), Changed>,
    /// By the credits then and now.
    pub prices: BTreeMap<(u32, u32), Changed>,
    /// Requests whose pair of prices was one too many.
    pub further_prices: u64,
    pub accounts: BTreeMap<Arc<str>, OfAccount>,
    /// Credits that were charged, and what would have been, of requests of which both are known.
    pub credits: (u64, u64),
}

impl Tally {
    /// A request of which nothing can be said.
    pub fn undecided(&mut self) {
        self.decisions = self.decisions.saturating_add(1);
        self.undecided = self.undecided.saturating_add(1);
    }

    /// A request that would end as it did, and that costs the same.
    pub fn same(&mut self, charged: u32) {
        self.decisions = self.decisions.saturating_add(1);
        self.same = self.same.saturating_add(1);
        self.add_credits(charged, charged);
    }

    /// A request that differs.
    pub fn differs(&mut self, found: &Found<'_>) {
        let Found { then, now, was_refused, would_be_refused, charged, price, example } = found;
        self.decisions = self.decisions.saturating_add(1);
        let is_row = then != now;
        let other_price = price.filter(|price| price != charged);
        if is_row {
            self.refused_otherwise = self.refused_otherwise.saturating_add(1);
            let is_known = |rows: &BTreeMap<_, _>, pair: &(Box<str>, Box<str>)| rows.contains_key(pair);
            let pair = (Box::from(*then), Box::from(*now));
            let has_room = self.rows.len() < MOST_PAIRS || is_known(&self.rows, &pair);
            let pair = if has_room { pair } else { (FURTHER.into(), FURTHER.into()) };
            self.rows.entry(pair).or_default().add(|| example.clone());
        }
        if let Some(price) = *price {
            self.add_credits(*charged, price);
        }
        if let Some(price) = other_price {
            self.charged_otherwise = self.charged_otherwise.saturating_add(1);
            let pair = (*charged, price);
            if self.prices.len() < MOST_PAIRS || self.prices.contains_key(&pair) {
                self.prices.entry(pair).or_default().add(|| example.clone());
            } else {
                self.further_prices = self.further_prices.saturating_add(1);
            }
        }
        let of = self.account(example.account.as_ref());
        let count = |count: &mut u64| *count = count.saturating_add(1);
        match (was_refused, would_be_refused) {
            _ if !is_row => {}
            (false, true) => count(&mut of.refused),
            (true, false) => count(&mut of.let_in),
            (true, true) | (false, false) => count(&mut of.otherwise),
        }
        if let Some(price) = other_price {
            count(&mut of.charged_otherwise);
            of.credits.0 = of.credits.0.saturating_add((*charged).into());
            of.credits.1 = of.credits.1.saturating_add(price.into());
        }
    }

    fn add_credits(&mut self, then: u32, now: u32) {
        self.credits.0 = self.credits.0.saturating_add(then.into());
        self.credits.1 = self.credits.1.saturating_add(now.into());
    }

    fn account(&mut self, name: Option<&Arc<str>>) -> &mut OfAccount {
        let name = name.map_or_else(|| UNKNOWN.into(), Arc::clone);
        let is_known = self.accounts.contains_key(&name) || self.accounts.len() < MOST_ACCOUNTS;
        self.accounts.entry(if is_known { name } else { FURTHER.into() }).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'f>(then: &'f str, now: &'f str, (charged, price): (u32, Option<u32>), account: &str) -> Found<'f> {
        let example = Example { transaction_id: "t".to_owned(), at: 7, account: Some(account.into()) };
        let refused = |name: &str| !name.starts_with("answered") && name != "let further";
        let (was_refused, would_be_refused) = (refused(then), refused(now));
        Found { then, now, was_refused, would_be_refused, charged, price, example }
    }

    #[test]
    fn what_differs_is_counted_by_row_price_and_account() {
        let mut tally = Tally::default();
        tally.same(2);
        tally.undecided();
        for (then, now, price) in [
            ("answered", "ip-not-allowed", (2, Some(0))),
            ("rate-exceeded", "let further", (0, None)),
            ("answered", "answered", (2, Some(3))),
            ("answered", "answered with 404", (2, Some(2))),
            ("token-unknown", "token-disabled", (0, Some(0))),
        ] {
            tally.differs(&found(then, now, price, "acme"));
        }
        assert_eq!((tally.decisions, tally.same, tally.undecided), (7, 1, 1));
        assert_eq!((tally.refused_otherwise, tally.charged_otherwise, tally.credits), (4, 2, (8, 7)));
        let of = tally.accounts["acme"];
        assert_eq!((of.refused, of.let_in, of.otherwise, of.charged_otherwise, of.credits), (1, 1, 2, 2, (4, 3)));
        assert_eq!(tally.prices.keys().copied().collect::<Vec<_>>(), [(2, 0), (2, 3)]);
        assert_eq!(tally.rows.len(), 4);
    }

    #[test]
    fn what_is_counted_by_names_has_a_limit() {
        let mut tally = Tally::default();
        for number in 0..u32::try_from(MOST_ACCOUNTS).unwrap() + 5 {
            let (now, account) = (format!("problem-{number}"), format!("account-{number}"));
            tally.differs(&found("answered", &now, (number, Some(0)), &account));
        }
        assert_eq!((tally.rows.len(), tally.accounts.len()), (MOST_PAIRS + 1, MOST_ACCOUNTS + 1));
        assert_eq!(tally.accounts[FURTHER].refused, 5);
        let further = &tally.rows[&(FURTHER.into(), FURTHER.into())];
        assert_eq!(further.examples.len(), EXAMPLES);
        assert_eq!(further.count, tally.refused_otherwise - u64::try_from(MOST_PAIRS).unwrap());
        assert!(tally.prices.len() == MOST_PAIRS && tally.further_prices > 0);
    }
}
