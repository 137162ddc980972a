//! Staged reloads as the thread that reloads has them: a configuration is in force for a share of the accounts first, and for
//! all of them, or for none again, by what comes of it.
//!
//! The rule by which it goes back is `policy/staging.rs`; which configuration judges a request in between is
//! `gateway/stage.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::accounts::{self, AccountSource};
use crate::gateway::Gateway;
use crate::gateway::shadow::state::Why;
use crate::gateway::snapshot::Snapshot;
use crate::gateway::stages::{Outcome, StageReport};
use crate::ledger::Ledger;
use crate::platform::clock::unix_seconds;
use crate::platform::count::counted;
use crate::policy::account::directory::change::AccountChange;
use crate::policy::staging::{BothEnds, Ends, StagingRules, Verdict};
use crate::telemetry::journal::rules;
use crate::telemetry::staging::StagingCounts;

/// What to do instead where nothing is staged.
pub const NONE: &str = "No configuration is staged.";

/// How often what has come is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The samples of the time before that are kept.
const SAMPLES: u32 = 60;

/// Something that is to be done with a configuration that is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageCommand {
    /// Put it in force for all accounts now.
    Promote,
    /// Go back to the configuration before.
    Back,
}

/// The staging of one thread.
#[derive(Debug, Default)]
pub struct Staging {
    /// When the one began that is staged; `gateway/stages.rs` has what is known of it.
    began: Option<Instant>,
    /// Counts of the time before, the oldest first.
    samples: VecDeque<(Instant, BothEnds)>,
    /// The counts that they are of.
    sampled: Option<Arc<StagingCounts>>,
    looked: Option<Instant>,
}

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Promote,
    Back(Outcome),
}

impl Staging {
    /// Says of a snapshot that is about to take over whether it is staged. One that differs in its accounts alone is not, and
    /// takes the place of one that is staged.
    pub fn enter(&mut self, gateway: &Gateway, before: &Snapshot, snapshot: &mut Snapshot, now: Instant) {
        let rules = snapshot.settings.staging;
        snapshot.staging = StagingCounts::following(before.staging.as_ref(), rules);
        let differs = snapshot.staging.is_some() && differs(before, snapshot);
        let judges_others = before.stage.as_ref().map_or(before, |stage| stage.before());
        match (&snapshot.staging, &before.stage) {
            (Some(counts), Some(_)) if !differs => {
                let stage = judges_others.stage_of(&snapshot.policy, counts);
                gateway.stages().changed(stage.changed());
                snapshot.stage = Some(Arc::new(stage));
            }
            (_, staged) => {
                if staged.is_some() {
                    self.ended(gateway, Outcome::Replaced);
                }
                if let (Some(counts), Some(rules)) = (&snapshot.staging, rules.filter(|_| differs)) {
                    let stage = judges_others.stage_of(&snapshot.policy, counts);
                    self.begins(gateway, rules, stage.changed(), counts, now);
                    snapshot.stage = Some(Arc::new(stage));
                }
            }
        }
    }

