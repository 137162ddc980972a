//! Operations on management keys, with which programs use the management API. They are not tokens for lookups, and are
//! shown only once, like tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::changes::ChangeKind;
use super::error::StoreError;
use super::fields;
use super::records::{KeyInfo, KeyState, NewKey, Role};
use super::sql::{self, Connection, OptionalExtension, Row, params, params_from_iter};
use super::tokens::{self, open_account};
use super::writing::{Writing, expect};
use crate::policy::account::Digest;

/// The prefix of management keys.
pub const PREFIX: &str = "tgm_";

/// The most keys of one account, or of operators, that are not revoked.
pub const MAX_KEYS: usize = 1000;

/// The most characters of a scope, and the most scopes of a key.
const MAX_SCOPE: usize = 64;
const MAX_SCOPES: usize = 32;

/// The values of a new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDraft {
    /// Its display name.
    pub name: String,
    /// Its account; none for operators.
    #[serde(default)]
    pub account_id: Option<String>,
    /// The role of its holder.
    pub role: Role,
    /// What it may be used for: words that the API defines, in lower case.
    pub scopes: Vec<String>,
    /// When it ends, in milliseconds since 1970, UTC.
    #[serde(default)]
    pub ends_at: Option<i64>,
}

/// Makes a key.
///
/// # Errors
/// An invalid value, an account that does not exist or is closed, or too many keys.
pub fn create(writing: &mut Writing<'_>, draft: &KeyDraft) -> Result<NewKey, StoreError> {
    fields::name("name", &draft.name)?;
    if draft.role.is_of_account() != draft.account_id.is_some() {
        let why = "is a role of the wrong kind; owner, member and viewer are for accounts, the others for operators";
        return Err(StoreError::invalid("role", why));
    }
    if let Some(account) = &draft.account_id {
        open_account(writing.database(), account)?;
    }
    let scopes = checked_scopes(&draft.scopes)?;
    if list(writing.database(), draft.account_id.as_deref())?
        .iter()
        .filter(|key| key.state == KeyState::Enabled)
        .count()
        >= MAX_KEYS
    {
        return Err(StoreError::Limit { what: "keys that are not revoked", most: MAX_KEYS });
    }
    let secret = tokens::secret(writing, PREFIX)?;
    let key = KeyInfo {
        id: writing.new_id()?,
        hint: secret.hint,
        name: draft.name.clone(),
        account_id: draft.account_id.clone(),
        role: draft.role,
        scopes,
        state: KeyState::Enabled,
        ends_at: draft.ends_at,
        row_version: 1,
        created_by: writing.act().actor.clone(),
        created_at: writing.act().at_ms,
    };
    let insert = "INSERT INTO management_key \
                  (id, digest, hint, name, account_id, role, scopes, state, ends_at, row_version, created_by, created_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    writing.database().prepare_cached(insert)?.execute(params![
        key.id,
        secret.digest.bytes().as_slice(),
        key.hint,
        key.name,
        key.account_id,
        key.role.word(),
        key.scopes.join(" "),
        key.state.word(),
        key.ends_at,
        key.row_version,
        key.created_by,
        key.created_at,
    ])?;
    writing.mark(ChangeKind::Key, &key.id);
    writing.note("key.create", key.account_id.as_deref(), &*key.name, None, Some(&key))?;
    Ok(NewKey { secret: Some(secret.text), key })
}

/// Revokes a key permanently.
///
/// # Errors
/// A key that does not exist or has changed.
pub fn revoke(writing: &mut Writing<'_>, id: &str, expected: Option<i64>) -> Result<KeyInfo, StoreError> {
    let before = get(writing.database(), id)?;
    expect("key", expected, before.row_version, &before)?;
    if before.state == KeyState::Revoked {
        return Ok(before);
    }
    let row_version = before.row_version.saturating_add(1);
    let after = KeyInfo { state: KeyState::Revoked, row_version, ..before.clone() };
    let update = "UPDATE management_key SET state = ?2, row_version = ?3 WHERE id = ?1";
    writing.database().prepare_cached(update)?.execute(params![id, after.state.word(), after.row_version])?;
    writing.mark(ChangeKind::Key, id);
    writing.note("key.revoke", after.account_id.as_deref(), &*after.name, Some(&before), Some(&after))?;
    Ok(after)
}

/// A key by its id.
///
/// # Errors
/// That it does not exist, or errors of the database.
pub fn get(connection: &Connection, id: &str) -> Result<KeyInfo, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM management_key WHERE id = ?1");
    let found = connection.prepare_cached(&query)?.query_row([id], row_of).optional()?;
    found.ok_or(StoreError::NotFound { what: "key" })?
}

/// The presented key, if it is valid at a time in milliseconds since 1970.
///
/// # Errors
/// Errors of the database.
pub fn find(connection: &Connection, digest: &Digest, now_ms: i64) -> Result<Option<KeyInfo>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM management_key WHERE digest = ?1");
    let found = connection.prepare_cached(&query)?.query_row([digest.bytes().as_slice()], row_of).optional()?;
    let is_good = |key: &KeyInfo| key.state == KeyState::Enabled && key.ends_at.is_none_or(|end| now_ms < end);
    Ok(found.transpose()?.filter(is_good))
}

/// The keys of an account, or of operators, in the order in which they were made.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection, account_id: Option<&str>) -> Result<Vec<KeyInfo>, StoreError> {
    let query = match account_id {
        Some(_) => format!("SELECT {COLUMNS} FROM management_key WHERE account_id = ?1 ORDER BY id"),
        None => format!("SELECT {COLUMNS} FROM management_key WHERE account_id IS NULL ORDER BY id"),
    };
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params_from_iter(account_id), row_of)?;
    found.map(|row| row?).collect()
}

/// Scopes in order, each once.
fn checked_scopes(scopes: &[String]) -> Result<Vec<String>, StoreError> {
    let mut sorted = scopes.to_vec();
    sorted.sort();
    sorted.dedup();
    let is_word = |scope: &str| {
        (1..=MAX_SCOPE).contains(&scope.len())
            && scope.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b':' | b'-' | b'_' | b'.'))
    };
    for (number, scope) in scopes.iter().enumerate() {
        if !is_word(scope) {
            return Err(StoreError::invalid(format!("scopes[{number}]"), "is not a scope; write a word in lower case"));
        }
    }
    if sorted.is_empty() {
        return Err(StoreError::invalid("scopes", "is empty, so the key could do nothing; write scopes"));
    }
    if sorted.len() > MAX_SCOPES {
        return Err(StoreError::Limit { what: "scopes of a key", most: MAX_SCOPES });
    }
    Ok(sorted)
}

const COLUMNS: &str = "id, hint, name, account_id, role, scopes, state, ends_at, row_version, created_by, created_at";

fn row_of(row: Row<'_>) -> sql::Result<Result<KeyInfo, StoreError>> {
    let id: String = row.get(0)?;
    let role = Role::from_word(row.text(4)?);
    let state = KeyState::from_word(row.text(6)?);
    let (Some(role), Some(state)) = (role, state) else {
        return Ok(Err(StoreError::corrupted("management_key", &id, "its role or its state is none")));
    };
    Ok(Ok(KeyInfo {
        id,
        hint: row.get(1)?,
        name: row.get(2)?,
        account_id: row.get(3)?,
        role,
        scopes: row.text(5)?.split(' ').map(str::to_owned).collect(),
        state,
        ends_at: row.get(7)?,
        row_version: row.get(8)?,
        created_by: row.get(9)?,
        created_at: row.get(10)?,
    }))
}
