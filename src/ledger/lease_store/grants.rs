//! What there is to lease: grants of credits, limits of quotas, and periods that are over.

use super::centre::LeaseStore;
use super::rows::column;
use crate::ledger::store::StoreError;
use crate::ledger::store::sql::params;

/// Credits that are given to an account for a product.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'g> {
    pub account: &'g str,
    pub product: &'g str,
    pub credits: u64,
    /// The same key grants once, whoever sends it.
    pub key: &'g str,
    pub by: &'g str,
    pub why: &'g str,
    /// In milliseconds since 1970.
    pub at_ms: i64,
}

impl LeaseStore {
    /// Adds credits, and returns whether they were new: a grant with a known key changes nothing.
    ///
    /// # Errors
    /// Errors of the database. Whether it was done is then unknown; the same grant can be sent again.
    pub fn grant(&mut self, grant: &Grant<'_>) -> Result<bool, StoreError> {
        let note = "INSERT INTO credit_entry (at, account, product, kind, amount, key, by, why) \
                    VALUES (?1, ?2, ?3, 'grant', ?4, ?5, ?6, ?7) ON CONFLICT (account, product, key) DO NOTHING";
        let add = "INSERT INTO credit_balance AS b (account, subject, period, granted, allotted, deficit) \
                   VALUES (?1, ?2, 0, ?3, 0, 0) ON CONFLICT (account, subject, period) DO UPDATE \
                   SET granted = b.granted + excluded.granted, \
                   deficit = greatest(b.allotted - b.granted - excluded.granted, 0)";
        let Grant { account, product, key, by, why, at_ms, .. } = *grant;
        self.transact(|database, _| {
            let credits = column(grant.credits)?;
            let noted = database.execute(note, params![at_ms, account, product, credits, key, by, why])?;
            if noted > 0 {
                database.execute(add, params![account, product, credits])?;
            }
            Ok(noted > 0)
        })
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
