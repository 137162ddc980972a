//! The body of a request: one JSON document, and what the product's JSON Schema says of it.
//!
//! The bytes that pass are the bytes that are forwarded; the value parsed here serves the checks
//! alone. Reading the bytes, and counting them while they arrive, is the gateway's.

use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::policy::problem::{Hint, Problem, Row};

/// Arrays and objects within each other that a body may have (contract, section 3).
pub const MAX_NESTING: u8 = 32;

/// Broken rules of one body that are looked at for the smallest row; a body can break one for
/// each of its values.
const MAX_BROKEN_RULES: usize = 256;

/// The refusal of a body that turns out to be too large while it arrives.
pub const TOO_LARGE: Problem = Problem::new(Row::BodyTooLarge, "the body has more bytes than the route allows");

/// What the bodies of one product must be.
#[derive(Debug)]
pub struct BodyRule {
    pub max_bytes: usize,
    pub schema: Option<Schema>,
}

/// A compiled JSON Schema, and which of its broken rules is which problem.
#[derive(Debug)]
pub struct Schema {
    validator: Arc<Validator>,
    /// The schema as it judges, for those who describe it.
    document: Value,
    /// Every field that the schema names, in JSON Pointer form without array places, sorted.
    fields: Box<[Box<str>]>,
    mappings: Box<[Mapping]>,
}

/// A place in the body whose broken rules are a problem of their own.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// A JSON Pointer (RFC 6901); everything below it counts as well.
    pub at: Box<str>,
    pub when: When,
    pub row: Row,
}

/// Which breaches at a place are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Any,
    /// The value is absent, null or the empty string.
    Missing,
}

impl BodyRule {
    /// Judges the bytes of a whole body.
    ///
    /// # Errors
    /// `body-empty`, `body-malformed`, a row of the product's own, or `body-invalid`: the
    /// smallest that applies.
    pub fn judge(&self, bytes: &[u8]) -> Result<Value, Problem> {
        if bytes.is_empty() {
            return Err(Problem::new(Row::BodyEmpty, "the body has no byte"));
        }
        let value = parse(bytes)?;
        match &self.schema {
            Some(schema) => schema.judge(&value).map(|()| value),
            None => Ok(value),
        }
    }
}

impl Schema {
    /// Compiles a schema; `None` if it is not one that can be used. With `strict`, members that an
    /// object schema does not name are refused wherever it does not say otherwise itself. What is
    /// compiled in one of the `known` already is not compiled again.
    pub fn compile<'k>(
        mut schema: Value,
        strict: bool,
        mappings: Vec<Mapping>,
        known: impl IntoIterator<Item = &'k Schema>,
    ) -> Option<Schema> {
        let mut fields = Vec::new();
        collect_fields(&schema, &schema, "", 0, &mut fields);
        fields.sort_unstable();
        fields.dedup();
        if strict {
            refuse_unknown_members(&mut schema);
        }
        let known = known.into_iter().find(|known| known.document == schema);
        let compile = || jsonschema::options().with_pattern_options(PatternOptions::regex()).build(&schema);
        let validator = match known {
            Some(known) => Arc::clone(&known.validator),
            None => Arc::new(compile().ok()?),
        };
        Some(Schema { validator, document: schema, fields: fields.into(), mappings: mappings.into() })
    }

    /// The schema as it judges.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Every field that the schema names, as a JSON Pointer without array places.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &**field)
    }

    /// Which broken rules are problems of their own.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The fields that `Hint::Field` counts, as answers name them.
    pub fn field_names(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|pointer| pointer.trim_start_matches('/').replace('/', "."))
    }

    /// The product's own rows that bodies can break, each once, in order of precedence.
    pub fn own_rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.mappings.iter().map(|mapping| mapping.row).collect();
        rows.retain(|row| *row != Row::BodyInvalid);
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Whether the schema, or a place above it, names this place.
    pub fn names(&self, pointer: &str) -> bool {
        let pointer = without_array_places(pointer);
        self.fields.binary_search_by(|field| (**field).cmp(&pointer)).is_ok()
    }

    fn judge(&self, value: &Value) -> Result<(), Problem> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let smallest = self
            .validator
            .iter_errors(value)
            .take(MAX_BROKEN_RULES)
            .map(|error| self.problem_of(&error, value))
            .min_by_key(|problem| problem.row);
        Err(smallest.unwrap_or(Problem::new(Row::BodyInvalid, "the schema refuses the body")))
    }

    fn problem_of(&self, error: &ValidationError<'_>, body: &Value) -> Problem {
        let mut pointer = error.instance_path().as_str().to_owned();
        if let ValidationErrorKind::Required { property: Value::String(name) } = error.kind() {
            pointer.push('/');
            pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        }
        let row = self
            .mappings
            .iter()
            .find(|mapping| mapping.covers(&pointer, body))
            .map_or(Row::BodyInvalid, |mapping| mapping.row);
        let problem = Problem::new(row, "the body breaks a rule of the product's schema");
        match self.field_at(&pointer) {
            Some(field) => problem.with(Hint::Field(field)),
            None => problem,
        }
    }

    /// The place in the list of fields of the field at a pointer, or of the nearest one above.
    /// A member that the schema does not name is the client's own word and is never repeated.
    fn field_at(&self, pointer: &str) -> Option<u16> {
        let pointer = without_array_places(pointer);
        let mut pointer = pointer.as_str();
        while !pointer.is_empty() {
            if let Ok(place) = self.fields.binary_search_by(|field| (**field).cmp(pointer)) {
                return u16::try_from(place).ok();
            }
            pointer = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        None
    }
}

