//! The cost of judging one request: the accepted path, each refusal, and the body check.
//!
//! Run with `cargo bench --bench admit`; each figure is the time of one whole head, from split
//! lines to the verdict.
#![allow(clippy::unwrap_used)] // A benchmark that cannot be set up may end in a panic.

mod shapes;

use std::time::Duration;

use divan::{Bencher, black_box};
use tollgate::config;
use tollgate::operate::demo;
use tollgate::policy::Policy;
use tollgate::policy::admit::{Ingress, admit};
use tollgate::policy::http::head::{Head, HeadLimits, Lines, MAX_FIELDS, Peer};
use tollgate::policy::now::Now;
use tollgate::policy::observer::Unobserved;
use tollgate::policy::trail::Trail;

use shapes::Shape;

fn main() {
    // Many calls in one sample: a single one is near the precision of the clock.
    divan::Divan::from_args().sample_size(1000).main();
}

const LIMITS: HeadLimits = HeadLimits { target_bytes: 8192, header_bytes: 16_384, header_lines: 64 };

/// A time far enough after the last request that no rate is ever used up.
fn later(requests: &mut u64) -> Now {
    *requests += 1;
    Now { monotonic: Duration::from_secs(60 * *requests), unix_seconds: 1_800_000_000, unix_nanos: 0 }
}

fn policy() -> Policy {
    config::parse("demo.yaml", demo::CONFIGURATION, &demo::SOURCE)
        .map_err(|mistakes| mistakes.to_string())
        .unwrap()
        .policy
}

fn request(token: &str, edit: impl Fn(String) -> String) -> Vec<u8> {
    let text = format!(
        "POST /phone/validate/v2 HTTP/1.1\nHost: api.example.com\nUser-Agent: load/1.0\nAuth-Token: {token}\n\
         Content-Type: application/json\nAccept: application/json\nReference-ID: order 17/4\nTimeout-Seconds: 5\n\
         Content-Length: 100\n\n"
    );
    edit(text).replace('\n', "\r\n").into_bytes()
}

fn with(line: &'static str) -> impl Fn(String) -> String {
    move |text| text.replace("\n\n", &format!("\n{line}\n\n"))
}

fn instead(old: &'static str, new: &'static str) -> impl Fn(String) -> String {
    move |text| text.replace(old, new)
}

fn judge(bencher: Bencher<'_, '_>, bytes: &[u8]) {
    judge_with(bencher, &policy(), bytes);
}

fn judge_with(bencher: Bencher<'_, '_>, policy: &Policy, bytes: &[u8]) {
    let mut requests = 0;
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let lines = Lines::split(bytes, &mut slots).unwrap();
    let head = Head::judge(lines, Peer::Address([127, 0, 0, 1].into()), &LIMITS).unwrap();
    bencher.bench_local(|| {
        let mut trail = Trail::default();
        black_box(admit(&mut Unobserved, policy, black_box(&head), later(&mut requests), Ingress::OPEN, &mut trail))
            .is_ok()
    });
}

/// The whole head: splitting its lines, judging its framing, and all checks.
#[divan::bench]
fn head_and_admit_accepted(bencher: Bencher<'_, '_>) {
    let policy = policy();
    let bytes = request("demo-live", |text| text);
    let mut requests = 0;
    bencher.bench_local(|| {
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let lines = Lines::split(black_box(&bytes), &mut slots).unwrap();
        let head = Head::judge(lines, Peer::Address([127, 0, 0, 1].into()), &LIMITS).unwrap();
        let mut trail = Trail::default();
        black_box(admit(&mut Unobserved, &policy, &head, later(&mut requests), Ingress::OPEN, &mut trail)).is_ok()
    });
}

/// Lookups of some shapes; what the others cost more than the first is what Bearer, a signature that was verified before,
/// and rules for parameters cost.
#[divan::bench(args = [Shape::Plain, Shape::Bearer, Shape::Signed, Shape::Parameters])]
fn lookup(bencher: Bencher<'_, '_>, shape: Shape) {
    let (policy, bytes) = shape.of();
    judge_with(bencher, &policy, &bytes);
}

#[divan::bench]
fn accepted(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", |text| text));
}

#[divan::bench]
fn accepted_with_origin(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-domain", with("Origin: https://a.shop.example.com")));
}

#[divan::bench]
fn endpoint_unknown(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", instead("/validate/", "/nothing/")));
}

