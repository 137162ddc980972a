//! Reads the notes of requests: a note from memory becomes a line, and values that can be personal data become
//! keyed digests, or are left out.
//!
//! In clear are the words of the configuration (names, paths, values that a rule lists), what the checks of the head
//! compare with (media types, the scheme and host of a page, addresses unless they are switched off), and numbers.
//! Every other value is a client's own. `docs/journal.md` has the whole list.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::DateTime;

use super::bytes::Reading;
use super::line::{Decision, Member, SeenToken, Step};
use super::redaction::{Redaction, clear};
use super::rules::{digits, name_of};
use crate::policy::check::domain::{origin_in_short, referer_in_short};
use crate::policy::check::network::stated;
use crate::policy::check::parameter::{member, members, segment, split};
use crate::policy::check::token::TokenPlace;
use crate::policy::http::head::{Field, Lines, decimal};
use crate::policy::http::text_of_second::TextOfSecond;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::route::{Route, parameter_name};
use crate::policy::{Frame, Product};

/// The most addresses of X-Forwarded-For that are kept, from the right.
const MOST_FORWARDED: usize = 16;

/// Digits of a deadline that is kept as it is; a longer one is out of every range.
const DEADLINE_DIGITS: usize = 5;

/// What stands for a deadline that is no number, and for one that is out of every range.
const NO_NUMBER: &str = "invalid";
const OUT_OF_RANGE: &str = "999999";

/// Bytes of the longest host.
const MAX_HOST_BYTES: usize = 260;

/// The address of the frame that a note is of, and the rest of the note.
pub fn frame_of(note: &[u8]) -> Option<(usize, &[u8])> {
    let mut reading = Reading(note);
    let frame = usize::try_from(reading.number()?).ok()?;
    Some((frame, reading.0))
}

/// The decision of a note, behind its frame. `ended` is the time at which it is read, since 1970, for requests that had no
/// head. `None` for bytes that are no note.
pub fn decision<'a>(
    note: &'a [u8],
    frame: &'a Frame,
    version: &'a str,
    redaction: &Redaction,
    ended: (u64, u32),
) -> Option<Decision<'a>> {
    let mut reading = Reading(note);
    let id: [u8; 16] = reading.array()?;
    let http = *["1.0", "1.1", "2"].get(usize::from(reading.byte()?))?;
    let head = reading.bytes()?;
    let mut decision = Decision {
        transaction_id: Cow::Owned(TransactionId::of(id).as_str().to_owned()),
        policy: Cow::Borrowed(version),
        http: Cow::Borrowed(http),
        ..Decision::default()
    };
    let (product, route) = read_end(&mut reading, frame, &mut decision)?;
    match head {
        [] => decision.time = Cow::Owned(rfc3339(ended)),
        head => read_head(&mut Reading(head), (frame, product, route), redaction, &mut decision)?,
    }
    Some(decision)
}

/// Reads how a request has ended; returns its product and its route.
fn read_end<'a>(
    reading: &mut Reading<'a>,
    frame: &'a Frame,
    decision: &mut Decision<'a>,
) -> Option<(Option<&'a Product>, Option<&'a Route>)> {
    decision.account = reading.maybe()?.map(Cow::Borrowed);
    decision.token = reading.maybe()?.map(Cow::Borrowed);
    let product = frame.products.get(usize::from(reading.byte()?));
    let route = usize::try_from(reading.number()?).ok().and_then(|index| product?.routes.get(index));
    decision.product = product.map(|product| Cow::Borrowed(&*product.name));
    decision.route = route.map(|route| Cow::Owned(name_of(route)));
    decision.step = *Step::ALL.get(usize::from(reading.byte()?))?;
    decision.problem = reading.maybe()?.map(Cow::Borrowed);
    decision.reason = reading.maybe()?.map(Cow::Borrowed);
    let flags = reading.byte()?;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    decision.delivered = flag(0);
    decision.replayed = flag(1);
    decision.asked = flag(2);
    decision.pays = flag(3);
    let watched = [(flag(4), "ip-not-allowed"), (flag(5), "domain-not-allowed")];
    decision.watched = watched.into_iter().filter(|(watched, _)| *watched).map(|(_, row)| row.to_owned()).collect();
    decision.status = u16::try_from(reading.number()?).ok()?;
    decision.upstream_status = u16::try_from(reading.number()?).ok()?;
    decision.charged = u32::try_from(reading.number()?).ok()?;
    decision.total_us = reading.number()?;
    decision.upstream_us = Some(reading.number()?).filter(|micros| *micros != u64::MAX);
    decision.own_us = reading.number()?;
    decision.bytes_in = reading.number()?;
    decision.bytes_out = reading.number()?;
    Some((product, route))
}

