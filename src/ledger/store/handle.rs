//! The store of a process: a writing thread and a reading thread, each with its own connection, so that neither waits
//! for the other; and notifications of changes, on PostgreSQL those of other nodes as well.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};

use super::act::Act;
use super::error::StoreError;
use super::location::Location;
use super::open::open;
use super::randomness::Randomness;
use super::sql::{Connection, Listener, PostgresSettings};
use super::writing::{self, Outcome, Writing};

/// Checks the accounts of a transaction before it is committed: whether they can come into force.
pub type AccountCheck = dyn Fn(&Connection, &[String]) -> Result<(), StoreError> + Send + Sync;

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// The store of a process.
#[derive(Debug)]
pub struct Store {
    location: Location,
    writer: Sender<Job>,
    reader: Sender<Job>,
    shared: Arc<Shared>,
}

/// The shared state.
struct Shared {
    /// Called before each commit, once it is set.
    check: ArcSwapOption<Box<AccountCheck>>,
    /// Commits of this process.
    commits: Mutex<u64>,
    committed: Condvar,
    /// The version with which requests are judged.
    in_force: watch::Sender<i64>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("in_force", &*self.in_force.borrow()).finish_non_exhaustive()
    }
}

/// A thread's connection.
struct Worker {
    location: Location,
    connection: Connection,
    /// The file it is connected to, if it is one.
    file: (u64, u64),
    random: Option<Box<dyn Randomness>>,
    shared: Arc<Shared>,
}

/// The pauses before an operation is run again that a database has lost.
const TRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500)];

const ENDED: StoreError = StoreError::Unavailable { why: "the process is about to end; ask again", code: None };

impl Store {
    /// Opens the store, and creates it if it does not exist.
    ///
    /// # Errors
    /// That it is something else, of a newer version, or cannot be opened.
    pub fn open(location: impl Into<Location>, random: Box<dyn Randomness>) -> Result<Store, StoreError> {
        let location = location.into();
        let shared = Arc::new(Shared {
            check: ArcSwapOption::empty(),
            commits: Mutex::new(0),
            committed: Condvar::new(),
            in_force: watch::Sender::new(0),
        });
        let writer = Worker::start(&location, Some(random), &shared)?;
        let reader = Worker::start(&location, None, &shared)?;
        match &location {
            Location::Postgres(settings) if !settings.is_pooled => listen(Arc::clone(settings), &shared),
            Location::Postgres(_) | Location::File(_) => {}
        }
        Ok(Store { location, writer, reader, shared })
    }

    /// Where it is.
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// Sets a check of every transaction before it is committed.
    pub fn set_check(&self, check: Box<AccountCheck>) {
        self.shared.check.store(Some(Arc::new(check)));
    }

    /// Runs an operation in a separate transaction; it is on the disk when this resolves. It is run once more if the
    /// database was lost before anything was committed.
    ///
    /// # Errors
    /// Those of the operation and of the store; nothing is done then.
    pub async fn write<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        act: Act,
        operation: impl FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Outcome<T>, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            // Fails if nobody waits for the answer any more.
            let _ = answer.send(worker.write(act, operation));
        });
        self.writer.send(job).map_err(|_| ENDED)?;
        outcome.await.map_err(|_| ENDED)?
    }

    /// The same for a thread that is no task of a runtime: it blocks until it is done.
    ///
    /// # Errors
    /// Those of the operation and of the store; nothing is done then.
    pub fn write_here<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        act: Act,
        operation: impl FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Outcome<T>, StoreError> {
        let (answer, outcome) = sync_channel(1);
        let job: Job = Box::new(move |worker| {
            let _ = answer.send(worker.write(act, operation));
        });
        self.writer.send(job).map_err(|_| ENDED)?;
        outcome.recv().map_err(|_| ENDED)?
    }

    /// Reads from one consistent snapshot.
    ///
    /// # Errors
    /// Those of the operation and of the store.
    pub async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            let _ = answer.send(worker.read(operation));
        });
        self.reader.send(job).map_err(|_| ENDED)?;
        outcome.await.map_err(|_| ENDED)?
    }

    /// Writes without a new version: upkeep, and data that is not part of the policy, such as usage.
    ///
    /// # Errors
    /// Those of the operation and of the store.
    pub async fn maintain<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            let _ = answer.send(worker.fresh().and_then(operation));
        });
        self.writer.send(job).map_err(|_| ENDED)?;
        outcome.await.map_err(|_| ENDED)?
    }

    /// Brings everything that was written into the file itself, at the end of the process, so that a copy of that file
    /// alone is whole. Another process that has it does so later.
    pub async fn settle(&self) {
        /// How long others that read are waited for: a successor serves already.
        const PATIENCE: Duration = Duration::from_millis(200);
        let settled = self.maintain(|connection| {
            let Some(file) = connection.sqlite() else { return Ok(()) };
            file.busy_timeout(PATIENCE)?;
            Ok(file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
        });
        if let Err(error) = settled.await {
            log::warn!(target: "tollgate::store", "what was written last is beside the store's file: {error}");
        }
    }

    /// The same for a thread that is no task of a runtime: it blocks until it is done.
    ///
    /// # Errors
    /// Those of the operation and of the store.
    pub fn maintain_here<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = sync_channel(1);
        let job: Job = Box::new(move |worker| {
            let _ = answer.send(worker.fresh().and_then(operation));
        });
        self.writer.send(job).map_err(|_| ENDED)?;
        outcome.recv().map_err(|_| ENDED)?
    }

    /// Blocks until this process has committed more than `seen` times, or a time has passed, after which other
    /// processes may have; returns the number of commits.
    pub fn wait_for_commit(&self, seen: u64, patience: Duration) -> u64 {
        let commits = self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.committed.wait_timeout_while(commits, patience, |commits| *commits <= seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes those who wait for a commit.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Sets the version with which requests are judged from now on.
    pub fn came_into_force(&self, version: i64) {
        self.shared.in_force.send_replace(version);
    }

    /// Resolves when requests are judged with a version or a later one; returns false if a time has passed before.
    pub async fn in_force(&self, version: i64, patience: Duration) -> bool {
        let mut known = self.shared.in_force.subscribe();
        let reached = known.wait_for(|known| *known >= version);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }
}

impl Shared {
    fn wake(&self) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        *commits = commits.wrapping_add(1);
        self.committed.notify_all();
    }
}

