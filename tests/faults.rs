//! A ledger whose file fails: clients get no wrong refusal, nothing is sold that cannot be recorded, and it recovers
//! automatically when the cause is gone.
//!
//! The disk errors are injected by a library between the program and the disk (`support/faults.c`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::support::api::{self, account, admin_key, ask};
use crate::support::{Backend, Configuration, Gateway, PATIENCE, Request, Scratch, VERSIONS, paying};

/// Sends lookups of the paying account until one is answered so; all others are of the other kind.
fn until(gateway: &Gateway, wanted: u16) -> u64 {
    let begun = Instant::now();
    let mut delivered = 0;
    loop {
        let response = gateway.send(VERSIONS[0], &Request::lookup("acme"));
        match response.status() {
            200 => delivered += 1,
            _ => response.assert_problem("internal"),
        }
        if response.status() == wanted {
            return delivered;
        }
        assert!(begun.elapsed() < PATIENCE, "no {wanted}: {}", gateway.output());
    }
}

fn wait_for_metric(gateway: &Gateway, name: &str, wanted: u64) {
    let begun = Instant::now();
    while gateway.metric::<u64>(name) != wanted {
        assert!(begun.elapsed() < PATIENCE, "{name} is not {wanted}");
    }
}

/// The library between the program and the disk.
fn library(scratch: &Scratch) -> PathBuf {
    let library = scratch.path("faults.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/faults.c"), "-ldl"])
        .status();
    assert!(built.unwrap().success());
    library
}

#[test]
fn a_failing_disk_refuses_those_who_pay_until_it_works_again() {
    let scratch = Scratch::new();
    let (library, fault) = (library(&scratch), scratch.path("fault"));
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("TOLLGATE_TEST_FAULT", fault.to_str().unwrap())];
    let backend = Backend::answering_json();
    for durability in ["batch", "each"] {
        let ledger = scratch.ledger(durability);
        let accounts = [("acme", "100000"), ("free", "unmetered")];
        let mut gateway = Gateway::start_with(&paying(backend.address(), &ledger, &accounts), &environment);
        let mut delivered = 0;
        for (round, kind) in ["ENOSPC", "EROFS", "EIO", "FSYNC"].into_iter().enumerate() {
            delivered += until(&gateway, 200);
            std::fs::write(&fault, kind).unwrap();
            delivered += until(&gateway, 500);
            gateway.send(VERSIONS[0], &Request::lookup("free")).assert_success();
            wait_for_metric(&gateway, "tollgate_ledger_usable", 0);
            let (ready, answer) = gateway.ask_admin("GET", "/readyz?verbose", &[], "");
            assert_eq!(
                (ready, answer.contains("requests that cost credits are refused")),
                (503, true),
                "{kind}: {answer}"
            );
            assert_eq!(gateway.ask_admin("GET", "/healthz", &[], "").0, 200, "a restart would not help");
            assert!(gateway.metric::<u64>("tollgate_ledger_failures_total") > round as u64);
            let (status, _) = gateway.ask_admin(
                "POST",
                "/accounts/acme/credits/phone/grants",
                &[("Idempotency-Key", &format!("{durability}-{kind}"))],
                r#"{"amount":1}"#,
            );
            assert_eq!(status, 503, "{kind}");
            std::fs::remove_file(&fault).unwrap();
            delivered += until(&gateway, 200);
            wait_for_metric(&gateway, "tollgate_ledger_usable", 1);
            assert_eq!(gateway.ask_admin("GET", "/readyz", &[], "").0, 200, "{kind}");
        }
        let said = gateway.output();
        let lines = |text: &str| said.lines().filter(|line| line.contains(text)).count();
        // Each fault of an outage is logged once, however often it occurs; a full disk can cause two.
        assert_eq!(lines("can be used again"), 4, "{said}");
        assert!((4..=8).contains(&lines("cannot be used")), "{said}");
        for words in ["the disk is full", "the disk cannot read or write"] {
            assert!(lines(words) >= 1, "{words}: {said}");
        }
        gateway.terminate();
        assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()));
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let spent = scratch.database().query_row("SELECT spent FROM balance", [], read).unwrap();
        assert_eq!(spent as u64, delivered, "every delivered answer is charged once ({durability})");
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(scratch.path(name));
        }
    }
}

#[test]
fn a_gateway_without_a_ledger_has_nothing_to_raise_an_alarm_about() {
    let backend = Backend::answering_json();
    let usable = |yaml: &str| {
        let gateway = Gateway::start(yaml);
        assert_eq!(gateway.ask_admin("GET", "/readyz", &[], "").0, 200);
        let (_, text) = gateway.ask_admin("GET", "/metrics", &[], "");
        text.lines().find_map(|line| line.strip_prefix("tollgate_ledger_usable ")).map(str::to_owned)
    };
    assert_eq!(usable(&Configuration::new(backend.address()).yaml()), None);
    let volatile = paying(backend.address(), "{ volatile: true }", &[("acme", "5")]);
    assert_eq!(usable(&volatile).as_deref(), Some("1"));
}

