//! Alerts: crossings that were noted, and the messages that tell of them.
//!
//! A crossing is noted once, in one transaction with its messages, and is open until it is over; while it is open the
//! same one cannot be noted again, by whichever process. What was noted never changes, so that a message has the same
//! id and content however often it is sent.

use super::error::StoreError;
use super::randomness::{self, Randomness};
use super::sql::{self, AnyValue, Connection, OptionalExtension, Row, params, params_from_iter};
use crate::policy::account::Digest;

/// The most rows of one page.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// What a crossing is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// A balance is below its threshold.
    LowBalance,
    /// A token's last day is near.
    TokenEnds,
}

impl AlertKind {
    /// The word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            AlertKind::LowBalance => "low-balance",
            AlertKind::TokenEnds => "token-ends",
        }
    }

    fn from_word(word: &str) -> Result<AlertKind, StoreError> {
        match word {
            "low-balance" => Ok(AlertKind::LowBalance),
            "token-ends" => Ok(AlertKind::TokenEnds),
            _ => Err(StoreError::corrupted("alert", "", "has a kind that is none")),
        }
    }
}

/// How a message goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Webhook,
    Mail,
}

impl Channel {
    /// The word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Channel::Webhook => "webhook",
            Channel::Mail => "mail",
        }
    }
}

/// What was crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    pub kind: AlertKind,
    pub account: String,
    /// What of the account: the product, or the token's digest as `sha256:` and hexadecimal digits.
    pub subject: String,
    /// Empty for tokens.
    pub product: String,
    /// Empty for balances.
    pub token: String,
    /// The first and last characters of the token, where they are known.
    pub hint: String,
    /// The balance, or the last day in days since 1970.
    pub level: i64,
    /// What it was compared with: credits, or days.
    pub threshold: i64,
}

/// A crossing that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub id: i64,
    /// What receivers know it by.
    pub event_id: String,
    pub what: Crossing,
    /// Milliseconds since 1970, UTC.
    pub crossed_at: i64,
    pub over_at: Option<i64>,
}

/// One message of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: i64,
    pub alert_id: i64,
    pub channel: String,
    pub recipient: String,
    pub state: String,
    pub tries: i64,
    pub due_at: i64,
    pub made_at: i64,
    pub done_at: Option<i64>,
    pub fault: Option<String>,
}

/// To whom a crossing is told; a webhook has no address.
pub type Recipient = (Channel, String);

/// How an attempt has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    Delivered,
    /// It is tried again at a time, since this one failed.
    Later {
        due_at: i64,
        fault: String,
    },
    GivenUp {
        fault: String,
    },
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertFigures {
    pub open: i64,
    pub waiting: i64,
    /// When the oldest message that waits was made.
    pub oldest: Option<i64>,
}

const COLUMNS: &str = "alert.id, event_id, kind, account, subject, product, token, hint, level, threshold, crossed_at, \
                       over_at";
const MESSAGE: &str = "alert_message.id, alert_id, channel, recipient, state, tries, due_at, made_at, done_at, fault";

fn alert_of(row: Row<'_>) -> sql::Result<Result<Alert, StoreError>> {
    let kind: String = row.get(2)?;
    let kind = match AlertKind::from_word(&kind) {
        Ok(kind) => kind,
        Err(error) => return Ok(Err(error)),
    };
    let what = Crossing {
        kind,
        account: row.get(3)?,
        subject: row.get(4)?,
        product: row.get(5)?,
        token: row.get(6)?,
        hint: row.get(7)?,
        level: row.get(8)?,
        threshold: row.get(9)?,
    };
    let (crossed_at, over_at) = (row.get(10)?, row.get(11)?);
    Ok(Ok(Alert { id: row.get(0)?, event_id: row.get(1)?, what, crossed_at, over_at }))
}

/// A message, whose columns begin at a place.
fn message_of(row: Row<'_>, at: usize) -> sql::Result<Message> {
    Ok(Message {
        id: row.get(at)?,
        alert_id: row.get(at + 1)?,
        channel: row.get(at + 2)?,
        recipient: row.get(at + 3)?,
        state: row.get(at + 4)?,
        tries: row.get(at + 5)?,
        due_at: row.get(at + 6)?,
        made_at: row.get(at + 7)?,
        done_at: row.get(at + 8)?,
        fault: row.get(at + 9)?,
    })
}

/// Everything that is open.
///
/// # Errors
/// Errors of the database, or a damaged row.
pub fn open_ones(connection: &Connection) -> Result<Vec<Alert>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM alert WHERE over_at IS NULL"))?;
    let found: Vec<_> = statement.query_map((), alert_of)?.collect::<Result<_, _>>()?;
    found.into_iter().collect()
}

