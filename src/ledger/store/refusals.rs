//! Refused requests of the last days: adding to them, and reading them, the newest first.

use std::collections::HashMap;

use uuid::Uuid;

use super::error::StoreError;
use super::sql::{AnyValue, Connection, params, params_from_iter};
use crate::telemetry::usage::{HOUR_MS, RefusalRow};

/// The most rows of one page.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// Rows of one account within an hour; further refusals are counted without their address and host.
pub const MOST_AN_HOUR: i64 = 100;

/// Which refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalPage {
    pub account: Option<String>,
    pub token: Option<String>,
    pub product: Option<String>,
    /// The slug of the problem.
    pub problem: Option<String>,
    /// Only minutes that begin at this time or later, in milliseconds since 1970, UTC.
    pub since: Option<i64>,
    /// Only minutes that begin before this time.
    pub until: Option<i64>,
    /// Only what comes before the row with this id: the last of the page before.
    pub before: Option<i64>,
    pub rows: u32,
}

/// Refusals of one kind within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub id: i64,
    /// The beginning of the minute, in milliseconds since 1970, UTC.
    pub minute: i64,
    /// Empty where the token was not known.
    pub account: String,
    pub token: String,
    pub product: String,
    pub problem: String,
    /// Nothing was refused: a list that is only watched would have.
    pub is_watched: bool,
    pub reason: String,
    pub address: String,
    pub host: String,
    pub requests: i64,
    /// The last of them.
    pub transaction_id: String,
}

/// Adds refusals within a transaction.
pub(super) fn add(connection: &Connection, rows: &[RefusalRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut id: i64 = connection.query_row("SELECT COALESCE(MAX(id), 0) FROM refusal", (), |row| row.get(0))?;
    // How many rows each account has within each hour.
    let mut known: HashMap<(&str, i64), i64> = HashMap::new();
    for row in rows {
        let (account, hour) = (&*row.account, row.minute - row.minute.rem_euclid(HOUR_MS));
        let number = match known.get(&(account, hour)) {
            Some(number) => *number,
            None => rows_within(connection, account, hour)?,
        };
        let whole = (&*row.address, &*row.host);
        // Beyond the limit there is one row for each minute and problem.
        let place = if number >= MOST_AN_HOUR { ("", "") } else { whole };
        let is_counted = add_to(connection, row, whole)? || (place != whole && add_to(connection, row, place)?);
        if !is_counted {
            id = id.saturating_add(1);
            insert(connection, id, row, place)?;
        }
        known.insert((account, hour), number.saturating_add(i64::from(!is_counted)));
    }
    Ok(())
}

fn rows_within(connection: &Connection, account: &str, hour: i64) -> Result<i64, StoreError> {
    let query = "SELECT COUNT(*) FROM refusal WHERE account = ?1 AND minute >= ?2 AND minute < ?3";
    let values = params![account, hour, hour.saturating_add(HOUR_MS)];
    Ok(connection.prepare_cached(query)?.query_row(values, |row| row.get(0))?)
}

/// The columns of a row of an address and a host, without its id.
fn columns(row: &RefusalRow, (address, host): (&str, &str)) -> [AnyValue; 11] {
    let text = |text: &str| AnyValue::from(text.to_owned());
    [
        row.minute.into(),
        text(&row.account),
        text(&row.token),
        text(&row.product),
        text(&row.problem),
        i64::from(row.is_watched).into(),
        text(row.reason),
        text(address),
        text(host),
        i64::try_from(row.requests).unwrap_or(i64::MAX).into(),
        Uuid::from_bytes(row.transaction).to_string().into(),
    ]
}

/// Adds to the row of an address and a host; false if there is none.
fn add_to(connection: &Connection, row: &RefusalRow, place: (&str, &str)) -> Result<bool, StoreError> {
    let update = "UPDATE refusal SET requests = requests + ?10, transaction_id = ?11 WHERE minute = ?1 AND account = ?2 \
                  AND token = ?3 AND product = ?4 AND problem = ?5 AND watched = ?6 AND reason = ?7 AND address = ?8 \
                  AND host = ?9";
    Ok(connection.prepare_cached(update)?.execute(params_from_iter(columns(row, place)))? > 0)
}

fn insert(connection: &Connection, id: i64, row: &RefusalRow, place: (&str, &str)) -> Result<(), StoreError> {
    let insert = "INSERT INTO refusal (minute, account, token, product, problem, watched, reason, address, host, \
                  requests, transaction_id, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let values = columns(row, place).into_iter().chain([id.into()]);
    connection.prepare_cached(insert)?.execute(params_from_iter(values))?;
    Ok(())
}

/// One page, the newest first.
///
/// # Errors
/// Errors of the database.
pub fn page(connection: &Connection, wanted: &RefusalPage) -> Result<Vec<Refused>, StoreError> {
    let mut query = "SELECT id, minute, account, token, product, problem, watched, reason, address, host, requests, \
                     transaction_id FROM refusal WHERE id < ?"
        .to_owned();
    let mut values: Vec<AnyValue> = vec![wanted.before.unwrap_or(i64::MAX).into()];
    let filters = [
        ("account", &wanted.account),
        ("token", &wanted.token),
        ("product", &wanted.product),
        ("problem", &wanted.problem),
    ];
    for (column, value) in filters {
        if let Some(value) = value {
            query += &format!(" AND {column} = ?");
            values.push(value.clone().into());
        }
    }
    for (condition, value) in [(" AND minute >= ?", wanted.since), (" AND minute < ?", wanted.until)] {
        if let Some(value) = value {
            query += condition;
            values.push(value.into());
        }
    }
    query += " ORDER BY id DESC LIMIT ?";
    values.push(i64::from(wanted.rows.min(MAX_PAGE_ROWS)).into());
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params_from_iter(values), |row| {
        Ok(Refused {
            id: row.get(0)?,
            minute: row.get(1)?,
            account: row.get(2)?,
            token: row.get(3)?,
            product: row.get(4)?,
            problem: row.get(5)?,
            is_watched: row.get::<i64>(6)? == 1,
            reason: row.get(7)?,
            address: row.get(8)?,
            host: row.get(9)?,
            requests: row.get(10)?,
            transaction_id: row.get(11)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