    fn begins(
        &mut self,
        gateway: &Gateway,
        rules: StagingRules,
        changed: usize,
        counts: &Arc<StagingCounts>,
        now: Instant,
    ) {
        let at_begin = counts.ends();
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) <= rules.lasts;
        let are_of_these = self.sampled.as_ref().is_some_and(|sampled| Arc::ptr_eq(sampled, counts));
        let first = self.samples.iter().find(|(at, _)| are_of_these && is_recent(at)).map(|(_, ends)| *ends);
        let before = first.map_or_else(BothEnds::default, |first| at_begin.since(first));
        let report = StageReport::new(rules, Arc::clone(counts), (before, at_begin), changed, unix_seconds());
        gateway.stages().begins(report);
        self.began = Some(now);
        log::info!(
            target: "tollgate::reload",
            "the configuration is staged: it is for {} % of the accounts, and for {} that {} changed, and for all after {} s \
             unless refusals or failures rise",
            rules.share.0,
            counted(u64::try_from(changed).unwrap_or(u64::MAX), "account"),
            if changed == 1 { "has" } else { "have" },
            rules.lasts.as_secs()
        );
    }

    fn ended(&mut self, gateway: &Gateway, outcome: Outcome) {
        self.began = None;
        gateway.stages().ends(outcome, unix_seconds());
    }

    /// Looks at what has come, at most once a second.
    pub fn watch(&mut self, gateway: &Gateway, now: Instant) -> Option<Due> {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < EVERY) {
            return None;
        }
        self.looked = Some(now);
        let Some(began) = self.began else {
            self.sample(gateway, now);
            return None;
        };
        let report = gateway.stages().last()?;
        let (before, ends) = report.ends();
        match report.rules.judge(before, ends, now.saturating_duration_since(began)) {
            Verdict::Wait => None,
            Verdict::ForAll => Some(Due::Promote),
            Verdict::TooManyRefusals => Some(Due::Back(Outcome::Refusals)),
            Verdict::TooManyFailures => Some(Due::Back(Outcome::Failures)),
        }
    }

    /// Keeps what was counted, for as long as the next configuration may be compared with it.
    fn sample(&mut self, gateway: &Gateway, now: Instant) {
        let snapshot = gateway.snapshot();
        let (Some(counts), Some(rules)) = (&snapshot.staging, snapshot.settings.staging) else {
            self.samples.clear();
            self.sampled = None;
            return;
        };
        if self.sampled.as_ref().is_none_or(|sampled| !Arc::ptr_eq(sampled, counts)) {
            // They have begun at 0 since this was looked at the last time.
            self.samples.clear();
            self.samples.push_back((now, BothEnds::default()));
            self.sampled = Some(Arc::clone(counts));
        }
        let gap = rules.lasts / SAMPLES;
        let is_due = self.samples.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= gap);
        if is_due {
            self.samples.push_back((now, counts.ends()));
        }
        while self.samples.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > rules.lasts + gap) {
            self.samples.pop_front();
        }
    }

    /// Puts what is staged in force for all accounts; the snapshots before come back, if something was staged.
    pub fn promote(&mut self, gateway: &Gateway) -> Option<[Arc<Snapshot>; 2]> {
        let stage = gateway.snapshot().stage.clone()?;
        let before = gateway.stage_by(None);
        // What accounts have used under the configuration before counts as well.
        gateway.snapshot().count_since(stage.before(), gateway.now());
        self.ended(gateway, Outcome::Promoted);
        log::info!(target: "tollgate::reload", "the configuration that was staged is in force for all accounts: {}", told(gateway));
        Some([before, Arc::clone(stage.before())])
    }

    /// Puts the configuration before in force for all accounts again; the snapshots before come back, if something was
    /// staged.
    pub fn back(&mut self, gateway: &Gateway, ledger: &Ledger, outcome: Outcome) -> Option<[Arc<Snapshot>; 2]> {
        let staged = gateway.snapshot();
        let stage = staged.stage.as_ref()?;
        if let Some(shadow) = &staged.shadow {
            shadow.state().end(Why::Changed);
        }
        let counts = StagingCounts::following(staged.staging.as_ref(), stage.before().settings.staging);
        ledger.adopt(&stage.before().policy);
        let before = gateway.publish(stage.before().counted_by(counts));
        gateway.snapshot().count_since(&before, gateway.now());
        // What was counted of the staged one is nothing to compare the next one with.
        self.samples.clear();
        self.ended(gateway, outcome);
        log::error!(
            target: "tollgate::reload",
            "the configuration that was staged has gone back, since {}: {}; mend the files",
            outcome.words(),
            told(gateway)
        );
        Some([before, Arc::clone(stage.before())])
    }
}

/// The keys whose changes are no change of the policy.
const OF_ACCOUNTS: [&str; 3] = ["accounts", "include", "tests"];

/// Whether a configuration differs in more than its accounts from the one before: in what it says, or in what files say that
/// it refers to. That a secret is another one is not seen.
fn differs(before: &Snapshot, after: &Snapshot) -> bool {
    let without_accounts = |shown: &Value| {
        let mut shown = shown.clone();
        if let Some(members) = shown.as_object_mut() {
            OF_ACCOUNTS.into_iter().for_each(|key| drop(members.remove(key)));
        }
        shown
    };
    without_accounts(&before.settings.shown) != without_accounts(&after.settings.shown)
        || rules::of(&before.policy.frame).rules_of != rules::of(&after.policy.frame).rules_of
}

/// What came of the last stage, in words.
fn told(gateway: &Gateway) -> String {
    let Some(report) = gateway.stages().last() else { return String::new() };
    let (before, now) = report.ends();
    let percent =
        |ends: Ends| format!("{:.1} % refused, {:.1} % failed", ends.refused_percent(), ends.failed_percent());
    format!(
        "its accounts {} of {} ({} before), the others {} of {} ({} before)",
        percent(now.share),
        counted(now.share.requests, "request"),
        percent(before.share),
        percent(now.others),
        counted(now.others.requests, "request"),
        percent(before.others)
    )
}

/// Has the configuration before follow changes of the store's accounts, so that both know who may do what.
pub fn follow(
    gateway: &Gateway,
    changes: &[AccountChange],
    store: Option<&dyn AccountSource>,
) -> Option<Arc<Snapshot>> {
    let snapshot = gateway.snapshot();
    let stage = snapshot.stage.as_ref()?;
    let before = stage.before();
    match accounts::changes_beside(changes, (&before.policy, &snapshot.policy), store) {
        Ok(changes) => {
            let with = before.with_accounts(&changes, gateway.now());
            if with.changed.is_empty() {
                return None;
            }
            let replaced = gateway.stage_by(Some(Arc::new(stage.beside(with.snapshot))));
            if let Some(stage) = &gateway.snapshot().stage {
                stage.before().count_changed(&with.changed, gateway.now());
            }
            Some(replaced)
        }
        Err(why) => {
            // Whoever has changed is judged by the new configuration alone then.
            let names = changes.iter().map(|change| Arc::clone(change.name()));
            log::warn!(target: "tollgate::reload", "changed accounts are judged by the staged configuration alone: {why}");
            Some(gateway.stage_by(Some(Arc::new(stage.without(names)))))
        }
    }
}
