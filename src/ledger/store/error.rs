//! Why an operation on the store failed, as a value that callers can handle, and as a message.
//!
//! Messages say what to do. They never repeat a value, which may be a secret that was written into the wrong field.

use std::fmt;

use rusqlite::ErrorCode;
use serde_json::Value;

use super::sql::error::{Error, PostgresFault, Sqlstate};

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
    Unavailable { why: &'static str, code: Option<Code> },
    /// The database has not confirmed in time that it was done: it is, or it is not.
    InDoubt,
    /// The file cannot be used as it is.
    Unusable { why: String },
    /// A row that no operation can have written.
    Corrupted { table: &'static str, id: String, why: String },
}

/// What an engine calls its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Sqlite(i32),
    Postgres(Sqlstate),
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::Sqlite(code) => write!(formatter, "SQLite {code}: {}", rusqlite::ffi::code_to_str(*code)),
            Code::Postgres(code) => write!(formatter, "PostgreSQL {}", code.word()),
        }
    }
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

    /// Whether a database was lost, or others were faster, before anything was done: it is right to do it once more.
    pub(super) fn is_undone(&self) -> bool {
        match self {
            StoreError::Unavailable { why, code: None } => *why == OUT_OF_REACH,
            StoreError::Unavailable { code: Some(Code::Postgres(code)), .. } => {
                code.class() == "40" || code.class() == "08" || code.word().starts_with("57P")
            }
            _ => false,
        }
    }

    /// Whether a later retry can help.
    pub const fn is_passing(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. } | StoreError::InDoubt)
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
            StoreError::Unavailable { why, code: Some(code) } => write!(formatter, "{why} ({code})"),
            StoreError::InDoubt => formatter.write_str(
                "the database has not confirmed in time that this was done; look whether it was before it is done again",
            ),
            StoreError::Unusable { why } => formatter.write_str(why),
            StoreError::Corrupted { table, id, why } => write!(formatter, "the row {id} of {table} is damaged: {why}"),
        }
    }
}

const OUT_OF_REACH: &str = "the database cannot be reached; look at it and at the way to it, and ask again";

/// A row that none of the operations can have written.
const UNEXPECTED: &str = "the store has a row of an unexpected form; restore an intact copy";

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error {
            Error::NoRow | Error::Unexpected => StoreError::Unusable { why: UNEXPECTED.to_owned() },
            Error::Sqlite(error) => StoreError::from(error),
            Error::Postgres(fault) => StoreError::from(fault),
            Error::InDoubt => StoreError::InDoubt,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let Some(found) = error.sqlite_error() else { return StoreError::Unusable { why: UNEXPECTED.to_owned() } };
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
        StoreError::Unavailable { why, code: Some(Code::Sqlite(found.extended_code)) }
    }
}

impl From<PostgresFault> for StoreError {
    fn from(fault: PostgresFault) -> StoreError {
        let Some(code) = fault.code else {
            return StoreError::Unavailable { why: OUT_OF_REACH, code: None };
        };
        let why = match (code.class(), code.word()) {
            ("28", _) => "the database refuses the user or the password; fix them, or allow the user in pg_hba.conf",
            ("3D", _) => "the server has no database of that name; make it",
            (_, "42501") => "the user may not do that in the database; grant the user its schema, or make it the owner",
            (_, "53100") => "the database cannot write, because its disk is full; free some space",
            (_, "53300") => "the database has no connection left; allow more, or put a pooler between",
            ("53", _) => "the database has no room left; look at its machine",
            (_, "25006") => "the database can only be read, since it is a standby; name the server that is written to",
            (_, "57P03") => "the database is starting or ending; ask again",
            ("57" | "08", _) => "the database has ended the connection; ask again",
            (_, "55P03") => "others are writing into the store for a long time; try again, or let them finish",
            ("40" | "25", _) => "others have changed the same at the same time; ask again",
            ("23", _) => "a row breaks a rule of the store",
            ("42", _) => "the database lacks a table of the store, or has another one; look at the user's search_path",
            _ => "the database has refused it; look at its log",
        };
        StoreError::Unavailable { why, code: Some(Code::Postgres(code)) }
    }
}
