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
