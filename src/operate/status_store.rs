//! The data of the status pages, in separate tables in the ledger's file.
//!
//! The tables are added to a ledger that does not have them; older programs ignore them. Counts and
//! incidents are written as absolute values, so that writing them twice changes nothing. An error
//! in these tables is returned to the caller, and never affects credits.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ledger::LedgerFault;
use crate::ledger::file::LedgerFile;
use crate::ledger::{Answer, Ledger};
use crate::policy::seconds::Seconds;
use crate::site::status::history::{DAY, DAYS_KEPT, Entry, HOUR, HOURS_KEPT, STEPS_KEPT, Tally};
use crate::site::status::incident::{Incident, Kind, MAX_INCIDENTS};
use crate::site::status::notice::{MAX_NOTICES, Matter, Notice};
use crate::telemetry::latency::Histogram;

/// The version of the layout of the tables below.
const LAYOUT: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS status_layout (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  layout INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO status_layout VALUES (1, 1);
CREATE TABLE IF NOT EXISTS status_count (
  seconds INTEGER NOT NULL,
  start INTEGER NOT NULL,
  product TEXT NOT NULL,
  answered INTEGER NOT NULL CHECK (answered >= 0),
  failed INTEGER NOT NULL CHECK (failed >= 0),
  PRIMARY KEY (seconds, start, product)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status_latency (
  day INTEGER NOT NULL,
  product TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  answers INTEGER NOT NULL CHECK (answers >= 0),
  PRIMARY KEY (day, product, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status_incident (
  started INTEGER NOT NULL,
  product TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('failures', 'backend')),
  ended INTEGER,
  rule INTEGER NOT NULL,
  answered INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  PRIMARY KEY (started, product, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status_notice (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL CHECK (kind IN ('note', 'maintenance')),
  product TEXT,
  starts INTEGER NOT NULL,
  ends INTEGER CHECK ((ends IS NULL) = (kind = 'note')),
  written INTEGER NOT NULL,
  closed INTEGER,
  by TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;
";

/// What was saved before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusStore {
    pub entries: Vec<Entry>,
    /// The oldest first.
    pub incidents: Vec<Incident>,
    pub notices: Vec<Notice>,
}

/// What has changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub entries: Vec<Entry>,
    pub incidents: Vec<Incident>,
    /// The current time; what is too old is removed.
    pub now: Seconds,
    /// The length of a step of the history in seconds.
    pub step: Seconds,
}

impl Ledger {
    /// Reads what was saved for the status and is not too old.
    pub fn status_store(&self, now: Seconds) -> Answer<StatusStore> {
        self.run(move |store| store.with_annals().and_then(|()| store.status_store(now)))
    }

    /// Writes what has changed of the status.
    pub fn write_annals(&self, changes: Changes) -> Answer<()> {
        self.run(move |store| store.with_annals().and_then(|()| store.write_annals(&changes)))
    }

    /// Writes a notice; the answer is the notice with its number.
    pub fn add_notice(&self, notice: Notice) -> Answer<Notice> {
        self.run(move |store| store.with_annals().and_then(|()| store.add_notice(notice)))
    }

    /// Closes a notice; the answer is the notice, if there is an open one with this number.
    pub fn close_notice(&self, id: i64, at: Seconds) -> Answer<Option<Notice>> {
        self.run(move |store| store.with_annals().and_then(|()| store.close_notice(id, at)))
    }
}

impl LedgerFile {
    /// Creates the tables, if they do not exist yet.
    fn with_annals(&self) -> Result<(), LedgerFault> {
        self.check_place()?;
        let connection = self.connection();
        let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'status_layout')";
        if !connection.prepare_cached(is_there)?.query_row([], |row| row.get::<_, bool>(0))? {
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;")).inspect_err(|_| {
                // A transaction must not stay open; this fails if there is none.
                let _ = connection.execute_batch("ROLLBACK");
            })?;
        }
        let layout = "SELECT layout FROM status_layout";
        if connection.prepare_cached(layout)?.query_row([], |row| row.get::<_, i64>(0))? != LAYOUT {
            return Err(LedgerFault::new(
                "the history of the status was written by another version of this program; use that version",
            ));
        }
        Ok(())
    }

    fn status_store(&self, now: Seconds) -> Result<StatusStore, LedgerFault> {
        let connection = self.connection();
        Ok(StatusStore {
            entries: entries(connection, now)?,
            incidents: incidents(connection, now)?,
            notices: notices(connection, now)?,
        })
    }

    fn write_annals(&mut self, changes: &Changes) -> Result<(), LedgerFault> {
        let Changes { entries, incidents, now, step } = changes;
        let transaction = self.connection_mut().transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for entry in entries {
            write_entry(&transaction, entry)?;
        }
        for Incident { product, kind, started, ended, rule, tally } in incidents {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO status_incident VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![
                int(*started),
                &**product,
                kind.word(),
                ended.map(int),
                i64::try_from(*rule).unwrap_or(i64::MAX),
                int(tally.answered),
                int(tally.failed),
            ])?;
        }
        forget(&transaction, *now, *step)?;
        Ok(transaction.commit()?)
    }

    fn add_notice(&self, notice: Notice) -> Result<Notice, LedgerFault> {
        let connection = self.connection();
        let (starts, ends) = match notice.matter {
            Matter::Note { at } => (at, None),
            Matter::Maintenance { from, to } => (from, Some(to)),
        };
        let insert = "INSERT INTO status_notice (kind, product, starts, ends, written, closed, by, text) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        connection.prepare_cached(insert)?.execute(params![
            notice.matter.word(),
            notice.product.as_deref(),
            int(starts),
            ends.map(int),
            int(notice.written),
            notice.closed.map(int),
            &*notice.by,
            &*notice.text,
        ])?;
        Ok(Notice { id: Some(connection.last_insert_rowid()), ..notice })
    }

    fn close_notice(&self, id: i64, at: Seconds) -> Result<Option<Notice>, LedgerFault> {
        let connection = self.connection();
        let update = "UPDATE status_notice SET closed = ?2 WHERE id = ?1 AND closed IS NULL";
        if connection.prepare_cached(update)?.execute(params![id, int(at)])? == 0 {
            return Ok(None);
        }
        let query = format!("SELECT {NOTICE} FROM status_notice WHERE id = ?1");
        Ok(connection.prepare_cached(&query)?.query_row([id], notice).optional()?)
    }
}

