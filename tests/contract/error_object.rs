//! The two forms of an error (contract, section 2).

use super::{gateway, lookup, raw, statuses::problems};
use crate::support::{Backend, Configuration, Gateway, Request, VERSIONS, Version};

#[test]
fn problem_json_is_what_a_client_gets_that_prefers_it() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let preferred = "application/problem+json, application/json;q=0.5";
    for version in VERSIONS {
        for (slug, request) in problems() {
            println!("{version:?} {slug}");
            let wanted = if slug == "accept-unsupported" { "application/problem+json" } else { preferred };
            gateway.send(version, &request.set("Accept", wanted)).assert_problem_json(slug);
        }
    }
}

#[test]
fn an_instance_is_cut_at_256_bytes_and_escaped() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let long = format!("/{}", "a".repeat(1000));
        for (target, instance) in [("/a%22b?c=d", "/a%22b".to_owned()), (&long, long[..256].to_owned())] {
            let response = gateway.send(version, &lookup().target(target));
            response.assert_problem("endpoint-unknown");
            assert_eq!(response.json()["error"]["instance"], instance);
        }
    }
    for target in ["/a\"b", "/a\"b?c", "http://api.example.com/a\"b"] {
        let response = gateway.exchange(raw(&format!("GET {target} HTTP/1.1\nHost: api.example.com"), ""));
        response.assert_problem("endpoint-unknown");
        assert_eq!(response.json()["error"]["instance"], "/a\"b");
    }
}

#[test]
fn an_error_has_the_form_that_accept_prefers() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (accept, problem_json) in [
            ("application/problem+json, application/json;q=0.9", true),
            ("application/problem+json, */*;q=0.1", true),
            ("application/problem+json;q=0.5, application/json", false),
            ("application/json, application/problem+json", false),
            ("*/*", false),
            ("application/json", false),
        ] {
            let response = gateway.send(version, &Request::lookup("nobody").with("Accept", accept));
            if problem_json {
                response.assert_problem_json("token-unknown");
            } else {
                response.assert_problem("token-unknown");
            }
        }
        // A success is never in the form of a problem.
        let both = lookup().with("Accept", "application/problem+json, application/json;q=0.1");
        let response = gateway.send(version, &both);
        response.assert_success();
        assert_eq!(response.header("Content-Type"), Some("application/json"));
    }
}

const PORTAL: &str = "https://portal.example.com/#/tokens";
const SUPPORT: &str = "https://example.com/support";
const FORMATS: &str = "https://api.example.com/docs/reference/formats";
const RATES: &str = "https://api.example.com/docs/reference/rate-limits";
const STATUS: &str = "https://api.example.com/docs/status";

/// The problems whose details say where to go for more, and where that is (contract, section 2).
const WHERE_TO_GO: [(&str, &str); 18] = [
    ("token-missing", PORTAL),
    ("token-unknown", PORTAL),
    ("token-disabled", PORTAL),
    ("token-expired", PORTAL),
    ("product-mismatch", PORTAL),
    ("credits-insufficient", PORTAL),
    ("domain-not-allowed", PORTAL),
    ("ip-not-allowed", PORTAL),
    ("accept-unsupported", FORMATS),
    ("content-type-unsupported", FORMATS),
    ("rate-exceeded", RATES),
    ("concurrency-exceeded", RATES),
    ("upstream-unavailable", STATUS),
    ("credits-unavailable", STATUS),
    ("overloaded", STATUS),
    ("endpoint-unknown", SUPPORT),
    ("upstream-failed", SUPPORT),
    ("internal", SUPPORT),
];

#[test]
fn a_detail_says_where_to_go_for_more() {
    let backend = Backend::answering_json();
    let pages = format!("pages: {{ portal: \"{PORTAL}\", support: {{ email: help@example.com, url: {SUPPORT} }} }}\n");
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&pages).yaml());
    let detail_of = |object: &serde_json::Value| object["error"]["detail"].as_str().unwrap().to_owned();
    for (slug, place) in WHERE_TO_GO {
        println!("{slug}");
        let page = Request::new("GET", &format!("/docs/problems/{slug}")).with("Accept", "application/json");
        let page = gateway.send(Version::Http1, &page).json();
        let detail = detail_of(&page["object"]);
        assert!(detail.contains(&format!("({place})")), "{slug}: {detail}");
        if place != STATUS {
            let see: Vec<&str> =
                page["see"].as_array().unwrap().iter().map(|place| place["url"].as_str().unwrap()).collect();
            assert_eq!(see, [place], "{slug}");
        }
        // What clients get is what the page says.
        for (_, request) in problems().into_iter().filter(|(known, _)| *known == slug && slug != "endpoint-unknown") {
            assert_eq!(detail_of(&gateway.send(Version::Http2, &request).json()), detail);
        }
    }
}

#[test]
fn a_detail_does_not_name_what_does_not_exist() {
    let backend = Backend::answering_json();
    let own = "problems:\n  token-missing: { status: 400, detail: \"Log in at {portal}. Send a token. Or ask {support}!\" }\n";
    let yaml = Configuration::new(backend.address())
        .with("pages: { serve: false }\n")
        .yaml()
        .replace("problems:\n  n", &format!("{own}  n"));
    let gateway = Gateway::start(&yaml);
    for (slug, request) in problems() {
        let response = gateway.send(Version::Http1, &request);
        let object = response.json();
        let detail = object.pointer("/error/detail").or(object.get("detail")).unwrap().as_str().unwrap();
        for word in ["{", "http", "Self Service Portal", "support (", "see ", "status page"] {
            assert!(!detail.contains(word), "{word} in {slug}: {detail}");
        }
        if slug == "token-missing" {
            assert_eq!(detail, "Send a token.");
        }
    }
}