fn read_head<'a>(
    reading: &mut Reading<'a>,
    (frame, product, route): (&'a Frame, Option<&'a Product>, Option<&'a Route>),
    redaction: &Redaction,
    decision: &mut Decision<'a>,
) -> Option<()> {
    decision.time = Cow::Owned(rfc3339((reading.number()?, u32::try_from(reading.number()?).ok()?)));
    decision.serves = Cow::Borrowed(*["", "lookups", "pages"].get(usize::from(reading.byte()?))?);
    let peer = match reading.byte()? {
        4 => Some(IpAddr::V4(Ipv4Addr::from(reading.array::<4>()?))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(reading.array::<16>()?))),
        _ => None,
    };
    decision.peer = match peer {
        None => Cow::Borrowed("unix"),
        Some(address) if redaction.addresses => Cow::Owned(address.to_canonical().to_string()),
        Some(_) => Cow::Borrowed(""),
    };
    match reading.byte()? {
        1 => decision.content_length = Some(reading.number()?),
        kind => decision.chunked = kind == 2,
    }
    decision.head = (reading.number()?, reading.number()?, reading.number()?);
    decision.method = method(reading.text()?);
    let authority = reading.maybe()?;
    decision.path = reading.maybe()?.map(Cow::Borrowed);
    let (path, query) = (reading.text()?, reading.text()?);
    if let Some(route) = route {
        read_parameters(frame, route, (path, query), redaction, decision);
    }
    decision.signed = reading.byte()? == 1;
    decision.token_twice = reading.byte()? == 1;
    for _ in 0..reading.byte()? {
        let place = frame.token_places.get(usize::from(reading.byte()?))?;
        let sha256 = digits(&reading.array::<32>()?, 32);
        decision.tokens.push(SeenToken { place: place.to_string(), sha256 });
    }
    while reading.byte()? == 1 {
        let (name, value) = (reading.text()?, reading.maybe_bytes()?);
        // A value that is no text is told like one that is too long.
        let value = value.and_then(|value| std::str::from_utf8(value).ok());
        read_field(frame, product, (name, value), redaction, decision);
    }
    if let Some(host) = authority {
        decision.host = known_host(host);
    }
    Some(())
}

/// A method of RFC 9110 or PATCH; any other is the client's own word.
fn method(text: &str) -> Cow<'_, str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    Cow::Borrowed(KNOWN.into_iter().find(|known| *known == text).unwrap_or("_OTHER"))
}

/// A host as it can stand in a certificate, in lower case.
fn known_host(host: &str) -> Cow<'static, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    let fits = host.len() <= MAX_HOST_BYTES && host.bytes().all(is_plain);
    Cow::Owned(if fits { host.to_ascii_lowercase() } else { String::new() })
}

fn read_parameters(
    frame: &Frame,
    route: &Route,
    (path, query): (&str, &str),
    redaction: &Redaction,
    decision: &mut Decision<'_>,
) {
    let template = split(&route.path.text, b'/').map(parameter_name);
    let of_path = template.zip(split(path, b'/')).filter_map(|(name, text)| name.map(|_| text));
    for (rule, text) in route.parameters.iter().zip(of_path) {
        decision.parameters.push(redaction.by_shape(&rule.name, &segment(text), &rule.shape));
    }
    for (name, value) in members(query) {
        let name = member(name);
        let is_token = |place: &TokenPlace| matches!(place, TokenPlace::Query(known) if *known.as_bytes() == *name);
        match route.query().iter().find(|rule| *rule.name.as_bytes() == *name) {
            Some(rule) => {
                decision.parameters.push(redaction.by_shape(
                    &rule.name,
                    &member(value.unwrap_or_default()),
                    &rule.shape,
                ));
            }
            None if frame.token_places.iter().any(is_token) => {}
            None => decision.undeclared += 1,
        }
    }
}

