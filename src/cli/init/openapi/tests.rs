//! Documents of many kinds, and hostile ones.

use std::path::PathBuf;

use clap::Parser;
use serde_json::{Value, json};

use super::document::Document;
use crate::cli::init::arguments::Command;
use crate::cli::init::draft::{Draft, RouteDraft};
use crate::cli::init::notes::Notes;
use crate::cli::init::settle::settle;
use crate::operate::failure::Failure;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    command: Command,
}

/// What becomes of a document: the draft with what the configuration's rules leave of it, and the notes.
fn taken(text: &str, flags: &[&str]) -> Result<(Draft, String), Failure> {
    let path = std::env::temp_dir().join(format!("{}.openapi", uuid::Uuid::new_v4()));
    std::fs::write(&path, text).unwrap();
    let document = Document::read(&path);
    std::fs::remove_file(&path).unwrap();
    let command = Line::parse_from(["init", "--yes"].iter().chain(flags)).command;
    let mut notes = Notes::default();
    let mut draft = super::draft(&command, &document?, &mut None, &mut notes)?;
    draft.token_line = format!("- {{ name: t, hash: \"sha256:{}\" , products: [{}] }}", "0".repeat(64), draft.product);
    let config = settle(&mut draft, &mut notes)?;
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    Ok((draft, notes.text()))
}

/// A document with these paths.
fn document(paths: Value, more: Value) -> String {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": "VAT lookups", "version": "1" },
        "servers": [{ "url": "http://127.0.0.1:9001/api" }],
        "security": [{ "key": [] }],
        "components": { "securitySchemes": { "key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" } } },
        "paths": paths,
    });
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document.to_string()
}

/// One GET with these parameters.
fn with_parameters(parameters: Value) -> String {
    document(json!({ "/v1/vat/{number}": { "get": { "parameters": parameters, "responses": {} } } }), json!({}))
}

/// A POST whose body has this schema.
fn with_body(schema: Value, components: Value) -> String {
    let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    let more = json!({ "components": { "schemas": components } });
    document(json!({ "/v1/vat": { "post": { "operationId": "check", "requestBody": body } } }), more)
}

fn schema_of(draft: &Draft) -> Value {
    let name = draft.routes[0].body.as_ref().unwrap().schema.as_ref().unwrap();
    serde_json::from_str(&draft.files[name]).unwrap()
}

#[test]
fn a_document_becomes_routes_with_a_backend_and_a_place_for_tokens() {
    let (draft, notes) = taken(&with_parameters(json!([])), &[]).unwrap();
    assert_eq!((&*draft.product, draft.title.as_deref()), ("vat-lookups", Some("VAT lookups")));
    assert_eq!((&*draft.backend.server, &*draft.backend.prefix), ("127.0.0.1:9001", "/api"));
    assert_eq!(draft.token_places, ["header X-Api-Key"]);
    let RouteDraft { method, path, .. } = &draft.routes[0];
    assert_eq!((&**method, &**path, &*notes), ("GET", "/v1/vat/{number}", ""));
    assert!(draft.text().contains("rewrite: /api/v1/vat/{number}\n"), "{}", draft.text());
}

