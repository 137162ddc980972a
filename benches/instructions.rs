//! The steps of a request whose instructions `make guard-instructions` counts, with callgrind.
//!
//! It runs this program once for each step, by name, and takes what is executed within `counted`; the counts are
//! compared with those in `instructions.json`. A count ignores caches and branch prediction, but it is the same on a
//! busy machine, and code that became longer by mistake is noticed at once. Each step is run once before it is counted,
//! so that one-time setup is not included. Without a name the program prints the names of its steps.
#![allow(clippy::unwrap_used, clippy::panic)] // A benchmark that cannot be set up may end in a panic.

mod shapes;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use tollgate::config::{self, Config};
use tollgate::operate::demo;
use tollgate::policy::Policy;
use tollgate::policy::admit::{Ingress, admit};
use tollgate::policy::check::network;
use tollgate::policy::http::head::{Head, HeadLimits, Lines, MAX_FIELDS, Peer};
use tollgate::policy::http::transaction_id::TransactionId;
use tollgate::policy::now::Now;
use tollgate::policy::observer::Unobserved;
use tollgate::policy::page::ListenerScope;
use tollgate::policy::paths::{Endpoint, Paths};
use tollgate::policy::problem::{Problem, Row};
use tollgate::policy::respond::{self, Context, Delivered, Http1Sink, Outcome};
use tollgate::policy::trail::Trail;
use tollgate::telemetry::addresses::Addresses;
use tollgate::telemetry::journal::note::{self, KeptHead};
use tollgate::telemetry::request_record::RequestRecord;
use tollgate::telemetry::sampling::Sampling;
use tollgate::telemetry::seen::{Kept, Seen, UpstreamTimes};
use tollgate::telemetry::tables::{Ending, Tables, Times};
use tollgate::telemetry::usage::Usage;
use tollgate::telemetry::{Telemetry, shadow};

use shapes::Shape;

const LIMITS: HeadLimits = HeadLimits { target_bytes: 8192, header_bytes: 16_384, header_lines: 64 };
const ANSWER: &str = r#"{"result":{"number":"+44 7400 123456","validated_phone_number":"+447400123456","formatted_phone_number":"+44 7400 123456","phone_type":"Mobile","confidence":"Verified"}}"#;

const BODY: &[u8] = br#"{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7}"#;

const PEER: Peer = Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

fn policy() -> Policy {
    let config = config::parse("demo.yaml", demo::CONFIGURATION, &demo::SOURCE);
    config.map_err(|mistakes| mistakes.to_string()).unwrap().policy
}

/// A time so long after the previous one that no rate is used up.
fn at(minute: u64) -> Now {
    Now { monotonic: Duration::from_secs(60 * minute), unix_seconds: 1_800_000_000, unix_nanos: 0 }
}

fn request(token: &str, more: &str) -> Vec<u8> {
    let text = format!(
        "POST /phone/validate/v2 HTTP/1.1\nHost: api.example.com\nUser-Agent: load/1.0\nAuth-Token: {token}\n\
         Content-Type: application/json\nAccept: application/json\nReference-ID: order 17/4\nTimeout-Seconds: 5\n\
         Content-Length: 100\n{more}\n"
    );
    text.replace('\n', "\r\n").into_bytes()
}

/// The one function whose instructions are counted, with all that it calls. Callgrind finds it by its name, so it must
/// not be inlined.
#[inline(never)]
fn counted(step: &mut dyn FnMut()) {
    step();
}

/// Runs a step once to set it up, and once to be counted.
fn count(mut step: impl FnMut()) {
    step();
    counted(&mut step);
}

fn count_head(bytes: &[u8]) {
    count(|| {
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let lines = Lines::split(black_box(bytes), &mut slots).unwrap();
        let _ = black_box(Head::judge(lines, PEER, &LIMITS));
    });
}

