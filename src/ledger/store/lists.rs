//! Operations on the lists of a token: networks and domains, in their canonical form, with notes. A change can be undone
//! for some minutes, and can be on trial: then the list before comes back unless the change is confirmed.

use super::error::StoreError;
use super::fields;
use super::list_before::{self, CONFIRM_MS, ListOf, Purpose, UNDO_MS};
use super::records::{Absent, ListEntry, ListKind, ListMode, StoredAccount, TokenInfo, TokenList, TokenState};
use super::sql::{self, Connection, params};
use super::tokens;
use super::writing::{Writing, expect};

/// A list of a token.
///
/// # Errors
/// That the token does not exist, or errors of the database.
pub fn get(connection: &Connection, account_id: &str, token_id: &str, kind: ListKind) -> Result<TokenList, StoreError> {
    let token = tokens::get(connection, account_id, token_id)?;
    list_of(connection, &token, kind)
}

fn list_of(connection: &Connection, token: &TokenInfo, kind: ListKind) -> Result<TokenList, StoreError> {
    let query = "SELECT value, note FROM token_entry \
                 WHERE account_id = ?1 AND token_id = ?2 AND kind = ?3 ORDER BY value";
    let mut statement = connection.prepare_cached(query)?;
    let read = |row: sql::Row<'_>| Ok(ListEntry { value: row.get(0)?, note: row.get(1)? });
    let entries = statement.query_map(params![token.account_id, token.id, kind.word()], read)?;
    let absent = (kind == ListKind::Domain).then_some(token.absent);
    Ok(TokenList { mode: tokens::mode(token, kind), entries: entries.collect::<Result<_, _>>()?, absent })
}

/// Replaces a list. Its entries are stored in their canonical form, as [`preview`] shows it.
///
/// # Errors
/// Those of [`change`].
pub fn set(
    writing: &mut Writing<'_>,
    account_id: &str,
    token_id: &str,
    kind: ListKind,
    expected: Option<i64>,
    list: &TokenList,
) -> Result<(TokenInfo, TokenList), StoreError> {
    change(writing, ListOf { account_id, token_id, kind }, expected, list, None)
}

/// The same, where the change may be on trial: if it is not confirmed within so many milliseconds, the list before
/// comes back. Changes that are made meanwhile are on trial with it, until the time that the last of them says.
///
/// # Errors
/// An invalid entry, with its number and how to fix it; an empty list that is enforced, which would refuse everybody; a
/// time that is out of range; a token that does not exist, has changed, or is revoked.
pub fn change(
    writing: &mut Writing<'_>,
    of: ListOf<'_>,
    expected: Option<i64>,
    list: &TokenList,
    confirm_within_ms: Option<i64>,
) -> Result<(TokenInfo, TokenList), StoreError> {
    if confirm_within_ms.is_some_and(|time| !CONFIRM_MS.contains(&time)) {
        return Err(StoreError::invalid("confirm_within", "is out of range; write a time from 1m to 24h"));
    }
    let found = Found::open(writing, of, expected)?;
    let entries = preview(of.kind, list)?;
    put(writing, of, found, &TokenList { entries, ..list.clone() }, (Deed::Change, confirm_within_ms))
}

/// Puts the list back that was there before the last change. That is a change as well, and can be undone.
///
/// # Errors
/// That the last change is too long ago, or there was none; a token that does not exist, has changed, or is revoked.
pub fn undo(
    writing: &mut Writing<'_>,
    of: ListOf<'_>,
    expected: Option<i64>,
) -> Result<(TokenInfo, TokenList), StoreError> {
    let found = Found::open(writing, of, expected)?;
    let now = writing.act().at_ms;
    match list_before::get(writing.database(), of, Purpose::Undo)? {
        Some((list, until)) if until > now => put(writing, of, found, &list, (Deed::Undo, None)),
        Some(_) | None => {
            let why = "there is no change to undo: the list has not changed in the last 10 minutes; put the list \
                       that is wanted";
            Err(StoreError::State { why })
        }
    }
}

/// Keeps a list that was on trial.
///
/// # Errors
/// That it is not on trial, or not any more; a token that does not exist, has changed, or is revoked.
pub fn confirm(
    writing: &mut Writing<'_>,
    of: ListOf<'_>,
    expected: Option<i64>,
) -> Result<(TokenInfo, TokenList), StoreError> {
    let Found { account, token, list } = Found::open(writing, of, expected)?;
    let now = writing.act().at_ms;
    match list_before::get(writing.database(), of, Purpose::Confirm)? {
        Some((_, until)) if until > now => {}
        Some(_) => {
            let why = "the time to confirm is over, and the list before comes back; put the list again";
            return Err(StoreError::State { why });
        }
        None => {
            let why = "there is nothing to confirm: the list was confirmed already, or the one before has come back";
            return Err(StoreError::State { why });
        }
    }
    list_before::remove(writing.database(), of, Purpose::Confirm)?;
    let subject = tokens::subject(&account, &token.name);
    writing.note(Deed::Confirm.action(of.kind), Some(of.account_id), subject, None, Some(&list))?;
    Ok((token, list))
}

