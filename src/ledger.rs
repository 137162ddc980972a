//! The ledger: credits are held, charged and granted, and recorded on disk so that they survive a crash.
//!
//! A request touches only the atomics of its credit account (`policy/credits.rs`) and a queue; one thread
//! (`ledger/task.rs`) writes the file (`ledger/file.rs`). What a crash can lose:
//!
//! * `batch`: charges are written together, at the latest 50 ms after the answer went out. A crash loses those that
//!   were not written yet, or whose write was in progress: those lookups are free, and no customer pays for anything
//!   that was not delivered.
//! * `each`: an answer waits until its charge is on the disk. No charge is lost. A crash between the
//!   write and the last byte of the answer leaves a charge without an answer: at most one for each
//!   request that was in flight, found by its Transaction-Id.
//!
//! In both, a lookup is charged at most once, and what a request held when the process died is available again, since
//! only charges are written. While the file cannot be written, requests that cost something are refused, so that
//! nothing is sold that could not be recorded.

pub(crate) mod balance_index;
mod batch;
pub mod bill;
pub mod entry;
mod fault;
pub mod file;
mod journal;
pub mod lease;
pub mod lease_balances;
pub mod lease_journal;
pub mod lease_order;
pub mod lease_store;
pub mod lease_task;
pub mod leases;
pub mod lock;
pub mod opening;
mod order;
mod page;
mod question;
mod rates;
mod settings;
pub mod store;
mod succession;
mod task;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::{SendError, Sender, channel, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use crate::platform::channel::Channel;
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::directory::change::Changed;
use crate::policy::credits::{CreditAccount, Hold, TOO_FEW};
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::meter::Meter;
use crate::policy::problem::{Problem, Row};
pub use balance_index::BalanceIndex;
use entry::Entry;
pub use fault::LedgerFault;
use file::LedgerFile;
use lease::driver::Verdict;
use lease_order::{LeaseHandover, LeaseOrder};
use leases::{CREDITS_UNAVAILABLE, Leases};
use order::{AccountsChange, BalanceState, Charge, LedgerCommand, LedgerFigures, Lent, Shared, Stage};
pub use page::Page;
use question::Question;
pub use question::{Answer, Corrected, Correction, Refusal};
use rates::Rates;
pub use settings::{Durability, LedgerSettings, Storage};

/// The most charges that may wait to be written. Beyond that the disk is too slow for the traffic, and requests that
/// cost something are refused until it has caught up.
const MAX_WAITING_CHARGES: i64 = 1_000_000;

/// How long a request waits until a process that takes over has the leases.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer about a balance waits for a database.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// How long the process waits for the last charges to be written before it ends.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);

/// The refusal of a request that costs something while the ledger cannot be used. The ledger itself
/// logs the cause, once for all requests.
pub const CANNOT_BE_USED: Problem = Problem::new(Row::Internal, "the ledger cannot be used");

/// The ledger of all accounts with credits.
#[derive(Debug)]
pub struct Ledger {
    durability: Durability,
    register: ArcSwap<BalanceIndex>,
    orders: Sender<LedgerCommand>,
    /// The thread of the task, which collects charges until it is woken. `None` without a ledger.
    thread: Option<Thread>,
    shared: Arc<Shared>,
}

impl Ledger {
    /// Opens the ledger, and returns when it is known whether it can be used. If not, requests that cost something are
    /// refused until it can.
    fn open(
        settings: Option<LedgerSettings>,
        credit_accounts: Vec<Arc<CreditAccount>>,
        rates: Option<Rates>,
        predecessor: Option<Channel>,
        leases: Option<Leases>,
    ) -> Ledger {
        let register = Arc::new(BalanceIndex::new(credit_accounts));
        let (orders, received) = channel();
        let shared = Arc::new(Shared::new(leases));
        let durability = settings.as_ref().map_or(Durability::Batch, |settings| settings.durability);
        let mut thread = None;
        if let Some(settings) = settings {
            if predecessor.is_some() {
                shared.stand(BalanceState::Awaited);
                shared.predecessor.store(true, Ordering::Release);
            }
            let (ready, opened) = sync_channel(1);
            let (sender, known) = (orders.clone(), Arc::clone(&shared));
            let task = task::Task::new(settings, Arc::clone(&register), received, sender, known, rates);
            let task = std::thread::spawn(move || task.run(&ready, predecessor));
            thread = Some(task.thread().clone());
            // A task that has ended is a ledger that cannot be used.
            let _ = opened.recv();
        }
        Ledger { durability, register: ArcSwap::new(register), orders, thread, shared }
    }

