//! The files that a configuration is read from: how large they may be, which were read, and what is told
//! of one that cannot be.
//!
//! What is in them is nothing to this file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::config::yaml::{Mistakes, Place};
use crate::platform::files::{self, Unreadable};

/// Bytes of a configuration file or a schema; lists of accounts go into JSON Lines beyond it.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of a file with one account a line.
pub const MAX_LINES_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes of a file that can make a difference: no file may have more.
pub const MAX_WATCHED_BYTES: u64 = MAX_LINES_BYTES;

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
    pub path: PathBuf,
    read: RefCell<Read>,
}

/// What a configuration was read from: a change of one of these is a change of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub files: BTreeSet<PathBuf>,
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
pub fn matching(pattern: &str) -> Result<impl Iterator<Item = glob::GlobResult>, glob::PatternError> {
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
    pub fn note(&self, path: &Path) {
        self.read.borrow_mut().files.insert(path.to_owned());
    }

    /// Counts every file that matches a pattern as read.
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
            Source::Embedded(_) => Read::default(),
        }
    }

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
pub fn push_unreadable(name: &str, why: &Unreadable, instead: &str, mistakes: &mut Mistakes) {
    let (line, column) = match why {
        Unreadable::NotUtf8(spot) => (spot.line, spot.column),
        _ => (1, 1),
    };
    let instead = if why.says_what_to_do() { String::new() } else { format!("; {instead}") };
    mistakes.push(Place { file: name.into(), line, column, path: ".".into() }, format!("{why}{instead}"));
}
