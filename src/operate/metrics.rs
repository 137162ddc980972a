//! The metrics in the text format of Prometheus, made when they are scraped.
//!
//! What is counted is `tables.rs`; upstreams, the ledger and reloads show their own.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::gateway::Gateway;
use crate::telemetry::by_account::{Named, watched_sums};
use crate::telemetry::counters::Histogram;
use crate::telemetry::process::{self, Process};
use crate::telemetry::shown::Shown;
use crate::telemetry::tables::{OfProduct, Tables};

/// Shows what a gateway has counted, and the process that it is.
#[derive(Clone)]
pub struct Metrics {
    pub gateway: Arc<Gateway>,
    /// When the process began.
    pub started: Instant,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.gateway.snapshot();
        requests(&mut encoder, &snapshot.tables)?;
        names(&mut encoder, &snapshot.tables)?;
        self.connections(&mut encoder)?;
        self.records(&mut encoder)?;
        self.process(&mut encoder)
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, tables: &Tables) -> Result<(), fmt::Error> {
    let help = "Requests by product, problem and status, each empty where there is none";
    let mut requests = encoder.encode_descriptor("tollgate_requests", help, None, MetricType::Counter)?;
    for product in tables.of_products() {
        for kind in product.kinds() {
            let status = if kind.status == 0 { String::new() } else { kind.status.to_string() };
            let labels = [("product", &*product.name), ("problem", &kind.slug), ("status", &status)];
            ConstCounter::new(kind.count.sum()).encode(requests.encode_family(&labels)?)?;
        }
    }
    let help = "Requests that a list in watch mode would have refused, by product and problem";
    let mut watched = encoder.encode_descriptor("tollgate_watched_requests", help, None, MetricType::Counter)?;
    for product in tables.of_products() {
        for (slug, count) in watched_sums(&product.watched) {
            let labels = [("product", &*product.name), ("problem", slug)];
            ConstCounter::new(count).encode(watched.encode_family(&labels)?)?;
        }
    }
    let help = "Answers that were those of earlier requests with the same key, by product";
    let mut replays = encoder.encode_descriptor("tollgate_idempotent_replays", help, None, MetricType::Counter)?;
    for product in tables.of_products() {
        let labels = [("product", &*product.name)];
        ConstCounter::new(product.replayed.sum()).encode(replays.encode_family(&labels)?)?;
    }
    type Of = fn(&OfProduct) -> &Histogram;
    let histograms: [(&str, &str, Of); 3] = [
        ("tollgate_request_duration", "Time from the end of a request's head to the end of its answer", |product| {
            &product.total
        }),
        ("tollgate_upstream_duration", "The part of it that the upstream took", |product| &product.upstream),
        (
            "tollgate_own_duration",
            "The part of it that the gateway took: without the upstream and the wait for the body",
            |product| &product.own,
        ),
    ];
    for (name, help, of) in histograms {
        let mut shown = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for product in tables.of_products() {
            let labels = [("product", &*product.name)];
            Shown(of(product)).encode(shown.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// Accounts and tokens, where the configuration wants them.
fn names(encoder: &mut DescriptorEncoder<'_>, tables: &Tables) -> Result<(), fmt::Error> {
    let families: [(&str, &str, &Named); 2] = [
        ("tollgate_account_requests", "Requests by account and status", &tables.accounts),
        ("tollgate_token_requests", "Requests by token and status", &tables.tokens),
    ];
    for (name, help, named) in families {
        let mut shown = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for figures in named.iter() {
            for (status, count) in figures.statuses() {
                let status = if status == 0 { String::new() } else { status.to_string() };
                let count = ConstCounter::new(count);
                match &figures.token {
                    None => {
                        let labels = [("account", &*figures.account), ("status", &status)];
                        count.encode(shown.encode_family(&labels)?)?;
                    }
                    Some(token) => {
                        let labels = [("account", &*figures.account), ("token", token), ("status", &status)];
                        count.encode(shown.encode_family(&labels)?)?;
                    }
                }
            }
        }
    }
    let help = "Requests that a token's list in watch mode would have refused, by token and problem";
    let mut watched = encoder.encode_descriptor("tollgate_token_watched_requests", help, None, MetricType::Counter)?;
    for figures in tables.tokens.iter() {
        let Some(token) = &figures.token else { continue };
        for (slug, count) in figures.watched() {
            let labels = [("account", &*figures.account), ("token", token), ("problem", slug)];
            ConstCounter::new(count).encode(watched.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

impl Metrics {
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let help = "Requests in flight: from the end of their head to the end of their answer";
        let in_flight = encoder.encode_descriptor("tollgate_requests_in_flight", help, None, MetricType::Gauge)?;
        ConstGauge::new(count(self.gateway.requests_in_flight())).encode(in_flight)?;
        let help =
            "Connections of clients: opening until their first byte was looked at, then active with a request, or idle";
        let mut shown = encoder.encode_descriptor("tollgate_connections", help, None, MetricType::Gauge)?;
        let open = self.gateway.open_connections();
        let [(http1, active_http1), (http2, active_http2)] = self.gateway.telemetry().connections.counts();
        for (protocol, state, number) in [
            ("http1", "active", active_http1),
            ("http1", "idle", http1.saturating_sub(active_http1)),
            ("http2", "active", active_http2),
            ("http2", "idle", http2.saturating_sub(active_http2)),
            ("", "opening", open.saturating_sub(http1.saturating_add(http2))),
        ] {
            let labels = [("protocol", protocol), ("state", state)];
            ConstGauge::new(count(number)).encode(shown.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Lines and spans that were lost, where there are any.
    fn records(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let telemetry = self.gateway.telemetry();
        let mut show = |name, help, number| {
            let shown = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(number).encode(shown)
        };
        let help = "Bodies that were refused as body-invalid because judging them took too many steps";
        show("tollgate_bodies_over_budget", help, self.gateway.bodies_over_budget())?;
        let help = "Lines of the access log that were dropped because they could not be written fast enough, or at all";
        show("tollgate_access_log_dropped", help, telemetry.dropped_lines())?;
        if let Some(journal) = telemetry.journal() {
            let (written, lost) = journal.counts();
            show("tollgate_journal_decisions", "Decisions that the journal has written", written)?;
            let help = "Decisions that the journal has lost because they could not be written fast enough, or at all";
            show("tollgate_journal_lost", help, lost)?;
        }
        let (exported, dropped) = telemetry.spans();
        show("tollgate_otlp_exported", "Requests whose spans the collector has accepted", exported)?;
        show("tollgate_otlp_dropped", "Requests whose spans were dropped", dropped)
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "The program: always 1";
        let mut build = encoder.encode_descriptor("tollgate_build_info", help, None, MetricType::Gauge)?;
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        ConstGauge::new(1_i64).encode(build.encode_family(&labels)?)?;
        let process = Process::read();
        if let Some(seconds) = process.cpu_seconds {
            let help = "User and system CPU time";
            let cpu = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(cpu)?;
        }
        let help = "When the process started, in seconds since 1970";
        let start = encoder.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(process::began(self.started.elapsed())).encode(start)?;
        for (name, help, number) in [
            ("process_resident_memory_bytes", "Resident memory", process.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes),
            ("process_threads", "Threads", process.threads),
            ("process_open_fds", "File descriptors in use", process.open_descriptors),
            ("process_max_fds", "The limit of open file descriptors", process.max_descriptors),
        ] {
            let Some(number) = number else { continue };
            let shown = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(shown)?;
        }
        Ok(())
    }
}
