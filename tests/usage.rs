//! Usage, refusals and the last use of tokens from outside: the real program, its store, a restart in between, and
//! the command line that shows them.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Backend, CANARY, Gateway, Request, Scratch, VERSIONS, paying, until};

/// Runs a command about the configuration of a gateway; what it prints.
fn told(gateway: &Gateway, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(words).env("TOLLGATE_CONFIG", gateway.config()).env_remove("TOLLGATE_API_KEY");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The rows that a command prints as JSON.
fn rows(gateway: &Gateway, words: &[&str]) -> Vec<Value> {
    let text = told(gateway, &[words, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Account, outcome, requests and credits of each row, added up over the hours.
fn usage(gateway: &Gateway) -> Vec<(String, String, i64, i64)> {
    let mut sums: Vec<(String, String, i64, i64)> = Vec::new();
    for row in rows(gateway, &["usage"]) {
        let text = |key: &str| row[key].as_str().unwrap_or("answered").to_owned();
        let (account, outcome) = (text("account"), text("outcome"));
        let (requests, credits) = (row["requests"].as_i64().unwrap(), row["credits"].as_i64().unwrap());
        match sums.iter_mut().find(|(known, of, ..)| (known, of) == (&account, &outcome)) {
            Some((_, _, sum, paid)) => (*sum, *paid) = (*sum + requests, *paid + credits),
            None => sums.push((account, outcome, requests, credits)),
        }
    }
    sums.sort();
    sums
}

#[test]
fn what_is_used_and_refused_is_told_and_kept_over_a_restart() {
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let store = scratch.path("tollgate.db");
    let yaml = format!(
        "trusted_proxies: [127.0.0.1/32]\nstore: {{ sqlite: {} }}\napi: {{ listen: $FREE }}\n{}",
        store.display(),
        paying(backend.address(), &scratch.ledger("batch"), &[("acme", "100"), ("bee", "0")])
    );
    let mut gateway = Gateway::start(&yaml);
    let mut charged = 0;
    let mut lookup = |gateway: &Gateway, request: &Request, expected: u16| {
        for version in VERSIONS {
            let answer = gateway.send(version, request);
            assert_eq!(answer.status(), expected, "{answer:?}");
            charged += answer.header("x-credits-charged").map_or(0, |charge| charge.parse().unwrap());
        }
    };
    let each = i64::try_from(VERSIONS.len()).unwrap();
    let acme = Request::lookup("acme");
    lookup(&gateway, &acme, 200);
    lookup(&gateway, &acme.clone().with("Origin", "https://pages.example.org:8443"), 403);
    lookup(&gateway, &Request::lookup("bee"), 403);
    lookup(&gateway, &Request::lookup("nobody").with("X-Forwarded-For", "203.0.113.9"), 401);
    let made = told(
        &gateway,
        &["accounts", "create", "stored", "--rate", "600/min", "--product", "phone=unmetered", "--json"],
    );
    assert!(made.contains("stored"), "{made}");
    let made = told(&gateway, &["tokens", "create", "stored", "web", "--product", "phone", "--json"]);
    let secret = serde_json::from_str::<Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned();
    told(&gateway, &["lists", "set", "stored", "web", "networks", "198.51.100.0/24", "--mode", "watch", "--json"]);
    until("all three changes are in force", || gateway.metric::<u64>("tollgate_store_version") == 3);
    lookup(&gateway, &Request::lookup("acme").set("Auth-Token", &secret), 200);
    // The end of the process writes what waits.
    gateway.terminate();
    gateway.wait_for_end(Duration::from_secs(20)).unwrap();
    let gateway = Gateway::start(&yaml);
    lookup(&gateway, &acme, 200);

    let row = |account: &str, outcome: &str, requests: i64, credits: i64| {
        (account.to_owned(), outcome.to_owned(), requests, credits)
    };
    let wanted = [
        row("acme", "answered", 2 * each, charged),
        row("acme", "domain-not-allowed", each, 0),
        row("bee", "credits-insufficient", each, 0),
        row("stored", "answered", each, 0),
    ];
    until("everything is written", || usage(&gateway)[0].2 == 2 * each);
    assert_eq!(usage(&gateway), wanted);
    assert!(charged > 0);
    let watched: i64 = rows(&gateway, &["usage", "--account", "stored", "--by", "day"])
        .iter()
        .map(|row| row["watched_networks"].as_i64().unwrap())
        .sum();
    assert_eq!(watched, each);

    let refusals = rows(&gateway, &["refusals"]);
    let of = |problem: &str| -> Vec<&Value> { refusals.iter().filter(|row| row["problem"] == problem).collect() };
    for (problem, account, address, host) in [
        ("domain-not-allowed", "acme", "", "pages.example.org"),
        ("credits-insufficient", "bee", "", ""),
        ("token-unknown", "", "203.0.113.9", ""),
        ("ip-not-allowed", "stored", "127.0.0.1", ""),
    ] {
        let found = of(problem);
        assert_eq!(found.iter().map(|row| row["requests"].as_i64().unwrap()).sum::<i64>(), each, "{problem}");
        for row in found {
            let text = |key: &str| row[key].as_str().unwrap_or_default();
            assert_eq!((text("account"), text("address"), text("host")), (account, address, host), "{row}");
            assert_eq!(row["watched"], problem == "ip-not-allowed");
            assert!(text("at").ends_with(":00.000Z") && text("transaction_id").len() == 36, "{row}");
        }
    }
    assert!(!rows(&gateway, &["tokens", "list", "stored"])[0]["last_used_at"].is_null());

    let sheet = told(&gateway, &["usage", "--csv", "--account", "acme"]);
    assert!(sheet.starts_with("at,account,token,product,outcome,requests,credits,"), "{sheet}");
    assert!(sheet.lines().count() >= 3 && sheet.lines().skip(1).all(|line| line.contains(",acme,acme,phone,")));
    for people in ["usage", "refusals"] {
        assert!(told(&gateway, &[people]).lines().count() > 3);
    }
    assert_eq!(gateway.metric::<u64>("tollgate_usage_left_out_requests_total"), 0);
    assert_eq!(gateway.metric::<u64>("tollgate_usage_write_failures_total"), 0);

    // Neither tokens nor numbers are in the store, of which both have the word.
    let mut written = Vec::new();
    for name in ["tollgate.db", "tollgate.db-wal"] {
        written.extend(std::fs::read(scratch.path(name)).unwrap_or_default());
    }
    assert!(written.len() > 4096);
    assert!(!written.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
}
