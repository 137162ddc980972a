//! Parses a body as one JSON document (RFC 8259), and finds the order of its members.
//!
//! The value is judged in `evaluate.rs`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Bound;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::keywords::push;
use crate::policy::problem::{Hint, Problem, Row};

/// The deepest nesting of arrays and objects in a body (contract, section 3).
pub const MAX_NESTING: u8 = 32;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body without the byte order mark that it may begin with: it is the same body (contract, section 11), and a
/// parser may ignore the mark (RFC 8259, section 8.1).
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Parses one JSON document: no repeated key, no deep nesting, nothing behind it.
///
/// # Errors
/// `body-malformed`, with the line and column, from 1, where it stops being valid.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        malformed_behind("the body is not UTF-8", bytes.get(..error.valid_up_to()).unwrap_or_default())
    })?;
    let at = |reason, error: &serde_json::Error| {
        let (line, column) = place(text, error);
        malformed(reason, line, column)
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { nesting_left: MAX_NESTING }
        .deserialize(&mut deserializer)
        .map_err(|error| at("the body is not JSON, repeats a key, or is nested too deeply", &error))?;
    deserializer.end().map_err(|error| at("something follows the JSON document", &error))?;
    Ok(value)
}

/// Where a text stops being JSON. The parser counts a line end that it did not expect as column 0 of the next line; for
/// people it is the end of its own.
fn place(text: &str, error: &serde_json::Error) -> (usize, usize) {
    match (error.line(), error.column()) {
        (line @ 2.., 0) => {
            let line = line.saturating_sub(1);
            let length =
                text.split('\n').nth(line.saturating_sub(1)).map_or(0, |line| line.trim_end_matches('\r').len());
            (line, length.saturating_add(1))
        }
        place => place,
    }
}

fn malformed(reason: &'static str, line: usize, column: usize) -> Problem {
    let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
    // An empty text ends in column 0.
    Problem::new(Row::BodyMalformed, reason).with(Hint::At { line: number(line.max(1)), column: number(column.max(1)) })
}

/// The refusal of a body that cannot be read on behind these bytes.
pub fn malformed_behind(reason: &'static str, before: &[u8]) -> Problem {
    let (line, column) = position(before);
    malformed(reason, line, column)
}

/// The line and column behind some bytes, both from 1; columns count bytes, as the parser does.
fn position(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
    (line, column)
}

/// Says for each of some JSON Pointers when it comes up in a document; what does not comes as its nearest
/// parent does.
pub fn order(bytes: &[u8], wanted: &mut BTreeMap<String, usize>) {
    // The document itself comes before all that is in it.
    if let Some(root) = wanted.get_mut("") {
        *root = 0;
    }
    let left = wanted.values().filter(|index| **index == usize::MAX).count();
    let mut walk = Walk { wanted, pointer: String::new(), next: 0, left };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // It has been parsed before: an error is the end of the walk.
    let _ = (&mut walk).deserialize(&mut deserializer);
    let found: Vec<(String, usize)> = walk
        .wanted
        .iter()
        .filter(|(_, index)| **index == usize::MAX)
        .map(|(pointer, _)| {
            let mut above = pointer.as_str();
            while let Some((parent, _)) = above.rsplit_once('/') {
                above = parent;
                if let Some(index) = walk.wanted.get(parent).filter(|index| **index != usize::MAX) {
                    return (pointer.clone(), *index);
                }
            }
            (pointer.clone(), 0)
        })
        .collect();
    wanted.extend(found);
}

/// Walks through a document, only into the wanted members.
struct Walk<'w> {
    wanted: &'w mut BTreeMap<String, usize>,
    pointer: String,
    next: usize,
    /// What has not come up yet. A body can break a rule with its first bytes and go on for long.
    left: usize,
}

impl Walk<'_> {
    /// Enters a member; returns whether it, or something in it, is wanted.
    fn enter(&mut self, name: &str) -> bool {
        push(&mut self.pointer, name);
        self.is_wanted()
    }

    /// The same for an element.
    fn enter_element(&mut self, index: usize) -> bool {
        // Writing to a string cannot fail.
        let _ = write!(self.pointer, "/{index}");
        self.is_wanted()
    }

    fn is_wanted(&mut self) -> bool {
        if let Some(index) = self.wanted.get_mut(&self.pointer) {
            self.next = self.next.saturating_add(1);
            if *index == usize::MAX {
                self.left = self.left.saturating_sub(1);
            }
            *index = self.next;
        }
        let first = self.wanted.range::<str, _>((Bound::Included(self.pointer.as_str()), Bound::Unbounded)).next();
        first.is_some_and(|(wanted, _)| wanted.starts_with(&self.pointer))
    }

    /// Comes back from a member or an element.
    ///
    /// # Errors
    /// Nothing is left to look for.
    fn leave<E: Error>(&mut self) -> Result<(), E> {
        self.pointer.truncate(self.pointer.rfind('/').unwrap_or(0));
        if self.left == 0 { Err(E::custom("everything was found")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let wanted = self.enter_element(index);
            let found = if wanted {
                elements.next_element_seed(&mut *self)?.is_some()
            } else {
                elements.next_element::<IgnoredAny>()?.is_some()
            };
            self.leave()?;
            if !found {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if self.enter(&name) {
                members.next_value_seed(&mut *self)?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
            self.leave()?;
        }
        Ok(())
    }
}

/// Builds a value and refuses what `serde_json` alone would accept.
#[derive(Clone, Copy)]
struct Strict {
    nesting_left: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Strict, E> {
        let nesting_left = self.nesting_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Strict { nesting_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match values.entry(key) {
                Entry::Vacant(free) => free.insert(members.next_value_seed(inner)?),
                // Here, so that the error is told where the key is.
                Entry::Occupied(_) => return Err(A::Error::custom("a repeated key")),
            };
        }
        Ok(Value::Object(values))
    }
}
