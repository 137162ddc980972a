//! Tests of judging again: decisions that were made up, under configurations that differ in one thing.

use std::borrow::Cow;

use super::candidate::Candidate;
use super::judge::Judge;
use super::tally::Tally;
use super::verdict::{Outcome, Price, Undecided, Verdict};
use crate::config::{self, Source};
use crate::policy::account::Digest;
use crate::telemetry::journal::line::{Decision, Member, SeenToken, Step};

/// A product with everything that is judged.
const BASE: &str = r#"
public_url: https://api.example.com
upstreams: { lookup: { servers: ["127.0.0.1:9001"] } }
trusted_proxies: [10.0.0.0/8]
ledger: { volatile: true }
products:
  vat:
    upstream: lookup
    token_in: [header Auth-Token]
    deadline: { header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }
    headers:
      Reference-ID: { pattern: "[a-z]+", problem: reference-id-invalid }
    routes:
      - route: POST /v1/vat
        body: { max: 100B, schema: { type: object } }
      - route: GET /v1/vat/{number}
        query: { detail: { one_of: [full, short] } }
    credits: { hold: [{ add: 3 }], price: [{ add: 2 }] }
accounts:
  acme:
    rate: { limit: 2/h, burst: 2 }
    concurrency: 2
    credits: { vat: 100 }
    tokens: [{ name: web, hash: "HASH", products: [vat] }]
"#;

fn policy(text: &str) -> crate::policy::Policy {
    let text = text.replace("HASH", &Digest::of(b"secret").text());
    let parsed = config::parse("f", &text, &Source::Embedded(&[]));
    parsed.unwrap_or_else(|mistakes| panic!("{mistakes}")).policy
}

/// The base after some replacements.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = BASE.to_owned();
    for (old, new) in edits {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    text
}

/// A lookup with a body that was answered, at a second.
fn answered(second: u32) -> Decision<'static> {
    let then = Candidate::of(policy(BASE)).unwrap().rules;
    let sha256 = Digest::of(b"secret").text().replace("sha256:", "");
    Decision {
        time: Cow::Owned(format!("2026-11-25T10:00:{second:02}.000000000Z")),
        transaction_id: "t".into(),
        policy: Cow::Owned(then.rules_of),
        http: "1.1".into(),
        peer: "203.0.113.9".into(),
        method: "POST".into(),
        path: Some("/v1/vat".into()),
        head: (7, 100, 5),
        headers: vec![Member {
            name: "content-type".to_owned(),
            value: Some("application/json".to_owned()),
            hmac: None,
        }],
        tokens: vec![SeenToken { place: "Auth-Token".to_owned(), sha256 }],
        content_length: Some(20),
        account: Some("acme".into()),
        token: Some("web".into()),
        product: Some("vat".into()),
        route: Some("POST /v1/vat".into()),
        step: Step::Answer,
        status: 200,
        asked: true,
        upstream_status: 200,
        pays: true,
        charged: 2,
        delivered: true,
        total_us: 5000,
        upstream_us: Some(4000),
        own_us: 100,
        bytes_in: 20,
        bytes_out: 100,
        ..Decision::default()
    }
}

/// The same of the other route.
fn got(second: u32) -> Decision<'static> {
    Decision {
        method: "GET".into(),
        path: Some("/v1/vat/{number}".into()),
        route: Some("GET /v1/vat/{number}".into()),
        parameters: vec![Member { name: "number".to_owned(), value: None, hmac: None }],
        content_length: None,
        bytes_in: 0,
        ..answered(second)
    }
}

fn refused(decision: Decision<'static>, step: Step, problem: &'static str) -> Decision<'static> {
    Decision {
        step,
        problem: Some(problem.into()),
        status: 403,
        asked: false,
        upstream_status: 0,
        upstream_us: None,
        charged: 0,
        ..decision
    }
}

