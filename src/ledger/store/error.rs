//! Why an operation on the store failed, as a value that callers can handle, and as a message.
//!
//! Messages say what to do. They never repeat a value, which may be a secret that was written into the wrong field.

use std::fmt;

use rusqlite::ErrorCode;
use serde_json::Value;

/// Why an operation failed. Nothing was changed.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreError {
    /// It does not exist.
    NotFound {
        /// What was looked for: account, token, plan, key.
        what: &'static str,
    },
    /// It has changed since it was read: its version now, and its state now.
    Conflict { what: &'static str, row_version: i64, newer: Box<Value> },
    /// The name or the digest is used already.
    Taken { field: &'static str, why: &'static str },
    /// The limit is reached.
    Limit { what: &'static str, most: usize },
    /// An invalid value: which field, and how to fix it.
    Invalid { field: String, why: String },
    /// Its state does not allow that.
    State { why: &'static str },
    /// The idempotency key was used for another request.
    KeyReused,
    /// The store cannot be written or read at the moment; nothing has changed.
    Unavailable { why: &'static str, code: Option<i32> },
    /// The file cannot be used as it is.
    Unusable { why: String },
    /// A row that no operation can have written.
    Corrupted { table: &'static str, id: String, why: String },
}

impl StoreError {
    /// An invalid value.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> StoreError {
        StoreError::Invalid { field: field.into(), why: why.into() }
    }

    /// A row that no operation can have written.
    pub(super) fn corrupted(table: &'static str, id: &str, why: impl Into<String>) -> StoreError {
        StoreError::Corrupted { table, id: id.to_owned(), why: why.into() }
    }

    /// Whether a later retry can help.
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
                why: "the store has a row of an unexpected form; restore an intact copy".to_owned(),
            };
        };
        let why = match found.code {
            ErrorCode::DiskFull => "the store cannot be written, because the disk is full; free some space",
            ErrorCode::ReadOnly => "the store cannot be written; allow this user to write its file",
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                "another program has locked the store; try again, or let it finish"
            }
            ErrorCode::DatabaseCorrupt => "the store's file is damaged; restore an intact copy of it",
            ErrorCode::NotADatabase => "the file is not a store; name another file, or put the store back",
            ErrorCode::CannotOpen => "the store's file cannot be opened; check its directory and its permissions",
            ErrorCode::PermissionDenied => "this user may not open the store's file; fix its permissions",
            ErrorCode::SystemIoFailure => "the disk cannot read or write; check its health",
            ErrorCode::OutOfMemory => "there is not enough memory for the store; free some",
            ErrorCode::ConstraintViolation => "a row breaks a rule of the store",
            _ => "the store has failed; look at its file with the sqlite3 program",
        };
        StoreError::Unavailable { why, code: Some(found.extended_code) }
    }
}
