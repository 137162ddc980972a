//! What bodies can cost: schemas that visit a value by two ways at every level, in each keyword that applies
//! schemas, and bodies made for them.

use serde_json::{Value, json};

use super::document::MAX_NESTING;
use super::evaluate::Judging;
use super::evaluate::budget::Budget;
use super::program::{MAX_IN_PLACE, types};
use super::{BodyRule, MAX_BYTES_AT_ONCE, MAX_STEPS_AT_ONCE, Schema, TOO_MUCH_WORK};
use crate::policy::problem::Row;

fn rule(schema: Value) -> BodyRule {
    let schema = Schema::compile(schema, false, Vec::new(), None, || ()).unwrap_or_else(|flaws| panic!("{flaws:?}"));
    BodyRule { max_bytes: 64 << 20, schema: Some(schema.into()) }
}

/// Steps and remembered verdicts that a body takes to be judged and explained.
fn spent(rule: &BodyRule, body: &str) -> (u64, usize) {
    let value: Value = serde_json::from_str(body).unwrap();
    let budget = Budget::of(body.len());
    let mut judging = Judging::new(&rule.schema.as_ref().unwrap().program, budget);
    let valid = judging.is_valid(&value).unwrap();
    if !valid {
        judging.report(&value, &mut super::Collected::default()).unwrap();
    }
    (budget.steps - judging.steps_left(), judging.remembered())
}

