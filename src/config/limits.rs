//! `limits` of requests and connections: its keys and compiler.

use serde_json::Value;

use super::common::{out_of_range, time};
use super::fill::{duration, fill, size};
use super::units::{Bytes, Parsed, Text};
use crate::config::yaml::{Mistakes, Written};
use crate::policy::Limits;
use crate::policy::http::head::{HeadLimits, MAX_FIELDS};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{Bytes, Text};
    use crate::config::yaml::Written;

    /// Limits of requests and connections.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Limits {
        /// The size of all header lines of a request together. Default: 16KiB.
        pub header_bytes: Text<Bytes>,
        /// The number of header lines. Default: 64.
        #[schemars(range(min = 1, max = crate::policy::http::head::MAX_FIELDS))]
        pub headers: Written<usize>,
        /// The size of the request target (path and query). Default: 8KiB.
        pub target_bytes: Text<Bytes>,
        /// The time from the first byte of a head to its end, and the time a new connection may be silent. Default: 5s.
        pub head_timeout: Text<Duration>,
        /// The time for a TLS handshake, from the opening of the connection. Default: 5s.
        pub handshake_timeout: Text<Duration>,
        /// The time from the end of the head to the end of the body. Default: 10s.
        pub body_timeout: Text<Duration>,
        /// The time between two requests of a connection. Default: 60s.
        pub idle_timeout: Text<Duration>,
        /// The time to send a whole answer to the client. Default: 10s.
        pub write_timeout: Text<Duration>,
        /// Connections at a time; a thousand more still get their 503. Default: 10000.
        #[schemars(range(min = 1, max = 10_000_000))]
        pub connections: Written<usize>,
        /// Requests at a time, from the end of the head to the end of the answer. Default: 10000.
        #[schemars(range(min = 1, max = 10_000_000))]
        pub requests: Written<usize>,
        /// The percentage of connections and requests that is reserved for clients with a known token, so that
        /// strangers cannot use up everything. Default: 10.
        #[schemars(range(max = 90))]
        pub reserved_percent: Written<usize>,
        /// Once only the reserved part of `requests` is left, an account gets more only while it has less than its share
        /// of them by weight. Default: false.
        pub share_requests: Written<bool>,
        /// The largest body that a backend may answer with. Default: 1MiB.
        pub response_bytes: Text<Bytes>,
        /// How much of a refused request's body is read and discarded to keep the connection. Default: 64KiB.
        pub drain_bytes: Text<Bytes>,
        /// Memory of the answers that are kept for lookups that are sent again, of all accounts together. Default: 64MiB.
        pub kept_answer_bytes: Text<Bytes>,
    }
}

/// The largest percentage that can be reserved for known clients.
const MAX_RESERVED_PERCENT: usize = 90;

/// Compiles `limits`.
pub fn limits(limits: written::Limits, mistakes: &mut Mistakes) -> Limits {
    let mut bytes = |written: Text<Bytes>, default: usize, range: std::ops::RangeInclusive<usize>| {
        let place = written.place().cloned();
        let bytes = written.take().map_or(default, |Parsed(Bytes(bytes))| bytes);
        out_of_range(
            place,
            range.contains(&bytes),
            || format!("a size from {} to {}", Bytes(*range.start()), Bytes(*range.end())),
            mistakes,
        );
        bytes
    };
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    let header_bytes = bytes(limits.header_bytes, 16 * KIB, 256..=64 * KIB);
    let target_bytes = bytes(limits.target_bytes, 8 * KIB, 64..=64 * KIB);
    let response_bytes = bytes(limits.response_bytes, MIB, KIB..=64 * MIB);
    let drain_bytes = bytes(limits.drain_bytes, 64 * KIB, 0..=16 * MIB);
    let kept_answer_bytes = bytes(limits.kept_answer_bytes, 64 * MIB, MIB..=16 * KIB * MIB);
    let head_timeout = time(limits.head_timeout, 5, mistakes);
    let handshake_timeout = time(limits.handshake_timeout, 5, mistakes);
    let body_timeout = time(limits.body_timeout, 10, mistakes);
    let idle_timeout = time(limits.idle_timeout, 60, mistakes);
    let write_timeout = time(limits.write_timeout, 10, mistakes);
    let percent_place = limits.reserved_percent.place().cloned();
    let reserved_percent = limits.reserved_percent.take().unwrap_or(10);
    let range = || format!("a number from 0 to {MAX_RESERVED_PERCENT}");
    out_of_range(percent_place, reserved_percent <= MAX_RESERVED_PERCENT, range, mistakes);
    let mut count = |written: Written<usize>, default: usize, most: usize| {
        let place = written.place().cloned();
        let count = written.take().unwrap_or(default);
        let range = || format!("a number from 1 to {most}");
        out_of_range(place, (1..=most).contains(&count), range, mistakes);
        count
    };
    Limits {
        head: HeadLimits { target_bytes, header_bytes, header_lines: count(limits.headers, 64, MAX_FIELDS) },
        head_timeout,
        handshake_timeout,
        body_timeout,
        idle_timeout,
        write_timeout,
        connections: count(limits.connections, 10_000, 10_000_000),
        requests: count(limits.requests, 10_000, 10_000_000),
        reserved_percent,
        share_requests: limits.share_requests.take().unwrap_or(false),
        response_bytes,
        drain_bytes: u64::try_from(drain_bytes).unwrap_or(u64::MAX),
        kept_answer_bytes,
    }
}

/// Shows what is not written.
pub fn fill_in(limits: &mut Value, all: &Limits) {
    fill(limits, "header_bytes", size(all.head.header_bytes));
    fill(limits, "headers", all.head.header_lines);
    fill(limits, "target_bytes", size(all.head.target_bytes));
    fill(limits, "head_timeout", duration(all.head_timeout));
    fill(limits, "handshake_timeout", duration(all.handshake_timeout));
    fill(limits, "body_timeout", duration(all.body_timeout));
    fill(limits, "idle_timeout", duration(all.idle_timeout));
    fill(limits, "write_timeout", duration(all.write_timeout));
    fill(limits, "connections", all.connections);
    fill(limits, "requests", all.requests);
    fill(limits, "reserved_percent", all.reserved_percent);
    fill(limits, "share_requests", all.share_requests);
    fill(limits, "response_bytes", size(all.response_bytes));
    fill(limits, "drain_bytes", size(usize::try_from(all.drain_bytes).unwrap_or(usize::MAX)));
    fill(limits, "kept_answer_bytes", size(all.kept_answer_bytes));
}