fn with_header(name: &str, value: Option<&str>, mut decision: Decision<'static>) -> Decision<'static> {
    decision.headers.push(Member { name: name.to_owned(), value: value.map(str::to_owned), hmac: None });
    decision
}

fn with_parameter(name: &str, value: Option<&str>, mut decision: Decision<'static>) -> Decision<'static> {
    decision.parameters.push(Member { name: name.to_owned(), value: value.map(str::to_owned), hmac: None });
    decision
}

fn judged(edits: &[(&str, &str)], decisions: &[Decision<'_>]) -> Vec<Verdict> {
    let then = Candidate::of(policy(BASE)).unwrap().rules;
    let candidate = Candidate::of(policy(&edited(edits))).unwrap();
    let mut judge = Judge::new(&candidate);
    decisions.iter().map(|decision| judge.judge(decision, Some(&then))).collect()
}

fn same(credits: u32) -> Verdict {
    Verdict::Decided { outcome: Outcome::AsThen, price: Price::Known(credits) }
}

fn now(slug: &str) -> Verdict {
    Verdict::Decided { outcome: Outcome::Refused(slug.into()), price: Price::Known(0) }
}

fn further() -> Verdict {
    Verdict::Decided { outcome: Outcome::LetFurther, price: Price::Undecided(Undecided::Price) }
}

#[test]
fn under_the_same_rules_everything_is_the_same() {
    for decision in [
        answered(0),
        got(0),
        with_header("reference-id", None, answered(0)),
        refused(with_header("reference-id", None, answered(0)), Step::Headers, "reference-id-invalid"),
        refused(answered(0), Step::Body, "body-invalid"),
        refused(answered(0), Step::Arrival, "request-timeout"),
        refused(Decision { content_length: Some(200), ..answered(0) }, Step::Arrival, "body-too-large"),
        refused(Decision { tokens: Vec::new(), ..answered(0) }, Step::Checks, "token-missing"),
        refused(Decision { path: None, route: None, ..answered(0) }, Step::Checks, "endpoint-unknown"),
        refused(Decision { reason: Some("a bare LF".into()), ..answered(0) }, Step::Head, "malformed-request"),
        Decision { problem: Some("client-gone".into()), status: 0, charged: 0, ..answered(0) },
        Decision { upstream_status: 502, problem: Some("upstream-unavailable".into()), charged: 0, ..answered(0) },
    ] {
        assert_eq!(judged(&[], std::slice::from_ref(&decision)), [same(decision.charged)], "{decision:?}");
    }
}

#[test]
fn a_change_is_decided_by_the_chain() {
    let web = "products: [vat] }";
    let address = |edit: &'static str| [(web, edit)];
    for (edits, decision, verdict) in [
        (&address("products: [vat], disabled: true }")[..], answered(0), now("token-disabled")),
        (&address("products: [vat], networks: [203.0.113.0/24] }"), answered(0), same(2)),
        (&address("products: [vat], networks: [198.51.100.0/24] }"), answered(0), now("ip-not-allowed")),
        (&address("products: [vat], domains: [a.example.com] }"), answered(0), now("domain-not-allowed")),
        (
            &address("products: [vat], domains: [a.example.com] }"),
            with_header("referer", Some("https://a.example.com"), answered(0)),
            same(2),
        ),
        (
            &address("products: [vat], networks: [198.51.100.0/24] }"),
            Decision {
                peer: "10.0.0.1".into(),
                forwarded_for: vec!["?".to_owned(), "198.51.100.9".to_owned()],
                ..answered(0)
            },
            same(2),
        ),
        (&[("POST /v1/vat", "PUT /v1/vat")], answered(0), now("endpoint-unknown")),
        (&[("max: 100B", "max: 10B")], answered(0), now("body-too-large")),
        (&[("min: 2s", "min: 5s")], with_header("timeout-seconds", Some("3"), answered(0)), now("timeout-invalid")),
        (&[("[full, short]", "[full]")], with_parameter("detail", Some("short"), got(0)), now("parameter-invalid")),
        (&[("one_of: [full, short]", "one_of: [full, short], required: true")], got(0), now("parameter-invalid")),
        (
            &[("upstream: lookup\n", "upstream: lookup\n    undeclared_query: refuse\n")],
            Decision { undeclared: 1, ..got(0) },
            now("parameter-invalid"),
        ),
    ] {
        assert_eq!(judged(edits, std::slice::from_ref(&decision)), [verdict], "{edits:?} {decision:?}");
    }
}

#[test]
fn what_was_refused_and_is_not_any_more_is_let_further() {
    for (edits, decision) in [
        (&[("limit: 2/h, burst: 2", "limit: 9/h, burst: 9")][..], refused(answered(0), Step::Checks, "rate-exceeded")),
        (&[], refused(answered(0), Step::Checks, "token-disabled")),
        (
            &[("    headers:\n      Reference-ID: { pattern: \"[a-z]+\", problem: reference-id-invalid }\n", "")],
            refused(answered(0), Step::Headers, "reference-id-invalid"),
        ),
    ] {
        assert_eq!(judged(edits, &[decision]), [further()], "{edits:?}");
    }
}

#[test]
fn the_answers_of_a_route_are_its_own() {
    const ROUTE: (&str, &str) = (
        "detail: { one_of: [full, short] } }",
        "detail: { one_of: [full, short] } }\n        answers: { 404: { status: 200 } }",
    );
    let failed = |decision| Decision {
        upstream_status: 404,
        problem: Some("upstream-failed".into()),
        status: 500,
        charged: 0,
        ..decision
    };
    let answered_now = Verdict::Decided { outcome: Outcome::Answered, price: Price::Known(0) };
    assert_eq!(judged(&[ROUTE], &[failed(got(0)), failed(answered(1))]), [answered_now.clone(), same(0)]);
    let of_product = ("    credits: { hold", "    answers: { 404: { status: 200 } }\n    credits: { hold");
    assert_eq!(judged(&[of_product], &[failed(got(0)), failed(answered(1))]), [answered_now.clone(), answered_now]);
}

#[test]
fn what_a_journal_does_not_have_is_undecided() {
    let networks = ("products: [vat] }", "products: [vat], networks: [203.0.113.0/24] }");
    let paid = |decision| Decision { pays: true, ..decision };
    for (edits, decision, kind) in [
        (&[("\"[a-z]+\"", "\"[a-y]+\"")][..], with_header("reference-id", None, answered(0)), Undecided::Headers),
        (&[("type: object", "type: array")], answered(0), Undecided::Body),
        (
            &[("one_of: [full, short]", "pattern: \"[a-z]\"")],
            with_parameter("detail", None, got(0)),
            Undecided::Parameters,
        ),
        (&[("GET /v1/vat/{number}", "GET /v1/vat/list")], got(0), Undecided::Path),
        (
            &[("GET /v1/vat/{number}", "POST /v1/{number}"), ("POST /v1/vat\n", "PUT /v2/vat\n")],
            answered(0),
            Undecided::Parameters,
        ),
        (
            &[("POST /v1/vat", "POST /v2/vat")],
            refused(Decision { path: None, route: None, ..answered(0) }, Step::Checks, "endpoint-unknown"),
            Undecided::Path,
        ),
        (
            &[("header Auth-Token", "header Auth-Token, bearer")],
            refused(Decision { tokens: Vec::new(), ..answered(0) }, Step::Checks, "token-missing"),
            Undecided::TokenPlace,
        ),
        (&[], Decision { signed: true, ..answered(0) }, Undecided::SignedToken),
        (&[networks], Decision { peer: "".into(), ..answered(0) }, Undecided::Address),
        (&[], refused(answered(0), Step::Checks, "overloaded"), Undecided::Load),
        (&[], paid(refused(answered(0), Step::Credits, "credits-insufficient")), Undecided::Balance),
        (&[("Timeout-Seconds", "Time-Limit")], answered(0), Undecided::Headers),
        (
            &[],
            refused(
                Decision { reason: Some("more header lines than the limit".into()), ..answered(0) },
                Step::Head,
                "malformed-request",
            ),
            Undecided::Head,
        ),
        (
            &[("default: 15s", "default: 2s")],
            Decision { upstream_us: Some(3_000_000), ..answered(0) },
            Undecided::Deadline,
        ),
        (
            &[("max: 100B", "max: 200B")],
            refused(
                Decision { chunked: true, content_length: None, bytes_in: 101, ..answered(0) },
                Step::Arrival,
                "body-too-large",
            ),
            Undecided::Body,
        ),
    ] {
        assert_eq!(
            judged(edits, std::slice::from_ref(&decision)),
            [Verdict::Undecided(kind)],
            "{edits:?} {decision:?}"
        );
    }
    let candidate = Candidate::of(policy(BASE)).unwrap();
    assert_eq!(Judge::new(&candidate).judge(&answered(0), None), Verdict::Undecided(Undecided::Rules));
}

#[test]
fn rates_count_by_the_times_of_the_journal() {
    let times = [
        answered(0),
        answered(1),
        answered(2),
        Decision { time: "2026-11-25T10:30:02.000000000Z".into(), ..answered(0) },
    ];
    let verdicts = judged(&[], &times);
    assert_eq!(verdicts, [same(2), same(2), now("rate-exceeded"), same(2)]);
    // Requests in flight count until they end.
    let long = |second| Decision { total_us: 10_000_000, upstream_us: Some(10_000_000), ..got(second) };
    let busy = [long(0), long(1), long(2), long(11)];
    let verdicts = judged(&[("limit: 2/h, burst: 2", "limit: 99/h, burst: 99")], &busy);
    assert_eq!(verdicts, [same(2), same(2), now("concurrency-exceeded"), same(2)]);
}

#[test]
fn prices_are_known_where_the_answer_does_not_decide_them() {
    let by_answer = "price: [{ add: 2 }, { add: 1, if: { answer: /x, is: y } }]";
    for (edits, price) in [
        (&[][..], Price::Known(2)),
        (&[("price: [{ add: 2 }]", "price: [{ add: 3 }]")], Price::Known(3)),
        (&[("price: [{ add: 2 }]", by_answer)], Price::Undecided(Undecided::Price)),
        (&[("credits: { vat: 100 }", "credits: { vat: unmetered }")], Price::Known(0)),
    ] {
        let verdict = Verdict::Decided { outcome: Outcome::AsThen, price };
        assert_eq!(judged(edits, &[answered(0)]), [verdict], "{edits:?}");
    }
}

#[test]
fn verdicts_are_counted_once() {
    let mut tally = Tally::default();
    let decision = answered(0);
    let changed = Verdict::Decided { outcome: Outcome::AsThen, price: Price::Known(5) };
    let unknown = Verdict::Decided { outcome: Outcome::AsThen, price: Price::Undecided(Undecided::Price) };
    for verdict in [same(2), now("token-disabled"), changed, unknown, Verdict::Undecided(Undecided::Body), further()] {
        tally.add(&decision, &verdict, (0, 7));
    }
    assert_eq!((tally.decisions, tally.same, tally.refused_otherwise, tally.charged_otherwise), (6, 1, 2, 2));
    assert_eq!(tally.undecided.values().sum::<u64>(), 2);
    assert_eq!(tally.credits, (6, 7));
    let of = tally.accounts["acme"];
    assert_eq!((of.refused, of.let_in, of.charged_otherwise, of.credits), (1, 0, 2, (4, 5)));
    assert!(tally.differs() && tally.prices.len() == 2);
}
