//! Every operation as everybody: each row of the route table, asked with a key of each role, with too few
//! scopes, with keys that are none, of the own account, another one, and one that is not there.

use serde_json::{Value, json};

use super::caller::{SCOPES, Scope, operator};
use super::problem::{MEDIA_TYPE, PAGES};
use super::route::Route;
use super::routes;
use super::testing::{Answer, Desk, account};
use crate::ledger::store::records::Role;

/// A body that an operation takes. An operation that takes one and has no row here fails the walk.
fn body(route: &Route, number: usize) -> Value {
    let rate = json!([{ "period": "minute", "requests": 5, "burst": 5 }]);
    let key = |role: &str| json!({ "name": format!("key {number}"), "role": role, "scopes": ["read"] });
    match route.id {
        "createAccount" => account(&format!("made {number}")),
        "changeAccount" => json!({ "display": format!("Shown {number}"), "terms": { "own": { "rates": rate } } }),
        "createToken" => json!({ "name": format!("token {number}"), "products": ["phone"], "expires": "2099-12-31" }),
        "changeToken" => json!({ "name": format!("renamed {number}"), "expires": null, "rates": rate }),
        "rotateToken" => json!({ "overlap": "24h" }),
        "putNetworks" => json!({ "mode": "enforce", "entries": [{ "value": "203.0.113.0/24" }] }),
        "putDomains" => json!({ "mode": "watch", "entries": [{ "value": "*.example.com" }], "absent": "allow" }),
        "addNetwork" => json!({ "value": "198.51.100.7", "note": "the office" }),
        "addDomain" => json!({ "value": "app.example.com" }),
        "grantCredits" | "adjustCredits" => json!({ "amount": 5, "why": "invoice 17" }),
        "createKey" => key("auditor"),
        "createAccountKey" => key("viewer"),
        _ if route.takes_body => panic!("{} takes a body, and the walk has none for it", route.id),
        _ => Value::Null,
    }
}

/// What the walk finds in an account: a token with lists, and a key.
struct Objects {
    account: String,
    token: String,
    key: String,
}

impl Objects {
    /// Those of a new account.
    async fn new(desk: &Desk, name: &str) -> Objects {
        let account = desk.account(name).await;
        let token = desk.token(&account, "web").await;
        let list = |value: &str| json!({ "mode": "any", "entries": [{ "value": value }, { "value": "192.0.2.9" }] });
        for (kind, value) in [("networks", "203.0.113.0/24"), ("domains", "shop.example.com")] {
            desk.done("PUT", &format!("/accounts/{account}/tokens/{token}/{kind}"), &list(value)).await;
        }
        let body = json!({ "name": "of walk", "role": "viewer", "scopes": ["read"] });
        let key = desk.done("POST", &format!("/accounts/{account}/keys"), &body).await.id();
        Objects { account, token, key }
    }

    /// The path of an operation on them.
    fn path(&self, route: &Route, operator_key: &str) -> String {
        let is_of_account = route.path.starts_with("/accounts/{account}");
        let key = if is_of_account { &self.key } else { operator_key };
        let value = if route.id == "removeDomain" { "shop.example.com" } else { "203.0.113.0/24" };
        let query = if route.id.starts_with("remove") { format!("?value={value}") } else { String::new() };
        let path = route.path.replace("{account}", &self.account).replace("{token}", &self.token);
        let path = path.replace("{key}", key).replace("{product}", "phone").replace("{plan}", "gold");
        assert!(!path.contains('{'), "{path} has a parameter that the walk has nothing for");
        path + &query
    }
}

/// Whether an answer is one that the document has for an operation, and of the form that it says.
fn assert_documented(document: &Value, route: &Route, answer: &Answer) {
    let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{} has no {}: {}", route.id, answer.status, answer.body);
    let content = &response["content"][answer.header("content-type")];
    assert!(content.is_object(), "{}: {}", route.id, answer.header("content-type"));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [content["schema"]],
    });
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mistakes: Vec<String> = schema.iter_errors(&answer.body).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{}: {mistakes:?} in {}", route.id, answer.body);
    assert_eq!(answer.header("cache-control"), "no-store", "{}", route.id);
    if answer.status >= 400 {
        assert_eq!(answer.header("content-type"), MEDIA_TYPE);
        assert!(answer.body["type"].as_str().unwrap().starts_with(PAGES));
        assert_eq!(answer.body["status"], answer.status);
    } else {
        assert_eq!(answer.headers.contains_key("etag"), route.has_version, "{}", route.id);
    }
}

/// Operations that need a running gateway or something that the walk has not made.
fn expected_without(route: &Route) -> Option<u16> {
    match route.id {
        "getPlan" => Some(404),
        "getCredits" | "listCreditEntries" | "grantCredits" | "adjustCredits" => Some(503),
        _ => None,
    }
}