#[test]
fn parameters_become_rules_or_notes() {
    let parameter = |place: &str, schema: Value| json!([{ "name": "p", "in": place, "schema": schema }]);
    for (schema, pattern, max, one_of) in [
        (json!({ "type": "string", "pattern": "^[A-Z]{2}$", "maxLength": 2 }), "[A-Z]{2}", Some(2), ""),
        (json!({ "type": "string", "pattern": "^[A-Z]" }), ".*(?:^[A-Z]).*", None, ""),
        (json!({ "type": "string", "maxLength": 10 }), "", Some(40), ""),
        (json!({ "type": "string", "minLength": 3 }), ".{3,}", None, ""),
        (json!({ "type": "string", "enum": ["a", "b", 1, true] }), "", None, "a b 1 true"),
        (json!({ "const": "a" }), "", None, "a"),
        (json!({ "type": "boolean" }), "", None, "true false"),
        (json!({ "type": "string", "pattern": "(?=x)" }), "", None, ""),
    ] {
        let (draft, _) = taken(&with_parameters(parameter("query", schema.clone())), &[]).unwrap();
        let rule = &draft.routes[0].query[0];
        let seen = (rule.pattern.as_deref().unwrap_or_default(), rule.max, rule.one_of.join(" "));
        assert_eq!(seen, (pattern, max, one_of.to_owned()), "{schema}");
    }
    let (draft, _) =
        taken(&with_parameters(parameter("query", json!({ "type": "array", "items": { "enum": ["a"] } }))), &[])
            .unwrap();
    assert!(draft.routes[0].query[0].repeat && draft.routes[0].query[0].one_of == ["a"]);
    for (parameter, what) in [
        (json!({ "name": "p", "in": "header" }), "a header has no rule"),
        (json!({ "name": "p", "in": "cookie" }), "a cookie has no rule"),
        (json!({ "name": "api_key", "in": "query" }), "looks like a key"),
        (json!({ "name": "X-Auth-Token", "in": "header" }), "say --token-in 'header X-Auth-Token'"),
        (json!({ "name": "p", "in": "body" }), "a parameter in body is left out"),
        (json!({ "name": "p", "in": "path", "required": true }), "not in its path"),
        (
            json!({ "name": "p", "in": "query", "style": "deepObject", "schema": { "type": "object" } }),
            "is an object has no rule",
        ),
        (json!({ "name": "p", "in": "query", "content": {} }), "with `content` has no rule"),
        (json!({ "name": "p", "in": "query", "explode": false, "schema": { "type": "array" } }), "a list in one value"),
        (
            json!({ "name": "p", "in": "query", "schema": { "type": "number", "multipleOf": 2 } }),
            "`multipleOf` of a parameter is not checked",
        ),
        (
            json!({ "name": "p", "in": "query", "schema": { "type": "string", "pattern": "(?=x)" } }),
            "its pattern is not a regular",
        ),
        (json!({ "name": "p", "in": "query", "example": "b", "schema": { "enum": ["a"] } }), "its example is refused"),
        (json!({ "name": 7, "in": "query" }), "without a name or a place"),
        (json!({ "$ref": "#/components/parameters/none" }), "is not in the document"),
        (json!({ "$ref": "https://example.com/a.yaml" }), "another document"),
        (json!({ "$ref": "#/paths/~1v1~1vat~1{number}/get/parameters/0" }), "leads back to itself"),
    ] {
        let (_, notes) = taken(&with_parameters(json!([parameter])), &[]).unwrap();
        assert!(notes.contains(what), "{parameter}: {notes}");
    }
}