/// Notes crossings, each with those whom it is told, and which ones are over, all or nothing. One that is open already
/// is left out. Returns how many were noted.
///
/// # Errors
/// Errors of the database and of the source of randomness.
pub fn note(
    connection: &mut Connection,
    random: &mut dyn Randomness,
    crossings: &[(Crossing, Vec<Recipient>)],
    over: &[i64],
    now_ms: i64,
) -> Result<usize, StoreError> {
    let transaction = connection.recording()?;
    for id in over {
        let end = "UPDATE alert SET over_at = ?2 WHERE id = ?1 AND over_at IS NULL";
        transaction.prepare_cached(end)?.execute([*id, now_ms])?;
    }
    let newest = |table: &str| -> Result<i64, StoreError> {
        let query = format!("SELECT COALESCE(MAX(id), 0) FROM {table}");
        Ok(transaction.query_row(&query, (), |row| row.get(0))?)
    };
    let (mut id, mut message_id, mut noted) = (newest("alert")?, newest("alert_message")?, 0);
    for (what, recipients) in crossings {
        let event_id = randomness::id(now_ms, random)?;
        if !insert(&transaction, id.saturating_add(1), &event_id, what, now_ms)? {
            continue;
        }
        (id, noted) = (id.saturating_add(1), noted + 1);
        for (channel, recipient) in recipients {
            message_id = message_id.saturating_add(1);
            let insert = "INSERT INTO alert_message (id, alert_id, channel, recipient, state, tries, due_at, made_at) \
                          VALUES (?1, ?2, ?3, ?4, 'waiting', 0, ?5, ?5)";
            let values = params![message_id, id, channel.word(), recipient, now_ms];
            transaction.prepare_cached(insert)?.execute(values)?;
        }
    }
    transaction.commit()?;
    Ok(noted)
}

/// Inserts a crossing; false if it is open already.
fn insert(connection: &Connection, id: i64, event_id: &str, what: &Crossing, now_ms: i64) -> Result<bool, StoreError> {
    let insert = "INSERT INTO alert (id, event_id, kind, account, subject, product, token, hint, level, threshold, \
                  crossed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
                  ON CONFLICT (kind, account, subject) WHERE over_at IS NULL DO NOTHING";
    let values = params![
        id,
        event_id,
        what.kind.word(),
        what.account,
        what.subject,
        what.product,
        what.token,
        what.hint,
        what.level,
        what.threshold,
        now_ms
    ];
    Ok(connection.prepare_cached(insert)?.execute(values)? > 0)
}

/// Takes the message of a channel that is due for the longest time, and counts an attempt; nobody else takes it until
/// a time, so that a process that dies leaves it to the next one.
///
/// # Errors
/// Errors of the database, or a damaged row.
pub fn take(
    connection: &mut Connection,
    channel: Channel,
    now_ms: i64,
    until: i64,
) -> Result<Option<(Message, Alert)>, StoreError> {
    // Nothing is due most of the time, and nobody is to wait for the lock because of that.
    let is_due = "SELECT 1 FROM alert_message WHERE state = 'waiting' AND channel = ?1 AND due_at <= ?2 LIMIT 1";
    let is_due = connection.prepare_cached(is_due)?.exists(params![channel.word(), now_ms])?;
    if !is_due {
        return Ok(None);
    }
    let transaction = connection.recording()?;
    let query = format!(
        "SELECT {COLUMNS}, {MESSAGE} FROM alert_message JOIN alert ON alert.id = alert_id \
         WHERE state = 'waiting' AND channel = ?1 AND due_at <= ?2 ORDER BY due_at, alert_message.id LIMIT 1"
    );
    let found = transaction
        .prepare_cached(&query)?
        .query_row(params![channel.word(), now_ms], |row| Ok((message_of(row, 12)?, alert_of(row)?)))
        .optional()?;
    let Some((mut message, alert)) = found else { return Ok(None) };
    let alert = alert?;
    let take = "UPDATE alert_message SET tries = tries + 1, due_at = ?2 WHERE id = ?1";
    transaction.prepare_cached(take)?.execute([message.id, until])?;
    transaction.commit()?;
    message.tries = message.tries.saturating_add(1);
    Ok(Some((message, alert)))
}

/// Notes how an attempt has ended.
///
/// # Errors
/// Errors of the database.
pub fn settle(connection: &Connection, message: i64, attempt: &Attempt, now_ms: i64) -> Result<(), StoreError> {
    let (state, due_at, done_at, fault) = match attempt {
        Attempt::Delivered => ("delivered", None, Some(now_ms), None),
        Attempt::Later { due_at, fault } => ("waiting", Some(*due_at), None, Some(fault)),
        Attempt::GivenUp { fault } => ("given-up", None, Some(now_ms), Some(fault)),
    };
    let settle = "UPDATE alert_message SET state = ?2, due_at = COALESCE(?3, due_at), done_at = ?4, fault = ?5 \
                  WHERE id = ?1 AND state = 'waiting'";
    connection.prepare_cached(settle)?.execute(params![message, state, due_at, done_at, fault])?;
    Ok(())
}

