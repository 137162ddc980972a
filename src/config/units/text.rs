//! A value that is parsed from one text, by itself, in a list, or behind a reference.

use std::fmt;
use std::marker::PhantomData;

use schemars::{Schema, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::config::yaml::{Listed, Written};

/// A value that is parsed from one text.
pub type Text<T> = Written<Parsed<T>>;

/// A list of values, each parsed from one text.
pub type Texts<T> = Written<Listed<Parsed<T>>>;

/// A value that can be parsed from a text.
pub trait FromText: Sized {
    /// Parses the text.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    fn from_text(text: &str) -> Result<Self, &'static str>;

    /// A JSON Schema of its format. It may accept more than `from_text`, never less.
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

/// The schema of a text that matches an expression.
pub fn matching(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern })
}

/// Reads a [`FromText`] from any format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);
        impl<T: FromText> Visitor<'_> for TextVisitor<T> {
            type Value = Parsed<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Parsed<T>, E> {
                T::from_text(text).map(Parsed).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

/// A secret value, or a `${…}` reference to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referred<T> {
    Value(T),
    /// The text, which is not resolved yet.
    Reference(Box<str>),
}

impl<T: FromText> FromText for Referred<T> {
    fn from_text(text: &str) -> Result<Referred<T>, &'static str> {
        if text.starts_with("${") {
            return Ok(Referred::Reference(text.into()));
        }
        T::from_text(text).map(Referred::Value)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [T::schema(), matching(r"^\$\{(env|file):[^}]+\}$")] })
    }
}
