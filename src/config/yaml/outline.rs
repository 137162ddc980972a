//! The positions of all keys in a file, for explanations.
//!
//! A running gateway does not keep it: the file is read again when it is needed. Nothing is checked here; a text with
//! mistakes has an outline as long as it is YAML.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::mistakes::Mistakes;
use super::path;
use super::tree::{self, Kind, Node};

/// The keys and list elements of one text, by their JSON Pointers (RFC 6901).
#[derive(Debug)]
pub struct Outline {
    file: Arc<str>,
    entries: BTreeMap<String, Entry>,
}

/// The position of something, and its text if it is a single value.
#[derive(Debug)]
struct Entry {
    line: usize,
    column: usize,
    text: Option<String>,
}

impl Outline {
    /// Reads a text. Everything below a pointer that `keep` rejects is left out, since there may be millions of
    /// entries. `None` if the text is not YAML.
    pub fn read(file: &str, text: &str, keep: &dyn Fn(&str) -> bool) -> Option<Outline> {
        let file = Arc::from(file);
        let root = tree::parse(&file, 0, text, &mut Mistakes::default())?;
        let mut outline = Outline { file, entries: BTreeMap::new() };
        outline.add(String::new(), (root.line, root.column), &root, keep);
        Some(outline)
    }

    /// The name of the file as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line of a key or an element, from 1; `None` if it is not written.
    pub fn line(&self, pointer: &str) -> Option<usize> {
        self.entries.get(pointer).map(|entry| entry.line)
    }

    /// The line and column, from 1, of the pointer or of the nearest one above that is written.
    pub fn place(&self, pointer: &str) -> (usize, usize) {
        let nearest = self.nearest(pointer).and_then(|(pointer, _)| self.entries.get(pointer));
        nearest.map_or((1, 1), |entry| (entry.line, entry.column))
    }

    /// The text of a single value.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.entries.get(pointer)?.text.as_deref()
    }

    /// The pointer itself if it is written, or the nearest one above that is; with its line.
    pub fn nearest<'p>(&self, pointer: &'p str) -> Option<(&'p str, usize)> {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.line(pointer) {
                return Some((pointer, line));
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// The pointers of the elements of a list, in order.
    pub fn elements(&self, list: &str) -> impl Iterator<Item = String> {
        (0_usize..).map(move |place| format!("{list}/{place}")).take_while(|pointer| self.entries.contains_key(pointer))
    }

    fn add(&mut self, pointer: String, place: (usize, usize), node: &Node<'_>, keep: &dyn Fn(&str) -> bool) {
        let text = match &node.kind {
            Kind::Scalar { text, .. } => Some(text.to_string()),
            Kind::Sequence(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.add(format!("{pointer}/{place}"), (item.line, item.column), item, keep);
                }
                None
            }
            Kind::Mapping(entries) => {
                for (key, value) in entries {
                    if let Kind::Scalar { text, .. } = &key.kind {
                        let below = format!("{pointer}/{}", escaped(text));
                        if keep(&below) {
                            self.add(below, (key.line, key.column), value, keep);
                        }
                    }
                }
                None
            }
        };
        let (line, column) = place;
        self.entries.insert(pointer, Entry { line, column, text });
    }
}

/// A JSON Pointer to a key below some keys.
pub fn pointer(keys: &[&str]) -> String {
    keys.iter().fold(String::new(), |mut pointer, key| {
        // Writing to a string cannot fail.
        let _ = write!(pointer, "/{}", escaped(key));
        pointer
    })
}

/// A pointer as messages show places: `products.plate.routes[0]`.
pub fn in_words(pointer: &str) -> String {
    let mut words = String::new();
    for key in pointer.split('/').skip(1) {
        match key.parse() {
            Ok(place) => path::push_index(&mut words, place),
            Err(_) => path::push_key(&mut words, &key.replace("~1", "/").replace("~0", "~")),
        }
    }
    words
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nlist:\n  - x\n  - { b/c: two }\naccounts:\n  one: { rate: 5/s }\n  two:\n    rate: 6/s\n";

    #[test]
    fn keys_and_elements_have_their_lines() {
        let outline = Outline::read("f", TEXT, &|_| true).unwrap();
        for (pointer, line, text) in [
            ("/a", Some(1), Some("1")),
            ("/list", Some(2), None),
            ("/list/0", Some(3), Some("x")),
            ("/list/1/b~1c", Some(4), Some("two")),
            ("/accounts/two", Some(7), None),
            ("/accounts/two/rate", Some(8), Some("6/s")),
            ("/accounts/three", None, None),
        ] {
            assert_eq!((outline.line(pointer), outline.text(pointer)), (line, text), "{pointer}");
        }
        assert_eq!(outline.elements("/list").collect::<Vec<_>>(), ["/list/0", "/list/1"]);
        assert_eq!(outline.nearest("/accounts/two/tokens/0/name"), Some(("/accounts/two", 7)));
        assert_eq!(outline.nearest("/nothing"), Some(("", 1)));
        assert_eq!((outline.place("/list/1/b~1c/d"), outline.place("/a")), ((4, 7), (1, 1)));
        assert_eq!(in_words(&pointer(&["list", "1", "b/c"])), "list[1].b/c");
    }

    #[test]
    fn what_nobody_asks_for_is_left_out() {
        let outline = Outline::read("f", TEXT, &|pointer| pointer != "/accounts/one").unwrap();
        assert_eq!((outline.line("/accounts/one"), outline.line("/accounts/two/rate")), (None, Some(8)));
    }

    #[test]
    fn a_text_that_is_not_yaml_has_none() {
        assert!(Outline::read("f", "a: [", &|_| true).is_none());
    }
}
