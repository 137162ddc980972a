//! The thread that writes answers that are kept for lookups that are sent again to the store, and reads those that other
//! processes have written: four times a second, a limited number of rows in a transaction, by the store's own writing
//! thread.
//!
//! Requests never wait for it. While the store cannot be written, what has changed stays noted within a limit and is
//! written later. A crash loses what was kept since the last turn: those lookups are new ones when they are sent again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::gateway::Gateway;
use crate::gateway::idempotency::kept_answer::KeptAnswer;
use crate::gateway::idempotency::table::{Entry, Owner};
use crate::gateway::idempotency::{AnswerFigures, Change};
use crate::ledger::store::kept_answers::{self, AnswerRow, Writer};
use crate::ledger::store::{Store, StoreError};
use crate::platform::answer_key::AnswerKey;
use crate::platform::clock::unix_milliseconds;
use crate::platform::pace;
use crate::platform::turns::Turns;
use crate::policy::idempotency::Fingerprint;

/// The time between two turns; a crash loses the answers of one.
const TURN: Duration = Duration::from_millis(250);

/// Rows of one transaction, so that others can write in between.
const ROWS_AT_ONCE: usize = 500;

/// The handle of the thread.
#[derive(Clone, Debug)]
pub struct AnswerRecorder {
    turns: Turns,
    failures: Counter,
}

/// The thread's own state.
struct Task {
    gateway: Arc<Gateway>,
    store: Arc<Store>,
    key: AnswerKey,
    writer: Writer,
    /// The last row of other processes that was read.
    read: i64,
    failures: Counter,
    is_failing: bool,
}

impl AnswerRecorder {
    /// Reads what is in the store, and follows it and writes to it from now on.
    pub fn start(gateway: Arc<Gateway>, store: Arc<Store>, key: AnswerKey) -> AnswerRecorder {
        let mut task = Task::new(gateway, store, key);
        let failures = task.failures.clone();
        // What was kept before is known before the first request comes.
        task.turn();
        AnswerRecorder { turns: Turns::start(TURN, move || task.turn()), failures }
    }

    /// Writes everything that has changed so far; waits for a limited time.
    pub fn flush(&self) {
        self.turns.flush();
    }

    /// Shows the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tollgate_idempotency_store_failures",
            "Attempts to write kept answers to the store, or to read them from it, that failed",
            self.failures.clone(),
        );
    }
}

impl Task {
    fn new(gateway: Arc<Gateway>, store: Arc<Store>, key: AnswerKey) -> Task {
        let writer = *uuid::Uuid::new_v4().as_bytes();
        Task { gateway, store, key, writer, read: 0, failures: Counter::default(), is_failing: false }
    }

    fn turn(&mut self) {
        // Where no product keeps answers, nobody asks the store.
        let snapshot = self.gateway.snapshot();
        if snapshot.policy.products.iter().all(|product| product.idempotency.is_none()) {
            return;
        }
        let outcome = self.write().and_then(|()| self.read());
        let Err(error) = outcome else {
            self.is_failing = false;
            return;
        };
        self.failures.inc();
        if !std::mem::replace(&mut self.is_failing, true) {
            log::error!(target: "tollgate::store", "kept answers are only in memory for now: {error}");
        }
    }

    /// Writes what has changed; what cannot be written stays noted.
    fn write(&mut self) -> Result<(), StoreError> {
        loop {
            let changes = self.gateway.answers().take_changes(ROWS_AT_ONCE, self.gateway.now().monotonic);
            if changes.is_empty() {
                return Ok(());
            }
            let (mut rows, mut removed) = (Vec::new(), Vec::new());
            for change in &changes {
                pace::step();
                match change {
                    Change::Put(key, entry) => rows.extend(self.row(key, entry)),
                    Change::Removed(key) => removed.push(*key.bytes()),
                }
            }
            let writer = self.writer;
            let written = self
                .store
                .maintain_here(move |connection| kept_answers::write(connection, &writer, &rows, &removed))
                .inspect_err(|_| self.gateway.answers().return_changes(&changes));
            written?;
        }
    }

