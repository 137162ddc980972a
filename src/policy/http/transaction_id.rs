//! The identity of an exchange: how a `Transaction-Id` is made, read and written.

use uuid::Uuid;

/// The identity of one exchange: `Transaction-Id`, made by us.
#[derive(Clone, Copy, Debug)]
pub struct TransactionId([u8; uuid::fmt::Hyphenated::LENGTH]);

impl TransactionId {
    /// A new random one (RFC 9562, version 4).
    pub fn random() -> TransactionId {
        TransactionId::of(*Uuid::new_v4().as_bytes())
    }

    /// The one with these bytes.
    pub fn of(id: [u8; 16]) -> TransactionId {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        Uuid::from_bytes(id).hyphenated().encode_lower(&mut text);
        TransactionId(text)
    }

    /// The one of examples.
    pub const EXAMPLE: TransactionId = TransactionId(*b"7f1c0a52-3b0e-4d7e-9c55-0d2f6a1e8b34");

    /// Its text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its text, as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// One that another process has made; `None` if it is none.
    pub fn parse(text: &str) -> Option<TransactionId> {
        let mut own = [0; uuid::fmt::Hyphenated::LENGTH];
        Uuid::try_parse(text).ok()?.hyphenated().encode_lower(&mut own);
        Some(TransactionId(own))
    }
}
