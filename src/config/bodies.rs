//! `body` of a product: its size, its JSON Schema, and which broken rule is which problem.
//!
//! Judging bodies and checking schemas is in `policy/check/body.rs`; the lines of mistakes in a schema are found here,
//! by reading its file again.

use std::sync::Arc;

use serde_json::Value;

use super::common::out_of_range;
use super::fill::{fill, size};
use super::problems::Rows;
use super::product_context::ProductContext;
use super::source::Source;
use super::units::{Bytes, Parsed};
use crate::config::yaml::outline::{Outline, in_words};
use crate::config::yaml::{Mistakes, Place, Written, closest};
use crate::platform::pace;
use crate::policy::check::body::{BodyRule, Flaw, FlawKind, Mapping, Schema, When};

/// The largest possible limit of a body in bytes: a body is held in memory.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes of a schema's file: a readable schema has some thousands.
const MAX_SCHEMA_BYTES: u64 = 1024 * 1024;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{Bytes, Text};
    use crate::config::yaml::{Listed, Written};

    /// The rules for a body.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("dependencies" = {"strict": ["schema"], "problems": ["schema"]}))]
    pub struct Body {
        /// Its largest size. Default: 16KiB.
        pub max: Text<Bytes>,
        /// A JSON Schema: a file beside this one, or the schema itself. Default: any JSON.
        #[schemars(extend("type" = ["string", "object", "boolean"]))]
        pub schema: Written<serde_json::Value>,
        /// Refuse members that the schema does not name. Default: false, they are ignored.
        pub strict: Written<bool>,
        /// Which broken rule is which problem; anything else is body-invalid.
        pub problems: Written<Listed<BodyProblem>>,
    }

    /// A part of the body whose broken rules are a problem of their own.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["at", "problem"]))]
    pub struct BodyProblem {
        /// A JSON Pointer; it also covers everything below it.
        #[schemars(regex(pattern = "^/"))]
        pub at: Written<String>,
        /// Which broken rules count; missing: only if the value is absent, null or "". Default: any.
        pub when: Written<When>,
        /// The slug of the problem, built-in or from `problems`.
        pub problem: Written<String>,
    }

    /// Which broken rules count.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum When {
        /// Every broken rule.
        Any,
        /// The value is absent, null or "".
        Missing,
    }
}

