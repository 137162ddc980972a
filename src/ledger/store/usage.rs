//! What was used, by the hour: adding to it, and reading it a page at a time.
//!
//! Counts only grow, and no row of usage is changed by a management call. Requests are counted in
//! `telemetry/usage.rs`.

use super::error::StoreError;
use super::sql::{AnyValue, Connection, OptionalExtension, params, params_from_iter};
use super::{billing, refusals};
use crate::telemetry::usage::{HOUR_MS, RefusalRow, UsageRow};

/// The most rows of one page.
pub const MAX_PAGE_ROWS: u32 = 10_000;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * HOUR_MS;

/// What usage is added up over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    #[default]
    Hour,
    /// A day in UTC.
    Day,
}

impl Span {
    /// Its length in milliseconds.
    pub const fn milliseconds(self) -> i64 {
        match self {
            Span::Hour => HOUR_MS,
            Span::Day => DAY_MS,
        }
    }

    /// The beginning of the one that has a moment.
    fn of(self, at: i64) -> i64 {
        at - at.rem_euclid(self.milliseconds())
    }
}

/// Which usage, and how much of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePage {
    pub span: Span,
    /// Only these; an outcome is a slug, or empty for answers.
    pub account: Option<String>,
    pub token: Option<String>,
    pub product: Option<String>,
    pub outcome: Option<String>,
    /// Only hours that begin at this time or later, in milliseconds since 1970, UTC.
    pub since: Option<i64>,
    /// Only hours that begin before this time.
    pub until: Option<i64>,
    /// Only what comes after the line with this id: the last of the page before.
    pub after: Option<i64>,
    pub rows: u32,
}

/// What was used in one span, by one token of a product, with one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// For the next page.
    pub id: i64,
    /// The beginning of the span, in milliseconds since 1970, UTC.
    pub at: i64,
    pub account: String,
    pub token: String,
    pub product: String,
    /// Empty for answers.
    pub outcome: String,
    pub requests: i64,
    pub credits: i64,
    /// How many of the requests a list would have refused that is only watched.
    pub watched_networks: i64,
    pub watched_domains: i64,
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Adds counts, in one transaction.
///
/// # Errors
/// Errors of the database; nothing is added then.
pub fn add(connection: &mut Connection, usage: &[UsageRow], refused: &[RefusalRow]) -> Result<(), StoreError> {
    let transaction = connection.recording()?;
    add_usage(&transaction, usage)?;
    refusals::add(&transaction, refused)?;
    Ok(transaction.commit()?)
}

fn add_usage(connection: &Connection, rows: &[UsageRow]) -> Result<(), StoreError> {
    let mut id: i64 = connection.query_row("SELECT COALESCE(MAX(id), 0) FROM usage_hour", (), |row| row.get(0))?;
    let first_open = billing::first_open(connection)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO usage_hour (id, hour, account, token, product, outcome, noted, requests, credits, watched_networks, watched_domains) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?11, ?7, ?8, ?9, ?10) \
         ON CONFLICT (hour, account, token, product, outcome, noted) DO UPDATE SET \
         requests = usage_hour.requests + excluded.requests, credits = usage_hour.credits + excluded.credits, \
         watched_networks = usage_hour.watched_networks + excluded.watched_networks, \
         watched_domains = usage_hour.watched_domains + excluded.watched_domains",
    )?;
    let mut last_use = connection.prepare_cached(
        "INSERT INTO token_use (digest, last_at) VALUES (?1, ?2) \
         ON CONFLICT (digest) DO UPDATE SET last_at = excluded.last_at WHERE excluded.last_at > token_use.last_at",
    )?;
    for row in rows {
        last_use.execute(params![row.digest.bytes(), row.last_at])?;
        // What an account asks about itself is no usage.
        if row.product.is_empty() {
            continue;
        }
        id = id.saturating_add(1);
        let [networks, domains] = row.watched.map(whole);
        let (account, product) = (&*row.account, &*row.product);
        insert.execute(params![
            id,
            row.hour,
            account,
            row.token,
            product,
            row.outcome,
            whole(row.requests),
            whole(row.credits),
            networks,
            domains,
            row.hour.max(first_open)
        ])?;
    }
    Ok(())
}

/// One page, in the order of time, account, token, product and outcome; `None` if the line that it comes after is not
/// there any more.
///
/// # Errors
/// Errors of the database.
pub fn page(connection: &Connection, wanted: &UsagePage) -> Result<Option<Vec<UsageLine>>, StoreError> {
    let (mut from, mut after) = match wanted.after {
        None => (wanted.since.unwrap_or(0), None),
        Some(id) => match key(connection, id)? {
            None => return Ok(None),
            Some((hour, key)) => (wanted.span.of(hour), Some(key)),
        },
    };
    let mut lines = Vec::new();
    let rows = usize::try_from(wanted.rows.min(MAX_PAGE_ROWS)).unwrap_or(0);
    while lines.len() < rows {
        let Some(hour) = next_hour(connection, wanted, from)? else { break };
        let at = wanted.span.of(hour);
        if at != wanted.span.of(from) {
            after = None;
        }
        span(connection, wanted, at, after.take(), rows.saturating_sub(lines.len()), &mut lines)?;
        from = at.saturating_add(wanted.span.milliseconds());
    }
    Ok(Some(lines))
}

