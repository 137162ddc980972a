//! A connection to PostgreSQL that is made again when it was lost.
//!
//! Outside a transaction a new connection takes the place of one that is gone. Inside, everything fails until the
//! transaction is over. Each statement is one round trip and leaves nothing behind in the session, so that a pooler may
//! give the next transaction another server connection.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql as PostgresToSql;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::dialect::for_postgres;
use super::error::{Error, PostgresFault, Result};
use super::session::Session;
use super::settings::PostgresSettings;
use super::value::Value;

/// After how long without use it is asked whether the server is still there, before anything depends on it.
const STALE: Duration = Duration::from_secs(1);

/// How long the server may take to say that it is still there.
const STILL_THERE: Duration = Duration::from_secs(3);

/// How often a transaction that others were faster than is begun again.
const RACES: u32 = 5;

/// A kind of transaction: what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads one consistent state.
    Reading,
    /// Writes rows that are part of the store's history, one transaction after the other: the rules of operations
    /// (limits, the last owner, the chain of the audit) are those of a single writer, and versions are in the order of
    /// commits.
    Writing,
    /// Writes what is not part of it, such as usage, one transaction after the other as well.
    Recording,
    /// Writes leases of credits, beside other transactions that do: each locks the rows that it decides by. It is on the
    /// disk when it is committed, even where the server is set to answer earlier.
    Leasing,
    /// Changes the tables themselves.
    Migrating,
}

impl Kind {
    /// The limits of time are for this transaction alone. The clock's row is locked from the beginning to the end, so
    /// that whoever waits for it knows how the transactions before have ended.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Kind::Reading => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '60s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '600s'"
            }
            Kind::Writing => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '5s'; \
                 SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '60s'; \
                 SELECT 1 FROM store_clock FOR UPDATE"
            }
            Kind::Recording => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '5s'; \
                 SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '60s'; \
                 SELECT 1 FROM store_recording FOR UPDATE"
            }
            Kind::Leasing => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '3s'; \
                 SET LOCAL statement_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '10s'; \
                 SELECT set_config('synchronous_commit', 'on', true) \
                 WHERE current_setting('synchronous_commit') = 'off'"
            }
            Kind::Migrating => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(1952937844)"
            }
        }
    }

    /// How long a statement is waited for: longer than the server lets it run, unless the server stands still.
    const fn limit(self) -> Duration {
        match self {
            Kind::Reading => Duration::from_secs(65),
            Kind::Writing | Kind::Recording => Duration::from_secs(35),
            Kind::Leasing => Duration::from_secs(5),
            // Who waits for the lock waits for another one that migrates.
            Kind::Migrating => Duration::from_secs(600),
        }
    }
}

/// The same for a statement outside a transaction, each of which reads or writes a few rows.
const ALONE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    InTransaction,
    /// A statement of the transaction has failed: it can only be rolled back, or back to a savepoint.
    Failed,
}

/// A connection to PostgreSQL.
pub struct Link {
    settings: Arc<PostgresSettings>,
    session: RefCell<Option<Session>>,
    /// How long a statement is waited for.
    limit: Cell<Duration>,
    used: Cell<Instant>,
    state: Cell<State>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// That the server is away or refuses.
    pub(super) fn open(settings: Arc<PostgresSettings>) -> Result<Link> {
        let session = connect(&settings)?;
        Ok(Link {
            settings,
            session: RefCell::new(Some(session)),
            limit: Cell::new(ALONE),
            used: Cell::new(Instant::now()),
            state: Cell::new(State::Idle),
        })
    }

    /// Runs a statement; how many rows it has changed.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize> {
        let sql = for_postgres(sql);
        let changed = self.ask(async |client| client.execute_typed(&sql, &typed(values)).await)?;
        if self.state.get() == State::Failed && sql.starts_with("ROLLBACK TO") {
            self.state.set(State::InTransaction);
        }
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Runs a query.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>> {
        let sql = for_postgres(sql);
        self.ask(async |client| client.query_typed(&sql, &typed(values)).await)
    }

