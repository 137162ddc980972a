//! The thread that writes what accounts have used and were refused, and where their tokens are used from, to the store:
//! every two seconds, a limited number of rows in a transaction, by the store's own writing thread.
//!
//! Requests never wait for it. While the store cannot be written, counts stay in memory within a limit and are written
//! later, with the hour in which they were made. A crash loses what was counted since the last turn.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::ledger::store::{Store, StoreError, sources, usage};
use crate::platform::turns::Turns;
use crate::telemetry::sources::{SourceCount, SourceCounts, SourceKey, Sources};
use crate::telemetry::usage::{Limits, RefusalRow, Tally, Usage, UsageRow};

/// The longest time between two turns; a crash loses the counts of one.
const TURN: Duration = Duration::from_secs(2);

/// Rows of one transaction, so that changes of accounts can be written in between.
const ROWS_AT_ONCE: usize = 2000;

/// Rows that wait while the store cannot be written: about 30 MB.
const MOST_WAITING: Limits = Limits { usage: 100_000, refusals: 10_000 };

/// Rows of sources that wait: about 20 MB.
const MOST_SOURCES: usize = 100_000;

/// The handle of the thread.
#[derive(Clone, Debug)]
pub struct UsageRecorder {
    turns: Turns,
    shown: UsageMetrics,
}

/// What is shown of it.
#[derive(Clone, Debug)]
struct UsageMetrics {
    usage: Arc<Usage>,
    failures: Counter,
    waiting: Arc<AtomicUsize>,
}

/// The thread's own state.
struct UsageTask {
    store: Arc<Store>,
    shown: UsageMetrics,
    waiting: Tally,
    sources: Sources,
    is_failing: bool,
}

impl UsageRecorder {
    /// Starts writing what is counted.
    pub fn start(usage: Arc<Usage>, store: Arc<Store>) -> UsageRecorder {
        let shown = UsageMetrics { usage, failures: Counter::default(), waiting: Arc::default() };
        let mut task = UsageTask::new(store, shown.clone());
        let turns = Turns::start(TURN, move || task.turn());
        shown.usage.taken_by(turns.thread());
        UsageRecorder { turns, shown }
    }

    /// Writes everything that was counted so far; waits for a limited time.
    pub fn flush(&self) {
        self.turns.flush();
    }

    /// Shows the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tollgate_usage_write_failures",
            "Attempts to write usage and refusals to the store that failed",
            self.shown.failures.clone(),
        );
        registry.register_collector(Box::new(self.shown.clone()));
    }
}

impl UsageTask {
    fn new(store: Arc<Store>, shown: UsageMetrics) -> UsageTask {
        UsageTask { store, shown, waiting: Tally::default(), sources: Sources::new(), is_failing: false }
    }

    fn turn(&mut self) {
        for tally in self.shown.usage.take() {
            let left_out = self.waiting.add_all(tally, MOST_WAITING);
            self.shown.usage.leave_out(left_out);
        }
        if let Some(sources) = self.shown.usage.sources() {
            sources.take(&mut self.sources, MOST_SOURCES);
        }
        if self.waiting.is_empty() && self.sources.is_empty() {
            return;
        }
        let outcome = self.write_usage().and_then(|()| self.write_sources());
        self.shown.waiting.store(self.waiting.len().saturating_add(self.sources.len()), Ordering::Relaxed);
        self.tell(outcome);
    }

    /// Writes usage and refusals; what cannot be written waits.
    fn write_usage(&mut self) -> Result<(), StoreError> {
        let (usage, refusals) = std::mem::take(&mut self.waiting).rows();
        let mut rest = (usage.into_iter().peekable(), refusals.into_iter().peekable());
        let mut outcome = Ok(());
        while rest.0.peek().is_some() || rest.1.peek().is_some() {
            let usage: Vec<UsageRow> = rest.0.by_ref().take(ROWS_AT_ONCE).collect();
            let refusals: Vec<RefusalRow> = rest.1.by_ref().take(ROWS_AT_ONCE).collect();
            let rows = Arc::new((usage, refusals));
            if outcome.is_ok() {
                let written = Arc::clone(&rows);
                outcome = self.store.maintain_here(move |connection| usage::add(connection, &written.0, &written.1));
                if outcome.is_ok() {
                    continue;
                }
            }
            // They are written the next time.
            let (usage, refusals) = Arc::try_unwrap(rows).unwrap_or_else(|shared| (*shared).clone());
            let left_out = self.waiting.add_rows(usage, refusals, MOST_WAITING);
            self.shown.usage.leave_out(left_out);
        }
        outcome
    }

    /// Writes where tokens are used from; what cannot be written waits.
    fn write_sources(&mut self) -> Result<(), StoreError> {
        let mut rest = std::mem::take(&mut self.sources).into_iter().peekable();
        while rest.peek().is_some() {
            let rows: Arc<Vec<(SourceKey, SourceCount)>> = Arc::new(rest.by_ref().take(ROWS_AT_ONCE).collect());
            let written = Arc::clone(&rows);
            let outcome = self.store.maintain_here(move |connection| sources::add(connection, &written));
            if outcome.is_err() {
                let rows = Arc::try_unwrap(rows).unwrap_or_else(|shared| (*shared).clone());
                // There was room for them before.
                self.sources = rows.into_iter().chain(rest).collect();
                return outcome;
            }
        }
        Ok(())
    }