/// Puts the list back that was there before changes which nobody has confirmed in time. Returns whether it is
/// there again: not if somebody else was faster, or nobody can use the token any more.
///
/// # Errors
/// Errors of the database.
pub fn go_back(writing: &mut Writing<'_>, of: ListOf<'_>) -> Result<bool, StoreError> {
    let now = writing.act().at_ms;
    let Some((list, at)) = list_before::get(writing.database(), of, Purpose::Confirm)? else { return Ok(false) };
    if at > now {
        return Ok(false);
    }
    list_before::remove(writing.database(), of, Purpose::Confirm)?;
    match Found::open(writing, of, None) {
        Ok(found) => put(writing, of, found, &list, (Deed::GoBack, None)).map(|_| true),
        Err(StoreError::State { .. } | StoreError::NotFound { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// What is done to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Change,
    Undo,
    Confirm,
    GoBack,
}

impl Deed {
    /// What the audit calls it.
    const fn action(self, kind: ListKind) -> &'static str {
        match (kind, self) {
            (ListKind::Network, Deed::Change) => "token.networks",
            (ListKind::Network, Deed::Undo) => "token.networks.undo",
            (ListKind::Network, Deed::Confirm) => "token.networks.confirm",
            (ListKind::Network, Deed::GoBack) => "token.networks.go-back",
            (ListKind::Domain, Deed::Change) => "token.domains",
            (ListKind::Domain, Deed::Undo) => "token.domains.undo",
            (ListKind::Domain, Deed::Confirm) => "token.domains.confirm",
            (ListKind::Domain, Deed::GoBack) => "token.domains.go-back",
        }
    }
}

/// A list that can be changed.
struct Found {
    account: StoredAccount,
    token: TokenInfo,
    list: TokenList,
}

impl Found {
    /// The list that is there.
    ///
    /// # Errors
    /// A token that does not exist, is at another version, or is revoked; an account that is closed.
    fn open(writing: &Writing<'_>, of: ListOf<'_>, expected: Option<i64>) -> Result<Found, StoreError> {
        let account = tokens::open_account(writing.database(), of.account_id)?;
        let token = tokens::get(writing.database(), of.account_id, of.token_id)?;
        expect("token", expected, token.row_version, &token)?;
        if token.state == TokenState::Revoked {
            return Err(StoreError::State { why: "the token is revoked permanently; make a new one" });
        }
        let list = list_of(writing.database(), &token, of.kind)?;
        Ok(Found { account, token, list })
    }
}

/// Puts a list whose entries are canonical in the place of the one that is there.
fn put(
    writing: &mut Writing<'_>,
    of: ListOf<'_>,
    found: Found,
    list: &TokenList,
    (deed, confirm_within_ms): (Deed, Option<i64>),
) -> Result<(TokenInfo, TokenList), StoreError> {
    let Found { account, token: before, list: list_before } = found;
    let mut after = before.clone();
    match of.kind {
        ListKind::Network => after.networks_mode = list.mode,
        ListKind::Domain => {
            after.domains_mode = list.mode;
            after.absent = list.absent.unwrap_or(Absent::Deny);
        }
    }
    if after == before && list.entries == list_before.entries {
        return Ok((before, list_before));
    }
    write_entries(writing.database(), (of.account_id, of.token_id), of.kind, false, &list.entries)?;
    let after = tokens::write(writing, &before, after)?;
    let list = list_of(writing.database(), &after, of.kind)?;
    keep_before(writing, of, (&list_before, &list), confirm_within_ms)?;
    let subject = tokens::subject(&account, &after.name);
    writing.note(deed.action(of.kind), Some(of.account_id), subject, Some(&list_before), Some(&list))?;
    Ok((after, list))
}

/// Keeps what can be put back after a change.
fn keep_before(
    writing: &Writing<'_>,
    of: ListOf<'_>,
    (before, after): (&TokenList, &TokenList),
    confirm_within_ms: Option<i64>,
) -> Result<(), StoreError> {
    let (database, now) = (writing.database(), writing.act().at_ms);
    list_before::keep(database, of, Purpose::Undo, before, now.saturating_add(UNDO_MS))?;
    let on_trial_since = list_before::get(database, of, Purpose::Confirm)?.map(|(list, _)| list);
    let until = confirm_within_ms.map(|time| now.saturating_add(time));
    match (on_trial_since, until) {
        // What would come back is there.
        (Some(last), _) if last == *after => list_before::remove(database, of, Purpose::Confirm),
        (Some(last), Some(until)) => list_before::keep(database, of, Purpose::Confirm, &last, until),
        (None, Some(until)) => list_before::keep(database, of, Purpose::Confirm, before, until),
        (_, None) => Ok(()),
    }
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
