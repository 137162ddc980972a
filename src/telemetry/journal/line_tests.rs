//! Tests of the lines: each is read as it was written, and `docs/journal.md` has every member.

use super::*;

fn member(name: &str, value: Option<&str>, hmac: Option<&str>) -> Member {
    Member { name: name.to_owned(), value: value.map(str::to_owned), hmac: hmac.map(str::to_owned) }
}

/// A decision in which no member has what it mostly has.
fn full() -> Decision<'static> {
    Decision {
        time: "2026-11-25T10:00:00.000000001Z".into(),
        transaction_id: "7f1c0a52-3b0e-4d7e-9c55-0d2f6a1e8b34".into(),
        policy: "0123456789abcdef".into(),
        http: "1.1".into(),
        serves: "lookups".into(),
        peer: "203.0.113.9".into(),
        forwarded_for: vec!["2001:db8::1".to_owned(), "?".to_owned()],
        method: "POST".into(),
        host: "api.example.com".into(),
        path: Some("/v1/\"{number}".into()),
        parameters: vec![member("number", None, Some("00")), member("kind", Some("fast"), None)],
        undeclared: 1,
        head: (2, 3, 4),
        headers: vec![member("reference-id", None, None)],
        tokens: vec![SeenToken { place: "Auth-Token".to_owned(), sha256: "ab".to_owned() }],
        token_twice: true,
        signed: true,
        content_length: Some(5),
        chunked: true,
        account: Some("acme".into()),
        token: Some("web".into()),
        product: Some("vat".into()),
        route: Some("GET /v1/{number}".into()),
        step: Step::Backend,
        status: 503,
        problem: Some("upstream-unavailable".into()),
        reason: Some("it \u{7} refused".into()),
        watched: vec!["ip-not-allowed".to_owned()],
        asked: true,
        upstream_status: 502,
        pays: true,
        charged: 6,
        delivered: true,
        replayed: true,
        total_us: 7,
        upstream_us: Some(8),
        own_us: 9,
        bytes_in: 10,
        bytes_out: 11,
    }
}

fn text_of(line: &Line<'_>) -> String {
    let mut out = Vec::new();
    line.write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text}");
    text
}

#[test]
fn every_line_is_read_as_it_was_written() {
    let rules = RouteRules {
        parameters: BTreeMap::from([("number".to_owned(), "1".to_owned())]),
        body: Some("2".to_owned()),
        answers: "5".to_owned(),
        price: Some("3".to_owned()),
    };
    let product = ProductRules {
        headers: BTreeMap::from([("reference-id".to_owned(), "4".to_owned())]),
        idempotency: Some("6".to_owned()),
        routes: BTreeMap::from([("GET /v1".to_owned(), rules)]),
    };
    let rules = Rules {
        rules_of: "0".to_owned(),
        token_places: vec!["?key".to_owned()],
        headers: vec!["accept".to_owned()],
        paths: vec!["/v1".to_owned()],
        products: BTreeMap::from([("vat".to_owned(), product)]),
    };
    let beginning = Beginning {
        journal: VERSION,
        program: "tollgate".to_owned(),
        begun: "now".to_owned(),
        addresses: false,
        key: Some("0".to_owned()),
    };
    let least = Decision { time: "2026".into(), ..Decision::default() };
    for line in [
        Line::Decision(Box::new(full())),
        Line::Decision(Box::new(least)),
        Line::Rules(Box::new(rules)),
        Line::Beginning(beginning),
    ] {
        let text = text_of(&line);
        assert_eq!(Line::read(text.trim_end()).as_ref(), Ok(&line), "{text}");
    }
}

#[test]
fn no_member_is_left_out_that_says_something() {
    let text = text_of(&Line::Decision(Box::new(full())));
    let full: serde_json::Value = serde_json::from_str(&text).unwrap();
    let document = include_str!("../../../docs/journal.md");
    for (name, value) in full.as_object().unwrap() {
        assert!(!value.is_null() && *value != serde_json::json!(0), "{name}");
        assert!(document.contains(&format!("`{name}`")), "docs/journal.md describes {name}");
    }
    assert_eq!(full.as_object().unwrap().len(), 39);
    for step in Step::ALL {
        let name = serde_json::to_value(step).unwrap();
        assert!(document.contains(&format!("`{}`", name.as_str().unwrap())), "docs/journal.md names {name}");
    }
}

#[test]
fn what_is_no_line_of_this_version_is_told() {
    for (text, told) in [
        ("", "is no line of a journal"),
        ("{}", "is no line of a journal"),
        ("{\"journal\":2,\"program\":\"\",\"begun\":\"\",\"addresses\":true}", "version 2"),
        ("{\"journal\":1}", "missing field"),
        ("{\"time\":\"\",\"status\":70000}", "invalid value"),
        ("{\"rules_of\":1}", "invalid type"),
    ] {
        let refused = Line::read(text).unwrap_err();
        assert!(refused.contains(told), "{text}: {refused}");
    }
    let later = "{\"time\":\"2026\",\"color\":\"red\",\"step\":\"answer\"}";
    assert!(matches!(Line::read(later), Ok(Line::Decision(decision)) if decision.step == Step::Answer));
}
