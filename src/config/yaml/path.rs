//! Paths from the root of a file to a value, as messages show them.

use std::fmt::Write;

use super::words::shown;

/// Appends a key to a path.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&shown(key));
}

/// Appends the index of a list to a path.
pub(super) fn push_index(path: &mut String, index: usize) {
    // Writing to a string cannot fail.
    let _ = write!(path, "[{index}]");
}
