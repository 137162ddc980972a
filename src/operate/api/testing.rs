//! The API over a store of its own, for tests: everybody's keys, and requests without a socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::access::Api;
use super::caller::SCOPES;
use super::in_force::InForce;
use super::router::router;
use crate::config::{self, Source};
use crate::ledger::store::keys::{self, KeyDraft};
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::records::Role;
use crate::ledger::store::users::{self, UserDraft};
use crate::ledger::store::{Act, Store, Via, memberships};

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

impl Answer {
    /// A header's text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id of what was made or shown.
    pub fn id(&self) -> String {
        let body = &self.body;
        let ids = [&body["id"], &body["token"]["id"], &body["key"]["id"], &body["invitation"]["id"]];
        let id = ids.into_iter().find_map(Value::as_str);
        id.unwrap_or_else(|| panic!("{body}")).to_owned()
    }
}

/// What requests are judged by.
const CONFIGURATION: &str = "
public_url: https://api.example.com
upstreams: { lookup: { servers: [127.0.0.1:9001] } }
products:
  plate: { upstream: lookup, routes: [POST /lookup], token_headers: [Auth-Token] }
  vat: { upstream: lookup, routes: [GET /vat], token_headers: [Auth-Token] }
accounts:
  filed:
    rate: { unlimited: true }
    tokens: [{ name: web, hash: \"sha256:4b3c1bf421d96f1b49942450483ffb00bad52cbc5be4cc39b9552bb8fa56395c\", products: [plate] }]
";

/// An API with nothing in it but one key.
pub struct Desk {
    service: TowerToHyperService<Router>,
    pub api: Arc<Api>,
    /// A key that may do everything.
    pub admin: String,
    directory: PathBuf,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Desk {
    pub async fn open() -> Desk {
        let directory = std::env::temp_dir().join(format!("tollgate-api-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let store = Arc::new(Store::open(&directory.join("store.db"), Box::new(SystemRandomness)).unwrap());
        let policy = config::parse("gateway.yaml", CONFIGURATION, &Source::from(directory.clone())).unwrap().policy;
        let in_force = InForce::Configuration(Arc::new(policy));
        let api =
            Arc::new(Api { store, ledger: None, recorder: None, reloader: None, in_force, patience: Duration::ZERO });
        let service = TowerToHyperService::new(router(&api).unwrap());
        let mut desk = Desk { service, api, admin: String::new(), directory };
        let scopes: Vec<&str> = SCOPES.into_iter().map(super::caller::Scope::word).collect();
        desk.admin = desk.key(Role::Admin, None, &scopes, None).await;
        desk
    }

    /// A new key.
    pub async fn key(&self, role: Role, account: Option<&str>, scopes: &[&str], ends_at: Option<i64>) -> String {
        let act = Act {
            actor: "test".to_owned(),
            via: Via::CommandLine,
            address: String::new(),
            at_ms: 1,
            idempotency: None,
        };
        let draft = KeyDraft {
            name: role.word().to_owned(),
            account_id: account.map(str::to_owned),
            role,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ends_at,
        };
        let made = self.api.store.write(act, move |writing| keys::create(writing, &draft)).await.unwrap();
        made.value.secret.unwrap()
    }

    /// The id of a new user, who is a member of an account or an operator.
    pub async fn person(&self, email: &str, account: Option<&str>, role: Role) -> String {
        let act = Act {
            actor: "test".to_owned(),
            via: Via::CommandLine,
            address: String::new(),
            at_ms: 1,
            idempotency: None,
        };
        let (account, operator) = (account.map(str::to_owned), (!role.is_of_account()).then_some(role));
        let draft = UserDraft { email: Some(email.to_owned()), operator, ..UserDraft::default() };
        let made = self.api.store.write(act, move |writing| {
            let user = users::create(writing, &draft)?;
            if let Some(account) = &account {
                memberships::add(writing, account, &user.id, role)?;
            }
            Ok(user.id)
        });
        made.await.unwrap().value
    }

    /// Sends a request as it is.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.service.call(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let is_csv = parts.headers.get("content-type").is_some_and(|media_type| media_type == "text/csv");
        let as_text = || Value::String(String::from_utf8(bytes.to_vec()).unwrap());
        let body = if is_csv { as_text() } else { serde_json::from_slice(&bytes).unwrap_or_default() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes, body }
    }

    /// Asks with a key; a body is JSON, and whatever a change needs is there.
    pub async fn ask(&self, key: &str, method: &str, path: &str, body: &Value) -> Answer {
        let authorization = format!("Bearer {key}");
        let once = uuid::Uuid::new_v4().to_string();
        let mut headers = vec![("authorization", &*authorization)];
        if method != "GET" {
            headers.extend([("if-match", "*"), ("idempotency-key", &*once)]);
        }
        if body.is_null() {
            return self.send(method, &format!("/api/v1{path}"), &headers, Body::empty()).await;
        }
        headers.push(("content-type", "application/json"));
        self.send(method, &format!("/api/v1{path}"), &headers, body.to_string()).await
    }

    /// Asks as the one who may do everything, which has to work.
    pub async fn done(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = self.ask(&self.admin, method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer
    }

    /// The id of a new account.
    pub async fn account(&self, name: &str) -> String {
        self.done("POST", "/accounts", &account(name)).await.id()
    }

    /// The id of a new token.
    pub async fn token(&self, account: &str, name: &str) -> String {
        let body = json!({ "name": name, "products": ["plate"] });
        self.done("POST", &format!("/accounts/{account}/tokens"), &body).await.id()
    }
}

/// The body of a new account.
pub fn account(name: &str) -> Value {
    json!({
        "name": name,
        "terms": { "own": { "rates": [{ "period": "minute", "requests": 600, "burst": 600 }] } },
    })
}
