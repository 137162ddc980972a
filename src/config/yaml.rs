//! Reads an operator's YAML (or JSON, which is YAML) into `serde` types and collects every mistake.
//!
//! A mistake is one line, `file:line:column: path: what is wrong; what to write instead`, without a path if it is about
//! the whole file, and it never shows a value of the file, because values can be secrets; names of keys are shown. The
//! types [`Written`], [`Entries`] and [`Listed`] limit a mistake to its value, so that the rest is still read. Parsing
//! text into nodes is in `yaml/tree.rs`. Nothing here depends on what a file is for.

mod diagnosis;
mod entries;
mod mistakes;
pub mod outline;
mod path;
mod reader;
#[cfg(test)]
mod tests;
mod tree;
mod words;
mod written;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use entries::entries;
pub use mistakes::{Mistake, Mistakes, Place, Warning};
pub use reader::Expand;
pub use words::closest;
pub use words::invisible;
pub use written::{Entries, LIST_OR_KEYS, Listed, TEXT_OR_KEYS, Written};

/// Reads a text into a `T` with the place of its root. The text is good only if `mistakes` is still empty afterwards: a
/// value can be returned together with mistakes in parts of it.
pub fn read<T: DeserializeOwned>(file: &str, text: &str, mistakes: &mut Mistakes) -> Option<(T, Place)> {
    read_after(file, 0, text, mistakes)
}

/// The same for a part of a file that begins after `lines_before` lines.
pub fn read_after<T: DeserializeOwned>(
    file: &str,
    lines_before: usize,
    text: &str,
    mistakes: &mut Mistakes,
) -> Option<(T, Place)> {
    let file = Arc::from(file);
    let root = tree::parse(&file, lines_before, text, mistakes)?;
    reader::deserialize(file, &root, None, mistakes)
}

/// Reads a text whose values can have references. Also reads the text as it is written as another type `U`, if
/// possible; mistakes of that are ignored.
pub fn read_also<T: DeserializeOwned, U: DeserializeOwned>(
    file: &str,
    text: &str,
    expand: Expand<'_>,
    mistakes: &mut Mistakes,
) -> Option<(T, Place, Option<U>)> {
    let file: Arc<str> = Arc::from(file);
    let root = tree::parse(&file, 0, text, mistakes)?;
    let (value, place) = reader::deserialize(Arc::clone(&file), &root, Some(expand), mistakes)?;
    let also = reader::deserialize(file, &root, None, &mut Mistakes::default());
    Some((value, place, also.map(|(also, _)| also)))
}

/// The mistake for exceeding the time limit of a load.
pub const TOO_LONG: &str = tree::TOO_LONG;
