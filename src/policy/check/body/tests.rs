//! Bodies against their rules.

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
    BodyRule { max_bytes: 100, schema: Some(Arc::new(Schema::compile(schema, strict, mappings, None, || ()).unwrap())) }
}

fn judged(rule: &BodyRule, body: &str) -> Option<(Row, Option<String>)> {
    let problem = rule.judge(body.as_bytes()).err()?;
    let Hint::Broken(broken) = problem.hint else { return Some((problem.row, None)) };
    let field = broken.iter().next().and_then(|breach| breach.field);
    let name = |index: u16| rule.schema.as_ref().unwrap().field_names().nth(index.into());
    Some((problem.row, field.and_then(name)))
}

/// Every rule that a body breaks, as an answer names it.
fn told(rule: &BodyRule, body: &str) -> String {
    let Err(problem) = rule.judge(body.as_bytes()) else { return "good".to_owned() };
    let Hint::Broken(broken) = problem.hint else { return format!("{:?}", problem.hint) };
    let schema = rule.schema.as_ref().unwrap();
    let mut named: Vec<String> = broken
        .iter()
        .map(|breach| {
            let field = breach.field.and_then(|index| schema.field_names().nth(index.into()));
            format!("{} {}", field.as_deref().unwrap_or("-"), schema.rule_words().nth(breach.rule.into()).unwrap())
        })
        .collect();
    if broken.has_more() {
        named.push("more".to_owned());
    }
    named.join("; ")
}

fn of(schema: Value) -> BodyRule {
    let schema = Schema::compile(schema, false, Vec::new(), None, || ()).unwrap_or_else(|flaws| panic!("{flaws:?}"));
    BodyRule { max_bytes: 1 << 20, schema: Some(Arc::new(schema)) }
}

#[test]
fn every_member_that_breaks_a_rule_is_named_in_the_order_of_the_body_and_no_value_is() {
    let shop = of(json!({
        "type": "object",
        "required": ["name", "items"],
        "dependentRequired": { "card": ["holder"] },
        "properties": {
            "name": { "type": "string", "minLength": 2, "maxLength": 5 },
            "count": { "type": "integer", "minimum": 1, "maximum": 30, "multipleOf": 3 },
            "colour": { "enum": ["red", "blue"] },
            "code": { "pattern": "^[A-Z]{2}$" },
            "items": { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "number", "exclusiveMinimum": 0 } },
            "sealed": { "additionalProperties": false, "properties": { "a": true } },
            "either": { "oneOf": [{ "type": "string" }, { "type": "object", "required": ["x"] }] },
            "both": { "anyOf": [{ "minimum": 5 }, { "maximum": 1 }], "type": "number" },
            "kind": { "not": { "const": "forbidden" } },
        },
    }));
    for (body, expected) in [
        (r#"{"name":"Ann","items":[1]}"#, "good"),
        ("{}", "name is required; items is required"),
        ("[]", "- must be an object"),
        (
            r#"{"count":31,"name":"secret","items":[1]}"#,
            "count must be at most 30; count must be a multiple of 3; name must have at most 5 characters",
        ),
        (
            r#"{"name":"secret","count":31,"items":[1]}"#,
            "name must have at most 5 characters; count must be at most 30; count must be a multiple of 3",
        ),
        (r#"{"name":7,"items":[1]}"#, "name must be a string"),
        (r#"{"name":"Ann","items":[]}"#, "items must have at least 1 element"),
        (r#"{"name":"Ann","items":[1,2,1]}"#, "items must not have the same element twice"),
        (r#"{"name":"Ann","items":[1,"x",-1,"y",-2]}"#, "items must be a number; items must be more than 0"),
        (
            r#"{"name":"Ann","items":[1],"colour":"grey","code":"secret"}"#,
            r#"colour must be one of "red", "blue"; code must match the pattern "^[A-Z]{2}$""#,
        ),
        (r#"{"name":"Ann","items":[1],"sealed":{"a":1,"secret":2}}"#, "sealed has a member that is not known"),
        (r#"{"name":"Ann","items":[1],"either":{}}"#, "either.x is required"),
        (r#"{"name":"Ann","items":[1],"either":7}"#, "either has none of the forms that are allowed"),
        (r#"{"name":"Ann","items":[1],"both":3}"#, "both has none of the forms that are allowed"),
        (r#"{"name":"Ann","items":[1],"kind":"forbidden"}"#, "kind has a form that is not allowed"),
        (r#"{"name":"Ann","items":[1],"card":"secret"}"#, "holder is required beside card"),
    ] {
        assert_eq!(told(&shop, body), expected, "{body}");
    }
}

#[test]
fn of_alternatives_with_a_fixed_member_the_one_that_was_meant_is_explained() {
    let shapes = of(json!({ "oneOf": [
        { "type": "object", "required": ["r"], "properties": { "kind": { "const": "circle" }, "r": { "type": "number" } } },
        { "type": "object", "required": ["w", "h"], "properties": { "kind": { "const": "box" }, "w": { "type": "number" }, "h": true } },
    ] }));
    assert_eq!(told(&shapes, r#"{"kind":"box","w":"secret"}"#), "h is required; w must be a number");
    assert_eq!(told(&shapes, r#"{"kind":"circle"}"#), "r is required");
    assert_eq!(told(&shapes, r#"{"kind":"secret"}"#), "- has none of the forms that are allowed");
}

#[test]
fn more_breaches_than_fit_are_said_to_be_more() {
    let properties: Value = (0..20).map(|number| (format!("m{number:02}"), json!({ "type": "string" }))).collect();
    let rule = of(json!({ "properties": properties }));
    let body: Value = (0..20).map(|number| (format!("m{number:02}"), json!(7))).collect();
    let told = told(&rule, &body.to_string());
    assert_eq!(told.matches("must be a string").count(), crate::policy::problem::MAX_BREACHES, "{told}");
    assert!(told.starts_with("m00 ") && told.ends_with("; more"), "{told}");
}

#[test]
fn syntax_errors_have_a_line_and_a_column() {
    for (body, line, column) in [
        (b"{\n  \"a\": 1,\n  \"b\" 2\n}".as_slice(), 3, 7),
        (b"{\"a\":1} x", 1, 9),
        (b"{\"a\":1,\n\"a\":2}", 2, 3),
        (b"{\"b\":{\"a\":1,\"a\":{}},\n\"c\":2}", 1, 15),
        (b"{\n \"x\": tru\n}", 2, 10),
        (b"{\n \"x\": tru\r\n}", 2, 10),
        (b"{\"x\":\n\n", 2, 1),
        (b"{\n\"a\":\"\xff\"}", 2, 6),
        (b" ", 1, 1),
        (b"{\"a\":1e400}", 1, 10),
    ] {
        let problem = of(json!(true)).judge(body).unwrap_err();
        assert_eq!(problem.row, Row::BodyMalformed);
        assert_eq!(problem.hint, Hint::At { line, column }, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_body() {
    let any_json = of(json!({ "type": "object" }));
    for (body, row) in [
        ("\u{feff}{}", None),
        ("\u{feff}", Some(Row::BodyEmpty)),
        ("\u{feff}\u{feff}{}", Some(Row::BodyMalformed)),
        ("{}\u{feff}", Some(Row::BodyMalformed)),
        ("\u{feff}[]", Some(Row::BodyInvalid)),
    ] {
        assert_eq!(any_json.judge(body.as_bytes()).err().map(|problem| problem.row), row, "{body:?}");
    }
    assert_eq!(without_mark("\u{feff}{}".as_bytes()), b"{}");
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
        ("\u{feff}{\"number\":\"1\"}".into(), false),
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