    /// Holds what a request can cost; nothing for an account that does not pay. While a predecessor or a successor has
    /// the file, this waits for it; the caller must apply the request's deadline.
    ///
    /// # Errors
    /// `credits-insufficient`, `internal` while the ledger cannot be used, since the customer is not at fault then, or
    /// `credits-unavailable` while the others cannot be heard that share the credits.
    pub async fn hold<'p>(
        &self,
        credit_account: Option<&'p Arc<CreditAccount>>,
        amount: u32,
    ) -> Result<Hold<'p>, Problem> {
        let Some(credit_account) = credit_account else { return Ok(Hold::nothing()) };
        let standing = match self.shared.standing() {
            BalanceState::Awaited => self.shared.settled().await,
            settled => settled,
        };
        let hold = match standing {
            BalanceState::Unusable | BalanceState::Awaited => return Err(CANNOT_BE_USED),
            BalanceState::HandedOver => self.borrow(credit_account, amount).await,
            BalanceState::Usable => self.hold_here(credit_account, amount).await,
        };
        hold.inspect_err(|problem| match (problem.row, &self.shared.leases) {
            (Row::CreditsInsufficient, _) => drop(self.shared.figures.insufficient.inc()),
            (Row::CreditsUnavailable, Some(leases)) => drop(leases.figures.unavailable.inc()),
            _ => {}
        })
    }

    async fn hold_here<'p>(&self, credit_account: &'p Arc<CreditAccount>, amount: u32) -> Result<Hold<'p>, Problem> {
        if self.shared.figures.waiting.get() > MAX_WAITING_CHARGES {
            return Err(Problem::new(Row::Internal, "the ledger is far behind the traffic"));
        }
        let hold = credit_account.hold(amount);
        // Either the handover sees this hold, or this sees the handover.
        fence(Ordering::SeqCst);
        if self.shared.standing() == BalanceState::HandedOver {
            drop(hold);
            return self.borrow(credit_account, amount).await;
        }
        match &self.shared.leases {
            None => hold,
            // The time after the hold: whoever was stopped in between does not sell what others have got meanwhile.
            Some(leases) if hold.is_ok() && leases.may_sell() => hold,
            Some(leases) => {
                // What others need is returned meanwhile.
                drop(hold);
                Box::pin(self.hold_lease(leases, credit_account, amount)).await
            }
        }
    }

    /// Holds credits that are not on lease here yet.
    async fn hold_lease<'p>(
        &self,
        leases: &Leases,
        credit_account: &'p Arc<CreditAccount>,
        amount: u32,
    ) -> Result<Hold<'p>, Problem> {
        loop {
            match leases.short(credit_account, amount).await {
                Some(Verdict::Try) => {}
                Some(Verdict::Insufficient) => return Err(TOO_FEW),
                Some(Verdict::Unavailable) => return Err(CREDITS_UNAVAILABLE),
                // The process that takes over has the leases, or soon has them.
                None if !leases.hands_over() => return Err(CREDITS_UNAVAILABLE),
                None => {
                    let handed_over = tokio::time::timeout(HANDOVER_PATIENCE, self.shared.handed_over()).await;
                    return match handed_over {
                        Ok(()) => self.borrow(credit_account, amount).await,
                        Err(_) => Err(CREDITS_UNAVAILABLE),
                    };
                }
            }
            let hold = credit_account.hold(amount);
            fence(Ordering::SeqCst);
            if self.shared.standing() == BalanceState::HandedOver {
                drop(hold);
                return self.borrow(credit_account, amount).await;
            }
            match hold {
                Ok(hold) if leases.may_sell() => return Ok(hold),
                Err(problem) if problem.row != Row::CreditsInsufficient => return Err(problem),
                // Others were faster, or the lease has ended just now.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Holds credits that the successor holds for this process.
    async fn borrow<'p>(&self, credit_account: &'p Arc<CreditAccount>, amount: u32) -> Result<Hold<'p>, Problem> {
        let (told, held) = oneshot::channel();
        // Without a task the dropped sender informs the receiver.
        let _ = self.order(LedgerCommand::Borrow(Arc::clone(credit_account), amount, told));
        match held.await {
            Ok(Lent::Left(left)) => credit_account.hold(amount).map(|hold| hold.kept_elsewhere(left)),
            Ok(Lent::TooFew) => Err(TOO_FEW),
            Ok(Lent::Unavailable) if self.shared.leases.is_some() => Err(CREDITS_UNAVAILABLE),
            Ok(Lent::Unavailable) => Err(CANNOT_BE_USED),
            Err(_) => Err(CANNOT_BE_USED),
        }
    }

    /// Returns when it is known what these have: at once, unless gateways share credits.
    ///
    /// # Errors
    /// That nobody can say it.
    pub async fn known_of(&self, accounts: Vec<Arc<CreditAccount>>) -> Result<(), Refusal> {
        match self.look(accounts) {
            None => Ok(()),
            Some(looked) => looked.wait_for(LOOK_PATIENCE).await,
        }
    }

    /// The same for a thread that may be blocked.
    ///
    /// # Errors
    /// That nobody can say it.
    pub fn known_here(&self, accounts: Vec<Arc<CreditAccount>>) -> Result<(), Refusal> {
        self.look(accounts).map_or(Ok(()), Answer::wait_here)
    }

    fn look(&self, accounts: Vec<Arc<CreditAccount>>) -> Option<Answer<()>> {
        // A process that has handed over knows what it has heard last.
        let is_here = !accounts.is_empty() && self.shared.standing() != BalanceState::HandedOver;
        let leases = self.shared.leases.as_ref().filter(|leases| is_here && !leases.hands_over())?;
        Some(Ledger::ask_leases(leases, |told| LeaseOrder::Look(accounts, told)))
    }

    /// Whether other gateways sell the same credits.
    pub fn shares_credits(&self) -> bool {
        self.shared.leases.is_some()
    }

    /// Whether requests that cost something are refused because nothing may be sold by lease.
    pub fn cannot_sell(&self) -> bool {
        self.has_balances() && self.shared.leases.as_ref().is_some_and(|leases| !leases.may_sell())
    }

    /// Whether it has been so since the process started: other gateways may be able to sell.
    pub fn never_sold(&self) -> bool {
        self.shared.leases.as_ref().is_some_and(Leases::never_sold)
    }

    /// What the process before has said of its leases.
    pub(in crate::ledger) fn lease_handover(&self) -> Option<LeaseHandover> {
        self.shared.handover.get().copied()
    }

    /// Returns when it is known whether there are balances: at once, except for some milliseconds after taking over
    /// from another process.
    pub async fn known(&self) {
        if self.shared.standing() == BalanceState::Awaited {
            self.shared.settled().await;
        }
    }

    /// Whether a predecessor may still have charges, which it sends to this process.
    pub fn has_predecessor(&self) -> bool {
        self.shared.predecessor.load(Ordering::Acquire)
    }

    /// Whether this process has the balances: no predecessor has them still, no successor already, and they were read.
    pub fn has_balances(&self) -> bool {
        self.thread.is_some() && self.shared.standing() == BalanceState::Usable
    }

    /// Whether the file cannot be written, so that requests that cost something are refused, and only this process
    /// knows the waiting charges.
    pub fn is_stuck(&self) -> bool {
        self.thread.is_some() && self.shared.standing() == BalanceState::Unusable
    }

    /// Releases the file to a successor at the other end of the channel. Requests continue; their charges are sent
    /// there.
    pub fn hand_over(&self, line: Channel) {
        let leases = self.shared.leases.as_ref().and_then(Leases::hand_over);
        // Without a task there is nothing to hand over, and dropping the channel says so.
        let _ = self.order(LedgerCommand::HandOver(line, leases));
    }

    /// Has it written down what an account has used of its quotas, after a request was counted in them. With
    /// `durability: each` the receiver learns when that is on the disk, and is dropped if it cannot be written; with
    /// `batch`, and without books, there is nothing to wait for.
    pub fn count(&self, meter: &Arc<Meter>) -> Option<oneshot::Receiver<()>> {
        self.thread.as_ref()?;
        let (sender, written) = match self.durability {
            // Whoever was told of it looks at all that was counted by then.
            Durability::Batch if !meter.tell() => return None,
            Durability::Batch => (None, None),
            Durability::Each => {
                let (sender, written) = oneshot::channel();
                (Some(sender), Some(written))
            }
        };
        // Without a task the receiver learns it from the sender that is dropped.
        let _ = self.orders.send(LedgerCommand::Count(Arc::clone(meter), sender));
        written
    }

    fn charge(&self, credit_account: &Arc<CreditAccount>, credits: u32, transaction: TransactionId, stage: Stage) {
        let charge = Charge { credit_account: Arc::clone(credit_account), credits, transaction, stage };
        if self.shared.send(&self.orders, charge).is_err() {
            log::error!(target: "tollgate::ledger", "a charge is lost, because the ledger has been closed");
        }
    }

    /// The credit account of an account for a product.
    pub fn credit_account(&self, account: &str, product: &str) -> Option<Arc<CreditAccount>> {
        self.register.load().find(account, product).map(Arc::clone)
    }

    /// All credit accounts: those in force in the order of the configuration, then as they came.
    pub fn register_of_licences(&self) -> Arc<BalanceIndex> {
        self.register.load_full()
    }

    /// Takes over the credit accounts and rates of a policy before it comes into force. Credit accounts that the ledger
    /// has must be the same values; the others are read from the file. Returns once that is done, so that no request is
    /// refused because of it.
    pub fn adopt(&self, policy: &Arc<Policy>) {
        let register = self.register.load_full().renewed(policy.credit_accounts().inspect(|_| pace::step()));
        let (done, adopted) = sync_channel(1);
        if self.order(LedgerCommand::Adopt(Arc::clone(policy), Arc::clone(&register), done)).is_ok() {
            // If the task has ended, the ledger cannot be used, and requests get that error.
            let _ = adopted.recv();
        }
        if let Some(leases) = &self.shared.leases {
            let before = self.register.load_full();
            let is_new = |known: &&Arc<CreditAccount>| {
                let (account, product) = known.key();
                before.find(account, product).is_none_or(|had| !Arc::ptr_eq(had, known))
            };
            // A thread that has ended has nothing to grant.
            let _ = leases.tell(LeaseOrder::First(register.all().filter(is_new).map(Arc::clone).collect()));
            let _ = leases.tell(LeaseOrder::LongestRequest(policy.longest_request()));
        }
        self.register.store(register);
    }

    /// The same for changes of some accounts. It waits for the file only where one has a credit account that
    /// was never known.
    pub fn change(&self, policy: &Policy, changed: &[Changed]) {
        let before = self.register.load_full();
        let pays = |account: &Arc<Account>| account.credit_accounts.iter().next().is_some();
        let somebody_pays = changed.iter().any(|one| one.before.iter().chain(&one.after).any(pays));
        let (register, new) = match somebody_pays {
            true => before.with(changed),
            false => (BalanceIndex::clone(&before), Vec::new()),
        };
        if let Some(leases) = self.shared.leases.as_ref().filter(|_| !new.is_empty()) {
            let _ = leases.tell(LeaseOrder::First(new.clone()));
        }
        let (register, waits) = (Arc::new(register), !new.is_empty());
        let (done, adopted) = sync_channel(1);
        let change = Box::new(AccountsChange {
            accounts: policy.accounts.clone(),
            slots: changed.iter().map(|one| one.slot).collect(),
            register: Arc::clone(&register),
            new,
            done,
        });
        if self.order(LedgerCommand::Change(change)).is_ok() && waits {
            // A task that has ended is a ledger that cannot be used, which requests are told.
            let _ = adopted.recv();
        }
        self.register.store(register);
    }

    /// Writes a grant or an adjustment; the answer arrives once it is on the disk.
    /// Where gateways share credits, it is written in their database.
    pub fn correct(&self, correction: Correction) -> Answer<Corrected> {
        match &self.shared.leases {
            None => self.correct_here(correction),
            Some(leases) => Ledger::ask_leases(leases, |told| LeaseOrder::Correct(correction, told)),
        }
    }

    /// The same in the file of this ledger.
    pub(in crate::ledger) fn correct_here(&self, correction: Correction) -> Answer<Corrected> {
        self.ask(|answer| Question::Correct(correction, answer))
    }

    /// Reads the grants and adjustments of all gateways that share credits; without others, all rows.
    pub fn history(&self, page: Page) -> Answer<Vec<Entry>> {
        match &self.shared.leases {
            None => self.page(page),
            Some(leases) => Ledger::ask_leases(leases, |told| LeaseOrder::Page(page, told)),
        }
    }

    fn ask_leases<T>(
        leases: &Leases,
        order: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> LeaseOrder,
    ) -> Answer<T> {
        let (told, receiver) = oneshot::channel();
        // A thread that has ended drops the sender, which says so.
        let _ = leases.tell(order(told));
        Answer(receiver)
    }

    /// Reads the rows of this ledger.
    pub fn page(&self, page: Page) -> Answer<Vec<Entry>> {
        self.ask(|answer| Question::Page(page, answer))
    }

    /// Sends a command to the task and wakes it.
    fn order(&self, order: LedgerCommand) -> Result<(), SendError<LedgerCommand>> {
        let sent = self.orders.send(order);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
        sent
    }

    /// Whether there is a ledger, in a file or in memory. Without one, every request to it fails.
    pub fn is_kept(&self) -> bool {
        self.thread.is_some()
    }

    /// Runs a function on the ledger's thread, with the open file, for other tables in it.
    pub fn run<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut LedgerFile) -> Result<T, LedgerFault> + Send + 'static,
    ) -> Answer<T> {
        self.ask(|answer| {
            Question::Errand(Box::new(move |store| {
                // Fails if nobody waits for the answer any more.
                let _ = answer.send(store.and_then(errand).map_err(Refusal::Unusable));
            }))
        })
    }

    fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Question) -> Answer<T> {
        let (sender, receiver) = oneshot::channel();
        // Without a task the dropped sender informs the receiver.
        let _ = self.order(LedgerCommand::Ask(question(sender)));
        Answer(receiver)
    }

    /// Writes everything that waits, and closes the file. Later charges are lost.
    pub fn close(&self) {
        if let Some(leases) = &self.shared.leases {
            leases.end();
        }
        let (done, closed) = sync_channel(1);
        if self.order(LedgerCommand::Close(done)).is_ok() && closed.recv_timeout(CLOSING_PATIENCE).is_err() {
            log::error!(target: "tollgate::ledger", "the last charges could not be written in time");
        }
    }

    /// Registers the metrics of the ledger.
    pub fn register(&self, registry: &mut Registry) {
        let LedgerFigures { usable, waiting, commits, failures, charged, refunded, capped, insufficient } =
            &self.shared.figures;
        // Not registered without a ledger, since a 0 would raise an alarm.
        if self.is_kept() {
            registry.register(
                "tollgate_ledger_usable",
                "Whether the ledger can be written (1); if not (0), requests that cost something are refused",
                usable.clone(),
            );
        }
        if let Some(leases) = &self.shared.leases {
            leases.register(registry);
        }
        registry.register("tollgate_ledger_waiting_charges", "Charges that are not written yet", waiting.clone());
        registry.register("tollgate_ledger_commits", "Writes to the ledger's file", commits.clone());
        registry.register("tollgate_ledger_failures", "Failed attempts to open or write the ledger", failures.clone());
        registry.register("tollgate_credits_charged", "Credits that lookups have cost", charged.clone());
        registry.register(
            "tollgate_credits_refunded",
            "Credits that were given back because a charged answer was not delivered",
            refunded.clone(),
        );
        registry.register(
            "tollgate_credits_capped",
            "Answers whose price was above what their request had held, and was cut to it",
            capped.clone(),
        );
        registry.register(
            "tollgate_credits_insufficient",
            "Requests that could not hold their credits",
            insufficient.clone(),
        );
    }
}
