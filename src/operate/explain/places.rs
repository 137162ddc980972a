//! Where the configuration says what decided: files are read a second time, for this alone.
//!
//! The policy of a running gateway has no places. They are looked up afterwards by the keys that a
//! check is about, in the file that has them: the main one, or the included one that has the account.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::config::lines::{Lines, Next};
use crate::config::yaml::outline::{Outline, in_words, pointer};
use crate::config::{self, Read};
use crate::operate::failure::Failure;
use crate::platform::files;
use crate::policy::account::{Account, Digest};

/// The files of a configuration.
#[derive(Debug)]
pub struct Places {
    /// `None` where nothing is written in files.
    main: Option<Outline>,
    /// Where accounts may stand as well.
    others: Vec<PathBuf>,
}

/// Where something is written, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub file: String,
    pub line: usize,
    /// The key, such as `products.plate.routes[0]`.
    pub key: String,
    /// Whether the key is written there; otherwise its default counts, and the line is that of what
    /// it would stand in.
    pub written: bool,
}

/// The mapping of one account, in whichever file.
#[derive(Debug)]
pub struct AccountPlaces {
    outline: Outline,
    /// Lines that stand before the text of the outline.
    lines_before: usize,
    /// The pointer to the account.
    account: String,
    /// The pointer to the token.
    token: String,
}

impl Places {
    /// Reads the outline of a configuration that was loaded from these files.
    ///
    /// # Errors
    /// That the file cannot be read any more.
    pub fn read(path: &Path, read: &Read) -> Result<Places, Failure> {
        let name = path.display().to_string();
        let unreadable = |why: &dyn std::fmt::Display| Failure::from(format!("{name} {why}"));
        let text = files::text(path, config::MAX_FILE_BYTES).map_err(|why| unreadable(&why))?;
        let keep = |pointer: &str| !pointer.starts_with("/accounts/");
        let main =
            Outline::read(&name, &text, &keep).ok_or_else(|| unreadable(&"has changed and is not YAML any more"))?;
        let ends = ["yaml", "yml", "json", "jsonl", "ndjson"];
        let has_accounts = |other: &PathBuf| {
            let end = other.extension().and_then(|end| end.to_str()).unwrap_or_default();
            other != path && ends.contains(&end)
        };
        let others = std::iter::once(path.to_owned()).chain(read.paths().into_iter().filter(has_accounts)).collect();
        Ok(Places { main: Some(main), others })
    }

    /// Nowhere: what decides is not in files, or they are not at hand.
    pub const fn nowhere() -> Places {
        Places { main: None, others: Vec::new() }
    }

    /// Where some keys are written.
    pub fn of(&self, keys: &[&str]) -> Option<Location> {
        spot(self.main.as_ref()?, 0, &pointer(keys))
    }

    /// Where the element of a list is written whose `key` says `value`.
    pub fn element(&self, list: &[&str], key: &str, value: &str) -> Option<Location> {
        let main = self.main.as_ref()?;
        let says = |element: &String| main.text(&format!("{element}/{key}")) == Some(value);
        let element = main.elements(&pointer(list)).find(says)?;
        spot(main, 0, &element)
    }

    /// Where the element of a list is written that says `value` itself.
    pub fn word(&self, list: &[&str], value: &str) -> Option<Location> {
        let main = self.main.as_ref()?;
        let element = main.elements(&pointer(list)).find(|element| main.text(element) == Some(value))?;
        spot(main, 0, &element)
    }

    /// Where an account and one of its tokens are written.
    pub fn account(&self, account: &Account, token: &Digest) -> Option<AccountPlaces> {
        self.others.iter().find_map(|path| find(path, &account.name, token))
    }
}

impl AccountPlaces {
    /// Where a key of the account is written.
    pub fn of_account(&self, key: &[&str]) -> Option<Location> {
        spot(&self.outline, self.lines_before, &format!("{}{}", self.account, pointer(key)))
    }

    /// Where a key of the token is written.
    pub fn of_token(&self, key: &str) -> Option<Location> {
        spot(&self.outline, self.lines_before, &format!("{}{}", self.token, pointer(&[key])))
    }
}

fn spot(outline: &Outline, lines_before: usize, wanted: &str) -> Option<Location> {
    let (nearest, line) = outline.nearest(wanted)?;
    Some(Location {
        file: outline.file().to_owned(),
        line: line.saturating_add(lines_before),
        key: in_words(wanted),
        written: nearest == wanted,
    })
}

/// Looks for a token in one file.
fn find(path: &Path, account: &str, token: &Digest) -> Option<AccountPlaces> {
    let name = path.display().to_string();
    let by_lines = path.extension().is_some_and(|end| end == "jsonl" || end == "ndjson");
    if by_lines {
        return find_line(path, &name, account, token);
    }
    let text = files::text(path, config::MAX_FILE_BYTES).ok()?;
    let pointer = pointer(&["accounts", account]);
    let below = format!("{pointer}/");
    let keep = |other: &str| !other.starts_with("/accounts/") || other == pointer || other.starts_with(&below);
    let outline = Outline::read(&name, &text, &keep)?;
    in_outline(outline, 0, pointer, token)
}

/// Looks for a token in a file with one account a line. Only lines that can be the account's are read:
/// there may be millions of others.
fn find_line(path: &Path, name: &str, account: &str, token: &Digest) -> Option<AccountPlaces> {
    let mut lines = Lines::new(BufReader::new(files::open(path).ok()?), config::MAX_WATCHED_BYTES);
    loop {
        let (number, line) = match lines.next().ok()? {
            Next::Line(number, line) => (number, line),
            Next::TooLong(_) | Next::NotUtf8(_) | Next::OtherEncoding(_) | Next::TooLarge | Next::End => return None,
        };
        let is_it = || serde_json::from_str::<NameOfLine>(line).is_ok_and(|line| line.name == account);
        if line.contains("sha256:")
            && is_it()
            && let Some(outline) = Outline::read(name, line, &|_| true)
            && let Some(places) = in_outline(outline, number.saturating_sub(1), String::new(), token)
        {
            return Some(places);
        }
    }
}

/// What tells the account of a line.
#[derive(serde::Deserialize)]
struct NameOfLine {
    name: String,
}

fn in_outline(outline: Outline, lines_before: usize, account: String, token: &Digest) -> Option<AccountPlaces> {
    let has_digest = |element: &String| {
        let hash = outline.text(&format!("{element}/hash"));
        hash.is_some_and(|hash| Digest::parse(hash).as_ref() == Ok(token))
    };
    let token = outline.elements(&format!("{account}/tokens")).find(has_digest)?;
    Some(AccountPlaces { outline, lines_before, account, token })
}
