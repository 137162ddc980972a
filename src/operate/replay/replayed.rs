//! What a replay has found, before it is shown.

use super::source::Damages;
use super::tally::Tally;

/// What a replay has found.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The files, in the order in which they were read.
    pub files: Vec<String>,
    pub tally: Tally,
    /// Decisions that came too late to be judged in their order.
    pub late: u64,
    /// What could not be read.
    pub damages: Damages,
}
