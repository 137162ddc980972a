//! The cost of telemetry for a request: its metrics, its log line, and counters with many threads.
//!
//! `cargo bench --bench sight`. `one_word` and `family` are alternatives that the gateway does not
//! use: one number for all threads, and one that is found by its labels.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use divan::Bencher;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tollgate::config::{self, Config};
use tollgate::operate::demo;
use tollgate::policy::admit::Ingress;
use tollgate::policy::http::head::{Field, Head, Lines, Peer};
use tollgate::policy::now::Now;
use tollgate::policy::problem::{Problem, Row};
use tollgate::policy::respond::Outcome;
use tollgate::policy::trail::Trail;
use tollgate::telemetry::counters::{Count, Histogram};
use tollgate::telemetry::journal::settings::JournalSettings;
use tollgate::telemetry::names::Naming;
use tollgate::telemetry::request_record::RequestRecord;
use tollgate::telemetry::tables::Tables;
use tollgate::telemetry::{Outlets, Telemetry, access_log};

fn main() {
    divan::main();
}

fn configuration() -> Config {
    config::parse("demo.yaml", demo::CONFIGURATION, &demo::SOURCE).unwrap_or_else(|mistakes| {
        eprintln!("{mistakes}");
        std::process::exit(1)
    })
}

fn see(bencher: Bencher<'_, '_>, telemetry: &Telemetry, traceparent: bool, outcome: &Outcome<'_>) {
    let Config { policy, mut settings, .. } = configuration();
    settings.sampling.traceparent = traceparent;
    let tables = Tables::new(&policy, settings.sampling, Box::default(), None);
    let trail =
        Trail { product: policy.products.first(), principal: policy.principal(b"demo-live").ok(), ..Trail::default() };
    let lines = Lines { method: "POST", target: "/phone/validate/v2", ..Lines::UNREADABLE };
    bencher.bench(|| {
        let mut record = RequestRecord::of(telemetry, &tables, &policy, &lines, Instant::now());
        record.admitted(&trail, &lines);
        record.body_begins(Instant::now());
        record.body_ends(70);
        record.answered(outcome, 200);
        record.delivered();
    });
}

/// Only metrics, including the Transaction-Id that every request has.
#[divan::bench(threads = [1, 2])]
fn answered(bencher: Bencher<'_, '_>) {
    see(bencher, &Telemetry::default(), false, &Outcome::Told(b""));
}

#[divan::bench(threads = [1, 2])]
fn refused(bencher: Bencher<'_, '_>) {
    see(
        bencher,
        &Telemetry::default(),
        false,
        &Outcome::Refused(Problem::new(Row::TokenUnknown, "no token has this digest")),
    );
}

/// With a trace of its own.
#[divan::bench(threads = [1, 2])]
fn traced(bencher: Bencher<'_, '_>) {
    see(bencher, &Telemetry::default(), true, &Outcome::Told(b""));
}

/// With a log line, written to a file that accepts everything.
#[divan::bench(threads = [1, 2])]
fn logged(bencher: Bencher<'_, '_>) {
    let destination = access_log::Destination::File("/dev/null".into());
    let access_log = Some(access_log::AccessLogSettings { destination, names: Naming::Tollgate, reference_key: None });
    see(bencher, &Telemetry::start(Outlets { access_log, ..Outlets::default() }, None), true, &Outcome::Told(b""));
}

/// With a note for the journal, whose thread writes into a directory that goes afterwards.
#[divan::bench(threads = [1, 2])]
fn journalled(bencher: Bencher<'_, '_>) {
    let Config { policy, settings, .. } = configuration();
    let directory = std::env::temp_dir().join(format!("tollgate-bench-journal-{}", std::process::id()));
    let journal = JournalSettings {
        directory: directory.clone(),
        keep_bytes: JournalSettings::KEEP_BYTES,
        file_bytes: JournalSettings::FILE_BYTES,
        keep_for: None,
        key: None,
        addresses: true,
    };
    let telemetry = Telemetry::start(Outlets { journal: Some(journal), ..Outlets::default() }, None);
    if let Some(journal) = telemetry.journal() {
        journal.announce(&policy.frame);
    }
    let tables = Tables::new(&policy, settings.sampling, Box::default(), None);
    let product = policy.products.first();
    let route = product.and_then(|product| product.routes.first());
    let trail = Trail { product, route, principal: policy.principal(b"demo-live").ok(), ..Trail::default() };
    let fields = [
        ("Host", "api.example.com"),
        ("Auth-Token", "demo-live"),
        ("Content-Type", "application/json"),
        ("Content-Length", "70"),
        ("User-Agent", "curl/8.14.1"),
        ("Accept", "*/*"),
    ]
    .map(|(name, value)| Field { name, value: value.as_bytes() });
    let lines = Lines { method: "POST", target: "/phone/validate/v2", fields: &fields, ..Lines::UNREADABLE };
    let peer = Peer::Address([203, 0, 113, 9].into());
    let Ok(head) = Head::judge(lines, peer, &policy.limits.head) else { return };
    let now = Now { monotonic: Duration::ZERO, unix_seconds: 1_795_600_800, unix_nanos: 0 };
    bencher.bench(|| {
        let mut record = RequestRecord::of(&telemetry, &tables, &policy, &lines, Instant::now());
        record.admitted(&trail, &lines);
        record.judged(&head, Ingress::OPEN, now, false, None);
        record.body_begins(Instant::now());
        record.body_ends(70);
        record.answered(&Outcome::Told(b""), 200);
        record.delivered();
    });
    telemetry.flush();
    let _ = std::fs::remove_dir_all(directory);
}

#[divan::bench(threads = [1, 2])]
fn count(bencher: Bencher<'_, '_>) {
    let count = Count::default();
    bencher.bench(|| count.add_one());
}

#[divan::bench(threads = [1, 2])]
fn histogram(bencher: Bencher<'_, '_>) {
    let histogram = Histogram::default();
    bencher.bench(|| histogram.add(black_box(Duration::from_micros(300))));
}

#[divan::bench(threads = [1, 2])]
fn one_word(bencher: Bencher<'_, '_>) {
    let number = AtomicU64::new(0);
    bencher.bench(|| number.fetch_add(1, Ordering::Relaxed));
}

#[divan::bench(threads = [1, 2])]
fn family(bencher: Bencher<'_, '_>) {
    let family = Family::<[(&str, &str); 3], Counter>::default();
    bencher.bench(|| family.get_or_create(&[("product", "phone"), ("problem", ""), ("status", "200")]).inc());
}
