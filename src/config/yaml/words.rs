//! The wording of messages: keys as they are shown, explanations of the errors of the parser and of
//! `serde`, and suggestions for misspelt keys.
//!
//! Mistakes are found in `tree.rs` and `reader.rs`.

use serde::de::Expected;

/// The most characters of a key in a message, which limits the length of lines.
const MAX_SHOWN_KEY: usize = 64;

/// A key as messages show it: shortened, and without control characters.
pub(super) fn shown(key: &str) -> String {
    if key.is_empty() {
        return String::from("\"\"");
    }
    let cut = match key.char_indices().nth(MAX_SHOWN_KEY) {
        Some((end, _)) => key.get(..end).unwrap_or_default(),
        None => key,
    };
    let mut out = String::new();
    for character in cut.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    if cut.len() < key.len() {
        out.push('…');
    }
    out
}

/// The first invisible character of a text, with its position: it may have been copied by accident,
/// and is hard to find.
pub fn invisible(text: &str) -> Option<String> {
    let last = text.chars().count().saturating_sub(1);
    let (place, character) = text.chars().enumerate().find(|(place, character)| {
        let hidden = character.is_control()
            || matches!(character,
                '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
                    | '\u{3000}' | '\u{feff}');
        hidden || (*character == ' ' && (*place == 0 || *place == last))
    })?;
    let name = match character {
        '\n' => "a line end",
        '\r' => "a carriage return",
        '\t' => "a tab",
        ' ' => "a space at its beginning or end",
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{feff}' => "a byte order mark",
        other if other.is_control() => "a control character",
        _ => "a character that is not seen",
    };
    Some(format!("U+{:04X} ({name}) at character {}", u32::from(character), place.saturating_add(1)))
}

/// What is wrong where the parser stopped, from its error message.
pub(super) fn not_yaml(words: &str) -> String {
    match HINTS.iter().find(|(part, _)| words.contains(part)) {
        Some((_, what)) => String::from(*what),
        None => format!("is not YAML ({words}); correct the text here"),
    }
}

/// Explanations of the parser's error messages.
const HINTS: [(&str, &str); 20] = [
    (
        "mapping values are not allowed",
        "has a `: ` where no key can stand; check the indentation of this line and the one before, or put the value \
         in quotes",
    ),
    ("mapping keys are not allowed", "has a `? ` where no key can stand; put the value in quotes"),
    (
        "simple key expect",
        "follows a line without `: `; write that line as `key: value`, or indent it to continue the one before",
    ),
    (
        "did not find expected key",
        "is not a `key: value` line; check its indentation and that the text before it is complete",
    ),
    ("expected '-' indicator", "is not a `- ` line of the list before it; check its indentation"),
    ("misplaced bracket", "is a closing bracket without its opening one; remove it or open it before"),
    ("unprintable", "is a character that YAML does not allow; remove it"),
    ("tab", "is indented with a tab; use spaces"),
    ("indent", "is indented wrongly; line it up with the lines it belongs to"),
    ("expected ',' or '}'", "breaks off a mapping in braces; add the missing `,` or `}`"),
    ("expected ',' or ']'", "breaks off a list in brackets; add the missing `,` or `]`"),
    ("expected node content", "has no value where one must be; write one, or remove what announces it"),
    (
        "expected <document start>",
        "comes after the end of the document; indent it to belong to what is above, or remove it",
    ),
    ("trailing content", "comes after a closing quote; move it inside the quotes, or remove it"),
    ("comments must be separated", "has a `#` directly after a value; put a space before it, or quotes around both"),
    ("illegal placement of ':'", "has a `:` where no key can stand; put the value in quotes"),
    ("unknown anchor", "is an alias for an anchor that is not written above; write the value out"),
    ("unexpected end of stream", "is a quoted text without its closing quote; add the quote"),
    ("unexpected character", "starts with a character that needs quotes; put the value in quotes"),
    ("escape", "has an escape that YAML does not know; correct it, or use single quotes"),
];

/// The message about an unknown key, with a suggestion.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    match closest(key, known) {
        Some(candidate) => format!("is not a key here; did you mean `{candidate}`?"),
        None if known.is_empty() => String::from("is not a key here; remove it"),
        None => format!("is not a key here; the keys are {}", known.join(", ")),
    }
}

/// The known key that was probably meant.
pub fn closest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let close = known
        .iter()
        .map(|candidate| (distance(key, candidate), *candidate))
        .filter(|(distance, candidate)| {
            let length = candidate.chars().count();
            let related = key.len() > 1 && (candidate.starts_with(key) || key.starts_with(*candidate));
            related || (*distance <= 2 && *distance < length)
        })
        .min();
    close.map(|(_, candidate)| candidate)
}

/// The number of letters that must be added, removed, replaced or swapped with their neighbour to
/// turn one word into another (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before_previous: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=other.len()).collect();
    let mut last_letter = None;
    for (row, letter) in one.chars().take(LONGEST_COMPARED).enumerate() {
        let mut current = vec![row.saturating_add(1)];
        let mut left_letter = None;
        for (column, &wanted) in other.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let next = column.saturating_add(1);
            let mut best = at(&previous, column).saturating_add(usize::from(letter != wanted));
            best = best.min(at(&previous, next).saturating_add(1));
            best = best.min(at(&current, column).saturating_add(1));
            if let Some(earlier) = column.checked_sub(1)
                && last_letter == Some(wanted)
                && left_letter == Some(letter)
            {
                best = best.min(at(&before_previous, earlier).saturating_add(1));
            }
            current.push(best);
            left_letter = Some(wanted);
        }
        before_previous = std::mem::replace(&mut previous, current);
        last_letter = Some(letter);
    }
    previous.last().copied().unwrap_or(usize::MAX)
}

/// The most characters of a key that are compared with the known ones, which are all shorter.
const LONGEST_COMPARED: usize = 64;

/// What a visitor of `serde` expects, in words for operators.
pub(super) fn in_plain_words(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" | "str" | "string" => "text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        other if other.starts_with("a nonzero") => "a whole number other than 0",
        other if other.starts_with("struct ") => "a mapping",
        other if other.starts_with("tuple") => "a list",
        other => other,
    }
    .to_owned()
}
