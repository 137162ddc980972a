//! A connection to a database, its statements, and transactions: what is not committed is taken back.

use std::ops::Deref;
use std::sync::Arc;

use super::dialect::Engine;
use super::error::{Error, Result};
use super::link::{Kind, Link};
use super::lost::Mark;
use super::rows::{MappedRows, Row, Rows};
use super::settings::PostgresSettings;
use super::value::{Params, Value};
use crate::platform::clock::unix_milliseconds;

/// A connection.
pub struct Connection(Base);

enum Base {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Link>),
}

impl From<rusqlite::Connection> for Connection {
    fn from(connection: rusqlite::Connection) -> Connection {
        Connection(Base::Sqlite(connection))
    }
}

impl Connection {
    /// Connects to PostgreSQL.
    ///
    /// # Errors
    /// That the server is away or refuses.
    pub fn to_postgres(settings: &Arc<PostgresSettings>) -> Result<Connection> {
        Ok(Connection(Base::Postgres(Box::new(Link::open(Arc::clone(settings))?))))
    }

    /// What kind of database it is.
    pub const fn engine(&self) -> Engine {
        match self.0 {
            Base::Sqlite(_) => Engine::Sqlite,
            Base::Postgres(_) => Engine::Postgres,
        }
    }

    /// SQLite's own connection, for what is about its file.
    pub const fn sqlite(&self) -> Option<&rusqlite::Connection> {
        match &self.0 {
            Base::Sqlite(connection) => Some(connection),
            Base::Postgres(_) => None,
        }
    }

    /// A statement that is run once.
    ///
    /// # Errors
    /// That it is none.
    pub fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        match &self.0 {
            Base::Sqlite(connection) => Ok(Statement::Sqlite(connection.prepare(sql)?)),
            Base::Postgres(link) => Ok(Statement::Postgres(link, sql.to_owned())),
        }
    }

    /// A statement that is run often, and kept prepared where there is a place for that.
    ///
    /// # Errors
    /// That it is none.
    pub fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        match &self.0 {
            Base::Sqlite(connection) => Ok(Statement::Cached(connection.prepare_cached(sql)?)),
            Base::Postgres(link) => Ok(Statement::Postgres(link, sql.to_owned())),
        }
    }

    /// Runs a statement; how many rows it has changed.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    /// Reads the first row of a query.
    ///
    /// # Errors
    /// That there is none, or errors of the database.
    pub fn query_row<T>(&self, sql: &str, params: impl Params, read: impl FnOnce(Row<'_>) -> Result<T>) -> Result<T> {
        self.prepare(sql)?.query_row(params, read)
    }

    /// Runs statements without values.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn execute_batch(&self, sql: &str) -> Result<()> {
        match &self.0 {
            Base::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Base::Postgres(link) => link.batch(sql),
        }
    }

    /// A transaction that reads one consistent state.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn transaction(&mut self) -> Result<Transaction<'_>> {
        Transaction::begin(self, Kind::Reading)
    }

    /// A transaction that writes rows of the store's history, as the only one.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn writing(&mut self) -> Result<Transaction<'_>> {
        Transaction::begin(self, Kind::Writing)
    }

    /// A transaction that writes what is not part of the store's history, as the only one of its kind.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn recording(&mut self) -> Result<Transaction<'_>> {
        Transaction::begin(self, Kind::Recording)
    }

    /// A transaction that writes leases of credits, beside others. If its commit is not confirmed, it is not known whether
    /// it was done.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn leasing(&mut self) -> Result<Transaction<'_>> {
        Transaction::begin(self, Kind::Leasing)
    }

    /// A transaction that changes the tables.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn migrating(&mut self) -> Result<Transaction<'_>> {
        Transaction::begin(self, Kind::Migrating)
    }
}

