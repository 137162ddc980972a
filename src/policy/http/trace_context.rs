//! The position of a request in a trace: W3C Trace Context, `traceparent` and `tracestate`.
//!
//! A valid `traceparent` is kept and anything else is replaced by a new one, whose trace id is the
//! request's Transaction-Id: both are 16 bytes, of which the last seven are random, as level 2 of
//! the specification requires. Without an exporter of spans the gateway is not part of the trace,
//! and forwards a valid one unchanged. Spans are written in `telemetry/otlp_span.rs`.

use crate::policy::http::head::{Lines, One};

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The most bytes of all `tracestate` lines together, and the most members (section 3.3.1).
const MAX_STATE_BYTES: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;

/// The flags of version 00: the caller may have recorded the request, and the id is random.
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The headers.
pub const PARENT: &str = "traceparent";
pub const STATE: &str = "tracestate";

/// Whether a header is one of them.
pub fn is_ours(name: &str) -> bool {
    name.eq_ignore_ascii_case(PARENT) || name.eq_ignore_ascii_case(STATE)
}

/// A request's position in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace's id.
    pub id: [u8; 16],
    /// The caller's span; `None` if the trace begins here.
    pub parent: Option<[u8; 8]>,
    flags: u8,
    /// The parent span for the backend.
    child: [u8; 8],
    /// Whether the caller's `tracestate` is forwarded.
    state: bool,
}

/// The handling of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Trace headers are forwarded unchanged.
    None,
    /// The gateway adds its own spans. A request gets spans only if it is `chosen`, or if its
    /// `traceparent` is sampled and the caller is `trusted`: anybody who can request spans can fill
    /// the trace storage.
    Spans { chosen: bool, trusted: bool },
}

impl Trace {
    /// The trace of a request: the caller's, or a new one with the request's own id.
    pub fn of(lines: &Lines<'_>, own: [u8; 16], part: Part) -> Trace {
        // Most requests have none.
        let kept = match lines.one(PARENT) {
            One::Value(value) => parse(value),
            One::Absent | One::Several => None,
        };
        match kept {
            Some((id, parent, flags)) => {
                let (flags, child) = match part {
                    Part::None => (flags, parent),
                    Part::Spans { chosen, trusted } if chosen || trusted => (flags, client_span(own)),
                    // Backends should not record what the gateway does not.
                    Part::Spans { .. } => (flags & !SAMPLED, client_span(own)),
                };
                Trace { id, parent: Some(parent), flags, child, state: is_sound_state(lines) }
            }
            None => {
                let sampled = if matches!(part, Part::Spans { chosen: true, .. }) { SAMPLED } else { 0 };
                Trace { id: own, parent: None, flags: RANDOM | sampled, child: client_span(own), state: false }
            }
        }
    }

    /// Whether the request gets spans.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags of its `traceparent`.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The `traceparent` for a backend.
    pub fn header(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        let bytes = self.id.iter().chain(&self.child).chain(std::iter::once(&self.flags));
        // There is a dash after the version `00` and after each part.
        let indexes = (3..35).step_by(2).chain((36..52).step_by(2)).chain(std::iter::once(53));
        for (index, byte) in indexes.zip(bytes) {
            for (at, digit) in [(index, byte >> 4), (index + 1, byte & 0xf)] {
                if let (Some(at), Some(digit)) = (text.get_mut(at), HEX.get(usize::from(digit))) {
                    *at = *digit;
                }
            }
        }
        if let Some(version) = text.get_mut(..2) {
            version.fill(b'0');
        }
        text
    }

    /// The lines of the caller's `tracestate` that are forwarded.
    pub fn state<'l>(&self, lines: &Lines<'l>) -> impl Iterator<Item = &'l [u8]> + use<'l> {
        let state = self.state;
        lines.values(STATE).filter(move |_| state)
    }
}

/// The id of the span that covers the request at the gateway: a half of the request's own id, which
/// is never zero, since it has the bits of a UUID's variant.
pub fn server_span(own: [u8; 16]) -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = own;
    [a, b, c, d, e, f, g, h]
}

/// The id of the span that covers the exchange with the upstream: the other half, which has the
/// bits of a UUID's version.
pub fn client_span(own: [u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = own;
    [a, b, c, d, e, f, g, h]
}

/// Bytes as hexadecimal digits, for JSON.
pub fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([byte >> 4, byte & 0xf].iter().filter_map(|digit| HEX.get(usize::from(*digit))));
    }
}

/// The id, the parent's span and the flags of a `traceparent` (section 3.2). For a later version,
/// the parts of version 00 are read.
fn parse(value: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let [version] = digits(known.get(..2)?)?;
    let fits = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let dashes = [2, 35, 52].iter().all(|index| known.get(*index) == Some(&b'-'));
    if !fits || !dashes {
        return None;
    }
    let (id, parent) = (digits(known.get(3..35)?)?, digits(known.get(36..52)?)?);
    let [flags] = digits(known.get(53..)?)?;
    (id != [0; 16] && parent != [0; 8]).then_some((id, parent, flags & (SAMPLED | RANDOM)))
}

