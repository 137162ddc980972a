//! Metrics of what expires or runs out: certificates, tokens, and balances.
//!
//! They are computed when they are scraped. There is one metric for all tokens, since there may be a million of them;
//! balances have a metric for each account only if the configuration enables metrics by account.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::downstream::listener::Listeners;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::platform::clock::unix_seconds;
use crate::platform::tls::server::ServerTls;
use crate::policy::Policy;
use crate::policy::account::Expiry;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// Shows when things end.
pub struct Ends {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    listeners: Arc<Listeners>,
    own: Vec<(&'static str, Arc<ServerTls>)>,
    tokens: Mutex<Tokens>,
}

/// The tokens' first end, as it was found for a policy on a day.
#[derive(Default)]
struct Tokens {
    of: Option<(Weak<Policy>, u64)>,
    end: Option<u64>,
}

impl Ends {
    /// Those of a process.
    pub fn new(
        gateway: Arc<Gateway>,
        ledger: Arc<Ledger>,
        listeners: Arc<Listeners>,
        own: Vec<(&'static str, Arc<ServerTls>)>,
    ) -> Ends {
        Ends { gateway, ledger, listeners, own, tokens: Mutex::default() }
    }

    /// The end of the token that ends first among those that work; it is looked for once for each
    /// policy and day.
    fn first_token_end(&self, policy: &Arc<Policy>, now: u64) -> Option<u64> {
        let today = now / SECONDS_A_DAY;
        let mut known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            known.of.as_ref().is_some_and(|(of, day)| *day == today && std::ptr::eq(of.as_ptr(), Arc::as_ptr(policy)));
        if !fresh {
            *known = Tokens { of: Some((Arc::downgrade(policy), today)), end: first_token_end(policy, today) };
        }
        known.end
    }
}

/// The end of the last day of the token that ends first, in seconds since 1970.
fn first_token_end(policy: &Policy, today: u64) -> Option<u64> {
    let tokens = policy.accounts.iter().flat_map(|account| account.keys.iter().map(|key| &key.token));
    let last_days = tokens.filter(|token| token.enabled).filter_map(|token| match token.expiry {
        // Whoever has replaced a token knows that it ends.
        Expiry::Never | Expiry::Until(_) => None,
        Expiry::LastDay(day) => Some(u64::from(day)).filter(|day| *day >= today),
    });
    last_days.min().map(|day| (day + 1) * SECONDS_A_DAY)
}

impl fmt::Debug for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ends")
    }
}

impl Collector for Ends {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.gateway.snapshot();
        let policy = &snapshot.policy;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let help = "When the first certificate of a listener or an upstream expires, in seconds since 1970";
        let name = "tollgate_certificate_expiry_timestamp_seconds";
        let mut shown = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let of_listeners = self
            .listeners
            .0
            .iter()
            .map(|listener| (listener.to_string(), listener.tls.as_ref().and_then(|tls| tls.end())));
        let of_upstreams =
            snapshot.settings.upstreams.iter().map(|upstream| {
                (format!("upstream {}", upstream.name), upstream.tls.as_ref().and_then(|tls| tls.end()))
            });
        let own = self.own.iter().map(|(owner, tls)| ((*owner).to_owned(), tls.end()));
        for (owner, end) in of_listeners.chain(of_upstreams).chain(own) {
            if let Some(end) = end {
                ConstGauge::new(number(end)).encode(shown.encode_family(&[("owner", &*owner)])?)?;
            }
        }
        if let Some(end) = self.first_token_end(policy, unix_seconds()) {
            let help = "When the first of the valid tokens expires, in seconds since 1970";
            let name = "tollgate_token_expiry_timestamp_seconds";
            let shown = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(number(end)).encode(shown)?;
        }
        if snapshot.settings.sampling.by_account {
            let help = "Credits that an account has left for its next request, by product, once any were granted";
            let mut shown =
                encoder.encode_descriptor("tollgate_account_balance_credits", help, None, MetricType::Gauge)?;
            let balances = self.ledger.register_of_licences();
            // Of a balance that gateways share, each knows what it has sold.
            let is_shared = self.ledger.shares_credits();
            let balances = balances
                .all()
                .filter(|one| !is_shared || one.is_shown())
                .map(|credit_account| (credit_account.key(), credit_account.shown()));
            // Whoever was never granted anything has not used it up.
            let granted = balances.filter(|(_, balance)| balance.granted > 0);
            for ((account, product), balance) in granted.take(snapshot.settings.sampling.max_series) {
                let labels = [("account", account), ("product", product)];
                ConstGauge::new(number(balance.available)).encode(shown.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
