//! The thread that drives the leases of a gateway: it asks the driver what to do, and does it with the database and with
//! the ledger. Requests that are short of credits wait for its verdict.
//!
//! It ends when it was told to and its identity is over, or, as in a crash, when nobody can tell it anything any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Ledger;
use super::lease::driver::{Driver, Next, Verdict};
use super::lease::message::{Answer, Counters, Key, NodeId, Outcome};
use super::lease::node::{Node, Record, State};
use super::lease::terms::{Terms, Time};
use super::lease_balances::LedgerBalances;
use super::lease_journal::JournalRecord;
use super::lease_order::LeaseOrder;
use super::lease_store::centre::LeaseStore;
use super::store::StoreError;
use super::store::randomness::{self, SystemRandomness};
use crate::platform::clock::boot_milliseconds;

/// How often the journal is read for what was spent, in milliseconds.
const REFRESH: Time = 1_000;

/// The most requests that wait for credits at once. More are told that it cannot be found out.
const MOST_WAITING: usize = 10_000;

/// The thread's own.
pub struct LeaseTask {
    store: LeaseStore,
    driver: Driver,
    balances: LedgerBalances,
    orders: Receiver<LeaseOrder>,
    waiting: BTreeMap<Key, Vec<oneshot::Sender<Verdict>>>,
    ending: Option<SyncSender<()>>,
    refreshed: Time,
    /// What has failed last, so that it is logged once.
    failure: Option<StoreError>,
}

impl LeaseTask {
    /// Begins an identity, or ends the one that the journal has first. `until` is set to the time until which requests
    /// may hold credits, in [`boot_milliseconds`].
    ///
    /// # Errors
    /// That the database is a file, or the ledger cannot be used or has credits of its own.
    pub fn open(
        ledger: Arc<Ledger>,
        mut store: LeaseStore,
        terms: Terms,
        until: Arc<AtomicU64>,
        orders: Receiver<LeaseOrder>,
    ) -> Result<LeaseTask, StoreError> {
        let unusable = |why: String| StoreError::Unusable { why };
        let opened = LedgerBalances::open(ledger, store.names(), until);
        let (mut balances, record) = opened.map_err(|refusal| unusable(refusal.to_string()))?;
        let now = boot_milliseconds();
        let node = match record {
            Some(record) => Node::from_journal(&of_journal(&record, &mut store), now, &terms),
            None => {
                let id = NodeId(random()?);
                balances.take_identity(id).map_err(|refusal| unusable(refusal.to_string()))?;
                Node::new(id, now)
            }
        };
        let driver = Driver::new(node, terms, now);
        let (waiting, ending, failure) = (BTreeMap::new(), None, None);
        Ok(LeaseTask { store, driver, balances, orders, waiting, ending, refreshed: now, failure })
    }

    /// Runs until the end.
    pub fn run(mut self) {
        while self.step() {
            self.tell();
        }
        if let Some(ending) = self.ending.take() {
            // Nobody may wait any more.
            let _ = ending.send(());
        }
    }

    /// One step. Returns whether there are more.
    fn step(&mut self) -> bool {
        let now = boot_milliseconds();
        let ends = self.ending.is_some() || self.driver.node().state >= State::Expired;
        if ends || now >= self.refreshed + REFRESH {
            self.refreshed = now;
            self.balances.refresh();
        }
        match self.driver.next(now, &mut self.balances) {
            Next::Wait(until) => return self.wait(until.saturating_sub(now)),
            Next::Begin if self.ending.is_some() => return false,
            Next::Begin => match random() {
                Ok(id) => self.driver.begin(NodeId(id), now, &mut self.balances),
                Err(error) => self.failed(error),
            },
            Next::Send(request) => {
                let answer = random().and_then(|nonce| self.store.serve(&request, nonce));
                self.done(answer, |task, answer| task.answered(&answer));
            }
            Next::Recalls(id) => {
                let keys = self.store.recalled(id);
                self.done(keys, |task, keys| task.driver.recalled(&keys, &mut task.balances));
            }
            Next::Look => {
                let heartbeats = random().and_then(|nonce| self.store.heartbeats(nonce));
                self.done(heartbeats, |task, heartbeats| task.driver.looked(&heartbeats, boot_milliseconds()));
            }
            Next::Fence(fence) => {
                let fenced = random().and_then(|nonce| self.store.fence(&fence, nonce));
                self.done(fenced, |_, fenced| {
                    if fenced {
                        log::warn!(target: "tollgate::leases", "a gateway was silent for too long: its credits are released");
                    }
                });
            }
        }
        true
    }

