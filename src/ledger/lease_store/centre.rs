//! The transactions of the protocol.

use std::collections::BTreeSet;

use super::load::{Lock, Part};
use super::names::OwnerNames;
use crate::ledger::lease::centre::Centre;
use crate::ledger::lease::message::{Answer, Body, Counters, Fence, Heartbeats, Key, NodeId, Request};
use crate::ledger::lease::terms::Terms;
use crate::ledger::store::sql::{Engine, Error, Result};
use crate::ledger::store::{Connection, StoreError};

/// How often a transaction that found others in its way is done, in all.
const ATTEMPTS: u32 = 5;

/// The centre, over a connection of its own. Nonces are arguments, each a random number that is used once.
pub struct LeaseStore {
    connection: Connection,
    /// What people know this gateway by.
    name: String,
    terms: Terms,
    names: OwnerNames,
}

impl LeaseStore {
    /// The centre in a database whose tables are there.
    ///
    /// # Errors
    /// That it is a file, which no gateways share.
    pub fn new(connection: Connection, name: &str, terms: Terms) -> std::result::Result<LeaseStore, StoreError> {
        if connection.engine() != Engine::Postgres {
            let why = "credits are shared in PostgreSQL alone; give the store one".to_owned();
            return Err(StoreError::Unusable { why });
        }
        Ok(LeaseStore { connection, name: name.to_owned(), terms, names: OwnerNames::default() })
    }

    /// Has other terms from here on.
    pub fn agree_on(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// The names of the keys in messages.
    pub fn names(&mut self) -> &mut OwnerNames {
        &mut self.names
    }

    /// Does what a request asks for.
    ///
    /// # Errors
    /// Errors of the database. Whether it was done is then unknown, as if the answer had been lost on its way.
    pub fn serve(&mut self, request: &Request, nonce: u64) -> std::result::Result<Answer, StoreError> {
        let (id, name, terms) = (request.identity.id, self.name.clone(), self.terms);
        self.transact(|database, names| {
            let mut part = Part::begin(database, names, Some(id))?;
            part.load(id, &request.body)?;
            let before = part.centre.clone();
            let answer = part.centre.serve(request, nonce, &terms);
            part.save(&before, Some(id), &name)?;
            Ok(answer)
        })
    }

    /// The heartbeats of all identities that have not ended, for a janitor.
    ///
    /// # Errors
    /// Errors of the database: the janitor has lost contact.
    pub fn heartbeats(&mut self, nonce: u64) -> std::result::Result<Heartbeats, StoreError> {
        let terms = self.terms;
        self.transact(|database, names| {
            let mut part = Part::begin(database, names, None)?;
            let before = part.centre.clone();
            let heartbeats = part.centre.heartbeats(nonce, &terms);
            part.save(&before, None, "")?;
            Ok(heartbeats)
        })
    }

    /// Ends an identity whose heartbeat is still the one that the janitor has counted. Returns whether it was ended.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn fence(&mut self, fence: &Fence, nonce: u64) -> std::result::Result<bool, StoreError> {
        let terms = self.terms;
        self.transact(|database, names| {
            let mut part = Part::begin(database, names, Some(fence.id))?;
            part.load_all(fence.id, &BTreeSet::new(), Lock::Keep)?;
            let before = part.centre.clone();
            let is_ended = part.centre.fence(fence, nonce, &terms);
            part.save(&before, Some(fence.id), "")?;
            Ok(is_ended)
        })
    }

    /// The keys that an identity is asked to return, in no order.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn recalled(&mut self, id: NodeId) -> std::result::Result<Vec<Key>, StoreError> {
        self.transact(|database, names| {
            let mut part = Part { database, names, centre: Centre::default(), history: String::new() };
            part.recalls_of(id)?;
            Ok(part.centre.recalled(id).collect())
        })
    }

    /// Runs a transaction, once more where others were in its way.
    pub(super) fn transact<T>(
        &mut self,
        mut run: impl FnMut(&Connection, &mut OwnerNames) -> Result<T>,
    ) -> std::result::Result<T, StoreError> {
        let mut attempts = 1;
        loop {
            match self.attempt(&mut run) {
                Err(error) if attempts < ATTEMPTS && is_in_the_way(&error) => attempts += 1,
                done => return Ok(done?),
            }
        }
    }

    fn attempt<T>(&mut self, run: &mut impl FnMut(&Connection, &mut OwnerNames) -> Result<T>) -> Result<T> {
        let transaction = self.connection.leasing()?;
        let done = run(&transaction, &mut self.names)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// Whether others were in the way of a transaction, which has done nothing: a conflict, a deadlock, or a row that was
/// added meanwhile.
fn is_in_the_way(error: &Error) -> bool {
    const UNIQUE_VIOLATION: &str = "23505";
    let is_there =
        matches!(error, Error::Postgres(fault) if fault.code.is_some_and(|code| code.word() == UNIQUE_VIOLATION));
    error.is_raced() || is_there
}

impl Part<'_> {
    /// Reads what a request is about.
    fn load(&mut self, id: NodeId, body: &Body) -> Result<()> {
        let keys = |leases: &[(Key, Counters)]| leases.iter().map(|(key, _)| *key).collect::<BTreeSet<Key>>();
        match body {
            Body::Join => Ok(()),
            Body::Report { leases, answered, all: false, .. } => {
                let reported = keys(leases);
                self.own_leases(&reported, id)?;
                // Only what is answered ends.
                if !answered.is_empty() {
                    self.recalls_of(id)?;
                }
                self.balances(&self.quotas(&reported), Lock::Keep)
            }
            Body::Report { leases, .. } | Body::Declare(leases) => {
                self.leases_of(id)?;
                self.recalls_of(id)?;
                self.balances(&self.quotas(&keys(leases)), Lock::Keep)
            }
            Body::Acquire(asks) => {
                let asked = asks.iter().map(|ask| ask.key).collect();
                self.balances(&asked, Lock::Decide)?;
                self.leases_for(&asked, id)?;
                self.recalls_for(&asked)
            }
            Body::Retire(leases) => self.load_all(id, &keys(leases), Lock::Keep),
            Body::Late(leases) => self.load_all(id, &keys(leases), Lock::Decide),
        }
    }

    /// Everything of an identity, the balances of these keys if it is decided by them, and those of quotas.
    fn load_all(&mut self, id: NodeId, keys: &BTreeSet<Key>, lock: Lock) -> Result<()> {
        self.leases_of(id)?;
        self.recalls_of(id)?;
        self.unpaid_of(id)?;
        let quotas = self.quotas(keys);
        match lock {
            Lock::Decide => self.balances(&(keys | &quotas), Lock::Decide),
            Lock::Keep => self.balances(&quotas, Lock::Keep),
        }
    }
}
