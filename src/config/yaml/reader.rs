//! Reads a tree of nodes into `serde` types: a `Deserializer` whose errors are written for operators.
//!
//! Every error is recorded at the innermost node around it, and no message shows a value of the file. The tree is built
//! in `tree.rs`, mistakes are defined in `mistakes.rs`, and the types that limit a mistake to its value are in
//! `written.rs`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt::{self, Display, Write};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use super::mistakes::{Mistakes, Place};
use super::path::{push_index, push_key};
use super::tree::{Kind, Node, Resolved, TOO_LONG, resolve};
use super::words::{in_plain_words, invisible, shown, unknown_key};
use super::written::{HANDED, LIST_OR_KEYS, TEXT_OR_KEYS, WRITTEN};
use crate::platform::pace;

/// How a reference begins in a text.
const REFERENCE: &str = "${";

/// Resolves the references in a text, or says what is wrong with them.
pub type Expand<'e> = &'e dyn Fn(&str) -> Result<String, String>;

/// Deserializes a tree. `None` means that there is a mistake; with a value there can be mistakes as well.
pub(super) fn deserialize<T: DeserializeOwned>(
    file: Arc<str>,
    root: &Node<'_>,
    expand: Option<Expand<'_>>,
    mistakes: &mut Mistakes,
) -> Option<(T, Place)> {
    let context = Context { file, expand, ended: Cell::new(false), mistakes: RefCell::new(std::mem::take(mistakes)) };
    let reader =
        Reader { node: root, path: &Path::Root, context: &context, kept: false, is_key: false, is_inside: false };
    let value = reader.run(PhantomData::<T>);
    let place = reader.place();
    *mistakes = context.mistakes.into_inner();
    Some((value.ok()?, place))
}

/// An error on its way up to the next node, which knows its place.
#[derive(Debug)]
enum Error {
    /// Its mistake has been recorded.
    Recorded,
    /// Its mistake belongs to the node that is being read, or to a key that is missing there.
    Open { key: Option<&'static str>, what: String },
}

impl Error {
    fn open<T>(what: impl Into<String>) -> Result<T, Error> {
        Err(Error::Open { key: None, what: what.into() })
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Recorded => formatter.write_str("has mistakes"),
            Error::Open { what, .. } => formatter.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// The words of `serde` itself, without the values that it would show.
impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Error::Open { key: None, what: message.to_string() }
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            Unexpected::Unit | Unexpected::Option => "blank",
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            _ => "one value",
        };
        Error::custom(format_args!("is {found}; write {}", in_plain_words(expected)))
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Error::custom(format_args!("is not allowed here; write {}", in_plain_words(expected)))
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Error::custom(format_args!("has {length} values; write {}", in_plain_words(expected)))
    }
    fn unknown_variant(_: &str, allowed: &'static [&'static str]) -> Self {
        Error::custom(format_args!("is not one of the words allowed here; write one of {}", allowed.join(", ")))
    }
    fn unknown_field(key: &str, allowed: &'static [&'static str]) -> Self {
        Error::custom(format_args!("has the key `{}`, which {}", shown(key), unknown_key(key, allowed)))
    }
    fn missing_field(key: &'static str) -> Self {
        Error::Open { key: Some(key), what: String::from("is missing; add it") }
    }
    fn duplicate_field(key: &'static str) -> Self {
        Error::Open { key: Some(key), what: String::from("is written under two names; keep one") }
    }
}

/// What all readers of one file share.
struct Context<'e> {
    file: Arc<str>,
    /// Resolves references, if there can be any.
    expand: Option<Expand<'e>>,
    /// Whether the time limit of the load is exceeded.
    ended: Cell<bool>,
    mistakes: RefCell<Mistakes>,
}

/// The path to a node, kept on the stack so that it costs nothing until it is shown.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a Node<'a>),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Path::Root => {}
            Path::Key(parent, key) => {
                parent.write(out);
                push_key(out, key_text(key));
            }
            Path::Index(parent, index) => {
                parent.write(out);
                push_index(out, *index);
            }
        }
    }
}

/// Keys are scalars; see [`Kind::Mapping`].
fn key_text<'a>(key: &'a Node<'_>) -> &'a str {
    match &key.kind {
        Kind::Scalar { text, .. } => text,
        Kind::Sequence(_) | Kind::Mapping(_) => "",
    }
}

