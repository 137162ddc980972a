//! Names of members as names of elements, and back (contract, section 13).
//!
//! A character that no name has there is `_xHHHH_`, its code point in four hexadecimal digits, or eight if four are too
//! few; so is an underscore in front of an x, so that each name is read as what it was. The empty name is `_x_`. This is how
//! .NET encodes names.

use std::borrow::Cow;
use std::fmt::Write;

/// The empty name.
const EMPTY: &str = "_x_";

/// Whether XML allows a character at all (XML 1.0, section 2.2).
pub fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether a name can begin with a character (XML 1.0, section 2.3). The colon of namespaces is left out.
fn begins(character: char) -> bool {
    matches!(character,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// Whether a character can be in a name behind its first.
fn goes_on(character: char) -> bool {
    begins(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Whether a text is a name of XML without a prefix.
pub fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(begins) && characters.all(goes_on)
}

/// The name of an element for a member.
pub fn encode(name: &str) -> Cow<'_, str> {
    if is_name(name) && !name.contains("_x") {
        return Cow::Borrowed(name);
    }
    if name.is_empty() {
        return Cow::Borrowed(EMPTY);
    }
    let mut out = String::with_capacity(name.len().saturating_mul(2));
    let mut characters = name.chars().peekable();
    let mut is_first = true;
    while let Some(character) = characters.next() {
        let is_plain = if is_first { begins(character) } else { goes_on(character) };
        let reads_otherwise = character == '_' && characters.peek() == Some(&'x');
        // Writing to a string cannot fail.
        let _ = match u32::from(character) {
            _ if is_plain && !reads_otherwise => out.write_char(character),
            code @ 0..=0xffff => write!(out, "_x{code:04X}_"),
            code => write!(out, "_x{code:08X}_"),
        };
        is_first = false;
    }
    Cow::Owned(out)
}

/// The member that an element is. What only looks like an encoded character stays as it is.
pub fn decode(name: &str) -> Cow<'_, str> {
    if !name.contains("_x") {
        return Cow::Borrowed(name);
    }
    if name == EMPTY {
        return Cow::Borrowed("");
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("_x") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match encoded(from) {
            Some((character, length)) => {
                out.push(character);
                rest = from.get(length..).unwrap_or_default();
            }
            None => {
                out.push('_');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that a text begins with in its encoded form, and the length of that.
fn encoded(text: &str) -> Option<(char, usize)> {
    [4, 8].into_iter().find_map(|digits| {
        let hex = text.get(2..digits + 2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let ends = text.as_bytes().get(digits + 2) == Some(&b'_');
        let character = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
        ends.then_some((character, digits + 3))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_name_has_is_encoded() {
        for (name, element) in [
            ("number", "number"),
            ("größe", "größe"),
            ("a b", "a_x0020_b"),
            ("1st", "_x0031_st"),
            ("a:b", "a_x003A_b"),
            ("-", "_x002D_"),
            ("", "_x_"),
            ("_x_", "_x005F_x_"),
            ("_x0020_", "_x005F_x0020_"),
            ("_y", "_y"),
            ("a_x", "a_x005F_x"),
            ("\u{0}", "_x0000_"),
            ("a\u{f0000}", "a_x000F0000_"),
        ] {
            assert_eq!(encode(name), element, "{name:?}");
            assert_eq!(decode(element), name, "{element:?}");
        }
        for kept in ["_xyz", "_x12_", "_x123_", "_xd800_", "_x00110000_", "a_x", "_X0020_"] {
            assert_eq!(decode(kept), kept);
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "(_x[0-9a-f]{0,4}_?|.|[_x0-9a-z]){0,12}") {
            let element = encode(&name);
            prop_assert!(is_name(&element), "{:?}", element);
            prop_assert_eq!(&*decode(&element), name.as_str());
        }
    }
}
