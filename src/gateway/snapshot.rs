//! A configuration in force: the policy, and beside it what is needed to forward and count requests and to show pages.
//! A request has the same snapshot from start to end.
//!
//! What is carried over from one snapshot to the next is decided only here ([`Snapshot::renewed`],
//! [`Snapshot::with_accounts`] and [`Snapshot::count_since`]); rates, balances and health change in place and are shared.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::shadow::Shadow;
use super::stage::Stage;
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::directory::change::{AccountChange, Changed, Conflict};
use crate::policy::check::jwt::keys::KeySet;
use crate::policy::now::Now;
use crate::policy::staging::StagingRules;
use crate::site::brand::Site;
use crate::site::status::StatusSettings;
use crate::telemetry::sampling::Sampling;
use crate::telemetry::staging::StagingCounts;
use crate::telemetry::tables::Tables;
use crate::upstream::exchange::Exchange;
use crate::upstream::settings::Upstream;

/// Where the keys of an identity provider are fetched.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// Its name in the configuration.
    pub issuer: Box<str>,
    pub url: Box<str>,
    /// The PEM file of the authorities that verify the server; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    /// How often they are fetched.
    pub every: Duration,
    /// Where they go.
    pub keys: Arc<KeySet>,
}

/// The settings beside the policy. They do not judge requests.
#[derive(Debug)]
pub struct Settings {
    /// The backends; products refer to them by index.
    pub upstreams: Box<[Upstream]>,
    /// Where keys of identity providers are fetched.
    pub key_sources: Box<[KeySource]>,
    pub sampling: Sampling,
    /// The look of the pages and what they describe.
    pub site: Site,
    /// The rules for incidents, and the operator's notices.
    pub status: StatusSettings,
    /// How this configuration is staged when it comes into force; `None`: it is for all accounts at once.
    pub staging: Option<StagingRules>,
    /// The configuration as operators see it, without accounts, of which there may be millions.
    pub shown: serde_json::Value,
}

/// One configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    pub policy: Arc<Policy>,
    pub settings: Arc<Settings>,
    pub exchange: Exchange,
    /// The counters of its requests.
    pub tables: Tables,
    /// A candidate that judges its requests a second time, if there is one.
    pub shadow: Option<Arc<Shadow>>,
    /// The counts by which the next configuration is compared with this one, where it is to be staged.
    pub staging: Option<Arc<StagingCounts>>,
    /// The configuration before, where this one is not yet for all accounts.
    pub stage: Option<Arc<Stage<Snapshot>>>,
}

/// A snapshot after changes of some accounts.
#[derive(Debug)]
pub struct WithAccounts {
    pub snapshot: Snapshot,
    pub changed: Vec<Changed>,
    pub conflicts: Vec<Conflict>,
}

impl Snapshot {
    /// The first snapshot; the servers have no state yet.
    pub fn new(policy: Arc<Policy>, settings: Settings) -> Snapshot {
        let exchange = Exchange::new(&settings.upstreams);
        let tables = Tables::new(&policy, settings.sampling.clone(), names(&settings.upstreams), None);
        let staging = StagingCounts::following(None, settings.staging);
        Snapshot { policy, settings: Arc::new(settings), exchange, tables, shadow: None, staging, stage: None }
    }

    /// The next snapshot, with the state of servers, counters, rates and pages of this one. Upstreams that are verified
    /// in the same way keep their connections. `ready` is called with the policy before servers are carried over.
    pub fn renewed(
        &self,
        policy: Policy,
        mut settings: Settings,
        now: Now,
        ready: impl FnOnce(&Arc<Policy>),
    ) -> Snapshot {
        for upstream in &mut settings.upstreams {
            let known = self.settings.upstreams.iter().find(|known| known.name == upstream.name);
            if let Some(known) = known.filter(|known| known.tls == upstream.tls) {
                upstream.tls.clone_from(&known.tls);
            }
        }
        carry_rates(&policy, &self.policy, now);
        policy.pages.inherit(&self.policy.pages);
        pace::step();
        let policy = Arc::new(policy);
        ready(&policy);
        pace::step();
        let exchange = self.exchange.renewed(&settings.upstreams);
        let tables = Tables::new(&policy, settings.sampling.clone(), names(&settings.upstreams), Some(&self.tables));
        Snapshot { policy, settings: Arc::new(settings), exchange, tables, shadow: None, staging: None, stage: None }
    }

