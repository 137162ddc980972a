//! Removes old data from the store: marks of the change log, and answers of operations with a key.

use rusqlite::{Connection, TransactionBehavior};

use super::changes::CHANGES_KEPT_MS;
use super::error::StoreError;
use super::writing::IDEMPOTENCY_KEPT_MS;

/// The most rows that are removed in one transaction, so that others can write in between.
const ROWS_AT_ONCE: usize = 5000;

/// Removes expired rows, a limited number at a time; returns whether there are more.
///
/// # Errors
/// Errors of the database.
pub fn step(connection: &mut Connection, now_ms: i64) -> Result<bool, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut more = false;
    for (table, kept) in [("idempotency", IDEMPOTENCY_KEPT_MS), ("change", CHANGES_KEPT_MS)] {
        // The newest version is kept, so that a reader that has it need not read everything again after a quiet week.
        let (key, only) = match table {
            "change" => ("version, kind, id", " AND version < (SELECT version FROM store_clock)"),
            _ => ("scope, key", ""),
        };
        let remove = format!(
            "DELETE FROM {table} WHERE ({key}) IN \
             (SELECT {key} FROM {table} WHERE at <= ?1{only} ORDER BY at LIMIT {ROWS_AT_ONCE})"
        );
        more |= transaction.execute(&remove, [now_ms.saturating_sub(kept)])? == ROWS_AT_ONCE;
    }
    transaction.commit()?;
    Ok(more)
}
