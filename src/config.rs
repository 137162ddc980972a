//! The operator's YAML, read and compiled: all mistakes at once, each with file, line and column.
//!
//! `file.rs` has the keys of the root, the file of each topic has the keys below them and their compilers, and
//! `units.rs` has the formats of single values; `compile.rs` assembles everything into a
//! [`Policy`](crate::policy::Policy). Nothing here decides about requests, and no part of a broken configuration comes
//! into force.

mod account;
mod accounts;
pub mod alerts;
mod answers;
pub mod api;
pub mod argument;
pub mod billing;
mod bodies;
pub(crate) mod bounds;
pub mod cases;
mod charges;
pub mod cluster;
pub(crate) mod collector;
mod common;
mod compile;
mod concurrency_limit;
mod cors;
mod counting;
mod credits;
mod deadline;
mod failures;
mod file;
mod fill;
pub mod findings;
mod following;
mod formats;
mod headers;
mod idempotency;
mod journal;
mod jwt;
mod ledger;
mod limits;
pub(crate) mod lines;
mod listeners;
mod lists;
mod loaded;
mod pages;
mod parameters;
mod plans;
pub mod portal;
mod postgres;
mod problems;
mod product_context;
mod products;
mod rates;
pub mod reference;
mod references;
mod routes;
pub mod rows;
pub mod schema;
pub mod shown;
pub mod sign_in;
mod source;
mod staging;
mod status;
pub mod store;
pub(crate) mod telemetry;
mod tls;
pub mod units;
mod upstreams;
pub mod yaml;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use following::Predecessor;
use following::{Around, Shortcuts};
pub use loaded::{Config, Start};
use source::push_unreadable;
pub use source::{Directory, MAX_FILE_BYTES, MAX_WATCHED_BYTES, Read, Source};

use crate::config::yaml::Mistakes;
use crate::platform::clock::unix_seconds;
use crate::platform::files;
use crate::platform::pace;
use crate::policy::seconds::Seconds;

/// The most warnings that are logged when a configuration comes into force; `check` shows all of them.
pub const MOST_WARNINGS: usize = 20;

/// The limit of processor time for reading a configuration with all its files: a million accounts take less than a
/// tenth of it.
const MAX_LOAD_TIME: Duration = Duration::from_secs(120);

/// Reads a configuration file and everything it names.
///
/// # Errors
/// Every mistake in them.
pub fn load(path: &Path) -> Result<Config, Mistakes> {
    load_and_note(path, None).0
}

/// The same; also returns which files were read, even if there are mistakes. Accounts that have not changed since
/// `predecessor` are the same values as there.
pub fn load_and_note(path: &Path, predecessor: Option<&Predecessor<'_>>) -> (Result<Config, Mistakes>, Read) {
    let _allowance = pace::Allowance::new(MAX_LOAD_TIME);
    let name = path.display().to_string();
    let source = Source::from(path.parent().map(Path::to_owned).unwrap_or_default());
    let loaded = match files::text(path, MAX_FILE_BYTES) {
        Ok(text) => parse_following(&name, &text, &source, predecessor, unix_seconds()),
        Err(why) => {
            let mut mistakes = Mistakes::default();
            push_unreadable(&name, &why, "name a file that this user may read", &mut mistakes);
            Err(mistakes)
        }
    };
    let mut read = source.into_read();
    read.files.insert(path.to_owned());
    (loaded, read)
}

/// Reads a configuration with the accounts of some files, or with its own if there are none: those of files, wherever
/// accounts come from.
///
/// # Errors
/// Every mistake in them.
pub fn load_accounts(path: &Path, files: &[PathBuf]) -> Result<Config, Mistakes> {
    let _allowance = pace::Allowance::new(MAX_LOAD_TIME);
    let name = path.display().to_string();
    let source = Source::from(path.parent().map(Path::to_owned).unwrap_or_default());
    match files::text(path, MAX_FILE_BYTES) {
        Ok(text) => {
            let around = Around { source: &source, from_store: None, instead: Some(files), now: unix_seconds() };
            parse_by(&name, &text, around, None)
        }
        Err(why) => {
            let mut mistakes = Mistakes::default();
            push_unreadable(&name, &why, "name a file that this user may read", &mut mistakes);
            Err(mistakes)
        }
    }
}

/// Reads a configuration from its text.
///
/// # Errors
/// Every mistake in it and in the files it names.
pub fn parse(name: &str, text: &str, source: &Source) -> Result<Config, Mistakes> {
    parse_following(name, text, source, None, unix_seconds())
}

fn parse_following(
    name: &str,
    text: &str,
    source: &Source,
    predecessor: Option<&Predecessor<'_>>,
    now: Seconds,
) -> Result<Config, Mistakes> {
    let shortcuts = Shortcuts { predecessor, taken: Cell::new(false) };
    let around = Around { source, from_store: predecessor.map(|before| &before.policy.accounts), instead: None, now };
    let parsed = parse_by(name, text, around, Some(&shortcuts));
    parsed.or_else(|mistakes| if shortcuts.taken.get() { parse_by(name, text, around, None) } else { Err(mistakes) })
}

fn parse_by(name: &str, text: &str, around: Around<'_>, shortcuts: Option<&Shortcuts<'_>>) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::default();
    let expand = |text: &str| references::expanded(text, around.source);
    let read = yaml::read_also::<file::File, shown::AsWritten>(name, text, &expand, &mut mistakes);
    let config = read.and_then(|(file, root, written)| {
        let written = written.unwrap_or_default();
        compile::compile(file, written, compile::MainFile { root: &root, text }, around, shortcuts, &mut mistakes)
    });
    match config {
        Some(mut config) if mistakes.is_empty() => {
            config.warnings = mistakes.take_warnings();
            Ok(config)
        }
        Some(_) | None => Err(mistakes),
    }
}

#[cfg(test)]
#[path = "config/following_tests.rs"]
mod following_tests;
#[cfg(test)]
#[path = "config/listener_tests.rs"]
mod listener_tests;
#[cfg(test)]
#[path = "config/mistakes_tests.rs"]
mod mistakes_tests;
#[cfg(test)]
#[path = "config/page_tests.rs"]
mod page_tests;
#[cfg(test)]
#[path = "config/shown_tests.rs"]
mod shown_tests;
#[cfg(test)]
#[path = "config/sight_tests.rs"]
mod sight_tests;
#[cfg(test)]
#[path = "config/stated_tests.rs"]
mod stated_tests;
#[cfg(test)]
#[path = "config/status_tests.rs"]
mod status_tests;
#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
