//! What tests of all pages need beside a bench: what is in an account, people of every role, and the API as somebody who
//! may do everything.

use axum::http::Method;
use serde_json::{Value, json};

use super::page::Page;
use super::sign_in::testing::{Answer, Bench, Browser};
use crate::ledger::store::accounts::AccountDraft;
use crate::ledger::store::records::{AccountProduct, AccountTerms, ProductFunds, Role, Terms};
use crate::ledger::store::users::{self, UserDraft};
use crate::ledger::store::{Via, memberships};
use crate::operate::api::caller::{Caller, SCOPES};
use crate::operate::api::client::Asked;

impl Bench {
    /// Asks the API as somebody who may do everything, which has to work.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let caller = Caller {
            id: String::new(),
            via: Via::CommandLine,
            actor: "test".to_owned(),
            role: Role::Admin,
            account: None,
            scopes: SCOPES.to_vec(),
        };
        let asked = match method {
            Method::GET => Asked::get(path),
            method => Asked::change(method, path, "*", (!body.is_null()).then_some(body)).once(unique()),
        };
        let answer = self.inside.ask(caller, None, &asked).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        answer.read().unwrap_or_else(|_| panic!("{} {path}: {} {text}", asked.method, answer.status))
    }

    /// The id of what is made.
    pub async fn made(&self, path: &str, body: Value) -> String {
        id(&self.ask(Method::POST, path, body).await)
    }

    /// The version of what is at a path.
    async fn version(&self, path: &str) -> String {
        self.ask(Method::GET, path, Value::Null).await["version"].to_string()
    }

    /// The id of a user who is a member of an account.
    pub async fn user_of(&self, account: &str, email: &str, display: &str) -> String {
        let (account, email, display) = (account.to_owned(), Some(email.to_owned()), display.to_owned());
        let draft = UserDraft { email, display, ..UserDraft::default() };
        self.done(move |writing| {
            let user = users::create(writing, &draft)?;
            memberships::add(writing, &account, &user.id, Role::Viewer)?;
            Ok(user.id)
        })
        .await
    }

    /// The number of a new notice.
    pub async fn notice(&self, text: &str) -> String {
        let notices = self.ask(Method::POST, "/notices", json!({ "text": text })).await;
        notices["items"].as_array().unwrap().iter().filter_map(|item| item["id"].as_i64()).max().unwrap().to_string()
    }

    /// What of the store's file changes with every commit to it.
    pub async fn commits(&self) -> i64 {
        let read = self.store.read(|connection| Ok(connection.query_row("PRAGMA data_version", (), |row| row.get(0))?));
        read.await.unwrap()
    }
}

/// An account that has credits for a product.
pub fn with_credits(name: &str, display: &str) -> AccountDraft {
    let funds = ProductFunds::Credits { first_grant: 1000 };
    let products = vec![AccountProduct { product: "phone".to_owned(), funds }];
    let (name, display) = (name.to_owned(), display.to_owned());
    AccountDraft { name, display, terms: AccountTerms::Own(Terms::default()), products }
}

/// A text that nothing else is.
pub fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn id(made: &Value) -> String {
    let ids = [&made["id"], &made["token"]["id"], &made["key"]["id"], &made["invitation"]["id"]];
    ids.into_iter().find_map(Value::as_str).unwrap_or_else(|| panic!("{made}")).to_owned()
}

/// What pages are about: an account, with a token whose lists are on trial, a key, a member, and an invitation; and what
/// operators have.
#[derive(Clone, Debug)]
pub struct Objects {
    pub account: String,
    pub name: String,
    pub token: String,
    pub token_name: String,
    pub key: String,
    pub user: String,
    pub invitation: String,
    pub operators_key: String,
    pub operators_invitation: String,
    /// The number of a notice of the status page.
    pub notice: String,
    /// What forms say that they were made from.
    pub account_version: String,
    pub token_version: String,
    pub networks_version: String,
    pub domains_version: String,
    pub alerts_version: String,
}

impl Objects {
    /// Those of a new account.
    pub async fn new(bench: &Bench) -> Objects {
        let name = format!("acme {}", unique());
        let account = bench.made("/accounts", json!({ "name": name, "terms": { "own": {} } })).await;
        Objects::of(bench, account, name, "plain").await
    }

