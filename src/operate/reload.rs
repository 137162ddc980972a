//! Changes of the configuration while clients are served.
//!
//! A thread watches the files, compiles the whole configuration anew when one of them has changed,
//! and puts it in force by one swap; a request sees the one before or the one after. A broken one
//! changes nothing. What can only be set at the start, such as addresses, is never half applied: a
//! configuration that changes it is refused as a whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::config::{self, Config, Predecessor, Read, Start};
use crate::gateway::{Gateway, Snapshot};
use crate::ledger::Ledger;
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::in_order::InOrder;

/// How often the files are looked at. A change is loaded once two looks have seen the same, so that
/// a file is not read while it is written.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Bytes of a file that are looked at at once: there may be hundreds of megabytes of accounts.
const PIECE_BYTES: usize = 32 * 1024;

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
}

/// What the thread is told.
enum ReloadCommand {
    /// Load the configuration, changed or not, and say what came of it.
    Reload(Option<oneshot::Sender<Result<String, String>>>),
}

impl Reloader {
    /// Watches a configuration that has just been loaded from `path`, and what it has read.
    ///
    /// `loaded_at` is when loading began: what has changed since is loaded again.
    pub fn start(watched: Watched, start: Start, gateway: Arc<Gateway>, ledger: Arc<Ledger>) -> Reloader {
        let Watched { path, read, loaded_at } = watched;
        let (orders, received) = channel();
        let figures = ReloadMetrics::default();
        figures.last_success.set(unix_seconds());
        let mut watch = ConfigWatcher {
            path,
            read,
            start,
            gateway,
            ledger,
            figures: figures.clone(),
            loaded: [0; 32],
            retired: Vec::new(),
        };
        let known = watch.marks();
        let loaded_at = loaded_at.duration_since(UNIX_EPOCH).map_or(i64::MAX, nanoseconds);
        let is_newer = |mark: &Mark| mark.is_some_and(|(.., changed)| changed >= loaded_at);
        // Nothing is known of files that may have changed while they were read.
        let known = if known.values().any(is_newer) { BTreeMap::new() } else { known };
        watch.loaded = if known.is_empty() { [0; 32] } else { watch.content() };
        std::thread::spawn(move || watch.run(&received, known));
        Reloader { orders, figures }
    }

    /// Loads the configuration now.
    ///
    /// # Errors
    /// Every mistake in it, or what cannot change while the process runs.
    pub async fn reload(&self) -> Result<String, String> {
        let (answer, told) = oneshot::channel();
        let ended = || "The process is about to end.".to_owned();
        self.orders.send(ReloadCommand::Reload(Some(answer))).map_err(|_| ended())?;
        told.await.map_err(|_| ended())?
    }

    /// Loads the configuration soon; the log says what came of it.
    pub fn reload_soon(&self) {
        // Without a thread the process is about to end.
        let _ = self.orders.send(ReloadCommand::Reload(None));
    }

    /// Shows the metrics of reloads.
    pub fn register(&self, registry: &mut Registry) {
        let ReloadMetrics { reloads, failures, last_success } = &self.figures;
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
    }
}

/// A configuration that is in force, and its files.
#[derive(Debug)]
pub struct Watched {
    pub path: PathBuf,
    /// What was read for it.
    pub read: Read,
    /// When loading began.
    pub loaded_at: SystemTime,
}

/// What a file was like when it was looked at: device, inode, size, and times of change in
/// nanoseconds; `None` for one that is not there.
type Mark = Option<(u64, u64, u64, i64, i64)>;

/// The thread that watches.
struct ConfigWatcher {
    path: PathBuf,
    /// What was read for the last configuration, good or broken.
    read: Read,
    /// What can only be set at the start.
    start: Start,
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    figures: ReloadMetrics,
    /// A digest of what was loaded last, good or broken.
    loaded: [u8; 32],
    /// Configurations that requests may still use. They are freed here, and not by a request.
    retired: Vec<Arc<Snapshot>>,
}

