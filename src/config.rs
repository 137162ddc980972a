//! The operator's YAML, read and compiled: all mistakes at once, each with file, line and column.
//!
//! `file.rs` has the keys exactly as they are written, `units.rs` the small languages inside their
//! values, and the rest turns them into a [`Policy`]. Nothing here decides about requests, and
//! nothing of a broken configuration comes into force.

mod account;
mod accounts;
pub mod argument;
mod bodies;
mod compile;
mod credits;
mod file;
mod lines;
mod listeners;
mod pages;
mod problems;
mod products;
pub mod schema;
pub mod shown;
mod status;
pub(crate) mod telemetry;
mod tls;
pub mod units;
mod upstreams;
pub mod yaml;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::yaml::{Mistakes, Place};
use crate::downstream::listener::Listeners;
use crate::ledger;
use crate::platform::pace;
use crate::platform::tls::Overdue;
use crate::policy::Policy;
use crate::policy::account::Digest;
use crate::policy::credits::CreditAccount;
use crate::telemetry::Outlets;

/// A configuration that is good in every part.
#[derive(Debug)]
pub struct Config {
    pub listeners: Arc<Listeners>,
    pub workers: usize,
    pub admin: SocketAddr,
    /// What operators must show to the admin listener, if it wants a token.
    pub admin_token: Option<Digest>,
    /// Names and addresses of the admin listener, beside its own.
    pub admin_hosts: Box<[Box<str>]>,
    /// Where credits and rates are kept; `None`: credits nowhere, and rates in memory.
    pub ledger: Option<ledger::LedgerSettings>,
    /// Where lines and spans of requests go.
    pub outlets: Outlets,
    pub policy: Policy,
}

impl Config {
    /// The certificates that are out of their time. They are no mistakes of the configuration: a
    /// gateway starts with them, since its other listeners are of use.
    pub fn overdue(&self, now: SystemTime) -> Vec<Overdue> {
        let of_listeners = self.listeners.tls().flat_map(|tls| tls.overdue(now));
        let upstreams = self.policy.upstreams.iter().filter_map(|upstream| upstream.tls.as_deref());
        of_listeners.chain(upstreams.flat_map(|tls| tls.overdue(now))).collect()
    }

    /// What the configuration amounts to, for an operator who checks it.
    pub fn summary(&self, name: &str) -> String {
        let policy = &self.policy;
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let routes: usize = policy.paths.routes();
        format!(
            "{name}: good\n  listens on {} with {}, admin on {}\n  {}, {} on {}, {}, {}\n  credits: {}\n",
            self.listeners,
            counted(self.workers, "worker"),
            self.admin,
            counted(policy.upstreams.len(), "upstream"),
            counted(policy.products.len(), "product"),
            counted(routes, "route"),
            counted(policy.accounts.len(), "account"),
            counted(policy.accounts.tokens(), "token"),
            match (
                policy.credit_accounts().inspect(|_| pace::step()).count(),
                self.ledger.as_ref().map(|ledger| &ledger.place)
            ) {
                (0, _) => "nobody pays".to_owned(),
                (credit_accounts, None | Some(ledger::Storage::Memory)) => {
                    format!("{}, kept in memory alone", counted(credit_accounts, "balance"))
                }
                (credit_accounts, Some(ledger::Storage::File(path))) => {
                    format!("{}, kept in {}", counted(credit_accounts, "balance"), path.display())
                }
            },
        )
    }
}

/// What can only be set when a process starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    listeners: Arc<Listeners>,
    workers: usize,
    admin: SocketAddr,
    admin_token: Option<Digest>,
    admin_hosts: Box<[Box<str>]>,
    ledger: Option<ledger::LedgerSettings>,
    outlets: Outlets,
}

impl Start {
    /// The key of the first thing that differs.
    pub fn difference(&self, other: &Start) -> Option<&'static str> {
        let Start { listeners, workers, admin, admin_token, admin_hosts, ledger, outlets } = self;
        [
            ("listeners", *listeners != other.listeners),
            ("workers", *workers != other.workers),
            ("admin", *admin != other.admin),
            ("admin_token", *admin_token != other.admin_token),
            ("admin_hosts", *admin_hosts != other.admin_hosts),
            ("ledger", *ledger != other.ledger),
            ("access_log", outlets.access_log != other.outlets.access_log),
            ("tracing.otlp", outlets.otlp != other.outlets.otlp),
        ]
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(key, _)| key)
    }
}

impl Config {
    /// What of it can only be set at the start.
    pub fn start(&self) -> Start {
        Start {
            listeners: Arc::clone(&self.listeners),
            workers: self.workers,
            admin: self.admin,
            admin_token: self.admin_token,
            admin_hosts: self.admin_hosts.clone(),
            ledger: self.ledger.clone(),
            outlets: self.outlets.clone(),
        }
    }
}

/// Where a configuration and the files it names are read from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files beside the configuration.
    Directory(Directory),
    /// Files that are part of the program, by name.
    Embedded(&'static [(&'static str, &'static str)]),
}

/// A directory, and which of its files were read.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    path: PathBuf,
    read: RefCell<Read>,
}

/// What a configuration was read from: a change of one of these is a change of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Read {
    files: BTreeSet<PathBuf>,
    /// Patterns of `include`; a file that comes to match one is a change too.
    patterns: BTreeSet<String>,
}