    fn row(&self, key: &Fingerprint, entry: &Entry) -> Option<AnswerRow> {
        let left = entry.ends.saturating_sub(self.gateway.now().monotonic);
        let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        Some(AnswerRow {
            account: entry.owner.account.to_string(),
            product: entry.owner.product.to_string(),
            digest: *key.bytes(),
            request: *entry.request.bytes(),
            answer: self.key.seal(key.bytes(), &entry.answer.to_bytes())?,
            ends_at: unix_milliseconds().saturating_add(left),
        })
    }

    /// Reads what other processes have written.
    fn read(&mut self) -> Result<(), StoreError> {
        loop {
            let (writer, after, now) = (self.writer, self.read, unix_milliseconds());
            let (rows, last) = self.store.maintain_here(move |connection| {
                kept_answers::of_others(connection, &writer, after, now, ROWS_AT_ONCE)
            })?;
            self.read = last;
            let is_all = rows.len() < ROWS_AT_ONCE;
            rows.into_iter().for_each(|row| self.learn(row, now));
            if is_all {
                return Ok(());
            }
        }
    }

    /// Keeps an answer of another process, if its product still keeps any, for no longer than that says.
    fn learn(&self, row: AnswerRow, now_ms: i64) {
        pace::step();
        let AnswerRow { account, product, digest, request, answer, ends_at } = row;
        let snapshot = self.gateway.snapshot();
        let of = snapshot.policy.products.iter().find(|known| *known.name == *product);
        let Some((of, rule)) = of.and_then(|of| Some((of, of.idempotency.as_ref()?))) else { return };
        let opened = self.key.open(&digest, &answer).and_then(|bytes| KeptAnswer::from_bytes(&bytes));
        // Another key, or another program's form: it is as if there were none.
        let Some(answer) = opened.filter(|answer| answer.bytes() <= rule.limits.answer_bytes) else { return };
        let now = self.gateway.now().monotonic;
        let left = Duration::from_millis(u64::try_from(ends_at.saturating_sub(now_ms)).unwrap_or(0)).min(rule.keep);
        let entry = Entry {
            owner: Owner { account: account.into(), product: Arc::clone(&of.name) },
            request: Fingerprint::from_bytes(request),
            answer: Arc::new(answer),
            due: 0,
            ends: now.saturating_add(left),
        };
        let most_bytes = snapshot.policy.limits.kept_answer_bytes;
        self.gateway.answers().learn(Fingerprint::from_bytes(digest), entry, rule.limits, most_bytes, now);
    }
}

/// Shows what is kept, also without a store.
#[derive(Clone)]
pub struct AnswerMetrics(pub Arc<Gateway>);

impl fmt::Debug for AnswerMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AnswerMetrics")
    }
}

impl Collector for AnswerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let answers = self.0.answers();
        let (count, bytes) = answers.size(self.0.now().monotonic);
        for (name, help, number) in [
            ("tollgate_idempotency_answers", "Answers that are kept for lookups that are sent again", count),
            ("tollgate_idempotency_bytes", "Memory of those answers", bytes),
        ] {
            let shown = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(shown)?;
        }
        let AnswerFigures { dropped_of_account, dropped_of_all, too_large, waited, not_written } = &answers.figures;
        let help = "Answers that are not kept until their end: because their account has as many as it may, because all \
                    accounts have, or because they are too large";
        let mut dropped = encoder.encode_descriptor("tollgate_idempotency_dropped", help, None, MetricType::Counter)?;
        for (why, count) in [("account", dropped_of_account), ("all", dropped_of_all), ("too-large", too_large)] {
            ConstCounter::new(count.get()).encode(dropped.encode_family(&[("reason", why)])?)?;
        }
        for (name, help, count) in [
            ("tollgate_idempotency_waits", "Requests that have waited for another one with the same key", waited),
            ("tollgate_idempotency_not_written", "Answers that are missing in the store", not_written),
        ] {
            let shown = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count.get()).encode(shown)?;
        }
        Ok(())
    }
}
