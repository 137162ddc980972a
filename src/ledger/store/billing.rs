//! How far usage was handed over to a system for billing.
//!
//! An hour is closed a little after its end. From then on none of its rows changes: what is written of it later is
//! noted in an hour that is open. So a row is one event, with the same id and the same content whenever it is sent, and
//! the rows behind a cursor are what waits.

use sha2::{Digest as _, Sha256};

use super::error::StoreError;
use super::randomness::{self, Randomness};
use super::sql::{Connection, OptionalExtension, params};
use crate::telemetry::usage::HOUR_MS;

/// How long after its end an hour is closed: counts are written every two seconds.
const SETTLING_MS: i64 = 60_000;

/// What is known of the hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Part of the ids of events, so that two stores never have the same.
    pub stream: String,
    /// The first hour that is not closed, in milliseconds since 1970, UTC.
    pub closed: i64,
    /// Everything that was noted before this hour is accepted.
    pub sent_noted: i64,
    /// And of this hour everything up to this row.
    pub sent_id: i64,
    /// Events that were accepted.
    pub sent: i64,
    /// Events that were removed before they were accepted, since usage is kept no longer.
    pub lost: i64,
    pub accepted_at: Option<i64>,
    /// The last attempt that has failed, if none was accepted since.
    pub failed_at: Option<i64>,
    pub fault: Option<String>,
}

/// Usage that is sent as one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledRow {
    pub id: i64,
    pub noted: i64,
    pub hour: i64,
    pub account: String,
    pub token: String,
    pub product: String,
    /// Empty for answers.
    pub outcome: String,
    pub requests: i64,
    pub credits: i64,
}

impl BilledRow {
    /// The id of its event: the same whenever and by whichever process it is sent.
    pub fn event_id(&self, stream: &str) -> String {
        let mut digest = Sha256::new();
        let (noted, hour) = (self.noted.to_string(), self.hour.to_string());
        for part in [stream, &noted, &hour, &self.account, &self.token, &self.product, &self.outcome] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        let digest: [u8; 32] = digest.finalize().into();
        randomness::hexadecimal(digest.get(..16).unwrap_or_default())
    }
}

/// The hour from which on usage is open at a moment.
fn open_hour(now_ms: i64) -> i64 {
    let settled = now_ms.saturating_sub(SETTLING_MS);
    settled - settled.rem_euclid(HOUR_MS)
}

/// Closes the hours that are over, and begins the hand-over with the present hour if it has not begun.
///
/// # Errors
/// Errors of the database and of the source of randomness.
pub fn close_hours(
    connection: &mut Connection,
    random: &mut dyn Randomness,
    now_ms: i64,
) -> Result<Progress, StoreError> {
    let transaction = connection.recording()?;
    let open = open_hour(now_ms);
    if progress(&transaction)?.is_none() {
        let stream = randomness::hexadecimal(&randomness::bytes::<16>(random)?);
        let begin = "INSERT INTO billing (only_row, stream, closed, sent_noted, sent_id, sent, lost) \
                     VALUES (1, ?1, ?2, ?2, 0, 0, 0)";
        transaction.execute(begin, params![stream, open])?;
    }
    // The clock may have been set back.
    transaction.execute("UPDATE billing SET closed = ?1 WHERE closed < ?1", [open])?;
    let now = progress(&transaction)?;
    transaction.commit()?;
    now.ok_or_else(|| StoreError::corrupted("billing", "1", "is not there"))
}

/// What is known of the hand-over; `None` if it has not begun.
///
/// # Errors
/// Errors of the database.
pub fn progress(connection: &Connection) -> Result<Option<Progress>, StoreError> {
    let query = "SELECT stream, closed, sent_noted, sent_id, sent, lost, accepted_at, failed_at, fault FROM billing";
    let found = connection.query_row(query, (), |row| {
        Ok(Progress {
            stream: row.get(0)?,
            closed: row.get(1)?,
            sent_noted: row.get(2)?,
            sent_id: row.get(3)?,
            sent: row.get(4)?,
            lost: row.get(5)?,
            accepted_at: row.get(6)?,
            failed_at: row.get(7)?,
            fault: row.get(8)?,
        })
    });
    Ok(found.optional()?)
}

