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
        "createToken" => json!({ "name": format!("token {number}"), "products": ["plate"], "expires": "2099-12-31" }),
        "changeToken" => json!({ "name": format!("renamed {number}"), "expires": null, "rates": rate }),
        "rotateToken" => json!({ "overlap": "24h" }),
        "findAccounts" => json!({ "text": "acme" }),
        "importAccounts" => {
            let plan = json!({
                "name": format!("imported {number}"), "terms": {}, "products": ["plate"], "row_version": 1, "created_at": 0,
            });
            json!({ "lines": json!({ "plan": plan }).to_string() })
        }
        "publishNotice" => json!({ "text": "Slower than usual." }),
        "previewNetworks" => json!({ "mode": "enforce", "entries": [{ "value": "203.0.113.0/24" }] }),
        "previewDomains" => json!({ "mode": "enforce", "entries": [{ "value": "app.example.com" }], "absent": "deny" }),
        "putNetworks" => json!({ "mode": "enforce", "entries": [{ "value": "203.0.113.0/24" }] }),
        "putDomains" => json!({ "mode": "watch", "entries": [{ "value": "*.example.com" }], "absent": "allow" }),
        "testToken" => json!({
            "address": "203.0.113.9",
            "origin": "https://app.example.com",
            "domains": { "mode": "enforce", "entries": [{ "value": "App.Example.com" }] },
        }),
        "addNetwork" => json!({ "value": "198.51.100.7", "note": "the office" }),
        "addDomain" => json!({ "value": "app.example.com" }),
        "grantCredits" | "adjustCredits" => json!({ "amount": 5, "why": "invoice 17" }),
        "setAlertSettings" => json!({ "token_days": 7, "mail": "ops@example.com" }),
        "createKey" => key("auditor"),
        "createAccountKey" => key("viewer"),
        "inviteMember" => json!({ "email": format!("guest{number}@example.com"), "role": "owner" }),
        "changeMember" => json!({ "role": "member" }),
        "inviteOperator" => json!({ "email": format!("new{number}@example.com"), "role": "admin" }),
        "changeUser" => json!({ "display": format!("User {number}"), "role": null }),
        _ if route.takes_body => panic!("{} takes a body, and the walk has none for it", route.id),
        _ => Value::Null,
    }
}

/// What the walk finds in an account: a token with lists, a key, a member, and an invitation.
struct Objects {
    account: String,
    token: String,
    key: String,
    user: String,
    invitation: String,
}

/// What the walk finds of operators.
struct OfOperators {
    key: String,
    invitation: String,
}

impl Objects {
    /// Those of a new account.
    async fn new(desk: &Desk, name: &str) -> Objects {
        let account = desk.account(name).await;
        let token = desk.token(&account, "web").await;
        // On trial, so that it can be confirmed.
        let list = |value: &str| {
            let entries = [json!({ "value": value }), json!({ "value": "192.0.2.9" })];
            json!({ "mode": "any", "entries": entries, "confirm_within": "15m" })
        };
        for (kind, value) in [("networks", "203.0.113.0/24"), ("domains", "shop.example.com")] {
            desk.done("PUT", &format!("/accounts/{account}/tokens/{token}/{kind}"), &list(value)).await;
        }
        let body = json!({ "name": "of walk", "role": "viewer", "scopes": ["read"] });
        let key = desk.done("POST", &format!("/accounts/{account}/keys"), &body).await.id();
        let guest = json!({ "email": "invited@example.com", "role": "viewer" });
        let invitation = desk.done("POST", &format!("/accounts/{account}/members"), &guest).await.id();
        let user = desk.person(&format!("{account}@example.com"), Some(&account), Role::Viewer).await;
        Objects { account, token, key, user, invitation }
    }

    /// The same as if they were of another account.
    fn in_account(&self, account: &str) -> Objects {
        let Objects { token, key, user, invitation, .. } = self;
        let copies = [token, key, user, invitation].map(Clone::clone);
        let [token, key, user, invitation] = copies;
        Objects { account: account.to_owned(), token, key, user, invitation }
    }