#[test]
fn numbers_keep_their_bounds_and_what_is_not_checked_is_said_beside_them() {
    for (schema, line) in [
        (json!({ "type": "integer" }), "p: { integer: {} }"),
        (json!({ "type": ["null", "integer"], "minimum": 0 }), "p: { integer: { min: 0 } }"),
        (json!({ "type": "integer", "minimum": 1, "maximum": 300 }), "p: { integer: { min: 1, max: 300 } }"),
        (
            json!({ "type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9 }),
            "p: { integer: { min: 1, max: 8 } }",
        ),
        (json!({ "type": "integer", "minimum": 0, "exclusiveMinimum": true }), "p: { integer: { min: 1 } }"),
        (json!({ "type": "integer", "minimum": 0.5 }), "p: { integer: {} }"),
        (json!({ "type": "integer", "minimum": 5, "maximum": 1 }), "p: {}"),
        (json!({ "type": "integer", "maximum": u64::MAX }), "p: { integer: { max: 18446744073709551615 } }"),
        (json!({ "type": "number", "minimum": -0.5, "maximum": 1e30 }), "p: { number: { min: -0.5, max: 1e+30 } }"),
        (
            json!({ "type": "number", "exclusiveMinimum": 0 }),
            "# Not checked: that 0 itself is excluded.\n          p: { number: { min: 0 } }",
        ),
        (
            json!({ "type": "number", "multipleOf": 2, "format": "float" }),
            "# Not checked: the format float, multipleOf.\n          p: { number: {} }",
        ),
        (json!({ "type": "string", "format": "a\nlisten: x" }), "# Not checked: the format a.\n          p: {}"),
    ] {
        let parameter = json!([{ "name": "p", "in": "query", "schema": schema }]);
        let (draft, notes) = taken(&with_parameters(parameter), &[]).unwrap();
        assert!(draft.text().contains(&format!("          {line}\n")), "{schema}: {} {notes}", draft.text());
    }
}

#[test]
fn a_schema_comes_with_what_it_refers_to_and_without_what_cannot_be_compiled() {
    let components = json!({
        "Person": { "type": "object", "required": ["id", "name"], "properties": {
            "id": { "type": "string", "readOnly": true },
            "name": { "type": "string", "pattern": "^(?!x)", "xml": { "name": "n" } },
            "parent": { "$ref": "#/components/schemas/Person" },
            "address": { "$ref": "#/components/schemas/Address" },
        } },
        "Address": { "oneOf": [{ "type": "string" }, { "type": "null" }], "discriminator": { "propertyName": "x" } },
        "Unused": {},
    });
    let (draft, notes) = taken(&with_body(json!({ "$ref": "#/components/schemas/Person" }), components), &[]).unwrap();
    let schema = schema_of(&draft);
    assert_eq!(schema["required"], json!(["name"]), "what only answers have is not required");
    assert_eq!(schema["properties"]["parent"]["$ref"], "#/$defs/Person");
    assert_eq!(schema["properties"]["name"], json!({ "type": "string" }), "{notes}");
    assert!(schema["$defs"]["Address"]["anyOf"].is_array() && schema["$defs"].get("Unused").is_none());
    for what in ["`pattern` of a schema is left out", "`discriminator`", "`xml`", "`oneOf` is read as `anyOf`"] {
        assert!(notes.contains(what), "{what}: {notes}");
    }
    let old = json!({ "type": "object", "properties": { "n": { "type": "integer", "nullable": true, "minimum": 0, "exclusiveMinimum": true, "example": 7 } } });
    let (draft, notes) = taken(&with_body(old, json!({})).replace("3.1.0", "3.0.3"), &[]).unwrap();
    let member = &schema_of(&draft)["properties"]["n"];
    assert_eq!(*member, json!({ "type": ["integer", "null"], "exclusiveMinimum": 0, "examples": [7] }), "{notes}");
}

#[test]
fn what_a_schema_loses_never_lets_it_refuse_more() {
    let bad = json!({ "type": "string", "pattern": "(?=x)" });
    let schema = json!({ "type": "object", "properties": {
        "a": { "not": bad }, "b": { "oneOf": [bad, { "type": "string" }] }, "c": { "if": bad, "then": false },
        "d": { "allOf": [bad] }, "e": { "type": "nonsense" }, "f": { "enum": "x" }, "g": { "items": [bad] },
    } });
    let (draft, notes) = taken(&with_body(schema, json!({})), &[]).unwrap();
    let kept = schema_of(&draft);
    let compiled = crate::policy::check::body::Schema::compile(kept.clone(), false, Vec::new(), [], || ()).unwrap();
    let rule = crate::policy::check::body::BodyRule { max_bytes: 1000, schema: Some(std::sync::Arc::new(compiled)) };
    let body = r#"{"a":"y","b":"y","c":"y","d":"y","e":1,"f":1,"g":["y"]}"#;
    assert!(rule.judge(body.as_bytes()).is_ok(), "{kept:#} {notes}");
}

#[test]
fn answers_security_and_whatever_else_is_there_are_taken_or_noted() {
    let json_of = |schema: Value| json!({ "application/json": { "schema": schema } });
    let operation = json!({
        "operationId": "getVat", "summary": "One number", "tags": ["x"], "callbacks": {}, "deprecated": true, "security": [],
        "responses": {
            "200": { "description": "ok", "headers": { "ETag": {}, "X-Rate-Limit-Left": {} }, "links": {},
                     "content": { "application/json": { "schema": { "type": "object" } }, "application/pdf": {} } },
            "201": { "content": json_of(json!({})) }, "204": {}, "302": {}, "404": { "description": "No such number\nline" },
            "default": {}, "4XX": {},
        },
    });
    let upload = json!({ "requestBody": { "content": { "multipart/form-data": {} } } });
    let paths = json!({
        "/v1/vat/{number}": { "get": operation, "head": {}, "servers": [] },
        "/v1/upload": { "post": upload },
        "/v1/report.{format}": { "get": {} },
        "/problems": { "get": {} },
    });
    let more = json!({
        "webhooks": {}, "tags": [],
        "components": { "securitySchemes": {
            "key": { "type": "apiKey", "in": "query", "name": "key" }, "c": { "type": "apiKey", "in": "cookie", "name": "c" },
            "b": { "type": "http", "scheme": "Bearer" }, "p": { "type": "http", "scheme": "basic" }, "m": { "type": "mutualTLS" },
            "o": { "type": "oauth2" }, "a": { "type": "apiKey", "in": "header", "name": "Host" },
        } },
        "security": [{ "key": [], "c": [] }, { "b": [] }, { "p": [] }, { "m": [] }, { "o": [] }, { "a": [] }],
    });
    let (draft, notes) = taken(&document(paths, more), &[]).unwrap();
    assert_eq!(draft.token_places, ["bearer", "query key", "basic password"], "in the order of their names");
    assert_eq!(draft.routes.len(), 1, "{notes}");
    assert_eq!(
        (draft.accept.as_slice(), draft.answer_headers.as_slice()),
        (["application/json".to_owned(), "application/pdf".to_owned()].as_slice(), ["ETag".to_owned()].as_slice())
    );
    assert_eq!(draft.answers.keys().copied().collect::<Vec<_>>(), [201, 204]);
    assert_eq!(draft.other_answers[&404], "No such number");
    assert!(draft.text().contains("      # Deprecated. One number\n"));
    for what in [
        "`callbacks` of an operation",
        "`tags` of an operation",
        "`webhooks` of the document",
        "`servers` of a path",
        "`links` of a response",
        "a method that is not routed",
        "no body of it is JSON",
        "a body of multipart/form-data",
        "cannot be a route: it has a *",
        "is a path of the gateway's own pages",
        "X-Rate-Limit-Left",
        "neither a success nor an error",
        "without a status of its own",
        "a key in a cookie",
        "mutualTLS",
        "authorization server",
        "no token is wanted here",
        "two schemes at once",
        "fixed meaning",
    ] {
        assert!(notes.contains(what), "{what}: {notes}");
    }
}

#[test]
fn operations_can_be_chosen_and_too_many_are_refused() {
    let paths: serde_json::Map<String, Value> =
        (0..300).map(|number| (format!("/v1/{number}"), json!({ "get": {} }))).collect();
    let text = document(Value::Object(paths), json!({}));
    let why = taken(&text, &[]).unwrap_err().to_string();
    assert!(why.contains("300 operations") && why.contains("--route"), "{why}");
    let (draft, _) = taken(&text, &["--route", "GET /v1/7", "--route", "GET /v1/8"]).unwrap();
    assert_eq!(draft.routes.iter().map(|route| &*route.path).collect::<Vec<_>>(), ["/v1/7", "/v1/8"]);
    assert!(matches!(taken(&text, &["--route", "GET /v1/x"]), Err(Failure::Arguments(_))));
}

#[test]
fn a_document_that_names_no_server_needs_a_flag() {
    let text = with_parameters(json!([])).replace("http://127.0.0.1:9001/api", "/api");
    let why = taken(&text, &[]).unwrap_err();
    assert!(matches!(&why, Failure::Arguments(what) if what.contains("--backend")), "{why}");
    assert!(taken(&text, &["--backend", "http://127.0.0.1:9001"]).is_ok());
}

#[test]
fn yaml_with_numbers_as_keys_and_blank_values_is_read() {
    let text = "openapi: 3.0.3\ninfo: { title: T, version: 1.0, description: }\nservers: [{ url: 'http://127.0.0.1:9001' }]\n\
                paths:\n  /v1/{id}:\n    get:\n      responses:\n        200: { description: ok }\n        404: { description: none }\n";
    let (draft, _) = taken(text, &[]).unwrap();
    assert_eq!(draft.other_answers[&404], "none");
}

/// What a document says is never read as a reference to a file or a variable, nor as YAML.
#[test]
fn a_text_of_the_document_stays_a_text() {
    let evil = "${file:/etc/passwd}\"\nlisten: 0.0.0.0:1\n# ${env:HOME} \u{85} admin_exposed: true";
    let parameters = json!([{ "name": "p", "in": "query", "description": evil, "example": evil, "schema": { "enum": [evil, "a"] } }]);
    let operation = json!({ "summary": evil, "operationId": "../../x", "parameters": parameters,
        "responses": { "404": { "description": evil } } });
    let text = document(json!({ "/v1/x": { "get": operation } }), json!({ "info": { "title": evil } }));
    let (draft, _) = taken(&text, &["--product", "x"]).unwrap();
    let yaml = draft.text();
    assert_eq!(yaml.matches("\nlisten:").count(), 1, "{yaml}");
    assert!(!yaml.contains("\nadmin_exposed"), "{yaml}");
    assert!(draft.files.keys().all(|name| !name.contains('/')));
    let config = settle(&mut draft.clone(), &mut Notes::default()).unwrap();
    let rule = &config.policy.products[0].routes[0].parameters[0];
    assert!(rule.judge(evil.as_bytes(), 0).is_ok() && rule.judge(b"a", 0).is_ok());
}

#[test]
fn hostile_documents_get_a_message() {
    let deep = format!("{}{}", "{\"a\":".repeat(5000), "1".to_owned() + &"}".repeat(5000));
    let deep_yaml = format!("openapi: 3.1.0\nx: {}{}\n", "[".repeat(500), "]".repeat(500));
    let laughs = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        text + &format!("a{level}: &a{level} [{before}]\n")
    });
    let large = format!("{{\"openapi\":\"3.1.0\",\"x\":\"{}\"}}", "a".repeat(10 << 20));
    for (text, what) in [
        (deep.as_str(), "nested too deeply"),
        (&deep_yaml, ":"),
        (&laughs, "aliases"),
        (&large, "4 MiB"),
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "is not an OpenAPI document"),
        ("openapi: [3]", "is not an OpenAPI document"),
        ("openapi: 3.2.0", "is not an OpenAPI document"),
        ("swagger: '2.0'", "Swagger 2.0"),
        ("openapi: 3.1.0", "has no operations"),
        ("openapi: 3.1.0\npaths: 7", "has no operations"),
        ("openapi: 3.1.0\npaths: { /a: { $ref: '#/paths/~1a' } }", "leads back to itself"),
        ("openapi: 3.1.0\npaths: { /a: { $ref: '#' } }", "has no operations"),
    ] {
        let why = taken(text, &[]).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(why.contains(what), "{what}: {why}");
    }
}

