//! The contract as a client sees it, over HTTP/1.1 and HTTP/2: one file per topic, and what they
//! share here.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Backend, Configuration, Gateway, Request, Response, token};

mod answers;
mod concurrency;
mod connection;
mod cors;
mod deadline;
mod error_object;
mod formats;
mod forwarding;
mod framing;
mod head;
mod idempotency;
mod idempotency_kept;
mod idempotency_under_way;
mod lists;
mod phone;
mod quota;
mod rate;
mod routes;
mod shared_balance;
mod signed_tokens;
mod statuses;
mod token;
mod token_places;

pub use statuses::problems;

/// A reference for valid requests, with every kind of character that is allowed.
const REFERENCE: &str = "c4n4ry Az09_-/:.,()";

/// A valid body, for places where a request is written out.
const BODY: &str = r#"{"number":"c4n4ry"}"#;

fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).yaml())
}

/// The usual configuration with more accounts: the name of each, which its token has as well, and what it may use.
fn yaml_with(backend: &Backend, accounts: &[(String, String)]) -> String {
    let yaml = Configuration::new(backend.address()).with("ledger: { volatile: true }\n").yaml();
    accounts.iter().fold(yaml, |yaml, (name, terms)| {
        let hash = tollgate::policy::account::Digest::of(token(name).as_bytes()).text();
        let line = format!("      - {{ name: {name}, hash: \"{hash}\", products: [phone, down] }}");
        yaml + &format!("  {name}:\n    {terms}\n    tokens:\n{line}\n")
    })
}

fn gateway_with(backend: &Backend, accounts: &[(String, String)]) -> Gateway {
    Gateway::start(&yaml_with(backend, accounts))
}

/// The number in a header.
fn number_of(response: &Response, name: &str) -> u64 {
    response.number(name)
}

fn behind_a_proxy(backend: &Backend) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).behind_a_proxy().yaml())
}

fn lookup() -> Request {
    Request::lookup("live")
}

/// One HTTP/1 request, its lines separated by `\n` in the source.
fn raw(lines: &str, body: &str) -> Vec<u8> {
    (lines.replace('\n', "\r\n") + "\r\n\r\n" + body).into_bytes()
}

/// A sound HTTP/1 lookup with more lines, and a body framed by them.
fn framed(more: &str, body: &str) -> Vec<u8> {
    let token = token("live");
    raw(
        &format!(
            "POST /phone/validate/v2 HTTP/1.1\nHost: api.example.com\nAuth-Token: {token}\nReference-ID: {REFERENCE}\n\
             Content-Type: application/json\n{more}"
        ),
        body,
    )
}

/// Success, or this problem.
fn check(response: &Response, slug: Option<&str>) {
    match slug {
        None => response.assert_success(),
        Some(slug) => response.assert_problem(slug),
    }
}

const RATE_HEADERS: [&str; 5] =
    ["X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "RateLimit-Policy", "RateLimit"];

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
