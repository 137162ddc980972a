//! Management calls of several clients at once, and what each of them knows of what it has changed: after a crash the
//! store has to be as they know it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::api::{Answer, ask, try_ask};

/// The next pseudo-random number, the same sequence in each run.
pub fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// Credits that each account begins with.
pub const FIRST_GRANT: u64 = 1000;

/// One call as it is sent, once or again.
#[derive(Clone, Debug)]
pub struct Call {
    method: &'static str,
    path: String,
    key: Option<String>,
    version: Option<String>,
    body: Value,
}

impl Call {
    /// A call that happens once for its key, whatever version is there.
    fn once(path: String, key: String, body: Value) -> Call {
        Call { method: "POST", path, key: Some(key), version: Some("*".to_owned()), body }
    }

    fn send(&self, api: SocketAddr, admin: &str) -> Result<Answer, ureq::Error> {
        let mut headers = Vec::new();
        headers.extend(self.key.as_deref().map(|key| ("Idempotency-Key", key)));
        headers.extend(self.version.as_deref().map(|version| ("If-Match", version)));
        try_ask(api, admin, self.method, &self.path, &headers, &self.body)
    }
}

/// A client, which changes accounts of its own.
pub struct Caller {
    name: String,
    admin: String,
    random: u64,
    calls: usize,
    accounts: Vec<String>,
    tokens: Vec<String>,
    /// What it was answered last of each object, by its path.
    known: BTreeMap<String, Value>,
    /// Credits that were granted to each account.
    granted: BTreeMap<String, u64>,
    /// Lookups that have to pass or to be refused: tokens, and the status.
    pub secrets: BTreeMap<String, String>,
    /// Calls with a key that were answered, and with what.
    answered: Vec<(Call, Value)>,
    /// The call that was under way when the connection broke.
    in_doubt: Option<Call>,
    pub acknowledged: usize,
    pub sent_again: usize,
    pub done_before: usize,
}

impl Caller {
    pub fn new(name: String, admin: String, seed: u64) -> Caller {
        Caller {
            name,
            admin,
            random: seed,
            calls: 0,
            accounts: Vec::new(),
            tokens: Vec::new(),
            known: BTreeMap::new(),
            granted: BTreeMap::new(),
            secrets: BTreeMap::new(),
            answered: Vec::new(),
            in_doubt: None,
            acknowledged: 0,
            sent_again: 0,
            done_before: 0,
        }
    }

    /// Calls one after the other until the connection breaks.
    pub fn call_until_it_breaks(&mut self, api: SocketAddr) {
        loop {
            let call = self.next();
            match call.send(api, &self.admin) {
                Ok(answer) => self.learn(&call, answer),
                Err(_) => {
                    self.in_doubt = Some(call);
                    return;
                }
            }
        }
    }

    fn pick(&mut self, from: usize) -> usize {
        usize::try_from(random(&mut self.random, u64::try_from(from).unwrap())).unwrap()
    }

    /// The next call, of whatever kind can be made.
    fn next(&mut self) -> Call {
        self.calls += 1;
        let key = format!("{}-{}", self.name, self.calls);
        let kind = self.pick(12);
        if self.accounts.is_empty() || kind == 0 {
            let funds = json!({ "credits": { "first_grant": FIRST_GRANT } });
            let body = json!({
                "name": key,
                "terms": { "own": { "rates": [] } },
                "products": [{ "product": "phone", "funds": funds }],
            });
            return Call { version: None, ..Call::once("/accounts".to_owned(), key, body) };
        }
        let chosen = self.pick(self.accounts.len());
        let account = self.accounts[chosen].clone();
        if self.tokens.is_empty() || kind < 3 {
            let body = json!({ "name": key, "products": ["phone"] });
            return Call { version: None, ..Call::once(format!("{account}/tokens"), key, body) };
        }
        let chosen = self.pick(self.tokens.len());
        let token = self.tokens[chosen].clone();
        let act = |what: &str, key| Call::once(format!("{token}/{what}"), key, Value::Null);
        match kind {
            3 | 4 => act("disable", key),
            5 | 6 => act("enable", key),
            7 => Call::once(format!("{token}/rotate"), key, json!({ "overlap": "24h" })),
            8 => {
                let amount = 1 + self.pick(50);
                let body = json!({ "amount": amount, "why": "campaign" });
                Call { version: None, ..Call::once(format!("{account}/credits/phone/grants"), key, body) }
            }
            9 => Call {
                method: "PATCH",
                key: None,
                version: self.version(&account),
                ..Call::once(account, String::new(), json!({ "display": key }))
            },
            _ => {
                // In the order in which they are answered.
                let entries: Vec<Value> = (0..=self.pick(40))
                    .map(|number| json!({ "value": format!("127.0.{}.0/24", 100 * number.min(1) + number), "note": key }))
                    .collect();
                Call {
                    method: "PUT",
                    key: None,
                    version: self.version(&token),
                    ..Call::once(format!("{token}/networks"), key, json!({ "mode": "enforce", "entries": entries }))
                }
            }
        }
    }

