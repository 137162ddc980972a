//! The version of the store and its change log: what has changed since a version, and whether that version is part of
//! this store's history.

use super::error::StoreError;
use super::sql::{Connection, OptionalExtension, params};

/// How long marks are kept. A reader that is further behind has to read everything again.
pub const CHANGES_KEPT_MS: i64 = 7 * 86_400 * 1000;

/// What a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// An account, its tokens or their lists, by its id.
    Account,
    /// A plan, by its name.
    Plan,
    /// A management key, by its id.
    Key,
    /// Nothing that is kept in memory.
    Nothing,
}

impl ChangeKind {
    /// The word in the log.
    pub const fn word(self) -> &'static str {
        match self {
            ChangeKind::Account => "account",
            ChangeKind::Plan => "plan",
            ChangeKind::Key => "key",
            ChangeKind::Nothing => "nothing",
        }
    }

    fn from_word(word: &str) -> ChangeKind {
        match word {
            "account" => ChangeKind::Account,
            "plan" => ChangeKind::Plan,
            "key" => ChangeKind::Key,
            // An entry of a newer program is about nothing that this one keeps in memory.
            _ => ChangeKind::Nothing,
        }
    }
}

/// A point in the store's history: versions count up, and the nonce distinguishes two histories with the same version,
/// if one of them was restored from a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    pub version: i64,
    pub nonce: i64,
}

/// The changes since a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// These have changed up to now, each once.
    Changed { now: Moment, marks: Vec<(ChangeKind, String)> },
    /// The moment is not in the log: it is too long ago, or the store was restored from a copy.
    Unknown { now: Moment },
}

/// The newest moment.
///
/// # Errors
/// Errors of the database.
pub fn moment(connection: &Connection) -> Result<Moment, StoreError> {
    let mut statement = connection.prepare_cached("SELECT version, nonce FROM store_clock")?;
    Ok(statement.query_row((), |row| Ok(Moment { version: row.get(0)?, nonce: row.get(1)? }))?)
}

/// What has changed since a moment. The connection must be in a transaction if it is to be read with the rows.
///
/// # Errors
/// Errors of the database.
pub fn since(connection: &Connection, known: Moment) -> Result<Since, StoreError> {
    let now = moment(connection)?;
    if now == known {
        return Ok(Since::Changed { now, marks: Vec::new() });
    }
    let is_known = connection
        .prepare_cached("SELECT 1 FROM change WHERE version = ?1 AND nonce = ?2 LIMIT 1")?
        .query_row(params![known.version, known.nonce], |_| Ok(()))
        .optional()?
        .is_some();
    if !is_known && known != Moment::default() {
        return Ok(Since::Unknown { now });
    }
    if known == Moment::default() && oldest(connection)? != Some(1) {
        return Ok(Since::Unknown { now });
    }
    let query = "SELECT DISTINCT kind, id FROM change WHERE version > ?1";
    let mut statement = connection.prepare_cached(query)?;
    let marks =
        statement.query_map([known.version], |row| Ok((ChangeKind::from_word(row.text(0)?), row.get::<String>(1)?)))?;
    Ok(Since::Changed { now, marks: marks.collect::<Result<_, _>>()? })
}

/// The oldest version in the log.
fn oldest(connection: &Connection) -> Result<Option<i64>, StoreError> {
    Ok(connection.prepare_cached("SELECT MIN(version) FROM change")?.query_row((), |row| row.get(0))?)
}
