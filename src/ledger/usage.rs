//! What accounts have used of several rates and of quotas, as it is written in the file and told to a successor.
//!
//! A rate is kept as one plain rate is (`rates.rs`): within seconds, and whole at the end. A quota is kept as charges
//! are: a crash loses what was counted in the last 50 ms with `batch`, and nothing with `each`, since an answer waits
//! until its request is written down. Both are whole numbers that the next write replaces, so that a write that is
//! repeated changes nothing. When what is written is the task's.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::fault::LedgerFault;
use crate::policy::calendar::Calendar;
use crate::policy::limit::{Owner, Usage, Used};

/// The tables, which earlier versions do not mind.
pub const TABLES: &str = "
CREATE TABLE IF NOT EXISTS limit_rate (
  account TEXT NOT NULL,
  owner TEXT NOT NULL CHECK (owner IN ('account', 'product', 'token')),
  name TEXT NOT NULL,
  seconds INTEGER NOT NULL,
  full_at INTEGER NOT NULL,
  nanoseconds INTEGER NOT NULL,
  PRIMARY KEY (account, owner, name, seconds)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS limit_quota (
  account TEXT NOT NULL,
  owner TEXT NOT NULL CHECK (owner IN ('account', 'product', 'token')),
  name TEXT NOT NULL,
  calendar TEXT NOT NULL CHECK (calendar IN ('day', 'month')),
  began INTEGER NOT NULL,
  used INTEGER NOT NULL CHECK (used >= 0),
  PRIMARY KEY (account, owner, name, calendar)
) STRICT, WITHOUT ROWID;
";

/// Seconds after the beginning of a month in which a row of it can still count: the longest month.
const LONGEST_MONTH: i64 = 31 * 86_400;

/// Whose limit a row is about, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerWords {
    owner: String,
    /// The product's or the token's; empty for the account.
    name: String,
}

impl OwnerWords {
    fn of(owner: &Owner) -> OwnerWords {
        let (owner, name) = match owner {
            Owner::Account => ("account", ""),
            Owner::Product(name) => ("product", &**name),
            Owner::Token(name) => ("token", &**name),
        };
        OwnerWords { owner: owner.to_owned(), name: name.to_owned() }
    }

    fn owner(&self) -> Option<Owner> {
        match self.owner.as_str() {
            "account" => Some(Owner::Account),
            "product" => Some(Owner::Product(self.name.as_str().into())),
            "token" => Some(Owner::Token(self.name.as_str().into())),
            _ => None,
        }
    }
}

/// What was used of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRow {
    of: OwnerWords,
    calendar: String,
    /// When the day or month began, in seconds since 1970.
    began: u64,
    used: u64,
}

impl QuotaRow {
    /// The row of a usage, if that is of a quota of which something is used.
    pub fn of(usage: &Usage) -> Option<QuotaRow> {
        match usage.used {
            Used::Quota { calendar, began, used } if used > 0 => {
                Some(QuotaRow { of: OwnerWords::of(&usage.owner), calendar: calendar.word().to_owned(), began, used })
            }
            Used::Quota { .. } | Used::Rate { .. } => None,
        }
    }

    /// What the row says, unless another version knows more words.
    pub fn usage(&self) -> Option<Usage> {
        let calendar = Calendar::from_word(&self.calendar)?;
        let used = Used::Quota { calendar, began: self.began, used: self.used };
        Some(Usage { owner: self.of.owner()?, used })
    }
}

/// What was used of one of several rates, in terms that outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRow {
    of: OwnerWords,
    /// The period of the rate.
    seconds: i64,
    /// When the burst is whole again, in milliseconds since 1970.
    full_at: i64,
    /// How long one request of it needs to be there again, in nanoseconds.
    nanoseconds: i64,
}

impl RateRow {
    /// The row of a usage at a time since 1970, if that is of a rate whose burst is not whole within `worth_keeping`.
    pub fn of(usage: &Usage, unix: Duration, worth_keeping: Duration) -> Option<RateRow> {
        match usage.used {
            Used::Rate { period, interval, left } if left > worth_keeping => Some(RateRow {
                of: OwnerWords::of(&usage.owner),
                seconds: i64::try_from(period.as_secs()).ok()?,
                // Rounded up, since what was used stays used.
                full_at: milliseconds(unix.saturating_add(left).saturating_add(Duration::from_nanos(999_999))),
                nanoseconds: i64::try_from(interval.as_nanos()).ok()?,
            }),
            Used::Rate { .. } | Used::Quota { .. } => None,
        }
    }

    /// What the row says at a time since 1970.
    pub fn usage(&self, unix: Duration) -> Option<Usage> {
        let number = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let full_at = Duration::from_millis(number(self.full_at)?);
        let used = Used::Rate {
            period: Duration::from_secs(number(self.seconds)?),
            interval: Duration::from_nanos(number(self.nanoseconds)?),
            left: full_at.saturating_sub(unix),
        };
        Some(Usage { owner: self.of.owner()?, used })
    }
}

/// A row that was kept of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Rate(RateRow),
    Quota(QuotaRow),
}

/// The quotas of one account that are to be written.
#[derive(Clone, Debug)]
pub struct QuotasOf {
    pub account: Arc<str>,
    pub rows: Vec<QuotaRow>,
}

/// What was kept, account by account. What cannot count any more is removed.
///
/// # Errors
/// Those of the database.
pub fn limits(connection: &Connection, unix: Duration, mut each: impl FnMut(&str, Kept)) -> Result<(), LedgerFault> {
    connection.execute("DELETE FROM limit_rate WHERE full_at <= ?1", [milliseconds(unix)])?;
    let oldest = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX).saturating_sub(LONGEST_MONTH);
    connection.execute("DELETE FROM limit_quota WHERE began < ?1", [oldest])?;
    let of = |row: &rusqlite::Row<'_>| Ok::<_, rusqlite::Error>(OwnerWords { owner: row.get(1)?, name: row.get(2)? });
    let mut rates = connection.prepare("SELECT account, owner, name, seconds, full_at, nanoseconds FROM limit_rate")?;
    let mut rows = rates.query([])?;
    while let Some(row) = rows.next()? {
        let kept = RateRow { of: of(row)?, seconds: row.get(3)?, full_at: row.get(4)?, nanoseconds: row.get(5)? };
        each(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, Kept::Rate(kept));
    }
    let mut quotas = connection.prepare("SELECT account, owner, name, calendar, began, used FROM limit_quota")?;
    let mut rows = quotas.query([])?;
    while let Some(row) = rows.next()? {
        let number = |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
        let kept = QuotaRow { of: of(row)?, calendar: row.get(3)?, began: number(4)?, used: number(5)? };
        each(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, Kept::Quota(kept));
    }
    Ok(())
}

/// Writes what some accounts have used of their rates.
pub fn write_rates(connection: &Connection, rows: &[(&str, RateRow)]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO limit_rate VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (account, RateRow { of, seconds, full_at, nanoseconds }) in rows {
        insert.execute(params![account, of.owner, of.name, seconds, full_at, nanoseconds])?;
    }
    Ok(())
}

/// Writes what some accounts have used of their quotas.
pub fn write_quotas(connection: &Connection, quotas: &[QuotasOf]) -> rusqlite::Result<()> {
    if quotas.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO limit_quota VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for QuotasOf { account, rows } in quotas {
        for QuotaRow { of, calendar, began, used } in rows {
            let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            insert.execute(params![&**account, of.owner, of.name, calendar, number(*began), number(*used)])?;
        }
    }
    Ok(())
}

/// A time in milliseconds since 1970.
pub fn milliseconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