fn write_entry(connection: &Connection, entry: &Entry) -> Result<(), LedgerFault> {
    let Entry { product, seconds, start, tally, latency } = entry;
    connection.prepare_cached("INSERT OR REPLACE INTO status_count VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        int(*seconds),
        int(*start),
        &**product,
        int(tally.answered),
        int(tally.failed)
    ])?;
    for (bucket, answers) in latency.filled() {
        let bucket = i64::try_from(bucket).unwrap_or(i64::MAX);
        connection
            .prepare_cached("INSERT OR REPLACE INTO status_latency VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![int(*start), &**product, bucket, int(answers)])?;
    }
    Ok(())
}

/// Removes what is not shown any more, so that the file does not grow with time.
fn forget(connection: &Connection, now: Seconds, step: Seconds) -> Result<(), LedgerFault> {
    let first_day = int(now.saturating_sub(DAYS_KEPT * DAY));
    let counts = "DELETE FROM status_count WHERE seconds = ?1 AND start < ?2";
    for (seconds, kept) in [(step, STEPS_KEPT), (HOUR, HOURS_KEPT), (DAY, DAYS_KEPT)] {
        let first = now.saturating_sub(seconds.saturating_mul(kept));
        connection.prepare_cached(counts)?.execute(params![int(seconds), int(first)])?;
    }
    // Steps of another length, from before a change of the windows.
    let others = "DELETE FROM status_count WHERE seconds NOT IN (?1, ?2, ?3)";
    connection.prepare_cached(others)?.execute(params![int(step), int(HOUR), int(DAY)])?;
    for old in [
        "DELETE FROM status_latency WHERE day < ?1",
        "DELETE FROM status_incident WHERE ended < ?1",
        "DELETE FROM status_notice WHERE COALESCE(closed, ends) < ?1",
    ] {
        connection.prepare_cached(old)?.execute([first_day])?;
    }
    Ok(())
}

