//! Fills in defaults in the configuration that operators are shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::units::Bytes;

/// Sets a value in a mapping, unless it is written.
pub fn fill(mapping: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(mapping) = mapping.as_object_mut() {
        mapping.entry(key).or_insert_with(|| value.into());
    }
}

/// A mapping within a mapping; it is created if it does not exist.
pub fn section<'v>(mapping: &'v mut Value, key: &str) -> &'v mut Value {
    // A value of another kind was refused before; indexing makes a blank value a mapping.
    let within = &mut mapping[key];
    if !within.is_object() {
        *within = json!({});
    }
    within
}

/// A size as it is written in a configuration.
pub fn size(bytes: usize) -> String {
    Bytes(bytes).to_string()
}

/// A duration as it is written in a configuration.
pub fn duration(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Replaces a secret with a reference, unless it is written as a reference already: to a file that is named after the
/// path of the value and does not exist.
pub fn hide(value: &mut Value, path: &[&str]) {
    let is_reference = value.as_str().is_some_and(|text| {
        let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        inner.is_some_and(|inner| !inner.contains(['$', '{', '}']))
    });
    if !is_reference {
        *value = reference(path).into();
    }
}

/// A reference to the file in which a secret would be.
pub fn reference(path: &[&str]) -> String {
    let segments: Vec<String> = path.iter().map(|segment| plain(segment)).collect();
    format!("${{file:{SECRETS}/{}}}", segments.join("."))
}

/// The directory of files with secrets, beside the configuration that is shown.
pub const SECRETS: &str = "secrets";

/// A name as part of a file name: all characters except letters, digits and hyphens are encoded.
fn plain(name: &str) -> String {
    name.bytes().fold(String::new(), |text, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text + char::from(byte).encode_utf8(&mut [0; 4]),
        byte => text + &format!("%{byte:02X}"),
    })
}
