//! Protection against locking oneself out, from outside: where tokens are used from, drafts that are previewed, and
//! lists that go back by themselves, also after a crash.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::{account, admin_key, ask, done, tollgate};
use crate::support::{Backend, Configuration, Gateway, Request, Scratch, VERSIONS, until};

/// A gateway whose store stays over restarts, with a portal, so that sources are counted.
struct Served {
    backend: Backend,
    scratch: Scratch,
    more: &'static str,
}

impl Served {
    fn new(more: &'static str) -> Served {
        Served { backend: Backend::answering_json(), scratch: Scratch::new(), more }
    }

    fn start(&self) -> Gateway {
        let keys = format!(
            "trusted_proxies: [127.0.0.1/32]\nledger: {{ file: ledger.db }}\n\
             store: {{ sqlite: {}{} }}\napi: {{ listen: $FREE }}\n\
             portal: {{ listen: $FREE, public_url: \"http://127.0.0.1:1\" }}\n",
            self.scratch.path("tollgate.db").display(),
            self.more,
        );
        Gateway::start(&Configuration::new(self.backend.address()).with(&keys).yaml())
    }

    /// Lets the time of what is on trial pass.
    fn pass(&self, minutes: i64) {
        let store = rusqlite::Connection::open(self.scratch.path("tollgate.db")).unwrap();
        store.busy_timeout(Duration::from_secs(5)).unwrap();
        store.execute("UPDATE list_before SET at = at - ?1", [minutes * 60_000]).unwrap();
    }
}

/// A token of a new account: its path, and the token itself.
fn new_token(gateway: &Gateway, key: &str) -> (String, String) {
    let api = gateway.more(0);
    let made = ask(api, key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("initech")).body;
    let tokens = format!("/accounts/{}/tokens", made["id"].as_str().unwrap());
    let body = json!({ "name": "web", "products": ["phone"] });
    let made = ask(api, key, "POST", &tokens, &[("Idempotency-Key", "t")], &body).body;
    (format!("{tokens}/{}", made["token"]["id"].as_str().unwrap()), made["secret"].as_str().unwrap().to_owned())
}

fn lookup(gateway: &Gateway, secret: &str, from: &str) -> u16 {
    let lookup = Request::lookup("live").set("Auth-Token", secret).set("X-Forwarded-For", from);
    gateway.send(VERSIONS[0], &lookup).status()
}

fn list(values: &[&str]) -> Value {
    let entries: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
    json!({ "mode": "enforce", "entries": entries, "confirm_within": "15m" })
}

#[test]
fn a_list_that_locks_everybody_out_goes_back_by_itself_also_after_a_crash() {
    let served = Served::new("");
    let mut gateway = served.start();
    let key = admin_key(&gateway);
    let (of_token, secret) = new_token(&gateway, &key);
    let networks = format!("{of_token}/networks");
    let any = [("If-Match", "*")];
    for round in ["running", "killed"] {
        let put = ask(gateway.more(0), &key, "PUT", &networks, &any, &list(&["198.51.100.0/24"]));
        assert_eq!(put.status, 200, "{}", put.body);
        assert_eq!(lookup(&gateway, &secret, "203.0.113.9"), 403);
        if round == "killed" {
            gateway.kill();
            gateway = served.start();
            assert_eq!(lookup(&gateway, &secret, "203.0.113.9"), 403, "it is on trial still");
            let found = ask(gateway.more(0), &key, "GET", &networks, &[], &Value::Null).body;
            assert_eq!(found["goes_back_at"], put.body["goes_back_at"]);
            gateway.kill();
        }
        served.pass(15);
        if round == "killed" {
            gateway = served.start();
        }
        let begun = Instant::now();
        until("the list before is in force", || lookup(&gateway, &secret, "203.0.113.9") == 200);
        println!("{round}: in force again after {} ms", begun.elapsed().as_millis());
        let found = ask(gateway.more(0), &key, "GET", &networks, &[], &Value::Null).body;
        assert_eq!((&found["mode"], &found["goes_back_at"]), (&json!("any"), &Value::Null));
    }
    // Confirmed in time, it stays.
    ask(gateway.more(0), &key, "PUT", &networks, &any, &list(&["198.51.100.0/24"]));
    let confirmed = ask(gateway.more(0), &key, "POST", &format!("{networks}/confirm"), &any, &Value::Null);
    assert_eq!((confirmed.status, &confirmed.body["goes_back_at"]), (200, &Value::Null));
    served.pass(9);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(lookup(&gateway, &secret, "203.0.113.9"), 403);
    let undone = ask(gateway.more(0), &key, "POST", &format!("{networks}/undo"), &any, &Value::Null);
    assert_eq!((undone.status, lookup(&gateway, &secret, "203.0.113.9")), (200, 200));

    let audit = ask(gateway.more(0), &key, "GET", "/audit?action=token.networks", &[], &Value::Null).body;
    let rows: Vec<(&str, bool)> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["action"].as_str().unwrap(), row["actor"] == "gateway" && row["via"] == "gateway"))
        .collect();
    let back = ("token.networks.go-back", true);
    let put = ("token.networks", false);
    let of_people = [("token.networks.undo", false), ("token.networks.confirm", false), put];
    assert_eq!(rows, [&of_people[..], &[back, put, back, put]].concat());
    assert_eq!(done(&gateway, &["audit", "check"], &[])["whole"], true);
}

