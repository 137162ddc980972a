//! Tests in the configuration, from outside: at `check`, at the start, at a reload and an upgrade, and made by
//! `tollgate test --record`. None of their requests reaches a backend or is counted.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::api::{account, admin_key, ask};
use crate::support::{Backend, CANARY, Gateway, Request, VERSIONS, api, directory, paying, token, until};

/// A test of a lookup with the token of an account, which is named.
fn lookup(name: &str, account: &str, rest: &str) -> String {
    format!(
        "  - name: {name}\n    request:\n      path: /phone/validate/v2\n      account: {account}\n      token: {account}\n\
         \x20     headers: {{ Content-Type: application/json }}\n      body: {{ number: \"+44 7400 123456\" }}\n    {rest}\n"
    )
}

const ASKED: &str = "expect: { upstream: asked, held: 1 }";

/// The running configuration with other text at its end.
fn with(gateway: &Gateway, more: &str) {
    let text = fs::read_to_string(gateway.config()).unwrap();
    let kept = text.split("\ntests:\n").next().unwrap().trim_end();
    fs::write(gateway.config(), format!("{kept}\n\ntests:\n{more}")).unwrap();
}

fn reload(gateway: &Gateway) -> (u16, String) {
    gateway.ask_admin("POST", "/reload", &[], "")
}

fn run(words: &[&str], config: &std::path::Path) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(words).arg("--config").arg(config).output().unwrap();
    let all = [&*output.stdout, &output.stderr].concat();
    (output, String::from_utf8(all).unwrap())
}

fn limited(backend: &Backend) -> String {
    paying(backend.address(), "{ volatile: true }", &[("acme", "5"), ("shop", "5")]).replacen(
        "rate: { unlimited: true }",
        "rate: { limit: 2/d, burst: 2 }",
        1,
    )
}

#[test]
fn a_reload_whose_test_fails_changes_nothing_and_says_which() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&limited(&backend));
    let good = lookup("acme may ask", "acme", ASKED);
    with(&gateway, &good);
    assert_eq!(reload(&gateway).0, 200);
    let loads = gateway.metric::<f64>("tollgate_config_reloads_total");
    // The account goes from the list of domains of nobody to one that has no page: its test fails.
    let text = fs::read_to_string(gateway.config()).unwrap();
    fs::write(gateway.config(), text.replacen("absent: allow", "absent: deny", 1)).unwrap();
    let (status, answer) = reload(&gateway);
    assert_eq!(status, 422, "{answer}");
    let expected =
        "tests[0]: the test \\\"acme may ask\\\" fails: expected upstream asked, got never (domain-not-allowed: ";
    assert!(answer.contains(expected), "{answer}");
    gateway.wait_for_output(expected);
    assert_eq!(gateway.metric::<f64>("tollgate_config_reloads_total"), loads);
    assert!(gateway.metric::<f64>("tollgate_config_reload_failures_total") >= 1.0);
    assert_eq!(gateway.send(VERSIONS[0], &Request::lookup("acme")).status(), 200, "what was in force still is");
    // The same by `check`, with the place, for people and programs.
    let (output, told) = run(&["check"], &gateway.config());
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("tollgate.yaml:") && told.contains(": tests[0]: the test \"acme may ask\" fails: "),
        "{told}"
    );
    let (_, told) = run(&["check", "--json"], &gateway.config());
    let document: Value = serde_json::from_str(&told).unwrap();
    let finding = &document["findings"][0];
    assert_eq!(
        (&document["good"], &finding["severity"], &finding["key"]),
        (&false.into(), &"mistake".into(), &"tests[0]".into())
    );
    let line = finding["line"].as_u64().unwrap() as usize;
    let text = fs::read_to_string(gateway.config()).unwrap();
    assert!(text.lines().nth(line - 1).unwrap().contains("name: acme may ask"), "{line}");
    assert!(!told.contains("7400") && !told.contains(CANARY), "{told}");
}

