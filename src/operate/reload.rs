//! Changes of the configuration while clients are served.
//!
//! A thread watches the files, compiles the whole configuration anew when one of them has changed,
//! and puts it in force by one swap; a request sees the one before or the one after. A broken one
//! changes nothing, and is tried again. What can only be set at the start, such as addresses, is never
//! half applied: a configuration that changes it is refused as a whole. When files are looked at and
//! loaded is `reload/lookout.rs`.

pub mod accounts;
mod content;
mod lookout;
pub mod shadow;
pub mod staged;
mod tests_first;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::config::yaml::Mistakes;
use crate::config::{self, Config, Predecessor, Read, Start};
use crate::gateway::Gateway;
use crate::gateway::shadow::state::Why;
use crate::gateway::snapshot::Snapshot;
use crate::gateway::stages::Outcome;
use crate::ledger::Ledger;
use crate::platform::clock::{since_1970, unix_seconds};
use crate::platform::count::counted;
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::directory::change::{AccountChange, Conflict};
use accounts::{AccountSource, AccountsOrder};
use content::content;
use lookout::{Lookout, Mark, Marks, Next, WATCH_INTERVAL};
use shadow::{Beside, Measured, ShadowError, Wanted};
use staged::{Due, StageCommand, Staging};

/// Asks for a reload, or for its figures.
#[derive(Clone, Debug)]
pub struct Reloader {
    orders: Sender<ReloadCommand>,
    figures: ReloadMetrics,
}

#[derive(Clone, Debug, Default)]
struct ReloadMetrics {
    reloads: Counter,
    failures: Counter,
    last_success: Gauge<f64, AtomicU64>,
    age: Age,
}

/// For how long the files may have said something else than what is in force. It is asked for when
/// somebody looks, so that it grows even while a load takes for ever.
#[derive(Clone, Debug)]
struct Age {
    started: Instant,
    /// Since when, since the start.
    outdated_since: Arc<Mutex<Option<Duration>>>,
}

impl Default for Age {
    fn default() -> Age {
        Age { started: Instant::now(), outdated_since: Arc::default() }
    }
}

impl Age {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn set(&self, outdated_since: Option<Duration>) {
        *self.outdated_since.lock().unwrap_or_else(PoisonError::into_inner) = outdated_since;
    }

    fn seconds(&self) -> f64 {
        let since = *self.outdated_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(0.0, |since| self.now().saturating_sub(since).as_secs_f64())
    }
}

impl Collector for Age {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help =
            "For how long the files have said something else than the configuration in force; 0 while they do not";
        let encoder = encoder.encode_descriptor("tollgate_config_outdated_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.seconds()).encode(encoder)
    }
}

/// Why a configuration is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Somebody has asked for it.
    Asked,
    /// Files have changed.
    Changed,
    /// The last time it could not be loaded. What is still wrong has been told.
    Again,
}

/// What the thread is told.
enum ReloadCommand {
    /// Load the configuration, changed or not, and say what came of it.
    Reload(Option<oneshot::Sender<Result<String, Mistakes>>>),
    /// Change some of the store's accounts.
    Accounts(AccountsOrder),
    /// Do something with a candidate, and say what came of it.
    Shadow(Wanted, oneshot::Sender<Result<String, ShadowError>>),
    /// Do something with a configuration that is staged, and say what came of it.
    Stage(StageCommand, oneshot::Sender<Result<String, &'static str>>),
}

/// Why a configuration has not come into force.
#[derive(Debug)]
pub enum ReloadError {
    /// What is wrong with it, or cannot change while the process runs.
    Mistakes(Mistakes),
    /// Nobody loads configurations any more.
    Ending,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Mistakes(mistakes) => mistakes.fmt(formatter),
            ReloadError::Ending => formatter.write_str("The process is about to end."),
        }
    }
}

impl std::error::Error for ReloadError {}

