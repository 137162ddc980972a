//! Descriptions of the fields of bodies, from a JSON Schema.

use serde_json::Value;

/// The most fields of one schema that are described, and the deepest nesting.
const MAX_FIELDS: usize = 500;
const MAX_DEPTH: u8 = 8;

/// The description of a field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path from the top, separated by dots; elements of a list have `[]`.
    pub name: String,
    /// Its type and its rules, as text.
    pub kind: String,
    pub required: bool,
    pub description: String,
    /// The values that it may have, if the schema lists them.
    pub values: Vec<String>,
    /// A value as JSON.
    pub example: Option<String>,
}

/// The fields of a schema. Its references are resolved in `document`.
pub fn of(document: &Value, schema: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    gather(document, schema, "", 0, &mut fields);
    fields
}

fn gather(document: &Value, schema: &Value, above: &str, depth: u8, fields: &mut Vec<Field>) {
    let schema = resolved(document, schema);
    if depth >= MAX_DEPTH || fields.len() >= MAX_FIELDS {
        return;
    }
    let required: Vec<&str> = texts(schema.get("required")).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut properties: Vec<(&String, &Value)> = properties.collect();
    // Required fields come first.
    properties.sort_by_key(|(name, _)| !required.contains(&name.as_str()));
    for (name, property) in properties {
        let name_above = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let target = resolved(document, property);
        let own = |keyword: &str| property.get(keyword).or_else(|| target.get(keyword));
        let items = target.get("items").map(|items| resolved(document, items));
        let values = target.get("enum").or_else(|| items.and_then(|items| items.get("enum")));
        fields.push(Field {
            kind: kind(document, target),
            required: required.contains(&name.as_str()),
            description: own("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            values: values.and_then(Value::as_array).into_iter().flatten().map(plain).collect(),
            example: own("examples").and_then(Value::as_array).and_then(|all| all.first()).map(Value::to_string),
            name: name_above.clone(),
        });
        gather(document, target, &name_above, depth + 1, fields);
        if let Some(items) = items {
            gather(document, items, &format!("{name_above}[]"), depth + 1, fields);
        }
    }
}

/// A schema, or the one that it refers to.
pub fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        match reference.and_then(|pointer| document.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A schema's type and rules. Types that only allow an empty value are described as "may be null or
/// empty", since clients send null, "" and [] for what they leave out.
pub fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let number = |keyword: &str| schema.get(keyword).and_then(Value::as_i64);
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        other => texts(other).collect(),
    };
    let only_empty = |kind: &str| match kind {
        "null" => true,
        "string" => number("maxLength") == Some(0),
        "array" => number("maxItems") == Some(0),
        _ => false,
    };
    let real: Vec<&str> = types.iter().copied().filter(|kind| !only_empty(kind)).collect();
    let mut words = match real.as_slice() {
        [] if schema.get("enum").is_some() => "one of the listed values".to_owned(),
        [] if types.is_empty() => "any".to_owned(),
        [] => "empty".to_owned(),
        ["array"] => match schema.get("items") {
            Some(items) => format!("list: {}", kind(document, items)),
            None => "list".to_owned(),
        },
        real => real.join(" or "),
    };
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => words += &format!(" from {least} to {most}"),
        (Some(least), None) => words += &format!(", at least {least}"),
        (None, Some(most)) => words += &format!(", at most {most}"),
        (None, None) => {}
    }
    match (number("minLength"), number("maxLength").filter(|most| *most > 0)) {
        (Some(1..), None) => words += ", not empty",
        (least, Some(most)) => {
            words += &format!(", {} to {most} characters", least.unwrap_or(0));
        }
        (Some(_) | None, None) => {}
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        words += &format!(" ({format})");
    }
    if real.len() < types.len() {
        words += "; may be null or empty";
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_and_rules_are_told_in_words() {
        for (schema, words) in [
            (json!({ "type": "string", "minLength": 1 }), "string, not empty"),
            (
                json!({ "type": ["string", "null"], "maxLength": 10 }),
                "string, 0 to 10 characters; may be null or empty",
            ),
            (
                json!({ "type": ["integer", "string", "null"], "minimum": 0, "maximum": 30, "maxLength": 0 }),
                "integer from 0 to 30; may be null or empty",
            ),
            (json!({ "type": "array", "items": { "enum": ["A"] } }), "list: one of the listed values"),
            (json!({ "type": "string", "format": "uri" }), "string (uri)"),
            (json!({ "type": "number", "minimum": 1 }), "number, at least 1"),
            (json!({}), "any"),
        ] {
            assert_eq!(kind(&json!({}), &schema), words, "{schema}");
        }
    }

    #[test]
    fn references_and_what_is_within_are_followed() {
        let document = json!({
            "required": ["a"],
            "properties": {
                "a": { "type": "object", "description": "An a.", "properties": { "b": { "$ref": "#/$defs/b" } } },
                "c": { "type": "array", "items": { "type": "object", "properties": { "d": { "type": "boolean", "examples": [true] } } } },
            },
            "$defs": { "b": { "enum": ["x", 1] } },
        });
        let fields = of(&document, &document);
        let names: Vec<_> = fields.iter().map(|field| (&*field.name, field.required)).collect();
        assert_eq!(names, [("a", true), ("a.b", false), ("c", false), ("c[].d", false)]);
        assert_eq!(fields[1].values, ["x", "1"]);
        assert_eq!((fields[0].description.as_str(), fields[3].example.as_deref()), ("An a.", Some("true")));
        let endless = json!({ "properties": { "a": { "$ref": "#" } } });
        assert!(of(&endless, &endless).len() <= usize::from(MAX_DEPTH));
    }
}
