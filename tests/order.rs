//! Every combination of faults gets the smallest row: the order of the checks is the order of the
//! table, over real connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::support::{Backend, Gateway, closed_port};
use tollgate::policy::account::Digest;
use tollgate::policy::problem::{Row, TABLE};

/// One thing that can be wrong with a request, and the row that it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fault {
    TwoHosts,
    TwoTokenLines,
    Path,
    NoToken,
    StrangeToken,
    Disabled,
    Expired,
    OtherProduct,
    Network,
    Domain,
    Rate,
    Quota,
    Concurrency,
    Accept,
    ContentType,
    Deadline,
    Reference,
    Metadata,
    TooLarge,
    Empty,
    Syntax,
    NumberMissing,
    CacheDays,
    LiveStatus,
    OutputFormat,
    Credits,
    Upstream,
}

use Fault::*;

/// In order of precedence.
const FAULTS: [(Fault, &str); 27] = [
    (TwoHosts, "malformed-request"),
    (TwoTokenLines, "malformed-request"),
    (Path, "endpoint-unknown"),
    (NoToken, "token-missing"),
    (StrangeToken, "token-unknown"),
    (Disabled, "token-disabled"),
    (Expired, "token-expired"),
    (OtherProduct, "product-mismatch"),
    (Network, "ip-not-allowed"),
    (Domain, "domain-not-allowed"),
    (Rate, "rate-exceeded"),
    (Quota, "quota-exceeded"),
    (Concurrency, "concurrency-exceeded"),
    (Accept, "accept-unsupported"),
    (ContentType, "content-type-unsupported"),
    (Deadline, "timeout-invalid"),
    (Reference, "reference-id-invalid"),
    (Metadata, "add-metadata-invalid"),
    (TooLarge, "body-too-large"),
    (Empty, "body-empty"),
    (Syntax, "body-malformed"),
    (NumberMissing, "number-missing"),
    (CacheDays, "cache-days-unsupported"),
    (LiveStatus, "live-status-country-unsupported"),
    (OutputFormat, "body-invalid"),
    (Credits, "credits-insufficient"),
    (Upstream, "upstream-unavailable"),
];

/// Faults that are properties of the token; each of their combinations has a token of its own.
const TOKEN_FAULTS: [Fault; 9] = [Disabled, Expired, OtherProduct, Network, Domain, Rate, Quota, Concurrency, Credits];

/// Those that all tokens of an account have in common.
const ACCOUNT_FAULTS: [Fault; 4] = [Rate, Quota, Concurrency, Credits];

/// Faults that one request can have at once: not no body and something in it, and not two lines
/// of a token that is not sent.
fn possible(faults: &[Fault]) -> bool {
    let has = |fault| faults.contains(&fault);
    let in_body = [TooLarge, Syntax, NumberMissing, CacheDays, LiveStatus, OutputFormat];
    !(has(Empty) && in_body.into_iter().any(has)) && !(has(NoToken) && has(TwoTokenLines))
}

fn token(faults: &[Fault]) -> String {
    if faults.contains(&StrangeToken) {
        return "order-strange".to_owned();
    }
    TOKEN_FAULTS
        .iter()
        .filter(|fault| faults.contains(fault))
        .fold("order".to_owned(), |name, fault| format!("{name}-{fault:?}"))
}

