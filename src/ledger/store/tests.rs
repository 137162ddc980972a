//! Operations on the store: their effects, refusals, and damaged or foreign files.

/// Runs tests on SQLite and on PostgreSQL.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            use crate::ledger::store::sql::Engine;
            use crate::ledger::store::tests::on;

            #[test]
            fn sqlite() {
                on(Engine::Sqlite, super::$test);
            }

            #[test]
            fn postgres() {
                on(Engine::Postgres, super::$test);
            }
        })+
    };
}

mod alerts;
mod billing;
pub mod cluster;
pub mod database;
mod files;
mod history;
mod import;
mod lists;
mod lost;
mod nodes;
mod operations;
mod people;
pub mod pooler;
mod postgres;
mod sources;
mod usage;
mod way;
mod writers;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::sql::{Connection, Engine};

use super::accounts::AccountDraft;
use super::error::StoreError;
use super::randomness::Randomness;
use super::records::{AccountProduct, AccountTerms, Period, ProductFunds, QuotaLimit, RateLimit, Terms};
use super::tokens::TokenDraft;
use super::upkeep::Kept;
use super::writing::{Outcome, Writing, transact};
use super::{Act, Encryption, Idempotency, Location, PostgresHost, PostgresPassword, PostgresSettings, Via, open};
use cluster::Cluster;

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

thread_local! {
    /// The engine of this thread's test.
    static ENGINE: Cell<Engine> = const { Cell::new(Engine::Sqlite) };
}

/// Runs a test on an engine.
fn on(engine: Engine, test: fn()) {
    ENGINE.set(engine);
    test();
}

/// A database over the socket of a cluster.
pub fn at(cluster: &Cluster, database: &str) -> PostgresSettings {
    PostgresSettings {
        hosts: vec![PostgresHost { name: cluster.directory.to_str().unwrap().to_owned(), port: cluster.port }],
        database: database.to_owned(),
        user: cluster::USER.to_owned(),
        password: PostgresPassword::None,
        encryption: Encryption::None,
        is_pooled: false,
        poll: Duration::from_millis(100),
        portal_key: PathBuf::new(),
    }
}

/// A new store in a cluster.
pub fn new_in(cluster: &Cluster) -> PostgresSettings {
    let database = cluster.store(|cluster, database| {
        drop(open(Location::Postgres(Arc::new(at(cluster, database)))).unwrap());
    });
    at(cluster, &database)
}

/// A store of its own, with a fixed clock.
struct Bench {
    directory: PathBuf,
    location: Location,
    connection: Connection,
    random: Counting,
    now: i64,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let engine = if ENGINE.get() == Engine::Sqlite { "sqlite" } else { "postgres" };
        let directory = std::env::temp_dir().join(format!("tollgate-{engine}-{name}-{}", std::process::id()));
        let location = match ENGINE.get() {
            Engine::Sqlite => {
                let _ = std::fs::remove_dir_all(&directory);
                std::fs::create_dir_all(&directory).unwrap();
                Location::File(directory.join("tollgate.db"))
            }
            Engine::Postgres => Location::Postgres(Arc::new(new_in(cluster::shared()))),
        };
        let connection = open(&location).unwrap();
        Bench { directory, location, connection, random: Counting(0), now: NOW }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("tollgate.db")
    }

    /// Everything that it has, to look for what it must not have.
    fn bytes(&self) -> Vec<u8> {
        match self.connection.engine() {
            Engine::Sqlite => ["tollgate.db", "tollgate.db-wal"]
                .iter()
                .flat_map(|file| std::fs::read(self.directory.join(file)).unwrap_or_default())
                .collect(),
            Engine::Postgres => {
                let all = |table: String| -> Vec<u8> {
                    let query = format!("SELECT string_agg(t::text, chr(10)) FROM {table} t");
                    let found: Option<String> = self.connection.query_row(&query, (), |row| row.get(0)).unwrap();
                    found.unwrap_or_default().into_bytes()
                };
                self.tables().into_iter().flat_map(all).collect()
            }
        }
    }

    fn tables(&self) -> Vec<String> {
        let tables = match self.connection.engine() {
            Engine::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
            Engine::Postgres => "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
        };
        let mut statement = self.connection.prepare(tables).unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
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
        let number = |query: String| self.connection.query_row(&query, (), |row| row.get::<i64>(0)).unwrap();
        let mut rows: Vec<(String, i64)> = self
            .tables()
            .into_iter()
            .map(|table| (table.clone(), number(format!("SELECT COUNT(*) FROM {table}"))))
            .collect();
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
