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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_in_lower_case_and_read_in_any() {
        let id = TransactionId::of([
            0x7f, 0x1c, 0x0a, 0x52, 0x3b, 0x0e, 0x4d, 0x7e, 0x9c, 0x55, 0x0d, 0x2f, 0x6a, 0x1e, 0x8b, 0x34,
        ]);
        assert_eq!(id.as_str(), TransactionId::EXAMPLE.as_str());
        assert_eq!(id.as_bytes(), b"7f1c0a52-3b0e-4d7e-9c55-0d2f6a1e8b34");
        for text in ["7f1c0a52-3b0e-4d7e-9c55-0d2f6a1e8b34", "7F1C0A52-3B0E-4D7E-9C55-0D2F6A1E8B34"] {
            assert_eq!(TransactionId::parse(text).map(|id| id.as_str().to_owned()), Some(id.as_str().to_owned()));
        }
        for text in ["", "7f1c0a52-3b0e-4d7e-9c55-0d2f6a1e8b3", "7f1c0a52-3b0e-4d7e-9c55-0d2f6a1e8b3g"] {
            assert!(TransactionId::parse(text).is_none(), "{text}");
        }
        let (one, other) = (TransactionId::random(), TransactionId::random());
        assert_ne!(one.as_bytes(), other.as_bytes());
        // RFC 9562, section 5.4: version 4, of the usual variant.
        assert!(one.as_bytes()[14] == b'4' && b"89ab".contains(&one.as_bytes()[19]), "{}", one.as_str());
    }
}
