//! The thread that drives the leases of a gateway: it asks the driver what to do, and does it with the database and with
//! the ledger. Requests that are short of credits wait for its verdict, and operators for their grants.
//!
//! It ends when it was told to and its identity is over, when the next process takes over, or, as in a crash, when nobody can
//! tell it anything any more.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Ledger;
use super::batch::address;
use super::lease::driver::{Driver, Next, Verdict};
use super::lease::message::{Answer, Body, Counters, Key, NodeId, Outcome, Refusal as NodeRefusal};
use super::lease::node::{Node, Record, State, TakenOver};
use super::lease::terms::{Terms, Time};
use super::lease_balances::LedgerBalances;
use super::lease_journal::JournalRecord;
use super::lease_order::{LeaseHandover, LeaseOrder};
use super::lease_store::centre::LeaseStore;
use super::lease_store::grants::{Change, Outcome as ChangeOutcome};
use super::leases::LeaseFigures;
use super::question::{Corrected, Correction, Refusal};
use super::store::StoreError;
use super::store::randomness::{self, SystemRandomness};
use crate::platform::clock::{boot_milliseconds, unix_milliseconds};
use crate::policy::credits::CreditAccount;

/// How often the journal is read for what was spent, in milliseconds.
const REFRESH: Time = 1_000;

/// The most requests that wait for credits at once. More are told that it cannot be found out.
const MOST_WAITING: usize = 10_000;

/// The most orders that are taken between two messages.
const ORDERS_AT_ONCE: usize = 200;

/// The most first grants that are sent together.
const FIRST_GRANTS_AT_ONCE: usize = 500;

/// The pause after first grants that could not be sent, in milliseconds.
const FIRST_GRANTS_AGAIN: Time = 2_000;

/// How often it is tried to take back credits that gateways were asked to return, and how long, in milliseconds.
const CORRECTION_AGAIN: Time = 200;
const CORRECTION_PATIENCE: Time = 3_000;

/// An operator's change that waits for credits that gateways were asked to return.
struct PendingCorrection {
    correction: Correction,
    told: oneshot::Sender<Result<Corrected, Refusal>>,
    since: Time,
    again_at: Time,
}

/// Accounts that may still have to be granted their first credits.
#[derive(Default)]
struct FirstGrants {
    due: Vec<Arc<CreditAccount>>,
    /// The same by their addresses.
    addresses: HashSet<usize>,
    again_at: Time,
}

/// The thread's own.
pub struct LeaseTask {
    store: LeaseStore,
    driver: Driver,
    balances: LedgerBalances,
    figures: Arc<LeaseFigures>,
    waiting: BTreeMap<Key, Vec<oneshot::Sender<Verdict>>>,
    first: FirstGrants,
    corrections: Vec<PendingCorrection>,
    ending: Option<SyncSender<()>>,
    handing_over: Option<SyncSender<Option<LeaseHandover>>>,
    refreshed: Time,
    /// What has failed last, so that it is logged once.
    failure: Option<StoreError>,
}

impl LeaseTask {
    /// Begins an identity, goes on with that of the process before, or ends the one that the journal has first. `until` is
    /// set to the time until which requests may hold credits, in [`boot_milliseconds`].
    ///
    /// # Errors
    /// That the database is a file, or the ledger cannot be used or has credits of its own.
    pub fn open(
        ledger: &Arc<Ledger>,
        mut store: LeaseStore,
        terms: Terms,
        (until, figures): (&Arc<AtomicU64>, &Arc<LeaseFigures>),
    ) -> Result<LeaseTask, StoreError> {
        let unusable = |refusal: Refusal| StoreError::Unusable { why: refusal.to_string() };
        let opened = LedgerBalances::open(Arc::clone(ledger), store.names(), Arc::clone(until));
        let (mut balances, record) = opened.map_err(unusable)?;
        let now = boot_milliseconds();
        let record = record.map(|record| of_journal(&record, &mut store));
        let node = match (record, ledger.lease_handover()) {
            (Some(record), Some(told)) => {
                let node = Node::taken_over(&record, told.into(), now, &terms);
                balances.go_on_with(node.identity).map_err(unusable)?;
                node
            }
            (Some(record), None) => Node::from_journal(&record, now, &terms),
            (None, _) => {
                let id = NodeId(random()?);
                balances.take_identity(id).map_err(unusable)?;
                figures.identities.inc();
                Node::new(id, now)
            }
        };
        Ok(LeaseTask {
            store,
            driver: Driver::new(node, terms, now),
            balances,
            figures: Arc::clone(figures),
            waiting: BTreeMap::new(),
            first: FirstGrants::default(),
            corrections: Vec::new(),
            ending: None,
            handing_over: None,
            refreshed: now,
            failure: None,
        })
    }

