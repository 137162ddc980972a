//! The accepted path through `admit` allocates nothing, nor does a refusal at any of its checks, nor
//! the choice of a server.
//!
//! A binary of its own, since it counts the allocations of its whole process by thread.
#![allow(unsafe_code, clippy::unwrap_used)] // Counting needs an allocator; a test may end in a panic.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use tollgate::admit::{Entrance, Trail, Turn, admit};
use tollgate::head::{Head, HeadLimits, Lines, MAX_FIELDS, Peer};
use tollgate::problem::Row;
use tollgate::quota::Now;
use tollgate::upstream::Upstreams;
use tollgate::{config, demo};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local
// cell that needs no allocation and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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
    let now = Now { monotonic: Duration::from_secs(5), unix_seconds: 1_800_000_000 };
    let before = ALLOCATIONS.get();
    let lines = Lines::split(&bytes, &mut slots).unwrap();
    let head = Head::judge(lines, Peer::Address([127, 0, 0, 1].into()), &limits).unwrap();
    let mut trail = Trail::default();
    let row = match admit(policy, &head, now, Entrance::OPEN, &mut trail) {
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
fn choosing_a_server_allocates_nothing() {
    let servers = "servers: [{ address: 127.0.0.1:9001, weight: 3, max_requests: 9 }, 127.0.0.1:9002]\n    \
                   breaker: { failures: 9 }";
    let text = demo::CONFIGURATION.replace("servers: [127.0.0.1:9001]", servers);
    let config = config::parse("demo.yaml", &text, &demo::SOURCE).unwrap();
    let upstreams = Upstreams::new(&config.policy.upstreams, |_, address| address);
    let request = |code: u16| {
        let before = ALLOCATIONS.get();
        let mut passage = upstreams.pool(0).unwrap().enter().unwrap();
        let _ = passage.next_server().unwrap();
        let second = passage.next_server().unwrap();
        passage.answered(code);
        drop((passage, second));
        ALLOCATIONS.get() - before
    };
    // The first one sets up what its thread needs to read the roster without a lock.
    request(200);
    for code in [200, 404, 503, 200] {
        assert_eq!(request(code), 0, "{code}");
    }
}