/// A body that is this deep, and at its end something that is wrong (or not).
fn nested(levels: usize, end: &str) -> String {
    format!("{}{end}{}", r#"{"n":"#.repeat(levels), "}".repeat(levels))
}

/// A discriminated union that refers to itself from two branches: the schema of the attack.
fn union() -> Value {
    json!({
        "$ref": "#/$defs/node",
        "$defs": { "node": { "oneOf": [
            { "type": "object", "required": ["t"], "properties": { "t": { "const": "a" }, "n": { "$ref": "#/$defs/node" } } },
            { "type": "object", "required": ["t"], "properties": { "t": { "const": "b" }, "n": { "$ref": "#/$defs/node" } } },
            { "type": "null" },
        ] } },
    })
}

#[test]
fn the_attack_of_307_bytes_takes_steps_in_proportion_to_its_levels() {
    let rule = rule(union());
    // `n` stands before `t`, so that both branches go down before they can tell.
    let attack = |levels: usize| format!("{}null{}", r#"{"n":"#.repeat(levels), "}".repeat(levels));
    let (half, _) = spent(&rule, &attack(16));
    let (whole, remembered) = spent(&rule, &attack(32));
    // Without remembering, sixteen levels more take 65,536 times the steps.
    assert!(whole <= 2 * half + 10, "{half} and {whole} steps");
    assert!(whole < 1000 && remembered < 300, "{whole} steps, {remembered} verdicts");
    assert_eq!(rule.judge_at_once(attack(32).as_bytes()).unwrap().unwrap_err().row, Row::BodyInvalid);
}

#[test]
fn no_keyword_that_applies_schemas_multiplies_with_the_levels() {
    let me = || json!({ "$ref": "#" });
    let two = |keyword: &str| json!({ keyword: [{ "properties": { "n": me() } }, { "properties": { "n": me() }, "title": "two" }] });
    let n = || json!({ "properties": { "n": me() } });
    let wide = json!({ "properties": { "n": me() }, "patternProperties": { "^n": me(), "n$": me() } });
    let choice = |first: Value, second: Value| json!({ "anyOf": [{ "properties": { "n": first } }, { "properties": { "n": second } }] });
    for (name, schema) in [
        ("allOf", two("allOf")),
        ("anyOf", two("anyOf")),
        ("oneOf", two("oneOf")),
        ("not", json!({ "not": { "not": n() }, "properties": { "n": me() } })),
        ("if", json!({ "if": n(), "then": n(), "else": n() })),
        ("dependentSchemas", json!({ "dependentSchemas": { "n": n() }, "properties": { "n": me() } })),
        ("$ref", json!({ "$ref": "#/$defs/n", "properties": { "n": me() }, "$defs": { "n": n() } })),
        (
            "$dynamicRef",
            json!({ "$dynamicAnchor": "a", "properties": { "n": { "$dynamicRef": "#a" } }, "allOf": [{ "properties": { "n": { "$dynamicRef": "#a" } } }] }),
        ),
        ("unevaluatedProperties", json!({ "anyOf": [n(), n()], "unevaluatedProperties": me() })),
        (
            "unevaluatedProperties that refuses",
            json!({ "anyOf": [n(), { "properties": { "x": true } }], "unevaluatedProperties": false }),
        ),
        ("patternProperties", wide),
        ("additionalProperties", json!({ "additionalProperties": me(), "allOf": [{ "additionalProperties": me() }] })),
        (
            "propertyNames",
            json!({ "propertyNames": { "allOf": [{ "minLength": 1 }, { "maxLength": 9 }] }, "additionalProperties": me(), "allOf": [n()] }),
        ),
        ("contains", json!({ "contains": me(), "items": me(), "properties": { "n": me() }, "allOf": [n()] })),
        ("branches apart", choice(choice(me(), me()), choice(me(), me()))),
    ] {
        let mut schema = schema;
        schema["type"] = json!(["object", "null", "array"]);
        let rule = rule(schema);
        for end in ["null", "7", "[]", "[7,null]"] {
            let levels = usize::from(MAX_NESTING) - usize::from(end.starts_with('['));
            let (half, _) = spent(&rule, &nested(levels / 2, end));
            let (whole, remembered) = spent(&rule, &nested(levels, end));
            assert!(whole <= 3 * half + 50, "{name}, {end}: {half} and {whole} steps");
            assert!(remembered <= 40 * levels, "{name}, {end}: {remembered} verdicts");
        }
        // Lists within lists.
        let lists = |levels: usize| format!("{}7{}", "[".repeat(levels), "]".repeat(levels));
        let (half, _) = spent(&rule, &lists(16));
        let (whole, _) = spent(&rule, &lists(32));
        assert!(whole <= 3 * half + 50, "{name}, lists: {half} and {whole} steps");
    }
}

#[test]
fn a_value_that_is_judged_by_thousands_of_schemas_is_refused_and_not_judged_to_the_end() {
    // Each of the elements is two bytes, and is held against a thousand alternatives.
    let mut branches: Vec<Value> = (0..1000).map(|number| json!({ "type": "array", "minItems": number + 1 })).collect();
    branches.push(json!({ "type": "integer" }));
    let rule = rule(json!({ "items": { "anyOf": branches } }));
    let body = format!("[{}1]", "1,".repeat(8000));
    let problem = rule.judge(body.as_bytes()).unwrap_err();
    assert_eq!(problem, TOO_MUCH_WORK);
    assert!(rule.judge_at_once(body.as_bytes()).is_none(), "it has to leave the worker first");
    // What takes as many schemas for a few values is judged.
    assert_eq!(rule.judge(b"[[1],[2,3]]").err(), None);
}

#[test]
fn comparing_and_matching_is_counted() {
    let unique =
        rule(json!({ "allOf": [{ "items": { "uniqueItems": true } }, { "contains": { "uniqueItems": true } }] }));
    let long = format!("[[{}]]", (0..2000).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
    assert!(spent(&unique, &long).0 > 2000 * 4);
    let text = "a".repeat(4000);
    let small = spent(&rule(json!({ "pattern": "^a+$" })), &format!("\"{text}\"")).0;
    assert!(small > 4000);
    let large = spent(&rule(json!({ "pattern": "^[a-z]{1,120}(b[a-z]{1,120}){0,1}" })), &format!("\"{text}\"")).0;
    assert!(large >= 4 * 4000, "{large}");
    let values: Vec<Value> = (0..800).map(|number| json!(number)).collect();
    assert!(spent(&rule(json!({ "enum": values })), "7").0 > 100);
}

#[test]
fn what_is_judged_at_once_is_bounded_in_bytes_and_steps() {
    let any_json = BodyRule { max_bytes: 1 << 20, schema: None };
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert!(any_json.judge_at_once(body(MAX_BYTES_AT_ONCE).as_bytes()).unwrap().is_ok());
    assert!(any_json.judge_at_once(body(MAX_BYTES_AT_ONCE + 1).as_bytes()).is_none());
    let numbers = rule(json!({ "items": { "type": "integer" } }));
    let list = |elements: u64| format!("[{}1]", "1,".repeat(usize::try_from(elements - 1).unwrap()));
    assert!(numbers.judge_at_once(list(MAX_STEPS_AT_ONCE + 10).as_bytes()).is_none(), "its bytes are too many");
    let twice = rule(json!({ "items": { "allOf": [{ "type": "integer" }, { "minimum": 0 }] } }));
    assert!(twice.judge_at_once(list(MAX_STEPS_AT_ONCE / 8).as_bytes()).unwrap().is_ok());
    assert!(twice.judge_at_once(list(MAX_STEPS_AT_ONCE / 2).as_bytes()).is_none());
    assert!(twice.judge(list(MAX_STEPS_AT_ONCE / 2).as_bytes()).is_ok());
}

#[test]
fn the_deepest_schema_on_the_deepest_body_fits_a_workers_stack() {
    let inner = json!({ "type": ["object", "array"], "properties": { "n": { "$ref": "#" } } });
    let deep = (1..MAX_IN_PLACE).fold(inner, |inner, _| json!({ "anyOf": [inner, { "type": "string" }] }));
    let rule = rule(deep);
    let judged = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || {
            let good = rule.judge(nested(31, "{}").as_bytes()).is_ok();
            (good, rule.judge(nested(31, "7").as_bytes()).is_err())
        })
        .unwrap();
    assert_eq!(judged.join().unwrap(), (true, true));
}

#[test]
fn a_plain_schema_remembers_nothing() {
    let phone = include_str!("../../../../config/phone.schema.json");
    let rule = rule(serde_json::from_str(phone).unwrap());
    let (steps, remembered) =
        spent(&rule, r#"{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7}"#);
    assert_eq!(remembered, 0);
    assert!(steps < 40, "{steps}");
    assert_eq!(types::ALL.count_ones(), 7);
}