/// Deserializes one node.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node<'a>,
    path: &'a Path<'a>,
    context: &'a Context<'a>,
    /// Whether a [`Written`](super::written::Written) directly around this node handles its error.
    kept: bool,
    /// Whether the node is the key of a mapping, in which references are not resolved.
    is_key: bool,
    /// Whether the node is below a value of any type, such as a schema that is written in place: what looks like a
    /// reference there is a part of that value.
    is_inside: bool,
}

impl<'a> Reader<'a> {
    /// Deserializes the node and records errors there. Every node is read through this function, so that each error
    /// gets the place of the innermost node around it.
    fn run<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        pace::step();
        if pace::is_spent() {
            return Err(self.end());
        }
        seed.deserialize(self).map_err(|error| self.settle(error))
    }

    /// Stops reading, and reports that once.
    fn end(self) -> Error {
        if self.context.ended.replace(true) {
            return Error::Recorded;
        }
        self.settle(Error::Open { key: None, what: String::from(TOO_LONG) })
    }

    fn settle(self, error: Error) -> Error {
        if let Error::Open { key, mut what } = error {
            if let Some(seen) = self.hidden() {
                // Writing to a string cannot fail.
                let _ = write!(what, " (the value of ${{…}} has {seen})");
            }
            let place = self.place();
            self.push(key.map_or(place.clone(), |key| place.key(key)), what);
        }
        Error::Recorded
    }

    /// An invisible character in the value of references, if there is one.
    fn hidden(self) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if text.contains(REFERENCE) => invisible(&self.context.expand?(text).ok()?),
            Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    fn place(self) -> Place {
        let mut path = String::new();
        self.path.write(&mut path);
        Place::new(&self.context.file, self.node.line, self.node.column, path)
    }

    fn push(self, place: Place, what: String) {
        // The cell is never borrowed at this point.
        if let Ok(mut mistakes) = self.context.mistakes.try_borrow_mut() {
            mistakes.push(place, what);
        }
    }

    /// The error for a node of the wrong kind.
    fn wrong<T>(self, wanted: &str, instead: impl Display) -> Result<T, Error> {
        let found = match &self.node.kind {
            Kind::Scalar { plain: true, text } if matches!(resolve(text), Resolved::Null) => {
                return Error::open("is blank; give it a value or remove the key");
            }
            Kind::Scalar { .. } => "one value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        };
        Error::open(format!("is {found}, but {wanted} is wanted here; {instead}"))
    }

    /// The text of a scalar that is not blank, with the values of its references, and whether its type is
    /// decided by it.
    fn text(self, wanted: &str) -> Result<(Cow<'a, str>, bool), Error> {
        let (text, plain) = match &self.node.kind {
            Kind::Scalar { text, plain } if !plain || !matches!(resolve(text), Resolved::Null) => (text, *plain),
            _ => return self.wrong(wanted, "write a single value"),
        };
        match self.context.expand {
            Some(expand) if !self.is_key && text.contains(REFERENCE) => match expand(text) {
                // The reference was quoted because of its braces, so the type of the value is open.
                Ok(value) => Ok((Cow::Owned(value), true)),
                Err(what) => Error::open(what),
            },
            Some(_) | None => Ok((Cow::Borrowed(text), plain)),
        }
    }

    /// The text of a scalar whose type is not text.
    fn plain(self, wanted: &str) -> Result<Cow<'a, str>, Error> {
        match self.text(wanted)? {
            (text, true) => Ok(text),
            (_, false) => Error::open(format!("is quoted text, but {wanted} is wanted here; remove the quotes")),
        }
    }

    /// A whole number in decimal digits within the bounds of its type.
    fn integer<N: TryFrom<i128> + Display>(self, lowest: N, highest: N) -> Result<N, Error> {
        // The bounds of a 64-bit type are of no use in a message.
        let wide = size_of::<N>() > size_of::<u32>();
        let text = self.plain("a whole number")?;
        let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Error::open(match wide {
                true => "is not a whole number; write decimal digits".to_owned(),
                false => format!("is not a whole number; write decimal digits, from {lowest} to {highest}"),
            });
        }
        match text.parse::<i128>().ok().and_then(|number| N::try_from(number).ok()) {
            Some(number) => Ok(number),
            // The key has its own range, which often begins above 0.
            None if text.starts_with('-') => Error::open("is less than 0; write a number without a minus sign"),
            None if wide => Error::open("is out of range; write a smaller number"),
            None => Error::open(format!("is out of range; write a number from {lowest} to {highest}")),
        }
    }

    fn visit_items<'de, V: Visitor<'de>>(self, items: &'a [Rc<Node<'a>>], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { parent: self, items: items.iter(), index: 0 })
    }

    fn visit_entries<'de, V: Visitor<'de>>(
        self,
        entries: &'a [(Node<'a>, Rc<Node<'a>>)],
        skipped: &'a HashSet<&'a str>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(EntriesAccess { parent: self, entries: entries.iter(), value: None, skipped })
    }

    /// Records an unknown key, at the key itself.
    fn report_unknown(self, key: &Node<'_>, known: &[&str]) {
        let path = Path::Key(self.path, key);
        let reader = Reader { node: key, path: &path, kept: false, is_key: false, ..self };
        reader.push(reader.place(), unknown_key(key_text(key), known));
    }
}

