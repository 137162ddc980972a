//! Parses YAML text to a tree of nodes with line and column.
//!
//! It finds the mistakes that do not depend on what the file is for: text that is not YAML, repeated keys, tags,
//! aliases and limits. It does not know any target type (`yaml.rs`) and keeps no paths, which follow from the position
//! in the tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::diagnosis::{Diagnosis, diagnose, tab};
use super::mistakes::{Mistakes, Place};
use super::path::{push_index, push_key};
use crate::platform::pace;

/// The largest text that is read, in bytes: the tree of a larger one would take too much memory.
const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;
/// The deepest nesting of collections: reading recurses once for each, which must fit on the stack.
const MAX_DEPTH: usize = 64;
/// The most nodes that all aliases together may expand to: a few lines with aliases of aliases could otherwise expand
/// to any number.
const MAX_ALIASED_NODES: usize = 100_000;
/// The most bytes of text that all aliases together may expand to: the compiled values have each copy separately.
const MAX_ALIASED_BYTES: usize = 4 * 1024 * 1024;
/// The most keys and values of one text. With everything that is made from them at a time, each takes up to some 600
/// bytes, so this limits the memory of a load to less than 2 GiB.
const MAX_NODES: usize = 3_000_000;

/// A value or key and its position (line and column from 1).
pub(super) struct Node<'a> {
    pub line: usize,
    pub column: usize,
    pub kind: Kind<'a>,
}

/// What a node is. Collections share their members, because aliases do.
pub(super) enum Kind<'a> {
    /// `plain` says that the text decides the type (it is neither quoted nor tagged as text).
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
    Sequence(Vec<Rc<Node<'a>>>),
    /// The keys are scalars, and no two are equal.
    Mapping(Vec<(Node<'a>, Rc<Node<'a>>)>),
}

/// The type of a plain scalar in the core schema of YAML 1.2.
pub(super) enum Resolved {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// Resolves a plain scalar by the core schema.
pub(super) fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Resolved::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            // The standard library would accept a sign here; the schema does not.
            let digits = digits.strip_prefix('+').map_or(digits, |_| "");
            return u64::from_str_radix(digits, radix).map_or(Resolved::Text, Resolved::Unsigned);
        }
    }
    if let Ok(number) = text.parse() {
        Resolved::Unsigned(number)
    } else if let Ok(number) = text.parse() {
        Resolved::Signed(number)
    } else if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        && let Ok(number) = text.parse()
    {
        Resolved::Float(number)
    } else {
        Resolved::Text
    }
}

/// Parses the document in a text that begins after `lines_before` lines of its file. `None` means that no tree could be
/// built, and that there is at least one mistake; with a tree there can be mistakes as well.
pub(super) fn parse<'a>(
    file: &Arc<str>,
    lines_before: usize,
    text: &'a str,
    mistakes: &mut Mistakes,
) -> Option<Rc<Node<'a>>> {
    let mut builder = Builder {
        file,
        lines_before,
        mistakes,
        frames: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        aliased_bytes: 0,
        nodes: 0,
        root: None,
    };
    match builder.build(text) {
        Ok(()) => builder.root,
        Err(Stop) => None,
    }
}

/// The text cannot be read further; the mistake is recorded.
struct Stop;

/// A finished node, with the size of everything below it, including expanded aliases.
struct Built<'a> {
    node: Rc<Node<'a>>,
    nodes: usize,
    /// Bytes of all texts.
    bytes: usize,
    depth: usize,
}

/// A collection whose end has not been read yet.
struct Frame<'a> {
    line: usize,
    column: usize,
    anchor: usize,
    nodes: usize,
    bytes: usize,
    depth: usize,
    members: Members<'a>,
}

enum Members<'a> {
    Sequence(Vec<Rc<Node<'a>>>),
    Mapping {
        entries: Vec<(Node<'a>, Rc<Node<'a>>)>,
        /// The line of each key so far.
        lines: HashMap<Cow<'a, str>, usize>,
        /// The key whose value comes next.
        key: Option<Key<'a>>,
    },
}

