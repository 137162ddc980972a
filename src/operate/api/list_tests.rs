//! Lists on trial, undone and previewed, through the API.

use serde_json::{Value, json};

use super::testing::Desk;
use crate::ledger::store::records::Role;
use crate::ledger::store::sources;
use crate::platform::clock::unix_milliseconds;
use crate::policy::account::Digest;
use crate::telemetry::sources::{DAY_MS, SourceCount, SourceKey, SourceKind};

/// An API with a token, its path, and the token itself.
async fn desk() -> (Desk, String, String) {
    let desk = Desk::open().await;
    let account = desk.account("acme").await;
    let body = json!({ "name": "web", "products": ["plate"] });
    let made = desk.done("POST", &format!("/accounts/{account}/tokens"), &body).await.body;
    let token = made["token"]["id"].as_str().unwrap();
    (desk, format!("/accounts/{account}/tokens/{token}"), made["secret"].as_str().unwrap().to_owned())
}

fn milliseconds(time: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_millis()
}

/// Writes where a token was used from, as a gateway does.
async fn seen(desk: &Desk, secret: &str, of: &[(SourceKind, &str, u64)]) {
    let now = unix_milliseconds();
    let rows: Vec<(SourceKey, SourceCount)> = of
        .iter()
        .map(|(kind, value, requests)| {
            let digest = *Digest::of(secret.as_bytes()).bytes();
            let key = SourceKey { digest, kind: *kind, day: now - now.rem_euclid(DAY_MS), value: (*value).into() };
            (key, SourceCount { requests: *requests, last_at: now })
        })
        .collect();
    desk.api.store.maintain(move |connection| sources::add(connection, &rows)).await.unwrap();
}

#[tokio::test]
async fn a_change_on_trial_says_when_it_goes_back_and_is_confirmed_or_undone() {
    let (desk, of_token, _) = desk().await;
    let networks = format!("{of_token}/networks");
    let list = |value: &str, time: Value| json!({ "mode": "enforce", "entries": [{ "value": value }], "confirm_within": time });
    let before = unix_milliseconds();
    let put = desk.done("PUT", &networks, &list("203.0.113.0/24", json!("15m"))).await.body;
    let minutes = |time: &Value| (milliseconds(time) - before) / 60_000;
    assert_eq!((minutes(&put["goes_back_at"]), minutes(&put["can_undo_until"])), (15, 10));
    assert_eq!(put, desk.done("GET", &networks, &Value::Null).await.body);
    // Everything that changes a list can be on trial.
    let entry = json!({ "value": "198.51.100.7", "confirm_within": "1h" });
    let added = desk.done("POST", &format!("{networks}/entries"), &entry).await.body;
    assert_eq!(minutes(&added["goes_back_at"]), 60);
    let target = format!("{networks}/entries?value=198.51.100.7&confirm_within=2m");
    assert_eq!(minutes(&desk.done("DELETE", &target, &Value::Null).await.body["goes_back_at"]), 2);

    let confirmed = desk.done("POST", &format!("{networks}/confirm"), &Value::Null).await.body;
    assert_eq!(
        (&confirmed["goes_back_at"], &confirmed["entries"][0]["value"]),
        (&Value::Null, &json!("203.0.113.0/24"))
    );
    let refused = desk.ask(&desk.admin, "POST", &format!("{networks}/confirm"), &Value::Null).await;
    assert_eq!((refused.status, &*refused.body["type"].to_string()), (409, "\"/api/v1/problems/conflict\""));
    let undone = desk.done("POST", &format!("{networks}/undo"), &Value::Null).await.body;
    assert_eq!(undone["entries"].as_array().unwrap().len(), 2);

    for (method, path, body, at) in [
        ("PUT", networks.clone(), list("203.0.113.0/24", json!("59s")), "/confirm_within"),
        ("PUT", networks.clone(), list("203.0.113.0/24", json!("25h")), "/confirm_within"),
        ("PUT", networks.clone(), list("203.0.113.0/24", json!("soon")), "/confirm_within"),
        (
            "POST",
            format!("{networks}/entries"),
            json!({ "value": "192.0.2.1", "confirm_within": "2d" }),
            "/confirm_within",
        ),
        ("DELETE", format!("{networks}/entries?value=198.51.100.7&confirm_within=15"), Value::Null, "?confirm_within"),
    ] {
        let refused = desk.ask(&desk.admin, method, &path, &body).await;
        assert_eq!((refused.status / 100, &refused.body["errors"][0]["at"]), (4, &json!(at)), "{}", refused.body);
    }
    // Whoever has seen an older version is told, as at every change.
    let authorization = format!("Bearer {}", desk.admin);
    let headers = [("authorization", &*authorization), ("if-match", "\"1\"")];
    for deed in ["confirm", "undo"] {
        let stale = desk.send("POST", &format!("/api/v1{networks}/{deed}"), &headers, "").await;
        assert_eq!(stale.status, 412, "{deed}: {}", stale.body);
    }
}

