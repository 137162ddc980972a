//! The thread that keeps the status: it takes the counts of requests, moves the book on, has it
//! written down, and exchanges the pages when they would say something else.
//!
//! It is the only one that has the book. Requests never wait for it; operators do, since what they
//! say goes through it. What was counted since the last turn is lost with the process, and nothing
//! else. What an earlier process has written is read before anything is written over it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::ledger::{Ledger, Refusal};
use crate::operate::status_store::{Changes, StatusStore};
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::seconds::Seconds;
use crate::site::status::book::{Book, Health, ProductState};
use crate::site::status::notice::{Notice, Shown};
use crate::site::status::publish;
use crate::site::status::report::Report;
use crate::telemetry::traffic::{Counted, Traffic};
use crate::upstream::Reach;

/// The longest time between two turns; a crash loses the counts of one.
const TURN: Duration = Duration::from_secs(5);

/// How long the end of the process waits for the last counts to be written.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// Why an operator's notice was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are as many open ones as there can be.
    TooMany,
    /// No open notice has the number.
    Unknown,
    /// No product has the name.
    NoProduct,
    /// It could not be written down.
    Ledger(Refusal),
    /// The process is about to end.
    Ended,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooMany => {
                write!(formatter, "{} notices are open already; close one", crate::site::status::notice::MAX_NOTICES)
            }
            Refused::Unknown => formatter.write_str("no open notice has this number; list them to see which there are"),
            Refused::NoProduct => formatter.write_str("no product has this name; leave it out to speak of all"),
            Refused::Ledger(refusal) => refusal.fmt(formatter),
            Refused::Ended => formatter.write_str("the process is about to end"),
        }
    }
}

/// What the thread is told.
enum RecorderCommand {
    Ask(Question),
    /// Write what is left, and end.
    Flush(SyncSender<()>),
}

/// What operators want.
enum Question {
    Add(Notice, oneshot::Sender<Result<Notice, Refused>>),
    Close(i64, oneshot::Sender<Result<Notice, Refused>>),
    List(oneshot::Sender<Result<Vec<Shown>, Refused>>),
}

/// Where orders for the thread go.
#[derive(Clone, Debug)]
pub struct Recorder(Sender<RecorderCommand>);

impl Recorder {
    /// Begins to record what a gateway serves.
    pub fn start(gateway: Arc<Gateway>, ledger: Arc<Ledger>) -> Recorder {
        let (orders, received) = channel();
        std::thread::spawn(move || {
            let snapshot = gateway.snapshot();
            let book = Book::new(snapshot.settings.status.clone());
            let task = StatusTask {
                read: !ledger.is_kept(),
                gateway,
                ledger,
                book,
                sources: Vec::new(),
                policy: None,
                shown: None,
                complained: false,
            };
            task.run(&received);
        });
        Recorder(orders)
    }

    /// Adds a notice; it comes back with its number.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn add(&self, notice: Notice) -> Result<Notice, Refused> {
        self.ask(|answer| Question::Add(notice, answer)).await
    }

    /// Closes a notice.
    ///
    /// # Errors
    /// That it could not be.
    pub async fn close(&self, id: i64) -> Result<Notice, Refused> {
        self.ask(|answer| Question::Close(id, answer)).await
    }

    /// All notices.
    ///
    /// # Errors
    /// That the process is about to end.
    pub async fn list(&self) -> Result<Vec<Shown>, Refused> {
        self.ask(Question::List).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Question,
    ) -> Result<T, Refused> {
        let (answer, told) = oneshot::channel();
        self.0.send(RecorderCommand::Ask(question(answer))).map_err(|_| Refused::Ended)?;
        told.await.map_err(|_| Refused::Ended)?
    }

    /// Has the last counts written down; to be called before the ledger is closed.
    pub fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        if self.0.send(RecorderCommand::Flush(done)).is_ok() {
            // A thread that has ended has nothing more to write, and one that hangs is not waited for.
            let _ = flushed.recv_timeout(CLOSING_PATIENCE);
        }
    }
}

/// The thread's own state.
struct StatusTask {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    book: Book,
    /// Whether everything was read that an earlier process has written.
    read: bool,
    /// What products count into; those that went are there for as long as a request has them.
    sources: Vec<(Arc<str>, Arc<Traffic>)>,
    /// The policy that was looked at last.
    policy: Option<Arc<Policy>>,
    /// What the pages say.
    shown: Option<Report>,
    /// That the ledger cannot be used was logged.
    complained: bool,
}

