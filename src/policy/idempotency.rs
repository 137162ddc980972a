//! Lookups that are safe to send again (contract, section 14): where the key of a request is, for how long and how many
//! answers are kept for it, and the digests by which both are known.
//!
//! Neither a key nor a request is kept in clear: both are known by digests with a secret alone, since a key can be a
//! client's own reference, and a request has what was looked up. What of a request is in its digest is `keyed.rs`; the
//! answers that are kept are in `gateway/kept_answers.rs`.

pub mod keyed;

use std::fmt;
use std::time::Duration;

use ring::hmac;

use crate::policy::http::head::{Lines, One};
use crate::policy::problem::{Problem, Row};

/// Characters of the longest key.
pub const MAX_KEY: usize = 255;

/// The refusals of what is no key.
const NOT_ONE_KEY: Problem =
    Problem::new(Row::MalformedRequest, "several lines of the header with the key of a request");
const NOT_A_KEY: Problem =
    Problem::new(Row::MalformedRequest, "the key of a request is not 1 to 255 visible characters");

/// How a product takes lookups that are sent again.
#[derive(Debug)]
pub struct IdempotencyRule {
    /// The header with the key.
    pub header: Box<str>,
    /// A rule of the product's headers says what a key is and which problem another value is.
    pub is_ruled: bool,
    /// For how long an answer is kept.
    pub keep: Duration,
    pub limits: AnswerLimits,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Answers of an account.
    pub answers: usize,
    /// Bytes of the answers of an account.
    pub bytes: usize,
    /// Bytes of the largest answer that is kept.
    pub answer_bytes: usize,
}

impl IdempotencyRule {
    /// Accepts a request without a key, or with one that is a key.
    ///
    /// # Errors
    /// `malformed-request`, unless a rule of the product's headers judges the header.
    pub fn check(&self, lines: &Lines<'_>) -> Result<(), Problem> {
        match lines.one(&self.header) {
            _ if self.is_ruled => Ok(()),
            One::Absent => Ok(()),
            One::Value(value) => bare(value).map(|_| ()).ok_or(NOT_A_KEY),
            One::Several => Err(NOT_ONE_KEY),
        }
    }

    /// The key of a request that was accepted; `None` if it has none.
    pub fn key<'a>(&self, lines: &Lines<'a>) -> Option<&'a [u8]> {
        match lines.one(&self.header) {
            One::Value(value) if self.is_ruled => Some(value),
            One::Value(value) => bare(value),
            One::Absent | One::Several => None,
        }
    }
}

/// A key without the quotes that a string of structured fields has (`draft-ietf-httpapi-idempotency-key-header`, section
/// 2.1; RFC 9651, section 3.3.3), from 1 to 255 visible ASCII characters.
fn bare(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let key = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    ((1..=MAX_KEY).contains(&key.len()) && key.iter().all(is_plain)).then_some(key)
}

/// A digest of a key or of a request. Its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest that has these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Fingerprint {
        Fingerprint(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// What keys and requests are digested with: HMAC-SHA-256. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// The secret that has these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Secret {
        Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A digest that is begun, for one purpose.
    fn digest(&self, purpose: &[u8]) -> Parts {
        let mut parts = Parts(hmac::Context::with_key(&self.0));
        parts.add(purpose);
        parts
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Parts that are digested, each with its length, so that no two lists of parts are the same.
struct Parts(hmac::Context);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.0.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(part);
    }

    fn end(self) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(self.0.sign().as_ref()).for_each(|(byte, from)| *byte = *from);
        Fingerprint(bytes)
    }
}

/// A request with a key, by its digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Of the account, the product and the key.
    pub key: Fingerprint,
    /// Of all that the answer depends on.
    pub request: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(is_ruled: bool) -> IdempotencyRule {
        let limits = AnswerLimits { answers: 1, bytes: 1, answer_bytes: 1 };
        IdempotencyRule { header: "Idempotency-Key".into(), is_ruled, keep: Duration::from_secs(1), limits }
    }

    fn with<T>(values: &[&[u8]], judge: impl FnOnce(&Lines<'_>) -> T) -> T {
        let fields: Vec<_> = values.iter().map(|value| httparse::Header { name: "idempotency-key", value }).collect();
        judge(&Lines { fields: &fields, ..Lines::UNREADABLE })
    }

    #[test]
    fn a_key_is_bare_or_quoted_and_visible() {
        let (most, more) = (vec![b'k'; MAX_KEY], vec![b'k'; MAX_KEY + 1]);
        let quoted = [b"\"".as_slice(), &most, b"\""].concat();
        for (value, key) in [
            (b"k".as_slice(), Some(b"k".as_slice())),
            (b"\"k\"", Some(b"k")),
            (b" k-1 ", Some(b"k-1")),
            (b"a,b;c=\x27d\x27", Some(b"a,b;c=\x27d\x27")),
            (&most, Some(&most)),
            (&quoted, Some(&most)),
            (b"", None),
            (b"\"\"", None),
            (b"\"", None),
            (b"\"k", None),
            (b"k\"", None),
            (b"a b", None),
            (b"\"a b\"", None),
            (b"a\\b", None),
            (b"a\tb", None),
            (b"k\x7f", None),
            (b"k\0", None),
            (b"k\xc3\xa9", None),
            (&more, None),
        ] {
            with(&[value], |lines| {
                assert_eq!(rule(false).key(lines), key, "{}", value.escape_ascii());
                assert_eq!(rule(false).check(lines).err(), key.is_none().then_some(NOT_A_KEY));
                // Whatever the product's own rule has let pass is a key.
                assert_eq!((rule(true).key(lines), rule(true).check(lines)), (Some(value), Ok(())));
            });
        }
        with(&[b"k", b"k"], |lines| assert_eq!(rule(false).check(lines), Err(NOT_ONE_KEY)));
        with(&[], |lines| assert_eq!((rule(false).check(lines), rule(false).key(lines)), (Ok(()), None)));
    }

    #[test]
    fn a_digest_has_the_borders_of_its_parts_its_purpose_and_the_secret() {
        let digest = |secret: &[u8], purpose: &[u8], parts: &[&[u8]]| {
            let mut digest = Secret::from_bytes(secret).digest(purpose);
            parts.iter().for_each(|part| digest.add(part));
            digest.end()
        };
        let one = digest(b"s", b"key", &[b"ab", b"c"]);
        assert_eq!(one, digest(b"s", b"key", &[b"ab", b"c"]));
        for other in [
            digest(b"s", b"key", &[b"a", b"bc"]),
            digest(b"s", b"key", &[b"ab", b"c", b""]),
            digest(b"s", b"request", &[b"ab", b"c"]),
            digest(b"t", b"key", &[b"ab", b"c"]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(format!("{one:?} {:?}", Secret::from_bytes(b"s")), "*** ***");
    }
}