const AS_MAPPING: &str = "write `key: value` lines below it";
const AS_LIST: &str = "write `- value` lines below it";

/// Implements methods that do the same as another one.
macro_rules! same {
    ($($method:ident $as_method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$as_method(visitor)
        }
    )*};
}

/// Implements the integers, which differ only in their bounds.
macro_rules! integers {
    ($($method:ident $visit:ident $number:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.integer($number::MIN, $number::MAX)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_i128 visit_i128 i128
    }
    same! {
        deserialize_f32 deserialize_f64, deserialize_string deserialize_str, deserialize_char deserialize_str,
        deserialize_bytes deserialize_str, deserialize_byte_buf deserialize_str,
        deserialize_identifier deserialize_str
    }
    forward_to_deserialize_any! { unit unit_struct u128 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let inside = Reader { is_inside: true, ..self };
        let (text, plain) = match &self.node.kind {
            Kind::Scalar { text, .. } if text.contains(REFERENCE) && !self.is_inside => self.text("one value")?,
            Kind::Scalar { text, plain } => (Cow::Borrowed(&**text), *plain),
            Kind::Sequence(items) => return inside.visit_items(items, visitor),
            Kind::Mapping(entries) => return inside.visit_entries(entries, &HashSet::new(), visitor),
        };
        // A key is a text, whatever it looks like.
        if !plain || self.is_key {
            return visitor.visit_str(&text);
        }
        match resolve(&text) {
            Resolved::Null => visitor.visit_unit(),
            Resolved::Bool(value) => visitor.visit_bool(value),
            Resolved::Unsigned(value) => visitor.visit_u64(value),
            Resolved::Signed(value) => visitor.visit_i64(value),
            Resolved::Float(value) => visitor.visit_f64(value),
            Resolved::Text => visitor.visit_str(&text),
        }
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &*self.plain("true or false")? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Error::open("is neither true nor false; write `true` or `false`"),
        }
    }
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.plain("a number")?;
        match resolve(&text) {
            Resolved::Float(value) => visitor.visit_f64(value),
            Resolved::Unsigned(_) | Resolved::Signed(_) if let Ok(value) = text.parse() => visitor.visit_f64(value),
            _ => Error::open("is not a number; write decimal digits"),
        }
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(&self.text("one value")?.0)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if matches!(resolve(text), Resolved::Null) => self.wrong("", ""),
            _ => visitor.visit_some(self),
        }
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name != WRITTEN {
            return visitor.visit_newtype_struct(self);
        }
        HANDED.set(Some(self.place()));
        visitor.visit_seq(Single(Some(self)))
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Sequence(items) => self.visit_items(items, visitor),
            _ => self.wrong("a list", AS_LIST),
        }
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Sequence(items) if items.len() != length => {
                Error::open(format!("has {} values; write exactly {length}", items.len()))
            }
            _ => self.deserialize_seq(visitor),
        }
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Mapping(entries) => self.visit_entries(entries, &HashSet::new(), visitor),
            _ => self.wrong("a mapping", AS_MAPPING),
        }
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == TEXT_OR_KEYS
            && let Kind::Scalar { .. } = &self.node.kind
        {
            return self.deserialize_str(visitor);
        }
        if name == LIST_OR_KEYS && !matches!(&self.node.kind, Kind::Mapping(_)) {
            return self.deserialize_seq(visitor);
        }
        let Kind::Mapping(entries) = &self.node.kind else {
            return self.wrong("a mapping", format_args!("{AS_MAPPING}; the keys are {}", known.join(", ")));
        };
        let mut unknown = HashSet::new();
        for (key, _) in entries {
            if !known.contains(&key_text(key)) {
                self.report_unknown(key, known);
                unknown.insert(key_text(key));
            }
        }
        self.visit_entries(entries, &unknown, visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Mapping(entries) => match entries.as_slice() {
                [(key, value)] => {
                    if !variants.contains(&key_text(key)) {
                        self.report_unknown(key, variants);
                        return Err(Error::Recorded);
                    }
                    visitor.visit_enum(Variant { parent: self, key, value: Some(value) })
                }
                _ => Error::open(format!("has {} keys; write exactly one of {}", entries.len(), variants.join(", "))),
            },
            _ => {
                self.text("one value")?;
                visitor.visit_enum(Variant { parent: self, key: self.node, value: None })
            }
        }
    }
}

