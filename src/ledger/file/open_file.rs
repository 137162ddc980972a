//! The open file: its path, its lock, and the length of its journal.
//!
//! It is opened in `opening.rs`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::ledger::fault::LedgerFault;
use crate::ledger::lock::{self, beside};

/// The suffix of SQLite's journal.
pub(super) const JOURNAL: &str = "-wal";

/// The bytes of a journal after which it is written into the database. It is SQLite's own limit;
/// SQLite would not record the base of the next journal.
pub(super) const MAX_JOURNAL_BYTES: u64 = 4 * 1024 * 1024;

/// What is needed to check whether the path still leads to the file that was opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// As it was named.
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    journal: PathBuf,
    /// The journal's length, in bytes, at which it is written into the database next.
    pub(super) fold_at: u64,
    /// Held for as long as the ledger is open.
    _file: File,
    _name: File,
}

impl OpenFile {
    pub(super) fn new(path: &Path, real: &Path, name: File) -> Result<OpenFile, LedgerFault> {
        let file = lock::take_file(real)?;
        let found = file.metadata()?;
        Ok(OpenFile {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            journal: beside(real, JOURNAL),
            fold_at: MAX_JOURNAL_BYTES,
            _file: file,
            _name: name,
        })
    }

    pub(super) fn has_journal(&self) -> bool {
        self.journal_bytes() > 0
    }

    pub(super) fn journal_bytes(&self) -> u64 {
        fs::metadata(&self.journal).map_or(0, |found| found.len())
    }
}
