//! The keywords of each draft of JSON Schema, and where they contain schemas.
//!
//! The names are those of the vocabularies of drafts 4, 6, 7, 2019-09 and 2020-12. Keywords are compiled in
//! `compile.rs`.

use serde_json::{Map, Value};

/// The supported drafts, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Draft {
    Draft4,
    Draft6,
    Draft7,
    Draft201909,
    Draft202012,
}

/// The kind of value of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// An annotation, or an identifier.
    Annotation,
    /// A rule about the value.
    Assertion,
    Schema,
    /// A schema, or a list of schemas (`items` before 2020-12).
    SchemaOrList,
    Schemas,
    /// A mapping of schemas.
    Members,
    /// A mapping of schemas or lists of names (`dependencies`).
    MembersOrNames,
    /// Schemas for references.
    Definitions,
}

use Draft::{Draft4, Draft6, Draft7, Draft201909, Draft202012};
use Holds::{Annotation, Assertion, Definitions, Members, MembersOrNames, Schema, SchemaOrList, Schemas};

/// Every keyword, with the first and the last draft that defines it. Annotations are accepted in all.
const KEYWORDS: [(&str, Draft, Draft, Holds); 64] = [
    ("$schema", Draft4, Draft202012, Annotation),
    ("$id", Draft6, Draft202012, Annotation),
    ("id", Draft4, Draft4, Annotation),
    ("$anchor", Draft201909, Draft202012, Annotation),
    ("$dynamicAnchor", Draft202012, Draft202012, Annotation),
    ("$recursiveAnchor", Draft201909, Draft201909, Annotation),
    ("$vocabulary", Draft201909, Draft202012, Annotation),
    ("$comment", Draft4, Draft202012, Annotation),
    ("title", Draft4, Draft202012, Annotation),
    ("description", Draft4, Draft202012, Annotation),
    ("default", Draft4, Draft202012, Annotation),
    ("examples", Draft4, Draft202012, Annotation),
    ("deprecated", Draft4, Draft202012, Annotation),
    ("readOnly", Draft4, Draft202012, Annotation),
    ("writeOnly", Draft4, Draft202012, Annotation),
    ("contentSchema", Draft201909, Draft202012, Annotation),
    ("$defs", Draft4, Draft202012, Definitions),
    ("definitions", Draft4, Draft202012, Definitions),
    ("$ref", Draft4, Draft202012, Assertion),
    ("$dynamicRef", Draft202012, Draft202012, Assertion),
    ("$recursiveRef", Draft201909, Draft201909, Assertion),
    ("type", Draft4, Draft202012, Assertion),
    ("enum", Draft4, Draft202012, Assertion),
    ("const", Draft6, Draft202012, Assertion),
    ("minimum", Draft4, Draft202012, Assertion),
    ("maximum", Draft4, Draft202012, Assertion),
    ("exclusiveMinimum", Draft4, Draft202012, Assertion),
    ("exclusiveMaximum", Draft4, Draft202012, Assertion),
    ("multipleOf", Draft4, Draft202012, Assertion),
    ("minLength", Draft4, Draft202012, Assertion),
    ("maxLength", Draft4, Draft202012, Assertion),
    ("pattern", Draft4, Draft202012, Assertion),
    ("format", Draft4, Draft202012, Assertion),
    ("contentEncoding", Draft4, Draft202012, Assertion),
    ("contentMediaType", Draft4, Draft202012, Assertion),
    ("minItems", Draft4, Draft202012, Assertion),
    ("maxItems", Draft4, Draft202012, Assertion),
    ("uniqueItems", Draft4, Draft202012, Assertion),
    ("minContains", Draft201909, Draft202012, Assertion),
    ("maxContains", Draft201909, Draft202012, Assertion),
    ("minProperties", Draft4, Draft202012, Assertion),
    ("maxProperties", Draft4, Draft202012, Assertion),
    ("required", Draft4, Draft202012, Assertion),
    ("dependentRequired", Draft201909, Draft202012, Assertion),
    ("properties", Draft4, Draft202012, Members),
    ("patternProperties", Draft4, Draft202012, Members),
    ("additionalProperties", Draft4, Draft202012, Schema),
    ("propertyNames", Draft6, Draft202012, Schema),
    ("unevaluatedProperties", Draft201909, Draft202012, Schema),
    ("dependentSchemas", Draft201909, Draft202012, Members),
    ("dependencies", Draft4, Draft202012, MembersOrNames),
    ("items", Draft4, Draft201909, SchemaOrList),
    ("items", Draft202012, Draft202012, Schema),
    ("additionalItems", Draft4, Draft201909, Schema),
    ("prefixItems", Draft202012, Draft202012, Schemas),
    ("unevaluatedItems", Draft201909, Draft202012, Schema),
    ("contains", Draft6, Draft202012, Schema),
    ("allOf", Draft4, Draft202012, Schemas),
    ("anyOf", Draft4, Draft202012, Schemas),
    ("oneOf", Draft4, Draft202012, Schemas),
    ("not", Draft4, Draft202012, Schema),
    ("if", Draft7, Draft202012, Schema),
    ("then", Draft7, Draft202012, Schema),
    ("else", Draft7, Draft202012, Schema),
];