fn entries(connection: &Connection, now: Seconds) -> Result<Vec<Entry>, LedgerFault> {
    let query = "SELECT product, seconds, start, answered, failed FROM status_count WHERE start >= ?1 ORDER BY start";
    let first_day = int(now.saturating_sub(DAYS_KEPT * DAY));
    let mut statement = connection.prepare(query)?;
    let read = |row: &Row<'_>| {
        Ok(Entry {
            product: text(row, 0)?,
            seconds: count(row, 1)?,
            start: count(row, 2)?,
            tally: Tally { answered: count(row, 3)?, failed: count(row, 4)? },
            latency: Histogram::default(),
        })
    };
    let mut entries = statement.query_map([first_day], read)?.collect::<Result<Vec<Entry>, _>>()?;
    let days = entries.iter().enumerate().filter(|(_, entry)| entry.seconds == DAY);
    let places: std::collections::HashMap<(Arc<str>, Seconds), usize> =
        days.map(|(place, entry)| ((Arc::clone(&entry.product), entry.start), place)).collect();
    let mut statement =
        connection.prepare("SELECT product, day, bucket, answers FROM status_latency WHERE day >= ?1")?;
    let mut rows = statement.query([first_day])?;
    while let Some(row) = rows.next()? {
        let (bucket, answers) = (usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX), count(row, 3)?);
        let place = places.get(&(text(row, 0)?, count(row, 1)?));
        if let Some(entry) = place.and_then(|place| entries.get_mut(*place)) {
            entry.latency.add(bucket, answers);
        }
    }
    Ok(entries)
}

fn incidents(connection: &Connection, now: Seconds) -> Result<Vec<Incident>, LedgerFault> {
    // Only the newest, if there are too many.
    let query = "SELECT * FROM (SELECT product, kind, started, ended, rule, answered, failed FROM status_incident \
                 WHERE ended IS NULL OR ended >= ?1 ORDER BY started DESC LIMIT ?2) ORDER BY started";
    let mut statement = connection.prepare(query)?;
    let read = |row: &Row<'_>| {
        let kind: String = row.get(1)?;
        Ok(Incident {
            product: text(row, 0)?,
            kind: Kind::from_word(&kind).ok_or(rusqlite::Error::InvalidQuery)?,
            started: count(row, 2)?,
            ended: row.get::<_, Option<i64>>(3)?.map(|ended| u64::try_from(ended).unwrap_or(0)),
            rule: usize::try_from(row.get::<_, i64>(4)?).unwrap_or(usize::MAX),
            tally: Tally { answered: count(row, 5)?, failed: count(row, 6)? },
        })
    };
    let most = i64::try_from(MAX_INCIDENTS).unwrap_or(i64::MAX);
    let first_day = int(now.saturating_sub(DAYS_KEPT * DAY));
    Ok(statement.query_map([first_day, most], read)?.collect::<Result<_, _>>()?)
}

const NOTICE: &str = "id, kind, product, starts, ends, written, closed, by, text";

fn notices(connection: &Connection, now: Seconds) -> Result<Vec<Notice>, LedgerFault> {
    // The number of open ones is limited when they are written; of the others only the newest are
    // needed.
    let query = format!(
        "SELECT * FROM (SELECT {NOTICE} FROM status_notice WHERE COALESCE(closed, ends, ?1) >= ?1 \
         ORDER BY closed IS NOT NULL, id DESC LIMIT ?2) ORDER BY id"
    );
    let most = i64::try_from(2 * MAX_NOTICES).unwrap_or(i64::MAX);
    let first_day = int(now.saturating_sub(DAYS_KEPT * DAY));
    let mut statement = connection.prepare(&query)?;
    Ok(statement.query_map([first_day, most], notice)?.collect::<Result<_, _>>()?)
}

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    let optional =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(|at| u64::try_from(at).unwrap_or(0)));
    let starts = count(row, 3)?;
    Ok(Notice {
        id: Some(row.get(0)?),
        // In the table, only maintenance has an end.
        matter: match optional(4)? {
            Some(to) => Matter::Maintenance { from: starts, to },
            None => Matter::Note { at: starts },
        },
        product: row.get::<_, Option<String>>(2)?.map(Into::into),
        text: text(row, 8)?,
        written: count(row, 5)?,
        by: text(row, 7)?,
        closed: optional(6)?,
    })
}

/// A number for the database, at most its largest integer.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(row.get_ref(column)?.as_str()?.into())
}

#[cfg(test)]
#[path = "status_store_tests.rs"]
mod tests;
