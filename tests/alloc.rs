//! The accepted path through `admit` allocates nothing, nor does a refusal at any of its checks, nor
//! the choice of a server; and a request through the whole gateway allocates no more than it did.
//!
//! A separate binary, since it counts the allocations of its whole process by thread.
#![allow(unsafe_code, clippy::unwrap_used)] // Counting needs an allocator; a test may end in a panic.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use tollgate::config;
use tollgate::downstream::listener::Listener;
use tollgate::downstream::serve;
use tollgate::gateway::Gateway;
use tollgate::ledger::opening;
use tollgate::operate::demo;
use tollgate::platform::descriptors::Descriptors;
use tollgate::policy::admit::{Ingress, Turn, admit};
use tollgate::policy::check::network::Client;
use tollgate::policy::http::head::{Head, HeadLimits, Lines, MAX_FIELDS, Peer};
use tollgate::policy::now::Now;
use tollgate::policy::observer::Unobserved;
use tollgate::policy::problem::{Problem, Row};
use tollgate::policy::respond::Outcome;
use tollgate::policy::trail::Trail;
use tollgate::telemetry::addresses::Addresses;
use tollgate::telemetry::request_record::RequestRecord;
use tollgate::telemetry::sources::SourceCounts;
use tollgate::telemetry::tables::Tables;
use tollgate::telemetry::usage::Usage;
use tollgate::telemetry::{Outlets, Telemetry};
use tollgate::upstream::Upstreams;
use tollgate::upstream::blame::Asker;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is the one that serves clients.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Allocations of the threads that serve clients.
static SERVING: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local
// cell that needs no allocation and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        if SERVES.get() {
            SERVING.fetch_add(1, Ordering::Relaxed);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The outcome of a request to the demo's policy, and the allocations that it took.
fn admitted(policy: &tollgate::policy::Policy, text: &str) -> (Option<Row>, usize) {
    let bytes = text.replace('\n', "\r\n").into_bytes();
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let limits = HeadLimits { target_bytes: 8192, header_bytes: 16_384, header_lines: 64 };
    let now = Now { monotonic: Duration::from_secs(5), unix_seconds: 1_800_000_000, unix_nanos: 0 };
    let before = ALLOCATIONS.get();
    let lines = Lines::split(&bytes, &mut slots).unwrap();
    let head = Head::judge(lines, Peer::Address([127, 0, 0, 1].into()), &limits).unwrap();
    let mut trail = Trail::default();
    let row = match admit(&mut Unobserved, policy, &head, now, Ingress::OPEN, &mut trail) {
        Ok(Turn::Lookup(_) | Turn::Preflight(_) | Turn::Enquiry(_) | Turn::Page(..)) => None,
        Err(problem) => Some(problem.row),
    };
    (row, ALLOCATIONS.get() - before)
}

#[test]
fn admit_allocates_nothing() {
    let config = config::parse("demo.yaml", demo::CONFIGURATION, &demo::SOURCE).unwrap();
    let request = |token: &str, more: &str| {
        format!(
            "POST /phone/validate/v2 HTTP/1.1\nHost: api.example.com\nUser-Agent: load/1.0\nAuth-Token: {token}\n\
             Content-Type: application/json\nAccept: application/json, text/plain;q=0.5\nReference-ID: order 17/4\n\
             Add-Metadata: true\nTimeout-Seconds: 5\nContent-Length: 25\n{more}\n"
        )
    };
    for (text, row) in [
        (request("demo-live", ""), None),
        (request("demo-live", "Origin: https://any.example\n"), None),
        (request("demo-domain", "Origin: https://a.b.shop.example.com:8443\n"), None),
        (request("demo-domain", "Referer: https://app.example.com/a/b?c#d\n"), None),
        (request("demo-domain", "Origin: https://evil.example\n"), Some(Row::DomainNotAllowed)),
        (request("demo-ip", ""), Some(Row::IpNotAllowed)),
        (request("unknown", ""), Some(Row::TokenUnknown)),
        (request("demo-expired", ""), Some(Row::TokenExpired)),
        (request("demo-other-product", ""), Some(Row::ProductMismatch)),
        (request("demo-live", "Accept-Language: de\nContent-Encoding: gzip\n"), Some(Row::ContentTypeUnsupported)),
    ] {
        // The first call of its kind on a thread may set up what later ones share.
        let (first, _) = admitted(&config.policy, &text);
        let (again, allocations) = admitted(&config.policy, &text);
        assert_eq!((first, again, allocations), (row, row, 0), "{text}");
    }
}

