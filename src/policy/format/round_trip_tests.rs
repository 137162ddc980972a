//! A document in another format and back is the document that it was.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::kind::{Format, NotRendered};
use super::{of_json, request_of_json, to_json};
use crate::policy::check::body::shapes::Shapes;
use crate::policy::check::body::{BodyRule, Schema};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Any value that JSON has.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has only finite numbers", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A text that XML can say.
fn xml_text() -> impl Strategy<Value = String> {
    "[ -~\\t\\n\\ré€😀<>&'\"\\]]{0,12}"
}

/// A value, and a schema that says what it is. Lists in objects have an element, since an empty one is none.
fn value_and_schema() -> impl Strategy<Value = (Value, Value)> {
    let typed = |value: Value, kind: &str| (value, json!({ "type": kind }));
    let leaf = prop_oneof![
        Just(typed(Value::Null, "null")),
        any::<bool>().prop_map(move |value| typed(value.into(), "boolean")),
        any::<i64>().prop_map(move |value| typed(value.into(), "integer")),
        (-1e9..1e9).prop_map(move |value: f64| typed(value.into(), "number")),
        xml_text().prop_map(move |value| typed(value.into(), "string")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let object = prop::collection::btree_map("[ -~é]{0,5}|_x0041_", inner.clone(), 0..5).prop_map(|members| {
            let (values, schemas): (Map<_, _>, Map<_, _>) =
                members.into_iter().map(|(name, (value, schema))| ((name.clone(), value), (name, schema))).unzip();
            (Value::Object(values), json!({ "type": "object", "properties": schemas }))
        });
        // One element again and again: elements of different types could be read as each other.
        let list = (inner, 1..4_usize).prop_map(|((value, schema), count)| {
            (Value::Array(vec![value; count]), json!({ "type": "array", "items": schema }))
        });
        prop_oneof![object, list]
    })
}

proptest! {
    #[test]
    fn message_pack_says_all_that_json_says(value in any_value()) {
        let json = value.to_string();
        let packed = of_json(Format::MsgPack, json.as_bytes(), usize::MAX).unwrap();
        let back = to_json(Format::MsgPack, &packed, &Shapes::default()).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&back).unwrap(), value);
    }

    #[test]
    fn xml_says_by_a_schema_what_json_says((value, schema) in value_and_schema()) {
        let schema = Schema::compile(schema, false, Vec::new(), None, || ()).unwrap();
        let xml = request_of_json(Format::Xml, value.to_string().as_bytes()).unwrap();
        let back = to_json(Format::Xml, &xml, schema.shapes()).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&back).unwrap(), value, "{}", text(&xml));
    }

    #[test]
    fn what_is_read_of_any_bytes_is_json(body in prop::collection::vec(any::<u8>(), 0..60)) {
        for format in [Format::Xml, Format::MsgPack] {
            if let Ok(json) = to_json(format, &body, &Shapes::default()) {
                prop_assert!(BodyRule { max_bytes: 1 << 20, schema: None }.judge(&json).is_ok(), "{}", text(&json));
            }
        }
    }

    #[test]
    fn what_is_read_of_markup_is_json(body in "(<request>|</request>|<a>|</a>|<b/>|x|&amp;|&#65;|<!-- -->|<!\\[CDATA\\[<]]>| |\n){0,20}") {
        let body = format!("<request>{body}</request>");
        if let Ok(json) = to_json(Format::Xml, body.as_bytes(), &Shapes::default()) {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok(), "{}: {}", body, text(&json));
        }
    }

    #[test]
    fn any_answer_is_xml(value in any_value()) {
        // What XML does not have is replaced, so that it can be read.
        let xml = request_of_json(Format::Xml, value.to_string().as_bytes()).unwrap();
        prop_assert!(to_json(Format::Xml, &xml, &Shapes::default()).is_ok(), "{}", text(&xml));
    }
}

#[test]
fn an_answer_in_xml_is_as_the_contract_says() {
    for (json, xml) in [
        (
            r#"{"error":{"type":"t","title":"T","detail":"a < b & c","instance":"/p"}}"#,
            "<response><error><type>t</type><title>T</title><detail>a &lt; b &amp; c</detail><instance>/p</instance></error></response>",
        ),
        (
            r#"{"z":1,"a":[1,2.5,"x"],"e":[],"n":null,"s":"","o":{}}"#,
            "<response><z>1</z><a>1</a><a>2.5</a><a>x</a><n/><s/><o/></response>",
        ),
        (
            r#"[[1,2],[],{"a":true}]"#,
            "<response><item><item>1</item><item>2</item></item><item/><item><a>true</a></item></response>",
        ),
        (r#"{"a":[[1],[2,3]]}"#, "<response><a><item>1</item></a><a><item>2</item><item>3</item></a></response>"),
        (
            r#"{"a b":1,"2":"\r\u0000]]>"}"#,
            "<response><a_x0020_b>1</a_x0020_b><_x0032_>&#13;\u{fffd}]]&gt;</_x0032_></response>",
        ),
        (r#"{"a":1,"b":2,"a":3}"#, "<response><b>2</b><a>3</a></response>"),
        ("null", "<response/>"),
        ("7", "<response>7</response>"),
    ] {
        assert_eq!(text(&of_json(Format::Xml, json.as_bytes(), 10_000).unwrap()), xml, "{json}");
    }
}

#[test]
fn an_answer_has_a_limit_in_its_own_format() {
    let name = "n".repeat(10_000);
    let json = format!(r#"{{"{name}":[{}0]}}"#, "0,".repeat(10_000));
    assert_eq!(of_json(Format::Xml, json.as_bytes(), 1 << 20), Err(NotRendered::TooLarge));
    assert!(of_json(Format::MsgPack, json.as_bytes(), 1 << 20).is_ok());
    assert_eq!(of_json(Format::MsgPack, b"[1,2,3]", 3), Err(NotRendered::TooLarge));
    let deep = "[".repeat(500) + &"]".repeat(500);
    for format in [Format::Xml, Format::MsgPack] {
        assert_eq!(of_json(format, deep.as_bytes(), 1 << 20), Err(NotRendered::Unreadable));
        assert_eq!(of_json(format, b"1e999", 1 << 20), Err(NotRendered::Unreadable));
    }
}

#[test]
fn numbers_are_in_their_shortest_form_and_the_same() {
    for (json, packed) in [
        ("0", vec![0x00]),
        ("127", vec![0x7f]),
        ("128", vec![0xcc, 0x80]),
        ("-1", vec![0xff]),
        ("-33", vec![0xd0, 0xdf]),
        ("18446744073709551615", vec![0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("1.5", vec![0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
        (r#"{"a":[true,null]}"#, vec![0x81, 0xa1, b'a', 0x92, 0xc3, 0xc0]),
    ] {
        assert_eq!(of_json(Format::MsgPack, json.as_bytes(), 100).unwrap(), packed, "{json}");
        assert_eq!(text(&to_json(Format::MsgPack, &packed, &Shapes::default()).unwrap()), json);
    }
    let float32 = to_json(Format::MsgPack, &[0xca, 0x3f, 0xc0, 0, 0], &Shapes::default()).unwrap();
    assert_eq!(text(&float32), "1.5");
}
