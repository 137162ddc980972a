//! The thread that writes the ledger: charges in batches, with corrections and reads in between.
//!
//! Only this thread grants credits and opens the file (`task/recovery.rs`), which it can take over from one process and
//! hand over to the next (`task/passing.rs`). If something fails, it keeps what must be written, prevents new holds,
//! and retries until it succeeds.

mod passing;
mod recovery;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::balance_index::BalanceIndex;
use super::batch::{Batch, address, draft};
use super::entry::{Draft, Entry, Position, timestamp};
use super::fault::LedgerFault;
use super::file::LedgerFile;
use super::lease_order::LeaseHandover;
use super::order::{Charge, LedgerCommand, Recorded, Shared, Stage};
use super::page::Page;
use super::question::{Corrected, Correction, Question, Refusal};
use super::rates::Rates;
use super::settings::{Durability, LedgerSettings};
use super::succession::{PredecessorHolds, SuccessorLink};
use super::usage::{QuotaRow, QuotasOf, RateRow, milliseconds};
use crate::platform::channel::Channel;
use crate::platform::clock::since_1970;
use crate::platform::count::{counted, either};
use crate::policy::credits::CreditAccount;
use crate::policy::meter::Meter;

/// How long charges are collected before they are written together. With the write itself a charge is on the disk
/// within 50 ms on a disk that takes 10 ms for it.
const BATCH_INTERVAL: Duration = Duration::from_millis(40);

/// The most first grants that are written together when there is nothing else to do.
const FIRST_GRANTS_AT_ONCE: usize = 2000;

/// The pause before the next attempt to use a ledger that cannot be used.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is checked whether the file is still in its place.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the used part of rates is written.
const RATES_INTERVAL: Duration = Duration::from_secs(5);

const NOT_OPEN: LedgerFault = LedgerFault::new("it is not open");

/// The ledger's task.
pub struct Task {
    settings: LedgerSettings,
    /// How long charges are collected.
    interval: Duration,
    register: Arc<BalanceIndex>,
    orders: Receiver<LedgerCommand>,
    sender: Sender<LedgerCommand>,
    shared: Arc<Shared>,
    /// The used part of rates; `None` if that is not stored.
    rates: Option<Rates>,
    rates_written: Instant,
    /// `None` while it cannot be used.
    store: Option<LedgerFile>,
    /// The balances have been read.
    loaded: bool,
    /// Why it cannot be used, each reason once: what was logged since it last could.
    faults: Vec<LedgerFault>,
    position: Position,
    /// Charges to write, in the order of their arrival.
    pending: Vec<Charge>,
    /// Accounts whose quotas have counted, and who waits until that is written.
    counted: Vec<Arc<Meter>>,
    waiting: Vec<oneshot::Sender<()>>,
    questions: Vec<Question>,
    /// Credit accounts whose first grant counts, but is not written yet; the last of them is the next.
    due: Vec<Arc<CreditAccount>>,
    /// Credit accounts of a changed configuration whose balances have not been read yet.
    unread: Vec<Arc<CreditAccount>>,
    /// The same as `due` by their addresses.
    due_set: HashSet<usize>,
    /// A write that has failed: whether it is in the file is only known after the file was opened again.
    doubt: Option<Batch>,
    /// What is held for the predecessor.
    predecessor_holds: Option<PredecessorHolds>,
    /// The channel to a successor that is to get the file.
    successor: Option<(Channel, Option<LeaseHandover>)>,
    /// The successor that has it.
    link: Option<SuccessorLink>,
    closing: Option<SyncSender<()>>,
}

impl Task {
    pub(super) fn new(
        settings: LedgerSettings,
        register: Arc<BalanceIndex>,
        orders: Receiver<LedgerCommand>,
        sender: Sender<LedgerCommand>,
        shared: Arc<Shared>,
        rates: Option<Rates>,
    ) -> Task {
        let interval = match settings.durability {
            Durability::Batch => BATCH_INTERVAL,
            // Charges that arrive during a write are the next batch.
            Durability::Each => Duration::ZERO,
        };
        Task {
            settings,
            interval,
            register,
            orders,
            sender,
            shared,
            rates,
            rates_written: Instant::now(),
            store: None,
            loaded: false,
            faults: Vec::new(),
            position: Position::default(),
            pending: Vec::new(),
            counted: Vec::new(),
            waiting: Vec::new(),
            questions: Vec::new(),
            due: Vec::new(),
            unread: Vec::new(),
            due_set: HashSet::new(),
            doubt: None,
            predecessor_holds: None,
            successor: None,
            link: None,
            closing: None,
        }
    }

