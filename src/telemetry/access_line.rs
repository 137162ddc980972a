//! The access log's line of one request.
//!
//! It has the gateway's own words, ids, and names from the configuration, and nothing of the
//! request's own bytes: no token, number, path, query or header value. A reference, by which
//! customers ask about a request, is logged as a keyed digest: with the key and the reference the
//! line can be found, but the reference cannot be guessed from the line, even if there are few
//! possible references.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::http_version::{protocol, version};
use super::names::{Names, TimeUnit};
use super::seen::Seen;
use super::tables::Times;
use crate::policy::http::json::{Object, write_number};
use crate::policy::http::text_of_second::TextOfSecond;
use crate::policy::http::trace_context::write_hex;

/// The number of bytes of a reference's digest that are logged.
const DIGEST_BYTES: usize = 16;

/// Makes digests of references. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// A key from these bytes. Never `None`, since HMAC accepts keys of any length.
    pub fn new(bytes: &[u8]) -> Option<Key> {
        Hmac::new_from_slice(bytes).ok().map(Key)
    }

    /// A random key.
    pub fn random() -> Key {
        let mut bytes = [0; 64];
        for (part, id) in bytes.chunks_exact_mut(16).zip([(); 4].map(|()| uuid::Uuid::new_v4())) {
            part.copy_from_slice(id.as_bytes());
        }
        Key(Hmac::new(&bytes.into()))
    }

    fn write_digest(&self, out: &mut Vec<u8>, reference: &[u8]) {
        let mut digest = self.0.clone();
        digest.update(reference);
        let digest = digest.finalize().into_bytes();
        write_hex(out, digest.get(..DIGEST_BYTES).unwrap_or_default());
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// Writes the line of a request, with its line end.
pub fn write(out: &mut Vec<u8>, seen: &Seen<'_>, times: &Times, names: &Names, key: &Key) {
    let mut line = Object::open(out);
    write_time(line.member(names.time), SystemTime::now());
    if let Some((name, text)) = names.constant {
        line.text(name, text);
    }
    write_identity(&mut line, seen, names, key);
    line.text(names.method, seen.kept.method.unwrap_or("_OTHER"));
    line.known(names.route, seen.kept.route);
    line.text(names.protocol, if names.short_protocol { version(seen.version) } else { protocol(seen.version) });
    if seen.status() > 0 || names.zero_status {
        line.number(names.status, u64::from(seen.status()));
    }
    if let Some((slug, _, reason)) = seen.problem() {
        line.text(names.problem, slug);
        line.text(names.reason, reason);
    }
    write_upstream(&mut line, seen, names);
    line.number(names.total, names.total_unit.of(times.total));
    if let Some(upstream) = times.upstream {
        line.number(names.upstream_us, TimeUnit::Microseconds.of(upstream));
    }
    line.number(names.own_us, TimeUnit::Microseconds.of(times.own));
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    line.number(names.bytes_in, bytes(seen.bytes.0));
    line.number(names.bytes_out, bytes(seen.bytes.1));
    line.member(names.delivered).extend_from_slice(if seen.delivered { b"true" } else { b"false" });
    if seen.is_replayed {
        line.member(names.replayed).extend_from_slice(b"true");
    }
    line.close();
    out.push(b'\n');
}

/// Writes which request it was, and whose.
fn write_identity(line: &mut Object<'_>, seen: &Seen<'_>, names: &Names, key: &Key) {
    line.known(names.transaction, std::str::from_utf8(seen.transaction.as_bytes()).ok());
    if let Some(trace) = &seen.trace {
        let out = line.member(names.trace);
        out.push(b'"');
        write_hex(out, &trace.id);
        out.push(b'"');
    }
    if let Some(reference) = &seen.kept.reference {
        let out = line.member(names.reference);
        out.push(b'"');
        key.write_digest(out, reference);
        out.push(b'"');
    }
    let principal = seen.trail.principal;
    line.known(names.account, principal.map(|principal| &*principal.account.name));
    line.known(names.token, principal.map(|principal| &*principal.token.name));
    line.known(names.product, seen.trail.product.map(|product| &*product.name));
}

fn write_upstream(line: &mut Object<'_>, seen: &Seen<'_>, names: &Names) {
    let Some(upstream) = seen.upstream() else { return };
    line.text(names.upstream, upstream);
    if let Some(server) = seen.asked.server {
        let out = line.member(names.server);
        // Writing into a vector cannot fail.
        let _ = write!(out, "\"{server}\"");
    }
    if seen.asked.status > 0 {
        line.number(names.upstream_status, u64::from(seen.asked.status));
    }
}

/// Writes a time as RFC 3339, in UTC with milliseconds. Each thread caches the text of the current
/// second.
fn write_time(out: &mut Vec<u8>, time: SystemTime) {
    thread_local! {
        static LAST: TextOfSecond = const { TextOfSecond::new() };
    }
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since_1970.as_secs();
    let make = || {
        let moment = i64::try_from(second).ok().and_then(|second| DateTime::from_timestamp(second, 0));
        moment.unwrap_or_default().format("%Y-%m-%dT%H:%M:%S").to_string()
    };
    out.push(b'"');
    LAST.with(|last| last.with(second, make, |text| out.extend_from_slice(text.as_bytes())));
    // The leading 1, which keeps the zeros, is replaced by the decimal point.
    let point = out.len();
    write_number(out, u64::from(1000 + since_1970.subsec_millis()));
    if let Some(one) = out.get_mut(point) {
        *one = b'.';
    }
    out.extend_from_slice(b"Z\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_is_that_of_rfc_3339() {
        for (seconds, millis, text) in [
            (0, 0, "\"1970-01-01T00:00:00.000Z\""),
            (951_782_400, 7, "\"2000-02-29T00:00:00.007Z\""),
            (951_782_400, 999, "\"2000-02-29T00:00:00.999Z\""),
            (253_402_300_799, 0, "\"9999-12-31T23:59:59.000Z\""),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_digest_is_that_of_hmac_with_sha_256() {
        // RFC 4231, test case 2, cut to the first half.
        let mut out = Vec::new();
        Key::new(b"Jefe").unwrap().write_digest(&mut out, b"what do ya want for nothing?");
        assert_eq!(String::from_utf8(out).unwrap(), "5bdcc146bf60754e6a042426089575c7");
        assert_eq!(format!("{:?}", Key::random()), "***");
    }
}