/// Values of wrong types, in every place.
#[test]
fn no_odd_type_is_more_than_a_note() {
    let good = document(
        json!({ "/v1/{id}": { "parameters": [{ "name": "id", "in": "path", "schema": { "type": "string" } }], "post": {
            "operationId": "x", "summary": "s", "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/A" } } } },
            "responses": { "200": { "description": "d", "content": { "application/json": { "schema": { "type": "object" } } } } } } } }),
        json!({ "components": { "schemas": { "A": { "type": "object", "properties": { "b": { "type": "string" } } } } } }),
    );
    let good: Value = serde_json::from_str(&good).unwrap();
    let mut pointers = Vec::new();
    walk(&good, String::new(), &mut pointers);
    assert!(pointers.len() > 30);
    for pointer in &pointers {
        for odd in [
            json!(null),
            json!(7),
            json!("x"),
            json!([]),
            json!({}),
            json!([[{}]]),
            json!({ "$ref": 1 }),
            json!({ "$ref": "#" }),
            json!(true),
        ] {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = odd.clone();
            if let Err(why) = taken(&changed.to_string(), &["--backend", "http://127.0.0.1:9001"]) {
                assert!(!matches!(why, Failure::Mistakes(_)), "{pointer} {odd}: {why}");
            }
        }
    }
}