impl Reloader {
    /// Watches a configuration that has just been loaded from `path`, and what it has read.
    ///
    /// `loaded_at` is when loading began: what has changed since is loaded again.
    /// `store` has the accounts that are not in files, if there is one.
    pub fn start(
        watched: WatchedConfig,
        start: Start,
        gateway: Arc<Gateway>,
        ledger: Arc<Ledger>,
        store: Option<Box<dyn AccountSource>>,
    ) -> Reloader {
        let WatchedConfig { path, read, loaded_at } = watched;
        let (orders, received) = channel();
        let figures = ReloadMetrics::default();
        figures.last_success.set(since_1970().as_secs_f64());
        let mut watch = ConfigWatcher {
            path,
            read,
            start,
            gateway,
            ledger,
            store,
            figures: figures.clone(),
            lookout: Lookout::default(),
            looked: Instant::now(),
            digests: BTreeMap::new(),
            loaded: [0; 32],
            in_force: [0; 32],
            told: None,
            retired: Vec::new(),
            measured: None,
            shadow_ends: Why::Changed,
            staging: Staging::default(),
            in_force_before: [0; 32],
        };
        let known = watch.marks();
        // Nothing is known of files that may have changed while they were read.
        if !known.values().any(|mark| mark.is_newer(loaded_at)) {
            watch.loaded = watch.content(&known);
            watch.in_force = watch.loaded;
            watch.lookout = Lookout::new(known);
        }
        std::thread::spawn(move || watch.run(&received));
        Reloader { orders, figures }
    }

    /// Loads the configuration now.
    ///
    /// # Errors
    /// Every mistake in it, or what cannot change while the process runs.
    pub async fn reload(&self) -> Result<String, ReloadError> {
        let (answer, outcome) = oneshot::channel();
        self.orders.send(ReloadCommand::Reload(Some(answer))).map_err(|_| ReloadError::Ending)?;
        outcome.await.map_err(|_| ReloadError::Ending)?.map_err(ReloadError::Mistakes)
    }

    /// Does something with a configuration that is staged, and says what came of it; `None` if the process is about to end.
    pub async fn stage(&self, wanted: StageCommand) -> Option<Result<String, &'static str>> {
        let (answer, outcome) = oneshot::channel();
        self.orders.send(ReloadCommand::Stage(wanted, answer)).ok()?;
        outcome.await.ok()
    }

    /// Loads the configuration soon; the log says what came of it.
    pub fn reload_soon(&self) {
        // Without a thread the process is about to end.
        let _ = self.orders.send(ReloadCommand::Reload(None));
    }

    /// Changes some of the store's accounts. `compile` is called with the snapshot in force, and no other
    /// change comes in between. The answer comes once every request sees what has changed; without one the
    /// process is about to end.
    pub fn change_accounts(
        &self,
        compile: impl FnOnce(&Snapshot) -> Vec<AccountChange> + Send + 'static,
    ) -> oneshot::Receiver<Vec<Conflict>> {
        let (done, told) = oneshot::channel();
        let order = AccountsOrder { compile: Box::new(compile), done };
        // Without a thread the receiver learns it from the sender that is dropped.
        let _ = self.orders.send(ReloadCommand::Accounts(order));
        told
    }

    /// Starts, promotes or drops a candidate that judges beside the configuration in force; a summary comes back.
    ///
    /// # Errors
    /// Why nothing was done.
    pub async fn shadow(&self, wanted: Wanted) -> Result<String, ShadowError> {
        let ending = || ShadowError::Refused(ReloadError::Ending.to_string().into());
        let (answer, outcome) = oneshot::channel();
        self.orders.send(ReloadCommand::Shadow(wanted, answer)).map_err(|_| ending())?;
        outcome.await.map_err(|_| ending())?
    }

    /// How many configurations have come into force while the process ran.
    pub fn loads(&self) -> u64 {
        self.figures.reloads.get()
    }

    /// Shows the metrics of reloads.
    pub fn register(&self, registry: &mut Registry) {
        let ReloadMetrics { reloads, failures, last_success, age } = &self.figures;
        registry.register(
            "tollgate_config_reloads",
            "Configurations that came into force while running",
            reloads.clone(),
        );
        registry.register(
            "tollgate_config_reload_failures",
            "Configurations that were refused while running",
            failures.clone(),
        );
        registry.register(
            "tollgate_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded",
            last_success.clone(),
        );
        registry.register_collector(Box::new(age.clone()));
    }
}

/// A configuration that is in force, and its files.
#[derive(Debug)]
pub struct WatchedConfig {
    pub path: PathBuf,
    /// What was read for it.
    pub read: Read,
    /// When loading began.
    pub loaded_at: SystemTime,
}

