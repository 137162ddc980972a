//! What is kept of values that can be personal data: all of them, a keyed digest, or nothing.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::line::Member;
use super::rules::digits;
use crate::policy::check::header::ValueShape;

/// Bytes of a value's digest, of which each is two digits.
const DIGEST_BYTES: usize = 16;

/// Makes digests of values. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct ValueKey(Hmac<Sha256>);

impl ValueKey {
    /// A key of these bytes. Never `None`, since HMAC accepts keys of any length.
    pub fn new(bytes: &[u8]) -> Option<ValueKey> {
        Hmac::new_from_slice(bytes).ok().map(ValueKey)
    }

    /// The digest of a value.
    pub fn digest(&self, value: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(value);
        digits(&mac.finalize().into_bytes(), DIGEST_BYTES)
    }
}

impl std::fmt::Debug for ValueKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// What is kept of values that can be personal data.
#[derive(Debug, Default)]
pub struct Redaction {
    /// `None`: values are left out.
    pub key: Option<ValueKey>,
    pub addresses: bool,
}

impl Redaction {
    /// A value that is a client's own.
    pub fn hidden(&self, name: &str, value: &[u8]) -> Member {
        let hmac = self.key.as_ref().map(|key| key.digest(value));
        Member { name: name.to_owned(), value: None, hmac }
    }

    /// A value by the rule that it has: in clear if the rule lists it, or if there is none of it.
    pub fn by_shape(&self, name: &str, value: &[u8], shape: &ValueShape) -> Member {
        let is_listed = match shape {
            ValueShape::OneOf { .. } => shape.matches(value),
            ValueShape::Any { .. } | ValueShape::Pattern { .. } | ValueShape::Number(_) => false,
        };
        match std::str::from_utf8(value) {
            Ok(text) if is_listed || text.is_empty() => clear(name, text),
            Ok(_) | Err(_) => self.hidden(name, value),
        }
    }
}

/// A value as it is.
pub fn clear(name: &str, value: &str) -> Member {
    Member { name: name.to_owned(), value: Some(value.to_owned()), hmac: None }
}