    /// The path of an operation on them.
    fn path(&self, route: &Route, others: &OfOperators) -> String {
        let is_of_account = route.path.starts_with("/accounts/{account}");
        let (key, invitation) =
            if is_of_account { (&self.key, &self.invitation) } else { (&others.key, &others.invitation) };
        let value = if route.id == "removeDomain" { "shop.example.com" } else { "203.0.113.0/24" };
        let takes_value = route.query.iter().any(|parameter| parameter.name == "value");
        let query = if takes_value { format!("?value={value}") } else { String::new() };
        let path = route.path.replace("{account}", &self.account).replace("{token}", &self.token);
        let path = path.replace("{key}", key).replace("{product}", "plate").replace("{plan}", "gold");
        let path = path.replace("{user}", &self.user).replace("{invitation}", invitation).replace("{notice}", "1");
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
        "getPlan" | "getBilling" => Some(404),
        "getShadow" | "promoteShadow" | "dropShadow" | "getLimits" | "listNotices" | "publishNotice"
        | "closeNotice" | "getCredits" | "listCreditEntries" | "grantCredits" | "adjustCredits" => Some(503),
        _ => None,
    }
}

/// What an operation answers to those whom its row lets in.
fn success_of(route: &Route) -> u16 {
    expected_without(route).unwrap_or(route.effect.status().as_u16())
}

/// The walk: one operation after another, each as every role.
struct Walk {
    desk: Desk,
    document: Value,
    /// What makes the names of each step its own.
    number: usize,
    asked: usize,
    let_in: usize,
}

/// One operation, as somebody.
struct Visit<'w> {
    desk: &'w Desk,
    document: &'w Value,
    route: &'w Route,
    role: Role,
    number: usize,
    others: OfOperators,
    key: String,
}

impl Visit<'_> {
    /// The answer to `key`, which the document has to have.
    async fn ask(&self, key: &str, objects: &Objects) -> Answer {
        let path = objects.path(self.route, &self.others);
        let answer = self.desk.ask(key, self.route.method.as_str(), &path, &body(self.route, self.number)).await;
        assert_documented(self.document, self.route, &answer);
        answer
    }

    /// What is asked of another account's objects, where the key is of `own`'s account or of an operator's.
    async fn of_foreign(&self, own: &Objects, foreign: &Objects) {
        let (route, role) = (self.route, self.role);
        let is_bound = operator(role).is_none();
        let answer = self.ask(&self.key, foreign).await;
        let nothing = foreign.in_account(&"0".repeat(32));
        let of_nothing = self.ask(&self.key, &nothing).await;
        let expected = match (route.who.allows(role), is_bound) {
            (false, _) => 403,
            (true, true) => 404,
            (true, false) => success_of(route),
        };
        assert_eq!(answer.status, expected, "{} as {role:?} of a foreign account: {}", route.id, answer.body);
        if is_bound {
            assert_eq!(answer.bytes, of_nothing.bytes, "{}: another's account is as one that is not", route.id);
        } else {
            assert!([403, 404].contains(&of_nothing.status), "{}: {of_nothing:?}", route.id);
        }
        // What is another's is not there in the own account either.
        if ["{token}", "{key}", "{user}", "{invitation}"].iter().any(|object| route.path.contains(object)) {
            let mixed = foreign.in_account(&own.account);
            let answer = self.ask(&self.key, &mixed).await;
            let expected = if route.who.allows(role) { 404 } else { 403 };
            assert_eq!(answer.status, expected, "{} as {role:?}: {}", route.id, answer.body);
        }
    }
}

impl Walk {
    /// New objects, since operations change and end what they are asked for.
    async fn objects(&mut self) -> Objects {
        self.number += 1;
        Objects::new(&self.desk, &format!("acme {}", self.number)).await
    }

