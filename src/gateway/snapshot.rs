//! A configuration in force: the policy, and beside it what is needed to forward and count requests and to show pages.
//! A request has the same snapshot from start to end.
//!
//! What is carried over from one snapshot to the next is decided only here ([`Snapshot::renewed`] and
//! [`Snapshot::count_since`]); rates, balances and health change in place and are shared.

use std::sync::Arc;

use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::in_order::InOrder;
use crate::policy::now::Now;
use crate::site::brand::Site;
use crate::site::status::StatusSettings;
use crate::telemetry::sampling::Sampling;
use crate::telemetry::tables::Tables;
use crate::upstream::exchange::Exchange;
use crate::upstream::settings::Upstream;

/// The settings beside the policy. They do not judge requests.
#[derive(Debug)]
pub struct Settings {
    /// The backends; products refer to them by index.
    pub upstreams: Box<[Upstream]>,
    pub sampling: Sampling,
    /// The look of the pages and what they describe.
    pub site: Site,
    /// The rules for incidents, and the operator's notices.
    pub status: StatusSettings,
    /// The configuration as operators see it, without accounts, of which there may be millions.
    pub shown: serde_json::Value,
}

/// One configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    pub policy: Arc<Policy>,
    pub settings: Settings,
    pub exchange: Exchange,
    /// The counters of its requests.
    pub tables: Tables,
}

impl Snapshot {
    /// The first snapshot; the servers have no state yet.
    pub fn new(policy: Arc<Policy>, settings: Settings) -> Snapshot {
        let exchange = Exchange::new(&settings.upstreams);
        let tables = Tables::new(&policy, settings.sampling.clone(), names(&settings.upstreams), None);
        Snapshot { policy, settings, exchange, tables }
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
        Snapshot { policy, settings, exchange, tables }
    }

    /// Counts what requests of the previous snapshot have used since this one was made.
    pub fn count_since(&self, before: &Snapshot, now: Now) {
        carry_rates(&self.policy, &before.policy, now);
    }
}

fn names(upstreams: &[Upstream]) -> Box<[Box<str>]> {
    upstreams.iter().map(|upstream| upstream.name.clone()).collect()
}

/// Counts what the accounts of the previous policy have used. Unchanged accounts are the same values in both.
fn carry_rates(policy: &Policy, before: &Policy, now: Now) {
    let mut known = InOrder::of(&before.accounts, |account| &*account.name);
    for account in policy.accounts.iter() {
        let is_it = |known: &Arc<Account>| Arc::ptr_eq(known, account) || known.name == account.name;
        let known = known.find(&*account.name, is_it);
        pace::step();
        if let Some(known) = known.filter(|known| !Arc::ptr_eq(known, account)) {
            account.inherit(known, now);
            let (window, window_before) = (&policy.account_info.window, &before.account_info.window);
            window.inherit(&account.account_info_rate, window_before, &known.account_info_rate, now);
        }
    }
}
