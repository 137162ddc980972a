//! Descriptions of rules, which follow the name of a member: `must be at most 30`.
//!
//! They are made once from the schema, and never contain anything from a body.

use serde_json::Value;

use super::program::types;

/// The longest limit, pattern or allowed value that is shown, in characters.
const MAX_SHOWN: usize = 60;

/// The most allowed values that are listed.
const MAX_LISTED: usize = 8;

pub const REQUIRED: &str = "is required";
pub const NOT_ALLOWED: &str = "is not allowed";
pub const UNKNOWN_MEMBER: &str = "has a member that is not known";
pub const NAMES: &str = "has a member whose name is not allowed";
pub const NO_MORE_ELEMENTS: &str = "has more elements than it may";
pub const NONE_OF: &str = "has none of the forms that are allowed";
pub const SEVERAL_OF: &str = "has several forms of which only one is allowed";
pub const NOT: &str = "has a form that is not allowed";
pub const CONTAINS_LESS: &str = "lacks an element that it must have";
pub const CONTAINS_MORE: &str = "has too many elements of one kind";

/// Types, as in `must be a string or null`.
pub fn of_types(allowed: u8) -> String {
    let whole = allowed & types::NUMBER == 0;
    let names = [
        (types::OBJECT, "an object"),
        (types::ARRAY, "an array"),
        (types::STRING, "a string"),
        (types::NUMBER, "a number"),
        (if whole { types::INTEGER } else { 0 }, "a whole number"),
        (types::BOOLEAN, "true or false"),
        (types::NULL, "null"),
    ];
    let names: Vec<&str> = names.iter().filter(|(bit, _)| allowed & bit != 0).map(|(_, name)| *name).collect();
    match names.split_last() {
        None => NOT_ALLOWED.to_owned(),
        Some((last, [])) => format!("must be {last}"),
        Some((last, others)) => format!("must be {} or {last}", others.join(", ")),
    }
}

/// A keyword whose value is judged by the library.
pub fn of_leaf(keyword: &str, value: &Value) -> String {
    let shown = shown(value);
    let limit = |words: &str, otherwise: &str| match &shown {
        Some(shown) => format!("{words} {shown}"),
        None => otherwise.to_owned(),
    };
    match keyword {
        "minimum" => limit("must be at least", "is too small"),
        "maximum" => limit("must be at most", "is too large"),
        "exclusiveMinimum" => limit("must be more than", "is too small"),
        "exclusiveMaximum" => limit("must be less than", "is too large"),
        "multipleOf" => limit("must be a multiple of", "is not a multiple of what it must be"),
        "const" => limit("must be", "must be the one value that is allowed"),
        "pattern" => limit("must match the pattern", "must match its pattern"),
        "format" => match value {
            Value::String(name) => format!("must be of the format {name}"),
            _ => "must be of its format".to_owned(),
        },
        "enum" => of_values(value),
        "uniqueItems" => "must not have the same element twice".to_owned(),
        "contentEncoding" | "contentMediaType" => "must be encoded as the schema says".to_owned(),
        _ => "breaks a rule".to_owned(),
    }
}

fn of_values(values: &Value) -> String {
    let listed: Option<Vec<String>> = values
        .as_array()
        .filter(|values| (1..=MAX_LISTED).contains(&values.len()))
        .and_then(|values| values.iter().map(shown).collect());
    match listed {
        Some(listed) if listed.iter().map(String::len).sum::<usize>() <= 2 * MAX_SHOWN => {
            format!("must be one of {}", listed.join(", "))
        }
        Some(_) | None => "must be one of the values that are allowed".to_owned(),
    }
}

/// How many there must or may be.
pub fn of_count(at_least: bool, number: u64, thing: &str) -> String {
    let words = if at_least { "at least" } else { "at most" };
    let thing = if number == 1 { thing.to_owned() } else { format!("{thing}s") };
    match (at_least, number) {
        (false, 0) => format!("must have no {thing}"),
        _ => format!("must have {words} {number} {thing}"),
    }
}

/// The text of a value of the schema, unless it is too long or not a single value.
fn shown(value: &Value) -> Option<String> {
    let shown = match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => value.to_string(),
        Value::Array(_) | Value::Object(_) => return None,
    };
    (shown.chars().count() <= MAX_SHOWN).then_some(shown)
}