    /// Those of an account, under a name and with notes of this text.
    pub async fn of(bench: &Bench, account: String, name: String, text: &str) -> Objects {
        let base = format!("/accounts/{account}");
        let body = json!({ "name": text, "products": ["plate"] });
        let token = bench.made(&format!("{base}/tokens"), body).await;
        for (kind, value, other) in
            [("networks", "203.0.113.0/24", "192.0.2.9"), ("domains", "shop.example.com", "app.example.com")]
        {
            let entries = [json!({ "value": value, "note": text }), json!({ "value": other })];
            let list = json!({ "mode": "any", "entries": entries, "confirm_within": "15m" });
            bench.ask(Method::PUT, &format!("{base}/tokens/{token}/{kind}"), list).await;
        }
        let key = json!({ "name": text, "role": "viewer", "scopes": ["read"] });
        let key = bench.made(&format!("{base}/keys"), key).await;
        let guest = json!({ "email": "invited@example.com", "role": "viewer" });
        let invitation = bench.made(&format!("{base}/members"), guest).await;
        let user = bench.user_of(&account, &format!("{}@example.com", unique()), text).await;
        let of_operators = json!({ "name": text, "role": "auditor", "scopes": ["read"] });
        let operators_key = bench.made("/keys", of_operators).await;
        let guest = json!({ "email": "invited@example.com", "role": "auditor" });
        let operators_invitation = bench.made("/users", guest).await;
        Objects {
            account_version: bench.version(&base).await,
            token_version: bench.version(&format!("{base}/tokens/{token}")).await,
            networks_version: bench.version(&format!("{base}/tokens/{token}/networks")).await,
            domains_version: bench.version(&format!("{base}/tokens/{token}/domains")).await,
            alerts_version: bench.version(&format!("{base}/alerts/settings")).await,
            token_name: text.to_owned(),
            account,
            name,
            token,
            key,
            user,
            invitation,
            operators_key,
            operators_invitation,
            notice: "1".to_owned(),
        }
    }

    /// The same as if they were of another account.
    pub fn in_account(&self, account: &str) -> Objects {
        Objects { account: account.to_owned(), ..self.clone() }
    }

    /// The path of a page about them.
    pub fn path(&self, page: &Page) -> String {
        self.filled_in(page.path)
    }

    /// A path of a page with its values.
    pub fn filled_in(&self, path: &str) -> String {
        let of_account = path.starts_with("/accounts/");
        let (key, invitation) =
            if of_account { (&self.key, &self.invitation) } else { (&self.operators_key, &self.operators_invitation) };
        let values = [
            ("{account}", &*self.account),
            ("{token}", &self.token),
            ("{key}", key),
            ("{user}", &self.user),
            ("{invitation}", invitation),
            ("{product}", "phone"),
            ("{act}", "disable"),
            ("{notice}", &self.notice),
            ("{ticket}", "none"),
            ("{problem}", "token-expired"),
        ];
        let path = values.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
        assert!(!path.contains('{'), "{path} has a value that the tests have nothing for");
        path
    }
}

/// Somebody with a browser.
pub struct Person<'b> {
    pub name: &'static str,
    pub role: Option<Role>,
    /// The id of the user; empty for nobody.
    pub id: String,
    pub browser: Browser<'b>,
    /// The word of the session.
    pub word: String,
}

impl<'b> Person<'b> {
    /// Somebody who has not signed in.
    pub fn nobody(bench: &'b Bench) -> Person<'b> {
        let (id, word) = (String::new(), String::new());
        Person { name: "nobody", role: None, id, browser: bench.browser(), word }
    }

    /// Somebody who has signed in: a member of an account, or an operator.
    pub async fn new(bench: &'b Bench, name: &'static str, account: Option<&str>, role: Role) -> Person<'b> {
        let email = format!("{}@example.com", name.replace(' ', "-"));
        let browser = bench.member(&email, account, role).await;
        let word = browser.get("/me").await.csrf().to_owned();
        Person { name, role: Some(role), id: bench.user(&email).await.id, browser, word }
    }

    /// Everybody: of the first account, the owner of the second one, and operators.
    pub async fn all(bench: &'b Bench, own: &str, other: &str) -> Vec<Person<'b>> {
        let mut people = vec![Person::nobody(bench)];
        for (name, account, role) in [
            ("viewer", Some(own), Role::Viewer),
            ("member", Some(own), Role::Member),
            ("owner", Some(own), Role::Owner),
            ("owner of another", Some(other), Role::Owner),
            ("auditor", None, Role::Auditor),
            ("support", None, Role::Support),
            ("admin", None, Role::Admin),
        ] {
            people.push(Person::new(bench, name, account, role).await);
        }
        people
    }

    pub fn is_operator(&self) -> bool {
        self.role.is_some_and(|role| !role.is_of_account())
    }

    /// Sends a form with a word, and with headers beside those of a page of the portal.
    pub async fn post(&self, path: &str, form: &Form, word: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(form).append_pair("csrf", word);
        self.browser.sending(headers).send("POST", path, text.finish()).await
    }
}

/// Names and values.
pub type Form = Vec<(&'static str, String)>;
