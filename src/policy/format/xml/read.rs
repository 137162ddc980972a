//! A body in XML as JSON text: what an element becomes depends on its own form and on what the product's schema says of its
//! place. What is read at all is in `elements.rs`.

use super::elements::{Elements, Index, Malformed, ROOT, is_blank};
use super::write::ITEM;
use crate::policy::check::body::document::malformed_behind;
use crate::policy::check::body::program::types;
use crate::policy::check::body::shapes::{ShapeId, Shapes};
use crate::policy::problem::Problem;

/// The JSON text of a body. It is at most three times as long.
///
/// # Errors
/// `body-malformed`, with the line and column, from 1, of what cannot be read.
pub fn to_json(body: &[u8], shapes: &Shapes) -> Result<Vec<u8>, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed_behind("the body is not UTF-8", body.get(..error.valid_up_to()).unwrap_or_default())
    })?;
    let elements = Elements::read(text).map_err(|Malformed { at, reason }| {
        malformed_behind(reason, body.get(..at.min(body.len())).unwrap_or_default())
    })?;
    let mut out = Vec::with_capacity(body.len());
    Writer { elements: &elements, shapes, out: &mut out }.value(ROOT, shapes.root());
    Ok(out)
}

/// Writes elements as JSON, by what the schema says of their places.
struct Writer<'w, 'x> {
    elements: &'w Elements<'x>,
    shapes: &'w Shapes,
    out: &'w mut Vec<u8>,
}

impl Writer<'_, '_> {
    /// One element that stands for itself: not as the only one of a list that has its name.
    fn value(&mut self, index: Index, shape: ShapeId) {
        let said = self.shapes.types(shape);
        let Some(element) = self.elements.get(index) else { return };
        if element.first_child.is_none() {
            return self.text(&element.text, said);
        }
        let is_list = said & types::ARRAY != 0
            && said & types::OBJECT == 0
            && self.elements.within(index).all(|child| self.elements.name(child) == ITEM);
        if is_list {
            let children: Vec<Index> = self.elements.within(index).collect();
            self.list(&children, self.shapes.element(shape));
        } else {
            self.object(index, shape);
        }
    }

    fn list(&mut self, elements: &[Index], shape: ShapeId) {
        self.out.push(b'[');
        for (number, element) in elements.iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            self.value(*element, shape);
        }
        self.out.push(b']');
    }

    /// The members of an object, each where its name comes up first.
    fn object(&mut self, index: Index, shape: ShapeId) {
        let mut children: Vec<Index> = self.elements.within(index).collect();
        // Stable, so that those of one name stay in their order.
        children.sort_by(|one, other| self.elements.name(*one).cmp(self.elements.name(*other)));
        let mut members: Vec<&[Index]> =
            children.chunk_by(|one, other| self.elements.name(*one) == self.elements.name(*other)).collect();
        members.sort_unstable_by_key(|member| member.first().copied());
        self.out.push(b'{');
        for (number, member) in members.into_iter().enumerate() {
            let Some(first) = member.first() else { continue };
            if number > 0 {
                self.out.push(b',');
            }
            let name = self.elements.name(*first);
            let shape = self.shapes.member(shape, name);
            json_text(self.out, name);
            self.out.push(b':');
            self.member(member, shape);
        }
        self.out.push(b'}');
    }

    /// All elements of one name: a list if there are several, or if the schema says so.
    fn member(&mut self, elements: &[Index], shape: ShapeId) {
        let said = self.shapes.types(shape);
        let of_list = if said & types::ARRAY == 0 { shape } else { self.shapes.element(shape) };
        match elements {
            [only] if !self.is_list(*only, said) => self.value(*only, shape),
            elements => self.list(elements, of_list),
        }
    }

    /// Whether an element that is the only one of its name is a list. What can be an object or nothing is no list.
    fn is_list(&self, index: Index, said: u8) -> bool {
        let Some(element) = self.elements.get(index) else { return false };
        let is_otherwise = match (element.first_child, is_blank(&element.text)) {
            (Some(_), _) => said & types::OBJECT != 0,
            (None, true) => said & (types::STRING | types::NULL | types::OBJECT) != 0,
            (None, false) => false,
        };
        said & types::ARRAY != 0 && !is_otherwise
    }

    /// An element without others in it: a number or a boolean where the schema says so and the text is one, and else a text.
    fn text(&mut self, text: &str, said: u8) {
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        let says = |kinds: u8| said & kinds != 0;
        let is_literal = says(types::BOOLEAN) && matches!(trimmed, "true" | "false")
            || says(types::NUMBER | types::INTEGER) && is_number(trimmed);
        match trimmed {
            literal if is_literal => self.out.extend_from_slice(literal.as_bytes()),
            "" if says(types::STRING) => json_text(self.out, text),
            "" if says(types::NULL) => self.out.extend_from_slice(b"null"),
            "" if says(types::OBJECT) => self.out.extend_from_slice(b"{}"),
            "" if says(types::ARRAY) => self.out.extend_from_slice(b"[]"),
            _ => json_text(self.out, text),
        }
    }
}

/// Appends a text as JSON. Writing into a vector cannot fail.
fn json_text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// Whether a text is a number as JSON writes it (RFC 8259, section 6).
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || whole > 1 && text.starts_with('0') {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
