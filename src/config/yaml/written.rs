//! Values that know where they are written, and limit a mistake to its value, so that the rest is still read.
//!
//! The reader of nodes (`reader.rs`) recognizes them by their names, and passes them the place of the value.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::mistakes::{Mistakes, Place};

/// The name by which the reader of nodes recognizes [`Written`].
pub(super) const WRITTEN: &str = "$tollgate::Written";

/// The name of a struct that can also be written as a single value; its visitor accepts a text as well as a mapping.
pub const TEXT_OR_KEYS: &str = "$tollgate::TextOrKeys";

/// The name of a struct that is written as a list when that says enough; its visitor takes a list as well as a
/// mapping.
pub const LIST_OR_KEYS: &str = "$tollgate::ListOrKeys";

thread_local! {
    /// The place that the reader of nodes passes to the visitor of a [`Written`], since `serde` has no way to pass it.
    /// It is set directly before the visitor is called, and taken first thing there.
    pub(super) static HANDED: Cell<Option<Place>> = const { Cell::new(None) };
}

/// The value of a key and its place. A value that cannot be read is `Bad` and its mistake is recorded, so that its
/// neighbours are still read. Formats other than [`read`](super::read)'s have no places: there it is read exactly as
/// `T`, with the default place.
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

    /// The place of the value, if there is one.
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
                    // Another format, without places.
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
        // A value of another kind is one mistake as well, and must not affect what is around it.
        let inside = Written::<EntriesInside<T>>::deserialize(deserializer)?;
        Ok(inside.take().map_or_else(Entries::default, |inside| inside.0))
    }
}

/// What [`Entries`] reads inside a `Written`.
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
        // A value of another kind is one mistake as well, and must not affect what is around it.
        let inside = Written::<ListedInside<T>>::deserialize(deserializer)?;
        Ok(inside.take().map_or_else(Listed::default, |inside| inside.0))
    }
}

/// What [`Listed`] reads inside a `Written`.
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
