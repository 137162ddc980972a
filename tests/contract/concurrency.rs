//! Requests in flight of an account (contract, section 7).

use super::{gateway_with, number_of};
use crate::support::{Backend, Request, VERSIONS, Version, token, until};

/// The limit and the number of requests in flight, as the account is told.
fn in_flight(gateway: &crate::support::Gateway, account: &str) -> (u64, u64) {
    let question = Request::new("GET", "/account/credits").with("Auth-Token", &token(account));
    let told = gateway.send(Version::Http1, &question).json();
    let number = |name: &str| told["concurrency"][name].as_u64().unwrap_or_else(|| panic!("{told}"));
    (number("limit"), number("in_flight"))
}

#[test]
fn as_many_requests_as_the_limit_are_in_flight_and_every_end_gives_its_place_back() {
    let backend = Backend::silent();
    let busy = |number: usize| format!("busy-{number}");
    let terms = "rate: { unlimited: true }\n    quota: { month: 100000 }\n    concurrency: 2";
    let accounts: Vec<(String, String)> = (0..VERSIONS.len()).map(|number| (busy(number), terms.to_owned())).collect();
    let gateway = gateway_with(&backend, &accounts);
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let name = busy(number);
        let seen = backend.requests().len();
        let mut first = gateway.connect();
        first.request(&Request::lookup(&name).with("Timeout-Seconds", "15"));
        let mut second = gateway.connect();
        second.request(&Request::lookup(&name).with("Timeout-Seconds", "2"));
        backend.wait_for_requests(seen + 2);
        assert_eq!(in_flight(&gateway, &name), (2, 2));
        let refused = gateway.send(version, &Request::lookup(&name));
        refused.assert_problem("concurrency-exceeded");
        assert_eq!(number_of(&refused, "Retry-After"), 1);
        // What comes before and behind it in the table.
        gateway.send(version, &Request::lookup(&name).target("/email/validate/v2")).assert_problem("product-mismatch");
        gateway
            .send(version, &Request::lookup(&name).with("Accept", "text/html"))
            .assert_problem("concurrency-exceeded");
        // Others have their own.
        assert_eq!(in_flight(&gateway, &busy((number + 1) % VERSIONS.len())).1, 0);
        // A client that hangs up, and one whose deadline passes.
        drop(first);
        until("the place of a client that has hung up is free", || in_flight(&gateway, &name).1 <= 1);
        second.response().assert_problem("deadline-exceeded");
        until("the place of a late request is free", || in_flight(&gateway, &name).1 == 0);
        // Requests that are refused behind the check hold no place.
        gateway.send(version, &Request::lookup(&name).with("Accept", "text/html")).assert_problem("accept-unsupported");
        gateway.send(version, &Request::lookup(&name).body("{")).assert_problem("body-malformed");
        assert_eq!(in_flight(&gateway, &name).1, 0);
    }
}

/// Whoever waits for each answer before the next request is never refused, however they connect.
#[test]
fn one_request_after_the_other_is_never_too_many() {
    let backend = Backend::answering_json();
    let terms = "rate: { unlimited: true }\n    concurrency: 1".to_owned();
    let gateway = gateway_with(&backend, &[("serial".to_owned(), terms)]);
    for version in VERSIONS {
        for _ in 0..100 {
            gateway.send(version, &Request::lookup("serial")).assert_success();
        }
    }
}
