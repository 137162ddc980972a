//! What is wrong with schemas: where, and in which words.

use serde_json::{Value, json};

use super::program::{MAX_IN_PLACE, MAX_LEAVES, MAX_NODES, MAX_PATTERNS};
use super::{Flaw, FlawKind, Schema};

/// What is wrong with a schema, each flaw as its pointer and the beginning of what is said.
fn flaws(schema: &Value) -> Vec<(String, String)> {
    let flaws = Schema::compile(schema.clone(), false, Vec::new(), None, || ()).err().unwrap_or_default();
    let words = |flaw: Flaw| match flaw.kind {
        FlawKind::Says(what) => (flaw.at, what),
        FlawKind::Unknown(keyword, known) => {
            assert!(known.contains(&"required") && !known.contains(&&*keyword));
            (flaw.at, format!("unknown {keyword}"))
        }
    };
    let mut flaws: Vec<_> = flaws.into_iter().map(words).collect();
    flaws.sort();
    flaws
}

#[test]
fn each_flaw_is_told_at_its_place() {
    let draft7 = "http://json-schema.org/draft-07/schema#";
    for (schema, expected) in [
        (json!({ "requierd": ["a"] }), vec![("/requierd", "unknown requierd")]),
        (json!({ "$defs": { "a": { "propertys": {} } } }), vec![("/$defs/a/propertys", "unknown propertys")]),
        (json!({ "items": { "nullable": true } }), vec![("/items/nullable", "unknown nullable")]),
        (json!({ "$schema": draft7, "prefixItems": [] }), vec![("/prefixItems", "unknown prefixItems")]),
        (
            json!({ "$schema": "http://json-schema.org/draft-04/schema#", "const": 1 }),
            vec![("/const", "unknown const")],
        ),
        (
            json!({ "x-note": 1, "title": "", "$comment": "", "deprecated": true, "readOnly": true, "writeOnly": true,
                 "default": 1, "examples": [], "format": "email", "contentMediaType": "a/b", "description": "" }),
            vec![],
        ),
        // Names of members and examples are no keywords.
        (
            json!({ "properties": { "requierd": true }, "examples": [{ "requierd": 1 }], "enum": [{ "requierd": 1 }] }),
            vec![],
        ),
        (json!({ "$schema": "https://example.com/mine" }), vec![("/$schema", "names a draft that is not known")]),
        (json!({ "type": "strin" }), vec![("/type", "is not allowed there by JSON Schema (its rule anyOf)")]),
        (json!({ "properties": { "a": 7 } }), vec![("/properties/a", "is not a schema")]),
        (
            json!({ "properties": { "a": { "$ref": "#/$defs/none" } } }),
            vec![("/properties/a/$ref", "names nothing in the schema")],
        ),
        (json!({ "$ref": "other.json" }), vec![("/$ref", "leads out of the schema")]),
        (json!({ "$ref": "https://json-schema.org/draft/2020-12/schema" }), vec![("/$ref", "leads out of the schema")]),
        (json!({ "$ref": "#/title", "title": "t" }), vec![("/$ref", "leads to something that is not a schema")]),
        (json!({ "$ref": "#" }), vec![("/$ref", "leads back to itself")]),
        (json!({ "allOf": [{ "$ref": "#" }] }), vec![("", "leads back to itself without going into a member")]),
        (
            json!({ "$schema": draft7, "$ref": "#/definitions/a", "required": ["a"], "definitions": { "a": true } }),
            vec![("/required", "is ignored beside $ref by draft 7")],
        ),
        (json!({ "$schema": draft7, "$ref": "#/definitions/a", "title": "t", "definitions": { "a": true } }), vec![]),
        (json!({ "pattern": "^(?=a)" }), vec![("/pattern", "has a look-ahead")]),
        (json!({ "pattern": "(?<!a)b" }), vec![("/pattern", "has a look-behind")]),
        (json!({ "pattern": r"(a)\1" }), vec![("/pattern", "has a back-reference")]),
        (json!({ "pattern": r"[(?=]\(?=" }), vec![]),
        (json!({ "pattern": "[" }), vec![("/pattern", "is not a regular expression")]),
        (json!({ "pattern": r"^(\w{1,500}){1,500}$" }), vec![("/pattern", "is not a regular expression")]),
        (
            json!({ "patternProperties": { "(?!a)/b": true } }),
            vec![("/patternProperties/(?!a)~1b", "has a look-ahead")],
        ),
    ] {
        let found = flaws(&schema);
        let indexes: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(indexes, expected.iter().map(|(at, _)| *at).collect::<Vec<_>>(), "{schema}: {found:?}");
        for ((_, what), (_, begins)) in found.iter().zip(&expected) {
            assert!(what.starts_with(begins), "{schema}: {what}");
        }
    }
}

#[test]
fn what_a_document_expands_to_is_bounded() {
    // Schemas beyond the limit.
    let many: Value = (0..=MAX_NODES).map(|number| (format!("m{number}"), json!({ "minimum": number }))).collect();
    assert!(flaws(&json!({ "properties": many }))[0].1.starts_with("is one schema too many"));
    // Doubling by references is one node for each definition.
    let mut doubling = serde_json::Map::new();
    for level in 0..12 {
        let next = json!({ "$ref": format!("#/$defs/l{}", level + 1) });
        doubling.insert(format!("l{level}"), json!({ "allOf": [next, next] }));
    }
    doubling.insert("l12".to_owned(), json!({ "type": "object" }));
    let schema =
        Schema::compile(json!({ "$ref": "#/$defs/l0", "$defs": doubling }), false, Vec::new(), None, || ()).unwrap();
    assert!(schema.program.nodes.len() <= 16, "{}", schema.program.nodes.len());
    // Patterns and rules beyond the limits.
    let patterns: Value = (0..=MAX_PATTERNS).map(|number| (format!("^{number}$"), json!(true))).collect();
    assert!(flaws(&json!({ "patternProperties": patterns }))[0].1.starts_with("is one pattern too many"));
    let rules = json!({ "minimum": 1, "maximum": 9, "multipleOf": 2 });
    let rules: Value = (0..=MAX_LEAVES / 3).map(|number| (format!("m{number}"), rules.clone())).collect();
    assert!(flaws(&json!({ "properties": rules }))[0].1.starts_with("is one rule too many"));
    // Too deep on one value.
    let deep = (0..=MAX_IN_PLACE).fold(json!({ "type": "object" }), |inner, _| json!({ "allOf": [inner] }));
    assert!(flaws(&deep)[0].1.starts_with("puts more than"));
    // Each resource that a dynamic reference can mean is followed, and each way once.
    let mut resources = serde_json::Map::new();
    for number in 0..200 {
        let next = (number + 1) % 200;
        resources.insert(
            format!("r{number}"),
            json!({ "$id": format!("http://h/r{number}"), "$dynamicAnchor": format!("a{number}"),
                    "properties": { "n": { "$ref": format!("r{next}") }, "d": { "$dynamicRef": format!("#a{number}") } } }),
        );
    }
    let ways = json!({ "anyOf": (0..200).map(|number| json!({ "$ref": format!("http://h/r{number}") })).collect::<Vec<_>>(), "$defs": resources });
    let found = flaws(&ways);
    assert!(found[0].1.starts_with("makes the document stand for more than"), "{found:?}");
}