#[divan::bench]
fn token_missing(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", instead("Auth-Token", "Other-Token")));
}

#[divan::bench]
fn token_unknown(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("unknown", |text| text));
}

#[divan::bench]
fn token_disabled(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-disabled", |text| text));
}

#[divan::bench]
fn token_expired(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-expired", |text| text));
}

#[divan::bench]
fn product_mismatch(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-other-product", |text| text));
}

#[divan::bench]
fn ip_not_allowed(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-ip", |text| text));
}

#[divan::bench]
fn domain_not_allowed(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-domain", with("Origin: https://evil.example")));
}

#[divan::bench]
fn rate_exceeded(bencher: Bencher<'_, '_>) {
    let policy = policy();
    let bytes = request("demo-throttled", |text| text);
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let lines = Lines::split(&bytes, &mut slots).unwrap();
    let head = Head::judge(lines, Peer::Address([127, 0, 0, 1].into()), &LIMITS).unwrap();
    // The same time for all, so that requests from the third on are refused.
    let now = Now { monotonic: Duration::from_secs(60), unix_seconds: 1_800_000_000, unix_nanos: 0 };
    bencher.bench_local(|| {
        let mut trail = Trail::default();
        black_box(admit(&mut Unobserved, &policy, black_box(&head), now, Ingress::OPEN, &mut trail)).is_ok()
    });
}

#[divan::bench]
fn accept_unsupported(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", instead("Accept: application/json", "Accept: text/html")));
}

#[divan::bench]
fn content_type_unsupported(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", instead("Content-Type: application/json", "Content-Type: text/plain")));
}

#[divan::bench]
fn timeout_invalid(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", instead("Timeout-Seconds: 5", "Timeout-Seconds: 99")));
}

#[divan::bench]
fn reference_id_invalid(bencher: Bencher<'_, '_>) {
    judge(bencher, &request("demo-live", instead("order 17/4", "order;17")));
}

/// A body of 100 bytes: JSON, repeated keys, nesting and the product's schema.
#[divan::bench]
fn body_accepted(bencher: Bencher<'_, '_>) {
    body(
        bencher,
        br#"{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7,"get_ported_date":false}    "#,
    );
}

#[divan::bench]
fn body_malformed(bencher: Bencher<'_, '_>) {
    body(
        bencher,
        br#"{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7,"get_ported_date":false      "#,
    );
}

#[divan::bench]
fn body_number_missing(bencher: Bencher<'_, '_>) {
    body(
        bencher,
        br#"{"nummer":"+44 7400 123456","output_format":"E164","cache_value_days":7,"get_ported_date":false}    "#,
    );
}

/// The price of an answer: its JSON is read whole, as it is for an account that does not pay.
#[divan::bench(args = [true, false])]
fn answer_of_an_account_that(bencher: Bencher<'_, '_>, pays: bool) {
    let policy = policy();
    let tariff = policy.products.first().and_then(|product| product.routes.first()?.tariff.as_deref()).unwrap();
    let asked = serde_json::json!({ "number": "+44 7400 123456", "get_ported_date": true });
    let answer = r#"{"result":{"number":"+44 7400 123456","validated_phone_number":"+447400123456","formatted_phone_number":"+44 7400 123456","phone_type":"Mobile","confidence":"Verified"}}"#;
    bencher.bench_local(|| {
        if pays {
            let asked = tariff.look_at(Some(black_box(&asked)), tollgate::policy::tariff::Passed::default());
            let told = tariff.read(black_box(answer)).unwrap();
            tariff.highest(asked) + tariff.price(200, asked, told)
        } else {
            serde_json::from_str::<serde::de::IgnoredAny>(black_box(answer)).map_or(0, |_| 1)
        }
    });
}

/// Holding and settling a credit.
#[divan::bench]
fn hold_and_settle(bencher: Bencher<'_, '_>) {
    let credit_account =
        std::sync::Arc::new(tollgate::policy::credits::CreditAccount::new("acme".into(), "phone".into(), 0));
    assert!(credit_account.balance().grant(1 << 39));
    bencher.bench_local(|| credit_account.hold(1).map(|hold| hold.settle(0)));
}

fn body(bencher: Bencher<'_, '_>, bytes: &[u8]) {
    let policy = policy();
    let rule = policy.products.first().and_then(|product| product.routes.first()?.body.as_ref()).unwrap();
    bencher.bench_local(|| rule.judge(black_box(bytes)).is_ok());
}