impl Read {
    /// Every file that is read at the moment, there or not.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        let matching = self.patterns.iter().filter_map(|pattern| glob::glob(pattern).ok()).flatten().flatten();
        self.files.iter().cloned().chain(matching).collect()
    }
}

impl Directory {
    /// The path of a file in it, which counts as read from now on.
    fn read(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        self.note(&path);
        path
    }

    /// Counts a path as read.
    fn note(&self, path: &Path) {
        self.read.borrow_mut().files.insert(path.to_owned());
    }

    /// Counts every file that matches a pattern as read.
    fn note_pattern(&self, pattern: &str) {
        self.read.borrow_mut().patterns.insert(pattern.to_owned());
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::Directory(Directory { path, read: RefCell::default() })
    }
}

/// Bytes of a configuration file or a schema; lists of accounts go into JSON Lines beyond it.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

impl Source {
    /// The text of a file.
    ///
    /// # Errors
    /// That of the file system, or that the file is too large or not UTF-8.
    pub fn text(&self, name: &str) -> io::Result<String> {
        match self {
            Source::Directory(directory) => read_bounded(&directory.read(name)),
            Source::Embedded(files) => files
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("the file is larger than 64 MiB"));
    }
    std::fs::read_to_string(path)
}

impl Source {
    /// The bytes of a file that is no text, at most so many.
    ///
    /// # Errors
    /// That of the file system, or that the file is too large.
    pub fn bytes(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        match self {
            Source::Directory(directory) => {
                let path = directory.read(name);
                if std::fs::metadata(&path)?.len() > most {
                    return Err(io::Error::other(format!("the file is larger than {} KiB", most / 1024)));
                }
                std::fs::read(path)
            }
            Source::Embedded(_) => self.text(name).map(String::into_bytes),
        }
    }
}

/// The configuration that is in force while another one is loaded, which goes on with what it can.
pub struct Predecessor<'p> {
    pub policy: &'p Policy,
    /// The credits of an account for a product, if they are known.
    pub credit_account: &'p dyn Fn(&str, &str) -> Option<Arc<CreditAccount>>,
}

/// Reads a configuration file and everything it names.
///
/// # Errors
/// Every mistake in them.
pub fn load(path: &Path) -> Result<Config, Mistakes> {
    load_and_note(path, None).0
}

/// The same, and what was read for it, whatever came of it. Accounts that a predecessor has, and that
/// are written as they were, are the same values.
pub fn load_and_note(path: &Path, predecessor: Option<&Predecessor<'_>>) -> (Result<Config, Mistakes>, Read) {
    let name = path.display().to_string();
    let source = Source::from(path.parent().map(Path::to_owned).unwrap_or_default());
    let loaded = match read_bounded(path) {
        Ok(text) => parse_following(&name, &text, &source, predecessor),
        Err(error) => {
            let mut mistakes = Mistakes::default();
            let place = Place { file: name.into(), line: 1, column: 1, path: ".".into() };
            mistakes.push(place, format!("cannot be read ({error}); name a file that this user may read"));
            Err(mistakes)
        }
    };
    let mut read = match source {
        Source::Directory(directory) => directory.read.into_inner(),
        Source::Embedded(_) => Read::default(),
    };
    read.files.insert(path.to_owned());
    (loaded, read)
}

/// Reads a configuration from its text.
///
/// # Errors
/// Every mistake in it and in the files it names.
pub fn parse(name: &str, text: &str, source: &Source) -> Result<Config, Mistakes> {
    parse_following(name, text, source, None)
}

/// Ways to the same accounts that save most of the work, and know no places: what is wrong has to be
/// looked for without them.
struct Shortcuts<'p> {
    predecessor: Option<&'p Predecessor<'p>>,
    /// Whether one of them was taken.
    taken: Cell<bool>,
}

fn parse_following(
    name: &str,
    text: &str,
    source: &Source,
    predecessor: Option<&Predecessor<'_>>,
) -> Result<Config, Mistakes> {
    let shortcuts = Shortcuts { predecessor, taken: Cell::new(false) };
    let parsed = parse_by(name, text, source, Some(&shortcuts));
    parsed.or_else(|mistakes| if shortcuts.taken.get() { parse_by(name, text, source, None) } else { Err(mistakes) })
}

fn parse_by(name: &str, text: &str, source: &Source, shortcuts: Option<&Shortcuts<'_>>) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::default();
    let read = yaml::read_also::<file::File, shown::AsWritten>(name, text, &mut mistakes);
    let config = read.and_then(|(file, root, written)| {
        compile::compile(file, &root, source, shortcuts, &mut mistakes).map(|config| (config, written))
    });
    match config {
        Some((mut config, written)) if mistakes.is_empty() => {
            config.policy.shown = shown::effective(written.unwrap_or_default(), &config);
            Ok(config)
        }
        Some(_) | None => Err(mistakes),
    }
}

#[cfg(test)]
#[path = "config/credit_tests.rs"]
mod credit_tests;
#[cfg(test)]
#[path = "config/following_tests.rs"]
mod following_tests;
#[cfg(test)]
#[path = "config/listener_tests.rs"]
mod listener_tests;
#[cfg(test)]
#[path = "config/page_tests.rs"]
mod page_tests;
#[cfg(test)]
#[path = "config/sight_tests.rs"]
mod sight_tests;
#[cfg(test)]
#[path = "config/status_tests.rs"]
mod status_tests;
#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
