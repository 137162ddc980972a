//! The elements of a body in XML.
//!
//! `quick_xml` splits the text into its parts and resolves nothing. What JSON cannot say is refused here: attributes but
//! declarations of namespaces, names with a prefix, text beside elements, document types with their entities, and processing
//! instructions.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::attributes::{Attribute, Attributes};
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::names::{decode, is_character, is_name};
use crate::policy::check::body::document::MAX_NESTING;

/// The element that a request is.
const REQUEST: &str = "request";

/// The deepest element: one for each level of nesting, and one for a value in the deepest.
const MAX_DEPTH: usize = MAX_NESTING as usize + 1;

/// The most declarations of namespaces of one element.
const MAX_DECLARATIONS: usize = 16;

/// Where a body cannot be read on, and why.
pub struct Malformed {
    pub at: usize,
    pub reason: &'static str,
}

/// The place of an element among all.
pub type Index = u32;

/// The outermost element.
pub const ROOT: Index = 0;

/// An element, and its place in the document.
pub struct Element<'x> {
    /// The member that it is.
    name: Cow<'x, str>,
    /// Of an element without others within.
    pub text: Cow<'x, str>,
    pub first_child: Option<Index>,
    last_child: Option<Index>,
    next: Option<Index>,
}

/// All elements of a document, the outermost first.
pub struct Elements<'x> {
    all: Vec<Element<'x>>,
    /// Those that are open, the innermost last.
    open: Vec<Index>,
}

impl<'x> Elements<'x> {
    /// Reads a body.
    ///
    /// # Errors
    /// Where it cannot be read on.
    pub fn read(text: &'x str) -> Result<Elements<'x>, Malformed> {
        // The reader would drop a second byte order mark as well.
        if text.starts_with('\u{feff}') {
            return Err(Malformed { at: 0, reason: "text outside of the element" });
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        let mut elements = Elements { all: Vec::new(), open: Vec::new() };
        loop {
            let at = place(reader.buffer_position());
            let event = reader.read_event().map_err(|_| Malformed {
                at: place(reader.error_position()),
                reason: "the body is not well-formed XML",
            })?;
            if let Event::Eof = event {
                break;
            }
            elements.add(event, at).map_err(|reason| Malformed { at, reason })?;
        }
        let reason = match (elements.all.is_empty(), elements.open.is_empty()) {
            (true, _) => "the body has no element",
            (false, false) => "an element has no end",
            (false, true) => return Ok(elements),
        };
        Err(Malformed { at: text.len(), reason })
    }

    fn add(&mut self, event: Event<'x>, at: usize) -> Result<(), &'static str> {
        match event {
            Event::Start(start) => self.begin(&start),
            Event::Empty(start) => {
                self.begin(&start)?;
                self.open.pop();
                Ok(())
            }
            // That it has the name of its beginning was compared already.
            Event::End(_) => self.open.pop().map(|_| ()).ok_or("an element ends that has not begun"),
            Event::Text(text) => {
                let text = utf8(text.into_inner())?;
                if text.contains("]]>") {
                    return Err("the end of a CDATA section without its beginning");
                }
                self.append(lines(text))
            }
            Event::CData(text) if !self.open.is_empty() => self.append(lines(utf8(text.into_inner())?)),
            Event::GeneralRef(reference) if !self.open.is_empty() => {
                let name = utf8(reference.into_inner())?;
                self.append(Cow::Owned(referred(&name)?.into()))
            }
            Event::CData(_) | Event::GeneralRef(_) => Err("text outside of the element"),
            Event::Comment(comment) => characters(&utf8(comment.into_inner())?),
            Event::Decl(declaration) if at == 0 => declared(&declaration),
            Event::Decl(_) => Err("an XML declaration that is not at the beginning"),
            Event::PI(_) => Err("a processing instruction"),
            Event::DocType(_) => Err("a document type"),
            Event::Eof => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'x>) -> Result<(), &'static str> {
        let name = utf8(Cow::Owned(start.name().as_ref().to_vec()))?;
        if name.contains(':') {
            return Err("a name with a prefix");
        }
        if !is_name(&name) {
            return Err("an element without a name of XML");
        }
        declarations(start)?;
        if self.open.len() >= MAX_DEPTH {
            return Err("nested too deeply");
        }
        let index = Index::try_from(self.all.len()).map_err(|_| "more elements than can be counted")?;
        let parent = self.open.last().copied();
        match parent {
            None if index != ROOT => return Err("something follows the element"),
            None if name != REQUEST => return Err("the element of a body is not called request"),
            None => {}
            Some(parent) => self.adopt(parent, index)?,
        }
        let name = Cow::Owned(decode(&name).into_owned());
        let text = Cow::Borrowed("");
        self.all.push(Element { name, text, first_child: None, last_child: None, next: None });
        self.open.push(index);
        Ok(())
    }

    /// Puts an element behind those that are in another already.
    fn adopt(&mut self, parent: Index, child: Index) -> Result<(), &'static str> {
        let Some(parent) = self.all.get_mut(position(parent)) else { return Ok(()) };
        if !is_blank(&parent.text) {
            return Err(MIXED);
        }
        parent.text = Cow::Borrowed("");
        parent.first_child.get_or_insert(child);
        if let Some(before) = parent.last_child.replace(child)
            && let Some(before) = self.all.get_mut(position(before))
        {
            before.next = Some(child);
        }
        Ok(())
    }

    /// Adds to the text of the innermost element that is open.
    fn append(&mut self, text: Cow<'x, str>) -> Result<(), &'static str> {
        characters(&text)?;
        let innermost = self.open.last().and_then(|index| self.all.get_mut(position(*index)));
        match innermost {
            None if is_blank(&text) => {}
            None => return Err("text outside of the element"),
            Some(element) if element.first_child.is_some() => {
                if !is_blank(&text) {
                    return Err(MIXED);
                }
            }
            Some(element) if element.text.is_empty() => element.text = text,
            Some(element) => element.text.to_mut().push_str(&text),
        }
        Ok(())
    }

    /// The element at a place.
    pub fn get(&self, index: Index) -> Option<&Element<'x>> {
        self.all.get(position(index))
    }

    /// The elements directly within one, in their order.
    pub fn within(&self, index: Index) -> impl Iterator<Item = Index> {
        let first = self.get(index).and_then(|element| element.first_child);
        std::iter::successors(first, |index| self.get(*index)?.next)
    }

    /// The member that an element is.
    pub fn name(&self, index: Index) -> &str {
        self.get(index).map_or("", |element| &element.name)
    }
}

const MIXED: &str = "text beside elements";

/// An offset in a body, which is in memory.
fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn position(index: Index) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// A part of the body, which is UTF-8 as a whole and was divided at ASCII.
fn utf8(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, &'static str> {
    const NOT_UTF8: &str = "the body is not UTF-8";
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| NOT_UTF8),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| NOT_UTF8),
    }
}

/// White space of XML (1.0, section 2.3).
pub fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Refuses what XML does not allow anywhere.
fn characters(text: &str) -> Result<(), &'static str> {
    if text.chars().all(is_character) { Ok(()) } else { Err("a character that XML does not have") }
}

