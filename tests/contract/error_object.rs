//! The two forms of an error (contract, section 2).

use super::{gateway, lookup, raw, statuses::problems};
use crate::support::{Backend, Request, VERSIONS};

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
