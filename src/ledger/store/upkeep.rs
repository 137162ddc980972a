//! Removes old data from the store: marks of the change log, answers of operations with a key, usage and refusals that
//! are older than the operator wants to keep them, sessions, links, counts of guesses and kept answers that have ended,
//! sources of tokens after a week, gateways that are gone, and lists that nobody can put back any more.

use std::time::Duration;

use super::alerts;
use super::billing;
use super::changes::CHANGES_KEPT_MS;
use super::error::StoreError;
use super::nodes::NODES_KEPT_MS;
use super::sources::SOURCES_REMOVED_MS;
use super::sql::{Connection, Engine};
use super::writing::IDEMPOTENCY_KEPT_MS;

/// The most rows that are removed in one transaction, so that others can write in between.
const ROWS_AT_ONCE: usize = 5000;

/// How long it is known what was recorded, in milliseconds: a lost confirmation is looked for at once.
const RECORDED_KEPT_MS: i64 = 3_600_000;

/// How long usage and refusals are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Usage, the last use of tokens, and alerts that are over.
    pub usage: Duration,
    pub refusals: Duration,
}

/// Removes expired rows, a limited number at a time; returns whether there are more.
///
/// # Errors
/// Errors of the database.
pub fn step(connection: &mut Connection, kept: &Kept, now_ms: i64) -> Result<bool, StoreError> {
    let transaction = connection.writing()?;
    let mut more = false;
    let milliseconds = |kept: Duration| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    let (usage, refusals) = (milliseconds(kept.usage), milliseconds(kept.refusals));
    more |= billing::remove_unsent(&transaction, now_ms.saturating_sub(usage), ROWS_AT_ONCE)? == ROWS_AT_ONCE;
    more |= alerts::remove(&transaction, now_ms.saturating_sub(usage), ROWS_AT_ONCE)? == ROWS_AT_ONCE;
    // The newest version is kept, so that a reader that has it need not read everything again after a quiet week.
    let only_older = " AND version < (SELECT version FROM store_clock)";
    let of_postgres = match transaction.engine() {
        Engine::Postgres => Some(("recorded", "nonce", "at", "", RECORDED_KEPT_MS)),
        Engine::Sqlite => None,
    };
    for (table, key, at, only, kept) in [
        ("idempotency", "scope, key", "at", "", IDEMPOTENCY_KEPT_MS),
        ("change", "version, kind, id", "at", only_older, CHANGES_KEPT_MS),
        ("usage_hour", "id", "hour", "", usage),
        ("token_use", "digest", "last_at", "", usage),
        ("refusal", "id", "minute", "", refusals),
        ("session", "digest", "ends_at", "", 0),
        ("ticket", "digest", "ends_at", "", 0),
        ("attempt", "digest", "tat", "", 0),
        ("node", "id", "seen_at", "", NODES_KEPT_MS),
        ("kept_answer", "id", "ends_at", "", 0),
        ("token_source", "digest, kind, day, value", "day", "", SOURCES_REMOVED_MS),
        ("list_before", "account_id, token_id, kind, purpose", "at", " AND purpose = 'undo'", 0),
    ]
    .into_iter()
    .chain(of_postgres)
    {
        let remove = format!(
            "DELETE FROM {table} WHERE ({key}) IN \
             (SELECT {key} FROM {table} WHERE {at} <= ?1{only} ORDER BY {at} LIMIT {ROWS_AT_ONCE})"
        );
        more |= transaction.execute(&remove, [now_ms.saturating_sub(kept)])? == ROWS_AT_ONCE;
    }
    transaction.commit()?;
    Ok(more)
}