    /// The version that this client has seen, as a change sends it.
    fn version(&self, path: &str) -> Option<String> {
        Some(self.known.get(path).map_or_else(|| "*".to_owned(), |state| format!("\"{}\"", state["version"])))
    }

    /// Learns what an answer says.
    fn learn(&mut self, call: &Call, answer: Answer) {
        let Answer { status, body, .. } = answer;
        let is_state = |status: u16| status == 409;
        assert!((200..300).contains(&status) || is_state(status), "{call:?}: {status} {body}");
        self.acknowledged += 1;
        if is_state(status) {
            // A token that was replaced cannot be rotated again.
            assert!(call.path.ends_with("/rotate"), "{call:?}: {body}");
            return;
        }
        if call.key.is_some() {
            self.answered.push((call.clone(), body.clone()));
        }
        let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let (of, what) = call.path.rsplit_once('/').unwrap();
        match what {
            "accounts" => {
                let path = format!("/accounts/{}", id(&body));
                self.accounts.push(path.clone());
                self.granted.insert(path.clone(), FIRST_GRANT);
                self.known.insert(path, body);
            }
            "tokens" | "rotate" => {
                let path =
                    format!("/accounts/{}/tokens/{}", body["token"]["account"].as_str().unwrap(), id(&body["token"]));
                if let Some(secret) = body["secret"].as_str() {
                    self.secrets.insert(path.clone(), secret.to_owned());
                }
                self.tokens.push(path.clone());
                self.known.insert(path, body["token"].clone());
                if what == "rotate" {
                    // It has changed as well, and nobody has said how.
                    self.known.remove(of);
                }
            }
            "disable" | "enable" => drop(self.known.insert(of.to_owned(), body)),
            "grants" => {
                let account = call.path.split("/credits").next().unwrap();
                *self.granted.get_mut(account).unwrap() += call.body["amount"].as_u64().unwrap();
            }
            "networks" => {
                // The token has another version, and nothing else of it is known by this.
                self.known.remove(of);
                self.known.insert(call.path.clone(), body);
            }
            _ => drop(self.known.insert(call.path.clone(), body)),
        }
    }

    /// Sends again what was under way: it happens once, whether it was done before the crash or not.
    pub fn send_again(&mut self, api: SocketAddr) {
        let Some(call) = self.in_doubt.take() else { return };
        self.sent_again += 1;
        let answer = call.send(api, &self.admin).unwrap();
        self.done_before += usize::from(answer.replayed);
        if answer.status != 412 {
            return self.learn(&call, answer);
        }
        // A change without a key: its own version is there already, whole.
        self.done_before += 1;
        let found = ask(api, &self.admin, "GET", &call.path, &[], &Value::Null).body;
        match call.method {
            "PUT" => assert_eq!(found["entries"], call.body["entries"], "{call:?}"),
            _ => assert_eq!(found["display"], call.body["display"], "{call:?}"),
        }
        self.known.remove(call.path.trim_end_matches("/networks"));
        self.known.insert(call.path, found);
    }

    /// Compares everything that this client knows with what is there, and sends some of its calls once more.
    pub fn compare(&mut self, api: SocketAddr) {
        for (path, state) in &self.known {
            let found = ask(api, &self.admin, "GET", path, &[], &Value::Null);
            assert_eq!(found.status, 200, "{path}: {}", found.body);
            let mut state = state.clone();
            if path.ends_with("/networks") {
                // Its version is the token's.
                state["version"] = found.body["version"].clone();
            }
            assert_eq!(found.body, state, "{path}");
        }
        for (account, granted) in &self.granted {
            let found = ask(api, &self.admin, "GET", &format!("{account}/credits"), &[], &Value::Null).body;
            assert_eq!(found["items"][0]["granted"].as_u64(), Some(*granted), "{account}: {found}");
        }
        for account in &self.accounts {
            let found = ask(api, &self.admin, "GET", &format!("{account}/tokens?limit=200"), &[], &Value::Null).body;
            let found = found["items"].as_array().unwrap().len();
            let known = self.tokens.iter().filter(|token| token.starts_with(&format!("{account}/"))).count();
            assert_eq!(found, known, "{account} has what was asked for, and nothing else");
        }
        for _ in 0..self.answered.len().min(3) {
            let chosen = self.pick(self.answered.len());
            let (call, body) = self.answered[chosen].clone();
            let again = call.send(api, &self.admin).unwrap();
            assert!(again.replayed, "{call:?}: {}", again.body);
            let mut body = body;
            if body.get("secret").is_some() {
                body["secret"] = Value::Null;
            }
            if !call.path.ends_with("/grants") {
                assert_eq!(again.body, body, "{call:?}");
            }
        }
    }

    /// Tokens with the status that a lookup with each has to have, as far as this client knows.
    pub fn lookups(&self) -> impl Iterator<Item = (&str, u16)> {
        self.secrets.iter().filter_map(|(path, secret)| {
            let state = self.known.get(path)?["state"].as_str()?;
            Some((&**secret, if state == "enabled" { 200 } else { 403 }))
        })
    }

    /// How many accounts it has.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }
}
