//! Checks of the values of operations: names, texts, lists in their canonical form. The parsers are those of the
//! gateway's configuration.

use super::error::StoreError;
use super::records::{ListEntry, ListKind};
use crate::policy::check::domain::{Domains, Pattern};
use crate::policy::check::network::parse_network;

/// The most characters of a name.
pub const MAX_NAME: usize = 255;

/// The most characters of a text for people: a note, the display name of an account.
pub const MAX_TEXT: usize = 500;

/// The most entries of one list of a token.
pub const MAX_ENTRIES: usize = 10_000;

/// The most products of an account or a token: as many as a configuration can have.
pub const MAX_PRODUCTS: usize = crate::policy::account::MAX_PRODUCTS;

/// A name of an account, a token, a plan or a key.
pub fn name(field: &str, name: &str) -> Result<(), StoreError> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(StoreError::invalid(field, "is not a name; write one of visible characters"));
    }
    if name.chars().count() > MAX_NAME {
        return Err(StoreError::invalid(field, format!("is too long; write at most {MAX_NAME} characters")));
    }
    Ok(())
}

/// An id that comes from elsewhere.
pub fn id(field: &str, id: &str) -> Result<(), StoreError> {
    let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id {
        Ok(())
    } else {
        Err(StoreError::invalid(field, "is no id; write 32 hexadecimal digits in small letters"))
    }
}

/// A text for people, which may be empty.
pub fn text(field: &str, text: &str) -> Result<(), StoreError> {
    if text.chars().any(char::is_control) {
        return Err(StoreError::invalid(field, "has control characters; write it on one line"));
    }
    if text.chars().count() > MAX_TEXT {
        return Err(StoreError::invalid(field, format!("is too long; write at most {MAX_TEXT} characters")));
    }
    Ok(())
}

/// Names of products, each once and in order.
pub fn products(field: &str, products: &[String]) -> Result<Vec<String>, StoreError> {
    let mut sorted = products.to_vec();
    for (number, product) in products.iter().enumerate() {
        name(&format!("{field}[{number}]"), product)?;
    }
    sorted.sort();
    sorted.dedup();
    if sorted.len() > MAX_PRODUCTS {
        return Err(StoreError::Limit { what: "products", most: MAX_PRODUCTS });
    }
    Ok(sorted)
}

/// The canonical form of an entry of a list.
///
/// # Errors
/// What is wrong with it and what to write instead, without repeating it.
pub fn canonical(kind: ListKind, value: &str) -> Result<String, &'static str> {
    match kind {
        ListKind::Network => {
            let network = parse_network(value)?;
            let is_address = network.prefix_len() == network.max_prefix_len();
            Ok(if is_address { network.addr().to_string() } else { network.to_string() })
        }
        ListKind::Domain => {
            let listed = Domains::listed([Pattern::parse(value)?], false);
            let one = listed.patterns().and_then(|(patterns, _)| patterns.into_iter().next());
            one.ok_or("is not a host; write one as in app.example.com")
        }
    }
}

/// The entries of a list in their canonical form, sorted, each once: of two that are the same the first has its note.
pub fn entries(kind: ListKind, entries: &[ListEntry]) -> Result<Vec<ListEntry>, StoreError> {
    if entries.len() > MAX_ENTRIES {
        return Err(StoreError::Limit { what: "entries of a list", most: MAX_ENTRIES });
    }
    let mut known = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        let value = canonical(kind, entry.value.trim())
            .map_err(|why| StoreError::invalid(format!("entries[{number}].value"), why))?;
        text(&format!("entries[{number}].note"), &entry.note)?;
        known.push(ListEntry { value, note: entry.note.clone() });
    }
    known.sort_by(|one, other| one.value.cmp(&other.value));
    known.dedup_by(|later, first| later.value == first.value);
    Ok(known)
}
