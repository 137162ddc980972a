//! Why an operation on the store has not been done, as a value that callers can act on, and in words.
//!
//! Words say what to do. They never repeat a value: it may be a secret that was written into the wrong field.

use std::fmt;

use rusqlite::ErrorCode;
use serde_json::Value;

/// Why an operation has not been done. Nothing of it has.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreError {
    /// There is no such thing.
    NotFound {
        /// What was looked for: account, token, plan, key.
        what: &'static str,
    },
    /// It has changed since it was read: its version now, and its state now.
    Conflict { what: &'static str, row_version: i64, newer: Box<Value> },
    /// Somebody else has the name or the digest.
    Taken { field: &'static str, why: &'static str },
    /// There are as many as there may be.
    Limit { what: &'static str, most: usize },
    /// A value that does not fit: which field, and how to mend it.
    Invalid { field: String, why: String },
    /// Its state does not allow that.
    State { why: &'static str },
    /// The idempotency key was used for another request.
    KeyReused,
    /// The store cannot be written or read at the moment; nothing has changed.
    Unavailable { why: &'static str, code: Option<i32> },
    /// The file cannot be used as it is.
    Unusable { why: String },
    /// A row that cannot be what an operation has written.
    Corrupted { table: &'static str, id: String, why: String },
}

impl StoreError {
    /// A value that does not fit.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> StoreError {
        StoreError::Invalid { field: field.into(), why: why.into() }
    }

    /// A row that cannot be what an operation has written.
    pub(super) fn corrupted(table: &'static str, id: &str, why: impl Into<String>) -> StoreError {
        StoreError::Corrupted { table, id: id.to_owned(), why: why.into() }
    }

    /// Whether asking again later can help.
    pub const fn is_passing(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }
}

impl std::error::Error for StoreError {}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NotFound { what } => write!(formatter, "there is no such {what}"),
            StoreError::Conflict { what, row_version, .. } => {
                write!(formatter, "the {what} has changed since it was read (it is at version {row_version} now)")
            }
            StoreError::Taken { field, why } => write!(formatter, "{field}: {why}"),
            StoreError::Limit { what, most } => write!(formatter, "there can be at most {most} {what}"),
            StoreError::Invalid { field, why } => write!(formatter, "{field}: {why}"),
            StoreError::State { why } => formatter.write_str(why),
            StoreError::KeyReused => {
                formatter.write_str("the idempotency key was used for another request; use a new key")
            }
            StoreError::Unavailable { why, code: None } => formatter.write_str(why),
            StoreError::Unavailable { why, code: Some(code) } => {
                write!(formatter, "{why} (SQLite {code}: {})", rusqlite::ffi::code_to_str(*code))
            }
            StoreError::Unusable { why } => formatter.write_str(why),
            StoreError::Corrupted { table, id, why } => write!(formatter, "the row {id} of {table} is damaged: {why}"),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let Some(found) = error.sqlite_error() else {
            return StoreError::Unusable {
                why: "the store has a row of another form than it was made with; put a sound copy back".to_owned(),
            };
        };
        let why = match found.code {
            ErrorCode::DiskFull => "the store cannot be written, because the disk is full; make room on it",
            ErrorCode::ReadOnly => "the store cannot be written; give this user the right to write its file",
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                "another program has locked the store; try again, or let it finish"
            }
            ErrorCode::DatabaseCorrupt => "the store's file is damaged; put a sound copy of it back",
            ErrorCode::NotADatabase => "the file is no store; name another file, or put the store back",
            ErrorCode::CannotOpen => {
                "the store's file cannot be opened; check that its directory is there and its rights"
            }
            ErrorCode::PermissionDenied => "this user may not open the store's file; mend its rights",
            ErrorCode::SystemIoFailure => "the disk does not read or write; look at its health",
            ErrorCode::OutOfMemory => "there is no memory left for the store; free some",
            ErrorCode::ConstraintViolation => "a row breaks a rule of the store",
            _ => "the store has failed; look at its file with the sqlite3 program",
        };
        StoreError::Unavailable { why, code: Some(found.extended_code) }
    }
}