/// The one value inside a [`super::written::Written`]. `None` means that it failed and was recorded.
struct Single<'a>(Option<Reader<'a>>);

impl<'de> SeqAccess<'de> for Single<'_> {
    type Error = Error;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(reader) = self.0.take() else { return Ok(None) };
        match (Reader { kept: true, ..reader }).run(seed) {
            Ok(value) => Ok(Some(value)),
            // If two of them are around the same node, the outer one is bad.
            Err(error) if reader.kept => Err(error),
            Err(_) => Ok(None),
        }
    }
}

struct Items<'a> {
    parent: Reader<'a>,
    items: std::slice::Iter<'a, Rc<Node<'a>>>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        let path = Path::Index(self.parent.path, self.index);
        self.index = self.index.saturating_add(1);
        Reader { node, path: &path, kept: false, is_key: false, ..self.parent }.run(seed).map(Some)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct EntriesAccess<'a> {
    parent: Reader<'a>,
    entries: std::slice::Iter<'a, (Node<'a>, Rc<Node<'a>>)>,
    value: Option<(&'a Node<'a>, &'a Node<'a>)>,
    /// Keys that have been reported already.
    skipped: &'a HashSet<&'a str>,
}

impl<'de> MapAccess<'de> for EntriesAccess<'_> {
    type Error = Error;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let skipped = self.skipped;
        let Some((key, value)) = self.entries.find(|(key, _)| !skipped.contains(key_text(key))) else {
            return Ok(None);
        };
        self.value = Some((key, value));
        let path = Path::Key(self.parent.path, key);
        Reader { node: key, path: &path, kept: false, is_key: true, ..self.parent }.run(seed).map(Some)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Error::open("has a value without a key; write `key: value`");
        };
        let path = Path::Key(self.parent.path, key);
        Reader { node, path: &path, kept: false, is_key: false, ..self.parent }.run(seed)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// One variant of an enumeration: a word, or a mapping of one key to what the variant holds.
struct Variant<'a> {
    parent: Reader<'a>,
    key: &'a Node<'a>,
    value: Option<&'a Node<'a>>,
}

impl Variant<'_> {
    fn with_value<T>(self, read: impl FnOnce(Reader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let Some(node) = self.value else {
            return Error::open("is a word that needs a value; write it as a key with its value");
        };
        let path = Path::Key(self.parent.path, self.key);
        let reader = Reader { node, path: &path, kept: false, is_key: false, ..self.parent };
        read(reader).map_err(|error| reader.settle(error))
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Variant<'a>;
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Variant<'a>), Error> {
        let reader = Reader { node: self.key, ..self.parent };
        Ok((reader.run(seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;
    fn unit_variant(self) -> Result<(), Error> {
        match self.value {
            None => Ok(()),
            Some(_) => Error::open("is a word that takes no value; write the word alone"),
        }
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.with_value(|reader| reader.run(seed))
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.with_value(|reader| reader.deserialize_tuple(length, visitor))
    }
    fn struct_variant<V: Visitor<'de>>(self, known: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.with_value(|reader| reader.deserialize_struct("", known, visitor))
    }
}
