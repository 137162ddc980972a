//! Keys, counters and states as the tables have them, and the JSON by which one statement is given many of them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::names::OwnerNames;
use crate::ledger::lease::centre::RowState;
use crate::ledger::lease::message::{Counters, Key};
use crate::ledger::store::sql::{Error, Result, Row};

/// A key by its names.
#[derive(Serialize)]
pub struct KeyRow<'n> {
    account: &'n str,
    subject: &'n str,
    period: u32,
}

/// Keys of a statement: `?1` is what [`keys`] makes.
macro_rules! of_keys {
    () => {
        "json_to_recordset(CAST(?1 AS json)) AS k (account text, subject text, period bigint)"
    };
}
pub(super) use of_keys;

/// A row of `credit_lease`, without its identity.
#[derive(Serialize)]
pub struct LeaseRow<'n> {
    #[serde(flatten)]
    pub key: KeyRow<'n>,
    pub taken: u64,
    pub returned: u64,
    pub spent: u64,
}

/// Credits of a key: what a balance changes by, or what is unpaid.
#[derive(Serialize)]
pub struct CreditsRow<'n> {
    #[serde(flatten)]
    pub key: KeyRow<'n>,
    pub credits: i64,
}

impl KeyRow<'_> {
    /// # Errors
    /// That nothing has this number.
    pub fn of(key: Key, names: &OwnerNames) -> Result<KeyRow<'_>> {
        let name = names.name(key.owner).ok_or(Error::Unexpected)?;
        Ok(KeyRow { account: &name.account, subject: &name.subject, period: key.period })
    }
}

/// Rows as the JSON of a statement.
///
/// # Errors
/// None that can happen.
pub fn json(rows: &[impl Serialize]) -> Result<String> {
    serde_json::to_string(rows).map_err(|_| Error::Unexpected)
}

/// Keys as the JSON of a statement.
///
/// # Errors
/// That one of them has no name.
pub fn keys(keys: &BTreeSet<Key>, names: &OwnerNames) -> Result<String> {
    json(&keys.iter().map(|key| KeyRow::of(*key, names)).collect::<Result<Vec<_>>>()?)
}

/// The key in the first three columns of a row.
///
/// # Errors
/// That there is none.
pub fn key(row: Row<'_>, names: &mut OwnerNames) -> Result<Key> {
    let owner = names.number(row.text(0)?, row.text(1)?).ok_or(Error::Unexpected)?;
    Ok(Key { owner, period: row.get(2)? })
}

/// The counters in three columns of a row.
///
/// # Errors
/// That there are none.
pub fn counters(row: Row<'_>, first: usize) -> Result<Counters> {
    let number = |column| number(row, column);
    Ok(Counters { taken: number(first)?, returned: number(first + 1)?, spent: number(first + 2)? })
}

/// A number that is never negative.
///
/// # Errors
/// That it is none.
pub fn number(row: Row<'_>, column: usize) -> Result<u64> {
    u64::try_from(row.get::<i64>(column)?).map_err(|_| Error::Unexpected)
}

/// A number for a column.
///
/// # Errors
/// That it is 2^63 or more.
pub fn column(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::Unexpected)
}

/// The word of a state.
pub const fn word(state: RowState) -> &'static str {
    match state {
        RowState::Live => "live",
        RowState::Draining => "draining",
        RowState::Retired => "retired",
        RowState::Fenced => "fenced",
    }
}

/// The state of a word.
///
/// # Errors
/// That there is none.
pub fn state(found: &str) -> Result<RowState> {
    let all = [RowState::Live, RowState::Draining, RowState::Retired, RowState::Fenced];
    all.into_iter().find(|state| word(*state) == found).ok_or(Error::Unexpected)
}