impl Mapping {
    fn covers(&self, pointer: &str, body: &Value) -> bool {
        let Some(rest) = pointer.strip_prefix(&*self.at) else {
            return false;
        };
        match self.when {
            When::Any => rest.is_empty() || rest.starts_with('/'),
            When::Missing => {
                rest.is_empty()
                    && match body.pointer(&self.at) {
                        None | Some(Value::Null) => true,
                        Some(Value::String(text)) => text.is_empty(),
                        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
                    }
            }
        }
    }
}

/// A pointer without its array places: `/a/0/b` is `/a/b`.
fn without_array_places(pointer: &str) -> String {
    let is_place = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    pointer
        .split('/')
        .skip(1)
        .filter(|segment| !is_place(segment))
        .fold(String::new(), |path, segment| path + "/" + segment)
}

/// Schemas within schemas that are followed for names of fields, references included.
const MAX_SCHEMA_DEPTH: u8 = 16;

fn collect_fields(root: &Value, schema: &Value, pointer: &str, depth: u8, fields: &mut Vec<Box<str>>) {
    if depth >= MAX_SCHEMA_DEPTH || fields.len() >= usize::from(u16::MAX) {
        return;
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            fields.push(pointer.as_str().into());
            collect_fields(root, property, &pointer, depth + 1, fields);
        }
    }
    if let Some(items) = schema.get("items") {
        collect_fields(root, items, pointer, depth + 1, fields);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for branch in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            collect_fields(root, branch, pointer, depth + 1, fields);
        }
    }
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    if let Some(target) = reference.and_then(|reference| root.pointer(reference)) {
        collect_fields(root, target, pointer, depth + 1, fields);
    }
}

