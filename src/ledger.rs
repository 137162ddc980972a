//! The ledger: credits that are held, charged and granted, and written down so that a crash
//! changes nothing that was promised.
//!
//! A request touches only the atomics of its licence (`quota/credits.rs`) and a queue; one thread
//! (`ledger/task.rs`) writes the file (`ledger/store.rs`). What a crash can cost:
//!
//! * `batch`: charges are written together, at the latest 50 ms after the answer went out. A crash
//!   loses those that were not written yet, or whose write was under way: the operator has given
//!   those lookups away, and no customer pays for anything that was not delivered.
//! * `each`: an answer waits until its charge is on the disk. No charge is lost. A crash between the
//!   write and the last byte of the answer leaves a charge without an answer: at most one for each
//!   request that was in flight, found by its Transaction-Id.
//!
//! In both, a lookup is charged at most once, and what a request held when the process died is
//! available again, since only charges are written. While the file cannot be written, requests that
//! cost something are refused, and nothing is sold that could not be counted.

pub mod annals;
mod batch;
mod bill;
pub mod entry;
mod question;
mod rates;
mod register;
pub mod store;
mod task;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SendError, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use crate::policy::Policy;
use crate::problem::{Problem, Row};
use crate::quota::credits::{Hold, Licence};
use crate::respond::TransactionId;
use crate::status::history::Seconds;
use crate::status::notice::Notice;
use annals::{Annals, Changes, Errand};
pub use bill::{Bill, Receipt};
use entry::Entry;
use question::Question;
pub use question::{Answer, Corrected, Correction, Page, Refusal};
use rates::Rates;
pub use register::Register;
pub use store::Place;

/// Charges that may wait to be written. Beyond it the disk is too slow for the traffic, and
/// requests that cost something are refused until it has caught up.
const MAX_WAITING_CHARGES: i64 = 1_000_000;

/// How long the end of the process waits for the last charges to be written.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);

/// The refusal of a request that costs something while the ledger cannot be used. The ledger itself
/// logs the cause, once for all requests.
pub const CANNOT_BE_USED: Problem = Problem::new(Row::Internal, "the ledger cannot be used");

/// When a charge is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Some milliseconds after its answer.
    Batch,
    /// Before its answer.
    Each,
}

/// How the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub place: Place,
    pub durability: Durability,
}

/// Why the ledger cannot be read or written, and how to mend it: one sentence without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    what: &'static str,
    /// Another process has it.
    taken: bool,
}

impl Fault {
    /// A fault in words.
    pub const fn new(what: &'static str) -> Fault {
        Fault { what, taken: false }
    }

    const fn busy(self) -> Fault {
        Fault { taken: true, ..self }
    }

    /// Whether another process keeps the ledger.
    pub fn is_taken(self) -> bool {
        self.taken
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)
    }
}

/// The books of all accounts that pay.
#[derive(Debug)]
pub struct Ledger {
    durability: Durability,
    /// Whether there are books at all.
    kept: bool,
    register: ArcSwap<Register>,
    orders: Sender<Order>,
    shared: Arc<Shared>,
}

/// What the ledger's task and everybody else both know.
#[derive(Debug, Default)]
struct Shared {
    usable: AtomicBool,
    figures: Figures,
}

impl Shared {
    /// Lets nobody hold a credit any more.
    fn unusable(&self) {
        self.usable.store(false, Ordering::Release);
        self.figures.usable.set(0);
    }

    /// Sends a charge to the task, which counts it out again.
    fn send(&self, orders: &Sender<Order>, charge: Charge) -> Result<(), SendError<Order>> {
        self.figures.waiting.inc();
        orders.send(Order::Charge(charge))
    }
}

/// The ledger's metrics.
#[derive(Debug, Default)]
struct Figures {
    usable: Gauge,
    /// Charges on their way into the file; it also bounds the queue.
    waiting: Gauge,
    commits: Counter,
    failures: Counter,
    charged: Counter,
    refunded: Counter,
    capped: Counter,
    insufficient: Counter,
}

/// What the ledger's task is told, in order.
enum Order {
    Charge(Charge),
    Ask(Question),
    /// A policy that is about to come into force, with its licences.
    Adopt(Arc<Policy>, Arc<Register>, std::sync::mpsc::SyncSender<()>),
    Close(std::sync::mpsc::SyncSender<()>),
}

/// One lookup's price on its way into the file.
struct Charge {
    licence: Arc<Licence>,
    credits: u32,
    transaction: TransactionId,
    stage: Stage,
}

/// What is known of the answer that a charge is for.
enum Stage {
    /// It went out.
    Delivered,
    /// It waits for the charge to be written.
    Waiting(oneshot::Sender<Recorded>),
    /// It did not go out, although its charge was written.
    Undelivered,
}

/// Proof that a charge was written. Dropping it takes the charge back.
struct Recorded {
    charge: Option<Charge>,
    orders: Sender<Order>,
    shared: Arc<Shared>,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            // Without a task there are no books to put in order.
            let _ = self.shared.send(&self.orders, Charge { stage: Stage::Undelivered, ..charge });
        }
    }
}

impl Ledger {
    /// Opens the books, and comes back when it is known whether they can be used. If not, requests
    /// that cost something are refused until they can.
    ///
    /// The rates of the policy's accounts, which count from `started`, are kept in the same file.
    /// Without settings there are no books: nobody pays, and rates begin anew.
    pub fn start(settings: Option<Settings>, policy: &Arc<Policy>, started: Instant) -> Ledger {
        let licences = policy.licences().map(Arc::clone).collect();
        Ledger::open(settings, licences, Some(Rates::new(Arc::clone(policy), started)))
    }

