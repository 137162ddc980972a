//! Whether a product's failures use up its error budget too fast, by several windows and burn rates
//! as in Google's SRE workbook, chapter 5.
//!
//! The budget is the share of requests that may fail. A burn rate of 1 uses it up in exactly the
//! period of the objective; a rate of 14.4 for an hour uses 2 % of a month's. A rule applies if its
//! rate is exceeded both in a long window, so that a few failures are no incident, and in a short
//! one, so that the incident ends when the failures do. Failures before the end of the last
//! incident belong to that incident and count as answers.

use super::history::{Series, Tally};
use super::incident::Measurement;
use crate::policy::seconds::Seconds;

/// A burn rate, and the windows in which it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub long: Seconds,
    pub short: Seconds,
    /// The burn rate in thousandths; 1,000 uses the budget up in exactly the period of the
    /// objective.
    pub rate_thousandths: u32,
}

/// The budget and the rules, the fastest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burn {
    /// The number of requests in a million that may fail.
    pub budget_per_million: u32,
    /// The fewest failures in a long window that make an incident.
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

/// Fewer failures are no incident, even if there was little other traffic.
pub const MIN_FAILURES: u64 = 10;

impl Default for Burn {
    fn default() -> Burn {
        Burn { budget_per_million: BUDGET_PER_MILLION, min_failures: MIN_FAILURES, rules: RULES.into() }
    }
}

impl Burn {
    /// The shortest of all windows: how long failures must have stopped before an incident ends.
    pub fn shortest(&self) -> Seconds {
        self.rules.iter().map(|rule| rule.short).min().unwrap_or(1)
    }

    /// Measures a product's requests at a moment. `told_until` is the end of its last incident, and
    /// `open` is the fastest rule that the open incident has met.
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
        // Slower rules apply for hours after the failures have stopped; they must not keep the
        // incident open.
        let looked_at = open.map_or(usize::MAX, |number| number.saturating_add(1));
        if let Some(number) = self.rules.iter().take(looked_at).position(fires) {
            let short = self.rules.get(number).map_or(0, |rule| rule.short);
            let from = now.saturating_sub(short).saturating_sub(step).max(told_until);
            let since = series.failures_between(from, step).map_or(now, |(first, _)| first.max(told_until));
            return Measurement::Bad { since, rule: number };
        }
        // Half the rate, so that an incident does not end and begin again while the rate is near
        // the limit.
        let Some(rule) = open.and_then(|number| self.rules.get(number).or(self.rules.last())) else {
            return Measurement::Calm { since: now };
        };
        if self.burns(window(rule.short), rule.rate_thousandths / 2) {
            return Measurement::Between;
        }
        let last = series.failures_between(now.saturating_sub(rule.short.saturating_mul(2)), step);
        Measurement::Calm { since: last.map_or(now, |(_, end)| end.min(now)) }
    }

    /// Whether requests use the budget up at this rate or faster.
    fn burns(&self, tally: Tally, rate_thousandths: u32) -> bool {
        let failed = u128::from(tally.failed) * 1_000_000 * 1_000;
        let allowed = u128::from(tally.total()) * u128::from(self.budget_per_million) * u128::from(rate_thousandths);
        tally.failed > 0 && failed >= allowed
    }
}

#[cfg(test)]
#[path = "burn_tests.rs"]
mod tests;