/// The thread that watches.
struct ConfigWatcher {
    path: PathBuf,
    /// What was read for the last configuration, good or broken.
    read: Read,
    /// What can only be set at the start.
    start: Start,
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    /// Where the accounts come from that are not in files.
    store: Option<Box<dyn AccountSource>>,
    figures: ReloadMetrics,
    lookout: Lookout,
    /// When the files were looked at last.
    looked: Instant,
    /// What each file held when it was like this: of hundreds of megabytes only what looks different is
    /// read again.
    digests: BTreeMap<PathBuf, (Mark, [u8; 32])>,
    /// A digest of what was loaded last, good or broken.
    loaded: [u8; 32],
    /// A digest of what is in force.
    in_force: [u8; 32],
    /// What was wrong with it and was logged; `None` if it was good.
    told: Option<Mistakes>,
    /// Configurations that requests may still use. They are freed here, and not by a request.
    retired: Vec<Arc<Snapshot>>,
    /// The candidate that judges, or the last that did.
    measured: Option<Measured>,
    /// Why a shadow ends when a configuration comes into force.
    shadow_ends: Why,
    /// A configuration that is in force for a share of the accounts first.
    staging: Staging,
    /// A digest of what was in force before the one that is staged.
    in_force_before: [u8; 32],
}

