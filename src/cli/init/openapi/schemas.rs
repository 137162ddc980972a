//! Schemas of a document as JSON Schemas of their own: what they refer to comes along, what OpenAPI 3.0 writes in
//! another way is translated, and what the gateway's compiler refuses is left out and said.
//!
//! Whatever is left out lets more bodies pass, never fewer: where that is not sure, more is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::{Document, step};
use crate::cli::init::notes::Notes;
use crate::platform::pace;
use crate::policy::check::body::{FlawKind, Schema};

/// The most schemas that one can refer to, and the most values of all that are made.
const MAX_DEFINITIONS: usize = 256;
const MAX_VALUES: usize = 400_000;

/// How often a schema is compiled again after something was left out.
const MAX_ROUNDS: usize = 32;

/// Which way a schema's values go: members for the other way are not required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToBackend,
    ToClient,
}

/// Takes schemas over.
pub struct Schemas<'d, 'n> {
    document: &'d Document,
    pub notes: &'n mut Notes,
    /// How many values are made so far.
    values: usize,
}

/// One schema that is being taken over.
struct Making {
    way: Way,
    /// The names of what is referred to, by its place in the document.
    names: BTreeMap<String, String>,
    waiting: Vec<String>,
    /// What cannot be done, which ends it.
    failed: Option<String>,
}

impl<'d, 'n> Schemas<'d, 'n> {
    pub fn new(document: &'d Document, notes: &'n mut Notes) -> Schemas<'d, 'n> {
        Schemas { document, notes, values: 0 }
    }

    /// The schema that stands somewhere, or nothing if it cannot be used.
    pub fn take(&mut self, schema: &Value, at: &str, way: Way, example: Option<&Value>) -> Option<Value> {
        let mut making = Making { way, names: BTreeMap::new(), waiting: Vec::new(), failed: None };
        let mut root = self.convert(schema, at, &mut making);
        let mut definitions = Map::new();
        while let Some(pointer) = making.waiting.pop() {
            let Some(name) = making.names.get(&pointer).cloned() else { continue };
            // What is not in the document was noted where it is referred to.
            let Ok(target) = self.document.find(&pointer) else { continue };
            let converted = self.convert(target, &pointer, &mut making);
            definitions.insert(name, converted);
        }
        if let Some(what) = making.failed {
            self.notes.add(format!("the schema is left out: {what}"), at);
            return None;
        }
        root = without_sole_reference(root, &mut definitions);
        let members = root.as_object_mut()?;
        if !definitions.is_empty() {
            members.insert("$defs".to_owned(), Value::Object(definitions));
        }
        if let Some(example) = example {
            members.insert("examples".to_owned(), json!([example]));
        }
        self.clean(root, at)
    }

