//! Who does something, by which way, when, and whether it may have been done already.

use super::error::StoreError;

/// The way by which an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The management API.
    Api,
    /// The command line on this machine.
    CommandLine,
    /// A browser.
    Portal,
    /// The gateway itself.
    Gateway,
}

impl Via {
    /// The word in the audit.
    pub const fn word(self) -> &'static str {
        match self {
            Via::Api => "api",
            Via::CommandLine => "cli",
            Via::Portal => "portal",
            Via::Gateway => "gateway",
        }
    }
}

/// The circumstances of an operation, for the audit.
#[derive(Clone, Debug)]
pub struct Act {
    /// Who: `key:ID`, `user:ID`, or the name of whoever has the machine.
    pub actor: String,
    pub via: Via,
    /// Where from: an address, or nothing.
    pub address: String,
    /// When, in milliseconds since 1970 in UTC.
    pub at_ms: i64,
    pub idempotency: Option<Idempotency>,
}

/// What makes an operation that is sent again the same one (`draft-ietf-httpapi-idempotency-key-header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Whose keys they are: those of others mean nothing.
    pub scope: String,
    /// The key.
    pub key: String,
    /// SHA-256 of what was asked.
    pub request: [u8; 32],
}

/// Bytes that a key may have.
pub const MAX_KEY_BYTES: usize = 255;

impl Idempotency {
    /// Whether the key is one.
    ///
    /// # Errors
    /// How to write one.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let fits =
            (1..=MAX_KEY_BYTES).contains(&self.key.len()) && self.key.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            return Ok(());
        }
        Err(StoreError::invalid("idempotency_key", "is not a key; send 1 to 255 visible ASCII characters"))
    }
}