/// The request with these faults and no others.
fn request(faults: &[Fault]) -> String {
    let has = |fault| faults.contains(&fault);
    let pick = |fault, wrong: &str, right: &str| if has(fault) { wrong.to_owned() } else { right.to_owned() };
    let path = match (has(Path), has(Upstream)) {
        (true, _) => "/nothing/here",
        (false, true) => "/phone/down",
        (false, false) => "/phone/validate/v2",
    };
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n");
    if !has(NoToken) {
        let line = format!("Auth-Token: {}\r\n", token(faults));
        head += &line.repeat(if has(TwoTokenLines) { 2 } else { 1 });
    }
    head += &pick(TwoHosts, "Host: api.example.com\r\n", "");
    head += &format!("Origin: https://{}\r\n", pick(Domain, "evil.example", "app.example.com"));
    head += &format!("Accept: {}\r\n", pick(Accept, "text/html", "application/json"));
    head += &format!("Content-Type: {}\r\n", pick(ContentType, "text/plain", "application/json"));
    head += &format!("Timeout-Seconds: {}\r\n", pick(Deadline, "99", "5"));
    head += &format!("Reference-ID: {}\r\n", pick(Reference, "a;b", "order"));
    head += &format!("Add-Metadata: {}\r\n", pick(Metadata, "maybe", "true"));
    let mut body = String::new();
    if !has(Empty) {
        body += "{";
        body += &pick(NumberMissing, "", "\"number\":\"+44 20 7946 0018\",");
        body += &pick(CacheDays, "\"cache_value_days\":31,", "");
        body += &pick(LiveStatus, "\"supplementary_live_status\":{\"mobile\":[\"ATLANTIS\"]},", "");
        body += &pick(OutputFormat, "\"output_format\":\"much too long for a format\",", "");
        body += &format!("\"padding\":\"{}\"", pick(TooLarge, &"x".repeat(20_000), ""));
        body += &pick(Syntax, "]", "}");
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The faults of a list whose bits are set.
fn set_of(faults: &[Fault], bits: usize) -> Vec<Fault> {
    faults.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, fault)| *fault).collect()
}

/// The faults of each account, which is called by its place here.
fn accounts() -> impl Iterator<Item = (usize, Vec<Fault>)> {
    (0..1 << ACCOUNT_FAULTS.len()).map(|bits| (bits, set_of(&ACCOUNT_FAULTS, bits)))
}

fn configuration(backend: SocketAddr, closed: SocketAddr, silent: SocketAddr) -> String {
    let mut yaml = include_str!("../config/demo.yaml").replace("127.0.0.1:9001", &backend.to_string());
    yaml = yaml.replace(
        "upstreams:\n",
        &format!("upstreams:\n  down: {{ servers: [{closed}] }}\n  silent: {{ servers: [{silent}] }}\n"),
    );
    let phone = yaml.split("\n  phone:\n").nth(1).unwrap().split("\n  email:\n").next().unwrap();
    let down = phone
        .replace("upstream: lookup", "upstream: down")
        .replace("/phone/validate/v2", "/phone/down")
        .replace("/phone/validation/v2", "/phone/down/too");
    // Where requests stay in flight.
    let hang = "    upstream: silent\n    routes: [GET /hang]\n    token_headers: [Auth-Token]\n    deadline: { default: 10m }\n";
    yaml = yaml.replace("\n  email:\n", &format!("\n  down:\n{down}\n  hang:\n{hang}\n  email:\n"));
    yaml = yaml.replace("credits: { phone: unmetered }", "credits: { phone: unmetered, down: unmetered }");
    for (account, of_account) in accounts() {
        let pick = |fault, wrong: &'static str, right| if of_account.contains(&fault) { wrong } else { right };
        writeln!(
            yaml,
            "  account-{account}:\n    rate: {}",
            pick(Rate, "{ limit: 1/d, burst: 1 }", "{ unlimited: true }")
        )
        .unwrap();
        yaml += pick(Quota, "    quota: { month: 1 }\n", "");
        yaml += pick(Concurrency, "    concurrency: 1\n", "");
        let credits = pick(Credits, "0", "1000000");
        writeln!(yaml, "    credits: {{ phone: {credits}, down: {credits} }}\n    tokens:").unwrap();
        let plain = Digest::of(format!("order-account-{account}").as_bytes()).text();
        writeln!(yaml, "      - {{ name: plain, hash: \"{plain}\", products: [phone, hang] }}").unwrap();
        for bits in 0..1 << TOKEN_FAULTS.len() {
            let faults = set_of(&TOKEN_FAULTS, bits);
            let has = |fault| faults.contains(&fault);
            if ACCOUNT_FAULTS.into_iter().any(|fault| has(fault) != of_account.contains(&fault)) {
                continue;
            }
            let mut line =
                format!("      - {{ name: t{bits}, hash: \"{}\"", Digest::of(token(&faults).as_bytes()).text());
            line += if has(OtherProduct) { ", products: [email]" } else { ", products: [phone, down]" };
            line += if has(Disabled) { ", disabled: true" } else { "" };
            line += if has(Expired) { ", expires: 2020-01-01" } else { "" };
            line += if has(Network) { ", networks: [203.0.113.0/24]" } else { "" };
            writeln!(yaml, "{line}, domains: [app.example.com] }}").unwrap();
        }
    }
    yaml
}