/// A text whose lines end as XML has them (1.0, section 2.11).
fn lines(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { text }
}

/// What a reference stands for: one of the five that are predefined, or a character by its number.
fn referred(name: &str) -> Result<char, &'static str> {
    let number = |digits: &str, radix: u32| {
        let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        let code = is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten();
        code.and_then(char::from_u32).filter(|character| is_character(*character))
    };
    match name {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        name => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(digits), _) => number(digits, 16).ok_or("a reference to a character that XML does not have"),
            (None, Some(digits)) => number(digits, 10).ok_or("a reference to a character that XML does not have"),
            (None, None) => Err("an entity that is not predefined"),
        },
    }
}

/// Accepts an XML declaration of this version and encoding (XML 1.0, section 2.8).
fn declared(declaration: &BytesDecl<'_>) -> Result<(), &'static str> {
    const NOT_READ: &str = "an XML declaration that cannot be read";
    let content = utf8(Cow::Borrowed(declaration))?;
    if !is_spaced(&content) {
        return Err(NOT_READ);
    }
    let mut parts = Vec::new();
    // A fourth part is one too many.
    for part in Attributes::new(&content, "xml".len()).with_checks(false).take(4) {
        let Attribute { key, value } = part.map_err(|_| NOT_READ)?;
        parts.push((key, value.to_ascii_lowercase()));
    }
    let mut parts = parts.iter().map(|(key, value)| (key.as_ref(), value.as_slice())).peekable();
    match parts.next() {
        Some((b"version", b"1.0")) => {}
        Some((b"version", _)) => return Err("another version of XML than 1.0"),
        Some(_) | None => return Err(NOT_READ),
    }
    match parts.next_if(|(key, _)| *key == b"encoding") {
        None | Some((_, b"utf-8" | b"us-ascii")) => {}
        Some(_) => return Err("another encoding than UTF-8"),
    }
    parts.next_if(|part| matches!(part, (b"standalone", b"yes" | b"no")));
    if parts.next().is_some() { Err(NOT_READ) } else { Ok(()) }
}

/// The namespaces that nobody may declare as others (Namespaces in XML 1.0, section 3).
const RESERVED: [&[u8]; 2] = [b"http://www.w3.org/XML/1998/namespace", b"http://www.w3.org/2000/xmlns/"];

/// Accepts the declarations of namespaces, which mean nothing here, and no other attribute. The first that is none ends
/// it, so that a flood of them costs nothing.
fn declarations(start: &BytesStart<'_>) -> Result<(), &'static str> {
    const ILL_FORMED: &str = "an attribute that is not well-formed";
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for attribute in start.attributes().with_checks(false) {
        let Attribute { key, value } = attribute.map_err(|_| ILL_FORMED)?;
        let key = key.as_ref();
        let prefix = key.strip_prefix(b"xmlns:").and_then(|prefix| std::str::from_utf8(prefix).ok());
        if key != b"xmlns" && !prefix.is_some_and(is_name) {
            return Err("an attribute");
        }
        let is_reserved = prefix.is_some_and(|prefix| prefix.starts_with("xml")) || RESERVED.contains(&value.as_ref());
        let is_ill_formed = value.contains(&b'<') || value.contains(&b'&') || (prefix.is_some() && value.is_empty());
        if is_ill_formed || is_reserved {
            return Err(ILL_FORMED);
        }
        characters(&utf8(value)?)?;
        if seen.iter().any(|known| *known == key) || seen.len() == MAX_DECLARATIONS {
            return Err("a namespace that is declared twice, or too many of them");
        }
        seen.push(key.to_vec());
    }
    let content = utf8(Cow::Borrowed(start))?;
    if seen.is_empty() || is_spaced(&content) { Ok(()) } else { Err(ILL_FORMED) }
}

/// Whether white space, or the end, is behind each quoted value.
fn is_spaced(content: &str) -> bool {
    let mut quote = None;
    let mut characters = content.chars().peekable();
    while let Some(character) = characters.next() {
        match quote {
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => {
                quote = None;
                if characters.peek().is_some_and(|next| !matches!(next, ' ' | '\t' | '\r' | '\n')) {
                    return false;
                }
            }
            None | Some(_) => {}
        }
    }
    true
}
