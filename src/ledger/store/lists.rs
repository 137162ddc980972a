//! Operations on the lists of a token: networks and domains, in their canonical form, with notes.

use rusqlite::{Connection, params};

use super::error::StoreError;
use super::fields;
use super::records::{Absent, ListEntry, ListKind, ListMode, TokenInfo, TokenList, TokenState};
use super::tokens;
use super::writing::{Writing, expect};

/// A list of a token.
///
/// # Errors
/// That the token does not exist, or errors of the database.
pub fn get(connection: &Connection, account_id: &str, token_id: &str, kind: ListKind) -> Result<TokenList, StoreError> {
    let token = tokens::get(connection, account_id, token_id)?;
    of(connection, &token, kind)
}

fn of(connection: &Connection, token: &TokenInfo, kind: ListKind) -> Result<TokenList, StoreError> {
    let query = "SELECT value, note FROM token_entry \
                 WHERE account_id = ?1 AND token_id = ?2 AND kind = ?3 ORDER BY value";
    let mut statement = connection.prepare_cached(query)?;
    let read = |row: &rusqlite::Row<'_>| Ok(ListEntry { value: row.get(0)?, note: row.get(1)? });
    let entries = statement.query_map(params![token.account_id, token.id, kind.word()], read)?;
    let absent = (kind == ListKind::Domain).then_some(token.absent);
    Ok(TokenList { mode: tokens::mode(token, kind), entries: entries.collect::<Result<_, _>>()?, absent })
}

/// Replaces a list. Its entries are stored in their canonical form, as [`preview`] shows it.
///
/// # Errors
/// An invalid entry, with its number and how to fix it; an empty list that is enforced, which would refuse everybody; a
/// token that does not exist, has changed, or is revoked.
pub fn set(
    writing: &mut Writing<'_>,
    account_id: &str,
    token_id: &str,
    kind: ListKind,
    expected: Option<i64>,
    list: &TokenList,
) -> Result<(TokenInfo, TokenList), StoreError> {
    let account = tokens::open_account(writing.database(), account_id)?;
    let before = tokens::get(writing.database(), account_id, token_id)?;
    let list_before = of(writing.database(), &before, kind)?;
    expect("token", expected, before.row_version, &before)?;
    if before.state == TokenState::Revoked {
        return Err(StoreError::State { why: "the token is revoked permanently; make a new one" });
    }
    let entries = preview(kind, list)?;
    let mut after = before.clone();
    match kind {
        ListKind::Network => after.networks_mode = list.mode,
        ListKind::Domain => {
            after.domains_mode = list.mode;
            after.absent = list.absent.unwrap_or(Absent::Deny);
        }
    }
    if after == before && entries == list_before.entries {
        return Ok((before, list_before));
    }
    write_entries(writing.database(), (account_id, token_id), kind, false, &entries)?;
    let action = match kind {
        ListKind::Network => "token.networks",
        ListKind::Domain => "token.domains",
    };
    let after = tokens::write(writing, &before, after)?;
    let list = of(writing.database(), &after, kind)?;
    let subject = tokens::subject(&account, &after.name);
    writing.note(action, Some(account_id), subject, Some(&list_before), Some(&list))?;
    Ok((after, list))
}

/// What the entries of a list would be stored as.
///
/// # Errors
/// An invalid entry, with its number and how to fix it; an empty list that is not `any`.
pub fn preview(kind: ListKind, list: &TokenList) -> Result<Vec<ListEntry>, StoreError> {
    if kind == ListKind::Network && list.absent.is_some() {
        return Err(StoreError::invalid("absent", "has no effect on networks; remove it"));
    }
    canonical(kind, list.mode, &list.entries)
}

/// The canonical form of entries with their mode.
pub(super) fn canonical(kind: ListKind, mode: ListMode, entries: &[ListEntry]) -> Result<Vec<ListEntry>, StoreError> {
    if mode != ListMode::Any && entries.is_empty() {
        let why = "is an empty list, which would match nothing; write entries, or the mode any for no restriction";
        return Err(StoreError::invalid("entries", why));
    }
    fields::entries(kind, entries)
}

/// Writes entries in their canonical form. A new token has none yet.
pub(super) fn write_entries(
    connection: &Connection,
    (account_id, token_id): (&str, &str),
    kind: ListKind,
    is_new: bool,
    entries: &[ListEntry],
) -> Result<(), StoreError> {
    if !is_new {
        let remove = "DELETE FROM token_entry WHERE account_id = ?1 AND token_id = ?2 AND kind = ?3";
        connection.prepare_cached(remove)?.execute(params![account_id, token_id, kind.word()])?;
    }
    let insert = "INSERT INTO token_entry (account_id, token_id, kind, value, note) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(insert)?;
    for entry in entries {
        insert.execute(params![account_id, token_id, kind.word(), entry.value, entry.note])?;
    }
    Ok(())
}
