//! Lists of tokens as they were before: the one before the last change, which can be put back for some minutes, and the
//! last one before changes on trial, which comes back unless they are confirmed.
//!
//! What puts them back is in `lists.rs`.

use std::ops::RangeInclusive;

use super::error::StoreError;
use super::records::{ListKind, TokenList};
use super::sql::{self, Connection, OptionalExtension, params};
use super::writing::Shown;

/// How long a change can be undone, in milliseconds.
pub const UNDO_MS: i64 = 10 * 60 * 1000;

/// For how long a change can be on trial, in milliseconds: a minute to a day.
pub const CONFIRM_MS: RangeInclusive<i64> = 60 * 1000..=24 * 3600 * 1000;

/// One list of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOf<'a> {
    pub account_id: &'a str,
    pub token_id: &'a str,
    pub kind: ListKind,
}

/// What a list before is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The last change can be undone.
    Undo,
    /// What is there now is on trial.
    Confirm,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Purpose::Undo => "undo",
            Purpose::Confirm => "confirm",
        }
    }
}

/// What becomes of a list, or can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// When the list before comes back, unless that is confirmed which is there now; in milliseconds since 1970, UTC.
    pub goes_back_at: Option<i64>,
    /// Until when the last change can be undone.
    pub can_undo_until: Option<i64>,
}

/// What becomes of a list, as it is at a moment.
///
/// # Errors
/// Errors of the database.
pub fn waiting(connection: &Connection, of: ListOf<'_>, now_ms: i64) -> Result<Waiting, StoreError> {
    let query = "SELECT purpose, at FROM list_before WHERE account_id = ?1 AND token_id = ?2 AND kind = ?3";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![of.account_id, of.token_id, of.kind.word()])?;
    let mut waiting = Waiting::default();
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(1)?;
        if *row.get::<String>(0)? == *Purpose::Confirm.word() {
            waiting.goes_back_at = Some(at);
        } else if at > now_ms {
            waiting.can_undo_until = Some(at);
        }
    }
    Ok(waiting)
}

/// The list that is kept, and its time.
pub(super) fn get(
    connection: &Connection,
    of: ListOf<'_>,
    purpose: Purpose,
) -> Result<Option<(TokenList, i64)>, StoreError> {
    let query =
        "SELECT list, at FROM list_before WHERE account_id = ?1 AND token_id = ?2 AND kind = ?3 AND purpose = ?4";
    let values = params![of.account_id, of.token_id, of.kind.word(), purpose.word()];
    let read = |row: sql::Row<'_>| Ok((row.get::<String>(0)?, row.get(1)?));
    let Some((list, at)) = connection.prepare_cached(query)?.query_row(values, read).optional()? else {
        return Ok(None);
    };
    let damaged = |_| StoreError::corrupted("list_before", of.token_id, "its list is none");
    Ok(Some((serde_json::from_str(&list).map_err(damaged)?, at)))
}

/// Keeps a list until a time, in place of the one that is kept for the same.
pub(super) fn keep(
    connection: &Connection,
    of: ListOf<'_>,
    purpose: Purpose,
    list: &TokenList,
    at: i64,
) -> Result<(), StoreError> {
    let keep = "INSERT INTO list_before (account_id, token_id, kind, purpose, list, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                ON CONFLICT (account_id, token_id, kind, purpose) DO UPDATE SET list = excluded.list, at = excluded.at";
    let values = params![of.account_id, of.token_id, of.kind.word(), purpose.word(), list.shown()?, at];
    connection.prepare_cached(keep)?.execute(values)?;
    Ok(())
}

/// Forgets a list.
pub(super) fn remove(connection: &Connection, of: ListOf<'_>, purpose: Purpose) -> Result<(), StoreError> {
    let remove = "DELETE FROM list_before WHERE account_id = ?1 AND token_id = ?2 AND kind = ?3 AND purpose = ?4";
    let values = params![of.account_id, of.token_id, of.kind.word(), purpose.word()];
    connection.prepare_cached(remove)?.execute(values)?;
    Ok(())
}

/// Keeps the same for a token that takes another one's place, and its lists.
pub(super) fn copy(connection: &Connection, account_id: &str, from: &str, to: &str) -> Result<(), StoreError> {
    let copy = "INSERT INTO list_before (account_id, token_id, kind, purpose, list, at) \
                SELECT account_id, ?3, kind, purpose, list, at FROM list_before WHERE account_id = ?1 AND token_id = ?2";
    connection.prepare_cached(copy)?.execute(params![account_id, from, to])?;
    Ok(())
}

/// A list whose time to be confirmed is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueList {
    pub account_id: String,
    pub token_id: String,
    pub kind: ListKind,
}

impl DueList {
    /// Which one it is.
    pub fn of(&self) -> ListOf<'_> {
        ListOf { account_id: &self.account_id, token_id: &self.token_id, kind: self.kind }
    }
}

/// Lists whose time to be confirmed is over at a moment, the longest first, at most `most`.
///
/// # Errors
/// Errors of the database.
pub fn due(connection: &Connection, now_ms: i64, most: u32) -> Result<Vec<DueList>, StoreError> {
    let query = "SELECT account_id, token_id, kind FROM list_before \
                 WHERE purpose = 'confirm' AND at <= ?1 ORDER BY at LIMIT ?2";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![now_ms, most])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = ListKind::from_word(&row.get::<String>(2)?) else { continue };
        due.push(DueList { account_id: row.get(0)?, token_id: row.get(1)?, kind });
    }
    Ok(due)
}