/// All sets of up to three faults, and some larger ones.
fn combinations() -> Vec<Vec<Fault>> {
    let all: Vec<Fault> = FAULTS.iter().map(|(fault, _)| *fault).collect();
    let mut sets = vec![Vec::new()];
    for (first, a) in all.iter().enumerate() {
        sets.push(vec![*a]);
        for (second, b) in all.iter().enumerate().skip(first + 1) {
            sets.push(vec![*a, *b]);
            sets.extend(all.iter().skip(second + 1).map(|c| vec![*a, *b, *c]));
        }
    }
    // Pseudo-random bit patterns, the same in each run.
    let mut state = 1_u64;
    for _ in 0..1000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sets.push(
            all.iter().enumerate().filter(|(bit, _)| state >> (20 + bit) & 1 == 1).map(|(_, fault)| *fault).collect(),
        );
    }
    sets.retain(|faults| possible(faults));
    sets
}

#[test]
fn every_combination_of_faults_gets_the_smallest_row() {
    let [backend, silent] = [Backend::answering_json(), Backend::silent()];
    let gateway = Gateway::start(&configuration(backend.address(), closed_port(), silent.address()));
    // Each account makes its one request; where that has to be one in flight, it stays so.
    let mut in_flight = Vec::new();
    for (account, faults) in accounts() {
        if faults.contains(&Concurrency) {
            let mut client = gateway.connect();
            client.send(format!("GET /hang HTTP/1.1\r\nHost: a\r\nAuth-Token: order-account-{account}\r\n\r\n"));
            in_flight.push(client);
            silent.wait_for_requests(in_flight.len());
        } else if faults.contains(&Rate) || faults.contains(&Quota) {
            gateway.exchange(&format!(
                "POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\nAuth-Token: order-account-{account}\r\nConnection: close\r\n\r\n"
            ));
        }
    }
    let slugs: BTreeMap<Fault, &str> = FAULTS.into_iter().collect();
    let sets = combinations();
    assert!(sets.len() > 2500, "{} combinations", sets.len());
    for faults in &sets {
        let response = gateway.exchange(&request(faults));
        match faults.iter().min() {
            Some(smallest) => response.assert_problem(slugs[smallest]),
            None => assert_eq!(response.status(), 200),
        }
    }
}

#[test]
fn the_faults_are_in_the_order_of_the_table() {
    let rows: Vec<Row> = FAULTS
        .iter()
        .map(|(fault, slug)| match fault {
            NumberMissing => Row::Own(0),
            CacheDays => Row::Own(1),
            LiveStatus => Row::Own(2),
            _ => Row::from_slug(slug).unwrap(),
        })
        .collect();
    assert!(rows.is_sorted(), "{rows:?}");
    // Rows that need a state of the gateway or of time, or another route, have tests of their own.
    let elsewhere = [
        "request-timeout",
        "overloaded",
        "parameter-invalid",
        "idempotency-key-reused",
        "credits-unavailable",
        "deadline-exceeded",
        "upstream-failed",
        "internal",
    ];
    for definition in TABLE {
        let here = FAULTS.iter().any(|(_, slug)| *slug == definition.slug);
        assert!(here != elsewhere.contains(&definition.slug), "{}", definition.slug);
    }
}
