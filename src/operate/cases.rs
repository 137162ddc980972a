//! Tests in the configuration: requests that are judged, and not sent, before a policy comes into force.
//!
//! A test that fails is a mistake of the configuration like any other one. What comes of a request is
//! `cases/judge.rs`, how that is compared is `cases/compare.rs`, and how a test is made of a request is
//! `cases/record.rs`. Nothing of a running gateway is counted or held here.

pub mod compare;
pub mod judge;
pub mod record;

use std::time::Duration;

use crate::config::cases::TestCase;
use crate::config::yaml::{Mistakes, Warning};
use crate::platform::count::counted;
use crate::platform::pace;
use crate::policy::Policy;
use compare::{Difference, differences, nobody};

/// The processor time that all tests of a configuration may take together. A test takes some tens of microseconds.
pub const MAX_TIME: Duration = Duration::from_secs(5);

/// What came of one test.
#[derive(Debug)]
pub struct Outcome<'c> {
    pub case: &'c TestCase,
    /// What did not come as expected: nothing if the test has passed.
    pub differences: Vec<Difference>,
    /// It has passed, and will not any more once its token has ended.
    pub ends: bool,
}

/// What came of some tests.
#[derive(Debug)]
pub struct Outcomes<'c> {
    pub of_tests: Vec<Outcome<'c>>,
    /// Tests that were not run, since those before them took too long.
    pub not_run: usize,
}

/// What tests are run by.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'p> {
    /// A policy that has all accounts that tests can name. None of them is changed.
    pub policy: &'p Policy,
    /// Whether the accounts of the store are known, where there is one.
    pub has_read_store: bool,
    /// When requests come that do not say when, in seconds since 1970.
    pub now: u64,
}

impl Outcome<'_> {
    /// Whether everything came as expected.
    pub fn has_passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// What did not come as expected, in one line.
    pub fn told(&self) -> String {
        let each =
            self.differences.iter().map(|Difference { expected, got }| format!("expected {expected}, got {got}"));
        each.collect::<Vec<_>>().join("; ")
    }
}

/// Runs tests, each as if nobody had asked before.
pub fn run<'c>(cases: impl IntoIterator<Item = &'c TestCase>, by: Surroundings<'_>) -> Outcomes<'c> {
    run_within(MAX_TIME, cases, by)
}

fn run_within<'c>(most: Duration, cases: impl IntoIterator<Item = &'c TestCase>, by: Surroundings<'_>) -> Outcomes<'c> {
    let begun = pace::used();
    let (mut of_tests, mut not_run) = (Vec::new(), 0_usize);
    for case in cases {
        if pace::used().saturating_sub(begun) >= most {
            not_run = not_run.saturating_add(1);
        } else {
            of_tests.push(run_one(case, by));
            pace::step();
        }
    }
    Outcomes { of_tests, not_run }
}

fn run_one<'c>(case: &'c TestCase, by: Surroundings<'_>) -> Outcome<'c> {
    let Surroundings { policy, has_read_store, now } = by;
    match judge::judge(case, policy, now) {
        Ok(came) => {
            let differences = differences(case, &came, policy, has_read_store);
            let ends = came.ends && case.request.at.is_none() && differences.is_empty();
            Outcome { case, differences, ends }
        }
        Err(unknown) => {
            let bearer = case.request.bearer.iter();
            let differences = bearer.map(|bearer| nobody(&unknown, bearer, policy, has_read_store)).collect();
            Outcome { case, differences, ends: false }
        }
    }
}

/// Runs all tests of a configuration before it comes into force. What is worth a warning comes back.
///
/// # Errors
/// Each test that fails, as a mistake at its place.
pub fn check(cases: &[TestCase], by: Surroundings<'_>) -> Result<Vec<Warning>, Mistakes> {
    judged(cases, run(cases, by))
}

/// What came of all tests: warnings, or mistakes.
fn judged(cases: &[TestCase], Outcomes { of_tests, not_run }: Outcomes<'_>) -> Result<Vec<Warning>, Mistakes> {
    let mut mistakes = Mistakes::default();
    for outcome in of_tests.iter().filter(|outcome| !outcome.has_passed()) {
        let told = format!("the test \"{}\" fails: {}; {INSTEAD}", outcome.case.name, outcome.told());
        mistakes.push(outcome.case.place.clone(), told);
    }
    if let Some(case) = cases.get(of_tests.len()).filter(|_| not_run > 0) {
        let (seconds, tests) = (MAX_TIME.as_secs(), counted(not_run, "test"));
        let told =
            format!("and the tests behind it were not run ({tests}), since those before took {seconds} s; write fewer");
        mistakes.push(case.place.clone(), told);
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let warning = |outcome: &Outcome<'_>| {
        let what = format!("the test \"{}\" will fail once its token has ended; write `at`", outcome.case.name);
        Warning { place: outcome.case.place.clone(), what }
    };
    Ok(of_tests.iter().filter(|outcome| outcome.ends).map(warning).collect())
}

/// What to do about a test that fails.
const INSTEAD: &str = "change the policy, or what the test says";

#[cfg(test)]
mod tests;
