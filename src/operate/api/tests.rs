//! What holds for every operation: versions, keys that make a request happen once, bodies and their faults,
//! methods, names that nobody expects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::testing::{Desk, account};

/// Sends a change with these headers beside the key and the type of the body.
async fn change(desk: &Desk, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> super::testing::Answer {
    let authorization = format!("Bearer {}", desk.admin);
    let mut headers = vec![("authorization", &*authorization), ("content-type", "application/json")];
    headers.extend(more);
    desk.send(method, &format!("/api/v1{path}"), &headers, body.to_owned()).await
}

#[tokio::test]
async fn of_two_writers_at_once_one_changes_and_the_other_is_told_of_the_newer_state() {
    let desk = Arc::new(Desk::open().await);
    let id = desk.account("acme").await;
    let path = format!("/accounts/{id}");
    let version = desk.done("GET", &path, &Value::Null).await.header("etag").to_owned();
    assert_eq!(version, "\"1\"");

    let without = change(&desk, "PATCH", &path, &[], "{\"display\":\"x\"}").await;
    assert_eq!((without.status, &*without.body["type"].to_string()), (428, "\"/api/v1/problems/version-missing\""));

    let write = |display: &str| {
        let (desk, path, version) = (Arc::clone(&desk), path.clone(), version.clone());
        let body = json!({ "display": display }).to_string();
        async move { change(&desk, "PATCH", &path, &[("if-match", &version)], &body).await }
    };
    let (one, two) = tokio::join!(write("one"), write("two"));
    let (good, bad) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!((good.status, bad.status), (200, 412));
    assert_eq!(bad.body["current"], good.body, "the newer state is in the refusal");
    assert_eq!((bad.header("etag"), good.header("etag")), ("\"2\"", "\"2\""));

    let anyway = change(&desk, "PATCH", &path, &[("if-match", "*")], "{\"display\":\"last\"}").await;
    assert_eq!((anyway.status, anyway.header("etag")), (200, "\"3\""));
    let audit = desk.done("GET", &format!("{path}/audit"), &Value::Null).await.body;
    let actions: Vec<&str> =
        audit["items"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["account.update", "account.update", "account.create"], "what was refused left nothing");
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_happens_once() {
    let desk = Desk::open().await;
    let id = desk.account("acme").await;
    let path = format!("/accounts/{id}/tokens");
    let body = json!({ "name": "web", "products": ["plate"] }).to_string();
    let first = change(&desk, "POST", &path, &[("idempotency-key", "\"k-1\"")], &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    let secret = first.body["secret"].as_str().unwrap();
    assert!(secret.starts_with("tg_") && secret.len() == 75);
    assert_eq!(first.header("location"), format!("/api/v1{path}/{}", first.id()));

    let again = change(&desk, "POST", &path, &[("idempotency-key", "k-1")], &body).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body["token"], first.body["token"]);
    assert_eq!(again.body["secret"], Value::Null, "it is kept nowhere");

    for (key, body, expected) in [
        (Some("k-1"), json!({ "name": "other", "products": ["plate"] }).to_string(), "idempotency-key-reused"),
        (Some("k 2"), body.clone(), "invalid-query"),
        (None, body.clone(), "idempotency-key-missing"),
        (Some("k-3"), body.clone(), "conflict"),
    ] {
        let headers: Vec<_> = key.into_iter().map(|key| ("idempotency-key", key)).collect();
        let refused = change(&desk, "POST", &path, &headers, &body).await;
        assert_eq!(refused.body["type"], format!("/api/v1/problems/{expected}"), "{refused:?}");
    }
    // Of another caller, the same key is another one.
    let other = desk.key(crate::ledger::store::records::Role::Admin, None, &["tokens"], None).await;
    let authorization = format!("Bearer {other}");
    let headers =
        [("authorization", &*authorization), ("content-type", "application/json"), ("idempotency-key", "k-1")];
    let body = json!({ "name": "theirs", "products": ["plate"] }).to_string();
    let theirs = desk.send("POST", &format!("/api/v1{path}"), &headers, body).await;
    assert_eq!((theirs.status, theirs.body["token"]["name"].as_str()), (201, Some("theirs")));
    let tokens = desk.done("GET", &path, &Value::Null).await.body;
    assert_eq!(tokens["items"].as_array().unwrap().len(), 2);
    assert!(!tokens.to_string().contains(secret));

    // A change that is sent again finds its own version gone, and its own answer instead.
    let token = format!("{path}/{}/disable", first.id());
    let headers = [("if-match", "\"1\""), ("idempotency-key", "off")];
    let once = change(&desk, "POST", &token, &headers, "").await;
    let twice = change(&desk, "POST", &token, &headers, "").await;
    assert_eq!((once.status, twice.status, &once.body), (200, 200, &twice.body));
    assert_eq!((once.header("idempotency-replayed"), twice.header("idempotency-replayed")), ("", "true"));
}

#[tokio::test]
async fn a_body_is_taken_whole_or_every_fault_is_told_with_its_place() {
    let desk = Desk::open().await;
    let terms = r#""terms":{"own":{"rates":[]}}"#;
    for (body, kind, places) in [
        ("", "malformed-body", &[][..]),
        ("{", "malformed-body", &[]),
        ("[]", "invalid-body", &["/"]),
        ("null", "invalid-body", &["/"]),
        ("{}", "invalid-body", &["/name", "/terms"]),
        (&format!(r#"{{"name":"a","name":"b",{terms}}}"#), "malformed-body", &[]),
        (&format!(r#"{{"name":7,"colour":1,"si/ze":2,{terms}}}"#), "invalid-body", &["/colour", "/name", "/si~1ze"]),
        (r#"{"name":"a","terms":{"own":{"rates":[{"period":"week","requests":0}]}}}"#, "invalid-body", &["/terms"]),
        (&format!(r#"{{"name":"{}",{terms}}}"#, "x".repeat(256)), "invalid-body", &["/name"]),
        (&format!(r#"{{"name":"a\u0000b",{terms}}}"#), "invalid-body", &["/name"]),
        (&format!(r#"{{"name":" ",{terms}}}"#), "invalid-body", &["/name"]),
        (&"[".repeat(100_000), "body-too-large", &[]),
        (&"[".repeat(10_000), "malformed-body", &[]),
        (&format!(r#"{{"name":"{}"}}"#, "x".repeat(70_000)), "body-too-large", &[]),
    ] {
        let answer = change(&desk, "POST", "/accounts", &[("idempotency-key", "k")], body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.body["type"], format!("/api/v1/problems/{kind}"), "{shown}: {}", answer.body);
        let mut found: Vec<&str> =
            answer.body["errors"].as_array().into_iter().flatten().map(|fault| fault["at"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, places, "{shown}: {}", answer.body);
    }
    for media_type in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let authorization = format!("Bearer {}", desk.admin);
        let headers = [("authorization", &*authorization), ("idempotency-key", "k"), ("content-type", media_type)];
        let answer = desk.send("POST", "/api/v1/accounts", &headers, account("a").to_string()).await;
        assert_eq!(answer.status, 415, "{media_type}");
    }
    let authorization = format!("Bearer {}", desk.admin);
    let headers = [
        ("authorization", &*authorization),
        ("idempotency-key", "k"),
        ("content-type", "Application/JSON; charset=utf-8"),
    ];
    let answer = desk.send("POST", "/api/v1/accounts", &headers, account("a").to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = desk.account("b").await;
    let with_body = change(&desk, "POST", &format!("/accounts/{id}/suspend"), &[("if-match", "*")], "{}").await;
    assert_eq!(with_body.body["type"], "/api/v1/problems/malformed-body");
}

#[tokio::test]
async fn nothing_that_was_sent_is_repeated_where_it_could_be_a_secret() {
    let desk = Desk::open().await;
    let secret = format!("tg_{}", "5".repeat(64));
    let id = desk.account("acme").await;
    let token = desk.token(&id, "web").await;
    let lists = format!("/accounts/{id}/tokens/{token}");
    for (method, path, body) in [
        ("POST", "/accounts".to_owned(), json!({ "name": [secret], "terms": secret })),
        ("POST", "/accounts".to_owned(), json!({ secret.clone(): 1 })),
        ("POST", format!("/accounts/{id}/tokens"), json!({ "name": "x", "expires": secret })),
        ("PUT", format!("{lists}/networks"), json!({ "mode": "enforce", "entries": [{ "value": secret }] })),
        ("PUT", format!("{lists}/domains"), json!({ "mode": secret, "entries": [] })),
        ("GET", format!("/accounts?state={secret}"), Value::Null),
        ("GET", format!("/accounts?{secret}=1"), Value::Null),
        ("GET", format!("/accounts/{secret}"), Value::Null),
        ("GET", format!("/{secret}"), Value::Null),
    ] {
        let answer = desk.ask(&desk.admin, method, &path, &body).await;
        assert!(answer.status >= 400, "{answer:?}");
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!(!text.contains(&secret[..30]), "{method} {path}: {text}");
    }
    let wrong = desk.ask(&secret, "GET", "/accounts", &Value::Null).await;
    assert!(wrong.status == 401 && !String::from_utf8_lossy(&wrong.bytes).contains(&secret[..30]));
}

#[tokio::test]
async fn what_a_list_refuses_says_how_to_write_it() {
    let desk = Desk::open().await;
    let id = desk.account("acme").await;
    let token = desk.token(&id, "web").await;
    let path = format!("/accounts/{id}/tokens/{token}/networks");
    let wrong = json!({ "mode": "enforce", "entries": [
        { "value": "203.0.113.5/24" }, { "value": "198.51.100.7" }, { "value": "nowhere" }, { "value": "2001:db8::1/32" },
    ] });
    let refused = desk.ask(&desk.admin, "PUT", &path, &wrong).await;
    let told: Vec<(&str, &str)> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["at"].as_str().unwrap(), fault["fix"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("/entries/0/value", "write 203.0.113.0/24"),
            ("/entries/2/value", "write one as in 203.0.113.7 or 2001:db8::1"),
            ("/entries/3/value", "write 2001:db8::/32"),
        ]
    );
    let right = json!({ "mode": "enforce", "entries": [
        { "value": "203.0.113.0/24", "note": "office" }, { "value": "::ffff:198.51.100.7" },
    ] });
    let put = desk.done("PUT", &path, &right).await;
    let values = |body: &Value| -> Vec<String> {
        let entries = body["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["value"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&put.body), ["198.51.100.7", "203.0.113.0/24"], "the form that requests are compared with");
    let added = desk.done("POST", &format!("{path}/entries"), &json!({ "value": "192.0.2.0/28" })).await;
    assert_eq!(values(&added.body).len(), 3);
    for (value, status) in
        [("192.0.2.0%2F28", 200), ("198.51.100.7", 200), ("192.0.2.0/28", 404), ("203.0.113.0/24", 409)]
    {
        let removed = desk.ask(&desk.admin, "DELETE", &format!("{path}/entries?value={value}"), &Value::Null).await;
        assert_eq!(removed.status, status, "{value}: {}", removed.body);
    }
}

#[tokio::test]
async fn hostile_names_come_back_as_they_are() {
    let desk = Desk::open().await;
    for name in [
        "<script>alert(1)</script>",
        "'; DROP TABLE account; --",
        "\"quoted\" \\ back",
        "../../etc/passwd",
        "=cmd|' /C calc'!A0",
        "a\u{202e}b",
        "日本語 🚪",
        "%00%0d%0a",
        "\u{10ffff}",
    ] {
        let id = desk.account(name).await;
        let shown = desk.done("GET", &format!("/accounts/{id}"), &Value::Null).await;
        assert_eq!(shown.body["name"], name);
        let query: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let found = desk.done("GET", &format!("/accounts?name={query}"), &Value::Null).await;
        assert_eq!(found.body["items"].as_array().unwrap().len(), 1, "{name}: {}", found.body);
        let again = desk.ask(&desk.admin, "POST", "/accounts", &account(name)).await;
        assert_eq!(again.body["type"], "/api/v1/problems/conflict");
    }
    // Characters that no name has.
    for name in ["a\nb", "\u{7}", "\t"] {
        let refused = desk.ask(&desk.admin, "POST", "/accounts", &account(name)).await;
        assert_eq!(refused.status, 422, "{name:?}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_while_others_write() {
    let desk = Desk::open().await;
    for number in 0..7 {
        desk.account(&format!("n{number}")).await;
    }
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = desk.done("GET", &format!("/accounts?limit=2{after}"), &Value::Null).await.body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        // Before and behind where the next page begins.
        desk.account(&format!("m{}", seen.len())).await;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]);
    let nowhere = desk.ask(&desk.admin, "GET", "/accounts?after=nothing", &Value::Null).await;
    assert_eq!(nowhere.status, 404);
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_told_which_it_has() {
    let desk = Desk::open().await;
    let id = desk.account("acme").await;
    let path = format!("/api/v1/accounts/{id}");
    let authorization = format!("Bearer {}", desk.admin);
    let headers = [("authorization", &*authorization)];
    for (method, target, status, allow) in [
        ("DELETE", &*path, 405, "GET, HEAD, OPTIONS, PATCH"),
        ("OPTIONS", &path, 204, "GET, HEAD, OPTIONS, PATCH"),
        ("TRACE", &path, 405, "GET, HEAD, OPTIONS, PATCH"),
        ("PUT", "/api/v1/accounts", 405, "GET, HEAD, OPTIONS, POST"),
        ("POST", "/api/v1/openapi.json", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/nothing", 404, ""),
        ("GET", "/api/v1/accounts/", 404, ""),
        ("GET", "/", 404, ""),
    ] {
        let answer = desk.send(method, target, &headers, "").await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {target}");
    }
    let head = desk.send("HEAD", &path, &headers, "").await;
    let get = desk.send("GET", &path, &headers, "").await;
    assert_eq!((head.status, head.bytes.len(), head.header("etag")), (200, 0, get.header("etag")));
    // The kinds of problems are explained to everybody.
    for kind in super::problem::KINDS {
        let page = desk.send("GET", &format!("/api/v1/problems/{}", kind.slug()), &[], "").await;
        assert_eq!((page.status, &page.body["status"]), (200, &json!(kind.status().as_u16())));
    }
    assert_eq!(desk.send("GET", "/api/v1/problems/none", &[], "").await.status, 404);
}

#[tokio::test]
async fn a_key_never_makes_one_that_may_do_more() {
    use crate::ledger::store::records::Role;
    let desk = Desk::open().await;
    let id = desk.account("acme").await;
    let owner = desk.key(Role::Owner, Some(&id), &["read", "keys", "tokens"], None).await;
    let path = format!("/accounts/{id}/keys");
    for (role, scopes, status) in [
        ("owner", json!(["read", "tokens"]), 201),
        ("viewer", json!(["read"]), 201),
        ("viewer", json!(["lists"]), 403),
        ("admin", json!(["read"]), 422),
        ("viewer", json!([]), 422),
        ("viewer", json!(["everything"]), 422),
    ] {
        let body = json!({ "name": "made", "role": role, "scopes": scopes });
        let answer = desk.ask(&owner, "POST", &path, &body).await;
        assert_eq!(answer.status, status, "{role} {scopes}: {}", answer.body);
    }
    let made = desk.ask(&owner, "POST", &path, &json!({ "name": "m", "role": "owner", "scopes": ["read"] })).await;
    let secret = made.body["secret"].as_str().unwrap();
    assert_eq!(desk.ask(secret, "GET", &format!("/accounts/{id}"), &Value::Null).await.status, 200);
    desk.done("POST", &format!("{path}/{}/revoke", made.id()), &Value::Null).await;
    assert_eq!(desk.ask(secret, "GET", &format!("/accounts/{id}"), &Value::Null).await.status, 401);
    let over = json!({ "name": "m", "role": "owner", "scopes": ["read"], "ends_at": "2020-01-01T00:00:00Z" });
    assert_eq!(desk.ask(&owner, "POST", &path, &over).await.body["errors"][0]["at"], "/ends_at");
}

#[tokio::test]
async fn the_audit_tells_who_has_done_what_and_that_nothing_is_missing() {
    let desk = Desk::open().await;
    let id = desk.account("acme").await;
    let token = desk.token(&id, "web").await;
    let path = format!("/accounts/{id}/tokens/{token}");
    desk.done("POST", &format!("{path}/disable"), &Value::Null).await;
    desk.done("POST", &format!("{path}/rotate"), &json!({ "overlap": "0" })).await;
    let rows = desk.done("GET", &format!("/accounts/{id}/audit?action=token."), &Value::Null).await.body;
    let actions: Vec<&str> =
        rows["items"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["token.rotate", "token.update", "token.create"]);
    assert!(rows["items"][0]["actor"].as_str().unwrap().starts_with("key:"));
    assert_eq!(
        (rows["items"][1]["before"]["state"].as_str(), rows["items"][1]["after"]["state"].as_str()),
        (Some("enabled"), Some("disabled"))
    );
    let first = desk.done("GET", "/audit?limit=2", &Value::Null).await.body;
    let second =
        desk.done("GET", &format!("/audit?limit=2&after={}", first["next"].as_str().unwrap()), &Value::Null).await;
    let ids = |body: &Value| -> Vec<i64> {
        body["items"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    };
    assert_eq!([ids(&first), ids(&second.body)].concat(), [5, 4, 3, 2]);
    let none = desk.done("GET", "/audit?until=1970-01-01T00:00:00Z", &Value::Null).await.body;
    assert_eq!((none["items"].as_array().unwrap().len(), &none["next"]), (0, &Value::Null));
    let check = desk.done("GET", "/audit/check", &Value::Null).await.body;
    assert_eq!(check, json!({ "whole": true, "rows": 5, "broken_at": null }));
}

/// The table of operations in `docs/management-api.md`.
#[test]
fn the_document_lists_all_operations() {
    use crate::ledger::store::records::Role;
    let mut table = "| request | what it does | scope | roles |\n|---|---|---|---|\n".to_owned();
    for route in super::routes::all().unwrap() {
        let roles: Vec<&str> =
            Role::ALL.iter().filter(|role| route.who.allows(**role)).map(|role| role.word()).collect();
        let path = route.path.replace(['{', '}'], "");
        let path = path
            .split('/')
            .zip(route.path.split('/'))
            .map(|(name, written)| if written.starts_with('{') { name.to_uppercase() } else { name.to_owned() });
        let path = path.collect::<Vec<_>>().join("/");
        let (method, summary, scope) = (&route.method, route.summary, route.scope.word());
        table += &format!("| `{method} {path}` | {summary} | {scope} | {} |\n", roles.join(", "));
    }
    let file = format!("{}/docs/management-api.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("<!-- operations -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /operations -->").unwrap();
    let wanted = format!("{before}<!-- operations -->\n\n{table}\n<!-- /operations -->{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, wanted).unwrap();
        return;
    }
    assert!(text == wanted, "UPDATE=1 cargo nextest run --lib operations writes the table anew");
}