/// The first hour that is not closed; 0 without a hand-over.
pub(super) fn first_open(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("SELECT COALESCE(MAX(closed), 0) FROM billing", (), |row| row.get(0))?)
}

/// The next rows of closed hours that were not accepted yet, the oldest first.
///
/// # Errors
/// Errors of the database.
pub fn waiting(connection: &Connection, progress: &Progress, rows: u32) -> Result<Vec<BilledRow>, StoreError> {
    let query = "SELECT id, noted, hour, account, token, product, outcome, requests, credits FROM usage_hour \
                 WHERE (noted, id) > (?1, ?2) AND noted < ?3 ORDER BY noted, id LIMIT ?4";
    let mut statement = connection.prepare_cached(query)?;
    let values = params![progress.sent_noted, progress.sent_id, progress.closed, rows];
    let found = statement.query_map(values, |row| {
        Ok(BilledRow {
            id: row.get(0)?,
            noted: row.get(1)?,
            hour: row.get(2)?,
            account: row.get(3)?,
            token: row.get(4)?,
            product: row.get(5)?,
            outcome: row.get(6)?,
            requests: row.get(7)?,
            credits: row.get(8)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// How many events of closed hours wait, and the hour of the oldest.
///
/// # Errors
/// Errors of the database.
pub fn backlog(connection: &Connection, progress: &Progress) -> Result<(i64, Option<i64>), StoreError> {
    let query = "SELECT COUNT(*), MIN(noted) FROM usage_hour WHERE (noted, id) > (?1, ?2) AND noted < ?3";
    let values = params![progress.sent_noted, progress.sent_id, progress.closed];
    Ok(connection.prepare_cached(query)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Notes that everything up to a row was accepted. A process that was faster is not set back.
///
/// # Errors
/// Errors of the database.
pub fn accepted(connection: &Connection, last: &BilledRow, events: usize, now_ms: i64) -> Result<(), StoreError> {
    let update = "UPDATE billing SET sent = CASE WHEN (sent_noted, sent_id) < (?1, ?2) THEN sent + ?3 ELSE sent END, \
                  accepted_at = ?4, failed_at = NULL, fault = NULL";
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    connection.execute(update, params![last.noted, last.id, events, now_ms])?;
    let move_on = "UPDATE billing SET sent_noted = ?1, sent_id = ?2 WHERE (sent_noted, sent_id) < (?1, ?2)";
    connection.execute(move_on, [last.noted, last.id])?;
    Ok(())
}

/// Notes that an attempt has failed, and why.
///
/// # Errors
/// Errors of the database.
pub fn failed(connection: &Connection, fault: &str, now_ms: i64) -> Result<(), StoreError> {
    connection.execute("UPDATE billing SET failed_at = ?1, fault = ?2", params![now_ms, fault])?;
    Ok(())
}

/// Counts usage that is about to be removed and was not accepted yet as lost, within a transaction that removes it.
pub(super) fn remove_unsent(connection: &Connection, until: i64, rows: usize) -> Result<usize, StoreError> {
    let remove = "DELETE FROM usage_hour WHERE id IN (SELECT usage_hour.id FROM usage_hour, billing \
                  WHERE usage_hour.hour <= ?1 AND (usage_hour.noted, usage_hour.id) > (sent_noted, sent_id) LIMIT ?2)";
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let removed = connection.execute(remove, [until, rows])?;
    if removed > 0 {
        let lost = i64::try_from(removed).unwrap_or(i64::MAX);
        connection.execute("UPDATE billing SET lost = lost + ?1", [lost])?;
    }
    Ok(removed)
}
