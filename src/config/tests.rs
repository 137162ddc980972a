//! Tables of wrong configurations and the exact lines that each is answered with, included files,
//! own words, and texts broken in every way.
//!
//! Most cases are one small edit of a configuration that is good. The files in `config/` are
//! compared with the keys of `file.rs` and with the defaults that the compiler really has.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::policy::account::{Digest, Expiry};
use crate::policy::check::header::Shape;
use crate::policy::problem::{Row, TABLE};
use crate::upstream::settings::{BreakerRule, MAX_SERVERS, Probe};

/// A configuration with every kind of value and no mistake.
pub const GOOD: &str = r#"listen: 127.0.0.1:8080
workers: 2
public_url: https://api.example.com
trusted_proxies: [10.0.0.0/8]
limits: { header_bytes: 16KiB, headers: 64, head_timeout: 5s, connections: 100 }
upstreams:
  lookup:
    servers: [127.0.0.1:9001]
    host: lookup.internal
    connect_timeout: 1s
products:
  phone:
    upstream: lookup
    routes: [POST /phone]
    token_headers: [Auth-Token]
    accept: [application/json]
    deadline: { header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }
    headers:
      Reference-ID: { pattern: '[a-z]+', max: 256, echo: true, problem: reference-id-invalid }
      Mode: { one_of: [fast, deep], ignore_case: true, problem: mode-invalid }
    body:
      max: 16KiB
      schema: { type: object, properties: { number: { type: string } } }
      strict: false
      problems:
        - { at: /number, when: missing, problem: number-missing }
    preflight_max_age: 10m
problems:
  mode-invalid: { status: 400, detail: Send Mode as fast or deep. }
  number-missing:
    status: 400
    detail: Send a number.
accounts:
  acme:
    rate: { limit: 150/min, burst: 150 }
    tokens:
      - name: web
        hash: "sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f"
        products: [phone]
        disabled: false
        expires: 2027-06-30
        networks: [203.0.113.0/24]
        domains: [app.example.com]
        absent: deny
"#;

/// Edits of [`GOOD`], and all lines that the edited text is answered with.
struct Case {
    /// What is replaced, which stands once in the text, and by what.
    edits: &'static [(&'static str, &'static str)],
    lines: &'static [&'static str],
}

pub fn edited(good: &str, edits: &[(&str, &str)]) -> String {
    let mut text = good.to_owned();
    for (old, new) in edits {
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {edits:?}");
        text = text.replace(old, new);
    }
    text
}

