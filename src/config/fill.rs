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

/// What stands in the place of a secret.
pub const HIDDEN: &str = "***";

/// Puts something else in the place of a secret, if there is one.
pub fn hide(mapping: &mut Value, key: &str) {
    if let Some(value) = mapping.get_mut(key) {
        *value = HIDDEN.into();
    }
}
