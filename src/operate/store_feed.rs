//! How the store's accounts come into force: all of them at the start, and those that have changed as soon as a
//! transaction is committed, by this process or by another one that has the file.
//!
//! A thread waits for commits and looks into the change log behind the moment that it knows. What has changed since
//! is read and compiled, and the thread that reloads puts it in force with one swap (`reload/accounts.rs`). If the
//! moment is not in the log any more (the store was restored from a copy, or nobody has looked for days), everything
//! is read anew. What of the store cannot be in force is left out, told, and counted; the rest serves.

mod check;
mod compile;
mod conflicts;
mod figures;
mod going_back;
mod heartbeat;
mod reading;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use crate::config::rows::RowCompiler;
use crate::config::store::StoreSettings;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::ledger::Ledger;
use crate::ledger::store::changes::{self, Moment};
use crate::ledger::store::handle::AccountCheck;
use crate::ledger::store::nodes::{Node, NodeIdentity};
use crate::ledger::store::upkeep::{self, Kept};
use crate::ledger::store::{
    Connection, Location, Store, StoreError, accounts as accounts_in_store, open, plans, whole,
};
use crate::operate::reload::Reloader;
use crate::operate::reload::accounts::AccountSource;
use crate::platform::clock::unix_milliseconds;
use crate::platform::count::{counted, either};
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::directory::change::{AccountChange, Conflict};
pub use check::{check, conflicts_with, flaws, flaws_in, is_there, take_in};
use compile::{compile_all, compiled};
use conflicts::Conflicts;
pub use conflicts::{AccountConflict, ConflictsShown};
use figures::FeedMetrics;
use going_back::GoingBack;
use heartbeat::Heartbeat;
use reading::{Batch, read};

/// How often it is looked whether another process has changed the store's file.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long it is waited after the store could not be read.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often what is old is removed from the store.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(600);

/// What is known of the store's accounts in force.
#[derive(Clone, Debug)]
pub struct StoreFeed {
    store: Arc<Store>,
    conflicts: Conflicts,
    figures: FeedMetrics,
    location: Location,
    kept: Kept,
    /// The moment at which everything was read first.
    loaded: Moment,
    /// What this gateway tells others of itself.
    identity: Arc<NodeIdentity>,
    stop: Arc<AtomicBool>,
}

impl StoreFeed {
    /// Reads all accounts of the store into a policy that is not in force yet.
    ///
    /// # Errors
    /// That the store cannot be read, in words for the operator.
    pub fn load(settings: &StoreSettings, store: Arc<Store>, policy: &mut Policy) -> Result<StoreFeed, String> {
        let told = |error: StoreError| format!("{}: {error}", settings.location);
        let mut connection = open(&settings.location).map_err(told)?;
        let conflicts = Conflicts::default();
        let began = Instant::now();
        let (loaded, accounts) = {
            let snapshot = connection.transaction().map_err(|error| told(error.into()))?;
            let loaded = changes::moment(&snapshot).map_err(told)?;
            let accounts = match policy.has_store {
                true => compile_all(&snapshot, policy, &|_, _| None, &conflicts).map_err(told)?,
                false => Vec::new(),
            };
            (loaded, accounts)
        };
        let count = accounts.len();
        conflicts.add(policy.take_in(accounts, pace::step));
        log::info!(
            target: "tollgate::store",
            "{} read from the store in {} ms",
            counted(count, "account") + either(&count, " was", " were"),
            began.elapsed().as_millis()
        );
        conflicts.log();
        store.came_into_force(loaded.version);
        let feed = StoreFeed {
            store,
            conflicts,
            figures: FeedMetrics::default(),
            location: settings.location.clone(),
            kept: settings.kept,
            loaded,
            identity: Arc::new(heartbeat::identity()),
            stop: Arc::default(),
        };
        feed.figures.look(loaded, true);
        Ok(feed)
    }

    /// Follows the store from now on.
    pub fn follow(&self, reloader: Reloader, gateway: Arc<Gateway>, ledger: Arc<Ledger>) {
        self.store.set_check(self.check(Arc::clone(&gateway)));
        let feed = self.clone();
        std::thread::spawn(move || {
            let going_back = GoingBack::default();
            let upkept = Instant::now();
            let (known, connection, heartbeat) = (feed.loaded, None, Heartbeat::default());
            let mut follower = Follower { known, connection, upkept, going_back, heartbeat, feed, reloader, ledger };
            follower.run();
        });
    }

    /// Where accounts come from when the products of the configuration are others.
    pub fn source(&self, ledger: Arc<Ledger>) -> Box<dyn AccountSource> {
        Box::new(Source { feed: self.clone(), ledger })
    }