    fn tell(&mut self, outcome: Result<(), StoreError>) {
        let Err(error) = outcome else {
            self.is_failing = false;
            return;
        };
        self.shown.failures.inc();
        if !std::mem::replace(&mut self.is_failing, true) {
            log::error!(target: "tollgate::store", "usage and refusals are only in memory for now: {error}");
        }
    }
}

impl Collector for UsageMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Requests missing from usage or refusals, because too many waited to be written";
        let of = encoder.encode_descriptor("tollgate_usage_left_out_requests", help, None, MetricType::Counter)?;
        ConstCounter::new(self.usage.left_out()).encode(of)?;
        let help =
            "Requests that are missing in the sources of tokens, for want of memory while they waited to be written";
        let of = encoder.encode_descriptor("tollgate_sources_left_out_requests", help, None, MetricType::Counter)?;
        ConstCounter::new(self.usage.sources().map_or(0, SourceCounts::left_out)).encode(of)?;
        let help = "Rows of usage, refusals and sources that could not be written to the store yet";
        let of = encoder.encode_descriptor("tollgate_usage_waiting_rows", help, None, MetricType::Gauge)?;
        let waiting = self.waiting.load(Ordering::Relaxed);
        ConstGauge::new(i64::try_from(waiting).unwrap_or(i64::MAX)).encode(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::open;
    use crate::ledger::store::randomness::SystemRandomness;
    use crate::ledger::store::usage::UsagePage;
    use crate::policy::account::Digest;
    use crate::telemetry::addresses::Addresses;
    use crate::telemetry::sources::SourceKind;

    #[test]
    fn what_cannot_be_written_waits_and_is_written_once() {
        let directory = std::env::temp_dir().join(format!("tollgate-usage-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("store.db");
        let store = Arc::new(Store::open(&path, Box::new(SystemRandomness)).unwrap());
        let usage = Arc::new(Usage::new(Addresses::Full, false));
        let shown = UsageMetrics { usage, failures: Counter::default(), waiting: Arc::default() };
        let mut task = UsageTask::new(store, shown);
        let row = |token: &str| UsageRow {
            hour: 3_600_000,
            account: "acme".into(),
            token: token.into(),
            digest: Digest::of(token.as_bytes()),
            product: "plate".into(),
            outcome: "".into(),
            requests: 1,
            credits: 3,
            watched: [0, 1],
            last_at: 3_600_500,
        };
        let read = || {
            let wanted = UsagePage { rows: 10, ..UsagePage::default() };
            let lines = usage::page(&open(&path).unwrap(), &wanted).unwrap().unwrap();
            lines.iter().map(|line| (line.token.clone(), line.requests, line.credits)).collect::<Vec<_>>()
        };
        let mut other = open(&path).unwrap();
        let locked = other.recording().unwrap();
        assert!(task.waiting.add_usage(row("web"), MOST_WAITING));
        task.turn();
        assert_eq!((task.waiting.len(), task.shown.failures.get(), task.is_failing), (1, 1, true));
        locked.commit().unwrap();
        assert_eq!(read(), []);
        for token in ["web", "app"] {
            assert!(task.waiting.add_usage(row(token), MOST_WAITING));
        }
        task.turn();
        task.turn();
        assert_eq!((task.waiting.len(), task.shown.failures.get(), task.is_failing), (0, 1, false));
        assert_eq!(read(), [("app".to_owned(), 1, 3), ("web".to_owned(), 2, 6)]);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn sources_that_cannot_be_written_wait_and_are_written_once() {
        let directory = std::env::temp_dir().join(format!("tollgate-sources-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("store.db");
        let store = Arc::new(Store::open(&path, Box::new(SystemRandomness)).unwrap());
        let usage = Arc::new(Usage::new(Addresses::Full, true));
        let shown = UsageMetrics { usage, failures: Counter::default(), waiting: Arc::default() };
        let mut task = UsageTask::new(store, shown);
        let key = |day: i64| SourceKey { digest: [7; 32], kind: SourceKind::Use, day, value: "".into() };
        let mut other = open(&path).unwrap();
        let locked = other.recording().unwrap();
        // More than one transaction has.
        let days = i64::try_from(ROWS_AT_ONCE).unwrap() + 5;
        task.sources.extend((0..days).map(|day| (key(day), SourceCount { requests: 2, last_at: day })));
        task.turn();
        assert_eq!((task.sources.len(), task.is_failing), (ROWS_AT_ONCE + 5, true));
        locked.commit().unwrap();
        task.turn();
        task.turn();
        assert_eq!((task.sources.len(), task.is_failing, task.shown.failures.get()), (0, false, 1));
        let sums = "SELECT COUNT(*), SUM(requests) FROM token_source";
        let sums = open(&path).unwrap().query_row(sums, (), |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)));
        assert_eq!(sums.unwrap(), (days, 2 * days));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