    /// Runs statements without values.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        self.ask(async |client| client.batch_execute(sql).await)
    }

    /// Begins a transaction; once more if the connection was lost since it was used last, or others were faster.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) fn begin(&self, kind: Kind) -> Result<()> {
        let mut may_connect = true;
        for _ in 0..RACES {
            if self.session.borrow().is_none() {
                self.connect()?;
                may_connect = false;
            }
            self.state.set(State::InTransaction);
            self.limit.set(kind.limit());
            let begun = self.ask(async |client| client.batch_execute(kind.begin()).await);
            let Err(error) = begun else { return Ok(()) };
            self.roll_back();
            if !(error.is_raced() || (error.is_lost() && std::mem::take(&mut may_connect))) {
                return Err(error);
            }
        }
        Err(Error::Postgres(PostgresFault::answered("40001")))
    }

    /// Commits.
    ///
    /// # Errors
    /// Errors of the database. A lost connection leaves it open whether it was done.
    pub(super) fn commit(&self) -> Result<()> {
        // A server answers that it has committed when it has rolled back.
        if self.state.get() == State::Failed {
            self.roll_back();
            return Err(Error::Postgres(PostgresFault::answered("25P02")));
        }
        let committed = self.ask(async |client| client.batch_execute("COMMIT").await);
        self.be_idle();
        committed
    }

    /// Takes back what was done in the transaction.
    pub(super) fn roll_back(&self) {
        if self.session.borrow().is_some() && self.ask(async |client| client.batch_execute("ROLLBACK").await).is_err() {
            self.drop_session();
        }
        self.be_idle();
    }

    fn be_idle(&self) {
        self.state.set(State::Idle);
        self.limit.set(ALONE);
    }

    /// Connects anew.
    ///
    /// # Errors
    /// That the server is away or refuses.
    pub(super) fn connect(&self) -> Result<()> {
        self.drop_session();
        let session = connect(&self.settings)?;
        self.session.replace(Some(session));
        self.used.set(Instant::now());
        Ok(())
    }

    fn ask<T: Send>(
        &self,
        ask: impl AsyncFnOnce(&Client) -> std::result::Result<T, tokio_postgres::Error> + Send,
    ) -> Result<T> {
        if self.state.get() == State::Idle {
            self.be_connected()?;
        }
        let (begun, limit) = (Instant::now(), self.limit.get());
        let answered = match self.session.borrow().as_ref() {
            Some(session) => session.ask(limit, ask),
            None => Err(Error::Postgres(PostgresFault::LOST)),
        };
        self.used.set(Instant::now());
        if let Err(error) = &answered {
            if error.is_lost() {
                if begun.elapsed() >= limit {
                    tell(format!("{}: it has not answered for {} s", self.settings, limit.as_secs()));
                }
                self.drop_session();
            }
            if self.state.get() == State::InTransaction {
                self.state.set(State::Failed);
            }
        }
        answered
    }

    /// Makes sure outside a transaction that somebody is there.
    fn be_connected(&self) -> Result<()> {
        let is_there = match self.session.borrow().as_ref() {
            None => false,
            Some(session) if self.used.get().elapsed() < STALE => !session.is_closed(),
            Some(session) => session.ask(STILL_THERE, async |client| client.check_connection().await).is_ok(),
        };
        if is_there { Ok(()) } else { self.connect() }
    }

    fn drop_session(&self) {
        drop(self.session.take());
    }
}

/// A new connection.
///
/// # Errors
/// That the server is away or refuses; why is logged, since no message of the store has the words of others.
pub(super) fn connect(settings: &PostgresSettings) -> Result<Session> {
    Session::open(settings).map_err(|(error, why)| {
        tell(format!("{settings}: {why}"));
        error
    })
}

/// Logs why a database cannot be reached: anything new at once, and the same again after a minute.
fn tell(why: String) {
    const AGAIN: Duration = Duration::from_secs(60);
    static TOLD: Mutex<Option<(String, Instant)>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.as_ref().is_none_or(|(before, at)| *before != why || at.elapsed() > AGAIN) {
        log::warn!(target: "tollgate::store", "the database cannot be reached: {why}");
        *told = Some((why, Instant::now()));
    }
}

fn typed<'v>(values: &'v [Value<'v>]) -> Vec<(&'v (dyn PostgresToSql + Sync), Type)> {
    values.iter().map(|value| (value as &(dyn PostgresToSql + Sync), value.postgres_type())).collect()
}
