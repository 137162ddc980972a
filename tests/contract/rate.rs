//! Rates and their headers (contract, section 7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{RATE_HEADERS, REFERENCE, gateway, statuses::problems, unix_seconds};
use crate::support::{Backend, Configuration, Gateway, Request, Response, VERSIONS};

/// Seconds after which one more of the three requests an hour is available.
const ONE_MORE: u64 = 1200;

/// Checks the rate headers of an account with three requests an hour.
fn assert_rate(response: &Response, remaining: u64) {
    assert_eq!(response.number("X-Rate-Limit-Limit"), 3);
    assert_eq!(response.number("X-Rate-Limit-Remaining"), remaining, "{response:?}");
    let until_full = ONE_MORE * (3 - remaining);
    let reset = response.number("X-Rate-Limit-Reset");
    let expected = unix_seconds() + until_full;
    assert!(reset.abs_diff(expected) <= 5, "{reset} is not about {expected}");
    assert_eq!(response.header("RateLimit-Policy"), Some("\"account\";q=3;w=3600"));
    let limit = response.header("RateLimit").unwrap();
    let seconds =
        limit.strip_prefix(&format!("\"account\";r={remaining};t=")).unwrap_or_else(|| panic!("RateLimit is {limit}"));
    assert!(seconds.parse::<u64>().unwrap().abs_diff(until_full) <= 5, "{limit}");
}

#[test]
fn an_account_has_one_rate_for_all_its_tokens() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for (account, version) in VERSIONS.into_iter().enumerate() {
        let small = |rest: &str| Request::lookup(&format!("small-{account}{rest}"));
        let response = gateway.send(version, &small(""));
        response.assert_success();
        assert_rate(&response, 2);
        // Refusals before the check of the rate do not count.
        for (request, slug) in [
            (small("-disabled"), "token-disabled"),
            (small("-ip"), "ip-not-allowed"),
            (small("").target("/email/validate/v2"), "product-mismatch"),
        ] {
            let response = gateway.send(version, &request);
            response.assert_problem(slug);
            assert_rate(&response, 2);
        }
        // Later ones do, with any of the account's tokens.
        let response = gateway.send(version, &small("-second").with("Accept", "text/html"));
        response.assert_problem("accept-unsupported");
        assert_rate(&response, 1);
        let response = gateway.send(version, &small("").body("{"));
        response.assert_problem("body-malformed");
        assert_rate(&response, 0);
        for rest in ["", "-second"] {
            let response = gateway.send(version, &small(rest).with("Reference-ID", REFERENCE));
            response.assert_problem("rate-exceeded");
            assert_rate(&response, 0);
            let wait = response.number("Retry-After");
            assert!((ONE_MORE - 5..=ONE_MORE).contains(&wait), "{wait}");
            assert_eq!(response.header("Reference-ID"), Some(REFERENCE));
        }
        // A refused account still learns first what is wrong with its token.
        gateway.send(version, &small("-disabled")).assert_problem("token-disabled");
    }
}

#[test]
fn rate_headers_are_there_once_the_token_is_known() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let known =
        |slug: &str| !["malformed-request", "endpoint-unknown", "token-missing", "token-unknown"].contains(&slug);
    for version in VERSIONS {
        for (slug, request) in problems() {
            let response = gateway.send(version, &request);
            for name in RATE_HEADERS {
                assert_eq!(response.header(name).is_some(), known(slug), "{name} with {slug}");
            }
        }
    }
}

#[test]
fn whoever_waits_until_the_reset_is_let_through() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).yaml();
    let gateway = Gateway::start(&yaml.replace("limit: 3/h, burst: 3", "limit: 1/s, burst: 1"));
    std::thread::scope(|scope| {
        // Several at different moments of a second, each with a rate of its own.
        for account in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let request = Request::lookup(&format!("small-{account}"));
                let mut client = gateway.connect();
                std::thread::sleep(Duration::from_millis(account * 120));
                client.request(&request);
                let response = client.response();
                response.assert_success();
                let reset = UNIX_EPOCH + Duration::from_secs(response.number("X-Rate-Limit-Reset"));
                while let Ok(wait) = reset.duration_since(SystemTime::now()) {
                    std::thread::sleep(wait);
                }
                client.request(&request);
                client.response().assert_success();
            });
        }
    });
}

/// The list of limits in a header.
fn listed<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    response.header(name).unwrap_or_else(|| panic!("{response:?}")).split(", ").collect()
}

#[test]
fn several_rates_refuse_by_the_first_that_is_used_up() {
    let backend = Backend::answering_json();
    let plan = "plans:\n  gold:\n    rates: [5000/d, { limit: 3/h, burst: 2 }, 600/min]\n    products: [phone]\n";
    let mut yaml = Configuration::new(backend.address()).with(plan).yaml();
    for (number, terms) in [(0, "plan: gold"), (1, "rates: [600/min, { limit: 3/h, burst: 2 }, 5000/d]")] {
        let hash =
            tollgate::policy::account::Digest::of(crate::support::token(&format!("several-{number}")).as_bytes())
                .text();
        let products = if number == 0 { "" } else { ", products: [phone]" };
        yaml += &format!(
            "  several-{number}:\n    {terms}\n    tokens: [{{ name: t, hash: \"{hash}\"{products}, rates: [3000/d] }}]\n"
        );
    }
    let gateway = Gateway::start(&yaml);
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let request = Request::lookup(&format!("several-{number}"));
        for remaining in [1, 0] {
            let response = gateway.send(version, &request);
            response.assert_success();
            // The product's own names tell the rate that is nearest to its end, the others all of them.
            assert_eq!(
                (response.number("X-Rate-Limit-Limit"), response.number("X-Rate-Limit-Remaining")),
                (3, remaining)
            );
            assert_eq!(
                listed(&response, "RateLimit-Policy"),
                [
                    "\"account-minute\";q=600;w=60",
                    "\"account-hour\";q=3;w=3600",
                    "\"account-day\";q=5000;w=86400",
                    "\"token\";q=3000;w=86400"
                ]
            );
        }
        for _ in 0..3 {
            let response = gateway.send(version, &request);
            response.assert_problem("rate-exceeded");
            assert!((ONE_MORE - 5..=ONE_MORE).contains(&response.number("Retry-After")));
            // Refused requests are counted in no rate.
            let states = listed(&response, "RateLimit");
            for (state, begin) in states.iter().zip([
                "\"account-minute\";r=",
                "\"account-hour\";r=0;",
                "\"account-day\";r=4998;",
                "\"token\";r=2998;",
            ]) {
                assert!(state.starts_with(begin), "{states:?}");
            }
        }
    }
}
