//! Credits that several gateways share: what a gateway needs to sell by lease, and what it tells the thread that gets it leases.
//!
//! A request finds its credits in the balance of its account, as without leases, and looks at the time until which they may be
//! sold. Only one that finds too few asks the thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::lease::driver::Verdict;
use super::lease::terms::Terms;
use super::lease_order::{LeaseHandover, LeaseOrder};
use super::store::location::Location;
use crate::platform::clock::boot_milliseconds;
use crate::policy::credits::CreditAccount;
use crate::policy::problem::{Hint, Problem, Row};

const TARGET: &str = "tollgate::leases";

/// How long a request waits for credits that others have, or for a database that does not answer.
const SHORT_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a process waits for its leases to end before it ends.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How long the next process waits for the thread of this one.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(15);

/// When a request that was told that its balance is not known may come again, in seconds.
const AGAIN_SECONDS: u32 = 2;

/// The refusal of a request while nobody can say whether its account has credits.
pub const CREDITS_UNAVAILABLE: Problem = Problem::new(
    Row::CreditsUnavailable,
    "the database of credits cannot be reached, or a gateway that has the rest of them",
)
.with(Hint::RetryAfter(AGAIN_SECONDS));

/// Where credits are shared, and by which times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The store, in PostgreSQL.
    pub location: Location,
    /// How long a gateway sells what it has on lease after the last heartbeat that was acknowledged.
    pub time_to_live: Duration,
    /// The most by which a standby that may be promoted lags behind.
    pub replica_lag: Duration,
}

impl ClusterSettings {
    /// The terms of the protocol, with the longest that a request can take.
    pub fn terms(&self, longest_request: Duration) -> Terms {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (ttl, lag) = (milliseconds(self.time_to_live), milliseconds(self.replica_lag));
        let standard = Terms::default();
        let longest_request = milliseconds(longest_request).max(standard.longest_request);
        Terms { ttl, lag, longest_request, ..standard }
    }
}

/// What requests use of leases.
pub struct Leases {
    /// Until when credits may be held, in [`boot_milliseconds`].
    until: Arc<AtomicU64>,
    orders: Sender<LeaseOrder>,
    hands_over: AtomicBool,
    pub figures: Arc<LeaseFigures>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Leases").field("until", &self.until).finish_non_exhaustive()
    }
}

/// The end of the thread.
pub struct LeaseEnd {
    pub until: Arc<AtomicU64>,
    pub orders: Receiver<LeaseOrder>,
    pub figures: Arc<LeaseFigures>,
}

impl Leases {
    /// Both ends.
    pub fn new() -> (Leases, LeaseEnd) {
        let (sender, orders) = channel();
        let (until, figures): (Arc<AtomicU64>, Arc<LeaseFigures>) = Default::default();
        let end = LeaseEnd { until: Arc::clone(&until), orders, figures: Arc::clone(&figures) };
        (Leases { until, orders: sender, hands_over: AtomicBool::new(false), figures }, end)
    }

    /// Whether what is on lease may be sold at this moment.
    pub fn may_sell(&self) -> bool {
        boot_milliseconds() < self.until.load(Ordering::Acquire)
    }

    /// Whether nothing could be sold yet since the process started.
    pub fn never_sold(&self) -> bool {
        !self.figures.has_sold.load(Ordering::Relaxed)
    }

    /// Asks for credits that a request needs; `None` if the thread has ended.
    pub async fn short(&self, account: &Arc<CreditAccount>, credits: u32) -> Option<Verdict> {
        let (told, verdict) = oneshot::channel();
        self.tell(LeaseOrder::Short(Arc::clone(account), credits, told))?;
        match tokio::time::timeout(SHORT_PATIENCE, verdict).await {
            Ok(verdict) => verdict.ok(),
            Err(_) => Some(Verdict::Unavailable),
        }
    }

    /// The same for a thread that may be blocked.
    pub fn short_here(&self, account: &Arc<CreditAccount>, credits: u32) -> Option<Verdict> {
        /// How often it is looked whether there is an answer.
        const LOOK: Duration = Duration::from_millis(2);
        let (told, mut verdict) = oneshot::channel();
        self.tell(LeaseOrder::Short(Arc::clone(account), credits, told))?;
        let begun = Instant::now();
        while begun.elapsed() < SHORT_PATIENCE {
            match verdict.try_recv() {
                Err(TryRecvError::Empty) => std::thread::sleep(LOOK),
                answer => return answer.ok(),
            }
        }
        Some(Verdict::Unavailable)
    }

