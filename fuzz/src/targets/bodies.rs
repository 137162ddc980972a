//! Bodies and schemas: JSON as `serde_json` reads it, verdicts of the `jsonschema` library, and memory in proportion to
//! the body.

use std::sync::Arc;

use jsonschema::PatternOptions;
use serde_json::Value;
use tollgate::policy::check::body::document::{self, MAX_NESTING};
use tollgate::policy::check::body::{BodyRule, Schema, TOO_MUCH_WORK, without_mark};

use crate::memory;

/// The deepest body that the library, which has no limit of its own, is asked about.
const SHALLOW: usize = 4;

/// The longest body and schema for it.
const SHORT: usize = 1024;

/// An input: a schema, a zero byte, and a body.
pub fn run(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == 0) else { return document(data) };
    let (schema, body) = (&data[..at], &data[at + 1..]);
    document(body);
    let Ok(schema) = serde_json::from_slice::<Value>(schema) else { return };
    let Ok(compiled) = Schema::compile(schema.clone(), false, Vec::new(), None, || ()) else { return };
    let rule = BodyRule { max_bytes: 1 << 20, schema: Some(Arc::new(compiled)) };
    // The value, the list of broken rules, and what is remembered, all in proportion to the body.
    let judged = memory::within((1 << 20) + body.len() * 1024, "judging a body", || rule.judge(body));
    if judged.as_ref().is_err_and(|problem| *problem == TOO_MUCH_WORK) {
        return;
    }
    if let Some(at_once) = rule.judge_at_once(body) {
        assert_eq!(at_once, judged, "with fewer steps it comes to another verdict");
    }
    let Ok(value) = document::parse(without_mark(body)) else { return };
    if at > SHORT || body.len() > SHORT || depth(&value) > SHALLOW || is_taken_otherwise(&schema) {
        return;
    }
    let patterns = PatternOptions::regex();
    let Ok(library) = jsonschema::options().with_pattern_options(patterns).build(&schema) else {
        panic!("the library does not take a schema that this one takes: {schema}");
    };
    assert_eq!(judged.is_ok(), library.is_valid(&value), "{value} against {schema}");
}

/// In draft 2019-09 `contains` evaluates no items (core, section 9.3.1.3), for the library it does.
fn is_taken_otherwise(schema: &Value) -> bool {
    let text = schema.to_string();
    ["2019-09", "\"contains\"", "\"unevaluatedItems\""].iter().all(|part| text.contains(part))
}

fn document(bytes: &[u8]) {
    let ours = memory::within(64 * 1024 + bytes.len() * 256, "a document", || document::parse(bytes));
    let theirs = serde_json::from_slice::<Value>(bytes);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Ok(_), Err(error)) => panic!("serde_json refuses it: {error}"),
        (Err(_), _) => {}
    }
    // Written again no key is there twice.
    if let Ok(theirs) = theirs
        && depth(&theirs) <= usize::from(MAX_NESTING)
    {
        let text = theirs.to_string();
        assert_eq!(document::parse(text.as_bytes()).ok(), serde_json::from_str(&text).ok(), "{text}");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
