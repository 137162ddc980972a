//! Tests of a configuration that pass, and what is said of each kind of expectation that does not come.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use crate::config::{self, Config, Source};
use crate::policy::now::Now;

/// 2026-07-01.
const NOW: u64 = 1_782_864_000;

/// A priced product with translated answers, one without prices, and accounts of several kinds. The tokens are `one`,
/// `two`, `three` and `four`.
const BASE: &str = r#"
public_url: https://api.example.com
upstreams: { lookup: { servers: [127.0.0.1:9001] }, free: { servers: [127.0.0.1:9001] } }
ledger: { volatile: true }
products:
  vat:
    upstream: lookup
    token_in: [header X-Key, query key]
    routes:
      - { route: "GET /vat/{number}", parameters: { number: { pattern: "[A-Z]{2}[0-9]+" } } }
      - route: GET /vat/{number}/strict
        answers: { 404: { problem: gone-away } }
        credits: { hold: [{ add: 3 }], price: [{ add: 3 }] }
    headers: { Reference-ID: { pattern: "[a-z0-9]+", echo: true, problem: reference-id-invalid } }
    answers:
      404: { status: 200, price: [{ add: 1 }] }
      409: { problem: gone-away }
    answer_headers: [ETag]
    credits:
      hold: [{ add: 3 }]
      price: [{ add: 1 }, { add: 2, if: { answer: /full, is: true } }]
  free: { upstream: free, routes: [POST /free], token_headers: [X-Key], body: { max: 1KiB } }
problems: { gone-away: { status: 404, detail: The number has gone. } }
accounts:
  acme:
    rate: { limit: 1/d, burst: 1 }
    credits: { vat: 5 }
    tokens:
      - { name: web, hash: "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", products: [vat, free] }
      - { name: off, hash: "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3", products: [vat], disabled: true }
      - { name: ends, hash: "sha256:8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f", products: [vat], expires: 2026-12-31 }
  shop:
    rate: { limit: 1/d, burst: 1 }
    quota: { day: 1 }
    concurrency: 1
    credits: { vat: unmetered }
    tokens: [{ name: web, hash: "sha256:04efaf080f5a3e74e1c29d1ca6a48569382cbbcd324e8d59d2b83ef21c039f00", products: [vat], domains: [shop.example.com] }]
"#;

