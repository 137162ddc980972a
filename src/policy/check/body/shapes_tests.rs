//! What a schema says of a place, whichever way leads there.

use serde_json::{Value, json};

use super::Schema;
use super::program::types::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING};

/// The types that a schema says of the place that is reached by these names, `[]` for the elements of a list.
fn said(schema: Value, way: &[&str]) -> u8 {
    let compiled = Schema::compile(schema, false, Vec::new(), None, || ()).unwrap();
    let shapes = compiled.shapes();
    assert!(!shapes.is_partial());
    let place = way.iter().fold(shapes.root(), |place, name| match *name {
        "[]" => shapes.element(place),
        name => shapes.member(place, name),
    });
    shapes.types(place)
}

#[test]
fn what_any_schema_of_a_place_says_counts() {
    let tree = json!({ "$ref": "#/$defs/t", "$defs": { "t": {
        "type": "object", "properties": { "n": { "type": "number" }, "t": { "$ref": "#/$defs/t" },
        "l": { "type": ["array", "null"], "items": { "$ref": "#/$defs/t" } } } } } });
    let combined = json!({
        "allOf": [{ "properties": { "a": { "type": "integer" } } }],
        "oneOf": [{ "properties": { "a": { "type": "string" } } }, { "additionalProperties": { "type": "null" } }],
        "not": { "properties": { "a": { "type": "object" } } },
        "if": { "properties": { "a": { "type": "array" } } },
        "then": { "properties": { "b": { "type": "boolean" } } },
        "patternProperties": { "^x": { "type": "array", "prefixItems": [{ "type": "string" }], "items": { "type": "null" } } },
    });
    for (schema, way, types) in [
        (json!(true), vec![], 0),
        (json!({}), vec!["a", "[]", "b"], 0),
        (json!({ "enum": [1, 2] }), vec![], 0),
        (tree.clone(), vec![], OBJECT),
        (tree.clone(), vec!["n"], NUMBER),
        (tree.clone(), vec!["t", "t", "t", "l"], ARRAY | NULL),
        (tree.clone(), vec!["l", "[]", "l", "[]", "n"], NUMBER),
        (tree, vec!["x"], 0),
        (combined.clone(), vec!["a"], INTEGER | STRING | NULL | ARRAY),
        (combined.clone(), vec!["b"], BOOLEAN | NULL | ARRAY),
        (combined.clone(), vec!["x"], ARRAY | NULL),
        (combined, vec!["x", "[]"], STRING | NULL),
    ] {
        let shown = schema.to_string();
        assert_eq!(said(schema, &way), types, "{way:?} of {shown}");
    }
}
