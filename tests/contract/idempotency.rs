//! Lookups that are safe to send again (contract, section 14).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::routes::{request, yaml};
use crate::support::{Backend, CANARY, Gateway, Request, Response, VERSIONS, token, until};
use tollgate::policy::account::Digest;

pub(super) const KEY: &str = "Idempotency-Key";

/// A backend that counts its requests, which its answers say. Its path says how it answers.
pub(super) fn backend() -> Backend {
    let count = AtomicUsize::new(0);
    Backend::start(move |peer, request| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let request = String::from_utf8_lossy(request);
        let target = request.split(' ').nth(1).unwrap();
        let body = format!(r#"{{"n":{number},"found":true}}"#);
        let path = target.split('?').next().unwrap();
        let tells = |status: &str, headers: &str, body: &str| (status.to_owned(), headers.to_owned(), body.to_owned());
        let (status, headers, body) = match path.rsplit('/').next().unwrap() {
            "slow" => {
                std::thread::sleep(Duration::from_millis(400));
                tells("200 OK", "", &body)
            }
            "silent" => return peer.wait_for_close(),
            "late" => {
                std::thread::sleep(Duration::from_millis(2300));
                tells("200 OK", "", &body)
            }
            "gone" => tells("404 Not Found", "", &body),
            "busy" => tells("429 Too Many Requests", "", &body),
            "limited" => tells("451 Unavailable", "", &body),
            "broken" => tells("500 Internal Server Error", "", &body),
            "once" if number == 0 => tells("503 Service Unavailable", "", &body),
            "long" => tells("200 OK", "", &format!(r#"{{"n":{number},"found":true,"x":"{}"}}"#, "x".repeat(5000))),
            "tagged" => tells("200 OK", "ETag: \"e\"\r\nLink: <a>\r\nX-Inner: 1\r\n", &body),
            _ => tells("200 OK", "", &body),
        };
        peer.answer_with(&status, &headers, body.as_bytes())
    })
}

const PRODUCT: &str = r#"idempotency: { answer_bytes: 4KiB, answers: 20 }
deadline: { header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }
routes:
  - route: GET /v1/item/{kind}
    query:
      date: { max: 10 }
  - POST /v1/lookup
body: { max: 4KiB, schema: { type: object, properties: { a: { type: integer } } } }
formats: [json, xml]
answer_headers: [ETag, Link]
answers: { 404: { price: [{ add: 1 }] }, 429: { status: 429, price: [{ add: 1 }] }, 451: { status: 400, failure: true } }
credits:
  hold: [{ add: 3 }]
  price: [{ add: 2, if: { answer: /found, is: true } }, { add: 1, if: { parameter: date, filled: true } }]
"#;

/// Its key is the reference.
const BY_REFERENCE: &str = "idempotency: { header: Reference-ID, keep: 1s }\nroutes: [GET /v2/item]";

const WITHOUT: &str = "routes: [GET /v3/item]";

/// Two accounts that pay, and one with another token.
pub(super) fn accounts(credits: u32) -> String {
    ["ann", "bob"].into_iter().fold(String::new(), |text, name| {
        let tokens = [name.to_owned(), format!("{name}-second")].map(|name| {
            let hash = Digest::of(token(&name).as_bytes()).text();
            format!("{{ name: {name}, hash: \"{hash}\", products: [one, two, three] }}")
        });
        let [first, second] = tokens;
        text + &format!(
            "  {name}:\n    rate: {{ limit: 100000/h }}\n    credits: {{ one: {credits} }}\n    tokens: [{first}, {second}]\n"
        )
    })
}

pub(super) fn config(backend: &Backend, credits: u32) -> String {
    yaml(backend, &[("one", PRODUCT), ("two", BY_REFERENCE), ("three", WITHOUT)])
        .replace("rate: { limit: 600000/min }", "rate: { limit: 600000/min }\n    credits: { one: unmetered }")
        + &accounts(credits)
}

pub(super) fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&(config(backend, 1000) + "ledger: { volatile: true }\n"))
}