impl ConfigWatcher {
    fn run(mut self, orders: &Receiver<ReloadCommand>, mut known: BTreeMap<PathBuf, Mark>) {
        // What was seen once, and is loaded if it is seen again.
        let mut changed = None;
        loop {
            let order = orders.recv_timeout(WATCH_INTERVAL);
            pace::keep();
            match order {
                Ok(ReloadCommand::Reload(answer)) => {
                    // What changes from here on is another change.
                    (known, changed) = (self.marks(), None);
                    let outcome = self.load(self.content());
                    if let Some(answer) = answer {
                        // Whoever has gone does not need to know.
                        let _ = answer.send(outcome);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let marks = self.marks();
                    if marks == known {
                        changed = None;
                    } else if changed.as_ref() == Some(&marks) {
                        (known, changed) = (marks, None);
                        let content = self.content();
                        if content != self.loaded {
                            // The log has what came of it.
                            let _ = self.load(content);
                        }
                    } else {
                        changed = Some(marks);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        }
    }

    /// What each file is like. Links are followed, so that one that is changed is a change.
    fn marks(&self) -> BTreeMap<PathBuf, Mark> {
        let mark = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            let time = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
            let modified = time(found.mtime(), found.mtime_nsec());
            Some((found.dev(), found.ino(), found.size(), modified, time(found.ctime(), found.ctime_nsec())))
        };
        self.read
            .paths()
            .into_iter()
            .map(|path| {
                let mark = mark(&path);
                (path, mark)
            })
            .collect()
    }

    /// A digest of the names and contents of all files: what was touched, but not changed, is not
    /// loaded again.
    fn content(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for path in self.read.paths() {
            digest.update(path.as_os_str().as_encoded_bytes());
            // What cannot be read is a mistake that loading will tell.
            if let Ok(file) = std::fs::File::open(&path) {
                let mut file = BufReader::with_capacity(PIECE_BYTES, file);
                let mut length = 0;
                while let Ok(piece @ [_, ..]) = file.fill_buf() {
                    digest.update(piece);
                    let read = piece.len();
                    length += read;
                    file.consume(read);
                    pace::step();
                }
                digest.update(length.to_le_bytes());
            }
        }
        digest.finalize().into()
    }

    /// Compiles the configuration and puts it in force; a summary, or all that is wrong with it.
    /// `content` is the digest of what the files had before they are read here.
    fn load(&mut self, content: [u8; 32]) -> Result<String, String> {
        self.loaded = content;
        let before = self.gateway.snapshot();
        let credit_account = |account: &str, product: &str| self.ledger.credit_account(account, product);
        let predecessor = Predecessor { policy: &before.policy, credit_account: &credit_account };
        let (loaded, read) = config::load_and_note(&self.path, Some(&predecessor));
        self.read = read;
        let unchanged_start = |config: Config| match self.start.difference(&config.start()) {
            None => Ok(config),
            Some(key) => Err(format!(
                "{}:1:1: {key}: has changed, which needs an upgrade; use `tollgate upgrade`, or set it back",
                self.path.display()
            )),
        };
        let outcome = loaded.map_err(|mistakes| mistakes.to_string()).and_then(unchanged_start);
        match outcome {
            Ok(config) => Ok(self.put_in_force(config)),
            Err(mistakes) => {
                self.figures.failures.inc();
                let count = mistakes.lines().count();
                let more = if count > 1 { format!(" (and {} more mistakes)", count - 1) } else { String::new() };
                log::error!(
                    target: "tollgate::reload",
                    "the configuration was not changed: {}{more}",
                    mistakes.lines().next().unwrap_or_default()
                );
                Err(mistakes)
            }
        }
    }

    fn put_in_force(&mut self, config: Config) -> String {
        let summary = config.summary(&self.path.display().to_string());
        let before = self.gateway.snapshot();
        let mut policy = config.policy;
        policy.inherit(&before.policy);
        pace::step();
        let policy = Arc::new(policy);
        self.ledger.adopt(&policy);
        pace::step();
        let snapshot = before.renewed(Arc::clone(&policy));
        snapshot.exchange.upstreams().resolve_new();
        pace::step();
        drop(self.gateway.publish(snapshot));
        // Requests that the configuration before has let pass meanwhile count as well.
        policy.inherit_rates(&before.policy);
        self.retired.push(before);
        self.figures.reloads.inc();
        self.figures.last_success.set(unix_seconds());
        log::info!(target: "tollgate::reload", "the configuration has changed");
        summary
    }
}

impl Policy {
    /// Takes over the rates of a policy that this one follows. Upstreams that are verified as before
    /// keep their connections.
    fn inherit(&mut self, before: &Policy) {
        for upstream in &mut self.upstreams {
            let known = before.upstreams.iter().find(|known| known.name == upstream.name);
            if let Some(known) = known.filter(|known| known.tls == upstream.tls) {
                upstream.tls.clone_from(&known.tls);
            }
        }
        for product in &mut self.products {
            if let Some(known) = before.products.iter().find(|known| known.name == product.name) {
                product.traffic = Arc::clone(&known.traffic);
            }
        }
        self.inherit_rates(before);
        self.pages.inherit(&before.pages);
    }

    /// Counts what the accounts of a policy that this one follows have used. Those that are written as
    /// they were are the same in both.
    fn inherit_rates(&self, before: &Policy) {
        let mut known = InOrder::of(&before.accounts, |account| &*account.name);
        for account in self.accounts.iter() {
            let is_it = |known: &Arc<Account>| Arc::ptr_eq(known, account) || known.name == account.name;
            let known = known.find(&*account.name, is_it);
            pace::step();
            if let Some(known) = known.filter(|known| !Arc::ptr_eq(known, account)) {
                account.rate.inherit(&known.rate);
                account.account_info_rate.inherit(&known.account_info_rate);
            }
        }
    }
}

fn nanoseconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

fn unix_seconds() -> f64 {
    UNIX_EPOCH.elapsed().map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
