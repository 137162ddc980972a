//! The spans of one request in OTLP's JSON: one for the request at the gateway, and as its child
//! one for the exchange with the upstream.
//!
//! Attributes have the names of OpenTelemetry's semantic conventions. Those that would contain the
//! request's own bytes, such as a query or the client's address, are left out; `url.path` is
//! present if it is a path from the configuration.

use std::time::{Duration, Instant};

use super::http_version::version;
use super::seen::Seen;
use super::tables::Times;
use crate::platform::clock::since_1970;
use crate::policy::http::json::{Object, write_number};
use crate::policy::http::trace_context::{Trace, client_span, server_span, write_hex};
use crate::policy::problem::Row;
use crate::telemetry::tables::Ending;

/// `SpanKind` and `Status.Code` of OTLP.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const ERROR: u64 = 2;

/// Writes the spans of a request, each followed by a comma.
pub fn write(out: &mut Vec<u8>, seen: &Seen<'_>, times: &Times) {
    let Some(trace) = seen.trace else { return };
    let (now, end) = (Instant::now(), since_1970());
    let begun = end.saturating_sub(now.saturating_duration_since(seen.begun));
    let server = server_span(seen.id);
    let mut span = Object::open(out);
    frame(&mut span, &trace, server, trace.parent, SERVER, (begun, begun.saturating_add(times.total)));
    let method = seen.kept.method;
    let name = span.member("name");
    name.push(b'"');
    name.extend_from_slice(method.unwrap_or("HTTP").as_bytes());
    if let Some(route) = seen.kept.route {
        name.push(b' ');
        crate::policy::problem::messages::write_escaped(name, route.as_bytes());
    }
    name.push(b'"');
    let mut attributes = Attributes::begin(&mut span);
    attributes.text("http.request.method", method.unwrap_or("_OTHER"));
    if let Some(route) = seen.kept.route {
        attributes.text("http.route", route);
        attributes.text("url.path", route);
    }
    attributes.text("network.protocol.version", version(seen.version));
    if seen.status() > 0 {
        attributes.number("http.response.status_code", u64::from(seen.status()));
    }
    if let Some((slug, ..)) = seen.problem() {
        attributes.text("error.type", slug);
    }
    if let Some(product) = seen.trail.product {
        attributes.text("tollgate.product", &product.name);
    }
    if let Ok(transaction) = std::str::from_utf8(seen.transaction.as_bytes()) {
        attributes.text("tollgate.transaction_id", transaction);
    }
    if seen.is_replayed {
        attributes.attribute("tollgate.replayed", |value| value.member("boolValue").extend_from_slice(b"true"));
    }
    attributes.end();
    // A client's mistake is not an error of the server's span (semantic conventions for HTTP
    // spans).
    status(&mut span, seen.status() >= 500);
    span.close();
    out.push(b',');
    if let (Some(since), Some(took)) = (seen.asked.since, times.upstream) {
        let from = end.saturating_sub(now.saturating_duration_since(since));
        write_upstream(out, seen, &trace, (from, from.saturating_add(took)));
    }
}

fn write_upstream(out: &mut Vec<u8>, seen: &Seen<'_>, trace: &Trace, from_to: (Duration, Duration)) {
    let mut span = Object::open(out);
    frame(&mut span, trace, client_span(seen.id), Some(server_span(seen.id)), CLIENT, from_to);
    let method = seen.kept.method;
    span.text("name", method.unwrap_or("HTTP"));
    let mut attributes = Attributes::begin(&mut span);
    attributes.text("http.request.method", method.unwrap_or("_OTHER"));
    if let Some(server) = seen.asked.server {
        attributes.text("server.address", &server.ip().to_string());
        attributes.number("server.port", u64::from(server.port()));
    }
    if seen.asked.status > 0 {
        attributes.number("http.response.status_code", u64::from(seen.asked.status));
    }
    let failed = match seen.ending {
        Ending::Refused(problem) => {
            matches!(problem.row, Row::UpstreamUnavailable | Row::UpstreamFailed | Row::DeadlineExceeded)
        }
        Ending::Answered | Ending::Passed(_) | Ending::Preflight | Ending::Gone => false,
    };
    if let Some((slug, ..)) = seen.problem().filter(|_| failed) {
        attributes.text("error.type", slug);
    }
    if let Some(upstream) = seen.upstream() {
        attributes.text("tollgate.upstream", upstream);
    }
    attributes.end();
    status(&mut span, failed || seen.asked.status >= 400);
    span.close();
    out.push(b',');
}

/// The members that all spans have.
fn frame(
    span: &mut Object<'_>,
    trace: &Trace,
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    kind: u64,
    (from, to): (Duration, Duration),
) {
    hex(span, "traceId", &trace.id);
    hex(span, "spanId", &id);
    if let Some(parent) = parent {
        hex(span, "parentSpanId", &parent);
    }
    span.number("flags", u64::from(trace.flags()));
    span.number("kind", kind);
    // OTLP writes 64-bit integers as strings, since JSON numbers cannot hold them exactly.
    for (name, time) in [("startTimeUnixNano", from), ("endTimeUnixNano", to)] {
        quoted(span.member(name), u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

fn status(span: &mut Object<'_>, is_error: bool) {
    if is_error {
        let mut status = Object::open(span.member("status"));
        status.number("code", ERROR);
        status.close();
    }
}

fn hex(span: &mut Object<'_>, name: &str, bytes: &[u8]) {
    let out = span.member(name);
    out.push(b'"');
    write_hex(out, bytes);
    out.push(b'"');
}

fn quoted(out: &mut Vec<u8>, number: u64) {
    out.push(b'"');
    write_number(out, number);
    out.push(b'"');
}

/// The list of a span's attributes.
struct Attributes<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Attributes<'o> {
    fn begin(span: &'o mut Object<'_>) -> Attributes<'o> {
        let out = span.member("attributes");
        out.push(b'[');
        Attributes { out, empty: true }
    }

    fn attribute(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        let mut attribute = Object::open(self.out);
        attribute.text("key", key);
        let mut value = Object::open(attribute.member("value"));
        write(&mut value);
        value.close();
        attribute.close();
    }

    fn text(&mut self, key: &str, text: &str) {
        self.attribute(key, |value| value.text("stringValue", text));
    }

    fn number(&mut self, key: &str, number: u64) {
        self.attribute(key, |value| quoted(value.member("intValue"), number));
    }

    fn end(self) {
        self.out.push(b']');
    }
}