    /// Tells the thread; `None` if it has ended.
    pub fn tell(&self, order: LeaseOrder) -> Option<()> {
        self.orders.send(order).ok()
    }

    /// Whether another process takes over.
    pub fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Acquire)
    }

    /// Ends the thread for the next process, and returns what that has to know.
    pub fn hand_over(&self) -> Option<LeaseHandover> {
        self.hands_over.store(true, Ordering::Release);
        let (told, handed) = sync_channel(1);
        self.tell(LeaseOrder::HandOver(told))?;
        handed.recv_timeout(HANDOVER_PATIENCE).ok().flatten()
    }

    /// Returns all that is on lease. If that takes too long, the next start does it.
    pub fn end(&self) {
        let (told, ended) = sync_channel(1);
        if self.tell(LeaseOrder::End(told)).is_some() && ended.recv_timeout(END_PATIENCE).is_err() {
            log::warn!(target: TARGET, "what is on lease could not be returned in time; the next start does it");
        }
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let LeaseFigures {
            acquisitions,
            reports,
            failures,
            recalls,
            fences,
            identities,
            epoch_open,
            unavailable,
            has_sold: _,
        } = &*self.figures;
        let counters = [
            ("acquisitions", "Requests for credits to the database of a cluster", acquisitions),
            ("reports", "Heartbeats that the database of a cluster has acknowledged", reports),
            ("failures", "Messages to the database of a cluster that had no answer", failures),
            ("recalls", "Balances that other gateways needed credits of", recalls),
            ("fences", "Gateways that were silent for too long, and whose leases were released", fences),
            ("identities", "How often this gateway has begun to take leases anew", identities),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("tollgate_lease_{name}"), help, counter.clone());
        }
        registry.register(
            "tollgate_lease_epoch_open",
            "Whether leases can be taken since the database has started last (1), or gateways have to be heard first (0)",
            epoch_open.clone(),
        );
        registry.register(
            "tollgate_credits_unavailable",
            "Requests that were refused because nobody could say whether their account has credits",
            unavailable.clone(),
        );
        registry.register_collector(Box::new(Until(Arc::clone(&self.until))));
    }
}

/// Until when a gateway may sell, as it is read.
#[derive(Debug)]
struct Until(Arc<AtomicU64>);

impl prometheus_client::collector::Collector for Until {
    fn encode(&self, mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::EncodeMetric;
        use prometheus_client::metrics::MetricType;
        use prometheus_client::metrics::gauge::ConstGauge;

        let left = self.0.load(Ordering::Acquire).saturating_sub(boot_milliseconds());
        let help = "Whether this gateway may sell what it has on lease (1); if not (0), requests that cost something are refused";
        let usable = encoder.encode_descriptor("tollgate_lease_usable", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(left > 0)).encode(usable)?;
        let help =
            "For how long this gateway may sell what it has on lease, if the database of the cluster does not answer";
        let seconds = encoder.encode_descriptor("tollgate_lease_seconds_left", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(left / 1_000).unwrap_or(i64::MAX)).encode(seconds)
    }
}

/// The figures of leases.
#[derive(Debug, Default)]
pub struct LeaseFigures {
    pub acquisitions: Counter,
    pub reports: Counter,
    pub failures: Counter,
    pub recalls: Counter,
    pub fences: Counter,
    pub identities: Counter,
    pub epoch_open: Gauge,
    pub unavailable: Counter,
    /// Whether anything could be sold since the process started.
    pub has_sold: AtomicBool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_tells_others_how_long_it_may_be_silent() {
        let location = Location::File("store.db".into());
        let seconds = Duration::from_secs;
        let settings = ClusterSettings { location, time_to_live: seconds(10), replica_lag: seconds(1) };
        for (longest_request, fence_after) in [(seconds(15), 10_000 + 200 + 60_000 + 5_000), (seconds(600), 615_200)] {
            let terms = settings.terms(longest_request);
            assert_eq!((terms.ttl, terms.lag, terms.fence_after()), (10_000, 1_000, fence_after));
        }
    }
}