#[test]
fn a_live_token_keeps_its_rate_and_its_credits() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&limited(&backend));
    assert_eq!(gateway.send(VERSIONS[0], &Request::lookup("acme")).status(), 200);
    let mut tests = String::new();
    for number in 0..5 {
        tests += &lookup(&format!("by name {number}"), "acme", "answer: { body: {} }\n    expect: { price: 1 }");
        tests += &format!(
            "  - name: by header {number}\n    request: {{ path: /account/credits, headers: {{ Auth-Token: {} }} }}\n    expect: {{ status: 200 }}\n",
            token("acme")
        );
    }
    for _ in 0..3 {
        with(&gateway, &tests);
        let (status, answer) = reload(&gateway);
        assert_eq!(status, 200, "{answer}");
        tests += &lookup("one more", "shop", ASKED).replace("one more", &format!("more {}", tests.len()));
    }
    // One of two requests of the day is left, and one of five credits is gone.
    let answer = gateway.send(VERSIONS[0], &Request::lookup("acme"));
    let remaining = |name: &str| answer.header(name).unwrap().to_owned();
    assert_eq!(
        (answer.status(), remaining("x-rate-limit-remaining"), remaining("x-credits-remaining")),
        (200, "0".into(), "3".into())
    );
    assert_eq!(gateway.send(VERSIONS[0], &Request::lookup("acme")).status(), 429);
    assert_eq!(backend.requests().len(), 2, "no request of a test was sent");
    // The configuration that is shown has the tests, without the token.
    let (_, shown) = gateway.ask_admin("GET", "/config", &[], "");
    assert!(shown.contains("by header 4") && !shown.contains(CANARY), "{shown}");
    assert!(!gateway.output().contains(CANARY));
}

#[test]
fn the_start_and_an_upgrade_refuse_tests_that_fail() {
    let backend = Backend::answering_json();
    let yaml = limited(&backend);
    let mut gateway = Gateway::start(&yaml);
    let failing = format!("tests:\n{}", lookup("nobody pays", "acme", "expect: { held: 0 }"));
    let told = gateway.fails_to_start(&format!("{yaml}{failing}"));
    assert!(told.contains("the test \"nobody pays\" fails: expected 0 credits held, got 1"), "{told}");
    with(&gateway, &lookup("nobody pays", "acme", "expect: { held: 0 }"));
    let (status, answer) = gateway.upgrade();
    assert!(status != 200 && answer.contains("nobody pays"), "{status} {answer}");
    assert_eq!(gateway.send(VERSIONS[0], &Request::lookup("acme")).status(), 200, "the process before serves on");
}

#[test]
fn accounts_of_the_store_are_tested_where_they_are_known() {
    let backend = Backend::answering_json();
    let gateway = api::gateway(&backend, "");
    let (key, at) = (admin_key(&gateway), gateway.more(0));
    let made = ask(at, &key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("initech")).body;
    let path = format!("/accounts/{}/tokens", made["id"].as_str().unwrap());
    let body = serde_json::json!({ "name": "initech", "products": ["phone"] });
    let made = ask(at, &key, "POST", &path, &[("Idempotency-Key", "b")], &body).body;
    let secret = made["secret"].as_str().unwrap().to_owned();
    let sends = || gateway.send(VERSIONS[0], &Request::lookup("live").set("Auth-Token", &secret)).status();
    until("the token is in force", || sends() == 200);
    let named = lookup("of the store", "initech", "expect: { upstream: asked }");
    let by_token = named.replace("of the store", "by its token");
    let by_token = by_token.replace("      account: initech\n      token: initech\n", "");
    let by_token = by_token.replace("headers: { ", &format!("headers: {{ Auth-Token: \"{secret}\", "));
    with(&gateway, &format!("{named}{by_token}"));
    let (status, answer) = reload(&gateway);
    assert_eq!((status, sends()), (200, 200), "{answer}");
    let (output, told) = run(&["check"], &gateway.config());
    assert!(output.status.success(), "{told}");
    // Without the store nobody knows.
    let elsewhere = directory();
    for entry in fs::read_dir(gateway.config().parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()) {
        let is_configuration = entry.extension().is_some_and(|kind| kind == "yaml" || kind == "json");
        if is_configuration {
            fs::copy(&entry, elsewhere.join(entry.file_name().unwrap())).unwrap();
        }
    }
    let (output, told) = run(&["check"], &elsewhere.join(gateway.config().file_name().unwrap()));
    fs::remove_dir_all(elsewhere).unwrap();
    assert!(!output.status.success() && told.contains("the store does not exist yet"), "{told}");
    assert!(!told.contains(&secret));
}

