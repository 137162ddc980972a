//! The parameters of a route: segments of its path and members of its query (contract, section 11).
//!
//! A value is judged after percent-decoding, and is sent to the backend in one canonical encoding, so that what was
//! judged is what the backend reads. In a query a `+` is a space (WHATWG URL, application/x-www-form-urlencoded).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::header::ValueShape;
use crate::policy::problem::{Hint, ParameterFlaw, Problem, Row};

/// The most parameters that the query of one route can have rules for: each has a bit of one word.
pub const MAX_QUERY_PARAMETERS: usize = 64;

/// The most parameters of one path.
pub const MAX_PATH_PARAMETERS: usize = 16;

/// The largest value of a parameter or a header in bytes, if its rule has no other limit.
pub const DEFAULT_MAX_BYTES: usize = 256;

/// What is percent-encoded: everything but the unreserved characters and two that mean nothing within a segment or a
/// value (RFC 3986, sections 2.3, 3.3 and 3.4).
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b':');

/// A rule for one parameter.
#[derive(Clone, Debug)]
pub struct ParameterRule {
    pub name: Box<str>,
    pub shape: ValueShape,
    /// One of a path always is.
    pub is_required: bool,
    /// Whether a query may have it more than once.
    pub may_repeat: bool,
    /// Whether it is sent to the backend as a segment of a path.
    pub is_segment: bool,
    pub row: Row,
    /// For people, in the operator's words.
    pub description: Box<str>,
    /// A value that the rule accepts, for the reference.
    pub example: Box<str>,
}

/// What becomes of parameters of a query that have no rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undeclared {
    #[default]
    Pass,
    Drop,
    Refuse,
}

impl ParameterRule {
    /// Judges a value as it was sent; `index` is the rule's among those of its route.
    ///
    /// # Errors
    /// The rule's own problem.
    pub fn judge(&self, value: &[u8], index: u16) -> Result<(), Problem> {
        if value.is_empty() && self.is_required {
            return Err(self.problem(index, ParameterFlaw::Missing));
        }
        let sound = self.shape.matches(value) && (!self.is_segment || is_segment(value));
        if sound { Ok(()) } else { Err(self.problem(index, ParameterFlaw::Invalid)) }
    }

    /// The refusal for a flaw.
    pub fn problem(&self, index: u16, flaw: ParameterFlaw) -> Problem {
        let reason = match flaw {
            ParameterFlaw::Missing => "a parameter is missing",
            ParameterFlaw::Repeated => "a parameter is sent more than once",
            ParameterFlaw::Invalid | ParameterFlaw::Unknown => "the value of a parameter breaks its rule",
        };
        Problem::new(self.row, reason).with(Hint::Parameter { index, flaw })
    }

    /// What its value must be, to follow its name: `must be one of a, b`.
    pub fn words(&self) -> String {
        let must = if matches!(self.shape, ValueShape::OneOf { .. }) { "must be one of" } else { "must be" };
        format!("{must} {}", self.shape.words(", "))
    }
}

/// Whether a value may be a segment of a path: nothing that a backend could take for another path (contract, section 8).
fn is_segment(value: &[u8]) -> bool {
    !value.is_empty() && value != b"." && value != b".." && !value.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0))
}

/// The refusal of a query with a parameter that the route does not have.
pub const UNKNOWN: Problem = Problem {
    row: Row::ParameterInvalid,
    reason: "the query has a parameter that the route does not have",
    hint: Hint::Parameter { index: u16::MAX, flaw: ParameterFlaw::Unknown },
};

/// A segment of a path, decoded.
#[inline]
pub fn segment(text: &str) -> Cow<'_, [u8]> {
    // Most are as they were before they were encoded, and short: a loop over their bytes is faster than any search.
    if text.bytes().any(|byte| byte == b'%') { percent_decode(text.as_bytes()).into() } else { text.as_bytes().into() }
}

