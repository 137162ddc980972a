//! The settings of the ledger.

use std::fmt;
use std::path::PathBuf;

use super::leases::ClusterSettings;

/// Where the ledger is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    File(PathBuf),
    /// In memory, until the process ends.
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

/// When a charge is written to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Some milliseconds after its answer.
    Batch,
    /// Before its answer.
    Each,
}

/// The settings of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    pub storage: Storage,
    pub durability: Durability,
    /// With which other gateways credits are shared, if they are: the file is then a journal of what is on lease.
    pub cluster: Option<ClusterSettings>,
}
