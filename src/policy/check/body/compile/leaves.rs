//! The rules of a schema about single values, which the library judges.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::compiler::{Compiler, Spot};
use crate::policy::check::body::keywords::{Draft, beyond_linear};
use crate::policy::check::body::program::{
    Cost, Leaf, MAX_LEAVES, MAX_PATTERN_BYTES, MAX_PATTERN_CACHE_BYTES, MAX_PATTERNS, Whole, types,
};
use crate::policy::check::body::rules;

impl<'s> Compiler<'s> {
    /// What the schema says of single values.
    pub(super) fn leaves(&mut self, spot: Spot<'s>, members: &'s Map<String, Value>) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for (keyword, value) in members {
            if self.draft.holds(keyword).is_none() {
                continue;
            }
            let (about, cost) = match keyword.as_str() {
                "enum" | "const" => (types::ALL, Cost::Fixed(cost_of_values(value))),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                    (types::NUMBER, Cost::Fixed(1))
                }
                "pattern" => (types::STRING, Cost::Byte(1)),
                "format" | "contentEncoding" | "contentMediaType" if self.draft.judges_formats() => {
                    (types::STRING, Cost::Byte(1))
                }
                "uniqueItems" if *value == Value::Bool(true) => (types::ARRAY, Cost::Part(4)),
                _ => continue,
            };
            // Draft 4 writes whether a limit is allowed itself beside the limit.
            let beside = match (self.draft, keyword.as_str()) {
                (Draft::Draft4, "minimum") => members.get_key_value("exclusiveMinimum"),
                (Draft::Draft4, "maximum") => members.get_key_value("exclusiveMaximum"),
                (Draft::Draft4, "exclusiveMinimum" | "exclusiveMaximum") => continue,
                _ => None,
            };
            let mut alone = Map::new();
            alone.insert(keyword.clone(), value.clone());
            alone.extend(beside.map(|(keyword, value)| (keyword.clone(), value.clone())));
            let exclusive = beside.is_some_and(|(_, value)| *value == Value::Bool(true));
            let told = match keyword.as_str() {
                "minimum" if exclusive => "exclusiveMinimum",
                "maximum" if exclusive => "exclusiveMaximum",
                other => other,
            };
            let rule = self.rule(&rules::of_leaf(told, value));
            let pattern = if keyword == "pattern" { value.as_str() } else { None };
            match self.validator(Value::Object(alone), pattern) {
                Ok((validator, weight)) => {
                    let cost = if pattern.is_some() { Cost::Byte(weight) } else { cost };
                    leaves.push(Leaf { about, validator, whole: whole_limit(told, value), rule, cost });
                }
                Err(what) => self.flaw_of(spot.schema, keyword, what),
            }
        }
        leaves
    }

    /// A validator of the library for one rule, and what each byte costs if it is a pattern.
    pub(super) fn validator(&mut self, schema: Value, pattern: Option<&str>) -> Result<(Validator, u64), String> {
        self.leaves = self.leaves.saturating_add(1);
        self.patterns = self.patterns.saturating_add(usize::from(pattern.is_some()));
        if self.leaves > MAX_LEAVES {
            return Err(format!("is one rule too many; {MAX_LEAVES} fit into a document"));
        }
        if self.patterns > MAX_PATTERNS {
            return Err(format!("is one pattern too many; {MAX_PATTERNS} fit into a document"));
        }
        (self.step)();
        let build = |bytes: usize| {
            let patterns = PatternOptions::regex().size_limit(bytes).dfa_size_limit(MAX_PATTERN_CACHE_BYTES);
            jsonschema::options().with_draft(self.draft.of_library()).with_pattern_options(patterns).build(&schema)
        };
        let Some(pattern) = pattern else {
            return build(MAX_PATTERN_BYTES)
                .map(|validator| (validator, 1))
                .map_err(|_| "is not a value that it can have; look it up in the draft".to_owned());
        };
        if let Some(found) = beyond_linear(pattern) {
            return Err(format!(
                "has {found}, with which matching a text can take for ever; say it with further patterns in allOf or not"
            ));
        }
        // The compiled size cannot be queried; it is between the last limit that was too low and the next.
        for (bytes, weight) in [(MAX_PATTERN_BYTES / 16, 1), (MAX_PATTERN_BYTES / 4, 4), (MAX_PATTERN_BYTES, 16)] {
            if let Ok(validator) = build(bytes) {
                return Ok((validator, weight));
            }
        }
        Err(format!(
            "is not a regular expression that can be used: it is wrong, or larger than {} KiB once it is compiled; \
             write one as in ^[A-Z]{{2,3}}$, with small numbers of repetitions",
            MAX_PATTERN_BYTES / 1024
        ))
    }
}

fn whole_limit(keyword: &str, limit: &Value) -> Option<Whole> {
    match keyword {
        "minimum" => limit.as_i64().map(Whole::AtLeast),
        "maximum" => limit.as_i64().map(Whole::AtMost),
        _ => None,
    }
}

/// Steps to compare a value with those that are allowed: they are as many as values in them, an eighth of
/// a step each.
fn cost_of_values(values: &Value) -> u64 {
    fn count(value: &Value) -> u64 {
        match value {
            Value::Array(elements) => elements.iter().map(count).sum::<u64>().saturating_add(1),
            Value::Object(members) => members.values().map(count).sum::<u64>().saturating_add(1),
            Value::String(text) => u64::try_from(text.len() / 64).unwrap_or(0).saturating_add(1),
            Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        }
    }
    count(values).saturating_div(8).saturating_add(1)
}
