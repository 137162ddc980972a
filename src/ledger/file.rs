//! The ledger's file: an SQLite database with one row for each thing that happened to a balance.
//!
//! The database itself enforces the rules, for every program that opens it: rows cannot be changed
//! or removed, a trigger adds each of them to its balance in the same transaction, and no balance
//! can fall below zero. One process has the file at a time (`lock.rs`). Nothing is written before
//! the file and the journal beside it were found to belong together (`file/opening.rs`). Errors are
//! handled by the caller.

mod open_file;
pub(super) mod opening;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::entry::{Draft, Entry, Kind, Position, Reference};
use super::fault::LedgerFault;
use super::page::Page;
use super::rates::Used;
use super::usage::{self, Kept, QuotasOf, RateRow};
use open_file::OpenFile;

/// The most rows of one page of a history.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// An open ledger.
#[derive(Debug)]
pub struct LedgerFile {
    /// Declared before the file, which has to be closed after it.
    connection: Connection,
    file: Option<OpenFile>,
}

impl LedgerFile {
    /// The database, for the tables of others.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same, to begin transactions.
    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Checks whether the path still leads to this file.
    ///
    /// # Errors
    /// That it does not.
    pub fn check_place(&self) -> Result<(), LedgerFault> {
        let Some(file) = &self.file else { return Ok(()) };
        let fault = match fs::metadata(&file.path) {
            Ok(found) if (found.dev(), found.ino()) == (file.device, file.inode) => return Ok(()),
            Ok(_) => LedgerFault::new("another file stands in its place; put the ledger back"),
            Err(_) => LedgerFault::new("the file is gone; put it back"),
        };
        // The journal that is there now may belong to another file, and must not be removed.
        self.keep_journal(true)?;
        Err(fault)
    }