impl Draft {
    /// The draft that a document names; 2020-12 if it names none.
    pub fn of(document: &Value) -> Option<Draft> {
        let Some(Value::String(named)) = document.get("$schema") else { return Some(Draft202012) };
        let named = named.trim_end_matches('#');
        let named = named.strip_prefix("https://").or_else(|| named.strip_prefix("http://"))?;
        match named.strip_prefix("json-schema.org/")?.trim_end_matches('/') {
            "draft-04/schema" => Some(Draft4),
            "draft-06/schema" => Some(Draft6),
            "draft-07/schema" => Some(Draft7),
            "draft/2019-09/schema" => Some(Draft201909),
            "draft/2020-12/schema" => Some(Draft202012),
            _ => None,
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Draft4 => "draft 4",
            Draft6 => "draft 6",
            Draft7 => "draft 7",
            Draft201909 => "draft 2019-09",
            Draft202012 => "draft 2020-12",
        }
    }

    /// The same for the library.
    pub fn of_library(self) -> jsonschema::Draft {
        match self {
            Draft4 => jsonschema::Draft::Draft4,
            Draft6 => jsonschema::Draft::Draft6,
            Draft7 => jsonschema::Draft::Draft7,
            Draft201909 => jsonschema::Draft::Draft201909,
            Draft202012 => jsonschema::Draft::Draft202012,
        }
    }

    /// Whether `$ref` disables all other keywords beside it.
    pub fn ref_stands_alone(self) -> bool {
        self <= Draft7
    }

    /// Whether `format` and the content keywords are rules and not annotations.
    pub fn judges_formats(self) -> bool {
        self <= Draft7
    }

    /// The kind of value of a keyword; `None` if the draft does not know it.
    pub fn holds(self, keyword: &str) -> Option<Holds> {
        let known = |(name, first, last, _): &&(&str, Draft, Draft, Holds)| {
            *name == keyword && (*first..=*last).contains(&self)
        };
        KEYWORDS.iter().find(known).map(|(_, _, _, holds)| *holds)
    }

    /// Every keyword of the draft.
    pub fn keywords(self) -> Vec<&'static str> {
        let known = KEYWORDS.iter().filter(|(_, first, last, _)| (*first..=*last).contains(&self));
        known.map(|(name, ..)| *name).collect()
    }
}

/// The schemas directly inside one, each with its path: a keyword, and below it a name or an index.
pub fn within(draft: Draft, members: &Map<String, Value>) -> Vec<(&str, Option<String>, &Value)> {
    let mut found = Vec::new();
    for (keyword, value) in members {
        match (draft.holds(keyword), value) {
            (Some(Schema | SchemaOrList), Value::Object(_) | Value::Bool(_)) => {
                found.push((keyword.as_str(), None, value));
            }
            (Some(SchemaOrList | Schemas), Value::Array(schemas)) => {
                let below = schemas.iter().enumerate();
                found.extend(below.map(|(index, schema)| (keyword.as_str(), Some(index.to_string()), schema)));
            }
            (Some(Members | Definitions), Value::Object(schemas)) => {
                found.extend(schemas.iter().map(|(name, schema)| (keyword.as_str(), Some(name.clone()), schema)));
            }
            (Some(MembersOrNames), Value::Object(schemas)) => {
                let schemas = schemas.iter().filter(|(_, schema)| !schema.is_array());
                found.extend(schemas.map(|(name, schema)| (keyword.as_str(), Some(name.clone()), schema)));
            }
            (None | Some(_), _) => {}
        }
    }
    found
}

/// Why a pattern cannot be matched in linear time, if that is the reason that it does not compile.
pub fn beyond_linear(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        if let Some(escaped) = rest.strip_prefix('\\') {
            let next = escaped.chars().next()?;
            if !in_class && (next.is_ascii_digit() && next != '0' || escaped.starts_with("k<")) {
                return Some("a back-reference");
            }
            rest = escaped.get(next.len_utf8()..)?;
            continue;
        }
        match first {
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                for (look, name) in [
                    ("(?=", "a look-ahead"),
                    ("(?!", "a look-ahead"),
                    ("(?<=", "a look-behind"),
                    ("(?<!", "a look-behind"),
                ] {
                    if rest.starts_with(look) {
                        return Some(name);
                    }
                }
            }
            _ => {}
        }
        rest = rest.get(first.len_utf8()..)?;
    }
    None
}

/// Appends a name to a JSON Pointer.
pub fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    for character in name.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// A name or index, escaped for a JSON Pointer (RFC 6901).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
