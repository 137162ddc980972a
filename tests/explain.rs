//! `tollgate explain` and a running gateway agree on every request, and no token is ever shown.

use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::option::of as maybe;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tollgate::config::cases::{self, TestCase};
use tollgate::operate::cases::judge::judge;
use tollgate::operate::explain::{self, Asked, Explanation, Outcome, Places, Verdict};
use tollgate::policy::http::head::{Peer, Version as Head};
use tollgate::policy::now::Now;
use tollgate::upstream::made_up::MadeUp;

use crate::contract;
use crate::support::{Backend, CANARY, Configuration, Gateway, Request, Response, VERSIONS, Version, paying, token};

/// Requests that are made up.
const RANDOM_REQUESTS: u32 = 600;

/// Headers whose values are new for each answer, or depend on earlier requests.
const OF_THE_MOMENT: [&str; 10] = [
    "x-credits-remaining",
    "date",
    "transaction-id",
    "reference-id",
    "connection",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
    "ratelimit",
    "content-length",
    "retry-after",
];

struct Pair {
    gateway: Gateway,
    config: tollgate::config::Config,
    places: Places,
}

impl Pair {
    fn of(yaml: &str) -> Pair {
        let gateway = Gateway::start(yaml);
        let (config, places) = explain::read(&gateway.config()).unwrap();
        Pair { gateway, config, places }
    }

    fn explained(&self, version: Version, request: &Request) -> Explanation {
        let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let asked = Asked {
            version: if version == Version::Http1 { Head::Http11 } else { Head::Http2 },
            peer: Peer::Address([127, 0, 0, 1].into()),
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            now: Now { monotonic: Duration::ZERO, unix_seconds, unix_nanos: 0 },
        };
        explain::explain(&self.config, &self.places, &asked)
    }

    /// Asks both; returns the slug of the refusal, if it is one.
    fn agree(&self, version: Version, request: &Request) -> Option<String> {
        let shown = format!("{version:?} {request:.300?}");
        let explained = self.explained(version, request);
        let response = self.gateway.send(version, request);
        assert!(!format!("{explained:?}").contains(CANARY), "a token is told: {shown}");
        self.agree_as_test(version, request, &response, &explained.outcome, &shown);
        let refused: Vec<_> = explained.findings.iter().filter(|finding| finding.verdict == Verdict::Refused).collect();
        match &explained.outcome {
            Outcome::Refused { problem, .. } => {
                assert_eq!(refused.len(), 1, "{shown}\n{refused:#?}");
                assert_eq!(refused[0].problem, *problem, "{shown}");
                same_answer(explained.answer.as_ref(), &response, &shown);
                return Some(problem.clone());
            }
            Outcome::Preflight | Outcome::Told | Outcome::Page => {
                same_answer(explained.answer.as_ref(), &response, &shown);
            }
            Outcome::Forwarded { upstream, .. } if upstream == "down" => {
                response.assert_problem("upstream-unavailable");
            }
            Outcome::Forwarded { .. } => assert_eq!(response.status(), 200, "{shown}\n{response:?}"),
        }
        assert!(refused.is_empty(), "{shown}\n{refused:#?}");
        None
    }

