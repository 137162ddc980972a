//! The thread that fetches the keys of identity providers, and its metrics.
//!
//! Keys that were fetched count until newer ones have been, however long a provider cannot be reached: an outage of it must
//! not become one of the lookups. A token with an unknown key has them fetched soon, but not more often than a bound.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Thread, park_timeout};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::gateway::Gateway;
use crate::gateway::snapshot::KeySource;
use crate::platform::post::{Post, pause};
use crate::policy::check::jwt::keys::{Keys, MAX_BYTES};

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_millis(500);

/// The same while the configuration names no provider.
const LOOK_WITHOUT: Duration = Duration::from_secs(2);

/// The shortest time between two fetches that tokens with unknown keys cause.
const LEAST_BETWEEN: Duration = Duration::from_secs(10);

/// The time limit of a fetch.
const TIMEOUT: Duration = Duration::from_secs(5);

const TARGET: &str = "tollgate::jwks";

/// What fetches keys.
#[derive(Debug)]
pub struct KeyFetcher {
    shown: Arc<Mutex<HashMap<Box<str>, Progress>>>,
    stop: Arc<AtomicBool>,
    thread: Thread,
}

/// How the fetches of one provider go.
#[derive(Clone, Debug, Default)]
struct Progress {
    url: Box<str>,
    /// When they were fetched last.
    fetched: Option<Instant>,
    /// When they were tried last, and how often in a row that has failed.
    tried: Option<Instant>,
    failures_in_a_row: u32,
    fetches: u64,
    failures: u64,
}

impl Progress {
    /// Whether a fetch is due.
    fn is_due(&self, source: &KeySource, now: Instant) -> bool {
        let since = |moment: Option<Instant>| moment.map(|moment| now.saturating_duration_since(moment));
        let Some(since_tried) = since(self.tried) else { return true };
        if self.failures_in_a_row > 0 {
            return since_tried >= pause(self.failures_in_a_row).min(source.every);
        }
        since_tried >= source.every || (since_tried >= LEAST_BETWEEN && source.keys.take_wanted())
    }
}

impl KeyFetcher {
    /// Starts fetching whatever the configuration in force names.
    pub fn start(gateway: Arc<Gateway>) -> KeyFetcher {
        let shown = Arc::new(Mutex::new(HashMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (progress, stopped) = (Arc::clone(&shown), Arc::clone(&stop));
        let running = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let settings = Arc::clone(&gateway.snapshot().settings);
                turn(&settings.key_sources, &progress);
                park_timeout(if settings.key_sources.is_empty() { LOOK_WITHOUT } else { LOOK });
            }
        });
        KeyFetcher { shown, stop, thread: running.thread().clone() }
    }

    /// Ends the thread after the fetch that is on its way.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }

    /// Shows the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Shown(Arc::clone(&self.shown))));
    }
}

/// Fetches what is due.
fn turn(sources: &[KeySource], progress: &Mutex<HashMap<Box<str>, Progress>>) {
    let lock = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    lock().retain(|name, known| sources.iter().any(|source| source.issuer == *name && source.url == known.url));
    for source in sources {
        let mut known = lock().get(&source.issuer).cloned().unwrap_or_default();
        if !known.is_due(source, Instant::now()) {
            continue;
        }
        known.url.clone_from(&source.url);
        fetch(source, &mut known);
        lock().insert(source.issuer.clone(), known);
    }
}

fn fetch(source: &KeySource, progress: &mut Progress) {
    let post = Post::to(&source.url, source.authorities.clone(), TIMEOUT, TARGET);
    let keys = post.fetch(MAX_BYTES).and_then(|text| Keys::parse(&text).map_err(|what| format!("its document {what}")));
    progress.tried = Some(Instant::now());
    match keys {
        Ok(keys) => {
            if source.keys.current().is_none() || progress.failures_in_a_row > 0 {
                log::info!(target: TARGET, "the keys of {} were fetched (keys: {})", source.issuer, keys.count());
            }
            source.keys.replace(keys);
            progress.fetched = progress.tried;
            progress.fetches = progress.fetches.saturating_add(1);
            progress.failures_in_a_row = 0;
        }
        Err(why) => {
            progress.failures = progress.failures.saturating_add(1);
            progress.failures_in_a_row = progress.failures_in_a_row.saturating_add(1);
            let instead = match source.keys.current() {
                Some(_) => "the keys that were fetched before stay in force",
                None => "its tokens cannot be verified yet",
            };
            log::warn!(target: TARGET, "the keys of {} cannot be fetched from {}: {why}; {instead}", source.issuer, source.url);
        }
    }
}

/// The metrics of all providers.
struct Shown(Arc<Mutex<HashMap<Box<str>, Progress>>>);

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shown")
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let progress = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let help = "Fetches of the keys of an identity provider, by their outcome";
        let mut fetches = encoder.encode_descriptor("tollgate_jwks_fetches", help, None, MetricType::Counter)?;
        for (name, known) in &progress {
            for (outcome, count) in [("fetched", known.fetches), ("failed", known.failures)] {
                let labels = [("issuer", &**name), ("outcome", outcome)];
                ConstCounter::new(count).encode(fetches.encode_family(&labels)?)?;
            }
        }
        let help = "Time since the keys of an identity provider were fetched; none before the first time";
        let mut age = encoder.encode_descriptor("tollgate_jwks_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (name, known) in &progress {
            if let Some(fetched) = known.fetched {
                let labels = [("issuer", &**name)];
                ConstGauge::new(fetched.elapsed().as_secs_f64()).encode(age.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
