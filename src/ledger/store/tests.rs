//! Operations on the store: their effects, refusals, and damaged or foreign files.

mod alerts;
mod billing;
mod files;
mod history;
mod import;
mod lists;
mod operations;
mod people;
mod sources;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use super::accounts::AccountDraft;
use super::error::StoreError;
use super::randomness::Randomness;
use super::records::{AccountProduct, AccountTerms, Period, ProductFunds, QuotaLimit, RateLimit, Terms};
use super::tokens::TokenDraft;
use super::upkeep::Kept;
use super::writing::{Outcome, Writing, transact};
use super::{Act, Idempotency, Via, open};

/// How long usage and refusals are kept.
const KEPT: Kept = Kept { usage: Duration::from_secs(400 * 86_400), refusals: Duration::from_secs(3 * 86_400) };

/// 2027-01-01 in UTC.
const NOW: i64 = 1_798_761_600_000;

/// Counts up: ids and secrets are unique, and the same in every run.
struct Counting(u64);

impl Randomness for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        for chunk in bytes.chunks_mut(8) {
            self.0 += 1;
            let number = self.0.to_be_bytes();
            chunk.copy_from_slice(&number[8 - chunk.len()..]);
        }
        Ok(())
    }
}

/// A store in a temporary directory, with a fixed clock.
struct Bench {
    directory: PathBuf,
    connection: Connection,
    random: Counting,
    now: i64,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let directory = std::env::temp_dir().join(format!("tollgate-accounts-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let connection = open(&directory.join("tollgate.db")).unwrap();
        Bench { directory, connection, random: Counting(0), now: NOW }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("tollgate.db")
    }

    fn act(&self, idempotency: Option<Idempotency>) -> Act {
        let (actor, address) = ("key:ann".to_owned(), "203.0.113.9".to_owned());
        Act { actor, via: Via::Api, address, at_ms: self.now, idempotency }
    }

    fn try_do<T: serde::Serialize + serde::de::DeserializeOwned>(
        &mut self,
        operation: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError>,
    ) -> Result<Outcome<T>, StoreError> {
        let act = self.act(None);
        transact(&mut self.connection, act, &mut self.random, None, operation)
    }

    fn done<T: serde::Serialize + serde::de::DeserializeOwned>(
        &mut self,
        operation: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError>,
    ) -> T {
        self.try_do(operation).unwrap().value
    }

    fn refused<T: serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug>(
        &mut self,
        operation: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError>,
    ) -> StoreError {
        let before = self.rows();
        let refused = self.try_do(operation).unwrap_err();
        assert_eq!(self.rows(), before, "a refused operation leaves nothing: {refused}");
        refused
    }

    /// How many rows each table has, and the version.
    fn rows(&self) -> Vec<(String, i64)> {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut statement = self.connection.prepare(tables).unwrap();
        let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let number = |query: String| self.connection.query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap();
        let mut rows: Vec<(String, i64)> =
            tables.into_iter().map(|table| (table.clone(), number(format!("SELECT COUNT(*) FROM {table}")))).collect();
        rows.push(("version".to_owned(), number("SELECT version FROM store_clock".to_owned())));
        rows
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn per_minute(requests: u32) -> Terms {
    Terms { rates: vec![RateLimit { period: Period::Minute, requests, burst: requests }], ..Terms::default() }
}

fn draft(name: &str) -> AccountDraft {
    AccountDraft {
        name: name.to_owned(),
        display: format!("{name} Ltd"),
        terms: AccountTerms::Own(per_minute(150)),
        products: vec![
            AccountProduct { product: "vat".to_owned(), funds: ProductFunds::Unmetered },
            AccountProduct { product: "plate".to_owned(), funds: ProductFunds::Credits { first_grant: 1000 } },
        ],
    }
}

fn token(name: &str) -> TokenDraft {
    TokenDraft {
        name: name.to_owned(),
        products: vec!["plate".to_owned()],
        last_day: None,
        rates: Vec::new(),
        quota: QuotaLimit::default(),
    }
}
