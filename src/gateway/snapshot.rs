//! What one configuration is while it is in force: the policy that judges, and beside it what requests are
//! forwarded, counted and shown with. A request has the same snapshot from start to end.
//!
//! What goes on from one snapshot to the next is decided here alone ([`Snapshot::renewed`] and
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

/// What a configuration says beside its policy. Nothing of it judges a request.
#[derive(Debug)]
pub struct Settings {
    /// The backends; a product names one by its place here.
    pub upstreams: Box<[Upstream]>,
    pub sampling: Sampling,
    /// How the pages look and what they are about.
    pub site: Site,
    /// What counts as an incident, and what the operator says.
    pub status: StatusSettings,
    /// The configuration as operators are shown it, without accounts, of which there may be millions.
    pub shown: serde_json::Value,
}

/// One configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    pub policy: Arc<Policy>,
    pub settings: Settings,
    pub exchange: Exchange,
    /// Where its requests are counted.
    pub tables: Tables,
}

impl Snapshot {
    /// The first one; nothing is known of the servers yet.
    pub fn new(policy: Arc<Policy>, settings: Settings) -> Snapshot {
        let exchange = Exchange::new(&settings.upstreams);
        let tables = Tables::new(&policy, settings.sampling.clone(), names(&settings.upstreams), None);
        Snapshot { policy, settings, exchange, tables }
    }

    /// The one that takes over from this one, with all that is known of the servers, was counted, used and
    /// shown. Upstreams that are verified as before keep their connections. `ready` is told of the policy
    /// before servers are carried over.
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

    /// Counts what requests have used that the snapshot before has let pass since this one was made.
    pub fn count_since(&self, before: &Snapshot, now: Now) {
        carry_rates(&self.policy, &before.policy, now);
    }
}

fn names(upstreams: &[Upstream]) -> Box<[Box<str>]> {
    upstreams.iter().map(|upstream| upstream.name.clone()).collect()
}

/// Counts what the accounts of the policy before have used. Those that are written as
/// they were are the same in both.
fn carry_rates(policy: &Policy, before: &Policy, now: Now) {
    let mut known = InOrder::of(&before.accounts, |account| &*account.name);
    for account in policy.accounts.iter() {
        let is_it = |known: &Arc<Account>| Arc::ptr_eq(known, account) || known.name == account.name;
        let known = known.find(&*account.name, is_it);
        pace::step();
        if let Some(known) = known.filter(|known| !Arc::ptr_eq(known, account)) {
            account.rate.inherit(&known.rate, now);
            let (window, window_before) = (&policy.account_info.window, &before.account_info.window);
            window.inherit(&account.account_info_rate, window_before, &known.account_info_rate, now);
        }
    }
}
