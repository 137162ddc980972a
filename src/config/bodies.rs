//! Bodies: sizes, JSON Schemas and which broken rule is which problem, compiled from the configuration.
//!
//! How a body is judged is `check/body.rs`.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::compile::out_of_range;
use super::problems::Rows;
use super::products::ProductContext;
use super::units::{Bytes, Parsed};
use super::{Source, file};
use crate::config::yaml::{Mistakes, Place, Written};
use crate::platform::pace;
use crate::policy::check::body::{BodyRule, Mapping, Schema, When};

/// Bytes that a body may have at most: it is held in memory as a whole.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Compiles the `body` of a product.
pub fn body_rule(body: file::Body, around: &ProductContext<'_>, rows: &mut Rows, mistakes: &mut Mistakes) -> BodyRule {
    let max_place = body.max.place().cloned();
    let max_bytes = body.max.take().map_or(16 * 1024, |Parsed(Bytes(bytes))| bytes);
    let fits = (1..=MAX_BODY_BYTES).contains(&max_bytes);
    let range = || format!("a size from 1B to {}", Bytes(MAX_BODY_BYTES));
    out_of_range(max_place, fits, range, mistakes);
    if body.schema.is_missing() {
        let without_schema = [body.strict.place(), body.problems.place()];
        for place in without_schema.into_iter().flatten() {
            mistakes.push(place.clone(), "says nothing without a schema; add `schema`, or remove it");
        }
    }
    let strict = body.strict.take().unwrap_or(false);
    let mut mappings = Vec::new();
    for (problem, place) in body.problems.take().unwrap_or_default().0 {
        let row = rows.row(problem.problem, &place, mistakes);
        let at_place = problem.at.place().cloned();
        let at = problem.at.require(&place, "at", "write a JSON Pointer, as in /number", mistakes);
        let when = match problem.when.take() {
            None | Some(file::When::Any) => When::Any,
            Some(file::When::Missing) => When::Missing,
        };
        if let (Some(at), Some(row)) = (at, row) {
            mappings.push((Mapping { at: at.into(), when, row }, at_place.unwrap_or(place)));
        }
    }
    let schema = schema(body.schema, around.source, mistakes).and_then(|(schema, place)| {
        let plain = mappings.iter().map(|(mapping, _)| mapping.clone()).collect();
        pace::step();
        let compiled = Schema::compile(schema.clone(), strict, plain, around.known_schemas());
        if compiled.is_none() {
            let why_not = why_not_a_schema(&schema);
            mistakes.push(place, format!("is not a JSON Schema that can be used ({why_not}); mend it there"));
        }
        compiled
    });
    let mut earlier: Vec<&Mapping> = Vec::new();
    for (mapping, place) in &mappings {
        if schema.as_ref().is_some_and(|schema| !schema.names(&mapping.at)) {
            mistakes.push(
                place.clone(),
                "is a place that the schema does not name; write a JSON Pointer to one of its properties, as in /number",
            );
        }
        if earlier.iter().any(|earlier| hides(earlier, mapping)) {
            mistakes.push(
                place.clone(),
                "is covered by an entry above it, which wins; put this one before it, or remove it",
            );
        }
        earlier.push(mapping);
    }
    BodyRule { max_bytes, schema }
}

/// Whether the later of two mappings can never apply.
fn hides(earlier: &Mapping, later: &Mapping) -> bool {
    let Some(rest) = later.at.strip_prefix(&*earlier.at) else {
        return false;
    };
    match earlier.when {
        When::Any => rest.is_empty() || rest.starts_with('/'),
        When::Missing => rest.is_empty() && later.when == When::Missing,
    }
}

/// Where a schema is wrong. Its own values stay out of the message.
fn why_not_a_schema(schema: &Value) -> String {
    let at = |pointer: &str| match pointer {
        "" => "at its top".to_owned(),
        pointer => format!("at {pointer}"),
    };
    match jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex()).build(schema) {
        Ok(_) => "once unknown members are refused".to_owned(),
        Err(error) => match error.kind() {
            ValidationErrorKind::Referencing(_) => "a $ref names nothing in it".to_owned(),
            _ => at(error.instance_path().as_str()),
        },
    }
}

/// A schema: a file beside the configuration, or the schema itself.
pub fn schema(written: Written<Value>, source: &Source, mistakes: &mut Mistakes) -> Option<(Value, Place)> {
    let Written::Here(value, place) = written else {
        return None;
    };
    match value {
        Value::String(name) => match source.text(&name).map(|text| serde_json::from_str(&text)) {
            Ok(Ok(schema)) => Some((schema, place)),
            Ok(Err(error)) => {
                let what = format!(
                    "names a file that is not JSON (line {}, column {}); mend it there",
                    error.line(),
                    error.column()
                );
                mistakes.push(place, what);
                None
            }
            Err(error) => {
                mistakes.push(
                    place,
                    format!("names a file that cannot be read ({error}); write its path from this file's directory"),
                );
                None
            }
        },
        Value::Object(_) | Value::Bool(_) => Some((value, place)),
        Value::Null | Value::Number(_) | Value::Array(_) => {
            mistakes.push(place, "is not a schema; write the name of a file, or a JSON Schema in place");
            None
        }
    }
}
