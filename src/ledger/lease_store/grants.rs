//! What there is to lease: grants of credits, limits of quotas, and periods that are over.

use std::sync::Arc;

use serde::Serialize;

use super::centre::LeaseStore;
use super::rows::{self, column};
use crate::ledger::entry::{Entry, FIRST_GRANT, Kind};
use crate::ledger::store::sql::{OptionalExtension, Result as SqlResult, params};
use crate::ledger::store::{Connection, StoreError};
use crate::policy::credits::CreditAccount;
use crate::policy::credits::balance::MAX_CREDITS;

/// Who gives accounts their first credits.
const CONFIGURATION: &str = "configuration";

/// A grant or an adjustment of an operator.
#[derive(Clone, Debug)]
pub struct Change<'c> {
    pub account: &'c str,
    pub product: &'c str,
    pub kind: Kind,
    /// Credits; negative to remove some.
    pub amount: i64,
    /// The same key changes once, whoever sends it.
    pub key: &'c str,
    pub by: &'c str,
    pub why: &'c str,
    /// In milliseconds since 1970.
    pub at_ms: i64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(Entry),
    /// It was done before, by this key.
    Again(Entry),
    /// The key belongs to another change.
    KeyTaken,
    /// The balance would have more credits than it can count.
    TooMuch,
    /// Fewer credits are there than should be removed. Whoever has some of them on lease was asked to return them.
    TooLittle,
}

/// What an account is granted once, by what is written of it.
#[derive(Serialize)]
struct FirstGrant<'a> {
    account: &'a str,
    product: &'a str,
    credits: u64,
}

impl LeaseStore {
    /// Grants accounts what is written of them, unless that was done.
    ///
    /// # Errors
    /// Errors of the database. Whether it was done is then unknown; it can be done again.
    pub fn first_grants(&mut self, accounts: &[Arc<CreditAccount>], at_ms: i64) -> Result<(), StoreError> {
        // In one order of names, so that gateways that start together do not wait for each other.
        const GRANT: &str = "WITH noted AS (\
               INSERT INTO credit_entry (at, account, product, kind, amount, key, by, why) \
               SELECT ?2, k.account, k.product, 'grant', k.credits, ?3, ?4, '' \
               FROM json_to_recordset(CAST(?1 AS json)) AS k (account text, product text, credits bigint) \
               ORDER BY k.account COLLATE \"C\", k.product COLLATE \"C\" \
               ON CONFLICT (account, product, key) DO NOTHING RETURNING account, product, amount) \
             INSERT INTO credit_balance AS b (account, subject, period, granted, allotted, deficit) \
             SELECT account, product, 0, amount, 0, 0 FROM noted ORDER BY account, product \
             ON CONFLICT (account, subject, period) DO UPDATE SET granted = b.granted + excluded.granted, \
             deficit = greatest(b.allotted - b.granted - excluded.granted, 0)";
        let of = |known: &Arc<CreditAccount>| known.first_grant > 0;
        let grants: Vec<FirstGrant<'_>> = accounts
            .iter()
            .filter(|known| of(known))
            .map(|known| FirstGrant { account: &known.account, product: &known.product, credits: known.first_grant })
            .collect();
        if grants.is_empty() {
            return Ok(());
        }
        let grants = rows::json(&grants)?;
        self.transact(|database, _| {
            database.execute(GRANT, params![grants, at_ms, FIRST_GRANT, CONFIGURATION])?;
            Ok(())
        })
    }

    /// Adds credits, or takes back some that nobody has on lease.
    ///
    /// # Errors
    /// Errors of the database. Whether it was done is then unknown; the same change can be sent again.
    pub fn change(&mut self, change: &Change<'_>) -> Result<Outcome, StoreError> {
        self.transact(|database, _| change.make(database))
    }

