//! A loaded configuration, and the part of it that can only be set when a process starts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::alerts::AlertsSettings;
use crate::config::api::ApiListener;
use crate::config::billing::BillingSettings;
use crate::config::cases::TestCase;
use crate::config::portal::PortalSettings;
use crate::config::store::StoreSettings;
use crate::config::yaml::Warning;
use crate::downstream::listener::Listeners;
use crate::gateway::snapshot::Settings;
use crate::ledger;
use crate::ledger::leases::ClusterSettings;
use crate::platform::count::counted;
use crate::platform::pace;
use crate::platform::tls::Overdue;
use crate::policy::Policy;
use crate::policy::account::Digest;
use crate::telemetry::Outlets;

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    pub listeners: Arc<Listeners>,
    pub workers: usize,
    pub admin: SocketAddr,
    /// The digest of the admin token, if there is one.
    pub admin_token: Option<Digest>,
    /// Further names of the admin listener.
    pub admin_hosts: Box<[Box<str>]>,
    /// Where credits and rates are stored; `None`: no credits, and rates only in memory.
    pub ledger: Option<ledger::LedgerSettings>,
    /// Where what changes while the process runs is kept, if anything does.
    pub store: Option<StoreSettings>,
    /// Where the management API is, if there is one.
    pub api: Option<ApiListener>,
    /// The Self Service Portal, if there is one.
    pub portal: Option<PortalSettings>,
    /// Where usage goes for billing, if anywhere.
    pub billing: Option<BillingSettings>,
    /// What is told of balances and tokens, if anything is.
    pub alerts: Option<AlertsSettings>,
    /// The destinations of access log lines and spans.
    pub outlets: Outlets,
    pub policy: Policy,
    /// The settings beside the policy.
    pub settings: Settings,
    /// What must come of some requests, before it comes into force.
    pub tests: Box<[TestCase]>,
    /// Warnings. Accounts that are taken over from a predecessor do not repeat theirs.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// The certificates that have expired or are not valid yet. They are not mistakes: a gateway
    /// starts with them, since its other listeners still work.
    pub fn overdue(&self, now: SystemTime) -> Vec<Overdue> {
        let of_listeners = self.listeners.tls().flat_map(|tls| tls.overdue(now));
        let upstreams = self.settings.upstreams.iter().filter_map(|upstream| upstream.tls.as_deref());
        of_listeners.chain(upstreams.flat_map(|tls| tls.overdue(now))).collect()
    }

    /// A summary of the configuration for `tollgate check`.
    pub fn summary(&self, name: &str) -> String {
        let policy = &self.policy;
        let routes: usize = policy.paths.routes();
        format!(
            "{name}: good\n  listens on {} with {}, admin on {}\n  {}, {} on {}, {}, {}\n  credits: {}\n{}",
            self.listeners,
            counted(self.workers, "worker"),
            self.admin,
            counted(self.settings.upstreams.len(), "upstream"),
            counted(policy.products.len(), "product"),
            counted(routes, "route"),
            counted(policy.accounts.len(), "account"),
            counted(policy.accounts.tokens(), "token"),
            self.credits(),
            if self.tests.is_empty() { String::new() } else { format!("  tests: {}\n", self.tests.len()) },
        )
    }

    /// What of credits there is, for the summary.
    fn credits(&self) -> String {
        let count = self.policy.credit_accounts().inspect(|_| pace::step()).count();
        let has_prices = self.policy.products.iter().any(|product| product.is_priced);
        let balances = match (count, has_prices) {
            (0, false) => return "not used".to_owned(),
            (0, true) => "no balance yet".to_owned(),
            (count, _) => counted(count, "balance"),
        };
        match self.ledger.as_ref().map(|ledger| &ledger.storage) {
            None if count == 0 => balances,
            None | Some(ledger::Storage::Memory) => format!("{balances}, only in memory"),
            Some(ledger::Storage::File(path)) if cluster(&self.ledger).is_some() => {
                format!("{balances}, on lease from the store, written down in {}", path.display())
            }
            Some(ledger::Storage::File(path)) => format!("{balances}, stored in {}", path.display()),
        }
    }
}

/// The part that can only be set when a process starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    listeners: Arc<Listeners>,
    workers: usize,
    admin: SocketAddr,
    admin_token: Option<Digest>,
    admin_hosts: Box<[Box<str>]>,
    ledger: Option<ledger::LedgerSettings>,
    store: Option<StoreSettings>,
    api: Option<ApiListener>,
    portal: Option<PortalSettings>,
    billing: Option<BillingSettings>,
    alerts: Option<AlertsSettings>,
    outlets: Outlets,
}

impl Start {
    /// The key of the first difference.
    pub fn difference(&self, other: &Start) -> Option<&'static str> {
        let Start { listeners, workers, admin, admin_token, admin_hosts, ledger, store, api, .. } = self;
        let Start { portal, billing, alerts, outlets, .. } = self;
        [
            ("listeners", *listeners != other.listeners),
            ("workers", *workers != other.workers),
            ("admin", *admin != other.admin),
            ("admin_token", *admin_token != other.admin_token),
            ("admin_hosts", *admin_hosts != other.admin_hosts),
            ("store", *store != other.store),
            ("cluster", cluster(ledger) != cluster(&other.ledger)),
            ("ledger", *ledger != other.ledger),
            ("api", *api != other.api),
            ("portal", *portal != other.portal),
            ("billing", *billing != other.billing),
            ("alerts", *alerts != other.alerts),
            ("access_log", outlets.access_log != other.outlets.access_log),
            ("tracing.otlp", outlets.otlp != other.outlets.otlp),
            ("journal", outlets.journal != other.outlets.journal),
        ]
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(key, _)| key)
    }
}

fn cluster(ledger: &Option<ledger::LedgerSettings>) -> Option<&ClusterSettings> {
    ledger.as_ref().and_then(|settings| settings.cluster.as_ref())
}

impl Config {
    /// The part that can only be set at the start.
    pub fn start(&self) -> Start {
        Start {
            listeners: Arc::clone(&self.listeners),
            workers: self.workers,
            admin: self.admin,
            admin_token: self.admin_token,
            admin_hosts: self.admin_hosts.clone(),
            ledger: self.ledger.clone(),
            store: self.store.clone(),
            api: self.api.clone(),
            portal: self.portal.clone(),
            billing: self.billing.clone(),
            alerts: self.alerts.clone(),
            outlets: self.outlets.clone(),
        }
    }
}