/// An account, a token, a product and an outcome.
type Key = [String; 4];

/// The hour and the key of a row.
fn key(connection: &Connection, id: i64) -> Result<Option<(i64, Key)>, StoreError> {
    let query = "SELECT hour, account, token, product, outcome FROM usage_hour WHERE id = ?1";
    let found = connection
        .query_row(query, [id], |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])));
    Ok(found.optional()?)
}

/// The first hour from a time on that has usage of the wanted account.
fn next_hour(connection: &Connection, wanted: &UsagePage, from: i64) -> Result<Option<i64>, StoreError> {
    let from = from.max(wanted.since.unwrap_or(0));
    let until = wanted.until.unwrap_or(i64::MAX);
    let hour = match &wanted.account {
        Some(account) => connection
            .prepare_cached("SELECT MIN(hour) FROM usage_hour WHERE account = ?1 AND hour >= ?2 AND hour < ?3")?
            .query_row(params![account, from, until], |row| row.get(0))?,
        None => connection
            .prepare_cached("SELECT MIN(hour) FROM usage_hour WHERE hour >= ?1 AND hour < ?2")?
            .query_row([from, until], |row| row.get(0))?,
    };
    Ok(hour)
}

/// Adds the lines of one span.
fn span(
    connection: &Connection,
    wanted: &UsagePage,
    at: i64,
    after: Option<Key>,
    rows: usize,
    lines: &mut Vec<UsageLine>,
) -> Result<(), StoreError> {
    let end = at.saturating_add(wanted.span.milliseconds());
    let from = at.max(wanted.since.unwrap_or(0));
    let mut query = "SELECT MIN(id), account, token, product, outcome, CAST(SUM(requests) AS BIGINT), \
                     CAST(SUM(credits) AS BIGINT), CAST(SUM(watched_networks) AS BIGINT), \
                     CAST(SUM(watched_domains) AS BIGINT) FROM usage_hour WHERE hour >= ? AND hour < ?"
        .to_owned();
    let mut values: Vec<AnyValue> = vec![from.into(), end.min(wanted.until.unwrap_or(i64::MAX)).into()];
    let filters = [
        ("account", &wanted.account),
        ("token", &wanted.token),
        ("product", &wanted.product),
        ("outcome", &wanted.outcome),
    ];
    for (column, value) in filters {
        if let Some(value) = value {
            query += &format!(" AND {column} = ?");
            values.push(value.clone().into());
        }
    }
    if let Some(key) = after {
        query += " AND (account, token, product, outcome) > (?, ?, ?, ?)";
        values.extend(key.map(AnyValue::from));
    }
    query += " GROUP BY account, token, product, outcome ORDER BY account, token, product, outcome LIMIT ?";
    values.push(i64::try_from(rows).unwrap_or(i64::MAX).into());
    let mut statement = connection.prepare_cached(&query)?;
    let mut found = statement.query(params_from_iter(values))?;
    while let Some(row) = found.next()? {
        lines.push(UsageLine {
            id: row.get(0)?,
            at,
            account: row.get(1)?,
            token: row.get(2)?,
            product: row.get(3)?,
            outcome: row.get(4)?,
            requests: row.get(5)?,
            credits: row.get(6)?,
            watched_networks: row.get(7)?,
            watched_domains: row.get(8)?,
        });
    }
    Ok(())
}

/// When each token of an account was used last, by the token's id, in milliseconds since 1970, UTC; tokens that nobody
/// has used are left out.
///
/// # Errors
/// Errors of the database.
pub fn last_uses(connection: &Connection, account_id: &str) -> Result<Vec<(String, i64)>, StoreError> {
    let query = "SELECT token.id, token_use.last_at FROM token \
                 JOIN token_use ON token_use.digest = token.digest WHERE token.account_id = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_map([account_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// When a token was used last, in milliseconds since 1970, UTC.
///
/// # Errors
/// Errors of the database.
pub fn last_use(connection: &Connection, account_id: &str, token_id: &str) -> Result<Option<i64>, StoreError> {
    let query = "SELECT token_use.last_at FROM token JOIN token_use ON token_use.digest = token.digest \
                 WHERE token.account_id = ?1 AND token.id = ?2";
    Ok(connection.prepare_cached(query)?.query_row([account_id, token_id], |row| row.get(0)).optional()?)
}