/// Gives up what waits for a channel that nothing is sent by any more; returns how many messages.
///
/// # Errors
/// Errors of the database.
pub fn give_up(connection: &Connection, channel: Channel, fault: &str, now_ms: i64) -> Result<usize, StoreError> {
    let give_up = "UPDATE alert_message SET state = 'given-up', done_at = ?2, fault = ?3 \
                   WHERE state = 'waiting' AND channel = ?1";
    Ok(connection.prepare_cached(give_up)?.execute(params![channel.word(), now_ms, fault])?)
}

/// How many there are.
///
/// # Errors
/// Errors of the database.
pub fn figures(connection: &Connection) -> Result<AlertFigures, StoreError> {
    let query = "SELECT COUNT(*), MIN(made_at) FROM alert_message WHERE state = 'waiting'";
    let (waiting, oldest) = connection.query_row(query, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let open = connection.query_row("SELECT COUNT(*) FROM alert WHERE over_at IS NULL", (), |row| row.get(0))?;
    Ok(AlertFigures { open, waiting, oldest })
}

/// Which alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertPage {
    /// Only those of the account of this name.
    pub account: Option<String>,
    pub kind: Option<String>,
    /// Only those that are open, or over.
    pub is_open: Option<bool>,
    /// Only what comes before the one with this id: the last of the page before.
    pub before: Option<i64>,
    pub rows: u32,
}

/// One page with the messages of each, the newest first.
///
/// # Errors
/// Errors of the database, or a damaged row.
pub fn page(connection: &Connection, wanted: &AlertPage) -> Result<Vec<(Alert, Vec<Message>)>, StoreError> {
    let mut query = format!("SELECT {COLUMNS} FROM alert WHERE id < ?");
    let mut values: Vec<AnyValue> = vec![wanted.before.unwrap_or(i64::MAX).into()];
    for (column, value) in [("account", &wanted.account), ("kind", &wanted.kind)] {
        if let Some(value) = value {
            query += &format!(" AND {column} = ?");
            values.push(value.clone().into());
        }
    }
    query += match wanted.is_open {
        Some(true) => " AND over_at IS NULL",
        Some(false) => " AND over_at IS NOT NULL",
        None => "",
    };
    query += " ORDER BY id DESC LIMIT ?";
    values.push(i64::from(wanted.rows.min(MAX_PAGE_ROWS)).into());
    let mut statement = connection.prepare_cached(&query)?;
    let found: Vec<_> = statement.query_map(params_from_iter(values), alert_of)?.collect::<Result<_, _>>()?;
    let with_messages = |alert: Result<Alert, StoreError>| {
        let alert = alert?;
        let messages = messages(connection, alert.id)?;
        Ok((alert, messages))
    };
    found.into_iter().map(with_messages).collect()
}

fn messages(connection: &Connection, alert: i64) -> Result<Vec<Message>, StoreError> {
    let query = format!("SELECT {MESSAGE} FROM alert_message WHERE alert_id = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map([alert], |row| message_of(row, 0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Whether the store has a token as one that still works and ends on a day, though it may be disabled or its account
/// suspended at the moment.
///
/// # Errors
/// Errors of the database.
pub fn is_paused_token(connection: &Connection, digest: &Digest, last_day: i64) -> Result<bool, StoreError> {
    let query = "SELECT 1 FROM token JOIN account ON account.id = token.account_id WHERE digest = ?1 \
                 AND last_day = ?2 AND not_after IS NULL AND token.state <> 'revoked' AND account.state <> 'closed'";
    let values = params![digest.bytes().as_slice(), last_day];
    Ok(connection.prepare_cached(query)?.query_row(values, |_| Ok(())).optional()?.is_some())
}

/// Whether the store has an account as suspended.
///
/// # Errors
/// Errors of the database.
pub fn is_suspended(connection: &Connection, account: &str) -> Result<bool, StoreError> {
    let query = "SELECT 1 FROM account WHERE name = ?1 AND state = 'suspended'";
    Ok(connection.prepare_cached(query)?.query_row([account], |_| Ok(())).optional()?.is_some())
}

/// The first and last characters of a token of the store, by its digest; empty where they are not known.
///
/// # Errors
/// Errors of the database.
pub fn hint(connection: &Connection, digest: &Digest) -> Result<String, StoreError> {
    let mut statement = connection.prepare_cached("SELECT hint FROM token WHERE digest = ?1")?;
    let found = statement.query_row([digest.bytes().as_slice()], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}

/// Removes alerts that are over since a time, with their messages; returns how many.
pub(super) fn remove(connection: &Connection, until: i64, rows: usize) -> Result<usize, StoreError> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let old = "SELECT id FROM alert WHERE over_at <= ?1 ORDER BY over_at, id LIMIT ?2";
    let messages = format!("DELETE FROM alert_message WHERE alert_id IN ({old})");
    connection.execute(&messages, [until, rows])?;
    Ok(connection.execute(&format!("DELETE FROM alert WHERE id IN ({old})"), [until, rows])?)
}