    /// As a test of the configuration, with what the backend has answered, the request comes to what the gateway sent.
    fn agree_as_test(&self, version: Version, request: &Request, response: &Response, outcome: &Outcome, shown: &str) {
        let headers =
            request.headers.iter().map(|(name, value)| Some((name.clone(), String::from_utf8(value.clone()).ok()?)));
        let Some(headers) = headers.collect::<Option<Vec<_>>>() else { return };
        let (answer, wanted) = match outcome {
            // A test is judged as if nobody had asked before.
            Outcome::Refused { problem, .. } if FROM_BEFORE.contains(&&**problem) => return,
            Outcome::Refused { problem, .. } => (None, Some(problem.as_str())),
            Outcome::Forwarded { upstream, .. } if upstream == "down" => {
                (Some(MadeUp::Unreachable), Some("upstream-unavailable"))
            }
            Outcome::Forwarded { .. } => {
                let body = if response.body().is_empty() { b"{}" } else { response.body() };
                (Some(MadeUp::answer(200, &[], body)), None)
            }
            Outcome::Preflight | Outcome::Told | Outcome::Page => (None, None),
        };
        let case = TestCase {
            name: "as a test".into(),
            place: Default::default(),
            request: cases::Request {
                version: if version == Version::Http1 { Head::Http11 } else { Head::Http2 },
                peer: Peer::Address([127, 0, 0, 1].into()),
                method: request.method.clone(),
                target: request.target.clone(),
                headers,
                body: request.body.clone(),
                at: None,
                bearer: None,
            },
            credits: None,
            answer,
            expected: cases::Expected::default(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let came = judge(&case, &self.config.policy, now).unwrap();
        assert_eq!(came.refusal.as_ref().map(|refusal| refusal.problem.as_str()), wanted, "{shown}");
        same_answer(came.answer.as_ref(), response, shown);
        if let Some(charged) = response.header("x-credits-charged") {
            assert_eq!(came.price.map(|price| price.to_string()).as_deref(), Some(charged), "{shown}");
        }
    }
}

/// Refusals that depend on requests before.
const FROM_BEFORE: [&str; 4] = ["rate-exceeded", "quota-exceeded", "concurrency-exceeded", "credits-insufficient"];

/// The explained answer is the one that is sent.
fn same_answer(answer: Option<&explain::Answer>, response: &Response, shown: &str) {
    let answer = answer.unwrap_or_else(|| panic!("no answer: {shown}"));
    assert_eq!(answer.status, response.status(), "{shown}\n{answer:#?}\n{response:?}");
    if !answer.body.is_empty() {
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told.get("error"), response.json().get("error"), "{shown}");
    }
    for (name, value) in &answer.headers {
        if !OF_THE_MOMENT.contains(&&*name.to_ascii_lowercase()) {
            assert_eq!(response.header(name), Some(value.as_str()), "{name}: {shown}");
        }
    }
    for name in ["retry-after", "reference-id", "x-rate-limit-limit", "access-control-allow-origin"] {
        let told = answer.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        assert_eq!(told, response.header(name).is_some(), "{name}: {shown}\n{response:?}");
    }
}

#[test]
fn the_contracts_whole_table_is_explained_as_it_is_answered() {
    let backend = Backend::answering_json();
    let pair = Pair::of(&Configuration::new(backend.address()).yaml());
    for version in VERSIONS {
        for (slug, request) in contract::problems() {
            let agreed = pair.agree(version, &request);
            // One row of the table can only come from a backend.
            let expected = Some(slug).filter(|slug| *slug != "upstream-unavailable");
            assert_eq!(agreed.as_deref(), expected, "{version:?} {request:.300?}");
        }
    }
}

const BODIES: [&str; 10] = [
    r#"{"number":"+44 7400 123456"}"#,
    r#"{"number":"1","cache_value_days":30}"#,
    r#"{"number":"1","cache_value_days":31}"#,
    r#"{"number":"","cache_value_days":31}"#,
    r#"{"number":"1","supplementary_live_status":{"mobile":["ATL"]}}"#,
    r#"{"number":7}"#,
    r#"{"email":"a@b.example"}"#,
    r#"{"number":"1","number":"2"}"#,
    "{",
    "",
];

fn requests() -> impl Strategy<Value = Request> {
    let live = ["live"; 6];
    let others = ["disabled", "expired", "other", "ip", "domain", "domain-or-none", "web", "nobody"];
    let tokens: Vec<&str> = live.iter().chain(&others).copied().collect();
    let first = (
        select(vec!["POST", "POST", "POST", "POST", "GET", "OPTIONS", "PUT", "HEAD"]),
        select(vec![
            "/phone/validate/v2",
            "/phone/validate/v2",
            "/phone/validate/v2?x=1",
            "/phone/validation/v2",
            "/email/validate/v2",
            "/web/v1",
            "/phone/down",
            "/nothing",
            "/problems/token-unknown",
            "/phone/../x",
        ]),
        maybe(select(tokens)),
        select(vec!["Auth-Token", "x-app-key", "auth-token", "Authorization"]),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.9),
    );
    let headers = (
        maybe(select(vec!["application/json", "*/*", "text/html", "application/json;q=0", "application/problem+json"])),
        select(vec!["application/json", "application/json", "application/json; charset=utf-8", "text/plain"]),
        maybe(select(vec!["5", "2", "15", "1", "16", "five", ""])),
        maybe(select(vec!["order 17/4", "a;b", ""])),
        maybe(select(vec!["true", "FALSE", "yes"])),
        maybe(select(vec!["https://app.example.com", "https://a.shop.example.com", "https://evil.example", "null"])),
        maybe(select(vec!["https://app.example.com/page?q", "nonsense"])),
        maybe(select(vec!["203.0.113.5", "198.51.100.7, 127.0.0.1", "unknown", "2001:db8::1"])),
        maybe(select(vec!["POST", "DELETE"])),
    );
    let bodies = select(&BODIES[..]);
    (first, headers, bodies).prop_map(|(first, headers, body)| {
        let (method, target, name, carrier, twice, typed) = first;
        let (accept, content, deadline, reference, metadata, origin, referer, forwarded, wanted) = headers;
        let mut request = Request::new(method, target).body(body);
        for _ in 0..=usize::from(twice) {
            if let Some(name) = name {
                request = request.with(carrier, &token(name));
            }
        }
        let rest = [
            ("Accept", accept),
            ("Content-Type", typed.then_some(content)),
            ("Timeout-Seconds", deadline),
            ("Reference-ID", reference),
            ("Add-Metadata", metadata),
            ("Origin", origin),
            ("Referer", referer),
            ("X-Forwarded-For", forwarded),
            ("Access-Control-Request-Method", wanted),
        ];
        rest.into_iter().fold(request, |request, (name, value)| match value {
            Some(value) => request.with(name, value),
            None => request,
        })
    })
}