    /// Says of accounts that a transaction has changed whether they can be in force, before it is committed: what
    /// was wrong with them before is no reason to refuse, since a token must be disabled whatever else is.
    fn check(&self, gateway: Arc<Gateway>) -> Box<AccountCheck> {
        let conflicts = self.conflicts.clone();
        Box::new(move |connection, accounts| {
            let snapshot = gateway.snapshot();
            check(connection, accounts, &snapshot.policy, &|name| conflicts.of(name))
        })
    }

    /// What of the store is not in force.
    pub fn conflicts(&self) -> ConflictsShown {
        self.conflicts.shown()
    }

    /// What is wrong with an account of a name.
    pub fn conflicts_of(&self, account: &str) -> Vec<String> {
        self.conflicts.of(account)
    }

    /// This gateway, as others would see it.
    pub fn itself(&self) -> Node {
        Node { identity: (*self.identity).clone(), applied: self.figures.version(), quiet_ms: 0 }
    }

    /// Shows the metrics of the store.
    pub fn register(&self, registry: &mut Registry) {
        self.figures.register(registry, &self.conflicts);
    }

    /// Ends the thread that follows.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.store.wake();
    }
}

/// The store as a source for whoever loads other products.
struct Source {
    feed: StoreFeed,
    ledger: Arc<Ledger>,
}

impl AccountSource for Source {
    fn compile_all(&self, policy: &Policy) -> Vec<Arc<Account>> {
        let credit_account = |account: &str, product: &str| self.ledger.credit_account(account, product);
        let read = open(&self.feed.location).and_then(|mut connection| {
            let snapshot = connection.transaction()?;
            compile_all(&snapshot, policy, &credit_account, &self.feed.conflicts)
        });
        read.unwrap_or_else(|error| {
            // The thread that follows puts them in force as soon as the store can be read.
            log::error!(target: "tollgate::store", "the store's accounts cannot be read: {error}");
            self.feed.figures.read_anew();
            Vec::new()
        })
    }

    fn named(&self, policy: &Policy, names: &[Arc<str>]) -> Result<Vec<Arc<Account>>, String> {
        let read = open(&self.feed.location).and_then(|mut connection| {
            let snapshot = connection.transaction()?;
            let plans = plans::list(&snapshot)?;
            let no_credits = |_: &str, _: &str| None;
            let mut compiler = RowCompiler::new(policy, &plans, &no_credits);
            let mut accounts = Vec::new();
            for name in names {
                let Some(id) = accounts_in_store::id_of(&snapshot, name)? else { continue };
                // What cannot be in force is not there for tests either.
                let compiled = compiler.compile(&whole::one(&snapshot, &id)?);
                accounts.extend(compiled.ok().and_then(|compiled| compiled.account));
            }
            Ok(accounts)
        });
        read.map_err(|error: StoreError| error.to_string())
    }

    fn left_out(&self, policy: &Policy, gone: &[Arc<str>]) -> Option<Vec<Arc<Account>>> {
        let mut names = self.feed.conflicts.behind_files()?;
        names.extend(gone.iter().map(|name| name.to_string()));
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Some(Vec::new());
        }
        let credit_account = |account: &str, product: &str| self.ledger.credit_account(account, product);
        let read = open(&self.feed.location).and_then(|mut connection| {
            let snapshot = connection.transaction()?;
            let plans = plans::list(&snapshot)?;
            let mut compiler = RowCompiler::new(policy, &plans, &credit_account);
            let mut accounts = Vec::new();
            for name in names {
                let Some(id) = accounts_in_store::id_of(&snapshot, &name)? else { continue };
                match whole::one(&snapshot, &id) {
                    Ok(whole) => accounts.extend(compiled(&mut compiler, &whole, &self.feed.conflicts)),
                    Err(error) => self.feed.conflicts.damaged(&error),
                }
            }
            Ok(accounts)
        });
        // Whatever cannot be read now is read when the store is followed again.
        Some(read.unwrap_or_default())
    }

    fn refused(&self, conflicts: Vec<Conflict>) {
        self.feed.conflicts.add(conflicts);
    }

    fn not_used(&self) {
        self.feed.conflicts.clear();
    }
}

/// The thread that follows.
struct Follower {
    feed: StoreFeed,
    reloader: Reloader,
    ledger: Arc<Ledger>,
    /// The moment that is in force.
    known: Moment,
    connection: Option<Connection>,
    upkept: Instant,
    going_back: GoingBack,
    heartbeat: Heartbeat,
}