#[test]
fn counting_where_a_token_is_used_from_allocates_nothing() {
    let config = config::parse("demo.yaml", demo::CONFIGURATION, &demo::SOURCE).unwrap();
    let principal = config.policy.principal(b"demo-live").unwrap();
    let now = Now { monotonic: Duration::from_secs(5), unix_seconds: 1_800_000_000, unix_nanos: 0 };
    let client = Client::Address([203, 0, 113, 9].into());
    for addresses in [Addresses::Full, Addresses::Masked] {
        let sources = SourceCounts::new(addresses);
        for (name, value) in [
            ("X-Other", "1"),
            ("Origin", "https://a.b.shop.example.com:8443"),
            ("Origin", "null"),
            ("Referer", "https://app.example.com/a/b?c#d"),
        ] {
            let fields = [httparse::Header { name, value: value.as_bytes() }];
            let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
            // The first one is a new row.
            sources.count(&principal, client, &lines, now);
            let before = ALLOCATIONS.get();
            sources.count(&principal, client, &lines, now);
            assert_eq!(ALLOCATIONS.get() - before, 0, "{name}: {value}");
        }
    }
}

#[test]
fn seeing_a_request_allocates_nothing() {
    let more = "metrics: { by_account: true, by_token: true }\naccounts:";
    let text = demo::CONFIGURATION.replacen("accounts:", more, 1);
    let config = config::parse("demo.yaml", &text, &demo::SOURCE).unwrap();
    let (telemetry, tables) =
        (Telemetry::default(), Tables::new(&config.policy, config.settings.sampling.clone(), Box::default(), None));
    let principal = config.policy.principal(b"demo-live").unwrap();
    let trail = Trail { product: config.policy.products.first(), principal: Some(principal), ..Trail::default() };
    // `None`: the client hangs up.
    let see = |outcome: Option<Outcome<'_>>| {
        let before = ALLOCATIONS.get();
        let mut record = RequestRecord::of(&telemetry, &tables, &config.policy, &Lines::UNREADABLE, Instant::now());
        record.admitted(&trail, &Lines::UNREADABLE);
        record.body_begins(Instant::now());
        record.body_ends(7);
        outcome.inspect(|outcome| record.answered(outcome, 7));
        record.delivered();
        drop(record);
        ALLOCATIONS.get() - before
    };
    let refused = Outcome::Refused(Problem::new(Row::TokenUnknown, "a test"));
    // The first one sets up what its thread needs for random numbers.
    see(Some(Outcome::Told(b"")));
    let preflight = Outcome::Preflight(&config.policy.account_info.preflight);
    for (ending, outcome) in [
        ("answered", Some(Outcome::Told(b""))),
        ("preflight", Some(preflight)),
        ("gone", None),
        ("refused", Some(refused)),
    ] {
        assert_eq!(see(outcome), 0, "{ending}");
    }
}

#[test]
fn choosing_a_server_allocates_nothing() {
    let servers = "servers: [{ address: 127.0.0.1:9001, weight: 3, max_requests: 9 }, 127.0.0.1:9002]\n    \
                   breaker: { failures: 9 }";
    let text = demo::CONFIGURATION.replace("servers: [127.0.0.1:9001]", servers);
    let config = config::parse("demo.yaml", &text, &demo::SOURCE).unwrap();
    let upstreams = Upstreams::new(&config.settings.upstreams, |_, address, _| address);
    let request = |code: u16| {
        let before = ALLOCATIONS.get();
        let mut passage = upstreams.pool(0).unwrap().enter(Asker::of("acme")).unwrap();
        let _ = passage.next_server().unwrap();
        let second = passage.next_server().unwrap();
        passage.answered(tollgate::upstream::verdict::Verdict::of_status(code));
        drop((passage, second));
        ALLOCATIONS.get() - before
    };
    // The first one sets up what its thread needs to read the roster without a lock.
    request(200);
    for code in [200, 404, 503, 200] {
        assert_eq!(request(code), 0, "{code}");
    }
}

