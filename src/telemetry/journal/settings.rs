//! The operator's choices about the journal: where its files are, how much of them is kept, and what is kept of
//! personal data.

use std::path::PathBuf;
use std::time::Duration;

/// The choices. Their `Debug` shows no key.
#[derive(Clone, PartialEq)]
pub struct JournalSettings {
    /// Where the files are.
    pub directory: PathBuf,
    /// Bytes of all files together, as they are on the disk.
    pub keep_bytes: u64,
    /// Bytes of a file, after which the next one begins.
    pub file_bytes: u64,
    /// Files that were written to this long ago are deleted; `None`: only what does not fit is.
    pub keep_for: Option<Duration>,
    /// The key with which values are digested; `None`: they are left out.
    pub key: Option<Box<str>>,
    /// Whether the addresses of clients are kept.
    pub addresses: bool,
}

impl JournalSettings {
    /// Bytes of all files together, unless the configuration says otherwise.
    pub const KEEP_BYTES: u64 = 4 * 1024 * 1024 * 1024;
    /// Bytes of a file, unless the configuration says otherwise.
    pub const FILE_BYTES: u64 = 64 * 1024 * 1024;
}

impl std::fmt::Debug for JournalSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let JournalSettings { directory, keep_bytes, file_bytes, keep_for, key: _, addresses } = self;
        write!(formatter, "JournalSettings({directory:?}, {keep_bytes}, {file_bytes}, {keep_for:?}, ***, {addresses})")
    }
}