    /// Grants these accounts what is written of them, unless that was done, as soon as it can be.
    pub fn first(&mut self, accounts: impl IntoIterator<Item = Arc<CreditAccount>>) {
        for account in accounts {
            if account.first_grant > 0 && self.first.addresses.insert(address(&account)) {
                self.first.due.push(account);
            }
        }
    }

    /// Runs until the end.
    pub fn run(mut self, orders: &Receiver<LeaseOrder>) {
        while self.step(orders) {
            self.tell();
        }
        for told in std::mem::take(&mut self.waiting).into_values().flatten() {
            // The process that takes over can be asked.
            drop(told);
        }
        if let Some(told) = self.handing_over.take() {
            let _ = told.send(self.driver.handover().map(handover));
        }
        if let Some(ending) = self.ending.take() {
            // Nobody may wait any more.
            let _ = ending.send(());
        }
    }

    /// One step. Returns whether there are more.
    fn step(&mut self, orders: &Receiver<LeaseOrder>) -> bool {
        if self.handing_over.is_some() {
            return false;
        }
        let now = boot_milliseconds();
        if self.balances.may_sell(now) {
            self.figures.has_sold.store(true, Ordering::Relaxed);
        }
        let ends = self.ending.is_some() || self.driver.node().state >= State::Expired;
        if ends || now >= self.refreshed + REFRESH {
            self.refreshed = now;
            self.balances.refresh();
        }
        self.correct_again(now);
        self.grant_first(now);
        match self.driver.next(now, &mut self.balances) {
            Next::Wait(until) => {
                let until = self.wake_at(until, now);
                return self.wait(orders, until.saturating_sub(now));
            }
            Next::Begin if self.ending.is_some() => return false,
            Next::Begin => match random() {
                Ok(id) => {
                    self.figures.identities.inc();
                    self.driver.begin(NodeId(id), now, &mut self.balances);
                }
                Err(error) => self.failed(error),
            },
            Next::Send(request) => {
                let is_report = matches!(request.body, Body::Report { .. });
                if matches!(request.body, Body::Acquire(_)) {
                    self.figures.acquisitions.inc();
                }
                let keys = keys_of(&request.body);
                let answer = random().and_then(|nonce| self.store.serve(&request, nonce));
                self.done(answer, |task, answer| {
                    task.figures.reports.inc_by(u64::from(is_report));
                    task.answered(&answer);
                    // The next message finds out what has failed.
                    let _ = task.show(&keys);
                });
            }
            Next::Recalls(id) => {
                let keys = self.store.recalled(id);
                self.done(keys, |task, keys| {
                    task.figures.recalls.inc_by(u64::try_from(keys.len()).unwrap_or(u64::MAX));
                    task.driver.recalled(&keys, &mut task.balances);
                });
            }
            Next::Look => {
                let heartbeats = random().and_then(|nonce| self.store.heartbeats(nonce));
                self.done(heartbeats, |task, heartbeats| {
                    task.driver.looked(&heartbeats, boot_milliseconds());
                    task.look_at_epoch();
                });
            }
            Next::Fence(fence) => {
                let fenced = random().and_then(|nonce| self.store.fence(&fence, nonce));
                self.done(fenced, |task, fenced| {
                    if fenced {
                        task.figures.fences.inc();
                        log::warn!(target: "tollgate::leases", "a gateway was silent for too long: its credits are released");
                    }
                });
            }
        }
        // Whoever asks does not wait for everything that can be done meanwhile.
        self.take_some(orders, None);
        true
    }

    /// Takes orders that are there: so many that heartbeats are not late, however many there are.
    fn take_some(&mut self, orders: &Receiver<LeaseOrder>, first: Option<LeaseOrder>) {
        let mut looks = Vec::new();
        for order in first.into_iter().chain(std::iter::from_fn(|| orders.try_recv().ok())).take(ORDERS_AT_ONCE) {
            match order {
                // Whoever has asked and is gone needs no answer, here and below.
                LeaseOrder::Look(_, told) if told.is_closed() => {}
                LeaseOrder::Look(accounts, told) => looks.push((accounts, told)),
                order => self.take(order),
            }
        }
        if looks.is_empty() {
            return;
        }
        let all: Vec<Arc<CreditAccount>> = looks.iter().flat_map(|(accounts, _)| accounts.iter().cloned()).collect();
        // A database that does not answer is not asked once more for each.
        let looked = if self.failure.is_some() { Err(Refusal::Unavailable) } else { self.look(&all) };
        for (_, told) in looks {
            let _ = told.send(looked);
        }
    }