pub fn parsed(text: &str) -> Result<Config, Mistakes> {
    parse("f", text, &Source::from(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config"))))
}

/// The lines that a text is answered with; none if it is good.
fn lines_of(text: &str) -> Vec<String> {
    parsed(text).map_or_else(|mistakes| mistakes.to_string().lines().map(str::to_owned).collect(), |_| Vec::new())
}

fn check(cases: &[Case]) {
    check_edits(GOOD, cases.iter().map(|case| (case.edits, case.lines)));
}

/// Checks each list of edits of a good text against the lines that it is answered with.
pub fn check_edits<'c>(good: &str, cases: impl Iterator<Item = (&'c [(&'c str, &'c str)], &'c [&'c str])>) {
    let mut failures = String::new();
    for (edits, expected) in cases {
        let lines = lines_of(&edited(good, edits));
        if lines != expected {
            let _ = write!(failures, "\n{edits:?}\n  is answered with {lines:#?}");
        }
        // Every line says what is wrong, and behind a semicolon what to write instead.
        for line in &lines {
            let what = line.splitn(5, ':').nth(4).unwrap_or_default();
            assert!(
                what.split_once("; ").is_some_and(|(wrong, instead)| wrong.len() > 5 && instead.len() > 7),
                "{line}"
            );
        }
        assert!(!lines.is_empty(), "{edits:?} is let pass");
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn mistakes_in_addresses_and_limits() {
    check(&[
        Case {
            edits: &[("listen: 127.0.0.1:8080", "listen: localhost:8080")],
            lines: &[
                "f:1:9: listen: is not an address and a port; write one as in 127.0.0.1:8080 or [::1]:8080, not a name",
            ],
        },
        Case {
            edits: &[("listen: 127.0.0.1:8080", "listen: 8080")],
            lines: &[
                "f:1:9: listen: is not an address and a port; write one as in 127.0.0.1:8080 or [::1]:8080, not a name",
            ],
        },
        Case {
            edits: &[("listen: 127.0.0.1:8080", "listen: 127.0.0.1:0")],
            lines: &["f:1:9: listen: has the port 0; write the port to connect to"],
        },
        Case {
            edits: &[("listen: 127.0.0.1:8080", "listen:")],
            lines: &["f:1:1: listen: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("workers: 2", "workers: 0")],
            lines: &["f:2:10: workers: is out of range; write a number from 1 to 1024, or remove it for one a core"],
        },
        Case {
            edits: &[("workers: 2", "workers: many")],
            lines: &["f:2:10: workers: is not a whole number; write decimal digits"],
        },
        Case {
            edits: &[("workers: 2", "workers: '2'")],
            lines: &["f:2:10: workers: is quoted text, but a whole number is wanted here; remove the quotes"],
        },
        Case {
            edits: &[("workers: 2", "h2c: yes")],
            lines: &["f:2:6: h2c: is neither true nor false; write `true` or `false`"],
        },
        Case {
            edits: &[("workers: 2", "admin: 192.0.2.1:9901")],
            lines: &[
                "f:2:8: admin: can be reached from other machines; use a loopback address, or say admin_exposed: true",
            ],
        },
        Case {
            edits: &[("workers: 2", "admin: 0.0.0.0:9901\nadmin_exposed: false")],
            lines: &[
                "f:2:8: admin: can be reached from other machines; use a loopback address, or say admin_exposed: true",
            ],
        },
        Case {
            edits: &[("workers: 2", "admin_hosts: [ok.example, \"2001:db8::1\", \"a:1\"]")],
            lines: &[
                "f:2:42: admin_hosts[2]: is not a host; write a name without a port, as in tollgate.internal, or an address",
            ],
        },
        Case {
            edits: &[("workers: 2", "admin: 127.0.0.1:8080")],
            lines: &["f:2:8: admin: is where clients connect already; choose another port than that of `listen`"],
        },
        Case {
            edits: &[("listen: 127.0.0.1:8080", "listen: 0.0.0.0:9901")],
            lines: &["f:1:1: admin: is where clients connect already; choose another port than that of `listen`"],
        },
        Case {
            edits: &[("public_url: https://api.example.com\n", "")],
            lines: &["f:1:1: public_url: is missing; write the URL that clients know, as in https://api.example.com"],
        },
        Case {
            edits: &[("https://api.example.com", "api.example.com")],
            lines: &["f:3:13: public_url: is not a public URL; write scheme and host, as in https://api.example.com"],
        },
        Case {
            edits: &[("https://api.example.com", "https://user:pass@api.example.com")],
            lines: &["f:3:13: public_url: is not a public URL; write scheme and host, as in https://api.example.com"],
        },
        Case {
            edits: &[("trusted_proxies: [10.0.0.0/8]", "trusted_proxies:")],
            lines: &["f:4:1: trusted_proxies: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("trusted_proxies: [10.0.0.0/8]", "trusted_proxies: []")],
            lines: &["f:4:18: trusted_proxies: is an empty list; write networks, or remove the key"],
        },
        Case {
            edits: &[("10.0.0.0/8", "10.0.0.1/8")],
            lines: &[
                "f:4:19: trusted_proxies[0]: has bits set behind its prefix; write the network's first address, or a longer prefix",
            ],
        },
        Case {
            edits: &[("10.0.0.0/8", "0.0.0.0/0")],
            lines: &[
                "f:4:19: trusted_proxies[0]: trusts every address, so that any client could claim another one's; write the proxies' own networks",
            ],
        },
        Case {
            edits: &[("10.0.0.0/8", "proxy.internal")],
            lines: &["f:4:19: trusted_proxies[0]: is not an address; write one as in 203.0.113.7 or 2001:db8::1"],
        },
        Case {
            edits: &[("trusted_proxies: [10.0.0.0/8]", "trusted_proxies: 10.0.0.0/8")],
            lines: &[
                "f:4:18: trusted_proxies: is one value, but a list is wanted here; write `- value` lines below it",
            ],
        },
        Case {
            edits: &[("16KiB, headers", "16KB, headers")],
            lines: &[
                "f:5:25: limits.header_bytes: is not a size; write a whole number and a unit, as in 512B, 16KiB or 1MiB",
            ],
        },
        Case {
            edits: &[("16KiB, headers", "16GiB, headers")],
            lines: &[
                "f:5:25: limits.header_bytes: is not a size; write a whole number and a unit, as in 512B, 16KiB or 1MiB",
            ],
        },
        Case {
            edits: &[("16KiB, headers", "1B, headers")],
            lines: &["f:5:25: limits.header_bytes: is out of range; write a size from 256B to 64KiB"],
        },
        Case {
            edits: &[("16KiB, headers", "1MiB, headers")],
            lines: &["f:5:25: limits.header_bytes: is out of range; write a size from 256B to 64KiB"],
        },
        Case {
            edits: &[("headers: 64", "headers: 129")],
            lines: &["f:5:41: limits.headers: is out of range; write a number from 1 to 128"],
        },
        Case {
            edits: &[("headers: 64", "headers: -1")],
            lines: &["f:5:41: limits.headers: is out of range; write a number from 0 on"],
        },
        Case {
            edits: &[("head_timeout: 5s", "head_timeout: 5")],
            lines: &[
                "f:5:59: limits.head_timeout: is not a duration; write a whole number and a unit, as in 500ms, 5s, 2m, 1h or 7d",
            ],
        },
        Case {
            edits: &[("head_timeout: 5s", "head_timeout: 2h")],
            lines: &["f:5:59: limits.head_timeout: is out of range; write a duration from 50ms to 1h"],
        },
        Case {
            edits: &[("head_timeout: 5s", "head_timeout: 99999999999999999d")],
            lines: &["f:5:59: limits.head_timeout: is too long; write a duration that a clock can count"],
        },
        Case {
            edits: &[("connections: 100", "connections: 0")],
            lines: &["f:5:76: limits.connections: is out of range; write a number from 1 to 10000000"],
        },
        Case {
            edits: &[(
                "limits: { header_bytes: 16KiB, headers: 64, head_timeout: 5s, connections: 100 }",
                "limits: { response_bytes: 1B, target_bytes: 1B, drain_bytes: 17MiB, body_timeout: 1ms, idle_timeout: 0s, write_timeout: 90m, requests: 10000001 }",
            )],
            lines: &[
                "f:5:27: limits.response_bytes: is out of range; write a size from 1KiB to 64MiB",
                "f:5:45: limits.target_bytes: is out of range; write a size from 64B to 64KiB",
                "f:5:62: limits.drain_bytes: is out of range; write a size from 0B to 16MiB",
                "f:5:83: limits.body_timeout: is out of range; write a duration from 50ms to 1h",
                "f:5:102: limits.idle_timeout: is out of range; write a duration from 50ms to 1h",
                "f:5:121: limits.write_timeout: is out of range; write a duration from 50ms to 1h",
                "f:5:136: limits.requests: is out of range; write a number from 1 to 10000000",
            ],
        },
        Case {
            edits: &[("limits: { header_bytes: 16KiB, headers: 64, head_timeout: 5s, connections: 100 }", "limits:")],
            lines: &["f:5:1: limits: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(
                "limits: { header_bytes: 16KiB, headers: 64, head_timeout: 5s, connections: 100 }",
                "limits: 16KiB",
            )],
            lines: &[
                "f:5:9: limits: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are header_bytes, headers, target_bytes, head_timeout, handshake_timeout, body_timeout, idle_timeout, write_timeout, connections, requests, response_bytes, drain_bytes",
            ],
        },
    ]);
}

#[test]
fn mistakes_in_upstreams() {
    check(&[
        Case {
            edits: &[("    servers: [127.0.0.1:9001]\n", "")],
            lines: &["f:7:3: upstreams.lookup.servers: is missing; write at least one, as in [127.0.0.1:9001]"],
        },
        Case {
            edits: &[("servers: [127.0.0.1:9001]", "servers:")],
            lines: &["f:8:5: upstreams.lookup.servers: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("servers: [127.0.0.1:9001]", "servers: []")],
            lines: &["f:8:14: upstreams.lookup.servers: is an empty list; write at least one, as in [127.0.0.1:9001]"],
        },
        Case {
            edits: &[("servers: [127.0.0.1:9001]", "servers: [lookup.internal]")],
            lines: &[
                "f:8:15: upstreams.lookup.servers[0]: is not an address or a name with a port; write one as in 127.0.0.1:9001, [::1]:9001 or lookup-1.internal:9001",
            ],
        },
        Case {
            edits: &[("servers: [127.0.0.1:9001]", "servers: [127.0.0.1:0]")],
            lines: &["f:8:15: upstreams.lookup.servers[0]: has the port 0; write the port that the backend listens on"],
        },
        Case {
            edits: &[("servers: [127.0.0.1:9001]", "servers: [127.0.0.1:8080]")],
            lines: &[
                "f:8:15: upstreams.lookup.servers[0]: is the gateway's own `listen` address; write that of the backend",
            ],
        },
        Case {
            edits: &[("host: lookup.internal", "host: http://lookup.internal/")],
            lines: &[
                "f:9:11: upstreams.lookup.host: is not a host; write one as in lookup.internal or lookup.internal:9001",
            ],
        },
        Case {
            edits: &[("host: lookup.internal", "host: ''")],
            lines: &[
                "f:9:11: upstreams.lookup.host: is not a host; write one as in lookup.internal or lookup.internal:9001",
            ],
        },
        Case {
            edits: &[("connect_timeout: 1s", "connect_timeout: 0s")],
            lines: &["f:10:22: upstreams.lookup.connect_timeout: is out of range; write a duration from 50ms to 1h"],
        },
        Case {
            edits: &[("connect_timeout: 1s", "idle_timeout: 2d")],
            lines: &["f:10:19: upstreams.lookup.idle_timeout: is out of range; write a duration from 50ms to 1h"],
        },
        Case {
            edits: &[("connect_timeout: 1s", "retries: 3")],
            lines: &[
                "f:10:5: upstreams.lookup.retries: is not a key here; the keys are servers, resolve_every, host, tls, connect_timeout, idle_timeout, slow_after, add_headers, health_check, ejection, breaker",
            ],
        },
        Case {
            edits: &[("connect_timeout: 1s", "connect_timout: 1s")],
            lines: &["f:10:5: upstreams.lookup.connect_timout: is not a key here; did you mean `connect_timeout`?"],
        },
        Case {
            edits: &[(
                "  lookup:\n    servers: [127.0.0.1:9001]\n    host: lookup.internal\n    connect_timeout: 1s\n",
                "  {}\n",
            )],
            lines: &["f:1:1: upstreams: is missing; write at least one, as in lookup: { servers: [127.0.0.1:9001] }"],
        },
        Case {
            edits: &[(
                "  lookup:\n    servers: [127.0.0.1:9001]\n    host: lookup.internal\n    connect_timeout: 1s\n",
                "",
            )],
            lines: &["f:6:1: upstreams: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(
                "  lookup:\n    servers: [127.0.0.1:9001]\n    host: lookup.internal\n    connect_timeout: 1s\n",
                "  lookup:\n",
            )],
            lines: &["f:7:3: upstreams.lookup: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("upstreams:\n", "upstream:\n")],
            lines: &[
                "f:1:1: upstreams: is missing; write at least one, as in lookup: { servers: [127.0.0.1:9001] }",
                "f:6:1: upstream: is not a key here; did you mean `upstreams`?",
            ],
        },
        Case {
            edits: &[("  lookup:\n", "  ' ':\n"), ("upstream: lookup", "upstream: ' '")],
            lines: &["f:7:3: upstreams. : is not a name; write one of visible characters"],
        },
    ]);
}

#[test]
fn mistakes_in_servers() {
    const SERVERS: &str = "servers: [127.0.0.1:9001]";
    check(&[
        Case {
            edits: &[(SERVERS, "servers: [{ address: lookup, weight: 0, max_requests: 0 }]")],
            lines: &[
                "f:8:26: upstreams.lookup.servers[0].address: is not an address or a name with a port; write one as in 127.0.0.1:9001, [::1]:9001 or lookup-1.internal:9001",
                "f:8:42: upstreams.lookup.servers[0].weight: is out of range; write a number from 1 to 100",
                "f:8:59: upstreams.lookup.servers[0].max_requests: is out of range; write a number from 1 to 1000000",
            ],
        },
        Case {
            edits: &[(SERVERS, "servers: [{ weight: 2 }]")],
            lines: &[
                "f:8:15: upstreams.lookup.servers[0].address: is missing; write where the server is, as in 127.0.0.1:9001 or lookup-1.internal:9001",
            ],
        },
        Case {
            edits: &[(SERVERS, "servers: [{ address: 127.0.0.1:9001, wieght: 2 }]")],
            lines: &["f:8:42: upstreams.lookup.servers[0].wieght: is not a key here; did you mean `weight`?"],
        },
        Case {
            edits: &[(SERVERS, "servers: [{ address: 127.0.0.1:8080 }]")],
            lines: &[
                "f:8:26: upstreams.lookup.servers[0].address: is the gateway's own `listen` address; write that of the backend",
            ],
        },
        Case {
            edits: &[(SERVERS, "servers: [lookup.internal:0]")],
            lines: &["f:8:15: upstreams.lookup.servers[0]: has the port 0; write the port that the backend listens on"],
        },
        Case {
            edits: &[(SERVERS, "servers: [a.internal:80, { address: a.internal:80 }]")],
            lines: &[
                "f:8:41: upstreams.lookup.servers[1].address: is listed already; remove it, or give the server a greater weight",
            ],
        },
        Case {
            edits: &[(SERVERS, "servers: [[127.0.0.1:9001]]")],
            lines: &[
                "f:8:15: upstreams.lookup.servers[0]: is a list, but a mapping is wanted here; write `key: value` lines below it; the keys are address, weight, max_requests",
            ],
        },
        Case {
            edits: &[(SERVERS, "servers: [~]")],
            lines: &["f:8:15: upstreams.lookup.servers[0]: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(SERVERS, "servers: 127.0.0.1:9001")],
            lines: &[
                "f:8:14: upstreams.lookup.servers: is one value, but a list is wanted here; write `- value` lines below it",
            ],
        },
    ]);
    let many = (1..=MAX_SERVERS + 1).map(|port| format!("10.0.0.1:{port}")).collect::<Vec<_>>().join(", ");
    assert_eq!(
        lines_of(&edited(GOOD, &[(SERVERS, &format!("servers: [{many}]"))])),
        ["f:8:1699: upstreams.lookup.servers[128]: is one server too many; 128 fit into one upstream"]
    );
}

#[test]
fn mistakes_in_what_becomes_of_failing_servers() {
    const AFTER: &str = "connect_timeout: 1s";
    check(&[
        Case {
            edits: &[(AFTER, "health_check: { interval: 1s }")],
            lines: &[
                "f:10:19: upstreams.lookup.health_check: does not say what to ask for; write a path, as in path: /healthz, or tcp: true",
            ],
        },
        Case {
            edits: &[(AFTER, "health_check: { path: /h, tcp: true }")],
            lines: &[
                "f:10:27: upstreams.lookup.health_check.path: says nothing beside tcp: true, which sends no request; remove one of the two",
            ],
        },
        Case {
            edits: &[(AFTER, "health_check: { tcp: true, status: 204 }")],
            lines: &[
                "f:10:40: upstreams.lookup.health_check.status: says nothing beside tcp: true, which sends no request; remove one of the two",
            ],
        },
        Case {
            edits: &[(AFTER, "health_check: { path: h, status: 99, failures: 0, successes: 1001, timeout: 1ms }")],
            lines: &[
                "f:10:27: upstreams.lookup.health_check.path: is not a path; write one as in /healthz",
                "f:10:38: upstreams.lookup.health_check.status: is out of range; write a number from 200 to 599",
                "f:10:52: upstreams.lookup.health_check.failures: is out of range; write a number from 1 to 1000",
                "f:10:66: upstreams.lookup.health_check.successes: is out of range; write a number from 1 to 1000",
                "f:10:81: upstreams.lookup.health_check.timeout: is out of range; write a duration from 50ms to 1h",
            ],
        },
        Case {
            edits: &[(AFTER, "health_check: /healthz")],
            lines: &[
                "f:10:19: upstreams.lookup.health_check: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are path, status, tcp, interval, timeout, failures, successes",
            ],
        },
        Case {
            edits: &[(AFTER, "ejection: { failures: 1001, time: 2d }")],
            lines: &[
                "f:10:27: upstreams.lookup.ejection.failures: is out of range; write a number from 0 to 1000",
                "f:10:39: upstreams.lookup.ejection.time: is out of range; write a duration from 50ms to 1h",
            ],
        },
        Case {
            edits: &[(AFTER, "ejection: { failures: five }")],
            lines: &[
                "f:10:27: upstreams.lookup.ejection.failures: is not a whole number; write decimal digits, from 0 to 4294967295",
            ],
        },
        Case {
            edits: &[(AFTER, "breaker: { failures: 0, error_percent: 0 }")],
            lines: &[
                "f:10:14: upstreams.lookup.breaker: would never open; give it failures or error_percent, or remove it",
            ],
        },
        Case {
            edits: &[(AFTER, "breaker: { error_percent: 101, min_requests: 0, window: 1ms, open_for: 2h }")],
            lines: &[
                "f:10:31: upstreams.lookup.breaker.error_percent: is out of range; write a number from 0 to 100",
                "f:10:50: upstreams.lookup.breaker.min_requests: is out of range; write a number from 1 to 1000000",
                "f:10:61: upstreams.lookup.breaker.window: is out of range; write a duration from 50ms to 1h",
                "f:10:76: upstreams.lookup.breaker.open_for: is out of range; write a duration from 50ms to 1h",
            ],
        },
        Case {
            edits: &[(AFTER, "breaker:")],
            lines: &["f:10:5: upstreams.lookup.breaker: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(AFTER, "resolve_every: 1ms")],
            lines: &["f:10:20: upstreams.lookup.resolve_every: is out of range; write a duration from 50ms to 1h"],
        },
        Case {
            edits: &[(AFTER, "slow_after: soon")],
            lines: &[
                "f:10:17: upstreams.lookup.slow_after: is not a duration; write a whole number and a unit, as in 500ms, 5s, 2m, 1h or 7d",
            ],
        },
    ]);
}

#[test]
fn mistakes_in_added_headers() {
    const AFTER: &str = "connect_timeout: 1s";
    check(&[
        Case {
            edits: &[(AFTER, "add_headers: { Content-Length: 1, a_b: 1 }")],
            lines: &[
                "f:10:20: upstreams.lookup.add_headers.Content-Length: is a header that HTTP or the gateway gives a meaning of its own; choose another one",
                "f:10:39: upstreams.lookup.add_headers.a_b: is not a header's name; use letters, digits and hyphens, as in Auth-Token",
            ],
        },
        Case {
            edits: &[(AFTER, "add_headers: { A: \"${env:TOLLGATE_HAS_NO_SUCH_VARIABLE}\" }")],
            lines: &[
                "f:10:20: upstreams.lookup.add_headers.A: takes its value from a variable of the environment that is not set; set it, or correct its name",
            ],
        },
        Case {
            edits: &[(AFTER, "add_headers: { A: \"${file:there-is-none}\" }")],
            lines: &[
                "f:10:20: upstreams.lookup.add_headers.A: takes its value from a file that cannot be read (No such file or directory (os error 2)); name one that this user may read",
            ],
        },
        Case {
            edits: &[(AFTER, "add_headers: { A: \"${env:PATH\", B: \"${vault:key}\" }")],
            lines: &[
                "f:10:20: upstreams.lookup.add_headers.A: has a ${ without its }; write ${env:NAME} or ${file:PATH}",
                "f:10:37: upstreams.lookup.add_headers.B: has a ${…} that means nothing here; write ${env:NAME} or ${file:PATH}",
            ],
        },
        Case {
            // The file is there, but has lines.
            edits: &[(AFTER, "add_headers: { A: \"${file:demo.yaml}\", B: é, C: \"a\\nb\", D: ' ' }")],
            lines: &[
                "f:10:20: upstreams.lookup.add_headers.A: has a value that no header can have; write 1 to 8192 printable characters of ASCII",
                "f:10:44: upstreams.lookup.add_headers.B: has a value that no header can have; write 1 to 8192 printable characters of ASCII",
                "f:10:50: upstreams.lookup.add_headers.C: has a value that no header can have; write 1 to 8192 printable characters of ASCII",
                "f:10:61: upstreams.lookup.add_headers.D: has a value that no header can have; write 1 to 8192 printable characters of ASCII",
            ],
        },
        Case {
            edits: &[(AFTER, "add_headers: { X-Key: a, x-key: b }")],
            lines: &["f:10:30: upstreams.lookup.add_headers.x-key: is added already; remove it"],
        },
        Case {
            edits: &[(AFTER, "add_headers: { reference-id: a }")],
            lines: &[
                "f:19:7: products.phone.headers.Reference-ID: is added to every request of the product's upstream; remove it here or there",
            ],
        },
    ]);
    let many: String = (0..33).map(|number| format!("H{number}: a, ")).collect();
    let lines = lines_of(&edited(GOOD, &[(AFTER, &format!("add_headers: {{ {many} }}"))]));
    assert_eq!(lines, ["f:10:266: upstreams.lookup.add_headers.H32: is one header too many; 32 can be added"]);
}

#[test]
fn added_headers_come_from_the_environment_and_files_and_are_not_shown() {
    let scratch = Scratch::new();
    scratch.write("key", "s3cret\n");
    let added = "add_headers: { X-Key: \"Bearer ${file:key}\", X-Two: \"${env:CARGO_PKG_NAME}/${file:key}/$5\" }";
    let text = edited(GOOD, &[("connect_timeout: 1s", added)]);
    let config = parse("f", &text, &Source::from(scratch.0.clone())).unwrap_or_else(|all| panic!("{all}"));
    let upstream = &config.policy.upstreams[0];
    assert_eq!(upstream.added.lines(), b"X-Key: Bearer s3cret\r\nX-Two: tollgate/s3cret/$5\r\n");
    assert!(!format!("{config:?}").contains("s3cret") && !config.summary("f").contains("s3cret"));
}

#[test]
fn mistakes_in_products() {
    check(&[
        Case {
            edits: &[("upstream: lookup", "upstream: lokup")],
            lines: &["f:13:15: products.phone.upstream: names no upstream; write lookup"],
        },
        Case {
            edits: &[("    upstream: lookup\n", "")],
            lines: &["f:12:3: products.phone.upstream: is missing; name one of `upstreams`"],
        },
        Case {
            edits: &[("routes: [POST /phone]", "routes: []")],
            lines: &[
                "f:14:13: products.phone.routes: is an empty list; write at least one, as in [POST /phone/validate/v2]",
            ],
        },
        Case {
            edits: &[("routes: [POST /phone]", "routes:")],
            lines: &["f:14:5: products.phone.routes: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("    routes: [POST /phone]\n", "")],
            lines: &["f:12:3: products.phone.routes: is missing; write at least one, as in [POST /phone/validate/v2]"],
        },
        Case {
            edits: &[("POST /phone]", "POST /phone, POST /phone]")],
            lines: &[
                "f:14:27: products.phone.routes[1]: is routed already; give each method and path to one product, once",
            ],
        },
        Case {
            edits: &[("POST /phone]", "/phone, OPTIONS /phone, POST phone, POST /a/../b, POST /a//b, POST /a?b]")],
            lines: &[
                "f:14:14: products.phone.routes[0]: is not a route; write a method and a path, as in POST /phone/validate/v2",
                "f:14:22: products.phone.routes[1]: has a method that cannot be routed; use GET, POST, PUT, PATCH or DELETE",
                "f:14:38: products.phone.routes[2]: is not a route; write a method and a path, as in POST /phone/validate/v2",
                "f:14:50: products.phone.routes[3]: has a path that no request can have; leave out dot segments, empty segments, ; and encoded slashes",
                "f:14:64: products.phone.routes[4]: has a path that no request can have; leave out dot segments, empty segments, ; and encoded slashes",
                "f:14:76: products.phone.routes[5]: is not a route; write a method and a path, as in POST /phone/validate/v2",
            ],
        },
        Case {
            edits: &[("    token_headers: [Auth-Token]\n", "")],
            lines: &["f:12:3: products.phone.token_headers: is missing; write at least one, as in [Auth-Token]"],
        },
        Case {
            edits: &[("[Auth-Token]", "[]")],
            lines: &["f:15:20: products.phone.token_headers: is an empty list; write at least one, as in [Auth-Token]"],
        },
        Case {
            edits: &[("[Auth-Token]", "[Auth_Token]")],
            lines: &[
                "f:15:21: products.phone.token_headers[0]: is not a header's name; use letters, digits and hyphens, as in Auth-Token",
            ],
        },
        Case {
            edits: &[("[Auth-Token]", "[Host]")],
            lines: &[
                "f:15:21: products.phone.token_headers[0]: is a header that HTTP or the gateway gives a meaning of its own; choose another one",
            ],
        },
        Case {
            edits: &[("[Auth-Token]", "[Auth-Token, auth-token]")],
            lines: &["f:15:33: products.phone.token_headers[1]: is listed already; remove it"],
        },
        Case {
            edits: &[("[application/json]", "[json]")],
            lines: &[
                "f:16:14: products.phone.accept[0]: is not a media type; write one as in application/json, without parameters",
            ],
        },
        Case {
            edits: &[("[application/json]", "[]")],
            lines: &["f:16:13: products.phone.accept: is an empty list; write at least one, as in [application/json]"],
        },
        Case {
            edits: &[("    accept: [application/json]", "    content_type: [application/*]")],
            lines: &[
                "f:16:20: products.phone.content_type[0]: is not a media type; write one as in application/json, without parameters",
            ],
        },
        Case {
            edits: &[("    accept: [application/json]", "    content_type:")],
            lines: &["f:16:5: products.phone.content_type: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("min: 2s", "min: 16s")],
            lines: &[
                "f:17:15: products.phone.deadline: does not fit together; write min, default and max in ascending order (unwritten they are 2s, 15s and 15s)",
            ],
        },
        Case {
            edits: &[("default: 15s", "default: 20s")],
            lines: &[
                "f:17:15: products.phone.deadline: does not fit together; write min, default and max in ascending order (unwritten they are 2s, 15s and 15s)",
            ],
        },
        Case {
            edits: &[("default: 15s", "default: 1500ms")],
            lines: &[
                "f:17:70: products.phone.deadline.default: is not a deadline; write whole seconds from 1s to 600s",
            ],
        },
        Case {
            edits: &[("max: 15s", "max: 20m")],
            lines: &["f:17:56: products.phone.deadline.max: is not a deadline; write whole seconds from 1s to 600s"],
        },
        Case {
            edits: &[("header: Timeout-Seconds", "header: Auth-Token")],
            lines: &[
                "f:17:25: products.phone.deadline.header: carries tokens, which nobody else may see; choose another header",
            ],
        },
        Case {
            edits: &[("header: Timeout-Seconds", "header: Timeout Seconds")],
            lines: &[
                "f:17:25: products.phone.deadline.header: is not a header's name; use letters, digits and hyphens, as in Auth-Token",
            ],
        },
        Case {
            edits: &[("deadline: { header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }", "deadline: 15s")],
            lines: &[
                "f:17:15: products.phone.deadline: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are header, min, max, default",
            ],
        },
        Case {
            edits: &[("preflight_max_age: 10m", "preflight_max_age: 7d")],
            lines: &["f:27:24: products.phone.preflight_max_age: is out of range; write whole seconds up to 1d"],
        },
        Case {
            edits: &[("preflight_max_age: 10m", "preflight_max_age: 1500ms")],
            lines: &["f:27:24: products.phone.preflight_max_age: is out of range; write whole seconds up to 1d"],
        },
        Case {
            edits: &[("    preflight_max_age: 10m\n", "    preflight_max_age: 10m\n  phone:\n    upstream: lookup\n")],
            lines: &["f:28:3: products.phone: is written twice, first on line 12; keep one"],
        },
        Case {
            edits: &[(
                "    preflight_max_age: 10m\n",
                "    preflight_max_age: 10m\n  other:\n    upstream: lookup\n    token_headers: [X-Key]\n    routes: [POST /phone]\n",
            )],
            lines: &[
                "f:31:14: products.other.routes[0]: is routed already; give each method and path to one product, once",
            ],
        },
        Case {
            edits: &[
                ("    preflight_max_age: 10m\n", "    preflight_max_age: 10m\n  other: POST /other\n"),
                ("products: [phone]", "products: [phone, other]"),
            ],
            lines: &[
                "f:28:10: products.other: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are upstream, routes, token_headers, accept, content_type, deadline, headers, body, answer_schema, credits, preflight_max_age",
            ],
        },
    ]);
}

#[test]
fn mistakes_in_header_rules() {
    check(&[
        Case {
            edits: &[("pattern: '[a-z]+'", "pattern: '[a-z'")],
            lines: &[
                "f:19:32: products.phone.headers.Reference-ID.pattern: is not a regular expression that can be used; write one as in '[A-Za-z0-9-]+', without look-around, back-references and \\p",
            ],
        },
        Case {
            edits: &[("pattern: '[a-z]+'", "pattern: 'a)|(?:b'")],
            lines: &[
                "f:19:32: products.phone.headers.Reference-ID.pattern: is not a regular expression that can be used; write one as in '[A-Za-z0-9-]+', without look-around, back-references and \\p",
            ],
        },
        Case {
            edits: &[("pattern: '[a-z]+'", "pattern: '(?=a)b'")],
            lines: &[
                "f:19:32: products.phone.headers.Reference-ID.pattern: is not a regular expression that can be used; write one as in '[A-Za-z0-9-]+', without look-around, back-references and \\p",
            ],
        },
        Case {
            edits: &[("pattern: '[a-z]+', max: 256, ", "")],
            lines: &[
                "f:19:7: products.phone.headers.Reference-ID: does not say how the header must look; write one of `pattern` and `one_of`",
            ],
        },
        Case {
            edits: &[("pattern: '[a-z]+', max", "pattern: '[a-z]+', one_of: [a], max")],
            lines: &[
                "f:19:7: products.phone.headers.Reference-ID: does not say how the header must look; write one of `pattern` and `one_of`",
            ],
        },
        Case {
            edits: &[("pattern: '[a-z]+'", "pattern: ")],
            lines: &[
                "f:19:23: products.phone.headers.Reference-ID.pattern: is blank; give it a value or remove the key",
            ],
        },
        Case {
            edits: &[("one_of: [fast, deep]", "one_of: []")],
            lines: &[
                "f:20:23: products.phone.headers.Mode.one_of: is an empty list; write the values that may be sent",
            ],
        },
        Case {
            edits: &[("one_of: [fast, deep]", "one_of:")],
            lines: &["f:20:15: products.phone.headers.Mode.one_of: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("max: 256", "max: 0")],
            lines: &[
                "f:19:47: products.phone.headers.Reference-ID.max: is out of range; write a number from 1 to 65536",
            ],
        },
        Case {
            edits: &[("max: 256", "max: 256, ignore_case: true")],
            lines: &[
                "f:19:65: products.phone.headers.Reference-ID.ignore_case: says nothing beside `pattern`; remove it, or begin the pattern with (?i)",
            ],
        },
        Case {
            edits: &[("ignore_case: true", "max: 4")],
            lines: &["f:20:42: products.phone.headers.Mode.max: says nothing beside `one_of`; remove it"],
        },
        Case {
            edits: &[("problem: reference-id-invalid", "problem: reference-id-invlid")],
            lines: &[
                "f:19:73: products.phone.headers.Reference-ID.problem: names no problem; add it to `problems`, or use a slug that `tollgate problems` lists",
            ],
        },
        Case {
            edits: &[(", problem: reference-id-invalid", "")],
            lines: &[
                "f:19:7: products.phone.headers.Reference-ID.problem: is missing; name a problem, built-in or of `problems`",
            ],
        },
        Case {
            edits: &[("problem: reference-id-invalid", "problem: rate-exceeded")],
            lines: &[
                "f:19:73: products.phone.headers.Reference-ID.problem: names a built-in problem that says something else; add one of your own to `problems`, or use body-invalid",
            ],
        },
        Case {
            edits: &[("      Reference-ID:", "      Auth-Token:")],
            lines: &[
                "f:19:7: products.phone.headers.Auth-Token: carries tokens, which nobody else may see; choose another header",
            ],
        },
        Case {
            edits: &[("      Reference-ID:", "      Timeout-Seconds:")],
            lines: &[
                "f:19:7: products.phone.headers.Timeout-Seconds: is a header that the product reads already; give each header one rule",
            ],
        },
        Case {
            edits: &[("      Reference-ID:", "      mode:")],
            lines: &[
                "f:20:7: products.phone.headers.Mode: is a header that the product reads already; give each header one rule",
            ],
        },
        Case {
            edits: &[("      Reference-ID:", "      Reference_ID:")],
            lines: &[
                "f:19:7: products.phone.headers.Reference_ID: is not a header's name; use letters, digits and hyphens, as in Auth-Token",
            ],
        },
        Case {
            edits: &[("      Reference-ID:", "      Content-Type:")],
            lines: &[
                "f:19:7: products.phone.headers.Content-Type: is a header that HTTP or the gateway gives a meaning of its own; choose another one",
            ],
        },
        Case {
            edits: &[
                (
                    "    headers:\n      Reference-ID: { pattern: '[a-z]+', max: 256, echo: true, problem: reference-id-invalid }\n      Mode: { one_of: [fast, deep], ignore_case: true, problem: mode-invalid }\n",
                    "    headers:\n",
                ),
                ("  mode-invalid: { status: 400, detail: Send Mode as fast or deep. }\n", ""),
            ],
            lines: &["f:18:5: products.phone.headers: is blank; give it a value or remove the key"],
        },
    ]);
}

#[test]
fn mistakes_in_bodies() {
    check(&[
        Case {
            edits: &[("      max: 16KiB", "      max: 0B")],
            lines: &["f:22:12: products.phone.body.max: is out of range; write a size from 1B to 64MiB"],
        },
        Case {
            edits: &[("      max: 16KiB", "      max: 65MiB")],
            lines: &["f:22:12: products.phone.body.max: is out of range; write a size from 1B to 64MiB"],
        },
        Case {
            edits: &[(
                "schema: { type: object, properties: { number: { type: string } } }",
                "schema: missing.schema.json",
            )],
            lines: &[
                "f:23:15: products.phone.body.schema: names a file that cannot be read (No such file or directory (os error 2)); write its path from this file's directory",
            ],
        },
        Case {
            edits: &[("schema: { type: object, properties: { number: { type: string } } }", "schema: gateway.yaml")],
            lines: &[
                "f:23:15: products.phone.body.schema: names a file that is not JSON (line 1, column 1); mend it there",
            ],
        },
        Case {
            edits: &[("schema: { type: object, properties: { number: { type: string } } }", "schema: [a]")],
            lines: &[
                "f:23:15: products.phone.body.schema: is not a schema; write the name of a file, or a JSON Schema in place",
            ],
        },
        Case {
            edits: &[("schema: { type: object, properties: { number: { type: string } } }", "schema:")],
            lines: &[
                "f:23:7: products.phone.body.schema: is not a schema; write the name of a file, or a JSON Schema in place",
            ],
        },
        Case {
            edits: &[("schema: { type: object, properties: { number: { type: string } } }", "schema: { type: strin }")],
            lines: &[
                "f:23:15: products.phone.body.schema: is not a JSON Schema that can be used (at /type); mend it there",
            ],
        },
        Case {
            edits: &[(
                "schema: { type: object, properties: { number: { type: string } } }",
                "schema: { properties: { number: { type: strin } } }",
            )],
            lines: &[
                "f:23:15: products.phone.body.schema: is not a JSON Schema that can be used (at /properties/number/type); mend it there",
            ],
        },
        Case {
            edits: &[(
                "schema: { type: object, properties: { number: { type: string } } }",
                "schema: { properties: { number: { $ref: '#/$defs/none' } } }",
            )],
            lines: &[
                "f:23:15: products.phone.body.schema: is not a JSON Schema that can be used (a $ref names nothing in it); mend it there",
            ],
        },
        Case {
            edits: &[(
                "schema: { type: object, properties: { number: { type: string } } }",
                "schema: { properties: { number: { pattern: '[' } } }",
            )],
            lines: &[
                "f:23:15: products.phone.body.schema: is not a JSON Schema that can be used (at /properties/number/pattern); mend it there",
            ],
        },
        Case {
            edits: &[("      schema: { type: object, properties: { number: { type: string } } }\n", "")],
            lines: &[
                "f:23:15: products.phone.body.strict: says nothing without a schema; add `schema`, or remove it",
                "f:25:9: products.phone.body.problems: says nothing without a schema; add `schema`, or remove it",
            ],
        },
        Case {
            edits: &[("at: /number", "at: /numbr")],
            lines: &[
                "f:26:17: products.phone.body.problems[0].at: is a place that the schema does not name; write a JSON Pointer to one of its properties, as in /number",
            ],
        },
        Case {
            edits: &[("at: /number", "at: number")],
            lines: &[
                "f:26:17: products.phone.body.problems[0].at: is a place that the schema does not name; write a JSON Pointer to one of its properties, as in /number",
            ],
        },
        Case {
            edits: &[("at: /number, ", "")],
            lines: &["f:26:11: products.phone.body.problems[0].at: is missing; write a JSON Pointer, as in /number"],
        },
        Case {
            edits: &[("when: missing", "when: absent")],
            lines: &[
                "f:26:32: products.phone.body.problems[0].when: is not one of the words allowed here; write one of any, missing",
            ],
        },
        Case {
            edits: &[(", problem: number-missing }", " }")],
            lines: &[
                "f:26:11: products.phone.body.problems[0].problem: is missing; name a problem, built-in or of `problems`",
                "f:30:3: problems.number-missing: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
        Case {
            edits: &[("problem: number-missing }", "problem: number-absent }")],
            lines: &[
                "f:26:50: products.phone.body.problems[0].problem: names no problem; add it to `problems`, or use a slug that `tollgate problems` lists",
                "f:30:3: problems.number-missing: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
        Case {
            edits: &[(
                "        - { at: /number, when",
                "        - { at: /number, problem: body-invalid }\n        - { at: /number, when",
            )],
            lines: &[
                "f:27:17: products.phone.body.problems[1].at: is covered by an entry above it, which wins; put this one before it, or remove it",
            ],
        },
        Case {
            edits: &[
                ("      problems:\n        - { at", "      problems: { at"),
                ("problem: number-missing }", "problem: number-missing }"),
            ],
            lines: &[
                "f:25:17: products.phone.body.problems: is a mapping, but a list is wanted here; write `- value` lines below it",
                "f:29:3: problems.number-missing: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
        Case {
            edits: &[("    body:\n      max: 16KiB", "    body: 16KiB\n    bodies:\n      max: 16KiB")],
            lines: &[
                "f:21:11: products.phone.body: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are max, schema, strict, problems",
                "f:22:5: products.phone.bodies: is not a key here; the keys are upstream, routes, token_headers, accept, content_type, deadline, headers, body, answer_schema, credits, preflight_max_age",
                "f:31:3: problems.number-missing: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
    ]);
}

#[test]
fn mistakes_in_problems() {
    check(&[
        Case {
            edits: &[("    status: 400\n", "")],
            lines: &[
                "f:30:3: problems.number-missing.status: is missing; write the status of the product's own problem, or the slug of a built-in one (`tollgate problems` lists them)",
            ],
        },
        Case {
            edits: &[("    status: 400\n", "    status: 422\n")],
            lines: &[
                "f:31:13: problems.number-missing.status: is not a status of a problem; use 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503",
            ],
        },
        Case {
            edits: &[("    status: 400\n", "    status: 200\n")],
            lines: &[
                "f:31:13: problems.number-missing.status: is not a status of a problem; use 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503",
            ],
        },
        Case {
            edits: &[("    status: 400\n", "    status: Bad Request\n")],
            lines: &[
                "f:31:13: problems.number-missing.status: is not a status of a problem; use 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503",
            ],
        },
        Case {
            edits: &[("    detail: Send a number.\n", "")],
            lines: &["f:30:3: problems.number-missing.detail: is missing; say what was wrong and what to do"],
        },
        Case {
            edits: &[("    detail: Send a number.\n", "    detail: ''\n")],
            lines: &["f:32:13: problems.number-missing.detail: is empty; write words for the client"],
        },
        Case {
            edits: &[("    detail: Send a number.\n", "    detail: Send {feild}.\n")],
            lines: &[
                "f:32:13: problems.number-missing.detail: has a word in braces that nothing fills in; use {field}, {token_headers}, {accept}, {content_type}, {deadline_header}, {deadline_min}, {deadline_max}, {body_max}, or leave out the braces",
            ],
        },
        Case {
            edits: &[("    detail: Send a number.\n", "    detail: Send {field} and {field}.\n")],
            lines: &["f:32:13: problems.number-missing.detail: has {field} more than once; keep one"],
        },
        Case {
            edits: &[("    detail: Send a number.\n", "    detail: Send a number.\n    title:\n")],
            lines: &["f:33:5: problems.number-missing.title: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("  number-missing:\n", "  Number_Missing:\n")],
            lines: &[
                "f:26:50: products.phone.body.problems[0].problem: names no problem; add it to `problems`, or use a slug that `tollgate problems` lists",
                "f:30:3: problems.Number_Missing: is not a slug; use lower-case letters, digits and hyphens, as in number-missing",
                "f:30:3: problems.Number_Missing: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
        Case {
            edits: &[("  number-missing:\n", "  number-missing2:\n")],
            lines: &[
                "f:26:50: products.phone.body.problems[0].problem: names no problem; add it to `problems`, or use a slug that `tollgate problems` lists",
                "f:30:3: problems.number-missing2: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
        Case {
            edits: &[("problems:\n  mode", "problems:\n  rate-exceded: { status: 429, detail: Wait. }\n  mode")],
            lines: &[
                "f:29:3: problems.rate-exceded: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
            ],
        },
        Case {
            edits: &[("problems:\n  mode", "problems:\n  rate-exceded: { detail: Wait. }\n  mode")],
            lines: &[
                "f:29:3: problems.rate-exceded: is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant",
                "f:29:3: problems.rate-exceded.status: is missing; write the status of the product's own problem, or the slug of a built-in one (`tollgate problems` lists them)",
            ],
        },
        Case {
            edits: &[("problems:\n  mode", "problems:\n  rate-exceeded: { status: 503 }\n  mode")],
            lines: &[
                "f:29:28: problems.rate-exceeded.status: cannot change what a built-in problem means; remove it, or write 429",
            ],
        },
        Case {
            edits: &[("problems:\n  mode", "problems:\n  rate-exceeded: { detail: 'Ask {field}.' }\n  mode")],
            lines: &[
                "f:29:28: problems.rate-exceeded.detail: has {field}, which is filled in for problems of the body alone; write it out",
            ],
        },
        Case {
            edits: &[(
                "problems:\n  mode",
                "problems:\n  endpoint-unknown: { detail: 'Use {token_headers}.' }\n  mode",
            )],
            lines: &[
                "f:29:31: problems.endpoint-unknown.detail: has a blank that only products fill in, and this problem can come before the product is known; write it out",
            ],
        },
        Case {
            edits: &[("problems:\n  mode", "problems:\n  internal: { title: ' ' }\n  mode")],
            lines: &["f:29:22: problems.internal.title: is empty; write words for the client"],
        },
        Case {
            edits: &[("problems:\n  mode", "problems:\n  internal: Oops.\n  mode")],
            lines: &[
                "f:29:13: problems.internal: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are status, title, detail, meaning, causes, remedy",
            ],
        },
    ]);
}

#[test]
fn mistakes_in_accounts_and_tokens() {
    check(&[
        Case {
            edits: &[("    rate: { limit: 150/min, burst: 150 }\n", "")],
            lines: &[
                "f:34:3: accounts.acme.rate: is missing; write { limit: 150/min, burst: 150 }, or { unlimited: true }",
            ],
        },
        Case {
            edits: &[("rate: { limit: 150/min, burst: 150 }", "rate:")],
            lines: &["f:35:5: accounts.acme.rate: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("rate: { limit: 150/min, burst: 150 }", "rate: 150/min")],
            lines: &[
                "f:35:11: accounts.acme.rate: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are limit, burst, unlimited",
            ],
        },
        Case {
            edits: &[("rate: { limit: 150/min, burst: 150 }", "rate: {}")],
            lines: &[
                "f:35:11: accounts.acme.rate: does not say one rate; write { limit: 150/min, burst: 150 }, or { unlimited: true }",
            ],
        },
        Case {
            edits: &[("rate: { limit: 150/min, burst: 150 }", "rate: { burst: 5 }")],
            lines: &[
                "f:35:11: accounts.acme.rate: does not say one rate; write { limit: 150/min, burst: 150 }, or { unlimited: true }",
            ],
        },
        Case {
            edits: &[("rate: { limit: 150/min, burst: 150 }", "rate: { unlimited: false }")],
            lines: &[
                "f:35:11: accounts.acme.rate: does not say one rate; write { limit: 150/min, burst: 150 }, or { unlimited: true }",
            ],
        },
        Case {
            edits: &[("rate: { limit: 150/min, burst: 150 }", "rate: { unlimited: yes }")],
            lines: &["f:35:24: accounts.acme.rate.unlimited: is neither true nor false; write `true` or `false`"],
        },
        Case {
            edits: &[("burst: 150 }", "unlimited: true }")],
            lines: &[
                "f:35:11: accounts.acme.rate: does not say one rate; write { limit: 150/min, burst: 150 }, or { unlimited: true }",
            ],
        },
        Case {
            edits: &[("150/min", "150/week")],
            lines: &[
                "f:35:20: accounts.acme.rate.limit: is not a rate; write a number from 1 on and a period, as in 10/s, 150/min, 5000/h or 100000/d",
            ],
        },
        Case {
            edits: &[("150/min", "0/s")],
            lines: &[
                "f:35:20: accounts.acme.rate.limit: is not a rate; write a number from 1 on and a period, as in 10/s, 150/min, 5000/h or 100000/d",
            ],
        },
        Case {
            edits: &[("150/min", "150")],
            lines: &[
                "f:35:20: accounts.acme.rate.limit: is not a rate; write a number from 1 on and a period, as in 10/s, 150/min, 5000/h or 100000/d",
            ],
        },
        Case {
            edits: &[("burst: 150", "burst: 0")],
            lines: &["f:35:36: accounts.acme.rate.burst: is not allowed here; write a whole number other than 0"],
        },
        Case {
            edits: &[("burst: 150", "burst: lots")],
            lines: &[
                "f:35:36: accounts.acme.rate.burst: is not a whole number; write decimal digits, from 0 to 4294967295",
            ],
        },
        Case {
            edits: &[("150/min, burst: 150", "1/d, burst: 400")],
            lines: &[
                "f:35:32: accounts.acme.rate.burst: takes more than a year to be there again at this rate; write a smaller burst",
            ],
        },
        Case {
            edits: &[(
                "    tokens:\n      - name: web\n        hash: \"sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f\"\n        products: [phone]\n        disabled: false\n        expires: 2027-06-30\n        networks: [203.0.113.0/24]\n        domains: [app.example.com]\n        absent: deny\n",
                "    tokens:\n",
            )],
            lines: &["f:36:5: accounts.acme.tokens: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(
                "    tokens:\n      - name: web\n        hash: \"sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f\"\n        products: [phone]\n        disabled: false\n        expires: 2027-06-30\n        networks: [203.0.113.0/24]\n        domains: [app.example.com]\n        absent: deny\n",
                "    token:\n      - name: web\n        hash: \"sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f\"\n        products: [phone]\n        disabled: false\n        expires: 2027-06-30\n        networks: [203.0.113.0/24]\n        domains: [app.example.com]\n        absent: deny\n",
            )],
            lines: &["f:36:5: accounts.acme.token: is not a key here; did you mean `tokens`?"],
        },
        Case {
            edits: &[("      - name: web\n        hash", "      - hash")],
            lines: &["f:37:9: accounts.acme.tokens[0].name: is missing; name the token, for logs and lists"],
        },
        Case {
            edits: &[("name: web", "name: ''")],
            lines: &["f:37:15: accounts.acme.tokens[0].name: is not a name; write one of visible characters"],
        },
        Case {
            edits: &[(
                "        hash: \"sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f\"\n",
                "",
            )],
            lines: &[
                "f:37:9: accounts.acme.tokens[0].hash: is missing; write the digest that `tollgate token hash` prints",
            ],
        },
        Case {
            edits: &[("sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f", "tg_1234567890")],
            lines: &[
                "f:38:15: accounts.acme.tokens[0].hash: is not a digest; write sha256: and 64 hexadecimal digits, as `tollgate token hash` prints them",
            ],
        },
        Case {
            edits: &[("        products: [phone]\n", "")],
            lines: &["f:37:9: accounts.acme.tokens[0].products: is missing; name the products that the token covers"],
        },
        Case {
            edits: &[("products: [phone]", "products: []")],
            lines: &[
                "f:39:19: accounts.acme.tokens[0].products: is an empty list; name the products that the token covers",
            ],
        },
        Case {
            edits: &[("products: [phone]", "products:")],
            lines: &["f:39:9: accounts.acme.tokens[0].products: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("products: [phone]", "products: phone")],
            lines: &[
                "f:39:19: accounts.acme.tokens[0].products: is one value, but a list is wanted here; write `- value` lines below it",
            ],
        },
        Case {
            edits: &[("products: [phone]", "products: [fone]")],
            lines: &["f:39:20: accounts.acme.tokens[0].products[0]: names no product; write phone"],
        },
        Case {
            edits: &[("disabled: false", "disabled: no")],
            lines: &["f:40:19: accounts.acme.tokens[0].disabled: is neither true nor false; write `true` or `false`"],
        },
        Case {
            edits: &[("2027-06-30", "30.06.2027")],
            lines: &[
                "f:41:18: accounts.acme.tokens[0].expires: is not a day; write year, month and day, as in 2027-06-30",
            ],
        },
        Case {
            edits: &[("2027-06-30", "2027-02-29")],
            lines: &[
                "f:41:18: accounts.acme.tokens[0].expires: is not a day; write year, month and day, as in 2027-06-30",
            ],
        },
        Case {
            edits: &[("2027-06-30", "1969-12-31")],
            lines: &["f:41:18: accounts.acme.tokens[0].expires: is before 1970; write a later day"],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks:")],
            lines: &["f:42:9: accounts.acme.tokens[0].networks: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks: ~")],
            lines: &["f:42:19: accounts.acme.tokens[0].networks: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks: []")],
            lines: &[
                "f:42:19: accounts.acme.tokens[0].networks: is an empty list; write networks, or remove the key to allow all",
            ],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks: ''")],
            lines: &[
                "f:42:19: accounts.acme.tokens[0].networks: is one value, but a list is wanted here; write `- value` lines below it",
            ],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks: 203.0.113.0/24")],
            lines: &[
                "f:42:19: accounts.acme.tokens[0].networks: is one value, but a list is wanted here; write `- value` lines below it",
            ],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks: ['']")],
            lines: &[
                "f:42:20: accounts.acme.tokens[0].networks[0]: is not an address; write one as in 203.0.113.7 or 2001:db8::1",
            ],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "networks: [~]")],
            lines: &["f:42:20: accounts.acme.tokens[0].networks[0]: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(
                "networks: [203.0.113.0/24]",
                "networks: [203.0.113.1/24, 203.0.113.0/33, 203.0.113, fe80::1%eth0, ok]",
            )],
            lines: &[
                "f:42:20: accounts.acme.tokens[0].networks[0]: has bits set behind its prefix; write the network's first address, or a longer prefix",
                "f:42:36: accounts.acme.tokens[0].networks[1]: is not a network; write an address and a prefix, as in 203.0.113.0/24",
                "f:42:52: accounts.acme.tokens[0].networks[2]: is not an address; write one as in 203.0.113.7 or 2001:db8::1",
                "f:42:63: accounts.acme.tokens[0].networks[3]: is not an address; write one as in 203.0.113.7 or 2001:db8::1",
                "f:42:77: accounts.acme.tokens[0].networks[4]: is not an address; write one as in 203.0.113.7 or 2001:db8::1",
            ],
        },
        Case {
            edits: &[("networks: [203.0.113.0/24]", "network: [203.0.113.0/24]")],
            lines: &["f:42:9: accounts.acme.tokens[0].network: is not a key here; did you mean `networks`?"],
        },
        Case {
            edits: &[("domains: [app.example.com]", "domains:")],
            lines: &["f:43:9: accounts.acme.tokens[0].domains: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("domains: [app.example.com]", "domains: []")],
            lines: &[
                "f:43:18: accounts.acme.tokens[0].domains: is an empty list; write hosts, or remove the key to allow all",
            ],
        },
        Case {
            edits: &[("domains: [app.example.com]", "domains: ['*.co.uk']")],
            lines: &[
                "f:43:19: accounts.acme.tokens[0].domains[0]: covers a whole public suffix, which strangers share; write a registered domain, as in *.example.com",
            ],
        },
        Case {
            edits: &[(
                "domains: [app.example.com]",
                "domains: ['https://app.example.com', 'app.example.com:8080', '*', '*.', 'a.*.com', '*.127.0.0.1']",
            )],
            lines: &[
                "f:43:19: accounts.acme.tokens[0].domains[0]: is not a host; write one as in app.example.com or *.example.com, without scheme, port or path",
                "f:43:46: accounts.acme.tokens[0].domains[1]: is not a host; write one as in app.example.com or *.example.com, without scheme, port or path",
                "f:43:70: accounts.acme.tokens[0].domains[2]: is not a host; write one as in app.example.com or *.example.com, without scheme, port or path",
                "f:43:75: accounts.acme.tokens[0].domains[3]: is not a host; write one as in app.example.com or *.example.com, without scheme, port or path",
                "f:43:81: accounts.acme.tokens[0].domains[4]: is not a host; write one as in app.example.com or *.example.com, without scheme, port or path",
                "f:43:92: accounts.acme.tokens[0].domains[5]: puts a wildcard before an address; write the address alone",
            ],
        },
        Case {
            edits: &[("        domains: [app.example.com]\n", "")],
            lines: &[
                "f:43:17: accounts.acme.tokens[0].absent: says nothing without a list of domains; add `domains` or remove it",
            ],
        },
        Case {
            edits: &[("absent: deny", "absent: never")],
            lines: &[
                "f:44:17: accounts.acme.tokens[0].absent: is not one of the words allowed here; write one of allow, deny",
            ],
        },
        Case {
            edits: &[("absent: deny", "absent:")],
            lines: &["f:44:9: accounts.acme.tokens[0].absent: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[(
                "absent: deny",
                "absent: deny\n      - name: second\n        hash: \"sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f\"\n        products: [phone]\n        disabled: false\n        expires: 2027-06-30\n        networks: [203.0.113.0/24]\n        domains: [app.example.com]\n        absent: deny",
            )],
            lines: &[
                "f:45:9: accounts.acme.tokens[1]: has the digest of another token (f:37); remove one, or make a new one with `tollgate token new`",
            ],
        },
        Case {
            edits: &[("absent: deny", "absent: deny\n  acme:\n    rate: { unlimited: true }")],
            lines: &["f:45:3: accounts.acme: is written twice, first on line 34; keep one"],
        },
        Case {
            edits: &[("accounts:\n", "accounts:\n  '': { rate: { unlimited: true } }\n")],
            lines: &["f:34:3: accounts.\"\": is not a name; write one of visible characters"],
        },
        Case {
            edits: &[(
                "accounts:\n  acme:\n    rate: { limit: 150/min, burst: 150 }\n    tokens:\n      - name: web\n        hash: \"sha256:9f8dd61a1b6618dfabae3a6a90ead740a828e66334b83f99f0830d863f3f368f\"\n        products: [phone]\n        disabled: false\n        expires: 2027-06-30\n        networks: [203.0.113.0/24]\n        domains: [app.example.com]\n        absent: deny\n",
                "accounts:\n",
            )],
            lines: &["f:33:1: accounts: is blank; give it a value or remove the key"],
        },
        Case {
            edits: &[("accounts:\n", "include: [nowhere.yaml]\naccounts:\n")],
            lines: &["f:33:11: include[0]: names a file that is not there; write its path from this file's directory"],
        },
        Case {
            edits: &[("accounts:\n", "include: [nowhere.d/*.yaml]\naccounts:\n")],
            lines: &[
                "f:33:11: include[0]: has a directory that is not there or cannot be read; make it, or write its path from this file's directory",
            ],
        },
        Case {
            edits: &[("accounts:\n", "include: ['[.yaml']\naccounts:\n")],
            lines: &["f:33:11: include[0]: is not a pattern of file names; write one as in accounts.d/*.yaml"],
        },
        Case {
            edits: &[("accounts:\n", "include: accounts.d/*.yaml\naccounts:\n")],
            lines: &["f:33:10: include: is one value, but a list is wanted here; write `- value` lines below it"],
        },
        Case {
            edits: &[("accounts:\n", "include:\naccounts:\n")],
            lines: &["f:33:1: include: is blank; give it a value or remove the key"],
        },
    ]);
}

#[test]
fn mistakes_that_any_yaml_can_have() {
    check(&[
        Case { edits: &[(GOOD, "")], lines: &["f:1:1: .: is empty; write at least one `key: value` line"] },
        Case {
            edits: &[(GOOD, "listen: 127.0.0.1:8080\n")],
            lines: &[
                "f:1:1: products: is missing; write at least one product with its routes",
                "f:1:1: public_url: is missing; write the URL that clients know, as in https://api.example.com",
                "f:1:1: upstreams: is missing; write at least one, as in lookup: { servers: [127.0.0.1:9001] }",
            ],
        },
        Case {
            edits: &[(GOOD, "- listen\n")],
            lines: &[
                "f:1:1: .: is a list, but a mapping is wanted here; write `key: value` lines below it; the keys are listen, h2c, listeners, workers, admin, admin_exposed, admin_token, admin_hosts, public_url, pages, trusted_proxies, limits, grace, upstreams, products, problems, ledger, enquiry_rate, metrics, access_log, tracing, status, accounts, include",
            ],
        },
        Case {
            edits: &[("listen: 127.0.0.1:8080\n", "listen: 127.0.0.1:8080\nlisten: 127.0.0.1:8081\n")],
            lines: &["f:2:1: listen: is written twice, first on line 1; keep one"],
        },
        Case {
            edits: &[("workers: 2", "worker: 2")],
            lines: &["f:2:1: worker: is not a key here; did you mean `workers`?"],
        },
        Case {
            edits: &[("workers: 2", "threads: 2")],
            lines: &[
                "f:2:1: threads: is not a key here; the keys are listen, h2c, listeners, workers, admin, admin_exposed, admin_token, admin_hosts, public_url, pages, trusted_proxies, limits, grace, upstreams, products, problems, ledger, enquiry_rate, metrics, access_log, tracing, status, accounts, include",
            ],
        },
        Case {
            edits: &[("workers: 2", "workers: 2\n\tadmin: 1")],
            lines: &["f:2:10: .: is indented with a tab; use spaces"],
        },
        Case {
            edits: &[("  phone:\n    upstream", "  phone:\n   upstream")],
            lines: &[
                "f:14:11: .: has a `: ` where no key can stand; check the indentation of this line and the one before, or put the value in quotes",
            ],
        },
        Case {
            edits: &[("workers: 2", "<<: *x")],
            lines: &[
                "f:2:1: <<: is not a key here; write out the keys that it would merge",
                "f:2:5: .: is an alias for an anchor that is not written above; write the value out",
            ],
        },
        Case {
            edits: &[("workers: 2", "workers: 2\n---")],
            lines: &[
                "f:3:1: .: is a second document in one file; remove the `---` line or move what follows it to its own file",
            ],
        },
        Case {
            edits: &[
                ("listen: 127.0.0.1:8080", "listen: 127.0.0.1"),
                ("public_url: https://api.example.com\n", ""),
                ("upstream: lookup", "upstream: lokup"),
                ("      max: 16KiB", "      maxi: 16KiB"),
                ("products: [phone]", "products: [phone, email]"),
                ("networks: [203.0.113.0/24]", "networks:"),
                ("burst: 150 }", "burst: 150, burst: 1 }"),
            ],
            lines: &[
                "f:1:1: public_url: is missing; write the URL that clients know, as in https://api.example.com",
                "f:1:9: listen: is not an address and a port; write one as in 127.0.0.1:8080 or [::1]:8080, not a name",
                "f:12:15: products.phone.upstream: names no upstream; write lookup",
                "f:21:7: products.phone.body.maxi: is not a key here; did you mean `max`?",
                "f:34:41: accounts.acme.rate.burst: is written twice, first on line 34; keep one",
                "f:38:27: accounts.acme.tokens[0].products[1]: names no product; write phone",
                "f:41:9: accounts.acme.tokens[0].networks: is blank; give it a value or remove the key",
            ],
        },
    ]);
}

/// A scalar of [`GOOD`]: where it begins and ends.
fn scalars() -> Vec<std::ops::Range<usize>> {
    let ends = |character: char| " \n,[]{}\"'".contains(character);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = GOOD[from..].find(|character| !ends(character)).map(|at| from + at) {
        let end = GOOD[start..].find(ends).map_or(GOOD.len(), |at| start + at);
        let word = &GOOD[start..end];
        if !word.ends_with(':') && word != "-" {
            found.push(start..end);
        }
        from = end;
    }
    found
}

#[test]
fn the_good_configuration_is_good() {
    assert_eq!(lines_of(GOOD), [""; 0]);
}

#[test]
fn no_line_shows_a_value() {
    let scalars = scalars();
    assert!(scalars.len() > 50, "{}", scalars.len());
    for secret in ["hunter2", "[hunter2]", "{ hunter2: hunter2 }", "-hunter2", "0hunter2", "sha256:hunter2"] {
        for scalar in &scalars {
            let mut text = GOOD.to_owned();
            text.replace_range(scalar.clone(), secret);
            for line in lines_of(&text) {
                // The names of keys are shown, and one secret is written as a key.
                let shown = line.replace(".hunter2", "").replace("/hunter2", "");
                assert!(!shown.contains("hunter2"), "{:?} by {secret}: {line}", &GOOD[scalar.clone()]);
            }
        }
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let edits = [
        ("listen: 127.0.0.1:8080", "listen: 127.0.0.1"),
        ("headers: 64", "headers: 640"),
        ("upstream: lookup", "upstream: lokup"),
        ("min: 2s", "min: 16s"),
        ("at: /number", "at: /numbr"),
        ("status: 400\n", "status: 402\n"),
        ("150/min", "150"),
        ("[phone]", "[]"),
        ("2027-06-30", "never"),
        ("domains: [app.example.com]", "domains:"),
    ];
    let mut singly = Vec::new();
    for edit in edits {
        let lines = lines_of(&edited(GOOD, &[edit]));
        assert_eq!(lines.len(), 1, "{lines:?}");
        singly.extend(lines);
    }
    assert_eq!(lines_of(&edited(GOOD, &edits)), singly);
}

#[test]
fn sixty_four_products_fit_and_no_more() {
    let with_products = |count: usize| {
        let mut text = "upstreams: { u: { servers: [127.0.0.1:9001] } }\npublic_url: http://a\nproducts:\n".to_owned();
        for number in 0..count {
            let _ = writeln!(text, "  p{number}: {{ upstream: u, routes: [GET /{number}], token_headers: [T] }}");
        }
        let last = count - 1;
        text + &format!(
            "accounts: {{ a: {{ rate: {{ unlimited: true }}, tokens: [{{ name: t, products: [p{last}], hash: \"sha256:{:064}\" }}] }} }}\n",
            0
        )
    };
    let config = parsed(&with_products(64)).unwrap();
    assert!(config.policy.accounts.keys().next().unwrap().token.products.contains(63));
    assert_eq!(
        lines_of(&with_products(65)),
        ["f:68:3: products.p64: is one product too many; 64 fit into one configuration"]
    );
}

/// A text on the way to the reader: the keys of a type, told by itself.
fn keys_of<T: DeserializeOwned>() -> Vec<String> {
    let mut mistakes = Mistakes::default();
    yaml::read::<T>("f", "zzzzzzzzzzzz: 1", &mut mistakes);
    let text = mistakes.to_string();
    let (_, keys) = text.trim_end().split_once("the keys are ").unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

const CONFIGURATION: &str = include_str!("../../config/gateway.yaml");

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config"))
}

/// `gateway.yaml` with the examples that need files of the operator's own as well.
pub(super) fn with_all_examples() -> String {
    let mut within = false;
    let mut text = String::new();
    for line in CONFIGURATION.lines() {
        within = line == "# listeners:" || (within && !line.is_empty());
        let example = match line.strip_prefix("# ") {
            Some(example) if within => example.to_owned(),
            Some(_) | None => line.replace("    # tls: {", "    tls: {").replace("  # otlp: {", "  otlp: {"),
        };
        let _ = writeln!(text, "{example}");
    }
    text
}

#[test]
fn gateway_yaml_has_every_key() {
    let mut mistakes = Mistakes::default();
    let (file, _) = yaml::read::<Value>("gateway.yaml", &with_all_examples(), &mut mistakes).unwrap();
    let all = |value: &Value, key: &str| value[key].as_object().unwrap().values().cloned().collect::<Vec<_>>();
    let lists = |values: &[Value], key: &str| -> Vec<Value> {
        let lists = values.iter().filter_map(|value| value[key].as_array());
        lists.flatten().cloned().collect()
    };
    let below = |values: &[Value], key: &str| values.iter().map(|value| value[key].clone()).collect::<Vec<_>>();
    let listeners = lists(std::slice::from_ref(&file), "listeners");
    let listener_tls = below(&listeners, "tls");
    let pages = vec![file["pages"].clone()];
    let upstreams = all(&file, "upstreams");
    let products = all(&file, "products");
    let bodies = below(&products, "body");
    let accounts = all(&file, "accounts");
    let credits = below(&products, "credits");
    let price_lines: Vec<Value> = [lists(&credits, "hold"), lists(&credits, "price")].concat();
    // Conditions stand within each other, so that their keys are looked for in what explains them.
    for key in keys_of::<file::Condition>() {
        assert!(
            CONFIGURATION.contains(&format!("    #     {key}")) || CONFIGURATION.contains(&format!(" {key} ")),
            "{key}"
        );
    }
    for (what, mappings, keys) in [
        ("the root", vec![file.clone()], keys_of::<file::File>()),
        ("a listener", listeners.clone(), keys_of::<file::Listener>()),
        ("a listener's TLS", listener_tls.clone(), keys_of::<file::ListenerTls>()),
        ("a certificate", lists(&listener_tls, "certificates"), keys_of::<file::CertificatePair>()),
        ("a PROXY protocol", below(&listeners, "proxy_protocol"), keys_of::<file::ProxyProtocol>()),
        ("pages", pages.clone(), keys_of::<file::Pages>()),
        ("colours", below(&pages, "colours"), keys_of::<file::Colours>()),
        ("a palette", vec![file["pages"]["colours"]["light"].clone()], keys_of::<file::Palette>()),
        ("support", below(&pages, "support"), keys_of::<file::Support>()),
        ("an extra page", lists(&pages, "extra"), keys_of::<file::ExtraPage>()),
        ("limits", vec![file["limits"].clone()], keys_of::<file::Limits>()),
        ("an upstream", upstreams.clone(), keys_of::<file::Upstream>()),
        ("an upstream's TLS", below(&upstreams, "tls"), keys_of::<file::UpstreamTls>()),
        ("a server", lists(&upstreams, "servers"), keys_of::<file::Server>()),
        ("a health check", below(&upstreams, "health_check"), keys_of::<file::HealthCheck>()),
        ("an ejection", below(&upstreams, "ejection"), keys_of::<file::Ejection>()),
        ("a breaker", below(&upstreams, "breaker"), keys_of::<file::Breaker>()),
        ("a product", products.clone(), keys_of::<file::Product>()),
        ("a deadline", below(&products, "deadline"), keys_of::<file::Deadline>()),
        ("a header", all(&products[0], "headers"), keys_of::<file::HeaderRule>()),
        ("a body", bodies.clone(), keys_of::<file::Body>()),
        ("a body's problem", lists(&bodies, "problems"), keys_of::<file::BodyProblem>()),
        ("a problem", all(&file, "problems"), keys_of::<file::Problem>()),
        ("an account", accounts.clone(), keys_of::<file::Account>()),
        ("a rate", below(&accounts, "rate"), keys_of::<file::Rate>()),
        ("a product's credits", credits.clone(), keys_of::<file::Credits>()),
        ("a price line", price_lines.clone(), keys_of::<file::PriceLine>()),
        ("the ledger", vec![file["ledger"].clone()], keys_of::<file::Ledger>()),
        ("metrics", vec![file["metrics"].clone()], keys_of::<file::Metrics>()),
        ("the access log", vec![file["access_log"].clone()], keys_of::<file::AccessLog>()),
        ("its sample", vec![file["access_log"]["sample"].clone()], keys_of::<file::LogSample>()),
        ("tracing", vec![file["tracing"].clone()], keys_of::<file::Tracing>()),
        ("OTLP", vec![file["tracing"]["otlp"].clone()], keys_of::<file::Otlp>()),
        ("the status", vec![file["status"].clone()], keys_of::<file::Status>()),
        ("a burn rate", lists(&[file["status"].clone()], "burn_rates"), keys_of::<file::BurnRate>()),
        ("a note", lists(&[file["status"].clone()], "notes"), keys_of::<file::StatusNote>()),
        ("maintenance", lists(&[file["status"].clone()], "maintenance"), keys_of::<file::StatusMaintenance>()),
        ("a token", lists(&accounts, "tokens"), keys_of::<file::Token>()),
    ] {
        for key in keys {
            assert!(mappings.iter().any(|mapping| mapping.get(&key).is_some()), "{what} has no `{key}`");
        }
    }
    // A line of JSON Lines is an account with its name, and an included file has accounts alone.
    let mut of_line = keys_of::<file::Account>();
    of_line.insert(0, "name".to_owned());
    assert_eq!(keys_of::<file::AccountLine>(), of_line);
    assert_eq!(keys_of::<file::AccountsFile>(), ["accounts"]);
    for (word, list) in [
        ("all", "serves"),
        ("lookups", "serves"),
        ("pages", "serves"),
        ("required", "client_certificate"),
        ("optional", "client_certificate"),
        ("unmetered", "credits"),
        ("each", "durability"),
        ("batch", "durability"),
        ("allow", "absent"),
        ("deny", "absent"),
        ("missing", "when"),
        ("any", "when"),
    ] {
        assert!(CONFIGURATION.contains(word), "{list}: {word}");
    }
}

#[test]
fn the_files_of_the_directory_are_good() {
    for name in ["gateway.yaml", "demo.yaml"] {
        let config = load(&directory().join(name)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(config.summary(name).starts_with(&format!("{name}: good\n")));
    }
}

#[test]
fn gateway_yaml_states_the_defaults_that_there_are() {
    let text = "public_url: https://a.example\n\
                upstreams: { u: { servers: [127.0.0.1:9001, 127.0.0.1:9002] } }\n\
                products:\n  p:\n    upstream: u\n    routes: [POST /p]\n    token_headers: [T]\n\
                \x20   headers: { A: { pattern: a, problem: own }, B: { one_of: [b], problem: own } }\n\
                \x20   body: { schema: { properties: { m: true } }, problems: [{ at: /m, problem: own }] }\n\
                \x20 q: { upstream: u, routes: [POST /q], token_headers: [T], body: {} }\n\
                \x20 r: { upstream: u, routes: [POST /r], token_headers: [T] }\n\
                problems: { own: { status: 400, detail: d } }\n\
                accounts:\n  a:\n    rate: { limit: 7/s }\n\
                \x20   tokens: [{ name: t, hash: \"sha256:0000000000000000000000000000000000000000000000000000000000000001\", products: [p] }]\n";
    let config = parsed(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let policy = &config.policy;
    let [p, q, r] = &*policy.products else { panic!("three products") };
    let states = |phrase: &str| assert!(CONFIGURATION.contains(phrase), "gateway.yaml does not say {phrase:?}");

    let [listener] = &*config.listeners.0 else { panic!("one listener") };
    assert_eq!(*listener, crate::downstream::listener::Listener::plain("127.0.0.1:8080".parse().unwrap()));
    states("an address and a port. Default: 127.0.0.1:8080");
    states(&format!("of accounts. Default: {}.", config.admin));
    states("well (clients must know beforehand). Default: false.");
    states("Default: one for each core.");
    assert_eq!(config.workers, std::thread::available_parallelism().unwrap().get());
    states("address that other machines can reach. Default: false.");
    states("What links to problem pages begin with. No default.");
    let site = &policy.site;
    assert!(policy.pages.find("/problems").is_some());
    states("  # Default: true.\n  serve: true");
    states(&format!("# What the service is called. Default: {}.", site.name));
    for (scheme, palette) in [("light", site.light), ("dark", site.dark)] {
        let crate::site::colour::Palette { text, background, accent } = palette;
        states(&format!("{scheme}: {{ text: \"{text}\", background: \"{background}\", accent: \"{accent}\" }}"));
    }
    assert!(site.logo.is_none() && site.support.email.is_none() && site.menu.len() == 4);
    assert_eq!((&*site.public_url, &*site.api_url), ("https://a.example", "https://a.example"));
    states("# Default: none.\ntrusted_proxies:");
    for address in ["127.0.0.1", "10.0.0.1", "::1"] {
        assert!(!policy.trusted_proxies.contains(address.parse().unwrap()), "{address}");
    }

    states("The values here are the defaults.");
    let as_stated = parsed(CONFIGURATION).unwrap().policy.limits;
    assert_eq!(format!("{:?}", policy.limits), format!("{as_stated:?}"));

    let upstream = &policy.upstreams[0];
    states("Default: the first server.");
    assert_eq!(&*upstream.host, "127.0.0.1:9001");
    states(&format!("To reach a server. Default: {}s.", upstream.connect_timeout.as_secs()));
    states(&format!("below the backend's own. Default: {}s.", upstream.idle_timeout.as_secs()));
    let server = &upstream.servers[0];
    states(&format!("from 1 to 100 (default {})", server.weight));
    states("that it may have at a time (default: any number)");
    assert_eq!(server.max_requests, None);
    states(&format!("addresses stay.\n    # Default: {}s.", upstream.resolve_every.as_secs()));
    states(&format!("has had it for this long. Default: {}s.", upstream.slow_after.as_secs()));
    states("never shown. Default: none.");
    assert!(upstream.added.lines().is_empty());
    states("Without this key nobody checks.");
    assert!(upstream.health.is_none());
    let ejection = upstream.ejection;
    states(&format!("Default: {{ failures: {}, time: {}s }}.", ejection.failures, ejection.time.as_secs()));
    states("this key it never opens.");
    assert_eq!(upstream.breaker, BreakerRule::NEVER);
    let watched = "9002], health_check: { path: /h }, breaker: {} }";
    let watched = parsed(&text.replace("9002] }", watched)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let health = watched.policy.upstreams[0].health.clone().unwrap();
    states(&format!(
        "Defaults: status 200, tcp false, interval {}s, timeout {}s, and\n    # {} failures or {} successes",
        health.interval.as_secs(),
        health.timeout.as_secs(),
        health.failures,
        health.successes
    ));
    assert_eq!(health.probe, Probe::Get { path: "/h".into(), status: 200 });
    let BreakerRule { failures, error_percent, window, min_requests, open_for } = watched.policy.upstreams[0].breaker;
    states(&format!(
        "Defaults: failures {failures}, error_percent {error_percent}, window {window:?}, min_requests {min_requests},\n    # open_for {open_for:?}."
    ));

    let names = |types: &[crate::policy::http::media::MediaType]| {
        types.iter().map(|kind| kind.name().to_owned()).collect::<Vec<_>>()
    };
    states("and that a body may have. Default: application/json.");
    assert_eq!(
        (names(&p.media.served), names(&p.media.taken)),
        (vec!["application/json".to_owned()], vec!["application/json".to_owned()])
    );

    assert!(p.deadline.header.is_none());
    assert_eq!(p.deadline.default.as_secs(), 15);
    let named = parsed(&text.replace("routes: [POST /r]", "routes: [POST /r], deadline: { header: D }")).unwrap();
    let named = &named.policy.products[2].deadline;
    states("Whole seconds;\n    # defaults: no header, ");
    states(&format!(
        "no header, min {}s, max {}s, default {}s.",
        named.min_seconds,
        named.max_seconds,
        named.default.as_secs()
    ));

    let (Shape::Pattern { max_bytes, .. }, Shape::OneOf { ignore_case, .. }) =
        (&p.headers[0].shape, &p.headers[1].shape)
    else {
        panic!("a pattern and a list");
    };
    states(&format!("its length in bytes (default {max_bytes})"));
    states("in any case of letters (default false)");
    states("when it is absent (default false)");
    assert!(!ignore_case && !p.headers[0].echo && !p.headers[1].echo);

    states("Without this key requests have no body.");
    assert!(r.body.is_none());
    let body = q.body.as_ref().unwrap();
    states(&format!("# Bytes. Default: {}.", units::Bytes(body.max_bytes)));
    states("Default: any JSON.");
    assert!(body.schema.is_none() && body.judge(b"[0]").is_ok());
    states("does not name. Default: false, they are ignored.");
    assert!(p.body.as_ref().unwrap().judge(br#"{"n":1}"#).is_ok());
    states("# (default: any)");
    assert!(
        matches!(p.body.as_ref().unwrap().schema.as_ref().unwrap(), schema if format!("{schema:?}").contains("when: Any"))
    );
    states(&format!("answer to a preflight. Default: {}m.", p.preflight.max_age_seconds / 60));
    states("standard reason phrase as the title. Default: that phrase.");

    let sampling = policy.sampling.clone();
    states("Count requests by account, and by token, as well. Default: false.");
    assert!(!sampling.by_account && !sampling.by_token);
    states(&format!("all further ones are `other`. Default: {}.", sampling.max_series));
    states("One line of JSON for each request. Without this key there is none.");
    states("all others always do. Default: 1.");
    states("Default: a new key with each start.");
    states("both pass as they came. Default: true.");
    states("that have spans (default 1)");
    states("Spans for a collector of OpenTelemetry (default: none)");
    assert!(sampling.traceparent && sampling.ok_lines.get() == 1.0 && sampling.spans.get() == 1.0);
    assert_eq!(config.outlets, crate::telemetry::Outlets::default());
    let traced = "tracing: { otlp: { endpoint: \"http://127.0.0.1:4318\" } }\naccounts:\n";
    let traced = parsed(&text.replace("accounts:\n", traced)).unwrap().outlets.otlp.unwrap();
    states(&format!("calls this gateway (default {})", traced.service_name));

    states("`burst`\n    # at once (default: the limit)");
    let state = policy.accounts[0]
        .rate
        .state(crate::policy::rate::Now { monotonic: std::time::Duration::ZERO, unix_seconds: 0 })
        .unwrap();
    assert_eq!(state.allowance.burst.get(), 7);
    let token = &policy.accounts.keys().next().unwrap().token;
    states("switches it off (default false)");
    assert!(token.enabled);
    states("its last day, in UTC (default: never)");
    assert_eq!(token.expiry, Expiry::Never);
    states("where requests may come from (default: anywhere)");
    assert!(matches!(token.networks, crate::policy::check::network::Networks::Any));
    states("*.host is any subdomain (default: any)");
    assert!(matches!(token.domains, crate::policy::check::domain::Domains::Any));
    states("without Origin and Referer (default deny)");
    let with_domains = parsed(&text.replace("products: [p]", "products: [p], domains: [a.example]")).unwrap();
    let domains = &with_domains.policy.accounts.keys().next().unwrap().token.domains;
    assert!(domains.allow(&crate::policy::http::head::Lines::UNREADABLE).is_err());
}

/// A directory of its own for one test, which goes when the test ends.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // The brackets must not be taken for a pattern.
        let path = std::env::temp_dir().join(format!("tollgate-config-[{}]-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("accounts.d")).unwrap();
        Scratch(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// The lines that `GOOD` with these includes is answered with, without the directory's name.
    fn lines(&self, include: &str) -> Vec<String> {
        let lines = match self.load(include) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
        };
        let prefix = format!("{}/", self.0.display());
        lines.iter().map(|line| line.replace(&prefix, "")).collect()
    }

    fn load(&self, include: &str) -> Result<Config, Mistakes> {
        self.write("main.yaml", format!("{GOOD}include: [{include}]\n"));
        load(&self.0.join("main.yaml"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn digest(number: usize) -> String {
    Digest::of(&number.to_le_bytes()).text()
}

fn line(name: &str, number: usize) -> String {
    format!(
        "{{\"name\": \"{name}\", \"rate\": {{\"limit\": \"5/s\"}}, \"tokens\": [{{\"name\": \"t\", \"hash\": \"{}\", \"products\": [\"phone\"], \"networks\": [\"192.0.2.0/24\"]}}]}}",
        digest(number)
    )
}

const BOTH: &str = "accounts.d/*.yaml, accounts.d/*.jsonl";

#[test]
fn accounts_are_included_from_yaml_and_json_lines() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/a.yaml", "accounts:\n  one:\n    rate: { unlimited: true }\n");
    scratch.write("accounts.d/b.jsonl", format!("{}\n\n{}", line("two", 2), line("three", 3)));
    scratch.write("accounts.d/notes.txt", "not an account");
    let config = scratch.load(BOTH).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let names: BTreeSet<_> = config.policy.accounts.iter().map(|account| &*account.name).collect();
    assert_eq!(names, BTreeSet::from(["acme", "one", "two", "three"]));
    let principal = config.policy.accounts.find(&Digest::of(&3_usize.to_le_bytes())).unwrap();
    let inside = |address: &str| principal.token.networks.contains(address.parse::<IpAddr>().unwrap());
    assert!(inside("192.0.2.1") && !inside("192.0.3.1"));
    assert_eq!(&*principal.account.name, "three");
    // A whole path does as well.
    let whole = scratch.0.join("accounts.d/b.jsonl");
    assert!(scratch.load(&format!("'{}'", whole.display())).is_ok());
}

#[test]
fn mistakes_of_included_files_are_told_with_file_and_line() {
    for (name, text, lines) in [
        (
            "b.jsonl",
            format!("{}\n{}\n{}\n", line("one", 1), line("two", 2), line("three", 3).replace("/24", "/33")),
            vec![
                "accounts.d/b.jsonl:3:189: tokens[0].networks[0]: is not a network; write an address and a prefix, as in 203.0.113.0/24",
            ],
        ),
        (
            "b.jsonl",
            line("one", 1).replace("\"products\"", "\"product\""),
            vec![
                "accounts.d/b.jsonl:1:54: tokens[0].products: is missing; name the products that the token covers",
                "accounts.d/b.jsonl:1:151: tokens[0].product: is not a key here; did you mean `products`?",
            ],
        ),
        (
            "b.jsonl",
            line("one", 1).replace("[\"192.0.2.0/24\"]", "null"),
            vec!["accounts.d/b.jsonl:1:186: tokens[0].networks: is blank; give it a value or remove the key"],
        ),
        (
            "b.jsonl",
            line("one", 1).replace("[\"192.0.2.0/24\"]", "[]"),
            vec![
                "accounts.d/b.jsonl:1:186: tokens[0].networks: is an empty list; write networks, or remove the key to allow all",
            ],
        ),
        (
            "b.jsonl",
            line("one", 1).replace("\"name\": \"one\", ", ""),
            vec!["accounts.d/b.jsonl:1:1: name: is missing; name the account"],
        ),
        (
            "b.jsonl",
            line("one", 1) + "\n" + &line("two", 2).replace("{\"limit\"", "{\"limit\": \"6/s\", \"limit\""),
            vec!["accounts.d/b.jsonl:2:42: rate.limit: is written twice, first on line 2; keep one"],
        ),
        (
            "b.jsonl",
            line("one", 1) + "\n# hunter2\n",
            vec!["accounts.d/b.jsonl:2:1: .: is empty; write at least one `key: value` line"],
        ),
        (
            "b.jsonl",
            format!("{}\n{}\n", line("one", 1), line("acme", 1)),
            vec![
                "accounts.d/b.jsonl:2:1: .: is an account that is there already (main.yaml:34); give each account one entry",
            ],
        ),
        (
            "b.jsonl",
            format!("{}\n{}\n", line("one", 1), line("two", 1)),
            vec![
                "accounts.d/b.jsonl:2:1: .: has the digest of another token (accounts.d/b.jsonl:1); remove one, or make a new one with `tollgate token new`",
            ],
        ),
        (
            "b.jsonl",
            format!("{}\nhunter2\n", line("one", 1)),
            vec![
                "accounts.d/b.jsonl:2:1: .: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are name, rate, credits, tokens",
            ],
        ),
        (
            "b.jsonl",
            format!("{}\n{{\"name\": \"two\"\n", line("one", 1)),
            vec!["accounts.d/b.jsonl:2:1: .: breaks off a mapping in braces; add the missing `,` or `}`"],
        ),
        (
            "a.yaml",
            "accounts:\n  one:\n    rate: { limit: 5 }\n  two:\n    tokens:\n".to_owned(),
            vec![
                "accounts.d/a.yaml:3:20: accounts.one.rate.limit: is not a rate; write a number from 1 on and a period, as in 10/s, 150/min, 5000/h or 100000/d",
                "accounts.d/a.yaml:4:3: accounts.two.rate: is missing; write { limit: 150/min, burst: 150 }, or { unlimited: true }",
                "accounts.d/a.yaml:5:5: accounts.two.tokens: is blank; give it a value or remove the key",
            ],
        ),
        (
            "a.yaml",
            "one:\n  rate: { unlimited: true }\n".to_owned(),
            vec!["accounts.d/a.yaml:1:1: one: is not a key here; the keys are accounts"],
        ),
        ("a.yaml", String::new(), vec!["accounts.d/a.yaml:1:1: .: is empty; write at least one `key: value` line"]),
    ] {
        let scratch = Scratch::new();
        scratch.write(&format!("accounts.d/{name}"), &text);
        assert_eq!(scratch.lines(BOTH), lines, "{text}");
    }
}

#[test]
fn a_product_with_a_mistake_is_not_unknown_to_tokens() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/b.jsonl", line("one", 1) + "\n" + &line("two", 2).replace("phone", "fone"));
    let text = format!("{GOOD}include: [{BOTH}]\n").replace("    preflight_max_age: 10m\n", "  other:\n");
    let text =
        text.replace("upstream: lookup", "upstream: lokup").replace("products: [phone]", "products: [phone, other]");
    let mistakes = parse("f", &text, &Source::from(scratch.0.clone())).unwrap_err().to_string();
    let lines: Vec<_> = mistakes.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "b.jsonl:2:164: tokens[0].products[0]: names no product; write phone",
            "f:13:15: products.phone.upstream: names no upstream; write lookup",
            "f:27:3: products.other: is blank; give it a value or remove the key",
        ]
    );
}

#[test]
fn files_that_cannot_be_accounts_are_told() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/notes.txt", "hunter2");
    scratch.write("accounts.d/bytes.yaml", b"accounts:\n  \xff: 1\n");
    std::fs::create_dir(scratch.0.join("accounts.d/folder.yaml")).unwrap();
    assert_eq!(
        scratch.lines("accounts.d/*"),
        [
            "accounts.d/bytes.yaml:1:1: .: cannot be read (stream did not contain valid UTF-8); mend the file or its rights",
            "accounts.d/folder.yaml:1:1: .: cannot be read (Is a directory (os error 21)); mend the file or its rights",
            "accounts.d/notes.txt:1:1: .: is included, but its name does not tell what it is; end it in .yaml, or in .jsonl for one account a line",
        ]
    );
    assert_eq!(
        load(&scratch.0.join("nowhere.yaml")).unwrap_err().to_string(),
        format!(
            "{}/nowhere.yaml:1:1: .: cannot be read (No such file or directory (os error 2)); name a file that this user may read\n",
            scratch.0.display()
        )
    );
}

#[test]
fn a_file_of_json_lines_full_of_mistakes_is_left_early() {
    let scratch = Scratch::new();
    scratch.write("accounts.d/b.jsonl", "{}\n".repeat(1000));
    let lines = scratch.lines(BOTH);
    assert!((20..50).contains(&lines.len()), "{}", lines.len());
    assert!(lines.last().unwrap().ends_with("is read no further; mend those first"), "{lines:?}");
    let long = format!("{}\n{{\"name\": \"{}\"}}\n{}\n", line("one", 1), "n".repeat(4 << 20), line("two", 2));
    scratch.write("accounts.d/b.jsonl", long);
    assert_eq!(
        scratch.lines(BOTH),
        [
            "accounts.d/b.jsonl:2:1: .: is longer than 4 MiB, so that this file is read no further; write one account a line"
        ]
    );
}

#[test]
fn a_hundred_thousand_accounts_load() {
    const ACCOUNTS: usize = 100_000;
    let scratch = Scratch::new();
    let text: String = (0..ACCOUNTS).map(|number| line(&format!("account-{number}"), number) + "\n").collect();
    scratch.write("accounts.d/all.jsonl", text);
    let begun = Instant::now();
    let config = scratch.load(BOTH).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    println!("{ACCOUNTS} accounts were loaded in {:?}", begun.elapsed());
    assert_eq!((config.policy.accounts.len(), config.policy.accounts.tokens()), (ACCOUNTS + 1, ACCOUNTS + 1));
    for number in [0, 1, ACCOUNTS / 2, ACCOUNTS - 1] {
        assert!(config.policy.accounts.find(&Digest::of(&number.to_le_bytes())).is_some(), "{number}");
    }
}

/// Neither good nor told what is wrong would be the end of an operator's patience.
fn is_answered(text: &str) -> bool {
    match parse("f", text, &Source::from(directory())) {
        Ok(_) => true,
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused in silence: {text:?}");
            false
        }
    }
}

#[test]
fn every_beginning_of_gateway_yaml_is_answered() {
    let good =
        (0..=CONFIGURATION.len()).filter_map(|end| CONFIGURATION.get(..end)).filter(|text| is_answered(text)).count();
    println!("{good} of {} beginnings are good", CONFIGURATION.len() + 1);
    assert!(is_answered(CONFIGURATION));
}

/// Texts with some bytes changed, the same ones in each run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
    }

    pub(super) fn broken(&mut self, text: &str) -> String {
        const SPICE: &[u8] = b" \n\t:,-[]{}\"'#&*!|>%@`~0aZ\x00\xc3/.\\";
        let mut bytes = text.to_owned().into_bytes();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => bytes[at] = SPICE[self.below(SPICE.len())],
                2 => bytes.insert(at, SPICE[self.below(SPICE.len())]),
                3 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + self.below(60)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn gateway_yaml_broken_at_random_is_answered() {
    const MUTATIONS: usize = 3000;
    // Comments are most of the file and would take most of the hits.
    let bare: String = CONFIGURATION
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(is_answered(&bare));
    let mut random = Random::new();
    let mut good = 0;
    for _ in 0..MUTATIONS {
        good += usize::from(is_answered(&random.broken(&bare)));
    }
    println!("{good} of {MUTATIONS} broken files are good");
}

/// The error object of a row, for a product or for requests without one.
fn object(wording: &crate::policy::problem::messages::Wording, row: Row, field: Option<u16>) -> Value {
    let mut out = Vec::new();
    let words = wording.words(row).unwrap();
    wording.write_object(&mut out, words, crate::policy::problem::messages::Shape::ErrorObject, field, b"/p");
    serde_json::from_slice::<Value>(&out).unwrap()["error"].clone()
}

#[test]
fn own_words_replace_the_built_in_ones() {
    let text = edited(
        GOOD,
        &[(
            "problems:\n  mode",
            "problems:\n  token-unknown: { title: Who are you?, detail: 'Ask for a \"token\".' }\n  \
         token-missing: { detail: 'Send {token_headers} or nothing.' }\n  internal: { status: 500, detail: Sorry. }\n  \
         body-invalid: { detail: 'Look at {field}, up to {body_max} bytes, as {content_type}.' }\n  mode",
        )],
    );
    let config = parsed(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let product = &config.policy.products[0].wording;
    let error = object(product, Row::TokenUnknown, None);
    assert_eq!(
        (error["title"].as_str(), error["detail"].as_str()),
        (Some("Who are you?"), Some("Ask for a \"token\"."))
    );
    assert_eq!(error["type"], "https://api.example.com/problems/token-unknown");
    assert_eq!(object(product, Row::TokenMissing, None)["detail"], "Send Auth-Token or nothing.");
    assert_eq!(
        object(product, Row::BodyInvalid, Some(0))["detail"],
        "Look at number, up to 16384 bytes, as application/json."
    );
    for wording in [product, &config.policy.wording] {
        assert_eq!(object(wording, Row::Internal, None)["detail"], "Sorry.");
        assert_eq!(object(wording, Row::Internal, None)["title"], "Internal Server Error");
        assert_eq!(object(wording, Row::RateExceeded, None)["title"], "Too Many Requests");
    }
    // The products' own rows are as written.
    let number = object(product, Row::Own(1), None);
    assert_eq!((number["detail"].as_str(), number["title"].as_str()), (Some("Send a number."), Some("Bad Request")));
    assert_eq!(number["type"], "https://api.example.com/problems/number-missing");
}

#[test]
fn every_blank_of_every_row_is_filled() {
    let with_header = parsed(&edited(GOOD, &[("[Auth-Token]", "[Auth-Token, x-app-key]")])).unwrap();
    let without_header = parsed(&edited(GOOD, &[("header: Timeout-Seconds, ", "")])).unwrap();
    for config in [&with_header, &without_header] {
        for (row, _) in config.policy.products[0].wording.iter() {
            let detail = object(&config.policy.products[0].wording, *row, None)["detail"].as_str().unwrap().to_owned();
            assert!(!detail.contains(['{', '}']), "{row:?}: {detail}");
            let unused = config.policy.products[0].deadline.header.is_none() && *row == Row::TimeoutInvalid;
            assert!(unused || !detail.contains("(none)"), "{row:?}: {detail}");
        }
        // Rows that come before the product is known have nothing to fill in.
        for row in [Row::MalformedRequest, Row::RequestTimeout, Row::Overloaded, Row::EndpointUnknown, Row::Internal] {
            let detail = object(&config.policy.wording, row, None)["detail"].as_str().unwrap().to_owned();
            assert!(!detail.contains(['{', '}']), "{row:?}: {detail}");
        }
    }
    let product = &with_header.policy.products[0].wording;
    for (row, filled) in [
        (Row::TokenMissing, "Auth-Token or x-app-key"),
        (Row::AcceptUnsupported, "application/json"),
        (Row::ContentTypeUnsupported, "application/json"),
        (Row::TimeoutInvalid, "Timeout-Seconds"),
        (Row::TimeoutInvalid, "from 2 to 15"),
        (Row::BodyTooLarge, "16384 bytes"),
        (Row::DeadlineExceeded, "Timeout-Seconds"),
    ] {
        let detail = object(product, row, None)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(filled), "{row:?}: {detail}");
    }
    assert_eq!(
        object(&without_header.policy.products[0].wording, Row::DeadlineExceeded, None)["detail"],
        "There was no answer within the time allowed. Send the request again later."
    );
    assert_eq!(TABLE.len() + 2, with_header.policy.wording.iter().count());
}