    /// Waits for a while, or for an order.
    fn wait(&mut self, milliseconds: Time) -> bool {
        self.tell();
        match self.orders.recv_timeout(Duration::from_millis(milliseconds.max(1))) {
            Ok(order) => {
                self.take(order);
                while let Ok(order) = self.orders.try_recv() {
                    self.take(order);
                }
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn take(&mut self, order: LeaseOrder) {
        match order {
            LeaseOrder::Short(account, credits, told) => {
                let waiting: usize = self.waiting.values().map(Vec::len).sum();
                let (account, product) = account.key();
                match self.store.names().number(account, product) {
                    Some(owner) if waiting < MOST_WAITING => {
                        let key = Key { owner, period: 0 };
                        self.balances.know(key, self.store.names());
                        self.driver.short(key, credits.into(), boot_milliseconds());
                        self.waiting.entry(key).or_default().push(told);
                    }
                    // A request that is gone does not wait any more, here and below.
                    Some(_) | None => {
                        let _ = told.send(Verdict::Unavailable);
                    }
                }
            }
            LeaseOrder::End(ending) => {
                self.driver.drain();
                self.ending = Some(ending);
            }
        }
    }

    /// Tells requests what they wait for.
    fn tell(&mut self) {
        for (key, verdict) in self.driver.verdicts() {
            for told in self.waiting.remove(&key).unwrap_or_default() {
                let _ = told.send(verdict);
            }
        }
    }

    fn answered(&mut self, answer: &Answer) {
        let keys: Vec<Key> = match &answer.result {
            Ok(Outcome::Acquired(acquired)) => acquired.iter().map(|one| one.key).collect(),
            Ok(Outcome::Reported(rows) | Outcome::Declared(rows)) => rows.iter().map(|(key, _)| *key).collect(),
            Ok(Outcome::Joined(_) | Outcome::Ended { .. }) | Err(_) => Vec::new(),
        };
        for key in keys {
            self.balances.know(key, self.store.names());
        }
        self.driver.answered(answer, boot_milliseconds(), &mut self.balances);
    }

    fn done<T>(&mut self, outcome: Result<T, StoreError>, take: impl FnOnce(&mut LeaseTask, T)) {
        match outcome {
            Ok(value) => {
                if self.failure.take().is_some() {
                    log::info!(target: "tollgate::leases", "the database of credits can be reached again");
                }
                take(self, value);
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: StoreError) {
        if self.failure.as_ref() != Some(&error) {
            log::error!(target: "tollgate::leases", "the database of credits: {error}; what is on lease is sold meanwhile");
        }
        self.failure = Some(error);
        self.driver.failed(boot_milliseconds());
    }
}

/// What the journal has, with the keys of this process.
fn of_journal(record: &JournalRecord, store: &mut LeaseStore) -> Record {
    let names = store.names();
    let mut key = |account: &str, product: &str| names.number(account, product).map(|owner| Key { owner, period: 0 });
    let keyed = record.leases.iter().filter_map(|lease| Some((key(&lease.account, &lease.product)?, lease.counters)));
    let leases: BTreeMap<Key, Counters> = keyed.collect();
    Record { identity: record.identity, leases: leases.into_iter().collect() }
}

/// A random number.
fn random() -> Result<u64, StoreError> {
    randomness::bytes::<8>(&mut SystemRandomness).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests;
