//! How the ledger is kept, as the configuration says.

use std::fmt;
use std::path::PathBuf;

/// Where the books are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    File(PathBuf),
    /// In memory: gone with the process.
    Memory,
}

impl fmt::Display for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Storage::File(path) => path.display().fmt(formatter),
            Storage::Memory => formatter.write_str("in memory"),
        }
    }
}

/// When a charge is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Some milliseconds after its answer.
    Batch,
    /// Before its answer.
    Each,
}

/// How the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    pub place: Storage,
    pub durability: Durability,
}