/// A name or a value of a query, decoded.
#[inline]
pub fn member(text: &str) -> Cow<'_, [u8]> {
    if text.bytes().any(|byte| matches!(byte, b'+' | b'%')) { decoded(text) } else { text.as_bytes().into() }
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// The names and values of a query, as they were sent; the value is `None` where there is no `=`.
pub fn members(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    split(query, b'&').filter(|part| !part.is_empty()).map(|part| cut(part, b'='))
}

/// The parts of a text between some ASCII characters.
#[inline]
pub fn split(text: &str, mark: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (part, behind) = cut(rest?, mark);
        rest = behind;
        Some(part)
    })
}

/// What is before the first of some ASCII character, and what is behind it.
#[inline]
fn cut(text: &str, mark: u8) -> (&str, Option<&str>) {
    let at = text.bytes().position(|byte| byte == mark);
    let parts = at.and_then(|at| Some((text.get(..at)?, text.get(at.checked_add(1)?..))));
    parts.unwrap_or((text, None))
}

/// Appends a decoded value in its canonical encoding.
pub fn encode(out: &mut Vec<u8>, value: &[u8]) {
    percent_encode(value, ENCODED).for_each(|part| out.extend_from_slice(part.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(shape: ValueShape, is_segment: bool) -> ParameterRule {
        ParameterRule {
            name: "number".into(),
            shape,
            is_required: true,
            may_repeat: false,
            is_segment,
            row: Row::ParameterInvalid,
            description: "".into(),
            example: "".into(),
        }
    }

    #[test]
    fn a_value_is_read_decoded_and_written_in_one_encoding() {
        for (sent, in_path, in_query, canonical) in [
            ("DE811907980", "DE811907980", "DE811907980", "DE811907980"),
            ("%44E8", "DE8", "DE8", "DE8"),
            ("a+b", "a+b", "a b", "a%20b"),
            ("a%2Bb", "a+b", "a+b", "a%2Bb"),
            ("a%20b", "a b", "a b", "a%20b"),
            ("me@example.com", "me@example.com", "me@example.com", "me@example.com"),
            ("%zz", "%zz", "%zz", "%25zz"),
            ("%C3%A9", "é", "é", "%C3%A9"),
            ("1;x=2", "1;x=2", "1;x=2", "1%3Bx%3D2"),
            ("a%26b", "a&b", "a&b", "a%26b"),
        ] {
            assert_eq!(segment(sent), in_path.as_bytes(), "{sent} in a path");
            assert_eq!(member(sent), in_query.as_bytes(), "{sent} in a query");
            let mut out = Vec::new();
            encode(&mut out, &member(sent));
            assert_eq!(String::from_utf8(out).unwrap(), canonical, "{sent}");
        }
    }

    #[test]
    fn a_query_is_its_members_in_order() {
        let read = |query| members(query).collect::<Vec<_>>();
        assert_eq!(read("a=1&b&&c=&a=2=3"), [("a", Some("1")), ("b", None), ("c", Some("")), ("a", Some("2=3"))]);
        assert_eq!(read(""), []);
        assert_eq!(read("&"), []);
        assert_eq!(read("é=ü&=&="), [("é", Some("ü")), ("", Some("")), ("", Some(""))]);
        for text in ["", "/", "a", "/a", "a/", "/a//b/", "é/ü"] {
            assert!(split(text, b'/').eq(text.split('/')), "{text}");
        }
    }

    #[test]
    fn what_becomes_a_segment_is_one() {
        let any = || ValueShape::Any { max_bytes: 10 };
        for (value, within, beside) in [
            ("x", true, true),
            ("a b", true, true),
            ("..", false, true),
            (".", false, true),
            ("a/b", false, true),
            ("a\\b", false, true),
            ("", false, false),
            ("a\u{0}", false, false),
            ("01234567890", false, false),
        ] {
            assert_eq!(rule(any(), true).judge(value.as_bytes(), 0).is_ok(), within, "{value:?} as a segment");
            assert_eq!(rule(any(), false).judge(value.as_bytes(), 0).is_ok(), beside, "{value:?} in a query");
        }
    }
}
