//! What operators see of requests: figures, the access log, and spans of traces.
//!
//! A request carries one [`request_record::RequestRecord`], which is reported once. Reporting adds to counters
//! that were made ready, and where somebody wants more, writes a record into memory; threads of
//! their own bring records to a file (`access_log.rs`) or over the network (`otlp.rs`), and what they
//! cannot keep up with is dropped and counted. Nothing here decides about requests, and nothing that
//! breaks here breaks one. What the process says of itself is `logging.rs`.

pub mod accept_metrics;
pub mod access_line;
pub mod access_log;
pub mod counters;
pub mod http_version;
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
pub mod tables;
pub mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use access_log::AccessLog;
use otlp::Exporter;

/// Where records of requests go, which can only be set at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlets {
    /// `None`: requests have no lines.
    pub access_log: Option<access_log::AccessLogSettings>,
    /// `None`: requests have no spans.
    pub otlp: Option<otlp::OtlpSettings>,
}

/// What all requests report to.
#[derive(Debug, Default)]
pub struct Telemetry {
    log: Option<Arc<AccessLog>>,
    exporter: Option<Arc<Exporter>>,
    pub connections: Connections,
}

/// How many connections of clients there are.
#[derive(Debug, Default)]
pub struct Connections {
    pub http1: AtomicUsize,
    /// Those with a request.
    pub active_http1: AtomicUsize,
    pub http2: AtomicUsize,
    pub active_http2: AtomicUsize,
}

impl Telemetry {
    /// Starts the threads that bring records where they go.
    pub fn start(outlets: Outlets) -> Telemetry {
        Telemetry {
            log: outlets.access_log.map(AccessLog::start),
            exporter: outlets.otlp.map(Exporter::start),
            connections: Connections::default(),
        }
    }

    /// Opens the access log anew: its file was moved away.
    pub fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Waits a little while until what was reported so far has gone out: the process is about to end.
    pub fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush();
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

    /// Whether more is wanted of requests than figures.
    pub fn has_records(&self) -> bool {
        self.log.is_some() || self.exporter.is_some()
    }

    /// Whether requests can have spans.
    pub fn has_spans(&self) -> bool {
        self.exporter.is_some()
    }
}

impl Connections {
    /// All, and those with a request: of HTTP/1 and of HTTP/2.
    pub fn counts(&self) -> [(usize, usize); 2] {
        let Connections { http1, active_http1, http2, active_http2 } = self;
        [(http1, active_http1), (http2, active_http2)]
            .map(|(all, active)| (all.load(Ordering::Relaxed), active.load(Ordering::Relaxed)))
    }
}

/// One place in a count, given back when it is dropped.
#[derive(Debug)]
pub struct Occupied<'c>(&'c AtomicUsize);

impl<'c> Occupied<'c> {
    /// Takes a place; how many were taken before.
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

/// What makes one of a count busy: it is counted for as long as it has something to do.
#[derive(Debug, Default)]
pub struct Busy(AtomicUsize);

/// Something that one of a count does.
#[derive(Debug)]
pub struct Doing<'b> {
    busy: &'b Busy,
    count: &'b AtomicUsize,
}

impl Busy {
    /// Begins something; the first makes it count.
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
