//! A JSON document as MessagePack, each value in its shortest form.

use rmp::encode;

use crate::policy::format::tree::Tree;

/// The bytes of a document.
pub fn document(tree: &Tree<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value(&mut out, tree);
    out
}

/// Appends a value. Writing into a vector cannot fail, and no document has 2^32 of anything.
fn value(out: &mut Vec<u8>, tree: &Tree<'_>) {
    match tree {
        Tree::Null => drop(encode::write_nil(out)),
        Tree::Bool(value) => drop(encode::write_bool(out, *value)),
        Tree::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => drop(encode::write_uint(out, number)),
            (None, Some(number)) => drop(encode::write_sint(out, number)),
            (None, None) => drop(encode::write_f64(out, number.as_f64().unwrap_or_default())),
        },
        Tree::Text(text) => drop(encode::write_str(out, text)),
        Tree::List(elements) => {
            drop(encode::write_array_len(out, length(elements.len())));
            elements.iter().for_each(|element| value(out, element));
        }
        Tree::Object(members) => {
            drop(encode::write_map_len(out, length(members.len())));
            for (name, member) in members {
                drop(encode::write_str(out, name));
                value(out, member);
            }
        }
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