#[test]
fn random_requests_are_explained_as_they_are_answered() {
    let backend = Backend::answering_json();
    let pair = Pair::of(&Configuration::new(backend.address()).behind_a_proxy().yaml());
    let config = Config { cases: RANDOM_REQUESTS, failure_persistence: None, ..Config::default() };
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    let outcome = TestRunner::new(config).run(&(requests(), select(VERSIONS.to_vec())), |(request, version)| {
        let slug = pair.agree(version, &request);
        // What is tried must not be the same few rows over and over.
        SEEN.with_borrow_mut(|seen| *seen.entry(slug.unwrap_or_else(|| "passed".to_owned())).or_default() += 1);
        Ok(())
    });
    SEEN.with_borrow(|told| seen.clone_from(told));
    outcome.unwrap_or_else(|error| panic!("{error}"));
    println!("{seen:?}");
    assert!(seen.len() >= 12 && seen.contains_key("passed"), "{seen:?}");
}

thread_local! {
    static SEEN: std::cell::RefCell<std::collections::BTreeMap<String, u32>> = const {
        std::cell::RefCell::new(std::collections::BTreeMap::new())
    };
}

#[test]
fn credits_and_rates_are_explained_as_at_a_first_request() {
    let backend = Backend::answering_json();
    let pair =
        Pair::of(&paying(backend.address(), "{ volatile: true }", &[("rich", "9"), ("poor", "1"), ("none", "0")]));
    let dear = r#"{"number":"1","get_ported_date":true}"#;
    for version in VERSIONS {
        for (account, body, held) in [
            ("none", r#"{"number":"1"}"#, None),
            ("poor", dear, None),
            ("rich", dear, Some(2)),
            ("rich", r#"{"number":"1"}"#, Some(1)),
        ] {
            let request = Request::lookup(account).body(body);
            let slug = pair.agree(version, &request);
            assert_eq!(slug.as_deref(), held.map_or(Some("credits-insufficient"), |_| None), "{account}");
            if let Some(held) = held {
                match pair.explained(version, &request).outcome {
                    Outcome::Forwarded { held: told, .. } => assert_eq!(told, Some(held)),
                    other => panic!("{other:?}"),
                }
            }
        }
        let asked = Request::new("GET", "/account/credits").with("Auth-Token", &token("none"));
        assert_eq!(pair.agree(version, &asked), None);
    }
}

/// A plan's limits, those of a token beside them, and a list that is only watched.
#[test]
fn limits_and_watched_lists_are_explained_with_the_lines_that_say_them() {
    let backend = Backend::answering_json();
    let plan = "ledger: { volatile: true }\nplans:\n  gold: { rates: [10/s, 500/d], quota: { day: 40, month: 900 }, concurrency: 3, products: [phone] }\n";
    let hash = tollgate::policy::account::Digest::of(token("planned").as_bytes()).text();
    let account = format!(
        "  planned:\n    plan: gold\n    tokens: [{{ name: t, hash: \"{hash}\", quota: {{ day: 7 }}, networks: {{ mode: watch, list: [203.0.113.0/24] }} }}]\n"
    );
    let pair = Pair::of(&(Configuration::new(backend.address()).with(plan).yaml() + &account));
    let request = Request::lookup("planned");
    assert_eq!(pair.agree(Version::Http1, &request), None);
    let (config, places) = explain::read(&pair.gateway.config()).unwrap();
    let fresh = Pair { config, places, ..pair };
    let explained = fresh.explained(Version::Http2, &request);
    for (problem, seen, key) in [
        ("ip-not-allowed", "127.0.0.1; the list is only watched, and would refuse this", "networks"),
        (
            "rate-exceeded",
            "account-second: 9 left, 10 in 1 s, account-day: 499 left, 500 in 86400 s after a first request",
            "plans.gold.rates",
        ),
        ("quota-exceeded", "account-quota-day: 39 of 40 a day left", "plans.gold.quota"),
        ("quota-exceeded", "token-quota-day: 6 of 7 a day left", "plans.gold.quota"),
        ("concurrency-exceeded", "at most 3 at a time", "plans.gold.concurrency"),
    ] {
        let finding = explained.findings.iter().find(|finding| finding.problem == problem).unwrap();
        assert!(finding.verdict == Verdict::Pass && finding.seen.contains(seen), "{finding:?}");
        let place = finding.decided_by.as_ref().unwrap();
        assert!(place.key.ends_with(key) && place.written, "{finding:?}");
    }
    // Who has one plain rate has no more than that.
    let explained = fresh.explained(Version::Http2, &Request::lookup("live"));
    for problem in ["quota-exceeded", "concurrency-exceeded"] {
        let finding = explained.findings.iter().find(|finding| finding.problem == problem).unwrap();
        assert_eq!(finding.verdict, Verdict::DoesNotApply, "{finding:?}");
    }
}

// ---- The command ----

fn run(config: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["explain", "--config", config]).args(words).output().unwrap()
}

fn config(name: &str) -> String {
    format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"))
}

const JSON: [&str; 2] = ["-H", "Content-Type: application/json"];

#[test]
fn the_lines_that_decided_are_told_in_whichever_file() {
    let demo = config("demo.yaml");
    let text = std::fs::read_to_string(&demo).unwrap();
    let line = |what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
    for (token, at, row, key, place) in [
        ("demo-expired", "2026-01-01", "token-expired", "expires", "demo-expired,"),
        ("demo-disabled", "2026-01-01", "token-disabled", "disabled", "demo-disabled,"),
        ("demo-other-product", "2026-01-01", "product-mismatch", "products", "demo-other-product,"),
        ("demo-ip", "2026-01-01", "ip-not-allowed", "networks", "demo-ip,"),
        ("demo-domain", "2026-01-01", "domain-not-allowed", "domains", "demo-domain,"),
    ] {
        let header = format!("Auth-Token: {token}");
        let words = ["/phone/validate/v2", "-H", &header, "-d", "{}", "--at", at, "--json"];
        let output = run(&demo, &[&words[..], &JSON].concat());
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["outcome"]["problem"], row);
        let checks = told["checks"].as_array().unwrap();
        let refused = checks.iter().find(|check| check["verdict"] == "refused").unwrap();
        assert_eq!(refused["problem"], row);
        let spot = &refused["decided_by"];
        assert!(spot["key"].as_str().unwrap().ends_with(key), "{spot}");
        assert_eq!((spot["line"].as_u64().unwrap() as usize, &spot["written"]), (line(place), &Value::Bool(true)));
        assert_eq!(spot["file"], demo);
    }
    // A day earlier the expired token was good.
    let words =
        ["/phone/validate/v2", "-H", "Auth-Token: demo-expired", "-d", r#"{"number":"1"}"#, "--at", "2024-12-31"];
    assert_eq!(run(&demo, &[&words[..], &JSON].concat()).status.code(), Some(0));
}

#[test]
fn accounts_of_included_files_have_their_places_too() {
    let backend = Backend::answering_json();
    let hash = |name: &str| tollgate::policy::account::Digest::of(token(name).as_bytes()).text();
    let account = |name: &str| {
        format!(
            "{{\"name\": \"{name}\", \"rate\": {{\"limit\": \"5/s\"}}, \"tokens\": [{{\"name\": \"t\", \"hash\": \"{}\", \"products\": [\"phone\"], \"disabled\": true}}]}}\n",
            hash(name)
        )
    };
    let lines = account("one") + "\n" + &account("two");
    let yaml = format!(
        "accounts:\n  other:\n    rate: {{ unlimited: true }}\n  three:\n    rate: {{ unlimited: true }}\n    tokens:\n      - name: t\n        hash: \"{}\"\n        products: [phone]\n        expires: 2020-01-01\n",
        hash("three").to_uppercase().replace("SHA256", "sha256")
    );
    let text = Configuration::new(backend.address()).with("include: ['more.*']\n").yaml();
    let gateway = Gateway::start_with_files(&text, &[("more.jsonl", &lines), ("more.yaml", &yaml)]);
    for (name, row, place) in [
        ("two", "token-disabled", "more.jsonl:3 tokens[0].disabled"),
        ("three", "token-expired", "more.yaml:10 accounts.three.tokens[0].expires"),
    ] {
        let header = format!("Auth-Token: {}", token(name));
        let output = run(gateway.config().to_str().unwrap(), &["/phone/validate/v2", "-X", "POST", "-H", &header]);
        let told = String::from_utf8(output.stdout).unwrap();
        let line = told.lines().find(|line| line.contains("refused ")).unwrap_or_else(|| panic!("{told}"));
        assert!(line.trim_start().starts_with(row) && line.ends_with(place), "{line}");
        assert!(!told.contains(CANARY), "{told}");
    }
}

#[test]
fn the_command_ends_with_what_came_of_it() {
    let demo = config("demo.yaml");
    let good = ["/phone/validate/v2", "-H", "Auth-Token: demo-live", "-d", r#"{"number":"1"}"#];
    for (config, words, code) in [
        (demo.as_str(), [&good[..], &JSON].concat(), 0),
        (&demo, good.to_vec(), 3),
        (&demo, vec!["http://api.example.com/account/credits", "-H", "x-app-key: demo-live", "--http2"], 0),
        (
            &demo,
            vec![
                "/phone/validate/v2",
                "-X",
                "OPTIONS",
                "-H",
                "Origin: https://a.example",
                "-H",
                "Access-Control-Request-Method: POST",
            ],
            0,
        ),
        (&demo, vec!["/phone/validate/v2", "-H", "no colon"], 1),
        (&demo, vec!["/phone/validate/v2", "--from", "nowhere"], 2),
        ("/nowhere.yaml", vec!["/"], 1),
    ] {
        let output = run(config, &words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert_eq!(output.stdout.is_empty(), matches!(code, 1 | 2), "{words:?}: {output:?}");
        assert!(!output.stdout.contains(&0x1b), "colours without a terminal");
    }
}
