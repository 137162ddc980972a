//! One transaction: its changes are recorded in the audit, marked in the change log, and become the store's next
//! version, all at once or not at all.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::act::Act;
use super::audit::{self, AuditDraft};
use super::changes::{ChangeKind, Moment};
use super::error::StoreError;
use super::randomness::{self, Randomness};
use super::sql::{Connection, Mark, OptionalExtension, Transaction, params};

/// A transaction in progress.
pub struct Writing<'c> {
    transaction: Transaction<'c>,
    act: Act,
    random: &'c mut dyn Randomness,
    dirty: BTreeSet<(ChangeKind, String)>,
    done: Vec<AuditDraft>,
}

/// The result of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    pub value: T,
    /// The store's version after it; that of the first time, if the answer is repeated.
    pub at: Moment,
    /// The operation was done before with the same key, and nothing was done now.
    pub replayed: bool,
}

/// Checks the accounts of a transaction before it is committed.
///
/// # Errors
/// Why it must not be.
pub type Check<'c> = &'c dyn Fn(&Connection, &[String]) -> Result<(), StoreError>;

impl<'c> Writing<'c> {
    /// Begins a transaction, as the only writer: on PostgreSQL the clock's row is locked from here on, so that versions
    /// are in the order of commits, and every rule is judged by what the transactions before have left.
    ///
    /// # Errors
    /// Errors of the database.
    fn begin(
        connection: &'c mut Connection,
        act: Act,
        random: &'c mut dyn Randomness,
    ) -> Result<Writing<'c>, StoreError> {
        let transaction = connection.writing()?;
        Ok(Writing { transaction, act, random, dirty: BTreeSet::new(), done: Vec::new() })
    }

    /// The database, to read and write rows.
    pub(crate) fn database(&self) -> &Connection {
        &self.transaction
    }

    /// Who does this, and when.
    pub fn act(&self) -> &Act {
        &self.act
    }

    /// The source of ids and secrets.
    pub(super) fn random(&mut self) -> &mut dyn Randomness {
        &mut *self.random
    }

    /// A new id.
    ///
    /// # Errors
    /// Those of the source of randomness.
    pub fn new_id(&mut self) -> Result<String, StoreError> {
        randomness::id(self.act.at_ms, self.random)
    }

    /// Marks something as changed.
    pub fn mark(&mut self, kind: ChangeKind, id: &str) {
        self.dirty.insert((kind, id.to_owned()));
    }

    /// Records a change in the audit. Neither state may contain a secret.
    ///
    /// # Errors
    /// That a state cannot be written.
    pub fn note(
        &mut self,
        action: &'static str,
        account: Option<&str>,
        subject: impl Into<String>,
        before: Option<&dyn Shown>,
        after: Option<&dyn Shown>,
    ) -> Result<(), StoreError> {
        let shown = |state: Option<&dyn Shown>| state.map(Shown::shown).transpose();
        self.done.push(AuditDraft {
            account_id: account.map(str::to_owned),
            action,
            subject: subject.into(),
            before_json: shown(before)?,
            after_json: shown(after)?,
        });
        Ok(())
    }

    /// Does something of which either all is done or nothing, while the transaction goes on.
    ///
    /// # Errors
    /// Those of what is done.
    pub fn attempt<T>(
        &mut self,
        operation: impl FnOnce(&mut Writing<'c>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.within(true, operation)
    }

    /// Does something to see what would become of it, and takes all of it back, while the transaction goes on.
    ///
    /// # Errors
    /// Those of what is done.
    pub fn try_out<T>(
        &mut self,
        operation: impl FnOnce(&mut Writing<'c>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.within(false, operation)
    }

    fn within<T>(
        &mut self,
        keeps: bool,
        operation: impl FnOnce(&mut Writing<'c>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (mut dirty, done) = (std::mem::take(&mut self.dirty), self.done.len());
        self.transaction.prepare_cached("SAVEPOINT attempt")?.execute(())?;
        let outcome = operation(self);
        if outcome.is_err() || !keeps {
            self.dirty.clear();
            self.done.truncate(done);
            self.transaction.prepare_cached("ROLLBACK TO attempt")?.execute(())?;
        }
        self.transaction.prepare_cached("RELEASE attempt")?.execute(())?;
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        outcome
    }

    /// Writes the audit and the change log, and increments the version.
    fn finish(self, check: Option<Check<'_>>) -> Result<Moment, StoreError> {
        let Writing { transaction, act, random, dirty, done } = self;
        if let Some(check) = check {
            let accounts: Vec<String> =
                dirty.iter().filter(|(kind, _)| *kind == ChangeKind::Account).map(|(_, id)| id.clone()).collect();
            check(&transaction, &accounts)?;
        }
        let nonce = i64::from_le_bytes(randomness::bytes::<8>(random)?);
        let step = "UPDATE store_clock SET version = version + 1, nonce = ?1 RETURNING version";
        let version: i64 = transaction.query_row(step, [nonce], |row| row.get(0))?;
        {
            let mut change = transaction
                .prepare_cached("INSERT INTO change (version, kind, id, nonce, at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
            let mut touch = transaction.prepare_cached("UPDATE account SET changed = ?2 WHERE id = ?1")?;
            for (kind, id) in &dirty {
                change.execute(params![version, kind.word(), id, nonce, act.at_ms])?;
                if *kind == ChangeKind::Account {
                    touch.execute(params![id, version])?;
                }
            }
            if dirty.is_empty() {
                // The log has every version, so that every reader finds its own.
                change.execute(params![version, ChangeKind::Nothing.word(), "", nonce, act.at_ms])?;
            }
        }
        audit::append(&transaction, &act, version, &done)?;
        let mark = Mark { query: "SELECT 1 FROM change WHERE version = ?1 AND nonce = ?2", values: [version, nonce] };
        transaction.commit_marked(mark)?;
        Ok(Moment { version, nonce })
    }
}

/// A state that the audit can show.
pub trait Shown {
    /// As JSON.
    ///
    /// # Errors
    /// That it cannot be.
    fn shown(&self) -> Result<String, StoreError>;
}

impl<T: Serialize> Shown for T {
    fn shown(&self) -> Result<String, StoreError> {
        serde_json::to_string(self)
            .map_err(|_| StoreError::Unusable { why: "a state cannot be written as JSON".to_owned() })
    }
}

/// Runs an operation in a separate transaction: it is on the disk when this returns.
///
/// # Errors
/// Those of the operation, of the check, or of the database; nothing is done then.
pub fn transact<T: Serialize + DeserializeOwned>(
    connection: &mut Connection,
    act: Act,
    random: &mut dyn Randomness,
    check: Option<Check<'_>>,
    operation: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError>,
) -> Result<Outcome<T>, StoreError> {
    let mut writing = Writing::begin(connection, act, random)?;
    let Some(idempotency) = writing.act.idempotency.clone() else {
        let value = operation(&mut writing)?;
        return Ok(Outcome { value, at: writing.finish(check)?, replayed: false });
    };
    idempotency.check()?;
    let known = "SELECT request, answer FROM idempotency WHERE scope = ?1 AND key = ?2 AND at > ?3";
    let oldest = writing.act.at_ms.saturating_sub(IDEMPOTENCY_KEPT_MS);
    let found = writing
        .transaction
        .prepare_cached(known)?
        .query_row(params![idempotency.scope, idempotency.key, oldest], |row| {
            Ok((row.get::<Vec<u8>>(0)?, row.get::<String>(1)?))
        })
        .optional()?;
    if let Some((request, answer)) = found {
        if request != idempotency.request {
            return Err(StoreError::KeyReused);
        }
        let damaged = |_| StoreError::corrupted("idempotency", "", "its answer is no answer of this operation");
        let value = serde_json::from_str(&answer).map_err(damaged)?;
        let at = super::changes::moment(&writing.transaction)?;
        return Ok(Outcome { value, at, replayed: true });
    }
    let value = operation(&mut writing)?;
    let keep = "INSERT INTO idempotency (scope, key, request, answer, at) VALUES (?1, ?2, ?3, ?4, ?5) \
                ON CONFLICT (scope, key) DO UPDATE SET request = excluded.request, answer = excluded.answer, at = excluded.at";
    writing.transaction.prepare_cached(keep)?.execute(params![
        idempotency.scope,
        idempotency.key,
        idempotency.request.as_slice(),
        value.shown()?,
        writing.act.at_ms,
    ])?;
    Ok(Outcome { value, at: writing.finish(check)?, replayed: false })
}

/// How long the answer of an operation with a key is stored.
pub const IDEMPOTENCY_KEPT_MS: i64 = 48 * 3600 * 1000;

/// Compares the version that a caller has seen with the current one.
///
/// # Errors
/// That they differ, with the newer state.
pub(super) fn expect<T: Serialize>(
    what: &'static str,
    expected: Option<i64>,
    row_version: i64,
    newer: &T,
) -> Result<(), StoreError> {
    if expected.is_none_or(|expected| expected == row_version) {
        return Ok(());
    }
    let newer = serde_json::to_value(newer).unwrap_or(Value::Null);
    Err(StoreError::Conflict { what, row_version, newer: Box::new(newer) })
}
