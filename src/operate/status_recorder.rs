//! The thread that records the status: it takes the counts of requests, updates the book, has it
//! saved, and replaces the pages when they change.
//!
//! Only this thread has the book. Requests never wait for it; operators do, since their notices go
//! through it. If the process crashes, only the counts since the last turn are lost. What an
//! earlier process has saved is read before anything is overwritten.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::ledger::{Ledger, Refusal};
use crate::operate::status_store::{Changes, StatusStore};
use crate::platform::clock::unix_seconds;
use crate::platform::pace;
use crate::policy::Frame;
use crate::policy::seconds::Seconds;
use crate::site::status::book::{Book, Health, ProductState};
use crate::site::status::notice::{Notice, Shown};
use crate::site::status::publish;
use crate::site::status::report::Report;
use crate::telemetry::traffic::{Counted, Traffic};
use crate::upstream::Reach;

/// The longest time between two turns; a crash loses the counts of one.
const TURN: Duration = Duration::from_secs(5);

/// How long the process waits for the last counts to be saved before it ends.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// Why an operator's notice was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are as many open ones as allowed.
    TooMany,
    /// No open notice has the number.
    Unknown,
    /// No product has the name.
    NoProduct,
    /// It could not be saved.
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
            Refused::Unknown => formatter.write_str("no open notice has this number; list them to see their numbers"),
            Refused::NoProduct => formatter.write_str("no product has this name; leave it out for all products"),
            Refused::Ledger(refusal) => refusal.fmt(formatter),
            Refused::Ended => formatter.write_str("the process is about to end"),
        }
    }
}

/// Messages to the thread.
enum RecorderCommand {
    Ask(Question),
    /// Save everything, and end.
    Flush(SyncSender<()>),
}

/// Requests of operators.
enum Question {
    Add(Notice, oneshot::Sender<Result<Notice, Refused>>),
    Close(i64, oneshot::Sender<Result<Notice, Refused>>),
    List(oneshot::Sender<Result<Vec<Shown>, Refused>>),
}

/// The sender of messages to the thread.
#[derive(Clone, Debug)]
pub struct Recorder(Sender<RecorderCommand>);

impl Recorder {
    /// Starts recording a gateway.
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
                frame: None,
                shown: None,
                complained: false,
            };
            task.run(&received);
        });
        Recorder(orders)
    }

    /// Adds a notice; returns it with its number.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn add(&self, notice: Notice) -> Result<Notice, Refused> {
        self.ask(|answer| Question::Add(notice, answer)).await
    }

    /// Closes a notice.
    ///
    /// # Errors
    /// Why it could not be closed.
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

    /// Saves the last counts; to be called before the ledger is closed.
    pub fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        if self.0.send(RecorderCommand::Flush(done)).is_ok() {
            // Fails if the thread has ended, and times out if it hangs.
            let _ = flushed.recv_timeout(CLOSING_PATIENCE);
        }
    }
}

/// The thread's own state.
struct StatusTask {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    book: Book,
    /// Whether everything that an earlier process has saved was read.
    read: bool,
    /// The counters of products; those of removed products are kept as long as a request uses them.
    sources: Vec<(Arc<str>, Arc<Traffic>)>,
    /// What was looked at last of a policy: where only accounts change, it stays.
    frame: Option<Arc<Frame>>,
    /// The report on the pages.
    shown: Option<Report>,
    /// Whether the failing ledger was logged.
    complained: bool,
}

impl StatusTask {
    fn run(mut self, orders: &Receiver<RecorderCommand>) {
        let mut last = Instant::now();
        self.turn(unix_seconds());
        loop {
            match orders.recv_timeout(self.pause().saturating_sub(last.elapsed())) {
                Ok(RecorderCommand::Flush(done)) => {
                    // The ledger is about to be closed, and no requests are served any more.
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

    /// The time between two turns: at most a step of the history.
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

    /// Follows a change of the configuration.
    fn follow(&mut self, snapshot: &Snapshot) {
        if self.frame.as_ref().is_some_and(|known| Arc::ptr_eq(known, &snapshot.policy.frame)) {
            return;
        }
        self.book.set(snapshot.settings.status.clone());
        for product in &snapshot.policy.products {
            let Some(traffic) = snapshot.tables.traffic(product) else { continue };
            if !self.sources.iter().any(|(_, known)| Arc::ptr_eq(known, traffic)) {
                self.sources.push((Arc::clone(&product.name), Arc::clone(traffic)));
            }
        }
        self.frame = Some(Arc::clone(&snapshot.policy.frame));
        self.shown = None;
    }

    fn count(&mut self, snapshot: &Snapshot, now: Seconds) {
        for (product, traffic) in &self.sources {
            self.book.count(product, now, &traffic.take());
        }
        // Counters that nobody else holds cannot change any more.
        self.sources.retain(|(_, traffic)| Arc::strong_count(traffic) > 1);
        // A connection that was refused unread could have been for any product.
        let turned_away = Counted { failed: self.gateway.take_turned_away(), ..Counted::default() };
        for product in &snapshot.policy.products {
            self.book.count(&product.name, now, &turned_away);
        }
    }

    /// Reads what an earlier process has saved, as soon as that is possible.
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
            // Everything is saved the next time.
            Err(refusal) => self.complain(&refusal),
        }
    }

    fn complain(&mut self, refusal: &Refusal) {
        if !std::mem::replace(&mut self.complained, true) {
            log::warn!(target: "tollgate::status", "the history of the status is only in memory for now: {refusal}");
        }
    }

    /// Replaces the pages, if they have changed.
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
        // Sending fails if nobody waits for the answer any more.
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

/// The configured products, and the health of their servers.
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
