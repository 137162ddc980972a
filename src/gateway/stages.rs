//! The configuration that is staged, or the last that was, for whoever asks, and what became of those before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::seconds::Seconds;
use crate::policy::staging::{BothEnds, StagingRules};
use crate::telemetry::staging::StagingCounts;

/// What became of a configuration that was staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force for all accounts.
    Promoted,
    /// It went back, since refusals have risen.
    Refusals,
    /// It went back, since failures have risen.
    Failures,
    /// Somebody has taken it back.
    TakenBack,
    /// Another one has taken its place.
    Replaced,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 5] =
        [Outcome::Promoted, Outcome::Refusals, Outcome::Failures, Outcome::TakenBack, Outcome::Replaced];

    /// Its name in JSON and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Promoted => "promoted",
            Outcome::Refusals => "refusals",
            Outcome::Failures => "failures",
            Outcome::TakenBack => "taken_back",
            Outcome::Replaced => "replaced",
        }
    }

    /// The same in words.
    pub const fn words(self) -> &'static str {
        match self {
            Outcome::Promoted => "its time was over",
            Outcome::Refusals => "refusals have risen beyond their bound",
            Outcome::Failures => "failures have risen beyond their bound",
            Outcome::TakenBack => "somebody has asked for it",
            Outcome::Replaced => "another configuration has taken its place",
        }
    }
}

/// What is known of a configuration that is or was staged.
#[derive(Clone, Debug)]
pub struct StageReport {
    pub rules: StagingRules,
    /// When it began, in seconds since 1970.
    pub began: Seconds,
    /// The accounts for which it was in force at once, since they have changed.
    pub changed_accounts: usize,
    /// What became of it, and when.
    pub ended: Option<(Outcome, Seconds)>,
    counts: Arc<StagingCounts>,
    at_begin: BothEnds,
    before: BothEnds,
    /// What had come when it ended.
    at_end: BothEnds,
}

impl StageReport {
    /// One that begins now, by what came in as long a time before, and by what was counted so far.
    pub fn new(
        rules: StagingRules,
        counts: Arc<StagingCounts>,
        (before, at_begin): (BothEnds, BothEnds),
        changed_accounts: usize,
        began: Seconds,
    ) -> StageReport {
        let (ended, at_end) = (None, BothEnds::default());
        StageReport { rules, began, changed_accounts, ended, counts, at_begin, before, at_end }
    }

    /// What came in as long a time before, and what has come since it began.
    pub fn ends(&self) -> (BothEnds, BothEnds) {
        let now = if self.ended.is_some() { self.at_end } else { self.counts.ends() };
        (self.before, now.since(self.at_begin))
    }
}

/// All that is known of them.
#[derive(Debug, Default)]
pub struct Stages(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Option<StageReport>,
    /// In the order of `Outcome::ALL`.
    ended: [u64; Outcome::ALL.len()],
}

impl Stages {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is staged, or the last that was.
    pub fn last(&self) -> Option<StageReport> {
        self.known().last.clone()
    }

    /// How many have come to which end.
    pub fn ended(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.known().ended)
    }

    /// One begins.
    pub fn begins(&self, report: StageReport) {
        self.known().last = Some(report);
    }

    /// So many accounts have changed themselves since the one that is staged.
    pub fn changed(&self, accounts: usize) {
        if let Some(report) = self.known().last.as_mut().filter(|report| report.ended.is_none()) {
            report.changed_accounts = accounts;
        }
    }

    /// The one that is staged ends, at a time in seconds since 1970.
    pub fn ends(&self, outcome: Outcome, now: Seconds) {
        let mut known = self.known();
        let Some(report) = known.last.as_mut().filter(|report| report.ended.is_none()) else { return };
        report.at_end = report.counts.ends();
        report.ended = Some((outcome, now));
        if let Some((_, count)) = Outcome::ALL.iter().zip(&mut known.ended).find(|(other, _)| **other == outcome) {
            *count += 1;
        }
    }
}