/// Reads a header: as it is where the checks compare it with words of the configuration, otherwise by its rule.
fn read_field(
    frame: &Frame,
    product: Option<&Product>,
    (name, value): (&str, Option<&str>),
    redaction: &Redaction,
    decision: &mut Decision<'_>,
) {
    let name = name.to_ascii_lowercase();
    let rules = product.map_or(&frame.echoed, |product| &product.headers);
    let is_deadline = product.and_then(|product| product.deadline.header.as_deref());
    let key = product.and_then(|product| product.idempotency.as_ref());
    let member = match (&*name, value) {
        ("host", Some(host)) => {
            decision.host = known_host(host);
            return;
        }
        ("x-forwarded-for", Some(entries)) => return read_forwarded(entries, redaction, decision),
        ("host" | "x-forwarded-for", None) => return,
        ("accept" | "content-type" | "content-encoding", Some(value)) => clear(&name, value),
        ("origin", Some(value)) => {
            clear(&name, &origin_in_short(value.as_bytes()).unwrap_or_else(|| "null".to_owned()))
        }
        ("referer", Some(value)) => {
            clear(&name, &referer_in_short(value.as_bytes()).unwrap_or_else(|| "null".to_owned()))
        }
        ("access-control-request-method", Some(value)) => clear(&name, &method(value)),
        (_, Some(value)) if is_deadline.is_some_and(|known| known.eq_ignore_ascii_case(&name)) => {
            clear(&name, deadline(value))
        }
        (_, Some(value)) => {
            let shape = rules.iter().find(|rule| rule.name.eq_ignore_ascii_case(&name)).map(|rule| &rule.shape);
            let is_no_key = key.is_some_and(|rule| {
                let field = [Field { name: &rule.header, value: value.as_bytes() }];
                rule.header.eq_ignore_ascii_case(&name)
                    && rule.check(&Lines { fields: &field, ..Lines::UNREADABLE }).is_err()
            });
            match shape {
                // What is no key is written as an empty one, which is none either.
                _ if is_no_key => clear(&name, ""),
                Some(shape) => redaction.by_shape(&name, value.as_bytes(), shape),
                None => redaction.hidden(&name, value.as_bytes()),
            }
        }
        (_, None) => Member { name, value: None, hmac: None },
    };
    decision.headers.push(member);
}

fn deadline(value: &str) -> &str {
    match decimal(value.as_bytes()) {
        Some(_) if value.len() <= DEADLINE_DIGITS => value,
        Some(_) => OUT_OF_RANGE,
        None => NO_NUMBER,
    }
}

/// Several lines are written in the order in which they are read, as if they were one.
fn read_forwarded(entries: &str, redaction: &Redaction, decision: &mut Decision<'_>) {
    if !redaction.addresses {
        return;
    }
    let known = stated(entries.as_bytes()).take(MOST_FORWARDED);
    let mut told: Vec<String> =
        known.map(|address| address.map_or_else(|| "?".to_owned(), |address| address.to_string())).collect();
    told.reverse();
    decision.forwarded_for.extend(told);
    let extra = decision.forwarded_for.len().saturating_sub(MOST_FORWARDED);
    decision.forwarded_for.drain(..extra);
}

/// A time as RFC 3339 in UTC, to the nanosecond. Each thread keeps the text of the second that it wrote last.
pub fn rfc3339((seconds, nanos): (u64, u32)) -> String {
    thread_local! {
        static LAST: TextOfSecond = const { TextOfSecond::new() };
    }
    let make = || {
        let moment = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        moment.unwrap_or_default().format("%Y-%m-%dT%H:%M:%S").to_string()
    };
    let mut text = String::with_capacity("2026-01-01T00:00:00.000000000Z".len());
    LAST.with(|last| last.with(seconds, make, |known| text.push_str(known)));
    // Writing to a string cannot fail.
    let _ = write!(text, ".{nanos:09}Z");
    text
}

/// The seconds since 1970 and the nanoseconds behind them of such a time; `None` if it is none.
pub fn unix_time(text: &str) -> Option<(u64, u32)> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some((u64::try_from(moment.timestamp()).ok()?, moment.timestamp_subsec_nanos()))
}
