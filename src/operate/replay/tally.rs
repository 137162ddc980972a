//! Counts verdicts: how many decisions stay as they were, which change, and which cannot be decided.
//!
//! Everything that is counted by names has a limit, beyond which the rest is counted together.

use std::collections::BTreeMap;

use super::verdict::{Outcome, Price, Undecided, Verdict};
use crate::telemetry::journal::line::Decision;

/// The most accounts that are counted by name, and the most pairs of rows or prices.
const MOST_ACCOUNTS: usize = 100_000;
const MOST_PAIRS: usize = 4096;

/// The name that all further accounts are counted by.
const FURTHER: &str = "(further accounts)";

/// Examples of each pair.
const EXAMPLES: usize = 3;

/// What stands for an answer where a row would stand.
pub const ANSWERED: &str = "answered";

/// What stands for a request that is not refused as it was, and of which no more is known.
pub const LET_FURTHER: &str = "let further";

/// A decision by which something can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub file: usize,
    pub line: u64,
    pub transaction_id: String,
    pub time: String,
    pub account: Option<String>,
    pub token: Option<String>,
}

/// Decisions with the same change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub count: u64,
    pub examples: Vec<Example>,
}

impl Changed {
    fn add(&mut self, decision: &Decision<'_>, (file, line): (usize, u64)) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            let owned = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
            self.examples.push(Example {
                file,
                line,
                transaction_id: decision.transaction_id.clone().into_owned(),
                time: decision.time.clone().into_owned(),
                account: owned(&decision.account),
                token: owned(&decision.token),
            });
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
    /// Requests that would be refused with another problem.
    pub refused_otherwise: u64,
    /// Requests that would cost something else.
    pub charged_otherwise: u64,
    /// Credits of those then and now.
    pub credits: (u64, u64),
}

/// All counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub decisions: u64,
    /// Decided, and neither refused nor charged otherwise.
    pub same: u64,
    pub refused_otherwise: u64,
    pub charged_otherwise: u64,
    pub undecided: BTreeMap<Undecided, u64>,
    /// By what was, and what would be.
    pub rows: BTreeMap<(String, String), Changed>,
    /// By the credits then and now.
    pub prices: BTreeMap<(u32, u32), Changed>,
    pub accounts: BTreeMap<String, OfAccount>,
    /// Credits that were charged in all, and what is known of what would be.
    pub credits: (u64, u64),
}

impl Tally {
    /// Counts a decision, which stands at a line of a file.
    pub fn add(&mut self, decision: &Decision<'_>, verdict: &Verdict, at: (usize, u64)) {
        self.decisions += 1;
        let (outcome, price) = match verdict {
            Verdict::Decided { outcome, price } => (outcome, *price),
            Verdict::Undecided(kind) => {
                *self.undecided.entry(*kind).or_default() += 1;
                return;
            }
        };
        let row = self.count_row(decision, outcome, at);
        let price = self.count_price(decision, price, at);
        match (row, price) {
            (false, Ok(false)) => self.same += 1,
            // What is refused otherwise is decided, whatever it would cost.
            (false, Err(kind)) => *self.undecided.entry(kind).or_default() += 1,
            (true, _) | (false, Ok(true)) => {}
        }
    }

    /// Counts whether it is refused otherwise.
    fn count_row(&mut self, decision: &Decision<'_>, outcome: &Outcome, at: (usize, u64)) -> bool {
        let then = decision.problem.as_deref().unwrap_or(ANSWERED);
        let now = match outcome {
            Outcome::AsThen => return false,
            Outcome::Refused(slug) => slug,
            Outcome::Answered => ANSWERED,
            Outcome::LetFurther => LET_FURTHER,
        };
        self.refused_otherwise += 1;
        let pair = (then.to_owned(), now.to_owned());
        if self.rows.len() < MOST_PAIRS || self.rows.contains_key(&pair) {
            self.rows.entry(pair).or_default().add(decision, at);
        }
        let of_account = self.account(decision);
        match (decision.problem.is_some(), matches!(outcome, Outcome::Refused(_))) {
            (false, true) => of_account.refused += 1,
            (true, false) => of_account.let_in += 1,
            (true, true) => of_account.refused_otherwise += 1,
            (false, false) => {}
        }
        true
    }

    /// Counts whether it is charged otherwise.
    fn count_price(&mut self, decision: &Decision<'_>, price: Price, at: (usize, u64)) -> Result<bool, Undecided> {
        let now = match price {
            Price::Known(now) => now,
            Price::Undecided(kind) => return Err(kind),
        };
        let then = decision.charged;
        self.credits.0 = self.credits.0.saturating_add(then.into());
        self.credits.1 = self.credits.1.saturating_add(now.into());
        if then == now {
            return Ok(false);
        }
        self.charged_otherwise += 1;
        if self.prices.len() < MOST_PAIRS || self.prices.contains_key(&(then, now)) {
            self.prices.entry((then, now)).or_default().add(decision, at);
        }
        let of_account = self.account(decision);
        of_account.charged_otherwise += 1;
        of_account.credits.0 = of_account.credits.0.saturating_add(then.into());
        of_account.credits.1 = of_account.credits.1.saturating_add(now.into());
        Ok(true)
    }

    fn account(&mut self, decision: &Decision<'_>) -> &mut OfAccount {
        let name = decision.account.as_deref().unwrap_or("(unknown)");
        let is_known = self.accounts.contains_key(name) || self.accounts.len() < MOST_ACCOUNTS;
        self.accounts.entry(if is_known { name } else { FURTHER }.to_owned()).or_default()
    }

    /// Whether something would be refused or charged otherwise.
    pub fn differs(&self) -> bool {
        self.refused_otherwise > 0 || self.charged_otherwise > 0
    }
}
