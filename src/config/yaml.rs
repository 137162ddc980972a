//! Reads an operator's YAML (or JSON, which is YAML) into `serde` types and collects every mistake.
//!
//! A mistake is one line, `file:line:column: path: what is wrong; what to write instead`, without a path
//! where it is of the whole file, and it never shows a value of the file, because values can be secrets; names of keys are shown. The
//! types [`Written`], [`Entries`] and [`Listed`] keep a mistake to the value that has it, so that
//! the rest is still read. This file does not turn text into nodes (`yaml/tree.rs`), and it does
//! not know what any file is for.

mod diagnosis;
mod entries;
pub mod outline;
mod reader;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use entries::entries;
pub use words::closest;
pub use words::invisible;

/// Where something is written. The default place means that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The name of the file as it was given.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The way from the root, such as `accounts.acme.tokens[0].hash`; `.` is the root itself.
    pub path: Arc<str>,
}

impl Place {
    /// The same spot, with one more key on the path.
    pub fn key(&self, key: &str) -> Place {
        let mut path = match &*self.path {
            "." => String::new(),
            path => String::from(path),
        };
        tree::push_key(&mut path, key);
        Place { path: path.into(), ..self.clone() }
    }

    fn new(file: &Arc<str>, line: usize, column: usize, path: String) -> Place {
        let path = if path.is_empty() { Arc::from(".") } else { path.into() };
        Place { file: Arc::clone(file), line, column, path }
    }
}

/// One thing that is wrong with a file: nothing of the configuration comes into force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong and, behind a `; `, what to write instead.
    pub what: String,
}

/// One thing in a file that is allowed, and yet probably not what was meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where it is.
    pub place: Place,
    /// What will happen and, behind a `; `, what to write instead.
    pub what: String,
}

impl Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(formatter, &self.place, "", &self.what)
    }
}

impl Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(formatter, &self.place, "warning: ", &self.what)
    }
}

/// One line that editors can jump by, whatever the text was made of.
fn write_line(formatter: &mut fmt::Formatter<'_>, place: &Place, severity: &str, what: &str) -> fmt::Result {
    let Place { file, line, column, path } = place;
    write!(formatter, "{file}:{line}:{column}: ")?;
    // What is wrong with a file as a whole has no path in it.
    if !path.is_empty() && **path != *"." {
        write!(formatter, "{path}: ")?;
    }
    formatter.write_str(severity)?;
    for character in what.chars() {
        if character.is_control() {
            write!(formatter, "{}", character.escape_default())?;
        } else {
            write!(formatter, "{character}")?;
        }
    }
    Ok(())
}

/// Mistakes, and as many warnings, that are kept of one configuration: nobody reads more at a time, and a
/// file can have millions.
const MAX_TOLD: usize = 1000;

/// The mistakes and the warnings found so far, each once, in the order of file, line and column. What
/// goes beyond a thousand of either is only counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    mistakes: BTreeSet<Mistake>,
    warnings: BTreeSet<Warning>,
    /// Mistakes that were not kept.
    more: usize,
}

impl Mistakes {
    /// Adds a mistake, unless the same one is there already.
    pub fn push(&mut self, place: Place, what: impl Into<String>) {
        if self.mistakes.len() < MAX_TOLD {
            self.mistakes.insert(Mistake { place, what: what.into() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Adds a warning, unless the same one is there already. It keeps nothing from coming into force.
    pub fn warn(&mut self, place: Place, what: impl Into<String>) {
        if self.warnings.len() < MAX_TOLD {
            self.warnings.insert(Warning { place, what: what.into() });
        }
    }

    /// Adds everything of others, whose places are moved.
    pub fn take_over(&mut self, others: Mistakes, moved: impl Fn(Place) -> Place) {
        self.more = self.more.saturating_add(others.more);
        for Mistake { place, what } in others.mistakes {
            self.push(moved(place), what);
        }
        for Warning { place, what } in others.warnings {
            self.warn(moved(place), what);
        }
    }

    /// Whether nothing is wrong. There can be warnings all the same.
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.mistakes.len().saturating_add(self.more)
    }

    /// Whether something is wrong with the value at a place, or with a part of it.
    pub fn touch(&self, place: &Place) -> bool {
        self.mistakes.iter().any(|mistake| {
            let rest = mistake.place.path.strip_prefix(&*place.path);
            mistake.place.file == place.file && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// The mistakes in order, as far as they are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }

    /// The warnings in order, as far as they are kept.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.warnings.iter()
    }

    /// Takes the warnings out.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings).into_iter().collect()
    }
}

/// The mistakes, one a line; warnings are shown by who wants them.
impl Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistakes.iter().try_for_each(|mistake| writeln!(formatter, "{mistake}"))?;
        match self.more {
            0 => Ok(()),
            more => writeln!(formatter, "and {more} more mistakes"),
        }
    }
}

/// The value of a key, and where it stands. A value that cannot be read is `Bad` and has its
/// mistake recorded, so that its neighbours are still read. Formats other than [`read`]'s know no
/// places: there it reads exactly as `T` does, and the place is the default one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Written<T> {
    /// The key is not written.
    #[default]
    Missing,
    /// The key is written, but its value is a mistake that has been recorded.
    Bad,
    /// The value and its place.
    Here(T, Place),
}

impl<T> Written<T> {
    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Written::Here(value, _) => Some(value),
            Written::Missing | Written::Bad => None,
        }
    }

    /// The value itself, if there is one.
    pub fn take(self) -> Option<T> {
        match self {
            Written::Here(value, _) => Some(value),
            Written::Missing | Written::Bad => None,
        }
    }

    /// Where the value stands, if there is one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Written::Here(_, place) => Some(place),
            Written::Missing | Written::Bad => None,
        }
    }

    /// Whether the key is not written at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Written::Missing)
    }

    /// The value of a key that must be written: if it is missing, that is a mistake of the mapping
    /// at `parent`, and `instead` says what to write.
    pub fn require(self, parent: &Place, key: &str, instead: &str, mistakes: &mut Mistakes) -> Option<T> {
        if self.is_missing() {
            mistakes.push(parent.key(key), format!("is missing; {instead}"));
        }
        self.take()
    }
}