fn walk(value: &Value, pointer: String, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(value, super::document::step(&pointer, name), into))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| walk(value, format!("{pointer}/{index}"), into))
        }
        _ => {}
    }
    if !pointer.is_empty() {
        into.push(pointer);
    }
}

#[test]
fn references_in_every_way_come_to_an_end() {
    let many: serde_json::Map<String, Value> = (0..1000)
        .map(|number| {
            (
                format!("S{number}"),
                json!({ "properties": { "a": { "$ref": format!("#/components/schemas/S{}", (number + 1) % 1000) } } }),
            )
        })
        .collect();
    let (draft, notes) =
        taken(&with_body(json!({ "$ref": "#/components/schemas/S0" }), Value::Object(many)), &[]).unwrap();
    assert!(
        draft.routes[0].body.as_ref().unwrap().schema.is_none() && notes.contains("more than 256 others"),
        "{notes}"
    );
    for (schema, components) in [
        (
            json!({ "$ref": "#/components/schemas/A" }),
            json!({ "A": { "$ref": "#/components/schemas/B" }, "B": { "$ref": "#/components/schemas/A" } }),
        ),
        (
            json!({ "$ref": "#/components/schemas/A" }),
            json!({ "A": { "allOf": [{ "$ref": "#/components/schemas/A" }] } }),
        ),
        (json!({ "$ref": "#/paths/~1v1~1vat/post/requestBody/content/application~1json/schema" }), json!({})),
        (json!({ "$ref": "#" }), json!({})),
        (json!({ "$ref": "other.json#/x" }), json!({})),
        (
            json!({ "$ref": "#/components/schemas/A/properties/b" }),
            json!({ "A": { "properties": { "b": { "$ref": "#/components/schemas/A" } } } }),
        ),
    ] {
        let (draft, _) = taken(&with_body(schema.clone(), components), &[]).unwrap();
        assert_eq!(draft.routes.len(), 1, "{schema}");
    }
    let doubled: serde_json::Map<String, Value> = (0..40)
        .map(|number| {
            let next = format!("#/components/schemas/S{}", number + 1);
            (format!("S{number}"), json!({ "allOf": [{ "$ref": next }, { "$ref": next }], "properties": { "a": { "$ref": next }, "b": { "$ref": next } } }))
        })
        .chain([("S40".to_owned(), json!({ "type": "object" }))])
        .collect();
    assert!(taken(&with_body(json!({ "$ref": "#/components/schemas/S0" }), Value::Object(doubled)), &[]).is_ok());
    // PathBuf is what the flag has.
    assert!(Document::read(&PathBuf::from("/nowhere")).is_err());
}