#[tokio::test]
async fn sources_are_shown_to_members_and_operators() {
    let (desk, of_token, secret) = desk().await;
    let path = format!("{of_token}/sources");
    let none = desk.done("GET", &path, &Value::Null).await.body;
    assert_eq!((&none["items"], &none["requests"]), (&json!([]), &json!(0)));
    use SourceKind::{Domain, Network, Use};
    seen(&desk, &secret, &[(Use, "", 10), (Network, "203.0.113.9", 8), (Domain, "app.example.com", 9)]).await;
    let found = desk.done("GET", &path, &Value::Null).await.body;
    let rows: Vec<(&str, &str, i64)> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["value"].as_str().unwrap(), row["requests"].as_i64().unwrap()))
        .collect();
    assert_eq!(rows, [("domain", "app.example.com", 9), ("network", "203.0.113.9", 8)]);
    assert_eq!(found["requests"], 10);
    assert!((milliseconds(&found["since"]) - (unix_milliseconds() - 7 * DAY_MS)).abs() < 60_000);
    let account = of_token.split('/').nth(2).unwrap();
    for (role, status) in [(Role::Owner, 200), (Role::Member, 200), (Role::Viewer, 403)] {
        let key = desk.key(role, Some(account), &["read"], None).await;
        assert_eq!(desk.ask(&key, "GET", &path, &Value::Null).await.status, status, "{role:?}");
    }
}

#[tokio::test]
async fn a_preview_says_whom_a_draft_would_refuse_and_changes_nothing() {
    let (desk, of_token, secret) = desk().await;
    use SourceKind::{Domain, Network, Use};
    let of = [
        (Use, "", 100),
        (Network, "203.0.113.9", 75),
        (Network, "198.51.100.7", 20),
        (Domain, "app.example.com", 60),
        (Domain, "(none)", 40),
    ];
    seen(&desk, &secret, &of).await;
    let list = json!({ "mode": "enforce", "entries": [{ "value": "198.51.100.0/24" }] });
    desk.done("PUT", &format!("{of_token}/networks"), &list).await;
    let version = desk.done("GET", &of_token, &Value::Null).await.header("etag").to_owned();

    let draft = json!({ "mode": "enforce", "entries": [{ "value": "2001:DB8::/32" }, { "value": "203.0.113.9/32" }] });
    let told = desk.done("POST", &format!("{of_token}/networks/preview"), &draft).await.body;
    assert_eq!(told["draft"]["entries"], json!([{ "value": "2001:db8::/32" }, { "value": "203.0.113.9" }]));
    assert_eq!(
        (&told["added"], &told["removed"]),
        (&told["draft"]["entries"], &json!([{ "value": "198.51.100.0/24" }]))
    );
    let refused = &told["refused"][0];
    assert_eq!(
        (&refused["value"], &refused["requests"], &refused["share"]),
        (&json!("198.51.100.7"), &json!(20), &json!(0.2))
    );
    assert_eq!((&refused["already"], &refused["fix"]), (&json!(false), &json!("add 198.51.100.7")));
    let sums = ["requests", "refused_requests", "refused_share", "unknown_requests"].map(|name| told[name].clone());
    assert_eq!(sums, [json!(100), json!(20), json!(0.2), json!(5)]);

    let draft = json!({ "mode": "watch", "entries": [{ "value": "app.example.com" }] });
    let told = desk.done("POST", &format!("{of_token}/domains/preview"), &draft).await.body;
    assert_eq!((&told["refused"], &told["refused_requests"]), (&json!([]), &json!(0)));
    assert_eq!(
        (&told["watched"][0]["value"], &told["watched"][0]["fix"]),
        (&json!("(none)"), &json!("set absent to allow"))
    );

    for (kind, draft, at, fix) in [
        (
            "networks",
            json!({ "mode": "enforce", "entries": [{ "value": "10.0.0.1/8" }] }),
            "/entries/0/value",
            "write 10.0.0.0/8",
        ),
        ("networks", json!({ "mode": "enforce", "entries": [] }), "/entries", "would match nothing"),
        ("domains", json!({ "mode": "any", "entries": [{ "value": "*.com" }] }), "/entries/0/value", ""),
    ] {
        let refused = desk.ask(&desk.admin, "POST", &format!("{of_token}/{kind}/preview"), &draft).await;
        let fault = &refused.body["errors"][0];
        assert_eq!((refused.status, &fault["at"]), (422, &json!(at)), "{}", refused.body);
        assert!(fault.to_string().contains(fix), "{fault}");
    }
    assert_eq!(desk.done("GET", &of_token, &Value::Null).await.header("etag"), version);
}