impl Worker {
    fn start(
        location: &Location,
        random: Option<Box<dyn Randomness>>,
        shared: &Arc<Shared>,
    ) -> Result<Sender<Job>, StoreError> {
        let connection = open(location)?;
        let (location, shared) = (location.clone(), Arc::clone(shared));
        let mut worker = Worker { file: inode(location.file()), location, connection, random, shared };
        let (jobs, received): (_, Receiver<Job>) = channel();
        std::thread::spawn(move || {
            for job in received {
                // An operation that panics is rolled back, and dropping the answer informs its caller.
                if catch_unwind(AssertUnwindSafe(|| job(&mut worker))).is_err() {
                    log::error!(target: "tollgate::store", "an operation on the store has failed and changed nothing");
                }
            }
        });
        Ok(jobs)
    }

    /// The connection to the file that is there now; it is opened again if the file was replaced. One to PostgreSQL
    /// connects again itself.
    fn fresh(&mut self) -> Result<&mut Connection, StoreError> {
        let file = inode(self.location.file());
        if file != self.file {
            self.connection = open(&self.location)?;
            self.file = inode(self.location.file());
            self.shared.wake();
        }
        Ok(&mut self.connection)
    }

    fn write<T: Serialize + DeserializeOwned>(
        &mut self,
        act: Act,
        mut operation: impl FnMut(&mut Writing<'_>) -> Result<T, StoreError>,
    ) -> Result<Outcome<T>, StoreError> {
        self.fresh()?;
        let Some(random) = &mut self.random else { return Err(ENDED) };
        let check = self.shared.check.load_full();
        let check = check.as_ref().map(|check| {
            |connection: &Connection, accounts: &[String]| -> Result<(), StoreError> { check(connection, accounts) }
        });
        let check = check.as_ref().map(|check| check as writing::Check<'_>);
        let mut tries = TRIES.iter();
        loop {
            let outcome = writing::transact(&mut self.connection, act.clone(), &mut **random, check, &mut operation);
            match (outcome, tries.next()) {
                (Err(error), Some(pause)) if error.is_undone() => std::thread::sleep(*pause),
                (outcome, _) => {
                    if outcome.as_ref().is_ok_and(|outcome| !outcome.replayed) {
                        self.shared.wake();
                    }
                    return outcome;
                }
            }
        }
    }

    fn read<T>(&mut self, operation: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = self.fresh()?.transaction()?;
        operation(&transaction)
    }
}

/// The identity of the file at a path; a default if there is none.
fn inode(path: Option<&Path>) -> (u64, u64) {
    path.and_then(|path| fs::metadata(path).ok()).map_or((0, 0), |found| (found.dev(), found.ino()))
}

/// Wakes those who wait for a commit when another node has committed, for as long as the store is used.
fn listen(settings: Arc<PostgresSettings>, shared: &Arc<Shared>) {
    /// How long a silence lasts before it is looked whether anybody is still interested.
    const SILENCE: Duration = Duration::from_secs(2);
    let shared = Arc::downgrade(shared);
    std::thread::spawn(move || {
        while shared.strong_count() > 0 {
            if let Ok(mut listener) = Listener::open(&settings) {
                wake_at_each(&mut listener, &shared, SILENCE);
            }
            // Until it listens again, the change log is looked at regularly.
            std::thread::sleep(SILENCE);
        }
    });
}

fn wake_at_each(listener: &mut Listener, shared: &Weak<Shared>, silence: Duration) {
    loop {
        let Ok(is_woken) = listener.wait(silence) else { return };
        let Some(shared) = shared.upgrade() else { return };
        if is_woken {
            shared.wake();
        }
    }
}
