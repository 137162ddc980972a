//! One ledger, one process: two that count for themselves would sell the same credit.
//!
//! The lock is on the database file itself, so that it holds whatever the file is called: by a
//! link, by a second name, through another mount. It is a lock of the open file (`flock`), which
//! SQLite's own locks (POSIX, by process) neither see nor disturb. A second lock, on a file beside
//! the name, orders processes that would make the same new ledger, and keeps out versions of this
//! program that know no other. A copy is another file: nothing here can tell that a process uses one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::fault::LedgerFault;

/// The ending of the file beside the ledger whose lock orders those that open it by one name.
const ENDING: &str = ".lock";

const TAKEN: LedgerFault =
    LedgerFault::new("another process has the ledger; stop it, or give each gateway a ledger of its own").busy();

/// The ledger by its own name, behind all links; its directory has to be there, the file does not.
///
/// # Errors
/// What is wrong with the name.
pub fn real_name(path: &Path) -> Result<PathBuf, LedgerFault> {
    match fs::canonicalize(path) {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(LedgerFault::new(
                    "the name is a link to a file that is not there; put the file back, or remove the link",
                ));
            }
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or(LedgerFault::new("the name is that of a directory; name a file"))?;
            Ok(fs::canonicalize(directory)?.join(name))
        }
        Err(error) => Err(error.into()),
    }
}

/// A name beside the ledger.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Takes the name of a ledger, by which the file may not be there yet, for as long as the result lives.
///
/// # Errors
/// That another process has it, or that no file can be made beside it.
pub fn take_name(real_name: &Path) -> Result<File, LedgerFault> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    take(options.open(beside(real_name, ENDING))?)
}

/// Takes the file itself, for as long as the result lives. It must live longer than every connection
/// of SQLite to the file: closing any descriptor of a file ends the locks that SQLite has on it.
///
/// # Errors
/// That another process has it, or that it has further names: its journal stands beside one of them
/// alone, so that what was written by that name would be missing by the others.
pub fn take_file(real_name: &Path) -> Result<File, LedgerFault> {
    let file = take(OpenOptions::new().read(true).write(true).open(real_name)?)?;
    if file.metadata()?.nlink() > 1 {
        return Err(LedgerFault::new(
            "the file has a second name (a hard link), and its journal (-wal) stands beside one of them alone; remove the other name, or make it a copy",
        ));
    }
    Ok(file)
}

/// Whether another process keeps this ledger.
pub fn is_taken(path: &Path) -> bool {
    let Ok(name) = real_name(path) else { return false };
    let by_name = beside(&name, ENDING).exists() && take_name(&name).is_err_and(LedgerFault::is_taken);
    // A file that cannot be opened is told by whoever opens the ledger.
    by_name || File::open(&name).is_ok_and(|file| take(file).is_err_and(LedgerFault::is_taken))
}

fn take(file: File) -> Result<File, LedgerFault> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TAKEN),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
