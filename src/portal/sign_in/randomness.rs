//! Random bytes for secrets, codes and what is sealed.

use super::people;
use crate::ledger::store::randomness::{Randomness, SystemRandomness};
use crate::portal::visit::Trouble;

/// Random bytes of the operating system.
///
/// # Errors
/// That the machine has none.
pub fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    SystemRandomness.fill(&mut bytes).map_err(people::trouble)?;
    Ok(bytes)
}