    /// The same for licences alone.
    fn open(settings: Option<Settings>, licences: Vec<Arc<Licence>>, rates: Option<Rates>) -> Ledger {
        let register = Arc::new(Register::new(licences));
        let (orders, received) = channel();
        let shared = Arc::new(Shared::default());
        let kept = settings.is_some();
        let durability = settings.as_ref().map_or(Durability::Batch, |settings| settings.durability);
        if let Some(settings) = settings {
            let (ready, opened) = sync_channel(1);
            let (sender, known) = (orders.clone(), Arc::clone(&shared));
            let task = task::Task::new(settings, Arc::clone(&register), received, sender, known, rates);
            std::thread::spawn(move || task.run(&ready));
            // A task that has ended is a ledger that cannot be used.
            let _ = opened.recv();
        }
        Ledger { durability, kept, register: ArcSwap::new(register), orders, shared }
    }

    /// Holds what a request can cost; nothing for an account that does not pay.
    ///
    /// # Errors
    /// `credits-insufficient`, or `internal` while the books cannot be kept: never a refusal that
    /// blames the customer for that.
    pub fn hold<'p>(&self, licence: Option<&'p Arc<Licence>>, amount: u32) -> Result<Hold<'p>, Problem> {
        let Some(licence) = licence else { return Ok(Hold::nothing()) };
        if !self.shared.usable.load(Ordering::Acquire) {
            return Err(CANNOT_BE_USED);
        }
        if self.shared.figures.waiting.get() > MAX_WAITING_CHARGES {
            return Err(Problem::new(Row::Internal, "the ledger is far behind the traffic"));
        }
        licence.hold(amount).inspect_err(|_| {
            self.shared.figures.insufficient.inc();
        })
    }

    fn charge(&self, licence: &Arc<Licence>, credits: u32, transaction: TransactionId, stage: Stage) {
        let charge = Charge { licence: Arc::clone(licence), credits, transaction, stage };
        if self.shared.send(&self.orders, charge).is_err() {
            log::error!(target: "tollgate::ledger", "a charge is lost, because the ledger has been closed");
        }
    }

    /// The licence of an account for a product.
    pub fn licence(&self, account: &str, product: &str) -> Option<Arc<Licence>> {
        self.register.load().find(account, product).map(Arc::clone)
    }

    /// All licences, in the order of the configuration.
    pub fn register_of_licences(&self) -> Arc<Register> {
        self.register.load_full()
    }

    /// Takes the licences and rates of a policy over that is about to come into force. Licences that
    /// the ledger [knows](Ledger::licence) must be the same ones; the others are read from the file.
    /// Comes back once that is done, so that nobody is refused for it.
    pub fn adopt(&self, policy: &Arc<Policy>) {
        let register = self.register.load().renewed(policy.licences().map(Arc::clone).collect());
        let register = Arc::new(register);
        let (done, adopted) = sync_channel(1);
        if self.orders.send(Order::Adopt(Arc::clone(policy), Arc::clone(&register), done)).is_ok() {
            // A task that has ended is a ledger that cannot be used, which requests are told.
            let _ = adopted.recv();
        }
        self.register.store(register);
    }

    /// Writes a grant or an adjustment; the answer comes once it is on the disk.
    pub fn correct(&self, correction: Correction) -> Answer<Corrected> {
        self.ask(|answer| Question::Correct(correction, answer))
    }

    /// Reads rows.
    pub fn page(&self, page: Page) -> Answer<Vec<Entry>> {
        self.ask(|answer| Question::Page(page, answer))
    }

    /// Whether there are books, in a file or in memory. Without any, nothing that is asked of them is
    /// ever answered well.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Reads what is known for the status at a time.
    pub fn annals(&self, now: Seconds) -> Answer<Annals> {
        self.ask(|answer| Question::Errand(Errand::Read(now, answer)))
    }

    /// Writes what has changed of the status.
    pub fn write_annals(&self, changes: Changes) -> Answer<()> {
        self.ask(|answer| Question::Errand(Errand::Write(changes, answer)))
    }

    /// Writes a notice; it comes back with its number.
    pub fn add_notice(&self, notice: Notice) -> Answer<Notice> {
        self.ask(|answer| Question::Errand(Errand::Add(notice, answer)))
    }

    /// Closes a notice; it comes back, if there is an open one with this number.
    pub fn close_notice(&self, id: i64, at: Seconds) -> Answer<Option<Notice>> {
        self.ask(|answer| Question::Errand(Errand::Close(id, at, answer)))
    }

    fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Question) -> Answer<T> {
        let (sender, receiver) = oneshot::channel();
        // Without a task the receiver learns it from the sender that is dropped.
        let _ = self.orders.send(Order::Ask(question(sender)));
        Answer(receiver)
    }

    /// Writes what is still to be written, and lets the file go. Charges after it are lost.
    pub fn close(&self) {
        let (done, closed) = sync_channel(1);
        if self.orders.send(Order::Close(done)).is_ok() && closed.recv_timeout(CLOSING_PATIENCE).is_err() {
            log::error!(target: "tollgate::ledger", "the last charges could not be written in time");
        }
    }

    /// Shows the metrics of the ledger.
    pub fn register(&self, registry: &mut Registry) {
        let Figures { usable, waiting, commits, failures, charged, refunded, capped, insufficient } =
            &self.shared.figures;
        registry.register(
            "tollgate_ledger_usable",
            "Whether the ledger can be written (1); if not (0), requests that cost something are refused",
            usable.clone(),
        );
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
