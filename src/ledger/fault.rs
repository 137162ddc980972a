//! Why the ledger cannot be read or written, and how to fix it.
//!
//! A fault says what to do in our own words, since SQLite's messages can contain names of accounts.
//! Its cause is a number, SQLite's extended result code or an `errno`, with the standard text for
//! the number. The caller adds the name of the file.

use std::fmt;
use std::io::ErrorKind;

use rusqlite::ErrorCode;

/// Why the ledger cannot be read or written, and how to fix it: one sentence without names, and its
/// cause.
#[derive(Clone, Copy, Debug)]
pub struct LedgerFault {
    what: &'static str,
    cause: Cause,
    /// Another process has it.
    taken: bool,
}

/// The source of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Our own checks.
    Ourselves,
    /// SQLite, by an extended result code (sqlite.org/rescode.html).
    Database(i32),
    /// The operating system, by an `errno`.
    System(i32),
}

impl LedgerFault {
    /// A fault in words.
    pub const fn new(what: &'static str) -> LedgerFault {
        LedgerFault { what, cause: Cause::Ourselves, taken: false }
    }

    pub(super) const fn busy(self) -> LedgerFault {
        LedgerFault { taken: true, ..self }
    }

    const fn caused_by(self, cause: Cause) -> LedgerFault {
        LedgerFault { cause, ..self }
    }

    /// Whether another process keeps the ledger.
    pub fn is_taken(self) -> bool {
        self.taken
    }
}

impl PartialEq for LedgerFault {
    /// Equal if the same has to be done: a full disk, for example, causes several errors.
    fn eq(&self, other: &LedgerFault) -> bool {
        self.what == other.what
    }
}

impl Eq for LedgerFault {}

impl fmt::Display for LedgerFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)?;
        match self.cause {
            Cause::Ourselves => Ok(()),
            Cause::Database(code) => {
                write!(formatter, " (SQLite {code}: {})", rusqlite::ffi::code_to_str(code))
            }
            Cause::System(number) => {
                write!(formatter, " ({})", std::io::Error::from_raw_os_error(number))
            }
        }
    }
}

impl From<rusqlite::Error> for LedgerFault {
    fn from(error: rusqlite::Error) -> LedgerFault {
        let Some(found) = error.sqlite_error() else {
            return LedgerFault::new("the database returned unexpected data; the file may belong to another program");
        };
        let what = match found.code {
            ErrorCode::DiskFull => "the disk is full; free some space",
            ErrorCode::ReadOnly => "the file cannot be written; allow this user to write it",
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                "another program has locked the ledger; let it finish"
            }
            ErrorCode::DatabaseCorrupt => "the file is damaged; put an intact copy of the ledger back",
            ErrorCode::NotADatabase => "the file is not a ledger; name another file, or put the ledger back",
            ErrorCode::CannotOpen => "the file cannot be opened; check its directory and its permissions",
            ErrorCode::PermissionDenied => "this user may not open the file; fix its permissions",
            ErrorCode::SystemIoFailure => "the disk cannot read or write; check its health",
            ErrorCode::OutOfMemory => "there is not enough memory for the database; free some",
            ErrorCode::ConstraintViolation => "a row breaks a rule of the ledger",
            _ => "the database has failed; look at the file with the sqlite3 program",
        };
        LedgerFault::new(what).caused_by(Cause::Database(found.extended_code))
    }
}

impl From<std::io::Error> for LedgerFault {
    fn from(error: std::io::Error) -> LedgerFault {
        let fault = LedgerFault::new(match error.kind() {
            ErrorKind::NotFound => "its directory does not exist; make it",
            ErrorKind::PermissionDenied => "this user may not open the file; fix its permissions",
            ErrorKind::ReadOnlyFilesystem => "the file cannot be written; allow this user to write it",
            ErrorKind::StorageFull => "the disk is full; free some space",
            _ => "the disk cannot read or write; check its health",
        });
        error.raw_os_error().map_or(fault, |number| fault.caused_by(Cause::System(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_to_do_and_what_has_told_of_it() {
        let database = |code| LedgerFault::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        let system = |number| LedgerFault::from(std::io::Error::from_raw_os_error(number));
        for (fault, words) in [
            (database(778), &["check its health", "SQLite 778", "I/O"][..]),
            (database(1034), &["check its health", "SQLite 1034"]),
            (database(13), &["the disk is full; free some space", "SQLite 13"]),
            (database(1544), &["allow this user to write it", "SQLite 1544"]),
            (database(526), &["cannot be opened", "SQLite 526"]),
            (system(28), &["the disk is full; free some space", "os error 28"]),
            (system(13), &["fix its permissions", "os error 13"]),
            (system(5), &["check its health", "os error 5"]),
            (LedgerFault::new("some words"), &["some words"]),
        ] {
            let told = fault.to_string();
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
        // What SQLite says in words of its own can name an account.
        let failure = rusqlite::ffi::Error::new(19);
        let told = LedgerFault::from(rusqlite::Error::SqliteFailure(failure, Some("acme".to_owned()))).to_string();
        assert!(!told.contains("acme") && told.contains("SQLite 19"), "{told}");
        assert_eq!(database(778), database(1034), "the same is to be done");
    }
}
