//! Whole connections of HTTP/1 with any number of requests: what reaches the backend is what hyper would have understood
//! of the same bytes, in the same order, and nothing else; and the client gets complete answers of the closed set.

use std::cell::OnceCell;

use crate::connection::Running;
use crate::oracle::{self, Seen};

/// The closed set of statuses (docs/contract.md, section 1).
const STATUSES: [u16; 12] = [200, 204, 400, 401, 403, 404, 406, 408, 415, 429, 500, 503];

/// What the gateway writes itself into a backend's request.
const OURS: [&str; 6] = ["host", "accept", "transaction-id", "traceparent", "tracestate", "content-length"];

/// What never reaches a backend.
const NEVER: [&str; 8] =
    ["auth-token", "connection", "expect", "te", "trailer", "transfer-encoding", "upgrade", "x-forwarded-for"];

pub fn run(data: &[u8]) {
    thread_local!(static RUNNING: OnceCell<Running> = const { OnceCell::new() });
    let (answers, reached) = RUNNING.with(|running| running.get_or_init(|| Running::start(false)).send(data));
    reached.iter().for_each(clean);
    if !reached.is_empty() {
        let understood = oracle::requests(data);
        assert!(
            are_among(&reached, &understood) || are_among(&reached, &oracle::requests(&with_plain_targets(data))),
            "the backend got {reached:?}, and hyper understands {understood:?}"
        );
    }
    whole(&answers, data.windows(4).any(|word| word == b"HEAD"));
}

/// Whether the requests that reached the backend are some of those that hyper has read, in the same order.
fn are_among(reached: &[Seen], understood: &[Seen]) -> bool {
    let mut left = understood.iter();
    reached.iter().all(|request| left.any(|known| is_same(request, known)))
}

/// The same with other characters for those in request lines at which hyper ends the connection: for the gateway they
/// are characters of a path that is unknown, and the connection goes on.
fn with_plain_targets(data: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| if b"<>`\"".contains(byte) { b'_' } else { *byte };
    let lines = data.split_inclusive(|byte| *byte == b'\n').flat_map(|line| {
        let is_request = [b" HTTP/1.0\r\n", b" HTTP/1.1\r\n"].iter().any(|end| line.ends_with(*end));
        if is_request { line.iter().map(plain).collect() } else { line.to_vec() }
    });
    lines.collect()
}

/// Whether a request that reached the backend is one that hyper has read from the client.
pub fn is_same(reached: &Seen, known: &Seen) -> bool {
    let body = known.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&known.body);
    let are_known =
        reached.headers.iter().all(|field| OURS.contains(&field.0.as_str()) || known.headers.contains(field));
    (&reached.method, &reached.target, reached.body.as_slice()) == (&known.method, &known.target, body) && are_known
}

/// Holds the form of what the gateway builds.
pub fn clean(request: &Seen) {
    let count = |name: &str| request.headers.iter().filter(|(known, _)| known == name).count();
    for name in NEVER {
        assert_eq!(count(name), 0, "{name} reaches the backend: {request:?}");
    }
    assert_eq!((count("host"), count("accept"), count("transaction-id")), (1, 1, 1), "{request:?}");
    assert!(request.headers.contains(&("host".to_owned(), b"backend.example".to_vec())), "{request:?}");
    assert!(["POST /lookup", "POST /hidden", "GET /plain"].iter().any(|route| {
        let path = request.target.split('?').next().unwrap_or_default();
        *route == format!("{} {path}", request.method)
    }));
}

/// Holds what the client got: one whole answer after the other.
fn whole(mut rest: &[u8], may_have_no_bodies: bool) {
    while !rest.is_empty() {
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut slots);
        let end = answer.parse(rest).expect("an answer is HTTP").unwrap();
        let status = answer.code.unwrap();
        rest = &rest[end..];
        if status == 100 {
            continue;
        }
        assert!(STATUSES.contains(&status), "{status}");
        let field = |name: &str| answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        assert!(field("transaction-id").is_some());
        let length =
            field("content-length").map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
        if may_have_no_bodies && (rest.len() < length || rest.starts_with(b"HTTP/1.1 ")) {
            continue;
        }
        let (body, after) = rest.split_at_checked(length).expect("an answer has the length that it states");
        if !matches!(status, 200 | 204) {
            let object: serde_json::Value = serde_json::from_slice(body).expect("an error object is JSON");
            assert!(object.is_object());
        }
        rest = after;
    }
}