/// Bytes of lower-case hexadecimal digits.
fn digits<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// Whether all lines of `tracestate` together are a valid list (section 3.3.1).
fn is_sound_state(lines: &Lines<'_>) -> bool {
    let mut bytes = 0_usize;
    let mut members = 0_usize;
    for value in lines.values(STATE) {
        bytes = bytes.saturating_add(value.len());
        if bytes > MAX_STATE_BYTES {
            return false;
        }
        for member in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
            members += 1;
            if !is_member(member) || members > MAX_STATE_MEMBERS {
                return false;
            }
        }
    }
    true
}

fn is_member(member: &[u8]) -> bool {
    const MAX_KEY_BYTES: usize = 256;
    const MAX_VALUE_BYTES: usize = 256;
    let Some(equals) = memchr::memchr(b'=', member) else { return false };
    let (key, rest) = member.split_at(equals);
    let value = rest.get(1..).unwrap_or_default();
    let is_key_byte = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let starts = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    starts
        && key.len() <= MAX_KEY_BYTES
        && key.iter().all(is_key_byte)
        && (1..=MAX_VALUE_BYTES).contains(&value.len())
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::head::Field;

    const OWN: [u8; 16] = [1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16];
    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trace(fields: &[(&str, &str)], part: Part) -> (String, Vec<String>) {
        let fields: Vec<Field<'_>> =
            fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
        let trace = Trace::of(&lines, OWN, part);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&trace.header()), trace.state(&lines).map(text).collect())
    }

    #[test]
    fn a_sound_traceparent_is_kept_and_any_other_is_made_anew() {
        let made = "00-010203040506470889".to_owned() + "0a0b0c0d0e0f10-0102030405064708-02";
        let own = |flags: &str| GIVEN.replace("b7ad6b7169203331-01", &format!("0102030405064708-{flags}"));
        for (given, passed, with_spans) in [
            (GIVEN.to_owned(), GIVEN.to_owned(), own("01")),
            (GIVEN.replace("-01", "-00"), GIVEN.replace("-01", "-00"), own("00")),
            // Flags that version 00 does not have are not passed on.
            (GIVEN.replace("-01", "-ff"), GIVEN.replace("-01", "-03"), own("03")),
            // A later version is read as far as it is known, and forwarded as version 00.
            (GIVEN.replace("00-0a", "cc-0a") + "-more", GIVEN.to_owned(), own("01")),
        ] {
            assert_eq!(trace(&[("Traceparent", &given)], Part::None).0, passed, "{given}");
            assert_eq!(
                trace(&[("traceparent", &given)], Part::Spans { chosen: false, trusted: true }).0,
                with_spans,
                "{given}"
            );
        }
        for bad in [
            "",
            "00",
            &GIVEN.to_uppercase(),
            &GIVEN.replace("00-0a", "ff-0a"),
            &GIVEN.replace("00-0a", "0g-0a"),
            &(GIVEN.to_owned() + "-more"),
            &GIVEN.replace("00-0a", "cc-0a").replace("-01", "-01x"),
            &GIVEN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GIVEN.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GIVEN.replace('-', "_"),
            &GIVEN.replace("0af7", "0ag7"),
        ] {
            assert_eq!(trace(&[("traceparent", bad)], Part::None).0, made, "{bad}");
        }
        assert_eq!(trace(&[("traceparent", GIVEN), ("traceparent", GIVEN)], Part::None).0, made, "two lines");
        assert_eq!(trace(&[], Part::Spans { chosen: false, trusted: true }).0, made);
        assert_eq!(trace(&[], Part::Spans { chosen: true, trusted: false }).0, made.replace("-02", "-03"));
    }

    #[test]
    fn a_tracestate_is_passed_on_as_it_came_or_not_at_all() {
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        for (states, passed) in [
            (vec!["a=1,b@c=2 3"], true),
            (vec!["a=1", "b=2"], true),
            (vec!["a=1, ,b=2,"], true),
            (vec![&many.get(..32).unwrap().join(",")], true),
            (vec![&many.join(",")], false),
            (vec!["a"], false),
            (vec!["A=1"], false),
            (vec!["a="], false),
            (vec!["=1"], false),
            (vec!["a=1=2"], false),
            (vec!["a=\u{e9}"], false),
            (vec![&format!("a={}", "b".repeat(257))], false),
            (vec!["a=1", &format!("b={0},c={0}", "b".repeat(255))], false),
        ] {
            let mut fields = vec![("traceparent", GIVEN)];
            fields.extend(states.iter().map(|state| ("TraceState", *state)));
            let expected: Vec<&str> = if passed { states.clone() } else { Vec::new() };
            assert_eq!(trace(&fields, Part::None).1, expected, "{states:?}");
            // It must be ignored without a valid traceparent (section 3.3).
            assert!(trace(fields.get(1..).unwrap(), Part::None).1.is_empty());
        }
    }
}