    fn convert(&mut self, schema: &Value, at: &str, making: &mut Making) -> Value {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_VALUES || pace::is_spent() {
            making.failed = Some("all schemas together are too large".to_owned());
        }
        if making.failed.is_some() {
            return Value::Bool(true);
        }
        let members = match schema {
            Value::Object(members) => members,
            Value::Bool(_) => return schema.clone(),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.notes.add("is not a schema, and read as one that takes anything", at);
                return Value::Bool(true);
            }
        };
        let mut out = Map::new();
        if let Some(Value::String(reference)) = members.get("$ref") {
            if let Some(to) = self.refer(reference, at, making) {
                out.insert("$ref".to_owned(), to.into());
            }
            if self.document.is_3_0 {
                // What stands beside a reference has no meaning there (OpenAPI 3.0.3, section 4.7.23).
                return Value::Object(out);
            }
        }
        for (keyword, value) in members.iter().filter(|(keyword, _)| *keyword != "$ref") {
            self.keyword(keyword, value, members, at, &mut out, making);
        }
        Value::Object(out)
    }

    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        members: &Map<String, Value>,
        at: &str,
        out: &mut Map<String, Value>,
        making: &mut Making,
    ) {
        let here = step(at, keyword);
        let converted = match (keyword, value) {
            ("discriminator" | "xml" | "externalDocs" | "$id" | "$anchor" | "$schema" | "contentSchema", _) => {
                return self.notes.add(format!("`{keyword}` of schemas is left out"), at);
            }
            ("$dynamicRef" | "$dynamicAnchor" | "$vocabulary", _) => {
                return self.notes.add(format!("`{keyword}` of schemas is left out, so that more passes"), at);
            }
            // Whatever is referred to comes along.
            ("$defs" | "definitions", _) => return,
            ("nullable", _) => return self.nullable(value, members, at),
            ("example", value) => {
                if !members.contains_key("examples") {
                    out.insert("examples".to_owned(), json!([value]));
                }
                return;
            }
            ("type", Value::String(kind)) if members.get("nullable") == Some(&Value::Bool(true)) => {
                json!([kind, "null"])
            }
            ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(_)) => return,
            ("minimum" | "maximum", number) => {
                let exclusive = if keyword == "minimum" { "exclusiveMinimum" } else { "exclusiveMaximum" };
                let is_exclusive = members.get(exclusive) == Some(&Value::Bool(true));
                out.insert(if is_exclusive { exclusive } else { keyword }.to_owned(), number.clone());
                return;
            }
            ("required", Value::Array(names)) => {
                let kept = names.iter().filter(|name| !is_for_the_other_way(members, name, making.way));
                Value::Array(kept.cloned().collect())
            }
            ("properties" | "patternProperties" | "dependentSchemas", Value::Object(schemas)) => {
                let converted = schemas
                    .iter()
                    .map(|(name, schema)| (name.clone(), self.convert(schema, &step(&here, name), making)));
                Value::Object(converted.collect())
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                let numbered = schemas.iter().enumerate();
                Value::Array(
                    numbered.map(|(index, schema)| self.convert(schema, &format!("{here}/{index}"), making)).collect(),
                )
            }
            (
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames"
                | "unevaluatedProperties"
                | "unevaluatedItems"
                | "additionalItems",
                schema @ (Value::Object(_) | Value::Bool(_)),
            ) => self.convert(schema, &here, making),
            (_, value) => value.clone(),
        };
        out.insert(keyword.to_owned(), converted);
    }

    fn nullable(&mut self, value: &Value, members: &Map<String, Value>, at: &str) {
        if value != &Value::Bool(false) && !matches!(members.get("type"), Some(Value::String(_))) {
            self.notes.add("`nullable` without a type has no effect (OpenAPI 3.0.3, section 4.7.24)", at);
        }
    }

    /// A reference to a definition, which is then waited for.
    fn refer(&mut self, reference: &str, at: &str, making: &mut Making) -> Option<String> {
        if let Err(what) = self.document.find(reference) {
            self.notes.add(format!("a schema {what}; it is read as one that takes anything"), at);
            return None;
        }
        if let Some(name) = making.names.get(reference) {
            return Some(format!("#/$defs/{name}"));
        }
        if making.names.len() >= MAX_DEFINITIONS {
            making.failed = Some(format!("it refers to more than {MAX_DEFINITIONS} others"));
            return None;
        }
        let last = reference.rsplit('/').next().unwrap_or_default();
        let mut name: String = last.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        if name.is_empty() || making.names.values().any(|known| *known == name) {
            name = format!("{name}{}", making.names.len());
        }
        making.names.insert(reference.to_owned(), name.clone());
        making.waiting.push(reference.to_owned());
        Some(format!("#/$defs/{name}"))
    }

    /// Leaves out what the compiler refuses.
    fn clean(&mut self, mut schema: Value, at: &str) -> Option<Value> {
        for _ in 0..MAX_ROUNDS {
            let flaws = match Schema::compile(schema.clone(), false, Vec::new(), [], pace::step) {
                Ok(_) => return Some(schema),
                Err(flaws) => flaws,
            };
            for flaw in flaws {
                let what = match flaw.kind {
                    FlawKind::Says(what) => what,
                    FlawKind::Unknown(..) => "is not a keyword of JSON Schema 2020-12".to_owned(),
                };
                let keyword = flaw.at.rsplit('/').find(|word| word.parse::<usize>().is_err()).unwrap_or_default();
                if remove(&mut schema, &flaw.at) {
                    self.notes.add(
                        format!("`{keyword}` of a schema is left out, so that more passes: it {what}"),
                        format!("{at}, at {}", flaw.at),
                    );
                }
            }
            self.loosen(&mut schema, at);
        }
        self.notes.add("the schema is left out: what remains of it still cannot be compiled", at);
        None
    }

    /// Leaves out combinations that pass less where a part of them passes more.
    fn loosen(&mut self, schema: &mut Value, at: &str) {
        let Value::Object(members) = schema else { return };
        if let Some(branches) = members.remove("oneOf") {
            self.notes.add("`oneOf` is read as `anyOf`, since something of the schema is left out", at);
            members.entry("anyOf").or_insert(branches);
        }
        for keyword in ["not", "if", "then", "else", "maxContains", "unevaluatedProperties", "unevaluatedItems"] {
            if members.remove(keyword).is_some() {
                self.notes.add(format!("`{keyword}` is left out, since something of the schema is left out"), at);
            }
        }
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                ("properties" | "patternProperties" | "dependentSchemas" | "$defs", Value::Object(schemas)) => {
                    schemas.values_mut().for_each(|schema| self.loosen(schema, at));
                }
                ("allOf" | "anyOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                    schemas.iter_mut().for_each(|schema| self.loosen(schema, at));
                }
                ("items" | "additionalProperties" | "contains" | "propertyNames", schema) => self.loosen(schema, at),
                _ => {}
            }
        }
    }
}