impl Follower {
    fn run(&mut self) {
        let mut commits = 0;
        let mut loads = self.reloader.loads();
        let interval = match &self.feed.location {
            Location::File(_) => LOOK_INTERVAL,
            Location::Postgres(settings) => settings.poll,
        };
        while !self.feed.stop.load(Ordering::Relaxed) {
            // What was kept out for an account of files may come in when the files have changed.
            let loaded = self.reloader.loads();
            let again = std::mem::replace(&mut loads, loaded) != loaded;
            if self.feed.figures.take_read_anew() {
                // No history has it.
                self.known = Moment { version: -1, nonce: 0 };
            }
            match self.look(again) {
                Ok(()) => {
                    self.feed.figures.look(self.known, true);
                }
                Err(error) => {
                    if self.feed.figures.look(self.known, false) {
                        log::error!(target: "tollgate::store", "the store cannot be read: {error}");
                    }
                    self.connection = None;
                    std::thread::sleep(RETRY_INTERVAL);
                }
            }
            if let Some(connection) = &self.connection {
                self.going_back.look(connection, &self.feed.store, unix_milliseconds());
                self.heartbeat.beat(connection, &self.feed.identity, self.known.version);
            }
            self.upkeep();
            commits = self.feed.store.wait_for_commit(commits, interval);
        }
        if let Some(connection) = &self.connection {
            heartbeat::leave(connection, &self.feed.identity);
        }
    }

    fn upkeep(&mut self) {
        if self.upkept.elapsed() < UPKEEP_INTERVAL {
            return;
        }
        // One step at a time, so that no change waits behind all of them.
        let kept = self.feed.kept;
        let is_more = self
            .connection
            .as_mut()
            .is_some_and(|connection| upkeep::step(connection, &kept, unix_milliseconds()).unwrap_or(false));
        if !is_more {
            self.upkept = Instant::now();
        }
    }

    /// Puts in force what has changed; with `again` what is in conflict as well.
    fn look(&mut self, again: bool) -> Result<(), StoreError> {
        let known = self.known;
        let left_out = if again { self.feed.conflicts.names() } else { Vec::new() };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(open(&self.feed.location)?),
        };
        let Some(batch) = read(connection, known, &left_out)? else { return Ok(()) };
        let now = batch.now;
        let ledger = Arc::clone(&self.ledger);
        let conflicts = self.feed.conflicts.clone();
        let figures = self.feed.figures.clone();
        let told =
            self.reloader.change_accounts(move |snapshot| changes_of(&batch, snapshot, &ledger, &conflicts, &figures));
        if let Ok(refused) = told.blocking_recv() {
            self.feed.conflicts.add(refused);
            self.known = now;
            self.feed.store.came_into_force(now.version);
        }
        self.feed.conflicts.log();
        Ok(())
    }
}

/// The changes that a batch comes to, by the products of a snapshot.
fn changes_of(
    batch: &Batch,
    snapshot: &Snapshot,
    ledger: &Ledger,
    conflicts: &Conflicts,
    figures: &FeedMetrics,
) -> Vec<AccountChange> {
    if !snapshot.policy.has_store {
        return Vec::new();
    }
    let credit_account = |account: &str, product: &str| ledger.credit_account(account, product);
    let mut compiler = RowCompiler::new(&snapshot.policy, &batch.plans, &credit_account);
    let mut changes = Vec::with_capacity(batch.accounts.len());
    if batch.is_all {
        conflicts.clear();
        let names: std::collections::HashSet<&str> =
            batch.accounts.iter().flatten().map(|whole| &*whole.account.name).collect();
        let gone = snapshot.policy.accounts.from_store().filter(|account| !names.contains(&*account.name));
        changes.extend(gone.map(|account| AccountChange::Remove(Arc::clone(&account.name))));
    }
    for found in &batch.accounts {
        pace::step();
        match found {
            // The account stays as it was.
            Err(error) => conflicts.damaged(error),
            Ok(whole) => {
                let name = &whole.account.name;
                // Its rows may have been damaged before.
                conflicts.set(&whole.account.id, Vec::new());
                match compiler.compile(whole) {
                    Ok(compiled) => {
                        conflicts.set(name, compiled.flaws);
                        let gone = || AccountChange::Remove(name.as_str().into());
                        changes.push(compiled.account.map_or_else(gone, AccountChange::Put));
                    }
                    // The account stays as it was.
                    Err(flaw) => conflicts.set(name, vec![flaw]),
                }
            }
        }
    }
    figures.changed(changes.len());
    changes
}