/// A key that waits for its value.
struct Key<'a> {
    /// `None` if the key is a collection, which has no name to show.
    name: Option<Node<'a>>,
    /// Whether the entry is kept; a key that is a mistake is dropped with its value.
    kept: bool,
}

struct Builder<'a, 'b> {
    file: &'b Arc<str>,
    /// The lines of the file before the text.
    lines_before: usize,
    mistakes: &'b mut Mistakes,
    frames: Vec<Frame<'a>>,
    anchors: HashMap<usize, Built<'a>>,
    /// Nodes from expanded aliases.
    aliased: usize,
    /// Bytes of text from expanded aliases.
    aliased_bytes: usize,
    /// Nodes so far.
    nodes: usize,
    root: Option<Rc<Node<'a>>>,
}

impl<'a> Builder<'a, '_> {
    fn build(&mut self, text: &'a str) -> Result<(), Stop> {
        if text.len() > MAX_TEXT_BYTES {
            return self.stop(1, 1, "is larger than 64 MiB; split it or remove what it does not need");
        }
        // Some editors write a byte order mark first; it is not part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if let Some(Diagnosis { line, column, what }) = tab(text) {
            return self.stop(line.saturating_add(self.lines_before), column, &what);
        }
        let mut documents = 0_usize;
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(found) => found,
                Err(error) => return self.not_yaml(text, &error),
            };
            pace::step();
            let (line, column) = self.position(span.start);
            self.within_limits(line, column)?;
            match event {
                Event::DocumentStart(_) => {
                    documents = documents.saturating_add(1);
                    if documents > 1 {
                        return self.stop(
                            line,
                            column,
                            "is a second document in one file; remove the `---` line or move what follows it to its own file",
                        );
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain;
                    let plain = self.scalar_tag(&text, plain, tag.as_deref(), line, column);
                    self.scalar(text, plain, anchor, line, column);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.collection_tag("seq", tag.as_deref(), line, column);
                    self.open(Members::Sequence(Vec::new()), anchor, line, column)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.collection_tag("map", tag.as_deref(), line, column);
                    let members = Members::Mapping { entries: Vec::new(), lines: HashMap::new(), key: None };
                    self.open(members, anchor, line, column)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
                Event::Alias(anchor) => self.alias(anchor, line, column)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        let empty = match self.root.as_deref().map(|node| &node.kind) {
            Some(Kind::Scalar { text, plain }) => *plain && text.is_empty(),
            Some(_) => false,
            None => true,
        };
        if empty {
            return self.stop(1, 1, "is empty; write at least one `key: value` line");
        }
        Ok(())
    }

    /// Stops at a text that needs more memory or time than allowed.
    fn within_limits(&mut self, line: usize, column: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES {
            let what = "comes after 3000000 keys and values, the most that are read from one file; move accounts \
                to files that `include` names, one account per line";
            return self.stop(line, column, what);
        }
        if pace::is_spent() { self.stop(line, column, TOO_LONG) } else { Ok(()) }
    }

    fn scalar(&mut self, text: Cow<'a, str>, plain: bool, anchor: usize, line: usize, column: usize) {
        let (mut line, mut column) = (line, column);
        if plain
            && text.is_empty()
            && let Some(name) = self.pending_name()
        {
            // The value is blank: the parser's position is that of the next item, so the key's is used.
            (line, column) = (name.line, name.column);
        }
        let bytes = text.len();
        let node = Rc::new(Node { line, column, kind: Kind::Scalar { text, plain } });
        self.finish(Built { node, nodes: 1, bytes, depth: 0 }, anchor, line, column);
    }

    fn open(&mut self, members: Members<'a>, anchor: usize, line: usize, column: usize) -> Result<(), Stop> {
        if self.frames.len() >= MAX_DEPTH {
            return self.too_deep(line, column);
        }
        self.frames.push(Frame { line, column, anchor, nodes: 1, bytes: 0, depth: 1, members });
        Ok(())
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        let kind = match frame.members {
            Members::Sequence(mut items) => {
                items.shrink_to_fit();
                Kind::Sequence(items)
            }
            Members::Mapping { mut entries, .. } => {
                entries.shrink_to_fit();
                Kind::Mapping(entries)
            }
        };
        let node = Rc::new(Node { line: frame.line, column: frame.column, kind });
        let built = Built { node, nodes: frame.nodes, bytes: frame.bytes, depth: frame.depth };
        self.finish(built, frame.anchor, frame.line, frame.column);
    }

    fn alias(&mut self, anchor: usize, line: usize, column: usize) -> Result<(), Stop> {
        let Some(target) = self.anchors.get(&anchor) else {
            return self.stop(line, column, "is an alias inside the value that it stands for; write the value out");
        };
        let built = Built { node: Rc::clone(&target.node), ..*target };
        self.aliased = self.aliased.saturating_add(built.nodes);
        if self.aliased > MAX_ALIASED_NODES {
            return self.stop(
                line,
                column,
                "makes the aliases of this file stand for more than 100000 values; use fewer aliases",
            );
        }
        self.aliased_bytes = self.aliased_bytes.saturating_add(built.bytes);
        if self.aliased_bytes > MAX_ALIASED_BYTES {
            return self.stop(
                line,
                column,
                "makes the aliases of this file stand for more than 4 MiB of text; use fewer aliases",
            );
        }
        if self.frames.len().saturating_add(built.depth) > MAX_DEPTH {
            return self.too_deep(line, column);
        }
        self.finish(built, 0, line, column);
        Ok(())
    }

    /// Adds a finished node to the collection around it, or sets it as the root.
    fn finish(&mut self, built: Built<'a>, anchor: usize, line: usize, column: usize) {
        let Built { node, nodes, bytes, depth } = built;
        if anchor != 0 {
            self.anchors.insert(anchor, Built { node: Rc::clone(&node), nodes, bytes, depth });
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.nodes = frame.nodes.saturating_add(nodes);
        frame.bytes = frame.bytes.saturating_add(bytes);
        frame.depth = frame.depth.max(depth.saturating_add(1));
        let complaint = match &mut frame.members {
            Members::Sequence(items) => {
                items.push(node);
                None
            }
            Members::Mapping { entries, lines, key } => match key.take() {
                None => {
                    let (name, complaint) = judge_key(&node, lines, line, column);
                    *key = Some(Key { name, kept: complaint.is_none() });
                    complaint
                }
                Some(Key { name: Some(name), kept: true }) => {
                    entries.push((name, node));
                    None
                }
                Some(_) => None,
            },
        };
        if let Some(what) = complaint {
            self.report(line, column, what);
        }
    }

    /// The key whose value comes next.
    fn pending_name(&self) -> Option<&Node<'a>> {
        match &self.frames.last()?.members {
            Members::Mapping { key: Some(key), .. } => key.name.as_ref(),
            _ => None,
        }
    }

    /// Whether the text of a scalar decides its type, considering its tag.
    fn scalar_tag(&mut self, text: &str, plain: bool, tag: Option<&Tag>, line: usize, column: usize) -> bool {
        let Some(tag) = tag else { return plain };
        let resolved = resolve(text);
        let fits = match standard(tag).as_deref() {
            Some("str") => return false,
            Some("int") => matches!(resolved, Resolved::Unsigned(_) | Resolved::Signed(_)),
            Some("float") => {
                matches!(resolved, Resolved::Unsigned(_) | Resolved::Signed(_) | Resolved::Float(_))
            }
            Some("bool") => matches!(resolved, Resolved::Bool(_)),
            Some("null") => matches!(resolved, Resolved::Null),
            Some("seq" | "map") => false,
            _ => {
                self.report(line, column, String::from(UNKNOWN_TAG));
                return plain;
            }
        };
        if !fits {
            self.report(line, column, String::from(WRONG_TAG));
        }
        fits || plain
    }

    fn collection_tag(&mut self, wanted: &str, tag: Option<&Tag>, line: usize, column: usize) {
        let Some(tag) = tag else { return };
        match standard(tag).as_deref() {
            Some(name) if name == wanted => {}
            Some("str" | "int" | "float" | "bool" | "null" | "seq" | "map") => {
                self.report(line, column, String::from(WRONG_TAG));
            }
            _ => self.report(line, column, String::from(UNKNOWN_TAG)),
        }
    }

    fn too_deep(&mut self, line: usize, column: usize) -> Result<(), Stop> {
        self.stop(line, column, "is more than 64 levels deep; write it with fewer levels")
    }

    fn not_yaml(&mut self, text: &str, error: &ScanError) -> Result<(), Stop> {
        let marker = *error.marker();
        if error.info() == "recursion limit exceeded" {
            let (line, column) = self.position(marker);
            return self.too_deep(line, column);
        }
        // The frames may not match the position of the error, so no path is given.
        self.frames.clear();
        let (line, column) = (marker.line().max(1), marker.col().saturating_add(1));
        let Diagnosis { line, column, what } = diagnose(text, line, column, error.info());
        self.stop(line.saturating_add(self.lines_before), column, &what)
    }

    fn stop(&mut self, line: usize, column: usize, what: &str) -> Result<(), Stop> {
        self.report(line, column, String::from(what));
        Err(Stop)
    }

    /// The parser counts columns from 0, messages from 1.
    fn position(&self, marker: Marker) -> (usize, usize) {
        (marker.line().max(1).saturating_add(self.lines_before), marker.col().saturating_add(1))
    }

    /// Records a mistake at the value, or the key, that is being read.
    fn report(&mut self, line: usize, column: usize, what: String) {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.members {
                Members::Sequence(items) => push_index(&mut path, items.len()),
                Members::Mapping { key: Some(Key { name: Some(name), .. }), .. } => {
                    if let Kind::Scalar { text, .. } = &name.kind {
                        push_key(&mut path, text);
                    }
                }
                Members::Mapping { .. } => {}
            }
        }
        self.mistakes.push(Place::new(self.file, line, column, path), what);
    }
}