impl StatusTask {
    fn run(mut self, orders: &Receiver<RecorderCommand>) {
        let mut last = Instant::now();
        self.turn(unix_seconds());
        loop {
            match orders.recv_timeout(self.pause().saturating_sub(last.elapsed())) {
                Ok(RecorderCommand::Flush(done)) => {
                    // The ledger is about to be closed, and nobody is served any more.
                    let snapshot = self.gateway.snapshot();
                    self.count(&snapshot, unix_seconds());
                    self.save(unix_seconds());
                    let _ = done.send(());
                    return;
                }
                Ok(RecorderCommand::Ask(question)) => {
                    self.answer(question);
                    if last.elapsed() < self.pause() {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            last = Instant::now();
            self.turn(unix_seconds());
        }
    }

    /// How long it waits between two turns: never longer than a step of the history.
    fn pause(&self) -> Duration {
        Duration::from_secs(self.book.history().step()).min(TURN)
    }

    fn turn(&mut self, now: Seconds) {
        pace::keep();
        self.read();
        let snapshot = self.gateway.snapshot();
        self.follow(&snapshot);
        self.count(&snapshot, now);
        self.book.look(now, &seen(&snapshot));
        self.save(now);
        self.show(&snapshot, now);
    }

    /// Notices a change of the configuration.
    fn follow(&mut self, snapshot: &Snapshot) {
        if self.policy.as_ref().is_some_and(|known| Arc::ptr_eq(known, &snapshot.policy)) {
            return;
        }
        self.book.set(snapshot.settings.status.clone());
        for product in &snapshot.policy.products {
            let Some(traffic) = snapshot.tables.traffic(product) else { continue };
            if !self.sources.iter().any(|(_, known)| Arc::ptr_eq(known, traffic)) {
                self.sources.push((Arc::clone(&product.name), Arc::clone(traffic)));
            }
        }
        self.policy = Some(Arc::clone(&snapshot.policy));
        self.shown = None;
    }

    fn count(&mut self, snapshot: &Snapshot, now: Seconds) {
        for (product, traffic) in &self.sources {
            self.book.count(product, now, &traffic.take());
        }
        // A source that nobody else has will never count again.
        self.sources.retain(|(_, traffic)| Arc::strong_count(traffic) > 1);
        // Whoever was turned away unheard might have asked for any product.
        let turned_away = Counted { failed: self.gateway.take_turned_away(), ..Counted::default() };
        for product in &snapshot.policy.products {
            self.book.count(&product.name, now, &turned_away);
        }
    }

    /// Reads what an earlier process has written, as soon as that can be read.
    fn read(&mut self) {
        if self.read {
            return;
        }
        match self.ledger.status_store(unix_seconds()).wait_here() {
            Ok(StatusStore { entries, incidents, notices }) => {
                self.book.absorb(&entries, incidents, notices);
                self.read = true;
                self.complained = false;
            }
            Err(refusal) => self.complain(&refusal),
        }
    }

    fn save(&mut self, now: Seconds) {
        if !self.ledger.is_kept() || !self.read {
            return;
        }
        let (entries, incidents) = self.book.unsaved();
        if entries.is_empty() && incidents.is_empty() {
            return;
        }
        let changes = Changes { entries, incidents, now, step: self.book.history().step() };
        match self.ledger.write_annals(changes).wait_here() {
            Ok(()) => {
                self.book.saved();
                self.complained = false;
            }
            // All of it is written the next time.
            Err(refusal) => self.complain(&refusal),
        }
    }

    fn complain(&mut self, refusal: &Refusal) {
        if !std::mem::replace(&mut self.complained, true) {
            log::warn!(target: "tollgate::status", "the history of the status is in memory alone for now: {refusal}");
        }
    }

    /// Exchanges the pages, if they would say something else.
    fn show(&mut self, snapshot: &Snapshot, now: Seconds) {
        if !publish::is_served(&snapshot.policy, &snapshot.settings.site) {
            return;
        }
        let report = Report::new(&self.book, &publish::names(&snapshot.policy), now);
        if self.shown.as_ref() != Some(&report) {
            publish::replace(&snapshot.policy, &snapshot.settings.site, &report);
            self.shown = Some(report);
        }
    }

    fn answer(&mut self, question: Question) {
        let now = unix_seconds();
        // Whoever has asked may be gone.
        match question {
            Question::Add(notice, answer) => drop(answer.send(self.add(notice, now))),
            Question::Close(id, answer) => drop(answer.send(self.close(id, now))),
            Question::List(answer) => {
                drop(answer.send(Ok(self.book.notices().map(|notice| Shown::of(notice, now)).collect())));
            }
        }
    }

    fn add(&mut self, notice: Notice, now: Seconds) -> Result<Notice, Refused> {
        let snapshot = self.gateway.snapshot();
        let is_known = |product: &Arc<str>| snapshot.policy.products.iter().any(|known| known.name == *product);
        if !notice.product.as_ref().is_none_or(is_known) {
            return Err(Refused::NoProduct);
        }
        if !self.book.has_room(now) {
            return Err(Refused::TooMany);
        }
        self.read();
        let notice = if self.ledger.is_kept() {
            self.ledger.add_notice(notice).wait_here().map_err(Refused::Ledger)?
        } else {
            Notice { id: Some(self.book.next_number()), ..notice }
        };
        self.book.add(notice.clone(), now);
        self.show(&snapshot, now);
        Ok(notice)
    }

    fn close(&mut self, id: i64, now: Seconds) -> Result<Notice, Refused> {
        self.read();
        if self.book.open_notice(id).is_none() {
            return Err(Refused::Unknown);
        }
        if self.ledger.is_kept() {
            self.ledger.close_notice(id, now).wait_here().map_err(Refused::Ledger)?.ok_or(Refused::Unknown)?;
        }
        let notice = self.book.open_notice(id).ok_or(Refused::Unknown)?;
        notice.closed = Some(now);
        let notice = notice.clone();
        let snapshot = self.gateway.snapshot();
        self.show(&snapshot, now);
        Ok(notice)
    }
}

/// The products in force, and how their servers are.
fn seen(snapshot: &Snapshot) -> Vec<ProductState> {
    let upstreams = snapshot.exchange.upstreams();
    let health = |upstream: usize| match upstreams.pool(upstream).map(|pool| pool.reach()) {
        Some(Reach::Some) => Health::Up,
        Some(Reach::None) => Health::Down,
        Some(Reach::Unresolved) | None => Health::Unknown,
    };
    let products = snapshot.policy.products.iter();
    products
        .map(|product| ProductState { product: Arc::clone(&product.name), health: health(product.upstream) })
        .collect()
}

/// The time by the system's clock.
pub fn unix_seconds() -> Seconds {
    crate::platform::clock::unix_seconds(SystemTime::now())
}
