//! What is kept for lookups that are sent again: in memory, over a reload, in the store; and what tells of it (contract,
//! section 14).

use std::time::Duration;

use serde_json::Value;

use super::idempotency::{KEY, backend, config, gateway, get, post, told, wait_for};
use crate::support::{CANARY, Gateway, Request, Scratch, VERSIONS, token, until};

#[test]
fn an_account_has_so_many_answers_and_none_that_is_too_large() {
    let backend = backend();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    for number in 0..60 {
        client.request(&get("a", &format!("k-{number}")));
        client.response().assert_success();
    }
    assert_eq!(gateway.metric::<u64>("tollgate_idempotency_answers"), 20);
    assert_eq!(gateway.metric::<u64>("tollgate_idempotency_dropped_total{reason=\"account\"}"), 40);
    assert!(gateway.metric::<u64>("tollgate_idempotency_bytes") < 20 * 1024);
    let replayed = |key: &str| {
        let answer = gateway.send(VERSIONS[0], &get("a", key));
        answer.header("Idempotency-Replayed").is_some()
    };
    assert!(replayed("k-59") && replayed("k-40"), "the newest");
    assert!(!replayed("k-39"), "older ones are not kept");
    for _ in 0..2 {
        let answer = gateway.send(VERSIONS[0], &get("long", "long"));
        assert_eq!((answer.header("Idempotency-Replayed"), answer.number("X-Credits-Charged")), (None, 2));
    }
    assert_eq!(gateway.metric::<u64>("tollgate_idempotency_dropped_total{reason=\"too-large\"}"), 2);
}

#[test]
fn what_is_kept_stays_over_a_reload() {
    let backend = backend();
    let gateway = gateway(&backend);
    assert_eq!(told(&gateway.send(VERSIONS[0], &get("tagged", "k"))), (0, false, 2));
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    // The headers that pass are others, in another order, and prices as well.
    let text = text.replace("answer_headers: [ETag, Link]", "answer_headers: [Content-Language, Link]");
    gateway.replace(
        "tollgate.yaml",
        &text.replace("{ add: 2, if", "{ add: 3, if").replace("{ add: 3 }]\n", "{ add: 4 }]\n"),
    );
    let (status, said) = gateway.ask_admin("POST", "/reload", &[], "");
    assert_eq!(status, 200, "{said}");
    let answer = gateway.send(VERSIONS[0], &get("tagged", "k"));
    assert_eq!(told(&answer), (0, true, 0));
    assert_eq!((answer.header("ETag"), answer.header("Link")), (None, Some("<a>")));
}

