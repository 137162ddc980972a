//! The exporter of spans: OTLP over HTTP, as JSON, to a collector.
//!
//! The format is documented and small, and written in `otlp_span.rs`; HTTP and TLS are those of the `ureq` library. The
//! settings come from the configuration and the environment (`config/collector.rs`). No request waits for the exporter;
//! spans that the collector does not accept are dropped and counted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{park_timeout, sleep};
use std::time::Duration;

use super::counters::Count;
use super::outlet::Outlet;
use super::queue::Waiting;
use crate::platform::post::{NotAccepted, Post};
use crate::policy::http::json::Object;

/// The most bytes of one thread that may wait to be sent: about a thousand requests. A batch is no
/// larger, well below the limits of collectors.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// How long spans are collected before they are sent together.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many times a batch is sent at most, and the pause in between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Names and values that the collector is told of this gateway.
pub type Attributes = Vec<(Box<str>, Box<str>)>;

/// Where spans go.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The full URL, as in `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: Box<str>,
    /// Headers of each batch. Their values are secrets.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// The PEM file of the authorities that vouch for a collector with TLS; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    /// How long the collector may take.
    pub timeout: Duration,
    /// What the collector calls this gateway.
    pub service_name: Box<str>,
    pub attributes: Box<[(Box<str>, Box<str>)]>,
}

impl fmt::Debug for OtlpSettings {
    /// Shows no header's value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        write!(formatter, "OtlpSettings({}, {names:?} ***, {})", self.endpoint, self.service_name)
    }
}

/// Accepts spans.
#[derive(Debug)]
pub struct Exporter {
    outlet: Outlet,
    exported: Count,
}

impl Exporter {
    /// Starts the sending thread.
    pub fn start(settings: OtlpSettings) -> Arc<Exporter> {
        let exporter = Arc::new(Exporter { outlet: Outlet::new(MAX_WAITING_BYTES), exported: Count::default() });
        let shared = Arc::clone(&exporter);
        exporter.outlet.taken_by(&std::thread::spawn(move || Sender::new(&shared, &settings).run()));
        exporter
    }

    /// Adds the spans of a request, or drops and counts them.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outlet.push(write);
    }

    /// Waits until all spans so far are sent, or for a limited time.
    pub fn flush(&self) {
        self.outlet.flush();
    }

    /// Requests whose spans the collector has accepted.
    pub fn exported(&self) -> u64 {
        self.exported.sum()
    }

    /// Requests whose spans were dropped.
    pub fn dropped(&self) -> u64 {
        self.outlet.dropped()
    }
}

/// The sending thread.
struct Sender<'e> {
    exporter: &'e Exporter,
    post: Post,
    headers: Box<[(Box<str>, Box<str>)]>,
    /// A batch's JSON up to the first span.
    opening: Vec<u8>,
    batch: Vec<u8>,
    /// Spans are being dropped; this is logged once.
    failing: bool,
}

/// A batch's JSON after the last span.
const CLOSING: &[u8] = b"]}]}]}";

impl<'e> Sender<'e> {
    fn new(exporter: &'e Exporter, settings: &OtlpSettings) -> Sender<'e> {
        Sender {
            exporter,
            post: Post::to(&settings.endpoint, settings.authorities.clone(), settings.timeout, "tollgate::otlp"),
            headers: settings.headers.clone(),
            opening: opening(settings),
            batch: Vec::new(),
            failing: false,
        }
    }

    /// Sends for as long as the process lives.
    fn run(mut self) {
        let mut spare = Waiting::default();
        loop {
            park_timeout(INTERVAL);
            let exporter = self.exporter;
            exporter.outlet.take(&mut spare, |waiting| self.send(waiting));
        }
    }

    fn send(&mut self, waiting: &Waiting) {
        self.batch.clear();
        self.batch.extend_from_slice(&self.opening);
        // Each span ends with a comma.
        self.batch.extend_from_slice(waiting.bytes.strip_suffix(b",").unwrap_or(&waiting.bytes));
        self.batch.extend_from_slice(CLOSING);
        let mut outcome = self.try_send();
        for attempt in 1..ATTEMPTS {
            match &outcome {
                Err(Failure { again: true, .. }) => {
                    sleep(PAUSE.saturating_mul(attempt));
                    outcome = self.try_send();
                }
                Ok(()) | Err(Failure { again: false, .. }) => break,
            }
        }
        match outcome {
            Ok(()) => {
                self.exporter.exported.add(waiting.records);
                if std::mem::replace(&mut self.failing, false) {
                    log::info!(target: "tollgate::otlp", "the collector accepts spans again");
                }
            }
            Err(Failure { what, .. }) => {
                self.exporter.outlet.lose(waiting.records);
                if !std::mem::replace(&mut self.failing, true) {
                    log::error!(target: "tollgate::otlp", "spans are dropped: the collector refuses them ({what})");
                }
            }
        }
    }

    fn try_send(&self) -> Result<(), Failure> {
        let sent = self.post.send("application/json", &self.headers, &self.batch);
        sent.map_err(|NotAccepted { status, why, .. }| {
            // The statuses that may be retried, according to OTLP.
            Failure { again: status.is_none_or(|code| matches!(code, 429 | 502..=504)), what: why }
        })
    }
}

/// Why a batch was not accepted.
struct Failure {
    again: bool,
    what: String,
}

/// The resource and the scope of all spans.
fn opening(settings: &OtlpSettings) -> Vec<u8> {
    let instance = uuid::Uuid::new_v4().to_string();
    let version = env!("CARGO_PKG_VERSION");
    let own =
        [("service.name", &*settings.service_name), ("service.version", version), ("service.instance.id", &instance)];
    // What an operator says of this process is better known there, but its name has a key of its own.
    let told: Vec<(&str, &str)> = settings
        .attributes
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .filter(|(name, _)| *name != "service.name")
        .collect();
    let own = own.into_iter().filter(|(name, _)| told.iter().all(|(known, _)| known != name));
    let mut out = br#"{"resourceSpans":[{"resource":{"attributes":["#.to_vec();
    for (number, (key, text)) in own.chain(told.iter().copied()).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let mut attribute = Object::open(&mut out);
        attribute.text("key", key);
        let mut value = Object::open(attribute.member("value"));
        value.text("stringValue", text);
        value.close();
        attribute.close();
    }
    out.extend_from_slice(br#"]},"scopeSpans":[{"scope":"#);
    let mut scope = Object::open(&mut out);
    scope.text("name", "tollgate");
    scope.text("version", version);
    scope.close();
    out.extend_from_slice(br#","spans":["#);
    out
}
