//! Preflights and cross-origin answers (contract, section 9).

use super::{RATE_HEADERS, REFERENCE, check, gateway, lookup, statuses::problems};
use crate::support::{Backend, Configuration, Gateway, Request, Response, VERSIONS};

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .with("Origin", origin)
        .with("Access-Control-Request-Method", "POST")
        .with("Access-Control-Request-Headers", "auth-token,content-type,reference-id")
}

/// The names in a list of a header.
fn names(response: &Response, header: &str) -> Vec<String> {
    let value = response.header(header).unwrap_or_else(|| panic!("no {header}"));
    value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Request headers that the gateway understands, with those of the product.
const READ_BY_THE_GATEWAY: [&str; 10] = [
    "accept",
    "content-type",
    "traceparent",
    "tracestate",
    "idempotency-key",
    "auth-token",
    "x-app-key",
    "reference-id",
    "add-metadata",
    "timeout-seconds",
];

#[test]
fn a_product_can_allow_more_headers() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).yaml();
    let cors = "    cors: { allow_headers: [X-App-Version, x-platform, Accept] }\n    deadline: {";
    let gateway = Gateway::start(&yaml.replacen("    deadline: {", cors, 1));
    for version in VERSIONS {
        for (path, added) in [("/phone/validate/v2", true), ("/email/validate/v2", false)] {
            let response = gateway.send(version, &preflight(path, "https://app.example.com"));
            let allowed = names(&response, "Access-Control-Allow-Headers");
            for name in ["x-app-version", "x-platform"] {
                assert_eq!(allowed.iter().any(|known| known == name), added, "{name} in {allowed:?}");
            }
            for name in READ_BY_THE_GATEWAY {
                assert_eq!(allowed.iter().filter(|known| *known == name).count(), 1, "{name} in {allowed:?}");
            }
        }
        let added = lookup().with("Origin", "https://app.example.com").with("X-App-Version", "7");
        gateway.send(version, &added).assert_success();
    }
}

#[test]
fn a_preflight_needs_no_token() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let (good, evil) = ("https://app.example.com", "https://evil.example");
    for version in VERSIONS {
        for (path, origin) in [
            // Some token of the product has no list.
            ("/phone/validate/v2", evil),
            ("/phone/validation/v2", good),
            ("/phone/validate/v2?a=b", good),
            // All tokens of the product have one.
            ("/web/v1", good),
            ("/web/v1", "https://a.shop.example.com:8443"),
        ] {
            let response = gateway.send(version, &preflight(path, origin).with("Reference-ID", REFERENCE));
            assert_eq!(response.status(), 204, "{path} {origin}");
            assert_eq!(response.header("Access-Control-Allow-Origin"), Some(origin));
            assert_eq!(names(&response, "Access-Control-Allow-Methods"), ["post"]);
            let allowed = names(&response, "Access-Control-Allow-Headers");
            for name in READ_BY_THE_GATEWAY {
                assert_eq!(allowed.iter().filter(|known| *known == name).count(), 1, "{name} in {allowed:?}");
            }
            assert!(response.number("Access-Control-Max-Age") > 0);
            assert_eq!(response.header("Reference-ID"), Some(REFERENCE));
            for name in RATE_HEADERS {
                assert_eq!(response.header(name), None);
            }
        }
        for (request, slug) in [
            (preflight("/web/v1", evil), "domain-not-allowed"),
            (preflight("/web/v1", "https://shop.example.com"), "domain-not-allowed"),
            (preflight("/web/v1", "null"), "domain-not-allowed"),
            (preflight("/web/v1", good).with("Origin", good), "domain-not-allowed"),
            (preflight("/nothing", good), "endpoint-unknown"),
            (preflight("/web/v1", good).without("Origin"), "endpoint-unknown"),
            (preflight("/web/v1", good).without("Access-Control-Request-Method"), "endpoint-unknown"),
        ] {
            let response = gateway.send(version, &request);
            response.assert_problem(slug);
            assert_eq!(response.header("Access-Control-Allow-Methods"), None, "{slug}");
            if slug == "domain-not-allowed" {
                assert_eq!(response.header("Access-Control-Allow-Origin"), None);
            }
        }
        // A method that the path does not have is not promised.
        let put = preflight("/web/v1", good).set("Access-Control-Request-Method", "PUT");
        let response = gateway.send(version, &put);
        if response.status() == 204 {
            assert_eq!(names(&response, "Access-Control-Allow-Methods"), ["post"]);
        }
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn an_allowed_origin_may_read_every_answer() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let (good, evil) = ("https://app.example.com", "https://evil.example");
    let web = |origin: &str| Request::lookup("web").target("/web/v1").with("Origin", origin);
    for version in VERSIONS {
        let mut cases: Vec<(Option<&str>, Request, bool)> = problems()
            .into_iter()
            // This token may not be used from anywhere else.
            .filter(|(slug, _)| *slug != "domain-not-allowed")
            .map(|(slug, request)| (Some(slug), request.with("Origin", good), true))
            .collect();
        cases.extend([
            (None, lookup().with("Origin", evil), true),
            (None, Request::lookup("domain").with("Origin", good), true),
            (Some("domain-not-allowed"), Request::lookup("domain").with("Origin", evil), false),
            (Some("body-empty"), Request::lookup("domain").with("Origin", good).body(""), true),
            (None, web(good), true),
            (Some("domain-not-allowed"), web(evil), false),
            (Some("token-unknown"), web(good).set("Auth-Token", "c4n4ry-none"), true),
            (Some("token-unknown"), web(evil).set("Auth-Token", "c4n4ry-none"), false),
            (Some("token-missing"), web(evil).without("Auth-Token"), false),
            (None, lookup(), false),
            (Some("token-unknown"), Request::lookup("nobody"), false),
        ]);
        for (slug, request, shown) in cases {
            println!("{version:?} {slug:?} {}", request.target.chars().take(60).collect::<String>());
            let response = gateway.send(version, &request);
            check(&response, slug);
            let origin = request.headers.iter().find(|(name, _)| name == "Origin");
            let origin = origin.map(|(_, value)| std::str::from_utf8(value).unwrap());
            assert_eq!(response.header("Access-Control-Allow-Origin"), origin.filter(|_| shown), "{slug:?}");
            assert_eq!(response.header("Access-Control-Allow-Credentials"), None);
            if !shown {
                assert_eq!(response.header("Access-Control-Expose-Headers"), None);
                continue;
            }
            let exposed = names(&response, "Access-Control-Expose-Headers");
            for name in ["reference-id", "transaction-id", "retry-after"]
                .into_iter()
                .map(str::to_owned)
                .chain(RATE_HEADERS.map(str::to_ascii_lowercase))
            {
                assert!(exposed.contains(&name), "{name} is not in {exposed:?}");
            }
        }
    }
}
