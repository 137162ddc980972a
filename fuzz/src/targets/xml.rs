//! Bodies in XML: whatever is read is well-formed for `roxmltree` as well, with the same elements and texts, and becomes
//! JSON that is accepted; memory is in proportion to the body.

use std::sync::Arc;

use roxmltree::{Document, Node};
use serde_json::{Map, Value};
use tollgate::policy::check::body::shapes::Shapes;
use tollgate::policy::check::body::{BodyRule, Schema, without_mark};
use tollgate::policy::format::kind::Format;
use tollgate::policy::format::{request_of_json, to_json};

use crate::memory;

/// An input: a body, or a schema, a zero byte, and a body.
pub fn run(data: &[u8]) {
    let (schema, body) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (serde_json::from_slice::<Value>(&data[..at]).ok(), &data[at + 1..]),
        None => (None, data),
    };
    let body = without_mark(body);
    let nothing_said = Shapes::default();
    // An element takes a hundred bytes and is written in four.
    let read =
        memory::within(64 * 1024 + body.len() * 128, "reading XML", || to_json(Format::Xml, body, &nothing_said));
    let any_json = BodyRule { max_bytes: 1 << 20, schema: None };
    if let Ok(json) = &read {
        assert!(json.len() <= body.len() * 6, "{} bytes become {}", body.len(), json.len());
        let text = std::str::from_utf8(body).expect("it is UTF-8");
        // XML reads lines so before anything else (1.0, section 2.11); roxmltree leaves some carriage returns.
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let document = Document::parse(&lines).unwrap_or_else(|error| panic!("roxmltree refuses it: {error}: {text}"));
        let ours: Value = serde_json::from_slice(json).expect("it is JSON");
        assert_eq!(ours, value(document.root_element()), "{text}");
        // Written again it is the same, unless there is a text that XML would not keep.
        let again = request_of_json(Format::Xml, json).expect("what was read can be written");
        let again = to_json(Format::Xml, &again, &nothing_said).expect("what was written can be read");
        assert_eq!(serde_json::from_slice::<Value>(&again).expect("it is JSON"), ours, "{text}");
    }
    let Some(schema) = schema else { return };
    let Ok(compiled) = Schema::compile(schema, false, Vec::new(), None, || ()) else { return };
    let guided = to_json(Format::Xml, body, compiled.shapes());
    assert_eq!(guided.is_ok(), read.is_ok(), "what can be read does not depend on the schema");
    let rule = BodyRule { max_bytes: 1 << 20, schema: Some(Arc::new(compiled)) };
    let judged = rule.judge_as(Format::Xml, body);
    if let Some(at_once) = rule.judge_as_at_once(Format::Xml, body)
        && let (Ok(one), Ok(other)) = (&at_once, &judged)
    {
        assert_eq!((&one.value, &one.json), (&other.value, &other.json));
    }
    if let Ok(accepted) = judged {
        let json = accepted.json.expect("it was converted");
        assert_eq!(any_json.judge(&json).ok(), Some(accepted.value));
    }
}

/// What an element is without a schema, by a second implementation.
fn value(element: Node<'_, '_>) -> Value {
    let children: Vec<Node<'_, '_>> = element.children().filter(Node::is_element).collect();
    if children.is_empty() {
        return element.children().filter(Node::is_text).filter_map(|text| text.text()).collect::<String>().into();
    }
    let mut members: Map<String, Value> = Map::new();
    let mut seen: Map<String, Value> = Map::new();
    for child in children {
        let name = decoded(child.tag_name().name());
        match members.remove(&name) {
            None => drop(members.insert(name, value(child))),
            Some(Value::Array(mut list)) if seen.contains_key(&name) => {
                list.push(value(child));
                members.insert(name, Value::Array(list));
            }
            Some(first) => {
                seen.insert(name.clone(), Value::Null);
                members.insert(name, Value::Array(vec![first, value(child)]));
            }
        }
    }
    Value::Object(members)
}

/// A name without its encoded characters.
fn decoded(name: &str) -> String {
    if name == "_x_" {
        return String::new();
    }
    let mut out = String::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let code = |digits: usize| -> Option<char> {
            let hex = rest.strip_prefix("_x")?.get(..digits)?;
            let is_hex = hex.chars().all(|digit| digit.is_ascii_hexdigit());
            let ends = rest.get(digits + 2..)?.starts_with('_');
            (is_hex && ends).then(|| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)).flatten()
        };
        let (character, length) = match (code(4), code(8)) {
            (Some(character), _) => (character, 7),
            (None, Some(character)) => (character, 11),
            (None, None) => (first, first.len_utf8()),
        };
        out.push(character);
        rest = &rest[length..];
    }
    out
}