/// Whether a required member is one that only goes the other way.
fn is_for_the_other_way(members: &Map<String, Value>, name: &Value, way: Way) -> bool {
    let property = name.as_str().and_then(|name| members.get("properties")?.get(name));
    let keyword = if way == Way::ToBackend { "readOnly" } else { "writeOnly" };
    property.and_then(|property| property.get(keyword)) == Some(&Value::Bool(true))
}

/// A schema that only refers to a definition is that definition.
fn without_sole_reference(root: Value, definitions: &mut Map<String, Value>) -> Value {
    let name = match root.as_object() {
        Some(members) if members.len() == 1 => members.get("$ref").and_then(Value::as_str),
        _ => None,
    };
    let name = name.and_then(|reference| reference.strip_prefix("#/$defs/")).map(str::to_owned);
    let Some(name) = name.filter(|name| definitions.get(name).is_some_and(Value::is_object)) else {
        return root;
    };
    let Some(own) = definitions.remove(&name) else { return root };
    let reference = json!(format!("#/$defs/{name}")).to_string();
    let is_named =
        std::iter::once(&own).chain(definitions.values()).any(|schema| schema.to_string().contains(&reference));
    if is_named {
        definitions.insert(name, own.clone());
    }
    own
}

/// Takes out what a pointer names: a keyword with all that it says, or what stands in a list or below a name, in whose
/// place anything passes.
fn remove(schema: &mut Value, pointer: &str) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return false };
    let before = parent.rsplit('/').next().unwrap_or_default();
    let name = name.replace("~1", "/").replace("~0", "~");
    let takes_anything =
        ["allOf", "anyOf", "oneOf", "prefixItems", "items", "properties", "patternProperties", "$defs"];
    match schema.pointer_mut(parent) {
        Some(Value::Object(members)) => match members.get_mut(&name) {
            Some(value @ Value::Object(_)) if takes_anything.contains(&before) && !parent.is_empty() => {
                *value = Value::Bool(true);
                true
            }
            Some(_) => members.remove(&name).is_some(),
            None => false,
        },
        Some(Value::Array(list)) => match name.parse::<usize>().ok().and_then(|index| list.get_mut(index)) {
            Some(value) if takes_anything.contains(&before) && *value != Value::Bool(true) => {
                *value = Value::Bool(true);
                true
            }
            _ => remove(schema, parent),
        },
        _ => false,
    }
}