pub(super) fn ann(method: &'static str, target: &str, key: &str) -> Request {
    request(method, target).set("Auth-Token", &token("ann")).with(KEY, key)
}

pub(super) fn get(kind: &str, key: &str) -> Request {
    ann("GET", &format!("/v1/item/{kind}"), key)
}

pub(super) fn post(body: &str, key: &str) -> Request {
    ann("POST", "/v1/lookup", key).with("Content-Type", "application/json").body(body)
}

/// What an answer says of itself: its number at the backend, whether it is replayed, and what it cost.
pub(super) fn told(response: &Response) -> (u64, bool, u64) {
    response.assert_success();
    let replayed = response.header("Idempotency-Replayed");
    assert!(matches!(replayed, None | Some("true")), "{replayed:?}");
    (response.json()["n"].as_u64().unwrap(), replayed.is_some(), response.number("X-Credits-Charged"))
}

/// The credits that an account has spent and that are held.
pub(super) fn spent(gateway: &Gateway, account: &str) -> (u64, u64) {
    let (status, body) = gateway.ask_admin("GET", &format!("/accounts/{account}/credits/one"), &[], "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    (body["spent"].as_u64().unwrap(), body["held"].as_u64().unwrap())
}

pub(super) fn wait_for(gateway: &Gateway, account: &str, expected: (u64, u64)) {
    until(&format!("{account} has spent {expected:?}"), || spent(gateway, account) == expected);
}

#[test]
fn the_same_request_gets_the_same_answer_and_is_charged_once() {
    let backend = backend();
    let gateway = gateway(&backend);
    let mut number = 0;
    for (index, version) in VERSIONS.into_iter().enumerate() {
        for (which, sent) in
            [get("a", ""), get("tagged", ""), post(r#"{"a":1}"#, ""), get("a?date=1", "")].into_iter().enumerate()
        {
            let key = format!("{CANARY}-{index}-{which}");
            let price = if sent.target.contains("date") { 3 } else { 2 };
            let first = gateway.send(version, &sent.clone().set(KEY, &key));
            assert_eq!(told(&first), (number, false, price));
            for again in [
                sent.clone().set(KEY, &key),
                sent.clone().set(KEY, &format!("\"{key}\"")),
                sent.clone().set(KEY, &key).with("Reference-ID", "another").with("traceparent", "00-1-1-01"),
                sent.clone().set(KEY, &key).with("Timeout-Seconds", "9").with("Accept", "*/*"),
                sent.clone().set(KEY, &key).set("Auth-Token", &token("ann-second")),
            ] {
                let answer = gateway.send(VERSIONS[1 - index], &again);
                assert_eq!(told(&answer), (number, true, 0), "{again:?}");
                assert_eq!(answer.body(), first.body());
                for header in ["ETag", "Link", "Content-Type"] {
                    assert_eq!(answer.header(header), first.header(header));
                }
                assert_ne!(answer.header("Transaction-Id"), first.header("Transaction-Id"));
                let left = |answer: &Response| answer.number("X-Credits-Remaining");
                assert_eq!(left(&answer), left(&first), "nothing is charged");
            }
            number += 1;
        }
    }
    assert_eq!(backend.requests().len(), 8);
    wait_for(&gateway, "ann", (2 * (2 + 2 + 2 + 3), 0));
    let replays: u64 = gateway.metric(r#"tollgate_idempotent_replays_total{product="one"}"#);
    assert_eq!((replays, gateway.metric::<u64>("tollgate_idempotency_answers")), (40, 8));
}

#[test]
fn with_another_request_or_account_a_key_is_another_thing() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let key = format!("k-{version:?}");
        gateway.send(version, &post(r#"{"a":1}"#, &key)).assert_success();
        gateway.send(version, &get("a?date=1", &format!("{key}-get"))).assert_success();
        for (sent, slug) in [
            (post(r#"{"a":2}"#, &key), Some("idempotency-key-reused")),
            (post(r#"{"a": 1}"#, &key), Some("idempotency-key-reused")),
            (post(r#"{"a":1}"#, &key).target("/v1/lookup?x=1"), Some("idempotency-key-reused")),
            (post(r#"{"a":1}"#, &key).with("Accept", "application/xml"), Some("idempotency-key-reused")),
            (post(r#"{"a":1}"#, &key).with("Accept-Language", "de"), Some("idempotency-key-reused")),
            (get("a", &key), Some("idempotency-key-reused")),
            (get("a?date=2", &format!("{key}-get")), Some("idempotency-key-reused")),
            (get("b?date=1", &format!("{key}-get")), Some("idempotency-key-reused")),
            // What is wrong with a request comes first, and its credits later.
            (post(r#"{"a":"x"}"#, &key), Some("body-invalid")),
            (post(r#"{"a":2}"#, &key).set("Auth-Token", "?"), Some("token-unknown")),
            (get("%61?date=1", &format!("{key}-get")), None),
            (post(r#"{"a":1}"#, &key), None),
        ] {
            let answer = gateway.send(version, &sent);
            match slug {
                Some(slug) if sent.headers.iter().any(|(_, value)| value == b"application/xml") => {
                    assert_eq!(answer.status(), 400);
                    assert!(String::from_utf8_lossy(answer.body()).contains(slug), "{answer:?}");
                }
                Some(slug) => answer.assert_problem(slug),
                None => assert_eq!(answer.header("Idempotency-Replayed"), Some("true"), "{sent:?}"),
            }
        }
        // Another account, another product, or no key at all.
        let before = backend.requests().len();
        for sent in [
            post(r#"{"a":2}"#, &key).set("Auth-Token", &token("bob")),
            request("GET", "/v3/item").with(KEY, &key),
            request("GET", "/v3/item").with(KEY, &key),
            get("a", "").without(KEY),
            get("a", "").without(KEY),
        ] {
            let answer = gateway.send(version, &sent);
            answer.assert_success();
            assert_eq!(answer.header("Idempotency-Replayed"), None);
        }
        assert_eq!(backend.requests().len(), before + 5);
    }
}

#[test]
fn the_row_comes_before_that_of_the_credits() {
    let backend = backend();
    let gateway = Gateway::start(&(config(&backend, 3) + "ledger: { volatile: true }\n"));
    assert_eq!(told(&gateway.send(VERSIONS[0], &get("a", "k"))), (0, false, 2));
    gateway.send(VERSIONS[0], &get("b", "k")).assert_problem("idempotency-key-reused");
    gateway.send(VERSIONS[0], &get("b", "l")).assert_problem("credits-insufficient");
    // A replay needs no credits.
    assert_eq!(told(&gateway.send(VERSIONS[0], &get("a", "k"))), (0, true, 0));
}

#[test]
fn what_is_no_key_is_malformed_before_anything_else() {
    let backend = backend();
    let gateway = gateway(&backend);
    let most = "k".repeat(255);
    for version in VERSIONS {
        for (key, is_key) in [
            ("k", true),
            (&*most, true),
            (&*format!("\"{most}\""), true),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", true),
            ("a,b;c=d", true),
            ("", false),
            ("\"\"", false),
            ("a b", false),
            ("\"a\"b", false),
            ("a\\b", false),
            (&*format!("{most}k"), false),
        ] {
            let sent = get("a", key);
            match is_key {
                true => gateway.send(version, &sent).assert_success(),
                false => {
                    gateway.send(version, &sent).assert_problem("malformed-request");
                    // Also of somebody without a token.
                    gateway.send(version, &sent.without("Auth-Token")).assert_problem("malformed-request");
                }
            }
        }
        for odd in [b"k\xc3\xa9".as_slice(), b"\xff", b"k\x80"] {
            let sent = get("a", "").without(KEY).with_bytes(KEY, odd);
            gateway.send(version, &sent).assert_problem("malformed-request");
        }
        gateway.send(version, &get("a", "k").with(KEY, "k")).assert_problem("malformed-request");
        // A product that takes no keys does not look at them.
        gateway.send(version, &request("GET", "/v3/item").with(KEY, "a b")).assert_success();
    }
    assert_eq!(gateway.metric::<u64>("tollgate_idempotency_dropped_total{reason=\"account\"}"), 0);
}

#[test]
fn the_reference_can_be_the_key_for_as_long_as_answers_are_kept() {
    let backend = backend();
    let gateway = gateway(&backend);
    let sent = |reference: &str| request("GET", "/v2/item").with("Reference-ID", reference);
    let number = |answer: &Response| answer.json()["n"].as_u64().unwrap();
    for version in VERSIONS {
        let reference = format!("order-{version:?}");
        let first = gateway.send(version, &sent(&reference));
        let again = gateway.send(version, &sent(&reference));
        assert_eq!((number(&again), again.header("Idempotency-Replayed")), (number(&first), Some("true")));
        assert_eq!(again.header("Reference-ID"), Some(&*reference));
        gateway.send(version, &sent(&reference).target("/v2/item?x=1")).assert_problem("idempotency-key-reused");
        // The rule of the header says what a reference is, and which problem anything else is.
        gateway.send(version, &sent("a;b")).assert_problem("reference-id-invalid");
        // Without one there is no key, though every answer has a reference.
        let [one, other] = [0; 2].map(|_| gateway.send(version, &sent("x").without("Reference-ID")));
        assert_ne!(number(&one), number(&other));
        std::thread::sleep(Duration::from_millis(1100));
        let later = gateway.send(version, &sent(&reference).target("/v2/item?x=1"));
        assert_eq!(later.header("Idempotency-Replayed"), None, "its time is over, and the key is free");
    }
}

#[test]
fn refusals_and_failures_are_not_kept() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (kind, slug, status) in
            [("broken", Some("upstream-failed"), 500), ("limited", None, 400), ("busy", None, 429)]
        {
            let before = backend.requests().len();
            let sent = get(kind, &format!("{kind}-{version:?}"));
            for _ in 0..3 {
                let answer = gateway.send(version, &sent);
                assert_eq!((answer.status(), answer.header("Idempotency-Replayed")), (status, None), "{kind}");
                if let Some(slug) = slug {
                    answer.assert_problem(slug);
                }
            }
            assert_eq!(backend.requests().len(), before + 3, "{kind}");
        }
        // An answer under another status is one that the product has named.
        let sent = get("gone", &format!("gone-{version:?}"));
        let [first, again] = [0; 2].map(|_| gateway.send(version, &sent));
        assert_eq!((first.status(), first.number("X-Credits-Charged")), (404, 1));
        assert_eq!((again.status(), again.number("X-Credits-Charged")), (404, 0));
        assert_eq!((again.body(), again.header("Idempotency-Replayed")), (first.body(), Some("true")));
    }
    // The first attempt has failed, and the second is answered.
    let backend = self::backend();
    let gateway = self::gateway(&backend);
    gateway.send(VERSIONS[0], &get("once", "k")).assert_problem("upstream-unavailable");
    assert_eq!(told(&gateway.send(VERSIONS[0], &get("once", "k"))), (1, false, 2));
    assert_eq!(told(&gateway.send(VERSIONS[0], &get("once", "k"))), (1, true, 0));
    wait_for(&gateway, "ann", (2, 0));
}

#[test]
fn a_replay_counts_in_rates_as_any_request_does() {
    let backend = backend();
    let yaml = config(&backend, 100).replacen("rate: { limit: 100000/h }", "rate: { limit: 3/h, burst: 3 }", 1);
    let gateway = Gateway::start(&(yaml + "ledger: { volatile: true }\n"));
    for left in [2, 1, 0] {
        let answer = gateway.send(VERSIONS[0], &get("a", "k"));
        answer.assert_success();
        assert_eq!(answer.number("X-Rate-Limit-Remaining"), left);
    }
    gateway.send(VERSIONS[0], &get("a", "k")).assert_problem("rate-exceeded");
    assert_eq!(backend.requests().len(), 1);
}
