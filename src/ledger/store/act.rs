//! The circumstances of an operation: who, through which interface, when, and its idempotency key.

use super::error::StoreError;

/// The interface through which an operation was requested.
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
    /// Who: `key:ID`, `user:ID`, or the name of the user on this machine.
    pub actor: String,
    pub via: Via,
    /// Where from: an address, or nothing.
    pub address: String,
    /// When, in milliseconds since 1970 in UTC.
    pub at_ms: i64,
    pub idempotency: Option<Idempotency>,
}

/// The idempotency key of an operation (`draft-ietf-httpapi-idempotency-key-header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The owner of the key; keys of different owners are independent.
    pub scope: String,
    /// The key.
    pub key: String,
    /// The SHA-256 digest of the request.
    pub request: [u8; 32],
}

/// The most bytes of a key.
pub const MAX_KEY_BYTES: usize = 255;

impl Idempotency {
    /// Checks the key.
    ///
    /// # Errors
    /// How to write a key.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let fits =
            (1..=MAX_KEY_BYTES).contains(&self.key.len()) && self.key.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            return Ok(());
        }
        Err(StoreError::invalid("idempotency_key", "is not a key; send 1 to 255 visible ASCII characters"))
    }
}
