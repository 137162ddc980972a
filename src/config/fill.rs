//! Fills in, in what is shown of a configuration, what its operator did not write.

use std::time::Duration;

use serde_json::{Value, json};

use super::units::Bytes;

/// A value of a mapping, unless it is written.
pub fn fill(mapping: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(mapping) = mapping.as_object_mut() {
        mapping.entry(key).or_insert_with(|| value.into());
    }
}

/// A mapping within a mapping, which is there from now on.
pub fn section<'v>(mapping: &'v mut Value, key: &str) -> &'v mut Value {
    // A value of another kind was refused before; indexing makes a mapping of a blank one.
    let within = &mut mapping[key];
    if !within.is_object() {
        *within = json!({});
    }
    within
}

/// A number of bytes as it is written.
pub fn size(bytes: usize) -> String {
    Bytes(bytes).to_string()
}

/// A time as it is written.
pub fn duration(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Puts a reference in the place of a secret, unless it is one: to where it is written in its own words, or
/// to a file that is not there, named after the path of the value.
pub fn hide(value: &mut Value, path: &[&str]) {
    let is_reference = value.as_str().is_some_and(|text| {
        let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        inner.is_some_and(|inner| !inner.contains(['$', '{', '}']))
    });
    if !is_reference {
        *value = reference(path).into();
    }
}

/// A reference to the file that a secret would be in.
pub fn reference(path: &[&str]) -> String {
    let segments: Vec<String> = path.iter().map(|segment| plain(segment)).collect();
    format!("${{file:{SECRETS}/{}}}", segments.join("."))
}

/// The directory of files with secrets, beside the configuration that is shown.
pub const SECRETS: &str = "secrets";

/// A name as a part of a file's name: whatever is neither letter nor digit nor hyphen is encoded.
fn plain(name: &str) -> String {
    name.bytes().fold(String::new(), |text, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text + char::from(byte).encode_utf8(&mut [0; 4]),
        byte => text + &format!("%{byte:02X}"),
    })
}