/// The mistake for exceeding the time limit of a load.
pub(super) const TOO_LONG: &str = "comes after two minutes of work, the most for one configuration; \
    split it, or write one account per line";
const UNKNOWN_TAG: &str = "has an unknown tag; remove the tag";
const WRONG_TAG: &str = "does not fit its tag; remove the tag or correct the value";

/// The node of a key and, if it cannot be used, what is wrong with it.
fn judge_key<'a>(
    node: &Node<'a>,
    lines: &mut HashMap<Cow<'a, str>, usize>,
    line: usize,
    column: usize,
) -> (Option<Node<'a>>, Option<String>) {
    let Kind::Scalar { text, plain } = &node.kind else {
        let what = "has a list or mapping as a key; write a single word as the key";
        return (None, Some(String::from(what)));
    };
    if *plain && text.is_empty() {
        return (None, Some(String::from("has a value without a key; write `key: value`")));
    }
    let complaint = if *plain && text == "<<" {
        Some(String::from("is not a key here; write out the keys that it would merge"))
    } else if let Some(first) = lines.get(text) {
        Some(format!("is written twice, first on line {first}; keep one"))
    } else {
        lines.insert(text.clone(), line);
        None
    };
    // A key called `null` is a normal name, not a blank.
    let plain = *plain && !matches!(resolve(text), Resolved::Null);
    let kind = Kind::Scalar { text: text.clone(), plain };
    (Some(Node { line, column, kind }), complaint)
}

/// The name of a tag of the YAML standard, such as `str` for `!!str`.
fn standard(tag: &Tag) -> Option<String> {
    let whole = format!("{}{}", tag.handle, tag.suffix);
    whole.strip_prefix("tag:yaml.org,2002:").map(String::from)
}
