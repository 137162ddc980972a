//! The metrics of the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::conflicts::Conflicts;
use crate::ledger::store::changes::Moment;

/// What is counted of the store.
#[derive(Clone, Debug, Default)]
pub struct FeedMetrics {
    changes: Counter,
    failures: Counter,
    version: Gauge,
    /// When the store was last read well.
    read: Arc<Mutex<Option<Instant>>>,
    is_failing: Arc<AtomicBool>,
    /// Whatever could not be read for a change of the configuration has to be read.
    anew: Arc<AtomicBool>,
}

impl FeedMetrics {
    /// Notes a look at the store; whether it is the first one that has failed.
    pub fn look(&self, known: Moment, is_good: bool) -> bool {
        self.version.set(known.version);
        if is_good {
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.is_failing.store(false, Ordering::Relaxed);
            return false;
        }
        self.failures.inc();
        !self.is_failing.swap(true, Ordering::Relaxed)
    }

    /// The version that is in force.
    pub fn version(&self) -> i64 {
        self.version.get()
    }

    /// Counts accounts that have changed.
    pub fn changed(&self, accounts: usize) {
        self.changes.inc_by(u64::try_from(accounts).unwrap_or(u64::MAX));
    }

    /// Everything has to be read anew.
    pub fn read_anew(&self) {
        self.anew.store(true, Ordering::Relaxed);
    }

    /// Whether everything has to be read anew, once.
    pub fn take_read_anew(&self) -> bool {
        self.anew.swap(false, Ordering::Relaxed)
    }

    /// Shows them.
    pub fn register(&self, registry: &mut Registry, conflicts: &Conflicts) {
        registry.register(
            "tollgate_store_changed_accounts",
            "Accounts of the store that came into force while running",
            self.changes.clone(),
        );
        registry.register("tollgate_store_failures", "Attempts to read the store that failed", self.failures.clone());
        registry.register("tollgate_store_version", "The version of the store that is in force", self.version.clone());
        let (read, conflicts) = (Arc::clone(&self.read), conflicts.clone());
        registry.register_collector(Box::new(Looked { read, conflicts }));
    }
}

/// What is looked up when somebody asks, so that it is right even while nothing happens.
struct Looked {
    read: Arc<Mutex<Option<Instant>>>,
    conflicts: Conflicts,
}

impl fmt::Debug for Looked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Looked")
    }
}

impl Collector for Looked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = read.map_or(0.0, |read| read.elapsed().as_secs_f64());
        let help =
            "For how long the store could not be read, so that its changes are not in force; about 0 while it can";
        let of = encoder.encode_descriptor("tollgate_store_stale_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(stale).encode(of)?;
        let help = "Accounts of the store that are not in force as it says, or not with all that it says";
        let of = encoder.encode_descriptor("tollgate_store_conflicts", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.conflicts.count()).unwrap_or(i64::MAX)).encode(of)
    }
}