/// What was paid is known after a restart, after a crash and to another process, and nothing of it is in clear in the store.
#[test]
fn what_is_kept_is_in_the_store_for_a_restart_and_a_successor() {
    let backend = backend();
    let scratch = Scratch::new();
    let store = scratch.path("tollgate.db");
    let yaml = config(&backend, 100)
        + &format!("ledger: {}\nstore: {{ sqlite: {} }}\n", scratch.ledger("batch"), store.display());
    let version = VERSIONS[0];
    let mut gateway = Gateway::start(&yaml);
    let key = format!("{CANARY}-key");
    let sent = post(&format!(r#"{{"a":1,"b":"{CANARY}-body"}}"#), &key);
    assert_eq!(told(&gateway.send(version, &sent)), (0, false, 2));
    gateway.terminate();
    gateway.wait_for_end(Duration::from_secs(20)).unwrap();
    let mut gateway = Gateway::start(&yaml);
    assert_eq!(told(&gateway.send(version, &sent)), (0, true, 0));
    gateway.send(version, &post("{}", &key)).assert_problem("idempotency-key-reused");
    // A crash loses at most what was kept in the last quarter of a second.
    assert_eq!(told(&gateway.send(version, &get("a", "k"))), (1, false, 2));
    let rows = || {
        let database = rusqlite::Connection::open(&store).unwrap();
        database.query_row("SELECT COUNT(*) FROM kept_answer", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    until("both are in the store", || rows() == 2);
    gateway.kill();
    let mut gateway = Gateway::start(&yaml);
    assert_eq!(told(&gateway.send(version, &get("a", "k"))), (1, true, 0));
    assert_eq!(told(&gateway.send(version, &sent)), (0, true, 0));
    // A successor knows them, and what its predecessor keeps until it ends.
    let (status, said) = gateway.upgrade();
    assert_eq!(status, 200, "{said}");
    assert_eq!(told(&gateway.send(version, &get("a", "k"))), (1, true, 0));
    assert_eq!(backend.requests().len(), 2);
    for file in ["tollgate.db", "tollgate.db-wal"] {
        let bytes = std::fs::read(scratch.path(file)).unwrap_or_default();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has(CANARY) && !has("\"found\""), "{file} has something in clear");
    }
    wait_for(&gateway, "ann", (4, 0));
}

/// An answer that was kept and not delivered is not in the store: after a restart it is looked up anew, and paid once.
#[test]
fn what_was_not_paid_is_not_in_the_store() {
    let backend = backend();
    let scratch = Scratch::new();
    let yaml = config(&backend, 100)
        + &format!("ledger: {}\nstore: {{ sqlite: {} }}\n", scratch.ledger("each"), scratch.path("s.db").display());
    let mut gateway = Gateway::start(&yaml);
    let sent = get("slow", "k");
    let mut client = gateway.connect();
    client.request(&sent);
    backend.wait_for_requests(1);
    drop(client);
    until("the answer is kept", || gateway.metric::<usize>("tollgate_idempotency_answers") == 1);
    std::thread::sleep(Duration::from_millis(600));
    gateway.kill();
    let gateway = Gateway::start(&yaml);
    assert_eq!(told(&gateway.send(VERSIONS[0], &sent)), (1, false, 2));
    assert_eq!(told(&gateway.send(VERSIONS[0], &sent)), (1, true, 0));
    wait_for(&gateway, "ann", (2, 0));
}

/// The reference, OpenAPI, the page of the problem and `explain` tell of it where a product has it.
#[test]
fn pages_and_explain_tell_of_it() {
    let backend = backend();
    let gateway = gateway(&backend);
    let page = |path: &str| gateway.send(VERSIONS[0], &Request::new("GET", path).with("Accept", "*/*"));
    let document = page("/docs/openapi.json").json();
    let header = |path: &str, method: &str, name: &str| {
        let parameters = document["paths"][path][method]["parameters"].as_array().cloned().unwrap_or_default();
        parameters.into_iter().find(|parameter| parameter["name"] == name)
    };
    let key = header("/v1/lookup", "post", KEY).unwrap();
    assert_eq!((key["in"].as_str(), key["required"].as_bool()), (Some("header"), Some(false)));
    assert!(header("/v3/item", "get", KEY).is_none());
    assert!(header("/v2/item", "get", KEY).is_none());
    let reference = header("/v2/item", "get", "Reference-ID").unwrap();
    assert!(reference["description"].as_str().unwrap().contains("pay once"), "{reference}");
    let responses = |path: &str, method: &str| document["paths"][path][method]["responses"].clone();
    assert!(responses("/v1/lookup", "post")["200"]["headers"]["Idempotency-Replayed"].is_object());
    assert!(responses("/v3/item", "get")["200"]["headers"]["Idempotency-Replayed"].is_null());
    let problems = |path: &str, method: &str| responses(path, method)["400"]["x-problems"].to_string();
    assert!(problems("/v1/lookup", "post").contains("idempotency-key-reused"));
    assert!(!problems("/v3/item", "get").contains("idempotency-key-reused"));
    for (path, words) in [
        ("/docs/reference/products/one", "Idempotency-Replayed: true"),
        ("/docs/reference/products/one", "for 1 day"),
        ("/docs/problems/idempotency-key-reused", "Idempotency-Key: "),
    ] {
        let text = String::from_utf8_lossy(page(path).body()).into_owned();
        assert!(text.contains(words), "{path} has no {words}");
    }
    let explain = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["explain", "--config"]).arg(gateway.config()).args(arguments);
        let auth = format!("Auth-Token: {}", token("ann"));
        let output = command.args(["-H", &auth, "/v1/item/a"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = explain(&["-H", "Idempotency-Key: k"]);
    let line = |told: &str| told.lines().find(|line| line.contains("idempotency-key-reused")).unwrap().to_owned();
    assert!(line(&told).contains("  pass  ") && line(&told).contains("products.one.idempotency"), "{told}");
    assert!(line(&explain(&[])).contains("does not apply"));
    let told = explain(&["-H", "Idempotency-Key: a b"]);
    assert!(told.contains("is refused with malformed-request: the key of a request is not"), "{told}");
}

/// The access log says which answers were replayed, and nothing of keys.
#[test]
fn the_access_log_says_what_was_replayed() {
    let backend = backend();
    let yaml = config(&backend, 100) + "ledger: { volatile: true }\naccess_log: { file: access.log }\n";
    let gateway = Gateway::start(&yaml);
    for _ in 0..3 {
        gateway.send(VERSIONS[0], &get("a", &format!("{CANARY}-key"))).assert_success();
    }
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(gateway.file("access.log")).unwrap_or_default();
        assert!(!text.contains(CANARY), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    until("three lines", || lines().len() == 3);
    let told: Vec<(bool, bool)> =
        lines().iter().map(|line| (line["replayed"] == true, line["upstream"] == "lookup")).collect();
    assert_eq!(told, [(false, true), (true, false), (true, false)]);
}