#[test]
fn where_a_token_is_used_from_is_known_and_a_draft_says_whom_it_refuses() {
    let served = Served::new("");
    let mut gateway = served.start();
    let key = admin_key(&gateway);
    let (of_token, secret) = new_token(&gateway, &key);
    for (from, requests) in [("203.0.113.9", 6), ("2001:db8::7", 3)] {
        assert!((0..requests).all(|_| lookup(&gateway, &secret, from) == 200));
    }
    let with_page = |origin: &str| {
        let lookup = Request::lookup("live").set("Auth-Token", &secret).set("X-Forwarded-For", "203.0.113.9");
        gateway.send(VERSIONS[1], &lookup.set("Origin", origin)).status()
    };
    assert_eq!(with_page("https://app.example.com:8443"), 200);
    // Refused for another reason: its lists have let it pass.
    let broken = Request::lookup("live").set("Auth-Token", &secret).set("X-Forwarded-For", "198.51.100.7");
    assert_eq!(gateway.send(VERSIONS[0], &broken.set("Accept", "text/html")).status(), 406);
    // Refused by a list: no source.
    let networks = format!("{of_token}/networks");
    let put = |list: &Value| ask(gateway.more(0), &key, "PUT", &networks, &[("If-Match", "*")], list).status;
    assert_eq!(put(&json!({ "mode": "enforce", "entries": [{ "value": "203.0.113.0/24" }] })), 200);
    assert_eq!(lookup(&gateway, &secret, "192.0.2.1"), 403);
    assert_eq!(put(&json!({ "mode": "any", "entries": [] })), 200);
    // The end of the process writes what waits.
    gateway.terminate();
    gateway.wait_for_end(Duration::from_secs(20)).unwrap();
    gateway = served.start();

    let sources = done(&gateway, &["lists", "sources", "initech", "web"], &[]);
    let rows: Vec<(&str, &str, i64)> = sources["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["value"].as_str().unwrap(), row["requests"].as_i64().unwrap()))
        .collect();
    let wanted = [
        ("domain", "(none)", 10),
        ("network", "203.0.113.9", 7),
        ("network", "2001:db8::7", 3),
        ("domain", "app.example.com", 1),
        ("network", "198.51.100.7", 1),
    ];
    let sorted = |rows: &[(&'static str, &'static str, i64)]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows
    };
    let mut found = rows.clone();
    found.sort_unstable();
    assert_eq!((found, &sources["requests"]), (sorted(&wanted), &json!(11)));
    let preview = ["lists", "preview", "initech", "web", "networks", "203.0.113.0/24", "198.51.100.7"];
    let told = done(&gateway, &preview, &[]);
    assert_eq!((&told["refused"][0]["value"], &told["refused_requests"]), (&json!("2001:db8::7"), &json!(3)));
    let text = String::from_utf8(tollgate(&gateway, &preview, &[]).stdout).unwrap();
    assert!(
        text.contains("refuses 2001:db8::7: 3 requests, the last at 20") && text.contains("; add 2001:db8::7"),
        "{text}"
    );
    assert!(text.contains("refuses 3 of 11 requests of the last seven days (27.3 %)"), "{text}");
    assert_eq!(gateway.metric::<u64>("tollgate_sources_left_out_requests_total"), 0);

    // The same by commands: on trial, confirmed, undone.
    let set = ["lists", "set", "initech", "web", "networks", "203.0.113.0/24", "--confirm-within", "15m"];
    assert!(done(&gateway, &set, &[])["goes_back_at"].is_string());
    let shown = tollgate(&gateway, &["lists", "show", "initech", "web", "networks"], &[]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("on trial: the list before comes back at 20") && shown.contains("can be undone until"),
        "{shown}"
    );
    assert!(done(&gateway, &["lists", "confirm", "initech", "web", "networks"], &[])["goes_back_at"].is_null());
    assert_eq!(done(&gateway, &["lists", "undo", "initech", "web", "networks"], &[])["mode"], "any");
    let refused = tollgate(&gateway, &["lists", "confirm", "initech", "web", "networks"], &[]);
    assert!(!refused.status.success());
}

#[test]
fn of_addresses_no_more_is_kept_than_the_operator_wants() {
    for (addresses, expected) in [(", addresses: masked", Some("203.0.113.0/24")), (", addresses: off", None)] {
        let served = Served::new(addresses);
        let gateway = served.start();
        let key = admin_key(&gateway);
        let (of_token, secret) = new_token(&gateway, &key);
        assert_eq!(lookup(&gateway, &secret, "203.0.113.9"), 200);
        let sources = || ask(gateway.more(0), &key, "GET", &format!("{of_token}/sources"), &[], &Value::Null).body;
        let used = || ask(gateway.more(0), &key, "GET", &of_token, &[], &Value::Null).body["last_used_at"].clone();
        until("the request is counted", || used().is_string());
        let Some(expected) = expected else {
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(sources()["items"], json!([]));
            continue;
        };
        until("its source is written", || sources()["requests"] == 1);
        let values: Vec<Value> =
            sources()["items"].as_array().unwrap().iter().map(|row| row["value"].clone()).collect();
        assert!(values.contains(&json!(expected)) && values.len() == 2, "{values:?}");
    }
}