/// A mapping with free keys, in the written order, each with the place of its key. An entry that
/// cannot be read is left out and has its mistake recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<T>(pub Vec<(String, Place, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

/// A list whose elements know their places. An element that cannot be read is left out and has
/// its mistake recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T>(pub Vec<(T, Place)>);

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed(Vec::new())
    }
}

/// Reads a text into a `T` with the place of its root. The text is good only if `mistakes` is
/// still empty afterwards: a value can come back next to mistakes in parts of it.
pub fn read<T: DeserializeOwned>(file: &str, text: &str, mistakes: &mut Mistakes) -> Option<(T, Place)> {
    read_after(file, 0, text, mistakes)
}

/// The same for a text that stands in its file behind so many lines.
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

/// Makes the value of a text that has references in it, or says what is wrong with them.
pub type Expand<'e> = &'e dyn Fn(&str) -> Result<String, String>;

/// Reads a text whose values can have references; and beside it what another type makes of the text as it
/// is written, if it makes anything of it. That type's mistakes are nobody's.
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

/// What is told where the time for a load is over.
pub const TOO_LONG: &str = tree::TOO_LONG;

/// The name by which [`Written`] makes itself known to the reader of nodes.
const WRITTEN: &str = "$tollgate::Written";

/// The name of a struct that is written as one value when that says enough; its visitor takes a text
/// as well as a mapping.
pub const TEXT_OR_KEYS: &str = "$tollgate::TextOrKeys";

thread_local! {
    /// The place that the reader of nodes hands to the visitor of a [`Written`]. `serde` has no channel
    /// for it. It is filled right before the visitor is called and emptied first thing there.
    static HANDED: Cell<Option<Place>> = const { Cell::new(None) };
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrittenVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for WrittenVisitor<T> {
            type Value = Written<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                Ok(Written::Here(T::deserialize(deserializer)?, Place::default()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let Some(place) = HANDED.take() else {
                    // Another format, which shows what is inside at once.
                    let value = T::deserialize(SeqAccessDeserializer::new(access))?;
                    return Ok(Written::Here(value, Place::default()));
                };
                Ok(match access.next_element()? {
                    Some(value) => Written::Here(value, place),
                    None => Written::Bad,
                })
            }
        }
        deserializer.deserialize_newtype_struct(WRITTEN, WrittenVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A value of another kind is one mistake too, and must not end what is around it.
        let inside = Written::<EntriesInside<T>>::deserialize(deserializer)?;
        Ok(inside.take().map_or_else(Entries::default, |inside| inside.0))
    }
}

/// What [`Entries`] reads once it is known to keep its mistakes to itself.
struct EntriesInside<T>(Entries<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for EntriesInside<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData)).map(EntriesInside)
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(access.size_hint().unwrap_or(0));
        while let Some(entry) = access.next_entry::<Written<String>, Written<T>>()? {
            if let (Written::Here(key, place), Written::Here(value, _)) = entry {
                entries.push((key, place, value));
            }
        }
        Ok(Entries(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A value of another kind is one mistake too, and must not end what is around it.
        let inside = Written::<ListedInside<T>>::deserialize(deserializer)?;
        Ok(inside.take().map_or_else(Listed::default, |inside| inside.0))
    }
}

/// What [`Listed`] reads once it is known to keep its mistakes to itself.
struct ListedInside<T>(Listed<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ListedInside<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListedVisitor(PhantomData)).map(ListedInside)
    }
}

struct ListedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListedVisitor<T> {
    type Value = Listed<T>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::with_capacity(access.size_hint().unwrap_or(0));
        while let Some(item) = access.next_element::<Written<T>>()? {
            if let Written::Here(value, place) = item {
                items.push((value, place));
            }
        }
        Ok(Listed(items))
    }
}
