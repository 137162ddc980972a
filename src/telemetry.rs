//! What operators see of requests: metrics, the access log, traces, and the journal.
//!
//! A request carries one [`request_record::RequestRecord`], which is reported once. Reporting increments counters that
//! exist already and, if the access log, traces or the journal are on, writes a record to a queue in memory. Separate
//! threads write the records to files (`access_log.rs`, `journal.rs`) or send them over the network (`otlp.rs`); records that they cannot keep up
//! with are dropped and counted. Nothing here decides about requests, and no failure here affects one. The log of the
//! process itself is `platform/logging.rs`.

pub mod accept_metrics;
pub mod access_line;
pub mod access_log;
pub mod addresses;
pub mod by_account;
pub mod counters;
pub mod http_version;
pub mod journal;
pub mod latency;
pub mod names;
pub mod otlp;
pub mod otlp_span;
pub mod outlet;
pub mod process;
pub mod queue;
pub mod request_record;
pub mod sampling;
pub mod seen;
pub mod shadow;
pub mod shown;
pub mod sources;
pub mod staging;
pub mod tables;
pub mod traffic;
pub mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use access_log::AccessLog;
use journal::Journal;
use journal::settings::JournalSettings;
use otlp::Exporter;
use usage::Usage;

/// Where records of requests are written. It is set at the start only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlets {
    /// `None`: no access log.
    pub access_log: Option<access_log::AccessLogSettings>,
    /// `None`: no spans.
    pub otlp: Option<otlp::OtlpSettings>,
    /// `None`: no journal.
    pub journal: Option<JournalSettings>,
}

/// The destinations to which all requests report.
#[derive(Debug, Default)]
pub struct Telemetry {
    log: Option<Arc<AccessLog>>,
    exporter: Option<Arc<Exporter>>,
    journal: Option<Arc<Journal>>,
    /// `None` without a store, which is where usage is written.
    usage: Option<Arc<Usage>>,
    pub connections: Connections,
}

/// The number of open client connections.
#[derive(Debug, Default)]
pub struct Connections {
    pub http1: AtomicUsize,
    /// Connections with a request in progress.
    pub active_http1: AtomicUsize,
    pub http2: AtomicUsize,
    pub active_http2: AtomicUsize,
}

impl Telemetry {
    /// Starts the threads that write and send records.
    pub fn start(outlets: Outlets, usage: Option<Arc<Usage>>) -> Telemetry {
        Telemetry {
            log: outlets.access_log.map(AccessLog::start),
            exporter: outlets.otlp.map(Exporter::start),
            journal: outlets.journal.map(Journal::start),
            usage,
            connections: Connections::default(),
        }
    }

    /// Reopens the access log, after its file was rotated.
    pub fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Waits for a limited time until everything reported so far is written, before the process ends.
    pub fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush();
        }
        if let Some(journal) = &self.journal {
            journal.flush();
        }
    }

    /// Lines of the access log that were dropped.
    pub fn dropped_lines(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.dropped())
    }

    /// Requests whose spans were sent, and those whose spans were dropped.
    pub fn spans(&self) -> (u64, u64) {
        self.exporter.as_ref().map_or((0, 0), |exporter| (exporter.exported(), exporter.dropped()))
    }

    /// The journal, if there is one.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// Whether requests are recorded beyond metrics.
    pub fn has_records(&self) -> bool {
        self.log.is_some() || self.exporter.is_some()
    }

    /// What accounts use and are refused, if that is counted for the store.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_deref()
    }

    /// Whether requests can have spans.
    pub fn has_spans(&self) -> bool {
        self.exporter.is_some()
    }
}

impl Connections {
    /// All connections and those with a request, for HTTP/1 and for HTTP/2.
    pub fn counts(&self) -> [(usize, usize); 2] {
        let Connections { http1, active_http1, http2, active_http2 } = self;
        [(http1, active_http1), (http2, active_http2)]
            .map(|(all, active)| (all.load(Ordering::Relaxed), active.load(Ordering::Relaxed)))
    }
}

/// One unit of a count, subtracted when this is dropped.
#[derive(Debug)]
pub struct Occupied<'c>(&'c AtomicUsize);

impl<'c> Occupied<'c> {
    /// Adds one to a count; also returns the count before.
    pub fn one_of(count: &'c AtomicUsize) -> (Occupied<'c>, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Occupied(count), before)
    }
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a connection as busy while at least one activity is in progress on it.
#[derive(Debug, Default)]
pub struct Busy(AtomicUsize);

/// One activity.
#[derive(Debug)]
pub struct Doing<'b> {
    busy: &'b Busy,
    count: &'b AtomicUsize,
}

impl Busy {
    /// Begins an activity; the first one increments the count.
    pub fn enter<'b>(&'b self, count: &'b AtomicUsize) -> Doing<'b> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Doing { busy: self, count }
    }
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        if self.busy.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