/// What is recorded passes when it is pasted, and has no secret.
#[test]
fn a_recorded_test_passes() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&limited(&backend));
    let config = gateway.config();
    let known = format!("Auth-Token: {}", token("acme"));
    let unknown = format!("Auth-Token: {CANARY}-nobody");
    let target = "/phone/validate/v2";
    let (json, body) = ("Content-Type: application/json", r#"{"number":"+44 7400 123456","x":"${env:X}"}"#);
    let mut tests = String::new();
    for (words, wanted) in [
        (&["-H", &*known, "-H", json, "-d", body][..], "account: acme"),
        (
            &["--account", "shop", "--token", "shop", "-H", json, "-d", body, "--http2", "--from", "2001:db8::7"],
            "held: 1",
        ),
        (&["-H", &known, "-H", "Origin: https://evil.example", "-X", "POST"], "problem: domain-not-allowed"),
        (&["-H", &unknown, "-H", json, "-d", body], "problem: token-unknown"),
        (&["-X", "POST"], "problem: token-missing"),
        (&["-H", &known, "-H", json, "-d", body], "# With `answer`"),
        (&["-H", &known, "-H", json, "-d", "{"], "problem: body-malformed"),
    ] {
        let name = format!("t{}", tests.len());
        let words: Vec<&str> = ["test", "--record", target, "--name", &name].iter().chain(words).copied().collect();
        let (output, told) = run(&words, &config);
        assert!(output.status.success() && told.contains(wanted), "{words:?}: {told}");
        assert!(!told.contains(CANARY), "{told}");
        tests += told.strip_prefix("tests:\n").unwrap();
    }
    let (output, told) = run(&["test", "--record", target, "-H", &known, "-d", &token("acme")], &config);
    assert!(!output.status.success() && told.contains("stands in another part") && !told.contains(CANARY), "{told}");
    with(&gateway, &tests);
    let (output, told) = run(&["test"], &config);
    assert!(output.status.success() && told.ends_with("7 tests, none failed\n"), "{told}\n{tests}");
    assert_eq!(reload(&gateway).0, 200);
    let (output, told) = run(&["test", "--json", "t0"], &config);
    let document: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (output.status.code(), &document["good"], document["tests"].as_array().unwrap().len()),
        (Some(0), &true.into(), 1)
    );
    assert!(backend.requests().is_empty());
}

#[test]
fn the_command_says_what_failed_and_what_is_no_test() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&limited(&backend));
    let tests = lookup("good", "acme", ASKED) + &lookup("bad", "acme", "expect: { problem: token-unknown, held: 2 }");
    with(&gateway, &tests);
    let (output, told) = run(&["test"], &gateway.config());
    assert_eq!(output.status.code(), Some(1), "{told}");
    let expected = "ok      good\nFAILED  bad\n        expected problem token-unknown, got none: the request goes to the upstream\n        \
                    expected 2 credits held, got 1\n        at ";
    assert!(told.starts_with(expected) && told.ends_with("2 tests, 1 failed\n"), "{told}");
    for (words, code) in [
        (&["test", "good"][..], 0),
        (&["test", "nothing"], 2),
        (&["test", "-d", "x"], 2),
        (&["test", "--record"], 2),
        (&["test", "--record", "/a", "/b"], 2),
        (&["test", "--record", "/a", "--account", "nobody", "--token", "t"], 1),
    ] {
        let (output, told) = run(words, &gateway.config());
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
    }
}
