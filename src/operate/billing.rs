//! Usage for billing: the thread that sends closed hours to the operator's system as CloudEvents.
//!
//! A batch is sent until it is accepted, then the next one (at least once). What an event has, its id included, is the
//! same however often it is sent, so that the receiver can make it exactly once. What waits are the store's own rows;
//! nothing of it is in memory but one batch. Requests never wait for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{Thread, park_timeout};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::config::billing::BillingSettings;
use crate::ledger::store::billing::{self, BilledRow, Progress};
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::{Store, StoreError};
use crate::operate::api::shown::Time;
use crate::platform::clock::unix_milliseconds;
use crate::platform::post::{NotAccepted, Post, pause};
use crate::telemetry::usage::HOUR_MS;

/// How often it is looked for closed hours.
const LOOK: Duration = Duration::from_secs(10);

/// The media type of a batch (CloudEvents 1.0.2, "JSON Event Format", section 4).
const MEDIA_TYPE: &str = "application/cloudevents-batch+json";

const TARGET: &str = "tollgate::billing";

/// What is sent, and how that goes.
#[derive(Clone, Debug)]
pub struct Biller {
    shown: BillingMetrics,
    stop: Arc<AtomicBool>,
    thread: Thread,
}

#[derive(Clone, Debug, Default)]
struct BillingMetrics {
    sent: Counter,
    failures: Counter,
    waiting: Arc<AtomicI64>,
    /// The hour of the oldest event that waits, in milliseconds since 1970; 0 for none.
    oldest: Arc<AtomicI64>,
    lost: Arc<AtomicI64>,
}

struct BillingTask {
    store: Arc<Store>,
    settings: BillingSettings,
    post: Post,
    shown: BillingMetrics,
    /// Attempts in a row that have failed.
    failures: u32,
    /// When the next one is due.
    due: Instant,
}

impl Biller {
    /// Starts sending.
    pub fn start(settings: BillingSettings, store: Arc<Store>) -> Biller {
        let shown = BillingMetrics::default();
        let mut task = BillingTask::new(settings, store, shown.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let running = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                task.turn(unix_milliseconds(), &stopped);
                park_timeout(
                    LOOK.min(task.due.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))),
                );
            }
        });
        Biller { shown, stop, thread: running.thread().clone() }
    }

    /// Ends the thread after the batch that is on its way.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }

    /// Shows the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let BillingMetrics { sent, failures, .. } = self.shown.clone();
        registry.register("tollgate_billing_sent_events", "Events of usage that the receiver has accepted", sent);
        registry.register(
            "tollgate_billing_failures",
            "Attempts to send events of usage, or to read them from the store, that failed",
            failures,
        );
        registry.register_collector(Box::new(self.shown.clone()));
    }
}

impl BillingTask {
    fn new(settings: BillingSettings, store: Arc<Store>, shown: BillingMetrics) -> BillingTask {
        let post = Post::to(&settings.url, settings.authorities.clone(), settings.timeout, TARGET);
        BillingTask { store, settings, post, shown, failures: 0, due: Instant::now() }
    }

    /// Sends what waits, until nothing does or an attempt fails.
    fn turn(&mut self, now_ms: i64, stop: &AtomicBool) {
        let mut is_first = true;
        while !stop.load(Ordering::Relaxed) {
            match self.next(now_ms, is_first) {
                Ok(true) => is_first = false,
                Ok(false) => return,
                Err(error) => {
                    self.has_failed(&NotAccepted { status: None, retry_after: None, why: error.to_string() });
                    return;
                }
            }
        }
    }