impl ConfigWatcher {
    fn run(mut self, orders: &Receiver<ReloadCommand>) {
        loop {
            // Files are looked at as often as ever, however many accounts change in between.
            let patience = WATCH_INTERVAL.saturating_sub(self.looked.elapsed());
            let mut order = orders.recv_timeout(patience);
            pace::keep();
            if let Ok(ReloadCommand::Accounts(first)) = order {
                order = self.change_accounts(first, orders);
            }
            match order {
                Ok(ReloadCommand::Reload(answer)) => self.reload(answer),
                Ok(ReloadCommand::Shadow(wanted, answer)) => {
                    // Whoever has gone does not need to know.
                    let _ = answer.send(self.shadow(&wanted));
                }
                Ok(ReloadCommand::Stage(wanted, answer)) => {
                    // Whoever has gone does not need to know.
                    let _ = answer.send(self.stage(wanted));
                }
                // Taken out above.
                Ok(ReloadCommand::Accounts(_)) => {}
                Err(RecvTimeoutError::Timeout) if self.looked.elapsed() >= WATCH_INTERVAL => {
                    self.look();
                    self.looked = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.figures.age.set(self.lookout.outdated_since());
            self.retired.extend(shadow::watch(&self.gateway, Instant::now()));
            self.watch_stage();
            self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        }
    }

    /// Puts changes of accounts in force, with all others that wait; what comes behind them is next.
    fn change_accounts(
        &mut self,
        first: AccountsOrder,
        waiting: &Receiver<ReloadCommand>,
    ) -> Result<ReloadCommand, RecvTimeoutError> {
        let (mut orders, mut next) = (vec![first], Err(RecvTimeoutError::Timeout));
        while orders.len() < accounts::AT_ONCE && next.is_err() {
            match waiting.try_recv() {
                Ok(ReloadCommand::Accounts(order)) => orders.push(order),
                Ok(other) => next = Ok(other),
                Err(_) => break,
            }
        }
        let mut replaced = None;
        let follow = |changes: &[AccountChange]| {
            replaced = staged::follow(&self.gateway, changes, self.store.as_deref());
            shadow::follow(&self.gateway, changes, self.store.as_deref());
        };
        let before = accounts::change(&self.gateway, orders, follow);
        self.retired.extend(before.into_iter().chain(replaced));
        next
    }

    /// Does something with a candidate.
    fn shadow(&mut self, wanted: &Wanted) -> Result<String, ShadowError> {
        match wanted {
            Wanted::Start(path) => {
                let (gateway, ledger, store) = (&*self.gateway, &self.ledger, self.store.as_deref());
                let beside = Beside { own: &self.path, gateway, ledger, start: &self.start, store };
                let begun = shadow::start(path, beside)?;
                self.measured = Some(begun.measured);
                self.retired.push(begun.before);
                Ok(begun.summary)
            }
            Wanted::Promote => self.promote(),
            Wanted::Drop => {
                let before = shadow::end(&self.gateway, Why::Dropped).ok_or(shadow::NONE)?;
                self.retired.push(before);
                Ok("The shadow was dropped.".to_owned())
            }
        }
    }

    /// Puts the candidate that judges in force, by the ordinary reload.
    fn promote(&mut self) -> Result<String, ShadowError> {
        if self.gateway.shadows().running().is_none() {
            return Err(shadow::NONE);
        }
        let replaced = self.measured.as_ref().ok_or(shadow::NONE)?.replace(&self.path)?;
        self.shadow_ends = Why::Promoted;
        let loaded = self.load_now();
        self.shadow_ends = Why::Changed;
        // What is in force is what the files say again, and the candidate goes on.
        loaded.inspect_err(|_| replaced.undo()).map_err(ShadowError::Mistakes)
    }

    /// Ends the stage of a configuration whose time is over, or that has to go back.
    fn watch_stage(&mut self) {
        match self.staging.watch(&self.gateway, Instant::now()) {
            None => {}
            Some(Due::Promote) => self.retired.extend(self.staging.promote(&self.gateway).into_iter().flatten()),
            Some(Due::Back(outcome)) => {
                self.go_back(outcome);
            }
        }
    }

    /// Puts the configuration before in force again; whether one is staged.
    fn go_back(&mut self, outcome: Outcome) -> bool {
        let Some(retired) = self.staging.back(&self.gateway, &self.ledger, outcome) else { return false };
        self.retired.extend(retired);
        self.in_force = self.in_force_before;
        self.lookout.went_back(self.figures.age.now());
        true
    }

    /// Does something with a configuration that is staged.
    fn stage(&mut self, wanted: StageCommand) -> Result<String, &'static str> {
        match wanted {
            StageCommand::Promote => {
                let retired = self.staging.promote(&self.gateway).ok_or(staged::NONE)?;
                self.retired.extend(retired);
                Ok("The configuration that was staged is in force for all accounts.".to_owned())
            }
            StageCommand::Back if self.go_back(Outcome::TakenBack) => {
                Ok("The configuration before is in force for all accounts again. Mend the files before the next start."
                    .to_owned())
            }
            StageCommand::Back => Err(staged::NONE),
        }
    }

    /// Loads the files because somebody has asked for it.
    fn reload(&mut self, answer: Option<oneshot::Sender<Result<String, Mistakes>>>) {
        let outcome = self.load_now();
        if let Some(answer) = answer {
            // Whoever has gone does not need to know.
            let _ = answer.send(outcome);
        }
    }

    fn load_now(&mut self) -> Result<String, Mistakes> {
        let marks = self.marks();
        let content = self.content(&marks);
        self.lookout.loading(marks, self.figures.age.now());
        self.load(content, Occasion::Asked)
    }

    /// Looks at the files, and loads them if that is due. The log has what came of it.
    fn look(&mut self) {
        let (marks, now) = (self.marks(), self.figures.age.now());
        let next = self.lookout.look(marks.clone(), now);
        // A load can take long.
        self.figures.age.set(self.lookout.outdated_since());
        if next == Next::Wait {
            return;
        }
        let content = self.content(&marks);
        if content != self.loaded {
            let _ = self.load(content, Occasion::Changed);
        } else if self.lookout.retries(now) {
            let _ = self.load(content, Occasion::Again);
        } else {
            self.lookout.unchanged();
        }
    }

    /// What each file is like.
    fn marks(&self) -> Marks {
        let now = SystemTime::now();
        let marked = |path: PathBuf| {
            let mark = Mark::of(&path, now);
            (path, mark)
        };
        self.read.paths().into_iter().map(marked).collect()
    }

    /// A digest of the names and contents of all files: what was touched, but not changed, is not
    /// loaded again. `marks` are what they were like before.
    fn content(&mut self, marks: &Marks) -> [u8; 32] {
        let mut before = std::mem::take(&mut self.digests);
        for (path, mark) in marks {
            let known = before.remove(path).filter(|(known, _)| known == mark && mark.is_settled());
            let of_file = known.map_or_else(|| content(path, *mark), |(_, of_file)| of_file);
            self.digests.insert(path.clone(), (*mark, of_file));
        }
        self.digest()
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (path, (_, of_file)) in &self.digests {
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update(of_file);
        }
        digest.finalize().into()
    }

    /// After a load that began at a time and may have read other files than the one before: those count
    /// as known that have not changed since.
    fn follow(&mut self, began: SystemTime) {
        let mut known = Marks::new();
        for (path, mark) in self.marks() {
            if let Some(before) = self.lookout.known().get(&path) {
                known.insert(path, *before);
            } else if mark.is_settled() && !mark.is_newer(began) {
                self.digests.insert(path.clone(), (mark, content(&path, mark)));
                known.insert(path, mark);
            }
        }
        self.digests.retain(|path, _| known.contains_key(path));
        self.loaded = self.digest();
        self.lookout.follow(known);
    }

    /// Compiles the configuration and puts it in force; a summary, or all that is wrong with it.
    /// `content` is the digest of what the files had before they are read here.
    fn load(&mut self, content: [u8; 32], occasion: Occasion) -> Result<String, Mistakes> {
        self.loaded = content;
        let (began, began_at) = (self.figures.age.now(), SystemTime::now());
        let before = self.gateway.snapshot();
        let credit_account = |account: &str, product: &str| self.ledger.credit_account(account, product);
        let predecessor = Predecessor { policy: &before.policy, credit_account: &credit_account };
        let (loaded, read) = config::load_and_note(&self.path, Some(&predecessor));
        self.read = read;
        self.follow(began_at);
        // As when the access log is opened again.
        let is_same = self.loaded == self.in_force;
        let (name, now) = (self.path.display().to_string(), unix_seconds());
        let by = (&*before.policy, self.store.as_deref());
        match loaded.and_then(|config| tests_first::pass(config, &self.start, by, (&name, now))) {
            Ok(config) => {
                let summary = self.put_in_force(config, is_same);
                self.in_force = self.loaded;
                self.lookout.succeeded();
                self.told = None;
                Ok(summary)
            }
            Err(mistakes) => {
                self.lookout.failed(occasion == Occasion::Again, began, self.figures.age.now());
                if occasion != Occasion::Again || self.told.as_ref() != Some(&mistakes) {
                    self.tell(&mistakes);
                }
                Err(mistakes)
            }
        }
    }

    /// Counts a configuration that has mistakes, and logs the first of them.
    fn tell(&mut self, mistakes: &Mistakes) {
        self.figures.failures.inc();
        let first = mistakes.iter().next().map(ToString::to_string).unwrap_or_default();
        let more = match mistakes.len() {
            0 | 1 => String::new(),
            count => format!(" (and {})", counted(count.saturating_sub(1), "more mistake")),
        };
        log::error!(target: "tollgate::reload", "the configuration was not changed: {first}{more}");
        self.told = Some(mistakes.clone());
    }

    /// Puts a configuration in force. If it is the same as before, a candidate goes on beside it.
    fn put_in_force(&mut self, mut config: Config, is_same: bool) -> String {
        let summary = config.summary(&self.path.display().to_string());
        for warning in config.warnings.iter().take(config::MOST_WARNINGS) {
            log::warn!(target: "tollgate::reload", "{warning}");
        }
        let before = self.gateway.snapshot();
        accounts::keep(&mut config.policy, &before.policy, self.store.as_deref());
        pace::step();
        let (now, adopt) = (self.gateway.now(), |policy: &Arc<Policy>| self.ledger.adopt(policy));
        let mut snapshot = before.renewed(config.policy, config.settings, now, adopt);
        match &before.shadow {
            Some(shadow) if is_same && self.shadow_ends != Why::Promoted => snapshot.shadow = Some(Arc::clone(shadow)),
            Some(shadow) => drop(shadow.state().end(self.shadow_ends)),
            None => {}
        }
        if before.stage.is_none() {
            self.in_force_before = self.in_force;
        }
        self.staging.enter(&self.gateway, &before, &mut snapshot, Instant::now());
        snapshot.exchange.upstreams().resolve_new();
        pace::step();
        drop(self.gateway.publish(snapshot));
        // Requests that the configurations before have let pass meanwhile count as well.
        let (snapshot, now) = (self.gateway.snapshot(), self.gateway.now());
        snapshot.count_since(&before, now);
        if let Some(stage) = &before.stage {
            snapshot.count_since(stage.before(), now);
        }
        self.retired.push(before);
        self.figures.reloads.inc();
        self.figures.last_success.set(since_1970().as_secs_f64());
        log::info!(target: "tollgate::reload", "the configuration has changed");
        summary
    }
}