/// Requests over one connection before it is counted: what is set up once is there by then.
const WARM_UP: usize = 50;

/// Requests that are counted. What happens once a second, as a new Date, is lost among them.
const COUNTED: usize = 500;

/// A backend that answers each request with one and the same lookup.
fn backend() -> SocketAddr {
    const ANSWER: &str = r#"{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified"}}"#;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let mut request = Vec::new();
                while read_until(&mut stream, &mut request, |bytes| bytes.ends_with(b"}")) {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// Reads until what has come is whole; `false` at the end of the stream.
fn read_until(stream: &mut TcpStream, bytes: &mut Vec<u8>, whole: impl Fn(&[u8]) -> bool) -> bool {
    bytes.clear();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(piece.get(..count).unwrap()),
            Ok(0) | Err(_) => return false,
        }
        if whole(bytes) {
            return true;
        }
    }
}

/// The gateway with the demo's policy, on a thread of its own.
fn gateway(usage: Option<Usage>) -> SocketAddr {
    let servers = format!("servers: [{}]", backend());
    let text = demo::CONFIGURATION.replace("servers: [127.0.0.1:9001]", &servers);
    let (ready, address) = mpsc::channel();
    std::thread::spawn(move || {
        let config = config::parse("demo.yaml", &text, &demo::SOURCE).unwrap();
        let (policy, started) = (Arc::new(config.policy), Instant::now());
        let descriptors = Descriptors::claim().unwrap();
        let ledger = opening::start(config.ledger, &policy, started, None);
        let telemetry = Arc::new(Telemetry::start(Outlets::default(), usage.map(Arc::new)));
        let gateway = Arc::new(Gateway::new(policy, config.settings, ledger, telemetry, descriptors, started));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            ready.send(address).unwrap();
            let plain = Listener::plain(address);
            let (_running, shutdown) = tokio::sync::watch::channel(false);
            let (accepted, _) = listener.accept().await.unwrap();
            let digest = SocketDigest::from_raw_fd(accepted.as_raw_fd());
            let mut stream = Stream::from(accepted);
            stream.set_socket_digest(digest);
            SERVES.set(true);
            serve::serve(&gateway, Box::new(stream), &plain, &shutdown).await;
        });
    });
    address.recv().unwrap()
}

/// The last answer to one and the same request over one connection, and the gateway's allocations for each.
/// Lookups and refusals both end with two braces.
fn allocations_of(token: &str, usage: Option<Usage>) -> (Vec<u8>, usize) {
    let body = r#"{"number":"+44 7400 123456","cache_value_days":7}"#;
    let request = format!(
        "POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: {token}\r\n\
         Content-Type: application/json\r\nAccept: application/json\r\nReference-ID: order 17/4\r\n\
         Timeout-Seconds: 5\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway(usage)).unwrap();
    let mut answer = Vec::new();
    let mut before = 0;
    for turn in 0..WARM_UP + COUNTED {
        if turn == WARM_UP {
            before = SERVING.load(Ordering::Relaxed);
        }
        stream.write_all(request.as_bytes()).unwrap();
        assert!(read_until(&mut stream, &mut answer, |bytes| bytes.ends_with(b"}}")));
    }
    (answer, (SERVING.load(Ordering::Relaxed) - before) / COUNTED)
}

/// The caps are the current numbers: a change that needs one more has to raise it here, and say why.
#[test]
fn a_request_through_the_gateway_allocates_no_more_than_it_did() {
    // Some of them are the buffers that an idle connection does not keep.
    // One after the other, since all gateways of the process are counted together. Neither what is used nor where
    // tokens are used from takes one more.
    let counting = |counts_sources| Some(Usage::new(Addresses::Full, counts_sources));
    for (token, usage, status, cap) in [
        ("demo-unlimited", None, "HTTP/1.1 200 ", 16),
        ("demo-unlimited", counting(false), "HTTP/1.1 200 ", 16),
        ("demo-unlimited", counting(true), "HTTP/1.1 200 ", 16),
        ("nobody", None, "HTTP/1.1 401 ", 6),
    ] {
        let (answer, allocations) = allocations_of(token, usage);
        assert!(answer.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&answer));
        assert!(allocations <= cap, "{status}: {allocations} allocations a request, and {cap} are allowed");
    }
}