/// Compiles the `body` of a product.
pub fn body_rule(
    body: written::Body,
    around: &ProductContext<'_>,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> BodyRule {
    let max_place = body.max.place().cloned();
    let max_bytes = body.max.take().map_or(16 * 1024, |Parsed(Bytes(bytes))| bytes);
    let fits = (1..=MAX_BODY_BYTES).contains(&max_bytes);
    let range = || format!("a size from 1B to {}", Bytes(MAX_BODY_BYTES));
    out_of_range(max_place, fits, range, mistakes);
    if body.schema.is_missing() {
        let without_schema = [body.strict.place(), body.problems.place()];
        for place in without_schema.into_iter().flatten() {
            mistakes.push(place.clone(), "has no effect without a schema; add `schema`, or remove it");
        }
    }
    let strict = body.strict.take().unwrap_or(false);
    let mut mappings = Vec::new();
    for (problem, place) in body.problems.take().unwrap_or_default().0 {
        let row = rows.row(problem.problem, &place, mistakes);
        let at_place = problem.at.place().cloned();
        let at = problem.at.require(&place, "at", "write a JSON Pointer, as in /number", mistakes);
        let when = match problem.when.take() {
            None | Some(written::When::Any) => When::Any,
            Some(written::When::Missing) => When::Missing,
        };
        if let (Some(at), Some(row)) = (at, row) {
            mappings.push((Mapping { at: at.into(), when, row }, at_place.unwrap_or(place)));
        }
    }
    let schema = schema(body.schema, around.source, mistakes).and_then(|read| {
        let plain = mappings.iter().map(|(mapping, _)| mapping.clone()).collect();
        pace::step();
        let file = read.file;
        match Schema::compile(read.schema, strict, plain, around.known_schemas(), pace::step) {
            Ok(schema) => Some(Arc::new(schema)),
            Err(flaws) => {
                tell(&flaws, &read.place, file.as_ref(), around.text, mistakes);
                None
            }
        }
    });
    let mut earlier: Vec<&Mapping> = Vec::new();
    for (mapping, place) in &mappings {
        if schema.as_ref().is_some_and(|schema| !schema.names(&mapping.at)) {
            mistakes.push(
                place.clone(),
                "is not a property in the schema; write a JSON Pointer to one of its properties, as in /number",
            );
        }
        if earlier.iter().any(|earlier| hides(earlier, mapping)) {
            mistakes.push(
                place.clone(),
                "is covered by an entry above it, which takes precedence; move this one before it, or remove it",
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

/// Reports the mistakes in a schema at their keys, without showing values.
fn tell(flaws: &[Flaw], place: &Place, file: Option<&SchemaFile>, main: &str, mistakes: &mut Mistakes) {
    let (outline, top) = match file {
        // JSON may be indented with tabs, which YAML does not allow; in JSON, raw tabs are only between values.
        Some(file) => (Outline::read(&file.name, &file.text.replace('\t', " "), &|_| true), String::new()),
        None => {
            let top = pointer_of(&place.path);
            (Outline::read(&place.file, main, &|pointer| !pointer.starts_with("/accounts/")), top)
        }
    };
    for flaw in flaws {
        let pointer = format!("{top}{}", flaw.at);
        // A key that is not found again is reported at the schema as a whole.
        let (line, column) = match (&outline, file) {
            (Some(outline), _) if outline.line(&top).is_some() => outline.place(&pointer),
            (Some(_) | None, Some(_)) => (1, 1),
            (Some(_) | None, None) => (place.line, place.column),
        };
        let path = match in_words(&pointer) {
            words if words.is_empty() => ".".to_owned(),
            words => words,
        };
        let name = file.map_or_else(|| Arc::clone(&place.file), |file| file.name.as_str().into());
        mistakes.push(Place { file: name, line, column, path: path.into() }, words_of(&flaw.kind));
    }
}

/// A path of a place as a JSON Pointer. Names of products have no dot.
fn pointer_of(path: &str) -> String {
    path.split('.').fold(String::new(), |pointer, key| pointer + "/" + key)
}

fn words_of(kind: &FlawKind) -> String {
    match kind {
        FlawKind::Says(what) => what.clone(),
        FlawKind::Unknown(keyword, known) => match closest(keyword, known) {
            Some(close) => {
                format!("is not a keyword of its draft; did you mean `{close}`? A note of your own begins with x-")
            }
            None => {
                "is not a keyword of its draft, which would ignore it; remove it, or let it begin with x-".to_owned()
            }
        },
    }
}

/// A schema and its origin.
pub struct SchemaRead {
    pub schema: Value,
    /// The place in the configuration that has it or names its file.
    pub place: Place,
    /// Its file, if it is in a separate one.
    pub file: Option<SchemaFile>,
}

/// The file of a schema.
pub struct SchemaFile {
    name: String,
    text: String,
}

/// A schema: a file beside the configuration, or the schema itself.
pub fn schema(written: Written<Value>, source: &Source, mistakes: &mut Mistakes) -> Option<SchemaRead> {
    let Written::Here(value, place) = written else {
        return None;
    };
    match value {
        Value::String(name) => read(&name, place, source, mistakes),
        Value::Object(_) | Value::Bool(_) => Some(SchemaRead { schema: value, place, file: None }),
        Value::Null | Value::Number(_) | Value::Array(_) => {
            mistakes.push(place, "is not a schema; write the name of a file, or a JSON Schema in place");
            None
        }
    }
}

fn read(name: &str, place: Place, source: &Source, mistakes: &mut Mistakes) -> Option<SchemaRead> {
    let text = match source.small_text(name, MAX_SCHEMA_BYTES) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("names a file that cannot be read ({error}); write its path from this file's directory");
            mistakes.push(place, what);
            return None;
        }
    };
    match serde_json::from_str(&text) {
        Ok(schema) => {
            let file = SchemaFile { name: source.shown(name), text };
            Some(SchemaRead { schema, place, file: Some(file) })
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            mistakes
                .push(place, format!("names a file that is not JSON (line {line}, column {column}); mend it there"));
            None
        }
    }
}

/// Shows what is not written.
pub fn fill_in(body: &mut Value, rule: &BodyRule) {
    fill(body, "max", size(rule.max_bytes));
    fill(body, "strict", false);
    for problem in body.get_mut("problems").and_then(Value::as_array_mut).into_iter().flatten() {
        fill(problem, "when", "any");
    }
}