#[test]
fn a_ledger_that_cannot_be_opened_at_the_start_refuses_only_those_who_pay() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let file = scratch.path("ledger.db");
    let accounts = [("acme", "5"), ("free", "unmetered")];
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &accounts);
    let sound = {
        let mut gateway = Gateway::start(&yaml);
        gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
        gateway.terminate();
        assert!(gateway.wait_for_end(PATIENCE).is_some());
        std::fs::read(&file).unwrap()
    };
    let other_database = {
        let path = scratch.path("other.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        std::fs::read(path).unwrap()
    };
    for (bytes, words) in [
        (Vec::new(), "the file is empty"),
        (b"not a database, but long enough to be looked at as one".repeat(100), "the file is not a ledger"),
        (other_database, "no ledger; name another file"),
        (sound[..sound.len() - 1].to_vec(), "the file was cut short"),
        (sound[..4096].to_vec(), "the file is damaged"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let gateway = Gateway::start(&yaml);
        gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_problem("internal");
        gateway.send(VERSIONS[0], &Request::lookup("free")).assert_success();
        let said = gateway.output();
        assert!(said.contains(words), "{words}: {said}");
        std::fs::write(&file, &sound).unwrap();
        until(&gateway, 200);
        drop(gateway);
        for name in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(scratch.path(name));
        }
    }
}

/// A store that cannot be written refuses changes and says why; requests are judged as before, what is there is read, and
/// changes are taken again when the disk works.
#[test]
fn a_failing_disk_refuses_changes_of_the_store_and_nothing_else() {
    let scratch = Scratch::new();
    let (library, fault) = (library(&scratch), scratch.path("fault"));
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("TOLLGATE_TEST_FAULT", fault.to_str().unwrap()),
        ("TOLLGATE_TEST_FAULT_IN", "tollgate.db"),
    ];
    let backend = Backend::answering_json();
    let gateway = Gateway::start_with(&Configuration::new(backend.address()).with(api::STORE).yaml(), &environment);
    let (key, address) = (admin_key(&gateway), gateway.more(0));
    let made = ask(address, &key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("initech")).body;
    let of_account = format!("/accounts/{}", made["id"].as_str().unwrap());
    let body = serde_json::json!({ "name": "web", "products": ["phone"] });
    let tokens = format!("{of_account}/tokens");
    let token = ask(address, &key, "POST", &tokens, &[("Idempotency-Key", "t")], &body).body;
    let secret = token["secret"].as_str().unwrap();
    let lookup = || gateway.send(VERSIONS[0], &Request::lookup("live").set("Auth-Token", secret)).status();
    for (kind, words) in [
        ("ENOSPC", "the disk is full; free some space"),
        ("EROFS", "the disk cannot read or write"),
        ("EIO", "the disk cannot read or write"),
        ("FSYNC", "the disk cannot read or write"),
    ] {
        std::fs::write(&fault, kind).unwrap();
        let path = format!("{of_account}/suspend");
        let refused = ask(address, &key, "POST", &path, &[("If-Match", "*"), ("Idempotency-Key", kind)], &Value::Null);
        assert_eq!(refused.status, 503, "{kind}: {}", refused.body);
        assert!(refused.body["detail"].as_str().unwrap().contains(words), "{kind}: {}", refused.body);
        assert_eq!(lookup(), 200, "{kind}");
        let read = ask(address, &key, "GET", &of_account, &[], &Value::Null);
        assert_eq!((read.status, &read.body["state"]), (200, &made["state"]), "{kind}");
        std::fs::remove_file(&fault).unwrap();
        for (what, status) in [("suspend", 403), ("resume", 200)] {
            let begun = Instant::now();
            let path = format!("{of_account}/{what}");
            while ask(address, &key, "POST", &path, &[("If-Match", "*")], &Value::Null).status != 200 {
                assert!(begun.elapsed() < PATIENCE, "{kind}: {}", gateway.output());
            }
            assert_eq!(lookup(), status, "{kind}");
        }
        // Only the version has changed meanwhile.
        let path = format!("{of_account}/tokens");
        assert_eq!(ask(address, &key, "GET", &path, &[], &Value::Null).body["items"].as_array().unwrap().len(), 1);
        let now = ask(address, &key, "GET", &of_account, &[], &Value::Null).body;
        assert_eq!((&now["state"], &now["name"]), (&made["state"], &made["name"]));
    }
    assert_eq!(ask(address, &key, "GET", "/audit/check", &[], &Value::Null).body["whole"], true);
}
