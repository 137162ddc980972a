//! A JSON document as XML: members are elements of their name, and lists are elements of one name, again and again.
//!
//! A list that has no name of its own, as the whole document or within another list, has elements of the name `item`. Null,
//! the empty text and the empty object are empty elements; an empty list is no element.

use super::names::{encode, is_character};
use crate::policy::format::kind::NotRendered;
use crate::policy::format::tree::Tree;

/// The name of an element of a list that has none.
pub const ITEM: &str = "item";

/// The text of a document whose element has this name.
///
/// # Errors
/// It would have more bytes than the limit: an element repeats its name.
pub fn document(name: &str, tree: &Tree<'_>, limit: usize) -> Result<Vec<u8>, NotRendered> {
    let mut writer = Writer { out: Vec::new(), limit };
    writer.element(name, tree)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    limit: usize,
}

impl Writer {
    /// Appends one element.
    fn element(&mut self, name: &str, tree: &Tree<'_>) -> Result<(), NotRendered> {
        self.put(&["<", name, ">"]);
        let begin = self.out.len();
        match tree {
            Tree::Null => {}
            Tree::Bool(value) => self.put(&[if *value { "true" } else { "false" }]),
            Tree::Number(number) => self.put(&[&number.to_string()]),
            Tree::Text(text) => self.text(text),
            Tree::List(elements) => elements.iter().try_for_each(|element| self.element(ITEM, element))?,
            Tree::Object(members) => {
                for (name, member) in members {
                    let name = encode(name);
                    match member {
                        Tree::List(elements) => elements.iter().try_for_each(|element| self.element(&name, element))?,
                        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Object(_) => {
                            self.element(&name, member)?;
                        }
                    }
                }
            }
        }
        if self.out.len() == begin {
            self.out.pop();
            self.put(&["/>"]);
        } else {
            self.put(&["</", name, ">"]);
        }
        if self.out.len() > self.limit { Err(NotRendered::TooLarge) } else { Ok(()) }
    }

    fn put(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
    }

    /// Appends a text. What XML does not have becomes U+FFFD, and a carriage return, which readers would take for the end
    /// of a line, a reference.
    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.put(&["&amp;"]),
                '<' => self.put(&["&lt;"]),
                '>' => self.put(&["&gt;"]),
                '\r' => self.put(&["&#13;"]),
                character => {
                    let character = if is_character(character) { character } else { char::REPLACEMENT_CHARACTER };
                    self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }
}