fn configuration(tests: &str) -> Config {
    let text = format!("{BASE}tests:\n{tests}");
    config::parse("f", &text, &Source::from(PathBuf::new())).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

fn told(config: &Config) -> Vec<String> {
    let by = Surroundings { policy: &config.policy, has_read_store: true, now: NOW };
    run(&config.tests, by).of_tests.iter().map(Outcome::told).collect()
}

/// The request of a test, the rest of it, and what is said: nothing if it passes.
type Row = (&'static str, &'static str, &'static str);

const ACME: &str = "path: /vat/DE1, account: acme, token: web";
const OFF: &str = "path: /vat/DE1, account: acme, token: off";

fn check_rows(rows: &[Row]) {
    let mut tests = String::new();
    for (number, (request, rest, _)) in rows.iter().enumerate() {
        let _ = writeln!(tests, "  - {{ name: t{number}, request: {{ {request} }}, {rest} }}");
    }
    for ((request, rest, expected), told) in rows.iter().zip(told(&configuration(&tests))) {
        assert_eq!(told, *expected, "{request} {rest}");
    }
}

#[test]
fn each_kind_of_expectation_passes_and_fails() {
    check_rows(&[
        (OFF, "expect: { problem: token-disabled, status: 403, upstream: never, price: 0, held: 0 }", ""),
        (
            OFF,
            "expect: { problem: token-unknown }",
            "expected problem token-unknown, got token-disabled: the token is switched off",
        ),
        (
            OFF,
            "expect: { problem: none, status: 401, price: 1 }",
            "expected problem none, got token-disabled: the token is switched off; expected status 401, got 403; expected \
             price 1, got 0",
        ),
        (
            OFF,
            "expect: { problem: token-disabled, status: 401, price: 1 }",
            "expected status 401, got 403 (token-disabled: the token is switched off); expected price 1, got 0",
        ),
        (OFF, "expect: { status: 401 }", "expected status 401, got 403 (token-disabled: the token is switched off)"),
        (
            OFF,
            "expect: { upstream: asked }",
            "expected upstream asked, got never (token-disabled: the token is switched off)",
        ),
        (OFF, "expect: { held: 3 }", "expected 3 credits held, got 0 (token-disabled: the token is switched off)"),
        (OFF, "expect: { price: 1 }", "expected price 1, got 0 (token-disabled: the token is switched off)"),
        (OFF, "expect: { problem: none }", "expected problem none, got token-disabled: the token is switched off"),
        (
            OFF,
            "expect: { headers: { Content-Type: text/html } }",
            "expected header Content-Type: text/html, got application/json",
        ),
        (
            OFF,
            "expect: { headers: { X-Credits-Charged: 9 } }",
            "expected header X-Credits-Charged: 9, got no such header",
        ),
        (OFF, "expect: { absent_headers: [Content-Type] }", "expected no header Content-Type, got the header"),
        (OFF, "expect: { absent_headers: [Retry-After], headers: { content-type: application/json } }", ""),
        (
            ACME,
            "expect: { problem: token-disabled }",
            "expected problem token-disabled, got none: the request goes to the upstream",
        ),
        (ACME, "expect: { problem: none, upstream: asked, held: 3 }", ""),
        (ACME, "expect: { upstream: never }", "expected upstream never, got asked"),
        (ACME, "expect: { held: 1 }", "expected 1 credit held, got 3"),
    ]);
}

#[test]
fn what_the_backend_decides_needs_its_answer() {
    const ADD: &str = "the request goes to the upstream, whose answer is not known; add `answer`";
    let rows = [
        ("expect: { status: 200 }", "expected status 200"),
        ("expect: { price: 1 }", "expected price 1"),
        ("expect: { headers: { A: b } }", "expected header A: b"),
        ("expect: { absent_headers: [A] }", "expected no header A"),
    ];
    for (rest, expected) in rows {
        let config = configuration(&format!("  - {{ name: a, request: {{ {ACME} }}, {rest} }}\n"));
        assert_eq!(told(&config), [format!("{expected}, got {ADD}")]);
    }
}

#[test]
fn made_up_answers_are_translated_and_priced() {
    check_rows(&[
        (
            ACME,
            "answer: { body: { full: false } }, expect: { status: 200, price: 1, headers: { X-Credits-Remaining: 4 } }",
            "",
        ),
        (ACME, "answer: { body: { full: true } }, expect: { price: 3, held: 3, upstream: asked, problem: none }", ""),
        (ACME, "answer: { body: { full: true } }, expect: { price: 1 }", "expected price 1, got 3"),
        (
            "path: /vat/DE1/strict, account: acme, token: web",
            "answer: { status: 404 }, expect: { problem: gone-away, status: 404, price: 0, held: 3 }",
            "",
        ),
        (
            ACME,
            "answer: { status: 404, body: '{}', headers: { ETag: '\"e\"' } }, expect: { status: 200, price: 1, headers: { ETag: '\"e\"' } }",
            "",
        ),
        (
            ACME,
            "answer: { status: 409, body: x }, expect: { problem: gone-away, status: 404, price: 0, upstream: asked }",
            "",
        ),
        (
            ACME,
            "answer: { status: 503, headers: { Retry-After: 7 } }, expect: { status: 503, headers: { Retry-After: 7 } }",
            "",
        ),
        (
            ACME,
            "answer: { unreachable: true }, expect: { problem: upstream-failed }",
            "expected problem upstream-failed, got upstream-unavailable: the server refused the connection",
        ),
        (
            ACME,
            "answer: { body: '{' }, expect: { status: 200 }",
            "expected status 200, got 500 (upstream-failed: the answer is not JSON)",
        ),
        (
            ACME,
            "answer: { headers: { Content-Length: 99 } }, expect: { status: 200 }",
            "expected status 200, got 500 (upstream-failed: the body of the answer was cut short or wrongly framed)",
        ),
        (
            ACME,
            "answer: { headers: { Transfer-Encoding: chunked }, body: \"2\\r\\n{}\\r\\n0\\r\\n\\r\\n\" }, expect: { price: 1 }",
            "",
        ),
        (
            "path: /free, method: POST, body: '{}', headers: { Content-Type: application/json }, account: acme, token: web",
            "answer: { body: [] }, expect: { price: 0, held: 0, status: 200 }",
            "",
        ),
        (
            "path: /vat/DE1, account: shop, token: web, headers: { Origin: 'https://shop.example.com' }",
            "answer: { body: [] }, expect: { price: 0, held: 0, absent_headers: [X-Credits-Charged] }",
            "",
        ),
    ]);
}

#[test]
fn credits_can_be_stated_and_are_not_shared() {
    check_rows(&[
        (ACME, "credits: 2, expect: { problem: credits-insufficient, held: 0 }", ""),
        (
            ACME,
            "credits: 2, expect: { problem: none }",
            "expected problem none, got credits-insufficient: the balance cannot cover the highest price",
        ),
        (ACME, "credits: 3, answer: { body: {} }, expect: { headers: { X-Credits-Remaining: 2 } }", ""),
        // Five, once more: what the tests before have held and paid was of copies.
        (ACME, "answer: { body: {} }, expect: { headers: { X-Credits-Remaining: 4 } }", ""),
        (ACME, "expect: { upstream: asked }", ""),
    ]);
}

#[test]
fn tokens_come_by_name_and_by_header_and_query_and_every_rate_is_the_first() {
    check_rows(&[
        ("path: /vat/DE1, headers: { X-Key: one }", "expect: { upstream: asked, held: 3 }", ""),
        ("path: /vat/DE1, headers: { x-key: one }, http2: true", "expect: { upstream: asked, held: 3 }", ""),
        ("path: '/vat/DE1?key=one'", "expect: { upstream: asked, held: 3 }", ""),
        ("path: /vat/DE1, headers: { X-Key: nobody }", "expect: { problem: token-unknown, status: 401 }", ""),
        ("path: /vat/DE1", "expect: { problem: token-missing }", ""),
        ("path: /vat/DE1, headers: { X-Key: four }", "expect: { problem: domain-not-allowed }", ""),
        (
            "path: '/account/credits', account: acme, token: web",
            "expect: { status: 200, upstream: never, problem: none }",
            "",
        ),
        ("path: /nowhere, account: acme, token: web", "expect: { problem: endpoint-unknown }", ""),
        (
            "path: /vat/DE1, method: OPTIONS, headers: { Origin: 'https://shop.example.com', Access-Control-Request-Method: GET }",
            "expect: { status: 204, upstream: never }",
            "",
        ),
        ("path: /vat/DE1, headers: { X-Key: one, x-key: four }", "expect: { problem: malformed-request }", ""),
        ("path: /vat/DE1, account: acme, token: ends, at: 2027-01-01", "expect: { problem: token-expired }", ""),
    ]);
}

#[test]
fn who_is_not_there_and_what_is_no_problem_is_said() {
    check_rows(&[
        (
            "path: /vat/DE1, account: nobody, token: web",
            "expect: { status: 200 }",
            "expected token web of account nobody, got no account of that name",
        ),
        (
            "path: /vat/DE1, account: acme, token: wbe",
            "expect: { status: 200 }",
            "expected token wbe of account acme, got the account acme has no token of that name",
        ),
        (
            OFF,
            "expect: { problem: token-disabeld }",
            "expected problem token-disabeld, got token-disabled: the token is switched off; no problem has that name, \
             write token-disabled",
        ),
        (
            OFF,
            "expect: { problem: x }",
            "expected problem x, got token-disabled: the token is switched off; no problem has that name, `tollgate \
             problems` lists them",
        ),
    ]);
}

#[test]
fn no_secret_and_no_body_is_shown() {
    let tests = "  - { name: a, request: { path: '/vat/DE1?key=four&note=49301234567', headers: { Reference-ID: ref49301234567 } }, \
                 expect: { status: 200, headers: { Reference-ID: other } } }\n\
                 \x20 - { name: b, request: { path: /free, method: POST, body: '{\"n\":\"49301234567\"', headers: { X-Key: one, \
                 Content-Type: application/json } }, expect: { status: 200 } }\n";
    let config = configuration(tests);
    let shown = config::shown::yaml(&config.policy, &config.settings).unwrap();
    assert!(
        shown.contains("key=${file:secrets/tests.0.key}") && shown.contains("X-Key: ${file:secrets/tests.1.X-Key}")
    );
    let all = format!("{:?} {:?}", told(&config), config.tests);
    assert!(
        all.contains("domain-not-allowed") && all.contains("body-malformed") && all.contains("another value"),
        "{all}"
    );
    assert!(!all.contains("49301234567") && !all.contains("four"), "{all}");
}

#[test]
fn a_policy_in_force_counts_nothing() {
    let tests = "  - { name: a, request: { path: /vat/DE1, headers: { X-Key: one } }, answer: { body: {} }, expect: { price: 1 } }\n\
                 \x20 - { name: b, request: { path: /vat/DE1, account: shop, token: web, headers: { Origin: 'https://shop.example.com' } }, \
                 expect: { upstream: asked } }\n";
    let config = configuration(tests);
    assert_eq!(told(&config), [""; 2]);
    let now = Now { monotonic: std::time::Duration::ZERO, unix_seconds: NOW, unix_nanos: 0 };
    let account = |name: &str| config.policy.accounts.by_name(name).unwrap();
    // The only request of each day is still there, and nothing was granted.
    assert_eq!(account("acme").rate.take(now), Ok(()));
    let states = account("shop").meter.as_ref().unwrap().all("web", now);
    assert!(states.len() == 2 && states.iter().all(|(_, state)| state.remaining == 1), "{states:?}");
    assert_eq!(account("acme").credit_accounts.iter().map(|credits| credits.snapshot().granted).sum::<u64>(), 0);
}

#[test]
fn a_test_whose_token_ends_is_warned_of_unless_it_says_when() {
    let ends = |at: &str| {
        let request = format!("path: /vat/DE1, account: acme, token: ends{at}");
        let config =
            configuration(&format!("  - {{ name: a, request: {{ {request} }}, expect: {{ upstream: asked }} }}\n"));
        let by = Surroundings { policy: &config.policy, has_read_store: true, now: NOW };
        check(&config.tests, by).unwrap().into_iter().map(|warning| warning.what).collect::<Vec<_>>()
    };
    assert_eq!(ends(""), ["the test \"a\" will fail once its token has ended; write `at`"]);
    assert_eq!(ends(", at: 2026-07-01"), Vec::<String>::new());
}

#[test]
fn a_failed_test_is_a_mistake_at_its_place() {
    let config = configuration("  - { name: a b, request: { path: /vat/DE1 }, expect: { problem: token-unknown } }\n");
    let by = Surroundings { policy: &config.policy, has_read_store: true, now: NOW };
    let mistakes = check(&config.tests, by).unwrap_err().to_string();
    let (place, what) = mistakes.split_once(": tests[0]: ").unwrap();
    assert!(place.starts_with("f:") && place.ends_with(":5"), "{place}");
    let expected = "the test \"a b\" fails: expected problem token-unknown, got token-missing: no place where a token can be has one; \
                    change the policy, or what the test says\n";
    assert_eq!(what, expected);
}

#[test]
fn tests_that_take_too_long_are_not_run_and_that_is_a_mistake() {
    let config = configuration("  - { name: a, request: { path: /vat/DE1 }, expect: { problem: token-missing } }\n");
    let by = Surroundings { policy: &config.policy, has_read_store: true, now: NOW };
    let outcomes = run_within(Duration::ZERO, &config.tests, by);
    assert_eq!((outcomes.of_tests.len(), outcomes.not_run), (0, 1));
    let mistakes = judged(&config.tests, outcomes).unwrap_err().to_string();
    assert!(mistakes.contains("were not run (1 test), since those before took 5 s; write fewer"), "{mistakes}");
}

#[test]
fn where_the_store_is_not_known_that_is_said() {
    let tests = "  - { name: a, request: { path: /vat/DE1, account: initech, token: web }, expect: { held: 1 } }\n\
                 \x20 - { name: b, request: { path: /vat/DE1, headers: { X-Key: nobody } }, expect: { held: 1 } }\n";
    let base = format!("store: {{ sqlite: tollgate.db }}\n{BASE}tests:\n{tests}");
    let base = base.replace("ledger: { volatile: true }", "ledger: { file: ledger.db }");
    let config = config::parse("f", &base, &Source::from(PathBuf::new())).unwrap();
    let by = |has_read_store| {
        let by = Surroundings { policy: &config.policy, has_read_store, now: NOW };
        run(&config.tests, by).of_tests.iter().map(Outcome::told).collect::<Vec<_>>()
    };
    let known = by(true);
    assert!(
        known[0].ends_with("neither in files nor in the store") && known[1].ends_with("no token has this digest)"),
        "{known:?}"
    );
    let unknown = by(false);
    assert!(unknown[0].ends_with("so that its accounts are not known"), "{unknown:?}");
    assert!(unknown[1].ends_with("; the accounts of the store are not known here)"), "{unknown:?}");
}

/// How long 1,000 tests take; `--no-capture` shows it.
#[test]
fn as_many_tests_as_there_can_be_take_no_time() {
    let mut tests = String::new();
    for number in 0..crate::config::bounds::MAX_TESTS {
        let _ = writeln!(
            tests,
            "  - {{ name: t{number}, request: {{ {ACME} }}, answer: {{ body: {{ full: true }} }}, expect: {{ price: 3 }} }}"
        );
    }
    let config = configuration(&tests);
    let begun = std::time::Instant::now();
    assert!(told(&config).iter().all(String::is_empty));
    let taken = begun.elapsed();
    println!("{} tests take {taken:?}", config.tests.len());
    assert!(taken < MAX_TIME, "{taken:?}");
}
