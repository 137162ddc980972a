//! Rates and quotas as rows, one per limit.

use super::error::StoreError;
use super::records::{Period, QuotaLimit, RateLimit, Terms};
use super::sql::{self, Connection, Row, params};
use crate::policy::weight::Weight;

/// The words of quotas in the column of periods.
const DAY: &str = "calendar-day";
const MONTH: &str = "calendar-month";

/// The most that a quota may be: far more than a gateway can serve, and a number that every JSON reader has exactly.
pub const MAX_QUOTA: u64 = 999_999_999_999_999;

/// The longest time in which a burst may refill, in seconds.
const LONGEST_REFILL_SECONDS: u64 = 366 * 86_400;

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct LimitRow {
    period: &'static str,
    requests: i64,
    burst: Option<u32>,
}

/// Checks limits: each period once, and bursts that refill.
pub fn check(field: &str, rates: &[RateLimit], quota: QuotaLimit) -> Result<(), StoreError> {
    for (number, rate) in rates.iter().enumerate() {
        let field = format!("{field}.rates[{number}]");
        if rate.requests == 0 {
            return Err(StoreError::invalid(field + ".requests", "is not a rate; write a number from 1 on"));
        }
        if rate.burst == 0 {
            return Err(StoreError::invalid(field + ".burst", "would refuse everything; write a number from 1 on"));
        }
        if rates.iter().take(number).any(|before| before.period == rate.period) {
            return Err(StoreError::invalid(field + ".period", "has a rate already; write one rate per period"));
        }
        let refill = u64::from(rate.burst) * u64::from(rate.period.seconds()) / u64::from(rate.requests);
        if refill > LONGEST_REFILL_SECONDS {
            let why = "takes more than a year to refill at this rate; write a smaller burst";
            return Err(StoreError::invalid(field + ".burst", why));
        }
    }
    for (name, requests) in [("day", quota.day), ("month", quota.month)] {
        if requests.is_some_and(|requests| !(1..=MAX_QUOTA).contains(&requests)) {
            let why = format!("is out of range; write a number from 1 to {MAX_QUOTA}");
            return Err(StoreError::invalid(format!("{field}.quota.{name}"), why));
        }
    }
    Ok(())
}

/// Checks limits.
pub fn check_terms(field: &str, terms: &Terms) -> Result<(), StoreError> {
    if terms.concurrency == Some(0) {
        return Err(StoreError::invalid(
            format!("{field}.concurrency"),
            "would refuse everything; write a number from 1 on",
        ));
    }
    if terms.weight.is_some_and(|weight| Weight::new(weight).is_none()) {
        let why = format!("is out of range; write a number from 1 to {}", Weight::MAX);
        return Err(StoreError::invalid(format!("{field}.weight"), why));
    }
    check(field, &terms.rates, terms.quota)
}

/// Limits as rows.
pub fn rows(rates: &[RateLimit], quota: QuotaLimit) -> impl Iterator<Item = LimitRow> {
    let rates = rates.iter().map(|rate| LimitRow {
        period: rate.period.word(),
        requests: i64::from(rate.requests),
        burst: Some(rate.burst),
    });
    let quota = [(DAY, quota.day), (MONTH, quota.month)].into_iter().filter_map(|(period, requests)| {
        Some(LimitRow { period, requests: i64::try_from(requests?).unwrap_or(i64::MAX), burst: None })
    });
    rates.chain(quota)
}

/// Adds a row, whose columns from `column` on are period, requests and burst, to limits.
pub fn add(row: Row<'_>, column: usize, rates: &mut Vec<RateLimit>, quota: &mut QuotaLimit) -> sql::Result<()> {
    let period = row.text(column)?;
    let requests = u64::try_from(row.get::<i64>(column + 1)?).unwrap_or_default();
    match (period, Period::from_word(period)) {
        (DAY, _) => quota.day = Some(requests),
        (MONTH, _) => quota.month = Some(requests),
        (_, Some(period)) => {
            let requests = u32::try_from(requests).unwrap_or(u32::MAX);
            rates.push(RateLimit { period, requests, burst: row.get(column + 2)? });
            rates.sort_by_key(|rate| rate.period);
        }
        (_, None) => return Err(sql::Error::Unexpected),
    }
    Ok(())
}

/// The limits of an account (an empty token), or of a single token.
pub fn of(connection: &Connection, account: &str, token: &str) -> Result<(Vec<RateLimit>, QuotaLimit), StoreError> {
    let query = "SELECT period, requests, burst FROM account_limit WHERE account_id = ?1 AND token_id = ?2";
    let mut statement = connection.prepare_cached(query)?;
    let mut found = statement.query(params![account, token])?;
    let (mut rates, mut quota) = (Vec::new(), QuotaLimit::default());
    while let Some(row) = found.next()? {
        add(row, 0, &mut rates, &mut quota)?;
    }
    Ok((rates, quota))
}

/// Replaces limits. Something new has none yet.
pub fn set(
    connection: &Connection,
    (account, token): (&str, &str),
    is_new: bool,
    rates: &[RateLimit],
    quota: QuotaLimit,
) -> Result<(), StoreError> {
    if !is_new {
        let remove = "DELETE FROM account_limit WHERE account_id = ?1 AND token_id = ?2";
        connection.prepare_cached(remove)?.execute(params![account, token])?;
    }
    let insert =
        "INSERT INTO account_limit (account_id, token_id, period, requests, burst) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(insert)?;
    for row in rows(rates, quota) {
        insert.execute(params![account, token, row.period, row.requests, row.burst])?;
    }
    Ok(())
}

/// The limits of a plan.
pub fn of_plan(connection: &Connection, plan: &str) -> Result<(Vec<RateLimit>, QuotaLimit), StoreError> {
    let query = "SELECT period, requests, burst FROM plan_limit WHERE plan = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let mut found = statement.query([plan])?;
    let (mut rates, mut quota) = (Vec::new(), QuotaLimit::default());
    while let Some(row) = found.next()? {
        add(row, 0, &mut rates, &mut quota)?;
    }
    Ok((rates, quota))
}

/// Replaces the limits of a plan.
pub fn set_plan(connection: &Connection, plan: &str, terms: &Terms) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM plan_limit WHERE plan = ?1")?.execute([plan])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO plan_limit (plan, period, requests, burst) VALUES (?1, ?2, ?3, ?4)")?;
    for row in rows(&terms.rates, terms.quota) {
        insert.execute(params![plan, row.period, row.requests, row.burst])?;
    }
    Ok(())
}
