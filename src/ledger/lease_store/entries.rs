//! What people are shown of the centre: grants and adjustments, balances of all gateways together, and its gateways.

use super::centre::LeaseStore;
use super::names::OwnerNames;
use super::rows::{self, KeyRow, key, number, of_keys};
use crate::ledger::entry::{Entry, Kind, timestamp};
use crate::ledger::lease::message::{Key, NodeId};
use crate::ledger::page::Page;
use crate::ledger::store::sql::{Error, Result as SqlResult, Row, ToSql, params};
use crate::ledger::store::{Connection, StoreError};

/// The columns of [`entry`].
pub(super) const SELECT: &str = "SELECT id, at, account, product, kind, amount, key, by, why FROM credit_entry";

/// The most rows of one page.
const MAX_ROWS: u32 = 1000;

/// What rows of a cluster are written by.
const REFERENCE: &str = "cluster";

/// A balance, as all gateways together have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeBalance {
    pub key: Key,
    pub granted: u64,
    /// What others have reported as spent.
    pub spent_by_others: u64,
}

/// What people are told of leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    pub epoch: u64,
    /// Whether leases can be taken.
    pub is_open: bool,
    pub identities: Vec<IdentityRow>,
    /// Charges of gateways that had ended, for which there were no credits, in all.
    pub unpaid: u64,
    /// What is on lease beyond what was granted, in all.
    pub deficit: u64,
}

/// An identity that has not ended, or ended less than a day ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// In hexadecimal digits.
    pub id: String,
    pub name: String,
    pub state: String,
    /// Whether it was heard in this epoch.
    pub declared: bool,
    /// For how long it has not been heard, in milliseconds.
    pub quiet_ms: i64,
    /// What it has on lease and has not reported as spent, in all.
    pub on_lease: u64,
}

/// A row of `credit_entry`.
pub(super) fn entry(row: Row<'_>) -> SqlResult<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        at: timestamp(row.get(1)?).map_err(|_| Error::Unexpected)?,
        account: row.get(2)?,
        product: row.get(3)?,
        kind: Kind::from_word(row.text(4)?).ok_or(Error::Unexpected)?,
        amount: row.get(5)?,
        lookups: 0,
        reference: REFERENCE.to_owned(),
        key: Some(row.get(6)?),
        by: row.get(7)?,
        why: row.get(8)?,
    })
}

impl LeaseStore {
    /// Grants and adjustments, the oldest first.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn entries(&mut self, page: &Page) -> Result<Vec<Entry>, StoreError> {
        let of = page.credit_account.as_ref().map(|known| known.key());
        let account = of.map(|(account, _)| account).or(page.account.as_deref());
        let product = of.map(|(_, product)| product);
        let at = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let (since, until) = (page.since.map(at), page.until.map(at));
        let limit = page.rows.clamp(1, MAX_ROWS);
        let mut query = format!("{SELECT} WHERE id > ?1");
        let mut values: Vec<&dyn ToSql> = vec![&page.after, &limit];
        for (condition, value) in [
            ("account =", account.as_ref().map(|value| value as &dyn ToSql)),
            ("product =", product.as_ref().map(|value| value as &dyn ToSql)),
            ("at >=", since.as_ref().map(|value| value as &dyn ToSql)),
            ("at <", until.as_ref().map(|value| value as &dyn ToSql)),
        ] {
            if let Some(value) = value {
                values.push(value);
                query += &format!(" AND {condition} ?{}", values.len());
            }
        }
        query += " ORDER BY id LIMIT ?2";
        self.read(|database, _| {
            let mut statement = database.prepare(&query)?;
            let found = statement.query_map(&values[..], entry)?;
            found.collect()
        })
    }

    /// What all gateways together have of some keys, with what others than `own` have spent of them.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn whole(&mut self, keys: &[Key], own: NodeId) -> Result<Vec<WholeBalance>, StoreError> {
        const WHOLE: &str = concat!(
            "SELECT k.account, k.subject, k.period, coalesce(b.granted, 0), \
             (SELECT CAST(coalesce(sum(l.spent), 0) AS BIGINT) FROM credit_lease l WHERE l.account = k.account \
              AND l.subject = k.subject AND l.period = k.period AND l.node <> ?2) FROM ",
            of_keys!(),
            " LEFT JOIN credit_balance b ON b.account = k.account AND b.subject = k.subject AND b.period = k.period"
        );
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|database, names| {
            let asked = keys.iter().map(|key| KeyRow::of(*key, names)).collect::<SqlResult<Vec<_>>>()?;
            let asked = rows::json(&asked)?;
            let mut statement = database.prepare(WHOLE)?;
            let found = statement.query_map(params![asked, own.0.cast_signed()], |row| {
                let (granted, spent_by_others) = (number(row, 3)?, number(row, 4)?);
                Ok(WholeBalance { key: key(row, names)?, granted, spent_by_others })
            })?;
            found.collect()
        })
    }

    /// What people are told of leases.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn overview(&mut self) -> Result<Overview, StoreError> {
        self.read(|database, _| overview(database))
    }

    /// Whether leases can be taken: the epoch is that of the database as it runs, and open.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn is_open(&mut self) -> Result<bool, StoreError> {
        let query = "SELECT CASE WHEN opened = 1 AND history = credit_history() THEN 1 ELSE 0 END FROM credit_cluster";
        self.read(|database, _| database.query_row(query, (), |row| row.get(0)))
    }

    /// Within the time of a message, so that no heartbeat is late by it.
    fn read<T>(&mut self, mut read: impl FnMut(&Connection, &mut OwnerNames) -> SqlResult<T>) -> Result<T, StoreError> {
        self.transact(|database, names| read(database, names))
    }
}

/// What people are told of leases, of a database whose tables are there.
///
/// # Errors
/// Errors of the database.
pub fn overview(database: &Connection) -> SqlResult<Overview> {
    const IDENTITIES: &str = "SELECT to_hex(n.id), n.name, n.state, \
         CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) - n.seen_at, \
         (SELECT CAST(coalesce(sum(l.taken - l.returned - l.spent), 0) AS BIGINT) FROM credit_lease l WHERE l.node = n.id), \
         CASE WHEN n.epoch = c.epoch AND n.nonce = c.nonce THEN 1 ELSE 0 END \
         FROM credit_node n, credit_cluster c WHERE n.state IN ('live', 'draining') \
         OR n.seen_at > CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) - 86400000 \
         ORDER BY n.state IN ('live', 'draining') DESC, n.name COLLATE \"C\", n.joined_at LIMIT 1000";
    let sum = |query: &str| database.query_row(query, (), |row| number(row, 0));
    let (epoch, is_open) =
        database.query_row("SELECT epoch, opened FROM credit_cluster", (), |row| Ok((number(row, 0)?, row.get(1)?)))?;
    let unpaid = sum("SELECT CAST(coalesce(sum(credits), 0) AS BIGINT) FROM credit_unpaid")?;
    let deficit = sum("SELECT CAST(coalesce(sum(deficit), 0) AS BIGINT) FROM credit_balance WHERE deficit > 0")?;
    let mut statement = database.prepare(IDENTITIES)?;
    let identities = statement.query_map((), |row| {
        let (id, name, state): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (quiet_ms, on_lease, declared) = (row.get(3)?, number(row, 4)?, row.get(5)?);
        Ok(IdentityRow { id, name, state, declared, quiet_ms, on_lease })
    })?;
    let identities = identities.collect::<SqlResult<Vec<_>>>()?;
    Ok(Overview { epoch, is_open, identities, unpaid, deficit })
}