    /// Looks at what waits, and sends one batch of it unless it is too early; false when there is nothing more to do.
    /// What waits is counted by the first look of a turn alone: there may be a million rows, and each batch takes its own
    /// from the count.
    fn next(&mut self, now_ms: i64, is_first: bool) -> Result<bool, StoreError> {
        let is_too_early = is_first && Instant::now() < self.due;
        let most = self.settings.batch;
        let read = self.store.maintain_here(move |connection| {
            let progress = billing::close_hours(connection, &mut SystemRandomness, now_ms)?;
            let backlog = is_first.then(|| billing::backlog(connection, &progress)).transpose()?;
            let rows = billing::waiting(connection, &progress, most)?;
            Ok((progress, backlog, rows))
        });
        let (progress, backlog, rows) = read?;
        if let Some((waiting, _)) = backlog {
            self.shown.waiting.store(waiting, Ordering::Relaxed);
        }
        self.shown.oldest.store(rows.first().map_or(0, |row| row.noted), Ordering::Relaxed);
        self.shown.lost.store(progress.lost, Ordering::Relaxed);
        let Some(last) = rows.last().cloned().filter(|_| !is_too_early) else { return Ok(false) };
        let events = rows.len();
        let body = batch(&rows, &progress, &self.settings.source);
        match self.post.send(MEDIA_TYPE, &self.settings.headers, body.as_bytes()) {
            Ok(()) => {
                let at = unix_milliseconds();
                self.store.maintain_here(move |connection| billing::accepted(connection, &last, events, at))?;
                self.shown.sent.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
                self.shown.waiting.fetch_sub(i64::try_from(events).unwrap_or(0), Ordering::Relaxed);
                if std::mem::replace(&mut self.failures, 0) > 0 {
                    log::info!(target: TARGET, "the receiver accepts usage again");
                }
                Ok(true)
            }
            Err(refused) => {
                let (fault, at) = (refused.why.clone(), unix_milliseconds());
                self.has_failed(&refused);
                self.store.maintain_here(move |connection| billing::failed(connection, &fault, at))?;
                Ok(false)
            }
        }
    }

    fn has_failed(&mut self, refused: &NotAccepted) {
        self.shown.failures.inc();
        self.failures = self.failures.saturating_add(1);
        self.due = Instant::now() + refused.retry_after.unwrap_or_default().max(pause(self.failures));
        if self.failures == 1 {
            let why = &refused.why;
            log::error!(target: TARGET, "the receiver did not accept usage, which waits in the store: {why}");
        }
    }
}

/// A batch of events (CloudEvents 1.0.2).
fn batch(rows: &[BilledRow], progress: &Progress, source: &str) -> String {
    Value::Array(rows.iter().map(|row| event(row, progress, source)).collect()).to_string()
}

fn event(row: &BilledRow, progress: &Progress, source: &str) -> Value {
    let outcome = if row.outcome.is_empty() { "answered" } else { &row.outcome };
    json!({
        "specversion": "1.0",
        "id": row.event_id(&progress.stream),
        "source": source,
        "type": "tollgate.usage",
        "subject": row.account,
        "time": Time(row.hour).to_string(),
        "datacontenttype": "application/json",
        "data": {
            "account": row.account,
            "token": row.token,
            "product": row.product,
            "outcome": outcome,
            "requests": row.requests,
            "credits": row.credits,
            "from": Time(row.hour).to_string(),
            "until": Time(row.hour.saturating_add(HOUR_MS)).to_string(),
        },
    })
}

impl Collector for BillingMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        // An hour waits from its end on.
        let ended = unix_milliseconds().saturating_sub(oldest.saturating_add(HOUR_MS)).max(0);
        let age = if oldest == 0 { 0 } else { ended / 1000 };
        for (name, help, value) in [
            (
                "tollgate_billing_waiting_events",
                "Events of usage of closed hours that the receiver has not accepted yet",
                self.waiting.load(Ordering::Relaxed),
            ),
            (
                "tollgate_billing_oldest_waiting_seconds",
                "For how long the oldest of them has been waiting; 0 for none",
                age,
            ),
            (
                "tollgate_billing_lost_events",
                "Events that were removed before they were accepted, since usage is kept no longer",
                self.lost.load(Ordering::Relaxed),
            ),
        ] {
            let of = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(of)?;
        }
        Ok(())
    }
}
