//! Parameters of an operation as rules: those of the path and of the query.

use serde_json::Value;

use super::document::Document;
use crate::cli::init::draft::{NumberDraft, ParameterDraft, in_a_line};
use crate::cli::init::notes::Notes;

/// The longest value of a parameter that a rule can have.
const MAX_BYTES: u64 = 8 * 1024;

/// A parameter as the document has it.
pub struct Stated<'d> {
    pub name: &'d str,
    /// path, query, header or cookie.
    pub place: &'d str,
    pub value: &'d Value,
    /// Where it is, for notes.
    pub at: String,
}

/// Takes a parameter over.
pub struct Parameters<'d, 'n> {
    pub document: &'d Document,
    pub notes: &'n mut Notes,
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn is_true(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

/// A single value as it stands in a path or a query.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<'d> Parameters<'d, '_> {
    /// The rule for a parameter of the path or the query; `None` if it has none.
    pub fn rule(&mut self, stated: &Stated<'d>) -> Option<ParameterDraft> {
        let Stated { name, place, value, at } = stated;
        let mut rule = ParameterDraft { name: (*name).to_owned(), ..ParameterDraft::default() };
        let is_query = *place == "query";
        rule.required = is_query && is_true(value, "required") && !is_true(value, "allowEmptyValue");
        if is_true(value, "allowEmptyValue") && is_true(value, "required") {
            self.notes
                .add("`required` with `allowEmptyValue` is left out: a required parameter may not be empty here", at);
        }
        if is_true(value, "allowReserved") {
            self.notes.add("`allowReserved` is left out: values are forwarded with reserved characters encoded", at);
        }
        rule.description = description(value);
        let Some(schema) = self.schema(value, at) else {
            rule.example = example(value, &Value::Null);
            return Some(rule);
        };
        let style = text(value, "style").unwrap_or(if is_query { "form" } else { "simple" });
        let kind = kind_of(schema);
        if style == "deepObject" || (is_query && kind == Some("object")) {
            self.notes.add("a parameter that is an object has no rule; its members are forwarded as they are", at);
            return None;
        }
        if !matches!((is_query, style), (true, "form" | "spaceDelimited" | "pipeDelimited") | (false, "simple")) {
            self.notes.add(format!("the style {} of a parameter has no rule; any text passes", in_a_line(style)), at);
            return Some(rule);
        }
        if kind == Some("array") {
            self.list(&mut rule, schema, style, value, at);
        } else {
            self.shape(&mut rule, schema, at);
        }
        rule.example = example(value, schema).or(rule.example);
        Some(rule)
    }

    /// The schema of a parameter, after its references.
    fn schema(&mut self, value: &'d Value, at: &str) -> Option<&'d Value> {
        if value.get("content").is_some() {
            self.notes.add("a parameter with `content` has no rule; any text passes", at);
            return None;
        }
        match self.document.follow(value.get("schema")?, at) {
            Ok((schema, _)) => Some(schema),
            Err(what) => {
                self.notes.add(format!("the schema of a parameter {what}; any text passes"), at);
                None
            }
        }
    }

    fn list(&mut self, rule: &mut ParameterDraft, schema: &'d Value, style: &str, value: &Value, at: &str) {
        for key in ["minItems", "maxItems", "uniqueItems"] {
            if schema.get(key).is_some() {
                self.notes.add(format!("`{key}` of a parameter is not checked"), at);
            }
        }
        let is_repeated =
            text(value, "in") == Some("query") && style == "form" && value.get("explode") != Some(&Value::Bool(false));
        if !is_repeated {
            let what = "a list in one value is forwarded, and its elements are not checked";
            return self.notes.add(what, at);
        }
        rule.repeat = true;
        match schema.get("items").map(|items| self.document.follow(items, at)) {
            Some(Ok((items, _))) => {
                self.shape(rule, items, at);
                rule.example = rule.example.take().or_else(|| example(&Value::Null, items));
            }
            Some(Err(what)) => {
                self.notes.add(format!("the elements of a parameter: its schema {what}; any text passes"), at)
            }
            None => {}
        }
    }

    /// The format of a single value.
    fn shape(&mut self, rule: &mut ParameterDraft, schema: &Value, at: &str) {
        let values = schema.get("enum").and_then(Value::as_array).cloned();
        let values = values.or_else(|| schema.get("const").map(|value| vec![value.clone()]));
        if let Some(values) = values {
            rule.one_of = values.iter().filter_map(word).collect();
            if rule.one_of.len() < values.len() {
                self.notes.add("a value of an enumeration that is no single value is left out", at);
            }
            return;
        }
        match kind_of(schema) {
            Some("boolean") => rule.one_of = vec!["true".to_owned(), "false".to_owned()],
            Some("integer") => self.number(rule, schema, true, at),
            Some("number") => self.number(rule, schema, false, at),
            Some("object" | "array") => {
                self.notes.add("a parameter of several values has no rule; any text passes", at);
            }
            Some(_) | None => self.text(rule, schema),
        }
        if let Some(format) = text(schema, "format") {
            rule.unchecked.push(format!("the format {}", in_a_line(format)));
        }
        self.leave_out(rule, schema, &["multipleOf", "allOf", "anyOf", "oneOf", "not", "if"], at);
    }

    fn leave_out(&mut self, rule: &mut ParameterDraft, schema: &Value, keywords: &[&str], at: &str) {
        for keyword in keywords.iter().filter(|keyword| schema.get(**keyword).is_some()) {
            self.notes.add(format!("`{keyword}` of a parameter is not checked"), at);
            rule.unchecked.push((*keyword).to_owned());
        }
    }

    /// The bounds of a number. One that is excluded is the next whole number, or else checked as if it were not.
    fn number(&mut self, rule: &mut ParameterDraft, schema: &Value, is_whole: bool, at: &str) {
        let mut bound = |key: &str, excluding: &str, step: i64| {
            let (is_excluded, bound) = match (schema.get(key), schema.get(excluding)) {
                // OpenAPI 3.0 has a flag beside the bound, 3.1 a bound of its own.
                (Some(Value::Number(bound)), Some(Value::Bool(is_excluded))) => (*is_excluded, bound),
                (_, Some(Value::Number(bound))) => (true, bound),
                (Some(Value::Number(bound)), _) => (false, bound),
                _ => return None,
            };
            let next = bound.as_i64().filter(|_| is_whole && is_excluded).and_then(|bound| bound.checked_add(step));
            if is_excluded && next.is_none() {
                self.notes.add(format!("`{excluding}` of a parameter is checked as `{key}`"), at);
                rule.unchecked.push(format!("that {bound} itself is excluded"));
            }
            match (next, is_whole && !bound.is_i64() && !bound.is_u64()) {
                (Some(next), _) => Some(next.to_string()),
                (None, true) => {
                    self.notes.add(format!("`{key}` of a parameter is no whole number, and is not checked"), at);
                    None
                }
                (None, false) => Some(bound.to_string()),
            }
        };
        let (least, most) = (bound("minimum", "exclusiveMinimum", 1), bound("maximum", "exclusiveMaximum", -1));
        rule.number = Some(NumberDraft { is_whole, least, most });
    }

    fn text(&mut self, rule: &mut ParameterDraft, schema: &Value) {
        let length = |key: &str| schema.get(key).and_then(Value::as_u64);
        if let Some(pattern) = text(schema, "pattern") {
            rule.pattern = Some(whole(pattern));
        } else if let Some(least) = length("minLength").filter(|least| (2..=MAX_BYTES).contains(least)) {
            rule.pattern = Some(format!(".{{{least},}}"));
        }
        if let Some(most) = length("maxLength").filter(|most| (1..=MAX_BYTES).contains(most)) {
            // Lengths are in characters, of which each can have four bytes.
            let is_ascii = rule
                .pattern
                .as_deref()
                .is_some_and(|pattern| !pattern.contains('.') && !pattern.contains("[^") && pattern.is_ascii());
            rule.max = usize::try_from(if is_ascii { most } else { most.saturating_mul(4) }).ok();
        }
        rule.example = text(schema, "format").and_then(of_format).map(str::to_owned);
    }
}

/// The type of a schema; of several, the first that is not null.
fn kind_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A pattern that the whole value has to match, where one of JSON Schema matches a part of it.
fn whole(pattern: &str) -> String {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    match inner {
        // The dollar is one of its own only without a backslash before it, and an alternative has its own ends.
        Some(inner) if !inner.ends_with('\\') && !inner.contains('|') => inner.to_owned(),
        _ => format!(".*(?:{pattern}).*"),
    }
}

fn description(value: &Value) -> Option<String> {
    let described = text(value, "description").map(in_a_line).filter(|text| !text.is_empty());
    match (is_true(value, "deprecated"), described) {
        (true, Some(text)) => Some(format!("Deprecated. {text}")),
        (true, None) => Some("Deprecated.".to_owned()),
        (false, described) => described,
    }
}

/// The example of a parameter, or of its schema.
fn example(value: &Value, schema: &Value) -> Option<String> {
    let of_examples = |value: &Value| match value.get("examples") {
        Some(Value::Object(named)) => named.values().next().and_then(|example| example.get("value")).cloned(),
        Some(Value::Array(list)) => list.first().cloned(),
        _ => None,
    };
    let first = |value: Value| match value {
        Value::Array(list) => list.first().and_then(word),
        other => word(&other),
    };
    let found = value.get("example").cloned().or_else(|| of_examples(value)).or_else(|| schema.get("example").cloned());
    let found = found.or_else(|| of_examples(schema)).or_else(|| schema.get("default").cloned());
    found.and_then(first).filter(|example| !example.is_empty())
}

/// A value of a format.
fn of_format(format: &str) -> Option<&'static str> {
    Some(match format {
        "date" => "2026-01-31",
        "date-time" => "2026-01-31T12:00:00Z",
        "email" => "a@example.com",
        "uuid" => "123e4567-e89b-42d3-a456-426614174000",
        "ipv4" => "203.0.113.9",
        "ipv6" => "2001:db8::9",
        "uri" => "https://example.com/",
        "hostname" => "example.com",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value() {
        for (pattern, expected) in [
            ("^[A-Z]{2}$", "[A-Z]{2}"),
            ("[A-Z]{2}", ".*(?:[A-Z]{2}).*"),
            ("^a|b$", ".*(?:^a|b$).*"),
            ("^a\\$", ".*(?:^a\\$).*"),
            ("^a", ".*(?:^a).*"),
        ] {
            assert_eq!(whole(pattern), expected, "{pattern}");
        }
        let expression = regex::Regex::new(&format!(r"\A(?:{})\z", whole("^a|b$"))).unwrap();
        assert!(["ax", "xb", "a"].iter().all(|text| expression.is_match(text)) && !expression.is_match("xax"));
    }
}
