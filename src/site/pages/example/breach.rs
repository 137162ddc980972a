//! Values that break a rule with a row of its own, found by trying candidates.

use serde_json::{Map, Value, json};

use super::request::{Body, Example};
use crate::policy::Product;
use crate::policy::check::body::{BodyRule, Schema};
use crate::policy::check::header::HeaderRule;
use crate::policy::http::head::{Field, Lines};
use crate::policy::problem::{Hint, Row};
use crate::policy::route::Route;

/// The most bodies that are tried for one row.
const MAX_ATTEMPTS: usize = 512;

/// The longest text, in characters, that is used to exceed a maximum length; a longer one would
/// fill the page.
const MAX_LONG_TEXT: u64 = 400;

/// Changes a good request so that it is refused with this row, for a header, a parameter or a field.
pub fn of(example: &mut Example, product: &Product, route: &Route, row: Row) -> Option<()> {
    let rule = product.headers.iter().find(|rule| rule.row == row);
    if let Some((rule, value)) = rule.and_then(|rule| Some((rule, refused_value(rule)?))) {
        example.headers.push((rule.name.to_string(), value));
        return Some(());
    }
    if let Some((target, hint)) = refused_target(route, row) {
        example.path = target.into();
        example.hint = hint;
        return Some(());
    }
    let body = route.body.as_ref()?;
    let Body::Text(good) = &example.body else { return None };
    let good: Value = serde_json::from_str(good).ok()?;
    let (text, hint) = refused_body(body, body.schema.as_ref()?, &good, row)?;
    example.body = Body::Text(text);
    example.hint = hint;
    Some(())
}

/// A path and query with one parameter that its rule refuses, and what the answer says of it.
fn refused_target(route: &Route, row: Row) -> Option<(String, Hint)> {
    let rules = route.parameters.iter().zip(0_u16..).filter(|(rule, _)| rule.row == row);
    for (rule, index) in rules {
        let candidates = ["?", "~", "not-valid", "%", "\u{1}", ""];
        for candidate in candidates {
            if let Err(problem) = rule.judge(candidate.as_bytes(), index) {
                return Some((route.target_with(usize::from(index), candidate.as_bytes()), problem.hint));
            }
        }
    }
    None
}

/// A value of a header that its rule refuses.
fn refused_value(rule: &HeaderRule) -> Option<String> {
    let candidates = ["maybe", "a;b", "?", "", "~"].map(str::to_owned);
    candidates.into_iter().find(|value| {
        let fields = [Field { name: &rule.name, value: value.as_bytes() }];
        rule.validate(&Lines { fields: &fields, ..Lines::UNREADABLE }).is_err()
    })
}

/// A body that is refused with exactly this row, and the field that the answer names.
fn refused_body(rule: &BodyRule, schema: &Schema, good: &Value, row: Row) -> Option<(String, Hint)> {
    let of_row = schema.mappings().iter().filter(|mapping| mapping.row == row).map(|mapping| &*mapping.at);
    let below =
        |at: &str, field: &str| field.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mapped: Vec<&str> = of_row.collect();
    // The deepest fields first: they make the clearest examples.
    let mut fields: Vec<&str> =
        schema.fields().filter(|field| mapped.is_empty() || mapped.iter().any(|at| below(at, field))).collect();
    fields.sort_by_key(|field| std::cmp::Reverse(field.matches('/').count()));
    let attempts = fields.into_iter().flat_map(|field| {
        let subschema = subschema(schema.document(), field);
        candidates(subschema).into_iter().map(move |candidate| (field, candidate))
    });
    attempts.take(MAX_ATTEMPTS).find_map(|(field, candidate)| {
        let mut body = good.clone();
        put(&mut body, field, candidate);
        let text = body.to_string();
        let problem = rule.judge(text.as_bytes()).err()?;
        (problem.row == row).then_some((text, problem.hint))
    })
}

/// The part of a schema that is about a field.
fn subschema<'s>(schema: &'s Value, pointer: &str) -> &'s Value {
    pointer.split('/').skip(1).fold(schema, |schema, name| {
        let name = name.replace("~1", "/").replace("~0", "~");
        schema.get("properties").and_then(|properties| properties.get(&name)).unwrap_or(&Value::Null)
    })
}

/// Values that a field may refuse, the most common mistakes first; `None` means that the field is
/// missing.
fn candidates(schema: &Value) -> Vec<Option<Value>> {
    let number = |keyword: &str| schema.get(keyword).and_then(Value::as_i64);
    let mut values = vec![None];
    values.extend(number("maximum").map(|most| Some(json!(most.saturating_add(1)))));
    values.extend(number("minimum").map(|least| Some(json!(least.saturating_sub(1)))));
    let longest = schema.get("maxLength").and_then(Value::as_u64).filter(|length| (1..MAX_LONG_TEXT).contains(length));
    if let Some(length) = longest.and_then(|length| usize::try_from(length).ok()) {
        values.push(Some(json!("x".repeat(length + 1))));
    }
    values.extend([json!(["XXX"]), json!(7), json!("seven"), json!(true), json!({}), json!(null)].map(Some));
    values
}

/// Sets the value at a pointer, or removes it.
fn put(body: &mut Value, pointer: &str, value: Option<Value>) {
    let mut names: Vec<String> =
        pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    let Some(last) = names.pop() else { return };
    let mut place = body;
    for name in names {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(members) = place else { return };
        place = members.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    let Value::Object(members) = place else { return };
    match value {
        Some(value) => drop(members.insert(last, value)),
        None => drop(members.remove(&last)),
    }
}