    /// An operation as a role: without its scope, of a foreign account, and of the own one.
    async fn as_role(&mut self, route: &Route, role: Role, scopes: &[&str]) {
        let (own, foreign) = (self.objects().await, self.objects().await);
        let desk = &self.desk;
        let of_key = json!({ "name": "of walk", "role": "auditor", "scopes": ["read"] });
        let key = desk.done("POST", "/keys", &of_key).await.id();
        let of_guest = json!({ "email": "invited@example.com", "role": "auditor" });
        let invitation = desk.done("POST", "/users", &of_guest).await.id();
        let others = OfOperators { key, invitation };
        let bound = operator(role).is_none().then_some(&*own.account);
        let key = desk.key(role, bound, scopes, None).await;
        let less: Vec<&str> = scopes.iter().copied().filter(|scope| *scope != route.scope.word()).collect();
        let lesser = desk.key(role, bound, &less, None).await;
        let visit = Visit { desk, document: &self.document, route, role, number: self.number, others, key };

        let answer = visit.ask(&lesser, &own).await;
        assert_eq!(answer.status, 403, "{} as {role:?} without its scope: {}", route.id, answer.body);
        if route.path.contains("{account}") {
            visit.of_foreign(&own, &foreign).await;
        }
        let answer = visit.ask(&visit.key, &own).await;
        let expected = if route.who.allows(role) { success_of(route) } else { 403 };
        assert_eq!(answer.status, expected, "{} as {role:?}: {}", route.id, answer.body);
        // There can be so many keys of operators, and the walk takes one for each step.
        let forget = "UPDATE management_key SET state = 'revoked' WHERE name = 'of walk'";
        let forgotten = self.desk.api.store.maintain(move |connection| Ok(connection.execute(forget, ())?)).await;
        assert!(forgotten.is_ok());
        self.let_in += usize::from(expected < 300);
        self.asked += 1;
    }

    /// An operation with keys that are none.
    async fn as_nobody(&mut self, route: &Route, ended: &str) {
        let objects = self.objects().await;
        for (key, why) in [
            (&*format!("tg_{}", "0".repeat(64)), "token of lookups"),
            (&format!("tgm_{}", "0".repeat(64)), "not known"),
            (ended, "has ended"),
            ("", "Authorization"),
        ] {
            let others = OfOperators { key: "0".repeat(32), invitation: "0".repeat(32) };
            let path = objects.path(route, &others);
            let answer = self.desk.ask(key, route.method.as_str(), &path, &body(route, self.number)).await;
            assert_eq!(answer.status, 401, "{}: {}", route.id, answer.body);
            assert!(answer.body["detail"].as_str().unwrap().contains(why), "{}: {}", route.id, answer.body);
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            assert_documented(&self.document, route, &answer);
        }
    }
}

#[tokio::test]
async fn every_operation_lets_in_whom_its_row_names_and_nobody_else() {
    let desk = Desk::open().await;
    let document = desk.send("GET", "/api/v1/openapi.json", &[], "").await.body;
    let scopes: Vec<&str> = SCOPES.into_iter().map(Scope::word).collect();
    let mut walk = Walk { desk, document, number: 0, asked: 0, let_in: 0 };
    for route in routes::all().unwrap() {
        for role in Role::ALL.iter().copied() {
            walk.as_role(&route, role, &scopes).await;
        }
        let ended = walk.desk.key(Role::Admin, None, &scopes, Some(2)).await;
        walk.as_nobody(&route, &ended).await;
    }
    let Walk { asked, let_in, .. } = walk;
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
        let is_harmless = !route.effect.changes();
        let tries = ["testToken", "findAccounts", "previewNetworks", "previewDomains"].contains(&route.id);
        assert_eq!(is_harmless && !is_get, tries, "{}", route.id);
        assert!(is_harmless || route.scope != Scope::Read, "{} changes something with the scope read", route.id);
        assert!(route.summary.ends_with('.'), "{}", route.id);
        assert!(
            route.path.contains("{account}") || route.who.member.is_none() || route.scope == Scope::Read && is_get,
            "{} lets keys of an account in without naming one",
            route.id
        );
    }
}