    /// When something is to be done, at the latest.
    fn wake_at(&self, until: Time, now: Time) -> Time {
        let corrections = self.corrections.iter().map(|pending| pending.again_at);
        let first = (!self.first.due.is_empty()).then_some(self.first.again_at.max(now));
        corrections.chain(first).fold(until, Time::min)
    }

    /// Waits for a while, or for an order.
    fn wait(&mut self, orders: &Receiver<LeaseOrder>, milliseconds: Time) -> bool {
        self.tell();
        match orders.recv_timeout(Duration::from_millis(milliseconds.max(1))) {
            Ok(order) => {
                self.take_some(orders, Some(order));
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn take(&mut self, order: LeaseOrder) {
        match order {
            LeaseOrder::Short(account, credits, told) => self.short(&account, credits, told),
            LeaseOrder::First(accounts) => self.first(accounts),
            LeaseOrder::Correct(correction, told) => {
                let now = boot_milliseconds();
                self.corrections.push(PendingCorrection { correction, told, since: now, again_at: now });
            }
            LeaseOrder::Look(accounts, told) => drop(told.send(self.look(&accounts))),
            LeaseOrder::Page(_, told) if told.is_closed() => {}
            LeaseOrder::Page(page, told) => {
                let entries = self.store.entries(&page);
                let _ = told.send(entries.map_err(unavailable));
            }
            LeaseOrder::LongestRequest(time) => {
                let terms = self.driver.allow(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                self.store.agree_on(terms);
            }
            LeaseOrder::HandOver(told) => self.handing_over = Some(told),
            LeaseOrder::End(ending) => {
                self.driver.drain();
                self.ending = Some(ending);
            }
        }
    }

    /// A request is short of credits.
    fn short(&mut self, account: &Arc<CreditAccount>, credits: u32, told: oneshot::Sender<Verdict>) {
        let waiting: usize = self.waiting.values().map(Vec::len).sum();
        let key = self.key(account).filter(|_| waiting < MOST_WAITING);
        let is_granted = !self.first.addresses.contains(&address(account)) || self.grant_first_of(account);
        match key.filter(|_| is_granted) {
            Some(key) => {
                self.driver.short(key, credits.into(), boot_milliseconds());
                self.waiting.entry(key).or_default().push(told);
            }
            // A request that is gone does not wait any more, here and below.
            None => drop(told.send(Verdict::Unavailable)),
        }
    }

    /// The key of an account, which is known from here on.
    fn key(&mut self, account: &Arc<CreditAccount>) -> Option<Key> {
        let (name, product) = account.key();
        let key = Key { owner: self.store.names().number(name, product)?, period: 0 };
        self.balances.know(key, self.store.names());
        Some(key)
    }

    /// Sends some first grants.
    fn grant_first(&mut self, now: Time) {
        if self.first.due.is_empty() || now < self.first.again_at {
            return;
        }
        let begin = self.first.due.len().saturating_sub(FIRST_GRANTS_AT_ONCE);
        let some = self.first.due.split_off(begin);
        match self.store.first_grants(&some, unix_milliseconds()) {
            Ok(()) => {
                for account in &some {
                    self.first.addresses.remove(&address(account));
                }
            }
            Err(error) => {
                self.first.due.extend(some);
                self.first_grants_failed(error, now);
            }
        }
    }

    /// Sends the first grant of an account that a request waits for. Returns whether it is there.
    fn grant_first_of(&mut self, account: &Arc<CreditAccount>) -> bool {
        let now = boot_milliseconds();
        if now < self.first.again_at {
            return false;
        }
        let granted = self.store.first_grants(&[Arc::clone(account)], unix_milliseconds());
        if let Err(error) = granted {
            self.first_grants_failed(error, now);
            return false;
        }
        self.first.addresses.remove(&address(account));
        self.first.due.retain(|due| !Arc::ptr_eq(due, account));
        true
    }

    /// They are tried again. What is on lease, and what was counted of others, is not concerned.
    fn first_grants_failed(&mut self, error: StoreError, now: Time) {
        self.first.again_at = now + FIRST_GRANTS_AGAIN;
        if self.failure.as_ref() != Some(&error) {
            log::error!(target: "tollgate::leases", "what is written of accounts cannot be granted yet: {error}");
            self.failure = Some(error);
        }
    }

    /// Makes operators' changes, and those once more that waited for what gateways return.
    fn correct_again(&mut self, now: Time) {
        let (due, later) = std::mem::take(&mut self.corrections).into_iter().partition(|one| one.again_at <= now);
        self.corrections = later;
        let due: Vec<PendingCorrection> = due;
        for pending in due {
            let patience_is_over = now >= pending.since + CORRECTION_PATIENCE;
            match self.correct(&pending.correction) {
                Err(Refusal::TooLittle) if !patience_is_over => {
                    self.corrections.push(PendingCorrection { again_at: now + CORRECTION_AGAIN, ..pending });
                }
                outcome => drop(pending.told.send(outcome)),
            }
        }
    }

    fn correct(&mut self, correction: &Correction) -> Result<Corrected, Refusal> {
        let account = &correction.credit_account;
        if self.first.addresses.contains(&address(account)) && !self.grant_first_of(account) {
            return Err(Refusal::Unavailable);
        }
        let ((name, product), Correction { kind, amount, key, by, why, .. }) = (account.key(), correction);
        let at_ms = unix_milliseconds();
        let change = Change { account: name, product, kind: *kind, amount: *amount, key, by, why, at_ms };
        let outcome = self.store.change(&change).map_err(unavailable)?;
        let (entry, again) = match outcome {
            ChangeOutcome::Done(entry) => (entry, false),
            ChangeOutcome::Again(entry) => (entry, true),
            ChangeOutcome::KeyTaken => return Err(Refusal::KeyTaken),
            ChangeOutcome::TooMuch => return Err(Refusal::TooMuch),
            ChangeOutcome::TooLittle => return Err(Refusal::TooLittle),
        };
        // It is done, whether or not its balance can be shown.
        let _ = self.look(std::slice::from_ref(account));
        Ok(Corrected { entry, again, balance: account.shown().available })
    }

    /// Finds out what all gateways together have of some accounts.
    fn look(&mut self, accounts: &[Arc<CreditAccount>]) -> Result<(), Refusal> {
        for account in accounts {
            if self.first.addresses.contains(&address(account)) && !self.grant_first_of(account) {
                return Err(Refusal::Unavailable);
            }
        }
        let keys: Vec<Key> = accounts.iter().filter_map(|account| self.key(account)).collect();
        self.show(&keys).map_err(unavailable)
    }

    fn show(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        for whole in self.store.whole(keys, self.driver.node().identity.id)? {
            self.balances.show(whole.key, whole.granted, whole.spent_by_others);
        }
        Ok(())
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
        match &answer.result {
            Ok(Outcome::Acquired(_)) => drop(self.figures.epoch_open.set(1)),
            Err(NodeRefusal::Closed | NodeRefusal::Epoch(_)) => drop(self.figures.epoch_open.set(0)),
            Ok(_) | Err(_) => {}
        }
        if matches!(answer.result, Err(NodeRefusal::Epoch(_))) {
            // The database may have lost what was granted; whatever is there is granted no more.
            let all = self.balances.in_force();
            self.first(all);
        }
        self.driver.answered(answer, boot_milliseconds(), &mut self.balances);
    }

    /// Shows whether leases can be taken. The driver knows it from its requests alone.
    fn look_at_epoch(&mut self) {
        if let Ok(is_open) = self.store.is_open() {
            self.figures.epoch_open.set(i64::from(is_open));
        }
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
        self.figures.failures.inc();
        self.driver.failed(boot_milliseconds());
    }
}

/// The balances that have changed when a message was answered.
fn keys_of(body: &Body) -> Vec<Key> {
    match body {
        Body::Report { leases, .. } => leases.iter().map(|(key, _)| *key).collect(),
        Body::Acquire(asks) => asks.iter().map(|ask| ask.key).collect(),
        Body::Join | Body::Declare(_) | Body::Retire(_) | Body::Late(_) => Vec::new(),
    }
}

/// What the next process has to know.
fn handover(told: TakenOver) -> LeaseHandover {
    let TakenOver { is_live, epoch, declared, renewed, ttl, joined } = told;
    LeaseHandover { is_live, epoch: (epoch.number, epoch.nonce), declared, renewed, ttl, joined }
}

fn unavailable(_: StoreError) -> Refusal {
    Refusal::Unavailable
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