    /// The one that takes over when some of the store's accounts change. Upstreams, pages, words and the
    /// figures of products are the same; what the accounts have used so far is carried over.
    pub fn with_accounts(&self, changes: &[AccountChange], now: Now) -> WithAccounts {
        let (policy, changed, conflicts) = self.policy.with(changes);
        changed.iter().for_each(|one| carry_change(one, (&policy, &self.policy), now));
        let snapshot = Snapshot {
            policy: Arc::new(policy),
            settings: Arc::clone(&self.settings),
            exchange: self.exchange.clone(),
            tables: self.tables.with(&changed),
            shadow: self.shadow.clone(),
            staging: self.staging.clone(),
            stage: self.stage.clone(),
        };
        WithAccounts { snapshot, changed, conflicts }
    }

    /// The same with a candidate that judges beside it, or with none.
    #[must_use]
    pub fn shadowed_by(&self, shadow: Option<Arc<Shadow>>) -> Snapshot {
        Snapshot { shadow, staging: self.staging.clone(), stage: self.stage.clone(), ..self.copy() }
    }

    /// The same for all accounts, and without a candidate, whose requests are counted there.
    #[must_use]
    pub fn counted_by(&self, staging: Option<Arc<StagingCounts>>) -> Snapshot {
        Snapshot { staging, ..self.copy() }
    }

    /// What is beside the policy that comes after this one where that is staged, whose requests are counted there.
    pub fn stage_of(&self, policy: &Policy, counts: &Arc<StagingCounts>) -> Stage<Snapshot> {
        let before = Arc::new(self.counted_by(Some(Arc::clone(counts))));
        Stage::new(before, (&self.policy, policy), Arc::clone(counts))
    }

    /// The same beside a configuration before, or for all accounts.
    #[must_use]
    pub fn staged_beside(&self, stage: Option<Arc<Stage<Snapshot>>>) -> Snapshot {
        Snapshot { shadow: self.shadow.clone(), staging: self.staging.clone(), stage, ..self.copy() }
    }

    /// The same alone.
    fn copy(&self) -> Snapshot {
        Snapshot {
            policy: Arc::clone(&self.policy),
            settings: Arc::clone(&self.settings),
            exchange: self.exchange.clone(),
            tables: self.tables.with(&[]),
            shadow: None,
            staging: None,
            stage: None,
        }
    }

    /// Counts what requests of the previous snapshot have used since this one was made.
    pub fn count_since(&self, before: &Snapshot, now: Now) {
        carry_rates(&self.policy, &before.policy, now);
    }

    /// The same where only some accounts have changed.
    pub fn count_changed(&self, changed: &[Changed], now: Now) {
        changed.iter().for_each(|one| carry_change(one, (&self.policy, &self.policy), now));
    }
}

fn names(upstreams: &[Upstream]) -> Box<[Box<str>]> {
    upstreams.iter().map(|upstream| upstream.name.clone()).collect()
}

/// Counts what the accounts of the previous policy have used. Unchanged accounts are the same values in both.
fn carry_rates(policy: &Policy, before: &Policy, now: Now) {
    for (slot, account) in policy.accounts.by_slot() {
        // Most stand where they stood.
        let is_it = |known: &&Arc<Account>| Arc::ptr_eq(known, account) || known.name == account.name;
        let known = before.accounts.at(slot).filter(is_it).or_else(|| before.accounts.by_name(&account.name));
        pace::step();
        if let Some(known) = known.filter(|known| !Arc::ptr_eq(known, account)) {
            carry((account, policy), (known, before), now);
        }
    }
}

fn carry_change(changed: &Changed, (policy, before): (&Policy, &Policy), now: Now) {
    if let (Some(account), Some(known)) = (&changed.after, &changed.before)
        && !Arc::ptr_eq(account, known)
    {
        carry((account, policy), (known, before), now);
    }
}

/// Counts in an account what the same one has used before, each with the policy that it is of.
fn carry((account, policy): (&Account, &Policy), (known, before): (&Account, &Policy), now: Now) {
    account.inherit(known, now);
    let (window, window_before) = (&policy.account_info.window, &before.account_info.window);
    window.inherit(&account.account_info_rate, window_before, &known.account_info_rate, now);
}
