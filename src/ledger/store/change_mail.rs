//! Of which changes the owners of accounts are to be told by mail: those of tokens, lists, members and keys, so that nobody
//! makes them unnoticed.

use std::collections::BTreeMap;

use super::audit::{self, AuditRow};
use super::error::StoreError;
use super::sql::{Connection, OptionalExtension, params};

/// Rows of the audit that are read at once.
const ROWS: u32 = 200;

/// Owners of one account that are told.
const MOST_OWNERS: i64 = 20;

/// The beginnings of actions that owners are told of.
const TOLD: [&str; 3] = ["token.", "member.", "key."];

/// What the owners of one account are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChanges {
    pub account_id: String,
    /// The account's name.
    pub account: String,
    /// The owners' addresses of mail.
    pub owners: Vec<String>,
    /// What was changed, the oldest first; `actor` is in words.
    pub changes: Vec<AuditRow>,
}

/// What is to be told, and up to which row of the audit that is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    pub until: i64,
    pub accounts: Vec<AccountChanges>,
}

/// Begins with what is changed from now on, unless it has begun.
///
/// # Errors
/// Those of the database.
pub fn begin(connection: &Connection) -> Result<(), StoreError> {
    let begin = "INSERT INTO change_mail (only_row, audit_id) SELECT 1, COALESCE(MAX(id), 0) FROM audit WHERE 1 = 1 \
                 ON CONFLICT (only_row) DO NOTHING";
    connection.prepare_cached(begin)?.execute(())?;
    Ok(())
}

/// The next that is to be told, of what was changed up to a time in milliseconds since 1970 in UTC.
///
/// # Errors
/// Those of the database.
pub fn next(connection: &Connection, until_ms: i64) -> Result<Option<Untold>, StoreError> {
    let known = "SELECT audit_id FROM change_mail";
    let known: Option<i64> = connection.prepare_cached(known)?.query_row((), |row| row.get(0)).optional()?;
    let Some(known) = known else { return Ok(None) };
    let rows = audit::since(connection, known, until_ms, ROWS)?;
    let Some(until) = rows.last().map(|row| row.id) else { return Ok(None) };
    let mut by_account: BTreeMap<String, Vec<AuditRow>> = BTreeMap::new();
    for row in rows {
        if let Some(account) = row.account_id.clone().filter(|_| TOLD.iter().any(|told| row.action.starts_with(told))) {
            by_account.entry(account).or_default().push(row);
        }
    }
    let mut accounts = Vec::new();
    for (account_id, mut changes) in by_account {
        let owners = owners(connection, &account_id)?;
        if owners.is_empty() {
            continue;
        }
        for change in &mut changes {
            change.actor = in_words(connection, &account_id, &change.actor)?;
        }
        let name = "SELECT name FROM account WHERE id = ?1";
        let account = connection.prepare_cached(name)?.query_row([&account_id], |row| row.get(0)).optional()?;
        accounts.push(AccountChanges { account: account.unwrap_or_default(), account_id, owners, changes });
    }
    Ok(Some(Untold { until, accounts }))
}

/// Notes that everything up to a row of the audit was told.
///
/// # Errors
/// Those of the database.
pub fn told(connection: &Connection, until: i64) -> Result<(), StoreError> {
    let told = "UPDATE change_mail SET audit_id = ?1 WHERE audit_id < ?1";
    connection.prepare_cached(told)?.execute([until])?;
    Ok(())
}

fn owners(connection: &Connection, account_id: &str) -> Result<Vec<String>, StoreError> {
    let query = "SELECT email FROM membership JOIN app_user ON app_user.id = user_id WHERE account_id = ?1 \
                 AND role = 'owner' AND app_user.state = 'active' AND email IS NOT NULL ORDER BY email LIMIT ?2";
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_map(params![account_id, MOST_OWNERS], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What an actor of the audit is called for the owners of an account.
fn in_words(connection: &Connection, account_id: &str, actor: &str) -> Result<String, StoreError> {
    let Some((kind, id)) = actor.split_once(':') else { return Ok("the operators of the service".to_owned()) };
    if kind == "key" {
        return Ok(format!("the management key {}", id.get(..8).unwrap_or(id)));
    }
    let query = "SELECT COALESCE(email, display) FROM app_user JOIN membership ON user_id = id \
                 WHERE id = ?1 AND account_id = ?2";
    let name = connection.prepare_cached(query)?.query_row([id, account_id], |row| row.get(0)).optional()?;
    Ok(name.unwrap_or_else(|| "the operators of the service".to_owned()))
}
