//! The source of ids, secrets and nonces, as an argument.

use super::error::StoreError;

/// A source of unpredictable bytes.
pub trait Randomness: Send {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// That the machine has no source.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError>;
}

/// The operating system's source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        const NONE: StoreError =
            StoreError::Unavailable { why: "this machine has no source of random numbers; see its kernel", code: None };
        getrandom::fill(bytes).map_err(|_| NONE)
    }
}

/// This many random bytes.
///
/// # Errors
/// Those of the source.
pub fn bytes<const N: usize>(random: &mut dyn Randomness) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}

/// Lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A UUIDv7 (RFC 9562, 5.7) of a moment, as 32 hexadecimal digits: ids sort in the order of their
/// creation.
///
/// # Errors
/// Those of the source.
pub fn id(at_ms: i64, random: &mut dyn Randomness) -> Result<String, StoreError> {
    let milliseconds = u64::try_from(at_ms).unwrap_or_default();
    let made = uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes::<10>(random)?);
    Ok(made.into_uuid().simple().to_string())
}
