//! The operator's YAML, read and compiled: all mistakes at once, each with file, line and column.
//!
//! `file.rs` has the root's keys exactly as they are written, the file of each topic those below it and
//! what becomes of them, and `units.rs` the small languages inside their values; `compile.rs` puts it all
//! together into a [`Policy`](crate::policy::Policy). Nothing here decides about requests, and
//! nothing of a broken configuration comes into force.

mod account;
mod accounts;
pub mod argument;
mod bodies;
mod bounds;
mod charges;
mod common;
mod compile;
mod cors;
mod credits;
mod deadline;
mod failures;
mod file;
mod fill;
pub mod findings;
mod following;
mod headers;
mod ledger;
mod limits;
pub(crate) mod lines;
mod listeners;
mod loaded;
mod pages;
mod problems;
mod product_context;
mod products;
mod rates;
pub mod reference;
mod references;
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
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use following::Predecessor;
use following::Shortcuts;
pub use loaded::{Config, Start};

use crate::config::yaml::{Mistakes, Place};
use crate::platform::clock::unix_seconds;
use crate::platform::files::{self, Unreadable};
use crate::platform::pace;
use crate::policy::seconds::Seconds;

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
        let matching = self.patterns.iter().filter_map(|pattern| matching(pattern).ok()).flatten().flatten();
        self.files.iter().cloned().chain(matching).collect()
    }
}

/// The paths that match a pattern as a shell's would: what is hidden by a dot at its beginning has to be
/// written with one, so that nothing is read that an editor or a copy has left beside a file.
fn matching(pattern: &str) -> Result<impl Iterator<Item = glob::GlobResult>, glob::PatternError> {
    let written = PathBuf::from(pattern);
    // The library's own way to leave hidden files out leaves them out where they are written, too, and
    // does not bear names that are not UTF-8.
    Ok(glob::glob(pattern)?.filter(move |path| path.as_ref().map_or(true, |path| is_written(path, &written))))
}

/// Whether the hidden parts of a path are written with their dots in the pattern that it matches.
fn is_written(path: &Path, pattern: &Path) -> bool {
    const ANY_DIRECTORIES: &str = "**";
    let starts_with_dot = |part: &Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    let agree = |(part, written): (Component<'_>, Component<'_>)| !starts_with_dot(&part) || starts_with_dot(&written);
    let mut parts = path.components();
    let mut written = pattern.components();
    while let Some(next) = written.clone().next().filter(|next| next.as_os_str() != ANY_DIRECTORIES) {
        written.next();
        if !parts.next().is_none_or(|part| agree((part, next))) {
            return false;
        }
    }
    while let Some(last) = written.clone().next_back().filter(|last| last.as_os_str() != ANY_DIRECTORIES) {
        written.next_back();
        if !parts.next_back().is_none_or(|part| agree((part, last))) {
            return false;
        }
    }
    // What any directories stand for.
    !parts.any(|part| starts_with_dot(&part))
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
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Warnings that are logged when a configuration comes into force; `check` has all of them.
pub const MOST_WARNINGS: usize = 20;

/// Processor time that reading a configuration may take, with everything that it names: a million
/// accounts take less than a tenth of it.
const MAX_LOAD_TIME: Duration = Duration::from_secs(120);

/// Bytes of a file with one account a line.
const MAX_LINES_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes of a file that can make a difference: no file may have more.
pub const MAX_WATCHED_BYTES: u64 = MAX_LINES_BYTES;

impl Source {
    /// The text of a file.
    ///
    /// # Errors
    /// That there is none to read, that it is too large, or that it is not UTF-8; with its path.
    pub fn text(&self, name: &str) -> io::Result<String> {
        match self {
            Source::Directory(directory) => {
                let path = directory.read(name);
                files::text(&path, MAX_FILE_BYTES).map_err(|why| unreadable(&path, why))
            }
            Source::Embedded(files) => files
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, Unreadable::NotThere)),
        }
    }

    /// The text of a small file, at most so many bytes.
    ///
    /// # Errors
    /// Those of [`Source::text`].
    pub fn small_text(&self, name: &str, most: u64) -> io::Result<String> {
        match self {
            Source::Directory(directory) => {
                let path = directory.read(name);
                files::text(&path, most).map_err(|why| unreadable(&path, why))
            }
            Source::Embedded(_) => self.text(name),
        }
    }

    /// A file's name as messages show it.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Source::Directory(directory) => directory.path.join(name).display().to_string(),
            Source::Embedded(_) => name.to_owned(),
        }
    }

    /// The bytes of a file that is no text, at most so many.
    ///
    /// # Errors
    /// That there is none to read, or that it is too large; with its path.
    pub fn bytes(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        match self {
            Source::Directory(directory) => {
                let path = directory.read(name);
                files::bytes(&path, most).map_err(|why| unreadable(&path, why))
            }
            Source::Embedded(_) => self.text(name).map(String::into_bytes),
        }
    }
}

/// Why a file is not read, with its path.
fn unreadable(path: &Path, why: Unreadable) -> io::Error {
    let place = match &why {
        Unreadable::NotUtf8(spot) => format!(":{}:{}", spot.line, spot.column),
        _ => String::new(),
    };
    io::Error::other(format!("{}{place} {why}", path.display()))
}

/// The mistake that a file which is read by itself cannot be read, at the place that is at fault.
fn push_unreadable(name: &str, why: &Unreadable, instead: &str, mistakes: &mut Mistakes) {
    let (line, column) = match why {
        Unreadable::NotUtf8(spot) => (spot.line, spot.column),
        _ => (1, 1),
    };
    let instead = if why.says_what_to_do() { String::new() } else { format!("; {instead}") };
    mistakes.push(Place { file: name.into(), line, column, path: ".".into() }, format!("{why}{instead}"));
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
    let _allowance = pace::Allowance::new(MAX_LOAD_TIME);
    let name = path.display().to_string();
    let source = Source::from(path.parent().map(Path::to_owned).unwrap_or_default());
    let loaded = match files::text(path, MAX_FILE_BYTES) {
        Ok(text) => parse_following(&name, &text, &source, predecessor, unix_seconds(SystemTime::now())),
        Err(why) => {
            let mut mistakes = Mistakes::default();
            push_unreadable(&name, &why, "name a file that this user may read", &mut mistakes);
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
    parse_following(name, text, source, None, unix_seconds(SystemTime::now()))
}

fn parse_following(
    name: &str,
    text: &str,
    source: &Source,
    predecessor: Option<&Predecessor<'_>>,
    now: Seconds,
) -> Result<Config, Mistakes> {
    let shortcuts = Shortcuts { predecessor, taken: Cell::new(false) };
    let parsed = parse_by(name, text, source, Some(&shortcuts), now);
    parsed
        .or_else(|mistakes| if shortcuts.taken.get() { parse_by(name, text, source, None, now) } else { Err(mistakes) })
}

fn parse_by(
    name: &str,
    text: &str,
    source: &Source,
    shortcuts: Option<&Shortcuts<'_>>,
    now: Seconds,
) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::default();
    let expand = |text: &str| references::expanded(text, source);
    let read = yaml::read_also::<file::File, shown::AsWritten>(name, text, &expand, &mut mistakes);
    let config = read.and_then(|(file, root, written)| {
        let written = written.unwrap_or_default();
        compile::compile(file, written, compile::MainFile { root: &root, text }, source, shortcuts, now, &mut mistakes)
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
