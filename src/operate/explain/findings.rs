//! What is told of each check: its verdict, what it saw, and where the configuration decided.
//!
//! A check can stand for several rows (a body is empty, malformed or invalid); rows before the one
//! that refused have passed, and rows behind it were not reached. No token is ever told. What each
//! check looked at is `facts.rs`.

use std::sync::Arc;

use super::asked::Asked;
use super::dry_run::DryRun;
use super::places::{AccountPlaces, Location, Places};
use super::seen;
use crate::policy::Policy;
use crate::policy::account::Digest;
use crate::policy::check::jwt::Issuer;
use crate::policy::check::token::{TokenPlace, token};
use crate::policy::observer::Check;
use crate::policy::problem::messages::Wording;
use crate::policy::problem::{Problem, Row};

/// What became of one row of the table of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Refused,
    /// Another row came first.
    NotReached,
    /// The configuration asks for nothing here, or the request has nothing that could be checked.
    DoesNotApply,
}

impl Verdict {
    /// Whether the check applies to the request, and was made.
    pub fn was_made(self) -> bool {
        match self {
            Verdict::Pass | Verdict::Refused => true,
            Verdict::NotReached | Verdict::DoesNotApply => false,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Refused => "refused",
            Verdict::NotReached => "not reached",
            Verdict::DoesNotApply => "does not apply",
        }
    }
}

/// One row, as it is told.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The position of its check in the order of all.
    pub position: usize,
    /// The slug of the problem.
    pub problem: String,
    pub verdict: Verdict,
    /// What was looked at.
    pub seen: String,
    pub decided_by: Option<Location>,
}

/// A row as it is put together.
struct CheckDetail<'p> {
    check: Check<'p>,
    row: Row,
    /// Whether the configuration asks for anything, and the request has what it is about.
    applies: bool,
    seen: String,
    spot: Option<Location>,
}

/// Puts the findings of one request together.
pub struct Report<'t, 'a, 'p> {
    pub(super) policy: &'p Policy,
    pub(super) asked: &'t Asked,
    pub(super) dry_run: &'t DryRun<'a, 'p>,
    pub(super) places: &'t Places,
    pub(super) account: Option<AccountPlaces>,
    facts: Vec<CheckDetail<'p>>,
}

impl<'t, 'a, 'p> Report<'t, 'a, 'p> {
    /// Everything about one request, in the order of the checks.
    pub fn findings(
        policy: &'p Policy,
        places: &'t Places,
        asked: &'t Asked,
        dry_run: &'t DryRun<'a, 'p>,
    ) -> Vec<Finding> {
        let mut report = Report { policy, asked, dry_run, places, account: None, facts: Vec::new() };
        report.account = report.account_places();
        report.head();
        if report.saw(Check::Preflight) {
            report.preflight();
        } else if report.saw(Check::Accept) && !report.saw(Check::Token) {
            report.route();
            report.page();
        } else {
            report.route();
            report.caller();
            report.headers();
            report.body();
            report.credits();
        }
        debug_assert!(report.facts.is_sorted_by_key(|fact| fact.check.position()), "facts are in the order of CHECKS");
        report.facts.iter().map(|fact| report.finding(fact)).collect()
    }

    fn finding(&self, fact: &CheckDetail<'p>) -> Finding {
        let made = self.dry_run.checks.iter().find(|(check, _)| *check == fact.check);
        let verdict = match made.map(|(_, refusal)| refusal) {
            None => Verdict::NotReached,
            Some(Some(problem)) if problem.row == fact.row => Verdict::Refused,
            Some(Some(problem)) if problem.row < fact.row => Verdict::NotReached,
            Some(Some(_) | None) if fact.applies => Verdict::Pass,
            Some(Some(_) | None) => Verdict::DoesNotApply,
        };
        let reached = verdict != Verdict::NotReached;
        let wording = self.wording();
        Finding {
            position: fact.check.position(),
            problem: wording.words(fact.row).slug.to_string(),
            verdict,
            seen: if reached { self.shown(fact) } else { String::new() },
            decided_by: fact.spot.clone().filter(|_| reached),
        }
    }

    /// What is to be told of a check, by its first row.
    pub(super) fn add(&mut self, check: Check<'p>, applies: bool, seen: impl Into<String>, spot: Option<Location>) {
        if let Some(row) = check.rows().first() {
            self.add_row(check, *row, applies, seen, spot);
        }
    }

    /// What is to be told of one row of a check.
    pub(super) fn add_row(
        &mut self,
        check: Check<'p>,
        row: Row,
        applies: bool,
        seen: impl Into<String>,
        spot: Option<Location>,
    ) {
        self.facts.push(CheckDetail { check, row, applies, seen: seen.into(), spot });
    }

    pub(super) fn wording(&self) -> &'p Wording {
        self.dry_run.trail.product.map_or(&self.policy.wording, |product| &product.wording)
    }

    /// What was looked at, without anything that could be a token. The token's name is the
    /// operator's own word.
    fn shown(&self, fact: &CheckDetail<'_>) -> String {
        match fact.check {
            Check::Principal => fact.seen.clone(),
            _ => seen::without(&fact.seen, &seen::secrets(self.policy, &self.dry_run.lines)),
        }
    }

    fn saw(&self, check: Check<'p>) -> bool {
        self.dry_run.checks.iter().any(|(made, _)| *made == check)
    }

    pub(super) fn refusal(&self, check: Check<'p>) -> Option<Problem> {
        self.dry_run.checks.iter().find(|(made, _)| *made == check)?.1
    }

    /// Where a key of the request's product is written.
    pub(super) fn of_product(&self, keys: &[&str]) -> Option<Location> {
        let name = &*self.dry_run.trail.product?.name;
        let keys: Vec<&str> = ["products", name].iter().chain(keys).copied().collect();
        self.places.of(&keys)
    }

    /// Where a key of the request's route is written, or else of its product.
    pub(super) fn of_route(&self, keys: &[&str]) -> Option<Location> {
        let (product, route) = (self.dry_run.trail.product?, self.dry_run.trail.route?);
        let index = route.index.to_string();
        let own: Vec<&str> =
            ["products", &product.name, "routes", &index].into_iter().chain(keys.iter().copied()).collect();
        self.places.of(&own).filter(|location| location.written).or_else(|| self.of_product(keys))
    }

    pub(super) fn of_token(&self, key: &str) -> Option<Location> {
        self.account.as_ref()?.of_token(key)
    }

    fn account_places(&self) -> Option<AccountPlaces> {
        let principal = self.dry_run.trail.principal?;
        let token = token(self.token_places(), self.dry_run.head.as_ref()?).ok()?;
        // A signed token stands for one that has a digest of its own.
        let digest = principal.account.keys.get(principal.token_index).map_or(Digest::of(&token), |key| key.digest);
        self.places.account(principal.account, &digest)
    }

    pub(super) fn issuers(&self) -> &'p [Arc<Issuer>] {
        self.dry_run.trail.product.map_or(&self.policy.issuers, |product| &product.issuers)
    }

    pub(super) fn token_places(&self) -> &'p [TokenPlace] {
        self.dry_run.trail.product.map_or(&self.policy.token_places, |product| &product.token_places)
    }
}