fn refuse_unknown_members(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let closable = members.get("properties").is_some_and(Value::is_object)
                && !members.contains_key("additionalProperties")
                && !members.contains_key("unevaluatedProperties");
            if closable {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            members.values_mut().for_each(refuse_unknown_members);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_unknown_members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Parses one JSON document (RFC 8259): no byte order mark, no repeated key, no deep nesting.
fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let malformed = |reason| Problem::new(Row::BodyMalformed, reason);
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the body is not UTF-8"))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { nesting_left: MAX_NESTING }
        .deserialize(&mut deserializer)
        .map_err(|_| malformed("the body is not JSON, repeats a key, or is nested too deeply"))?;
    deserializer.end().map_err(|_| malformed("something follows the JSON document"))?;
    Ok(value)
}

/// Builds a value and refuses what `serde_json` alone would let pass.
#[derive(Clone, Copy)]
struct Strict {
    nesting_left: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Strict, E> {
        let nesting_left = self.nesting_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Strict { nesting_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("a repeated key"));
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rule(strict: bool) -> BodyRule {
        let schema = json!({
            "type": "object",
            "required": ["number"],
            "properties": {
                "number": { "type": "string", "minLength": 1 },
                "days": { "type": ["integer", "null"], "minimum": 0, "maximum": 30 },
                "live": { "$ref": "#/$defs/live" },
            },
            "$defs": { "live": { "type": "object", "properties": { "mobile": { "type": "array", "items": { "enum": ["US"] } } } } },
        });
        let mapping = |at: &str, when, own| Mapping { at: at.into(), when, row: Row::Own(own) };
        let mappings =
            vec![mapping("/number", When::Missing, 0), mapping("/days", When::Any, 1), mapping("/live", When::Any, 2)];
        BodyRule { max_bytes: 100, schema: Some(Schema::compile(schema, strict, mappings, None).unwrap()) }
    }

    fn judged(rule: &BodyRule, body: &str) -> Option<(Row, Option<String>)> {
        let problem = rule.judge(body.as_bytes()).err()?;
        let field = match problem.hint {
            Hint::Field(place) => rule.schema.as_ref().unwrap().field_names().nth(place.into()),
            Hint::None | Hint::Allow(_) | Hint::RetryAfter(_) => None,
        };
        Some((problem.row, field))
    }

    #[test]
    fn each_broken_rule_is_its_row_and_the_smallest_wins() {
        let field = |name: &str| Some(name.to_owned());
        for (body, expected) in [
            (r#"{"number":"1"}"#, None),
            (r#"{"number":"1","days":30,"x":1}"#, None),
            (r#"{"number":"1","days":5.0,"live":{"mobile":["US"]}}"#, None),
            ("", Some((Row::BodyEmpty, None))),
            (" ", Some((Row::BodyMalformed, None))),
            (r#"{}"#, Some((Row::Own(0), field("number")))),
            (r#"{"number":null}"#, Some((Row::Own(0), field("number")))),
            (r#"{"number":""}"#, Some((Row::Own(0), field("number")))),
            (r#"{"number":5}"#, Some((Row::BodyInvalid, field("number")))),
            (r#"{"number":"1","days":31}"#, Some((Row::Own(1), field("days")))),
            (r#"{"number":"1","days":"a"}"#, Some((Row::Own(1), field("days")))),
            (r#"{"number":"1","days":1.5}"#, Some((Row::Own(1), field("days")))),
            (r#"{"number":"1","live":{"mobile":["US","XX"]}}"#, Some((Row::Own(2), field("live.mobile")))),
            (r#"{"number":"1","live":7}"#, Some((Row::Own(2), field("live")))),
            (r#"{"live":7,"days":99,"number":""}"#, Some((Row::Own(0), field("number")))),
            (r#"{"number":5,"days":99}"#, Some((Row::Own(1), field("days")))),
            ("[]", Some((Row::BodyInvalid, None))),
            ("null", Some((Row::BodyInvalid, None))),
        ] {
            assert_eq!(judged(&rule(false), body), expected, "{body}");
        }
    }

    #[test]
    fn strict_refuses_members_that_the_schema_does_not_name_without_repeating_them() {
        assert_eq!(judged(&rule(true), r#"{"number":"1","secret":1}"#), Some((Row::BodyInvalid, None)));
        assert_eq!(judged(&rule(true), r#"{"number":"1","live":{"x":1}}"#), Some((Row::Own(2), Some("live".into()))));
        assert_eq!(judged(&rule(true), r#"{"number":"1"}"#), None);
    }

    #[test]
    fn only_one_json_document_without_repeated_keys_is_a_body() {
        let nested = |depth: usize| format!(r#"{{"number":"1","x":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        for (body, malformed) in [
            (nested(31), false),
            (nested(32), true),
            (r#"{"number":"1","number":"2"}"#.into(), true),
            (r#"{"number":"1","num\u0062er":"2"}"#.into(), true),
            (r#"{"number":"1","x":{"a":1,"a":1}}"#.into(), true),
            (r#"{"number":"1","x":[{"a":1,"a":1}]}"#.into(), true),
            ("\u{feff}{\"number\":\"1\"}".into(), true),
            (r#"{"number":"1"}x"#.into(), true),
            (r#"{"number":"1"} "#.into(), false),
            (r#"{"number":"1","x":1e400}"#.into(), true),
            (r#"{"number":"1","x":NaN}"#.into(), true),
            (r#"{"number":"\ud800"}"#.into(), true),
            (r#"{"number":"1",}"#.into(), true),
            ("[".repeat(100_000), true),
        ] {
            let row = rule(false).judge(body.as_bytes()).err().map(|problem| problem.row);
            assert_eq!(row == Some(Row::BodyMalformed), malformed, "{:.60}", body);
        }
        assert_eq!(rule(false).judge(b"{\"number\":\"\xff\"}").unwrap_err().row, Row::BodyMalformed);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = rule(true).judge(&bytes);
        }

        #[test]
        fn what_passes_is_json_to_another_parser(body in r#"[\[\]{}:,"0-9a-z\\\\. -]{0,40}"#) {
            let any_json = BodyRule { max_bytes: 100, schema: None };
            if any_json.judge(body.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
            }
        }
    }
}
