//! Locks a ledger for one process: two that count independently would sell the same credit.
//!
//! The lock is on the database file itself, so it works for every name of the file: a link, a
//! second name, another mount. It is a lock of the open file (`flock`), which does not interfere
//! with SQLite's own locks (POSIX, by process). A second lock, on a file beside it, serializes
//! processes that would create the same new ledger, and keeps out versions of this program that use
//! only that lock. A copy is another file, whose use cannot be detected.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::fault::LedgerFault;

/// The suffix of the lock file beside the ledger.
const ENDING: &str = ".lock";

const TAKEN: LedgerFault =
    LedgerFault::new("another process has the ledger; stop it, or give each gateway a ledger of its own").busy();

/// The path of the ledger after following all links; its directory has to exist, the file does not.
///
/// # Errors
/// What is wrong with the name.
pub fn real_name(path: &Path) -> Result<PathBuf, LedgerFault> {
    match fs::canonicalize(path) {
        // Opening a FIFO waits for its writer, and a device is not to be locked.
        Ok(found) if !fs::metadata(&found)?.is_file() => {
            Err(LedgerFault::new("the name is that of a directory, a device, a FIFO or a socket; name a file"))
        }
        Ok(found) => Ok(found),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(LedgerFault::new(
                    "the name is a link to a file that does not exist; put the file back, or remove the link",
                ));
            }
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or(LedgerFault::new("the name is that of a directory; name a file"))?;
            Ok(fs::canonicalize(directory)?.join(name))
        }
        Err(error) => Err(error.into()),
    }
}

/// The path of a file beside the ledger.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Locks the name of a ledger, whose file may not exist yet, until the result is dropped.
///
/// # Errors
/// That another process has it, or that the lock file cannot be created.
pub fn take_name(real_name: &Path) -> Result<File, LedgerFault> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    take(options.open(beside(real_name, ENDING))?)
}

/// Locks the file itself until the result is dropped. It must outlive every SQLite connection to
/// the file: closing any descriptor of a file releases the locks that SQLite has on it.
///
/// # Errors
/// That another process has it, or that it has further names: its journal is beside only one of
/// them, so its content would be missing under the others.
pub fn take_file(real_name: &Path) -> Result<File, LedgerFault> {
    let file = take(OpenOptions::new().read(true).write(true).open(real_name)?)?;
    if file.metadata()?.nlink() > 1 {
        return Err(LedgerFault::new(
            "the file has a second name (a hard link), and its journal (-wal) is beside only one of them; remove the other name, or make it a copy",
        ));
    }
    Ok(file)
}

/// Whether another process has this ledger.
pub fn is_taken(path: &Path) -> bool {
    let Ok(name) = real_name(path) else { return false };
    let by_name = beside(&name, ENDING).exists() && take_name(&name).is_err_and(LedgerFault::is_taken);
    // A file that cannot be opened is reported when the ledger is opened.
    by_name || File::open(&name).is_ok_and(|file| take(file).is_err_and(LedgerFault::is_taken))
}

fn take(file: File) -> Result<File, LedgerFault> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TAKEN),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