    /// The last write in the file.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn position(&self) -> Result<Position, LedgerFault> {
        let read = |row: &Row<'_>| Ok(Position { batch: row.get(0)?, nonce: row.get(1)? });
        Ok(self.connection.query_row("SELECT batch, nonce FROM position", [], read)?)
    }

    /// Every balance: account, product, and the sums of what was granted and spent.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn balances(&self, mut each: impl FnMut(&str, &str, u64, u64)) -> Result<(), LedgerFault> {
        let query = "SELECT account, product, granted, spent FROM balance";
        let mut statement = self.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let credits = |column| row.get::<_, i64>(column).map(|sum| u64::try_from(sum).unwrap_or(0));
            let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
            each(text(0)?, text(1)?, credits(2)?, credits(3)?);
        }
        Ok(())
    }

    /// One balance: the sums of what was granted and spent; `None` if there is no row of it.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn balance(&self, account: &str, product: &str) -> Result<Option<(u64, u64)>, LedgerFault> {
        let query = "SELECT granted, spent FROM balance WHERE account = ?1 AND product = ?2";
        let mut statement = self.connection.prepare_cached(query)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let found = statement.query_row(params![account, product], read).optional()?;
        Ok(found.map(|(granted, spent)| (u64::try_from(granted).unwrap_or(0), u64::try_from(spent).unwrap_or(0))))
    }

    /// Writes rows, and what was used of quotas, in one transaction, which is on the disk when this returns.
    ///
    /// # Errors
    /// Errors of the database. The rows are then either all there or all not, and
    /// [`LedgerFile::position`] of a newly opened store tells which.
    pub fn write(
        &mut self,
        drafts: &[Draft],
        quotas: &[QuotasOf],
        at: &str,
        position: Position,
    ) -> Result<(), LedgerFault> {
        self.check_place()?;
        self.fold_if_long()?;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO entry (at, account, product, kind, amount, lookups, reference, key, by, why) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            let batch = format!("batch {}", position.batch);
            for draft in drafts {
                let reference = match &draft.reference {
                    Reference::Batch => batch.as_str().into(),
                    Reference::Transaction(id) => String::from_utf8_lossy(id.as_bytes()),
                };
                insert.execute(params![
                    at,
                    &*draft.account,
                    &*draft.product,
                    draft.kind.word(),
                    draft.amount,
                    draft.lookups,
                    &*reference,
                    draft.key,
                    draft.by,
                    draft.why,
                ])?;
            }
            let mut moved = transaction.prepare_cached("UPDATE position SET batch = ?1, nonce = ?2")?;
            moved.execute(params![position.batch, position.nonce])?;
            usage::write_quotas(&transaction, quotas)?;
        }
        Ok(transaction.commit()?)
    }

    /// The used part of rates. Rows of accounts whose burst is full again are removed.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn rates(&self, now_ms: i64) -> Result<HashMap<String, Used>, LedgerFault> {
        self.connection.execute("DELETE FROM rate WHERE full_at <= ?1", [now_ms])?;
        self.connection.execute("DELETE FROM rate_interval WHERE full_at <= ?1", [now_ms])?;
        let query = "SELECT account, full_at, nanoseconds FROM rate LEFT JOIN rate_interval USING (account, full_at)";
        let mut statement = self.connection.prepare(query)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, Used { full_at: row.get(1)?, interval: row.get(2)? }));
        let rows = statement.query_map([], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes the used part of rates of some accounts.
    ///
    /// # Errors
    /// Those of the database.
    pub fn write_rates(&mut self, rows: &[(&str, Used)], of_several: &[(&str, RateRow)]) -> Result<(), LedgerFault> {
        self.check_place()?;
        self.fold_if_long()?;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let insert = "INSERT INTO rate VALUES (?1, ?2) ON CONFLICT DO UPDATE SET full_at = excluded.full_at";
            let mut insert = transaction.prepare_cached(insert)?;
            let mut interval =
                transaction.prepare_cached("INSERT OR REPLACE INTO rate_interval VALUES (?1, ?2, ?3)")?;
            for (account, used) in rows {
                insert.execute(params![account, used.full_at])?;
                if used.interval.is_some() {
                    interval.execute(params![account, used.full_at, used.interval])?;
                }
            }
            usage::write_rates(&transaction, of_several)?;
        }
        Ok(transaction.commit()?)
    }

    /// What accounts have used of several rates and of quotas. What cannot count any more is removed.
    ///
    /// # Errors
    /// Those of the database.
    pub fn limits(&self, unix: Duration, each: impl FnMut(&str, Kept)) -> Result<(), LedgerFault> {
        usage::limits(&self.connection, unix, each)
    }

    /// The row that has a key already.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn keyed(&self, account: &str, product: &str, key: &str) -> Result<Option<Entry>, LedgerFault> {
        let query = format!("SELECT {COLUMNS} FROM entry WHERE account = ?1 AND product = ?2 AND key = ?3");
        let mut statement = self.connection.prepare_cached(&query)?;
        Ok(statement.query_row(params![account, product, key], entry).optional()?)
    }

    /// The rows of a page, the oldest first.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn page(&self, page: &Page) -> Result<Vec<Entry>, LedgerFault> {
        let rows = page.rows.clamp(1, MAX_PAGE_ROWS);
        let key = page.credit_account.as_ref().map(|credit_account| credit_account.key());
        let account = key.map(|(account, _)| account).or(page.account.as_deref());
        let product = key.map(|(_, product)| product);
        // Times are texts in a fixed format, so that they sort like times.
        let (since, until) = (page.since.map(written_at), page.until.map(written_at));
        let mut query = format!("SELECT {COLUMNS} FROM entry WHERE id > ?1");
        let mut values: Vec<Value> = vec![page.after.into(), rows.into()];
        let text = |text: &str| Value::from(text.to_owned());
        for (condition, value) in [
            ("account =", account.map(text)),
            ("product =", product.map(text)),
            ("at >=", since.map(Value::from)),
            ("at <", until.map(Value::from)),
        ] {
            if let Some(value) = value {
                values.push(value);
                query += &format!(" AND {condition} ?{}", values.len());
            }
        }
        query += " ORDER BY id LIMIT ?2";
        let mut statement = self.connection.prepare_cached(&query)?;
        let found = statement.query_map(params_from_iter(values), entry)?;
        Ok(found.collect::<Result<Vec<Entry>, _>>()?)
    }
}

/// A time in the format of rows.
fn written_at(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.unwrap_or(DateTime::<Utc>::MAX_UTC).to_rfc3339_opts(SecondsFormat::Millis, true)
}

const COLUMNS: &str = "id, at, account, product, kind, amount, lookups, reference, key, by, why";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let word: String = row.get(4)?;
    let kind = Kind::from_word(&word).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Entry {
        id: row.get(0)?,
        at: row.get(1)?,
        account: row.get(2)?,
        product: row.get(3)?,
        kind,
        amount: row.get(5)?,
        lookups: row.get(6)?,
        reference: row.get(7)?,
        key: row.get(8)?,
        by: row.get(9)?,
        why: row.get(10)?,
    })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
