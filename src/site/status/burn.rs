//! Whether a product's failures use up its error budget too fast: several windows and burn rates, as
//! in Google's SRE workbook, chapter 5.
//!
//! The budget is the part of all requests that may fail. A burn rate of 1 uses it up in exactly the
//! objective's time; 14.4 for an hour uses 2 % of a month's. A rule needs its rate in a long window,
//! so that a few failures are no incident, and in a short one, so that it ends when the failures
//! do. Failures before the end of the last incident have been told and count as answers.

use super::history::{Series, Tally};
use super::incident::Measurement;
use crate::policy::seconds::Seconds;

/// How fast a budget may be used up, and over which times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub long: Seconds,
    pub short: Seconds,
    /// Thousandths of the rate at which the budget lasts for the objective's time.
    pub rate_thousandths: u32,
}

/// The budget and the rules, the fastest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burn {
    /// How many requests of a million may fail.
    pub budget_per_million: u32,
    /// Failures in a long window below which there is no incident.
    pub min_failures: u64,
    pub rules: Box<[Rule]>,
}

/// The rules of the workbook: 2 % of a month's budget in an hour, 5 % in six, 10 % in three days.
pub const RULES: [Rule; 3] = [
    Rule { long: 3600, short: 300, rate_thousandths: 14_400 },
    Rule { long: 6 * 3600, short: 1800, rate_thousandths: 6_000 },
    Rule { long: 3 * 86_400, short: 6 * 3600, rate_thousandths: 1_000 },
];

/// One failure of a thousand is allowed: 99.9 %.
pub const BUDGET_PER_MILLION: u32 = 1_000;

/// A handful of failures is no incident, however little else there was.
pub const MIN_FAILURES: u64 = 10;

impl Default for Burn {
    fn default() -> Burn {
        Burn { budget_per_million: BUDGET_PER_MILLION, min_failures: MIN_FAILURES, rules: RULES.into() }
    }
}

impl Burn {
    /// The shortest of all windows: how long something has to be over before it is.
    pub fn shortest(&self) -> Seconds {
        self.rules.iter().map(|rule| rule.short).min().unwrap_or(1)
    }

    /// What a product's requests say at a moment. `told_until` is the end of its last incident, and
    /// `open` the fastest rule that an open incident has met.
    pub fn read(
        &self,
        series: &Series,
        step: Seconds,
        now: Seconds,
        told_until: Seconds,
        open: Option<usize>,
    ) -> Measurement {
        let window = |seconds| series.last(seconds, step, now, told_until);
        let fires = |rule: &Rule| {
            let long = window(rule.long);
            long.failed >= self.min_failures
                && self.burns(long, rule.rate_thousandths)
                && self.burns(window(rule.short), rule.rate_thousandths)
        };
        // The failures of an incident go on firing slower rules for hours after its end; those cannot
        // keep it open.
        let looked_at = open.map_or(usize::MAX, |number| number.saturating_add(1));
        if let Some(number) = self.rules.iter().take(looked_at).position(fires) {
            let short = self.rules.get(number).map_or(0, |rule| rule.short);
            let from = now.saturating_sub(short).saturating_sub(step).max(told_until);
            let since = series.failures_between(from, step).map_or(now, |(first, _)| first.max(told_until));
            return Measurement::Bad { since, rule: number };
        }
        // Well below the rate, so that an incident does not end and begin again at its edge.
        let Some(rule) = open.and_then(|number| self.rules.get(number).or(self.rules.last())) else {
            return Measurement::Calm { since: now };
        };
        if self.burns(window(rule.short), rule.rate_thousandths / 2) {
            return Measurement::Between;
        }
        let last = series.failures_between(now.saturating_sub(rule.short.saturating_mul(2)), step);
        Measurement::Calm { since: last.map_or(now, |(_, end)| end.min(now)) }
    }

    /// Whether requests use the budget up at a rate, or faster.
    fn burns(&self, tally: Tally, rate_thousandths: u32) -> bool {
        let failed = u128::from(tally.failed) * 1_000_000 * 1_000;
        let allowed = u128::from(tally.total()) * u128::from(self.budget_per_million) * u128::from(rate_thousandths);
        tally.failed > 0 && failed >= allowed
    }
}

#[cfg(test)]
#[path = "burn_tests.rs"]
mod tests;
