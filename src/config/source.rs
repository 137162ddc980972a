//! The files from which a configuration is read: their size limits, a record of which were read, and errors about those
//! that cannot be.
//!
//! Their content is not interpreted here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::config::yaml::{Mistakes, Place};
use crate::platform::files::{self, Unreadable};

/// The most bytes of a configuration file or a schema; larger lists of accounts need JSON Lines.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The most bytes of a file with one account per line.
pub const MAX_LINES_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The most bytes of any file.
pub const MAX_WATCHED_BYTES: u64 = MAX_LINES_BYTES;

/// Where a configuration and the files it names are read from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files beside the configuration.
    Directory(Directory),
    /// Files that are part of the program, by name.
    Embedded(&'static [(&'static str, &'static str)]),
    /// Files that are not written yet, by name.
    Held(BTreeMap<String, String>),
}

/// A directory, with a record of which of its files were read.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub path: PathBuf,
    read: RefCell<Read>,
}

/// The files from which a configuration was read: a change of one of them is a change of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub files: BTreeSet<PathBuf>,
    /// The patterns of `include`; a new file that matches one is a change too.
    patterns: BTreeSet<String>,
}

impl Read {
    /// Every file that would be read now, whether it exists or not.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        let matching = self.patterns.iter().filter_map(|pattern| matching(pattern).ok()).flatten().flatten();
        self.files.iter().cloned().chain(matching).collect()
    }
}

/// The paths that match a pattern, as in a shell: names that begin with a dot only match patterns with that dot, so
/// that temporary files of editors are not read.
pub fn matching(pattern: &str) -> Result<impl Iterator<Item = glob::GlobResult>, glob::PatternError> {
    let written = PathBuf::from(pattern);
    // The library's own option for hidden files also skips those that the pattern names, and fails on names that are
    // not UTF-8.
    Ok(glob::glob(pattern)?.filter(move |path| path.as_ref().map_or(true, |path| is_written(path, &written))))
}

/// Whether the pattern has the leading dots of all hidden parts of a path.
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
    // `**` matches any directories.
    !parts.any(|part| starts_with_dot(&part))
}

impl Directory {
    /// The path of a file in it, which is recorded as read.
    fn read(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        self.note(&path);
        path
    }

    /// Records a path as read.
    pub fn note(&self, path: &Path) {
        self.read.borrow_mut().files.insert(path.to_owned());
    }

    /// Records every file that matches a pattern as read.
    pub fn note_pattern(&self, pattern: &str) {
        self.read.borrow_mut().patterns.insert(pattern.to_owned());
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::Directory(Directory { path, read: RefCell::default() })
    }
}

impl Source {
    /// What was read from it.
    pub fn into_read(self) -> Read {
        match self {
            Source::Directory(directory) => directory.read.into_inner(),
            Source::Embedded(_) | Source::Held(_) => Read::default(),
        }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// That it does not exist, is too large, or is not UTF-8; with its path.
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
            Source::Held(files) => {
                files.get(name).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, Unreadable::NotThere))
            }
        }
    }

    /// The text of a small file of at most `most` bytes.
    ///
    /// # Errors
    /// Those of [`Source::text`].
    pub fn small_text(&self, name: &str, most: u64) -> io::Result<String> {
        match self {
            Source::Directory(directory) => {
                let path = directory.read(name);
                files::text(&path, most).map_err(|why| unreadable(&path, why))
            }
            Source::Embedded(_) | Source::Held(_) => self.text(name),
        }
    }

    /// A file's name as messages show it.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Source::Directory(directory) => directory.path.join(name).display().to_string(),
            Source::Embedded(_) | Source::Held(_) => name.to_owned(),
        }
    }

    /// The bytes of a binary file of at most `most` bytes.
    ///
    /// # Errors
    /// That it does not exist or is too large; with its path.
    pub fn bytes(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        match self {
            Source::Directory(directory) => {
                let path = directory.read(name);
                files::bytes(&path, most).map_err(|why| unreadable(&path, why))
            }
            Source::Embedded(_) | Source::Held(_) => self.text(name).map(String::into_bytes),
        }
    }
}

/// Why a file cannot be read, with its path.
fn unreadable(path: &Path, why: Unreadable) -> io::Error {
    let place = match &why {
        Unreadable::NotUtf8(spot) => format!(":{}:{}", spot.line, spot.column),
        _ => String::new(),
    };
    io::Error::other(format!("{}{place} {why}", path.display()))
}

/// Reports a file that cannot be read, at the place in it that is at fault.
pub fn push_unreadable(name: &str, why: &Unreadable, instead: &str, mistakes: &mut Mistakes) {
    let (line, column) = match why {
        Unreadable::NotUtf8(spot) => (spot.line, spot.column),
        _ => (1, 1),
    };
    let instead = if why.says_what_to_do() { String::new() } else { format!("; {instead}") };
    mistakes.push(Place { file: name.into(), line, column, path: ".".into() }, format!("{why}{instead}"));
}