#[tokio::test]
async fn every_operation_lets_in_whom_its_row_names_and_nobody_else() {
    let desk = Desk::open().await;
    let document = desk.send("GET", "/api/v1/openapi.json", &[], "").await.body;
    let all: Vec<&str> = SCOPES.into_iter().map(Scope::word).collect();
    let (mut number, mut asked, mut let_in) = (0, 0, 0);
    for route in routes::all().unwrap() {
        for role in Role::ALL.iter().copied() {
            // New ones for each, since operations change and end what they are asked for.
            let mut objects = Vec::new();
            for _ in 0..2 {
                number += 1;
                objects.push(Objects::new(&desk, &format!("acme {number}")).await);
            }
            let [own, foreign] = &objects[..] else { unreachable!() };
            let body_of_key = json!({ "name": "of walk", "role": "auditor", "scopes": ["read"] });
            let operator_key = desk.done("POST", "/keys", &body_of_key).await.id();
            let bound = operator(role).is_none().then_some(&*own.account);
            let key = desk.key(role, bound, &all, None).await;
            let less: Vec<&str> = all.iter().copied().filter(|scope| *scope != route.scope.word()).collect();
            let lesser = desk.key(role, bound, &less, None).await;
            let ask = async |key: &str, objects: &Objects| {
                let path = objects.path(&route, &operator_key);
                desk.ask(key, route.method.as_str(), &path, &body(&route, number)).await
            };

            // Without the scope nobody, whatever the role.
            let answer = ask(&lesser, own).await;
            assert_eq!(answer.status, 403, "{} as {role:?} without its scope: {}", route.id, answer.body);
            assert_documented(&document, &route, &answer);

            let is_of_account = route.path.contains("{account}");
            if is_of_account {
                let answer = ask(&key, foreign).await;
                let nothing =
                    Objects { account: "0".repeat(32), token: foreign.token.clone(), key: foreign.key.clone() };
                let of_nothing = ask(&key, &nothing).await;
                let expected = match (route.who.allows(role), bound) {
                    (false, _) => 403,
                    (true, Some(_)) => 404,
                    (true, None) => expected_without(&route).unwrap_or(route.effect.status().as_u16()),
                };
                assert_eq!(answer.status, expected, "{} as {role:?} of a foreign account: {}", route.id, answer.body);
                assert_documented(&document, &route, &answer);
                if bound.is_some() {
                    assert_eq!(answer.bytes, of_nothing.bytes, "{}: another's account is as one that is not", route.id);
                } else {
                    assert!([403, 404].contains(&of_nothing.status), "{}: {of_nothing:?}", route.id);
                }
                // What is another's is not there in the own account either.
                let mixed =
                    Objects { account: own.account.clone(), token: foreign.token.clone(), key: foreign.key.clone() };
                if route.path.contains("{token}") || route.path.ends_with("{key}") {
                    let answer = ask(&key, &mixed).await;
                    let expected = if route.who.allows(role) { 404 } else { 403 };
                    assert_eq!(answer.status, expected, "{} as {role:?}: {}", route.id, answer.body);
                }
            }

            let answer = ask(&key, own).await;
            let expected = match route.who.allows(role) {
                false => 403,
                true => expected_without(&route).unwrap_or(route.effect.status().as_u16()),
            };
            assert_eq!(answer.status, expected, "{} as {role:?}: {}", route.id, answer.body);
            assert_documented(&document, &route, &answer);
            let_in += usize::from(expected < 300);
            asked += 1;
        }

        // Keys that are none.
        let objects = Objects::new(&desk, &format!("none {number}")).await;
        number += 1;
        let ended = desk.key(Role::Admin, None, &all, Some(2)).await;
        for (key, why) in [
            (&*format!("tg_{}", "0".repeat(64)), "token of lookups"),
            (&format!("tgm_{}", "0".repeat(64)), "not known"),
            (&ended, "has ended"),
            ("", "Authorization"),
        ] {
            let path = objects.path(&route, &"0".repeat(32));
            let answer = desk.ask(key, route.method.as_str(), &path, &body(&route, number)).await;
            assert_eq!(answer.status, 401, "{}: {}", route.id, answer.body);
            assert!(answer.body["detail"].as_str().unwrap().contains(why), "{}: {}", route.id, answer.body);
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            assert_documented(&document, &route, &answer);
        }
    }
    println!("{asked} operations as somebody, {let_in} let in");
    assert!(asked > 200 && let_in > 100, "{asked} {let_in}");
}

#[test]
fn every_row_that_changes_something_says_so() {
    let routes = routes::all().unwrap();
    let mut ids: Vec<&str> = routes.iter().map(|route| route.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), routes.len(), "each operation has a name of its own");
    for route in &routes {
        let is_get = route.method == axum::http::Method::GET;
        assert_eq!(is_get, route.effect == super::route::Effect::Read, "{}", route.id);
        assert!(is_get || route.scope != Scope::Read, "{} changes something with the scope read", route.id);
        assert!(route.summary.ends_with('.'), "{}", route.id);
        assert!(
            route.path.contains("{account}") || route.who.member.is_none() || route.scope == Scope::Read && is_get,
            "{} lets keys of an account in without naming one",
            route.id
        );
    }
}