/// A statement.
pub enum Statement<'c> {
    Sqlite(rusqlite::Statement<'c>),
    Cached(rusqlite::CachedStatement<'c>),
    Postgres(&'c Link, String),
}

impl Statement<'_> {
    /// Runs it; how many rows it has changed.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn execute(&mut self, params: impl Params) -> Result<usize> {
        let values = rusqlite::params_from_iter(params.values());
        match self {
            Statement::Sqlite(statement) => Ok(statement.execute(values)?),
            Statement::Cached(statement) => Ok(statement.execute(values)?),
            Statement::Postgres(link, sql) => link.execute(sql, &params.values()),
        }
    }

    /// Runs a query.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        let values = rusqlite::params_from_iter(params.values());
        match self {
            Statement::Sqlite(statement) => Ok(Rows::Sqlite(statement.query(values)?)),
            Statement::Cached(statement) => Ok(Rows::Sqlite(statement.query(values)?)),
            Statement::Postgres(link, sql) => Ok(Rows::of_postgres(link.query(sql, &params.values())?)),
        }
    }

    /// Reads the first row of a query.
    ///
    /// # Errors
    /// That there is none, or errors of the database.
    pub fn query_row<T>(&mut self, params: impl Params, read: impl FnOnce(Row<'_>) -> Result<T>) -> Result<T> {
        let mut rows = self.query(params)?;
        rows.next()?.map_or(Err(Error::NoRow), read)
    }

    /// The rows of a query, each read by a function.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn query_map<T, F: FnMut(Row<'_>) -> Result<T>>(
        &mut self,
        params: impl Params,
        read: F,
    ) -> Result<MappedRows<'_, F>> {
        Ok(MappedRows { rows: self.query(params)?, read })
    }

    /// Whether a query has a row.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn exists(&mut self, params: impl Params) -> Result<bool> {
        Ok(self.query(params)?.next()?.is_some())
    }
}

/// A transaction, as which the connection is used until it is over.
pub struct Transaction<'c> {
    connection: &'c Connection,
    kind: Kind,
    is_over: bool,
}

impl<'c> Transaction<'c> {
    fn begin(connection: &'c mut Connection, kind: Kind) -> Result<Transaction<'c>> {
        match &connection.0 {
            Base::Sqlite(sqlite) => sqlite.execute_batch(match kind {
                Kind::Reading => "BEGIN DEFERRED",
                Kind::Writing | Kind::Recording | Kind::Leasing | Kind::Migrating => "BEGIN IMMEDIATE",
            })?,
            Base::Postgres(link) => link.begin(kind)?,
        }
        Ok(Transaction { connection, kind, is_over: false })
    }

    /// Commits.
    ///
    /// # Errors
    /// Errors of the database: nothing was done then, unless it is in doubt.
    pub fn commit(self) -> Result<()> {
        /// What [`Kind::Recording`] leaves behind for a day.
        const RECORDED: &str = "SELECT 1 FROM recorded WHERE nonce = ?1 AND at = ?2";
        let (Base::Postgres(link), Kind::Recording) = (&self.connection.0, self.kind) else { return self.finish(None) };
        let (nonce, at) = (nonce(), unix_milliseconds());
        let values = [Value::Integer(nonce), Value::Integer(at)];
        link.execute("INSERT INTO recorded (nonce, at) VALUES (?1, ?2)", &values)?;
        self.finish(Some(Mark { query: RECORDED, values: [nonce, at] }))
    }

    /// Commits what has written a mark that no other transaction has.
    ///
    /// # Errors
    /// Those of [`Transaction::commit`].
    pub fn commit_marked(self, mark: Mark) -> Result<()> {
        self.finish(Some(mark))
    }

    fn finish(mut self, mark: Option<Mark>) -> Result<()> {
        match &self.connection.0 {
            // One that could not be committed is rolled back when this is dropped.
            Base::Sqlite(sqlite) => sqlite.execute_batch("COMMIT")?,
            Base::Postgres(link) => {
                self.is_over = true;
                match mark {
                    Some(mark) => link.commit_marked(self.kind, mark)?,
                    None => link.commit()?,
                }
            }
        }
        self.is_over = true;
        Ok(())
    }
}

/// A number that nobody else has chosen.
fn nonce() -> i64 {
    let mut bytes = [0; 8];
    // Two nodes that both had no random numbers would have to lose the same millisecond's confirmation.
    let _ = getrandom::fill(&mut bytes);
    i64::from_le_bytes(bytes)
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        match &self.connection.0 {
            Base::Sqlite(sqlite) if sqlite.is_autocommit() => {}
            Base::Sqlite(sqlite) => {
                // An error here is one of the transaction, which its statements have told.
                let _ = sqlite.execute_batch("ROLLBACK");
            }
            Base::Postgres(link) => link.roll_back(),
        }
    }
}
