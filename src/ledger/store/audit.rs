//! The audit: who did what, through which interface, and the state before and after. It is append-only; each row's
//! digest covers the row and the previous digest, so that changed, removed and inserted rows are detected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::act::Act;
use super::error::StoreError;
use super::sql::{self, AnyValue, Connection, Row, params, params_from_iter};

/// The most rows of one page.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// One change in a transaction.
#[derive(Debug)]
pub(super) struct AuditDraft {
    pub account_id: Option<String>,
    pub action: &'static str,
    pub subject: String,
    pub before_json: Option<String>,
    pub after_json: Option<String>,
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRow {
    /// Grows by one from row to row.
    pub id: i64,
    /// Milliseconds since 1970, UTC.
    pub at: i64,
    /// The store's version after the transaction.
    pub version: i64,
    /// The id of the changed account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Who did it.
    pub actor: String,
    /// api, cli, portal or gateway.
    pub via: String,
    /// Where it came from.
    pub address: String,
    /// What was done.
    pub action: String,
    /// What was changed, as text or as an id.
    pub subject: String,
    /// The state before, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state after, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a row's digest covers: every field with its length, so that no two rows have the same bytes.
fn digest(previous: &[u8; 32], row: &AuditRow) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(previous);
    for number in [row.id, row.at, row.version] {
        digest.update(number.to_le_bytes());
    }
    let fields = [
        row.account_id.as_deref(),
        Some(&*row.actor),
        Some(&*row.via),
        Some(&*row.address),
        Some(&*row.action),
        Some(&*row.subject),
        row.before.as_deref(),
        row.after.as_deref(),
    ];
    for field in fields {
        match field {
            None => digest.update([0]),
            Some(text) => {
                digest.update([1]);
                digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                digest.update(text);
            }
        }
    }
    digest.finalize().into()
}

/// The id and digest of the newest row; initial values in a new store.
fn head(connection: &Connection) -> Result<(i64, [u8; 32]), StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, digest FROM audit_head")?;
    let mut rows = statement.query(())?;
    match rows.next()? {
        None => Ok((0, [0; 32])),
        Some(row) => Ok((row.get(0)?, row.get(1)?)),
    }
}

/// Appends rows.
pub(super) fn append(
    connection: &Connection,
    act: &Act,
    version: i64,
    drafts: &[AuditDraft],
) -> Result<(), StoreError> {
    if drafts.is_empty() {
        return Ok(());
    }
    let (mut id, mut previous) = head(connection)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO audit (id, at, version, account_id, actor, via, address, action, subject, before_json, after_json, previous, digest) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for draft in drafts {
        id = id.saturating_add(1);
        let row = AuditRow {
            id,
            at: act.at_ms,
            version,
            account_id: draft.account_id.clone(),
            actor: act.actor.clone(),
            via: act.via.word().to_owned(),
            address: act.address.clone(),
            action: draft.action.to_owned(),
            subject: draft.subject.clone(),
            before: draft.before_json.clone(),
            after: draft.after_json.clone(),
        };
        let own = digest(&previous, &row);
        insert.execute(params![
            row.id,
            row.at,
            row.version,
            row.account_id,
            row.actor,
            row.via,
            row.address,
            row.action,
            row.subject,
            row.before,
            row.after,
            previous.as_slice(),
            own.as_slice(),
        ])?;
        previous = own;
    }
    let head = "INSERT INTO audit_head VALUES (1, ?1, ?2) ON CONFLICT (only_row) DO UPDATE SET id = ?1, digest = ?2";
    connection.prepare_cached(head)?.execute(params![id, previous.as_slice()])?;
    Ok(())
}

const COLUMNS: &str =
    "id, at, version, account_id, actor, via, address, action, subject, before_json, after_json, previous, digest";

fn read(row: Row<'_>) -> sql::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        at: row.get(1)?,
        version: row.get(2)?,
        account_id: row.get(3)?,
        actor: row.get(4)?,
        via: row.get(5)?,
        address: row.get(6)?,
        action: row.get(7)?,
        subject: row.get(8)?,
        before: row.get(9)?,
        after: row.get(10)?,
    })
}

/// Which rows of the audit.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// Only those of one account, by its id.
    pub account_id: Option<String>,
    /// Only rows older than this one: the last of the page before.
    pub before: Option<i64>,
    /// The number of rows, at most [`MAX_PAGE_ROWS`].
    pub rows: u32,
}

/// Rows of the audit, the newest first.
///
/// # Errors
/// Errors of the database.
pub fn page(connection: &Connection, page: &AuditPage) -> Result<Vec<AuditRow>, StoreError> {
    let rows = page.rows.clamp(1, MAX_PAGE_ROWS);
    let mut values: Vec<AnyValue> = vec![page.before.unwrap_or(i64::MAX).into(), rows.into()];
    let mut of_account = "";
    if let Some(account) = &page.account_id {
        values.push(account.clone().into());
        of_account = "account_id = ?3 AND ";
    }
    let query = format!("SELECT {COLUMNS} FROM audit WHERE {of_account}id < ?1 ORDER BY id DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params_from_iter(values), read)?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}

/// Rows of the audit after one, up to a time in milliseconds since 1970 in UTC, the oldest first.
///
/// # Errors
/// Errors of the database.
pub(super) fn since(
    connection: &Connection,
    after: i64,
    until_ms: i64,
    rows: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params![after, rows], read)?.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().take_while(|row| row.at <= until_ms).collect())
}

/// The result of verifying the chain of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// Every row is as it was written, and none is missing.
    Whole {
        /// How many.
        rows: i64,
    },
    /// The first row that is not as it was written, or that is missing.
    Broken {
        /// Its id.
        at: i64,
    },
}

/// Reads the whole audit and verifies its chain.
///
/// # Errors
/// Errors of the database.
pub fn check(connection: &Connection) -> Result<Chain, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM audit ORDER BY id");
    let mut statement = connection.prepare(&query)?;
    let mut rows = statement.query(())?;
    let (mut last, mut previous) = (0, [0_u8; 32]);
    while let Some(row) = rows.next()? {
        let expected = last + 1;
        let found = read(row)?;
        let (before, own): ([u8; 32], [u8; 32]) = (row.get(11)?, row.get(12)?);
        if found.id != expected || before != previous || own != digest(&previous, &found) {
            return Ok(Chain::Broken { at: expected });
        }
        (last, previous) = (found.id, own);
    }
    let newest = head(connection)?;
    Ok(if newest == (last, previous) { Chain::Whole { rows: last } } else { Chain::Broken { at: last + 1 } })
}