    /// Sets what a quota of an account allows in a period. Of a lower limit, what is on lease stays.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn set_limit(&mut self, account: &str, quota: &str, period: u32, limit: u64) -> Result<(), StoreError> {
        let put = "INSERT INTO credit_balance AS b (account, subject, period, granted, allotted, deficit) \
                   VALUES (?1, ?2, ?3, ?4, 0, 0) ON CONFLICT (account, subject, period) DO UPDATE \
                   SET granted = excluded.granted, deficit = greatest(b.allotted - excluded.granted, 0)";
        self.transact(|database, _| {
            database.execute(put, params![account, quota, period, column(limit)?])?;
            Ok(())
        })
    }

    /// Forgets a quota's period that is over. What is reported of it from then on changes nothing.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn close_period(&mut self, account: &str, quota: &str, period: u32) -> Result<(), StoreError> {
        // The balance first: whoever writes a lease of it keeps it, so that none is written after it is gone.
        const TABLES: [&str; 4] = ["credit_balance", "credit_lease", "credit_recall", "credit_unpaid"];
        self.transact(|database, _| {
            for table in TABLES {
                let remove = format!("DELETE FROM {table} WHERE account = ?1 AND subject = ?2 AND period = ?3");
                database.execute(&remove, params![account, quota, period])?;
            }
            Ok(())
        })
    }
}

impl Change<'_> {
    fn make(&self, database: &Connection) -> SqlResult<Outcome> {
        const BEGIN: &str = "INSERT INTO credit_balance (account, subject, period, granted, allotted, deficit) \
                             VALUES (?1, ?2, 0, 0, 0, 0) ON CONFLICT DO NOTHING";
        const LOCK: &str = "SELECT granted, allotted FROM credit_balance \
                            WHERE account = ?1 AND subject = ?2 AND period = 0 FOR NO KEY UPDATE";
        const NOTE: &str = "INSERT INTO credit_entry (at, account, product, kind, amount, key, by, why) \
                            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        const SET: &str = "UPDATE credit_balance SET granted = ?3, deficit = greatest(allotted - ?3, 0) \
                           WHERE account = ?1 AND subject = ?2 AND period = 0";
        if let Some(entry) = self.known(database)? {
            let same = entry.kind == self.kind && entry.amount == self.amount;
            return Ok(if same { Outcome::Again(entry) } else { Outcome::KeyTaken });
        }
        let (account, product) = (self.account, self.product);
        database.execute(BEGIN, params![account, product])?;
        let (granted, allotted): (i64, i64) =
            database.query_row(LOCK, params![account, product], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let after = granted.saturating_add(self.amount);
        if after > column(MAX_CREDITS)? {
            return Ok(Outcome::TooMuch);
        }
        if self.amount < 0 && after < allotted {
            self.recall(database)?;
            return Ok(Outcome::TooLittle);
        }
        let words = (self.kind.word(), self.key, self.by, self.why);
        let (kind, key, by, why) = words;
        database.execute(NOTE, params![self.at_ms, account, product, kind, self.amount, key, by, why])?;
        database.execute(SET, params![account, product, after])?;
        let entry = self.known(database)?;
        entry.map(Outcome::Done).ok_or(crate::ledger::store::sql::Error::Unexpected)
    }

    /// The row with this key, if there is one.
    fn known(&self, database: &Connection) -> SqlResult<Option<Entry>> {
        let query = format!("{} WHERE account = ?1 AND product = ?2 AND key = ?3", super::entries::SELECT);
        database.query_row(&query, params![self.account, self.product, self.key], super::entries::entry).optional()
    }

    /// Asks everybody who has credits of the balance on lease to return what no request holds.
    fn recall(&self, database: &Connection) -> SqlResult<()> {
        const RECALL: &str = "INSERT INTO credit_recall (node, account, subject, period) \
             SELECT l.node, l.account, l.subject, l.period FROM credit_lease l JOIN credit_node n ON n.id = l.node \
             WHERE l.account = ?1 AND l.subject = ?2 AND l.period = 0 AND l.taken - l.returned - l.spent > 0 \
             AND n.state IN ('live', 'draining') ON CONFLICT DO NOTHING";
        database.execute(RECALL, params![self.account, self.product])?;
        Ok(())
    }
}