fn count_admit(token: &str, more: &str) {
    let (policy, bytes) = (policy(), request(token, more));
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(&bytes, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    let mut minute = 0;
    count(|| {
        minute += 1;
        let _ = black_box(admit(
            &mut Unobserved,
            &policy,
            black_box(&head),
            at(minute),
            Ingress::OPEN,
            &mut Trail::default(),
        ));
    });
}

fn count_shape(shape: Shape) {
    let (policy, request) = shape.of();
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(&request, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    count(|| {
        let turn = admit(&mut Unobserved, &policy, black_box(&head), at(1), Ingress::OPEN, &mut Trail::default());
        assert!(black_box(turn).is_ok());
    });
}

fn count_route(others: u16) {
    let mut paths = Paths::default();
    let mut insert = |template: &str, route| {
        paths.insert(None, "GET", template, Endpoint::Lookup { product: 0, route }).unwrap();
    };
    (0..others).for_each(|number| insert(&format!("/v1/other{number}/{{id}}"), number));
    insert("/v1/vat/{number}", others);
    let text = b"GET /v1/vat/DE811907980 HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(text, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    count(|| assert!(black_box(paths.find(black_box(&head))).is_some()));
}

fn count_body(text: &str) {
    let policy = policy();
    let rule = policy.products.first().and_then(|product| product.routes.first()?.body.as_ref()).unwrap();
    count(|| {
        let _ = black_box(rule.judge(black_box(text.as_bytes())));
    });
}

fn count_response(token: &str, outcome: &Outcome<'_>) {
    let (policy, bytes) = (policy(), request(token, ""));
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(&bytes, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    let mut trail = Trail::default();
    let _ = admit(&mut Unobserved, &policy, &head, at(1), Ingress::OPEN, &mut trail);
    let transaction = TransactionId::random();
    let context =
        Context { policy: &policy, lines: &head.lines, trail, transaction: &transaction, trace: None, now: at(1) };
    let mut out = Vec::with_capacity(4096);
    count(|| {
        black_box(respond::write(&mut Http1Sink { out: &mut out, connection: None }, black_box(&context), outcome));
    });
    black_box(out);
}

/// Counting where a token is used from, once it was used from there before: with the client's address, as the gateway
/// finds it out again.
fn count_source(more: &str) {
    let (policy, bytes) = (policy(), request("demo-live", more));
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(&bytes, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    let principal = policy.principal(b"demo-live").unwrap();
    let usage = Usage::new(Addresses::Full, true);
    count(|| {
        if let Some(sources) = black_box(&usage).sources() {
            let client = network::client(&policy.trusted_proxies, head.peer, &head.lines);
            sources.count(&principal, client, black_box(&head.lines), at(1));
        }
    });
}

/// What the journal takes from a lookup: the copy of its head, and its note.
fn count_note() {
    let (policy, bytes) = (policy(), request("demo-live", ""));
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(&bytes, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    let mut trail = Trail::default();
    assert!(admit(&mut Unobserved, &policy, &head, at(1), Ingress::OPEN, &mut trail).is_ok());
    let tables = Tables::new(&policy, Sampling::default(), Box::default(), None);
    let (now, begun) = (at(1), Instant::now());
    let asked = UpstreamTimes { now, since: Some(begun), server: None, status: 200, is_failure: false };
    let transaction = TransactionId::random();
    let seen = Seen {
        policy: &policy,
        tables: &tables,
        version: head.lines.version,
        kept: Kept::default(),
        id: [7; 16],
        transaction,
        trace: None,
        trail,
        asked,
        ending: Ending::Answered,
        delivered: true,
        is_replayed: false,
        bytes: (100, 174),
        begun,
    };
    let took = Duration::from_micros(300);
    let times = Times { total: took, upstream: Some(took), own: took };
    let mut out = Vec::with_capacity(4096);
    count(|| {
        let kept = KeptHead::of(&policy, black_box(&head), &trail, ListenerScope::All, (1_800_000_000, 0), false);
        note::write(&mut out, black_box(&seen), Some(&kept), &times, 1);
    });
    black_box(out);
}

/// What is recorded of a lookup that was answered, without a log, spans and a journal; with a candidate, what is copied
/// for it.
fn count_record(has_candidate: bool) {
    let config = config::parse("demo.yaml", demo::CONFIGURATION, &demo::SOURCE);
    let Config { policy, settings, .. } = config.map_err(|mistakes| mistakes.to_string()).unwrap();
    let (telemetry, begun) = (Telemetry::default(), Instant::now());
    let tables = Tables::new(&policy, settings.sampling, Box::default(), None);
    let bytes = request("demo-live", "");
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let head = Head::judge(Lines::split(&bytes, &mut slots).unwrap(), PEER, &LIMITS).unwrap();
    let mut trail = Trail::default();
    let _ = admit(&mut Unobserved, &policy, &head, at(1), Ingress::OPEN, &mut trail);
    let (feed, items, _) = shadow::queue();
    let feed = has_candidate.then_some(&feed);
    count(|| {
        let mut record = RequestRecord::of(&telemetry, &tables, &policy, black_box(&head.lines), begun);
        record.admitted(&trail, &head.lines);
        record.judged(&head, Ingress::OPEN, at(1), false, black_box(feed));
        record.body_begins(begun);
        record.body_ends(BODY.len());
        record.body_arrived(black_box(BODY));
        record.answer_arrived(black_box(ANSWER.as_bytes()), None, false);
        record.answered(&Outcome::Told(ANSWER.as_bytes()), 200);
        record.delivered();
    });
    drop(items);
}

fn refused(row: Row) -> Outcome<'static> {
    Outcome::Refused(Problem::new(row, "as the client has asked"))
}

/// A step's name and what it runs.
type Step = (&'static str, fn());

const STEPS: &[Step] = &[
    ("head", || count_head(&request("demo-live", ""))),
    ("admit: accepted", || count_admit("demo-unlimited", "")),
    ("admit: accepted with Origin", || count_admit("demo-domain", "Origin: https://a.shop.example.com\n")),
    ("admit: token-unknown", || count_admit("nobody", "")),
    ("admit: ip-not-allowed", || count_admit("demo-ip", "")),
    ("admit: content-type-unsupported", || count_admit("demo-live", "Content-Encoding: gzip\n")),
    ("admit: a route without parameters", || count_shape(Shape::Plain)),
    ("admit: a path parameter and two of a query", || count_shape(Shape::Parameters)),
    ("admit: a token as Bearer", || count_shape(Shape::Bearer)),
    ("admit: a signed token that was verified before", || count_shape(Shape::Signed)),
    ("route: one of 10", || count_route(9)),
    ("route: one of 10,000", || count_route(9_999)),
    ("body: accepted", || count_body(r#"{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7}"#)),
    ("body: body-malformed", || count_body(r#"{"number":"+44 7400 123456","output_format":"E164","#)),
    ("body: cache-days-unsupported", || count_body(r#"{"number":"+44 7400 123456","cache_value_days":31}"#)),
    ("source: without an Origin", || count_source("")),
    ("source: with an Origin", || count_source("Origin: https://a.shop.example.com\n")),
    ("journal: a lookup", count_note),
    ("record: a lookup", || count_record(false)),
    ("record: a lookup, and copies for a candidate", || count_record(true)),
    ("response: 200", || {
        count_response("demo-unlimited", &Outcome::Delivered(Delivered::plain(ANSWER.as_bytes()), None))
    }),
    ("response: token-unknown", || count_response("nobody", &refused(Row::TokenUnknown))),
    ("response: rate-exceeded", || count_response("demo-unlimited", &refused(Row::RateExceeded))),
    ("response: body-malformed", || count_response("demo-unlimited", &refused(Row::BodyMalformed))),
];

fn main() {
    let asked = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    match asked {
        Some(asked) => {
            let step = STEPS.iter().find(|(name, _)| *name == asked);
            step.unwrap_or_else(|| panic!("no step is called {asked}")).1();
        }
        None => STEPS.iter().for_each(|(name, _)| println!("{name}")),
    }
}
