//! What may be spent on one body.

/// Steps of every body, however short.
const STEPS_OF_ANY: u64 = 16 * 1024;

/// Steps for each byte of a body. The schema of the demo takes one step for about three bytes.
const STEPS_PER_BYTE: u64 = 64;

/// Verdicts that are remembered for any body, and for each of its bytes; one takes 24 bytes.
const VERDICTS_OF_ANY: usize = 4096;
const VERDICTS_PER_BYTE: usize = 2;

/// Verdicts that are remembered at most: 8 MiB.
const MAX_VERDICTS: usize = 256 * 1024;

/// The budget is used up: the value is neither valid nor invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded;

/// What may be spent on one body.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub steps: u64,
    pub verdicts: usize,
}

impl Budget {
    /// What a body of so many bytes may cost at most.
    pub fn of(bytes: usize) -> Budget {
        let length = u64::try_from(bytes).unwrap_or(u64::MAX);
        Budget {
            steps: STEPS_OF_ANY.saturating_add(length.saturating_mul(STEPS_PER_BYTE)),
            verdicts: VERDICTS_OF_ANY.saturating_add(bytes.saturating_mul(VERDICTS_PER_BYTE)).min(MAX_VERDICTS),
        }
    }
}