    /// Runs until it is told to close. `ready` is notified after the first attempt to open the file, successful or not,
    /// or when the predecessor has it.
    pub fn run(mut self, ready: &SyncSender<()>, predecessor: Option<Channel>) {
        // If the task panics, no more credits may be held, since nothing is recorded any more.
        let shared = Arc::clone(&self.shared);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            match predecessor {
                None => self.recover(),
                Some(line) => {
                    let _ = ready.send(());
                    self.inherit(line);
                }
            }
            let _ = ready.send(());
            while self.closing.is_none() {
                self.turn();
            }
            self.turn_to_end();
        }));
        shared.unusable();
        if outcome.is_err() {
            log::error!(target: "tollgate::ledger", "the ledger's task has failed; start the program again");
        }
    }

    fn turn(&mut self) {
        self.wait_for_orders();
        if self.link.is_some() {
            // Requests for rows are too late now.
            self.questions.clear();
            return;
        }
        if self.store.is_none() {
            self.recover();
        }
        self.write_charges();
        for question in std::mem::take(&mut self.questions) {
            self.answer(question);
        }
        if self.pending.is_empty() && self.closing.is_none() {
            self.write_first_grants();
        }
        if self.rates_written.elapsed() > RATES_INTERVAL {
            self.write_rates(false);
        }
        if let Some((line, leases)) = self.successor.take() {
            self.hand_over(line, leases);
        }
    }

    /// Writes the used part of rates, so that a restart does not reset it.
    fn write_rates(&mut self, at_the_end: bool) {
        self.rates_written = Instant::now();
        let (Some(store), Some(rates)) = (&mut self.store, &mut self.rates) else { return };
        let of_several: Vec<(String, RateRow)> =
            rates.changed_of_several(at_the_end).into_iter().map(|(account, row)| (account.to_owned(), row)).collect();
        let of_several: Vec<(&str, RateRow)> =
            of_several.iter().map(|(account, row)| (account.as_str(), row.clone())).collect();
        let rows = rates.changed(at_the_end);
        if !(rows.is_empty() && of_several.is_empty())
            && let Err(fault) = store.write_rates(&rows, &of_several)
        {
            self.fail(fault);
        }
    }

    fn turn_to_end(&mut self) {
        if self.link.is_none() && self.store.is_none() {
            self.recover();
        }
        self.write_charges();
        // Charges whose answers were not delivered are refunded.
        while let Ok(order) = self.orders.try_recv() {
            self.take(order);
        }
        self.write_charges();
        self.write_rates(true);
        self.store = None;
        self.shared.unusable();
        let lost = self.pending.len().saturating_add(self.doubt.as_ref().map_or(0, |batch| batch.charges.len()));
        if lost > 0 {
            log::error!(target: "tollgate::ledger", "{} could not be written and {} lost", counted(lost, "charge"), either(&lost, "is", "are"));
        }
        if let Some(done) = self.closing.take() {
            let _ = done.send(());
        }
    }

    fn wait_for_orders(&mut self) {
        let patience = match (&self.store, self.due.is_empty()) {
            (None, _) if self.link.is_some() => WATCH_INTERVAL,
            (None, _) => RETRY_INTERVAL,
            (Some(_), false) => Duration::ZERO,
            (Some(_), true) => WATCH_INTERVAL,
        };
        match self.orders.recv_timeout(patience) {
            Ok(order) => {
                let gather =
                    matches!(order, LedgerCommand::Charge(_) | LedgerCommand::Count(..)) && self.link.is_none();
                self.take(order);
                if gather && !self.interval.is_zero() {
                    // Every message except a charge ends the wait.
                    std::thread::park_timeout(self.interval);
                }
                while let Ok(order) = self.orders.try_recv() {
                    self.take(order);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let moved = self.store.as_ref().and_then(|store| store.check_place().err());
                if let Some(fault) = moved {
                    self.fail(fault);
                }
            }
            // Cannot happen while this task has its own sender.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(patience),
        }
    }

    fn take(&mut self, order: LedgerCommand) {
        match order {
            LedgerCommand::Charge(charge) => match &mut self.link {
                None => self.pending.push(charge),
                Some(link) => {
                    link.charge(charge);
                    self.count_out(1);
                }
            },
            LedgerCommand::Count(meter, waiting) => self.count(meter, waiting),
            LedgerCommand::CountedBefore(account, rows, waiting) => self.counted_before(account, rows, waiting),
            LedgerCommand::HandOver(line, leases) => self.successor = Some((line, leases)),
            LedgerCommand::Borrow(credit_account, credits, told) => {
                // Without a successor the dropped sender says so.
                if let Some(link) = &mut self.link {
                    link.borrow(credit_account, credits, told);
                }
            }
            LedgerCommand::Ask(question) => self.questions.push(question),
            LedgerCommand::Adopt(policy, register, done) => {
                self.adopt(policy, register);
                let _ = done.send(());
            }
            LedgerCommand::Change(change) => self.change(change),
            LedgerCommand::Close(done) => self.closing = Some(done),
        }
    }

    /// Charges that are not waiting any more.
    fn count_out(&self, charges: usize) {
        self.shared.figures.waiting.dec_by(count(charges));
    }

    fn write_charges(&mut self) {
        if self.store.is_some() && !(self.pending.is_empty() && self.counted.is_empty()) {
            let batch = self.gather();
            if let Err(fault) = self.commit(batch) {
                self.fail(fault);
            }
        }
    }

    /// Makes one batch of all charges that are to be written.
    fn gather(&mut self) -> Batch {
        let charges = std::mem::take(&mut self.pending);
        self.count_out(charges.len());
        let batch = Batch::of_charges(self.next_position(), charges, |credit_account| {
            self.due_set.contains(&address(credit_account))
        });
        let (counted, waiting) = (std::mem::take(&mut self.counted), std::mem::take(&mut self.waiting));
        Batch { counted, waiting, ..batch }
    }

    /// A request was counted in quotas: here that is written, behind a successor it is told.
    fn count(&mut self, meter: Arc<Meter>, waiting: Option<oneshot::Sender<()>>) {
        match (&mut self.link, &self.rates) {
            (Some(link), Some(rates)) => {
                // Whatever is counted from here on is told anew.
                meter.looked_at();
                link.count(meter.account.to_string(), rates.handed_over(&meter), waiting);
            }
            (Some(_) | None, _) => {
                self.waiting.extend(waiting);
                self.counted.push(meter);
            }
        }
    }

    /// The process before this one has counted requests.
    fn counted_before(&mut self, account: String, rows: Vec<QuotaRow>, waiting: Option<oneshot::Sender<()>>) {
        match &mut self.link {
            Some(link) => link.count(account, rows, waiting),
            None => {
                // Who has no quota any more has nothing to be counted in.
                let meter = self.rates.as_mut().and_then(|rates| rates.count(&account, &rows));
                self.counted.extend(meter);
                self.waiting.extend(waiting);
            }
        }
    }

    fn write_first_grants(&mut self) {
        if self.store.is_none() || self.due.is_empty() {
            return;
        }
        let mut batch = Batch { position: self.next_position(), ..Batch::default() };
        let first = self.due.len().saturating_sub(FIRST_GRANTS_AT_ONCE);
        for credit_account in
            self.due.iter().skip(first).rev().filter(|credit_account| self.due_set.contains(&address(credit_account)))
        {
            batch.first_grant(credit_account);
        }
        match self.commit(batch) {
            Ok(()) => self.due.truncate(first),
            Err(fault) => self.fail(fault),
        }
        if self.due.is_empty() {
            self.due = Vec::new();
            self.due_set = HashSet::new();
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), LedgerFault> {
        let Some(store) = &mut self.store else {
            self.doubt = Some(batch);
            return Err(NOT_OPEN);
        };
        // Several requests of an account are one row of each of its quotas.
        let mut batch = batch;
        batch.counted.sort_unstable_by_key(|meter| Arc::as_ptr(meter).addr());
        batch.counted.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let quotas = |meter: &Arc<Meter>| {
            // Whatever is counted from here on is told anew.
            meter.looked_at();
            self.rates.as_ref().map(|rates| rates.quotas(meter))
        };
        let quotas: Vec<QuotasOf> = batch.counted.iter().filter_map(quotas).collect();
        let outcome = now().and_then(|at| store.write(&batch.drafts, &quotas, &at, batch.position));
        match outcome {
            Ok(()) => {
                self.position = batch.position;
                self.shared.figures.commits.inc();
                self.written(batch);
                Ok(())
            }
            Err(fault) => {
                batch.waiting.clear();
                for charge in &mut batch.charges {
                    // Its request is informed that it was not written, so it has to be refunded if it was.
                    if let Stage::Waiting(waiting) = &mut charge.stage {
                        waiting_is_over(waiting);
                    }
                }
                self.doubt = Some(batch);
                Err(fault)
            }
        }
    }

    /// The batch is in the file.
    fn written(&mut self, batch: Batch) {
        for credit_account in &batch.first_grants {
            self.due_set.remove(&address(credit_account));
        }
        if let Some((credit_account, amount)) = batch.correction
            && let Ok(amount) = u64::try_from(amount)
        {
            credit_account.balance().grant(amount);
        }
        for waiting in batch.waiting {
            // A request that is gone does not wait any more.
            let _ = waiting.send(());
        }
        for charge in batch.charges {
            match charge.stage {
                Stage::Delivered => {}
                Stage::Undelivered => {
                    self.shared.figures.refunded.inc_by(u64::from(charge.credits));
                }
                Stage::Waiting(waiting) => {
                    let charge = Charge { stage: Stage::Delivered, ..charge };
                    let (orders, shared) = (self.sender.clone(), Arc::clone(&self.shared));
                    let recorded = Recorded { charge: Some(charge), orders, shared };
                    // If nobody receives the proof, dropping it refunds the charge.
                    let _ = waiting.send(recorded);
                }
            }
        }
    }

    /// The batch is not in the file: what was delivered must be written later, and the rest is dropped.
    fn not_written(&mut self, batch: Batch) {
        if let Some((credit_account, amount)) = batch.correction
            && amount < 0
        {
            credit_account.balance().grant(amount.unsigned_abs());
        }
        self.counted.extend(batch.counted);
        let mut charges = batch.charges;
        charges.retain(|charge| !matches!(charge.stage, Stage::Waiting(_)));
        self.shared.figures.waiting.inc_by(count(charges.len()));
        charges.append(&mut self.pending);
        self.pending = charges;
    }

    fn next_position(&self) -> Position {
        let (nonce, _) = uuid::Uuid::new_v4().as_u64_pair();
        Position { batch: self.position.batch.saturating_add(1), nonce: i64::from_ne_bytes(nonce.to_ne_bytes()) }
    }

    fn answer(&mut self, question: Question) {
        match question {
            Question::Correct(correction, asker) => {
                let outcome = self.correct(correction);
                if let Err(Refusal::Unusable(fault)) = outcome
                    && self.store.is_some()
                {
                    self.fail(fault);
                }
                let _ = asker.send(outcome);
            }
            Question::Page(page, asker) => {
                let _ = asker.send(self.page(&page).map_err(Refusal::Unusable));
            }
            Question::Errand(errand) => {
                let fault = self.opened().err().unwrap_or(NOT_OPEN);
                errand(self.store.as_mut().ok_or(fault));
            }
        }
    }

    fn page(&self, page: &Page) -> Result<Vec<Entry>, LedgerFault> {
        self.opened()?.page(page)
    }

    fn opened(&self) -> Result<&LedgerFile, LedgerFault> {
        let fault = self.faults.last().copied().unwrap_or(NOT_OPEN);
        self.store.as_ref().ok_or(fault)
    }

    fn correct(&mut self, correction: Correction) -> Result<Corrected, Refusal> {
        let Correction { credit_account, kind, amount, key, by, why } = correction;
        let store = self.opened().map_err(Refusal::Unusable)?;
        let (account, product) = credit_account.key();
        if let Some(entry) = store.keyed(account, product, &key).map_err(Refusal::Unusable)? {
            let same = entry.kind == kind && entry.amount == amount;
            let balance = credit_account.balance().available();
            return if same { Ok(Corrected { entry, again: true, balance }) } else { Err(Refusal::KeyTaken) };
        }
        if amount < 0 {
            // Withdrawn before it is written, so that it cannot be held in between.
            if !credit_account.balance().withdraw(amount.unsigned_abs()) {
                return Err(Refusal::TooLittle);
            }
        } else if !credit_account.balance().can_grant(amount.unsigned_abs()) {
            return Err(Refusal::TooMuch);
        }
        let mut batch = Batch { position: self.next_position(), ..Batch::default() };
        if self.due_set.contains(&address(&credit_account)) {
            batch.first_grant(&credit_account);
        }
        batch.drafts.push(Draft { key: Some(key.clone()), by, why, ..draft(&credit_account, kind, amount) });
        batch.correction = Some((Arc::clone(&credit_account), amount));
        self.commit(batch).map_err(Refusal::Unusable)?;
        let entry = self.opened().and_then(|store| store.keyed(account, product, &key)).map_err(Refusal::Unusable)?;
        let missing = Refusal::Unusable(LedgerFault::new("a row that was written is not there"));
        Ok(Corrected { entry: entry.ok_or(missing)?, again: false, balance: credit_account.balance().available() })
    }
}

/// Informs the request that waits for a charge that it was not written.
fn waiting_is_over(waiting: &mut tokio::sync::oneshot::Sender<Recorded>) {
    let (nobody, _) = tokio::sync::oneshot::channel();
    *waiting = nobody;
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn now() -> Result<String, LedgerFault> {
    timestamp(milliseconds(since_1970()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
