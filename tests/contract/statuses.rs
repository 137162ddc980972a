//! Every problem, in order of precedence (contract, section 3), and what goes with its status.

use super::{REFERENCE, gateway, lookup, raw};
use crate::support::{Backend, Configuration, Gateway, Request, VERSIONS, Version, paying, token};

/// A request for each way into each row that needs no time and no state.
pub fn problems() -> Vec<Case> {
    [malformed(), endpoints_and_tokens(), lists_and_headers(), bodies()].concat()
}

/// The slug of a problem, and a request that has it.
type Case = (&'static str, Request);

fn target(text: &str) -> Request {
    lookup().target(text)
}

fn malformed() -> Vec<Case> {
    let long = "a".repeat(8200);
    let many = (0..65).fold(lookup(), |request, line| request.with(&format!("X-Line-{line}"), "a"));
    vec![
        ("malformed-request", lookup().with("Auth-Token", &token("live"))),
        ("malformed-request", lookup().with("Auth-Token", &token("other"))),
        ("malformed-request", lookup().with("x-app-key", &token("other"))),
        ("malformed-request", target(&format!("/phone/{long}"))),
        ("malformed-request", target(&format!("/phone/validate/v2?{long}"))),
        ("malformed-request", many),
        ("malformed-request", lookup().with("X-Long", &"a".repeat(17_000))),
        ("malformed-request", target("/phone//validate/v2")),
        ("malformed-request", target("//phone/validate/v2")),
        ("malformed-request", target("/phone/./validate/v2")),
        ("malformed-request", target("/phone/../phone/validate/v2")),
        ("malformed-request", target("/phone/%2e%2e/phone/validate/v2")),
        ("malformed-request", target("/phone%2fvalidate/v2")),
        ("malformed-request", target("/phone%2Fvalidate/v2")),
        ("malformed-request", target("/phone%5cvalidate/v2")),
        ("malformed-request", target("/phone/validate/v2%00")),
        ("malformed-request", target("/phone/validate/v2;a=b")),
        ("malformed-request", target("/phone/validate/v2%")),
    ]
}

fn endpoints_and_tokens() -> Vec<Case> {
    vec![
        ("endpoint-unknown", target("/")),
        ("endpoint-unknown", target("/phone/validate")),
        ("endpoint-unknown", target("/phone/validate/v2/")),
        ("endpoint-unknown", target("/phone/validate/v2x")),
        ("endpoint-unknown", target("/Phone/validate/v2")),
        ("endpoint-unknown", target("/phone/validate/%762")),
        ("endpoint-unknown", target("/metrics")),
        ("endpoint-unknown", target("/healthz").method("GET")),
        ("endpoint-unknown", lookup().method("GET").body("")),
        ("endpoint-unknown", lookup().method("PUT")),
        ("endpoint-unknown", lookup().method("post")),
        ("endpoint-unknown", lookup().method("OPTIONS")),
        ("token-missing", lookup().without("Auth-Token")),
        ("token-missing", lookup().set("Auth-Token", "")),
        ("token-missing", lookup().without("Auth-Token").with("x-app-key", "")),
        ("token-missing", lookup().without("Auth-Token").with("auth_token", &token("live"))),
        ("token-missing", lookup().without("Auth-Token").with("Authorization", &token("live"))),
        ("token-missing", lookup().without("Auth-Token").target("/phone/validate/v2?Auth-Token=c4n4ry-live")),
        ("token-missing", lookup().without("Auth-Token").body(r#"{"number":"1","Auth-Token":"c4n4ry-live"}"#)),
        ("token-unknown", Request::lookup("nobody")),
        ("token-unknown", Request::lookup("LIVE")),
        ("token-unknown", lookup().set("Auth-Token", &format!("{} x", token("live")))),
        ("token-unknown", lookup().set("Auth-Token", &"c4n4ry".repeat(1300))),
        ("token-unknown", lookup().without("Auth-Token").with_bytes("Auth-Token", b"c4n4ry-\xff\xfe")),
        ("token-unknown", lookup().without("Auth-Token").with("x-app-key", &token("nobody"))),
        ("token-disabled", Request::lookup("disabled")),
        ("token-expired", Request::lookup("expired")),
        ("product-mismatch", Request::lookup("other")),
        ("product-mismatch", lookup().target("/email/validate/v2")),
    ]
}

fn lists_and_headers() -> Vec<Case> {
    vec![
        ("ip-not-allowed", Request::lookup("ip")),
        ("domain-not-allowed", Request::lookup("domain")),
        ("accept-unsupported", lookup().with("Accept", "text/html")),
        ("content-type-unsupported", lookup().without("Content-Type")),
        ("timeout-invalid", lookup().with("Timeout-Seconds", "1")),
        ("reference-id-invalid", lookup().set("Reference-ID", "a;b")),
        ("add-metadata-invalid", lookup().with("Add-Metadata", "yes")),
    ]
}

fn bodies() -> Vec<Case> {
    let nested = |depth: usize| format!(r#"{{"number":"c4n4ry","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let body = |text: &str| lookup().body(text);
    let member = |text: &str| lookup().body(format!(r#"{{"number":"c4n4ry",{text}}}"#));
    vec![
        ("body-too-large", body(&format!("{{\"number\":\"{}\"}}", "1".repeat(16_384)))),
        ("body-too-large", body(&" ".repeat(200_000))),
        ("body-empty", body("")),
        ("body-malformed", body("{")),
        ("body-malformed", body("{}{}")),
        ("body-malformed", body("number=1")),
        ("body-malformed", body("\u{feff}\u{feff}{\"number\":\"1\"}")),
        ("body-empty", body("\u{feff}")),
        ("body-malformed", body("{'number':'1'}")),
        ("body-malformed", body("{\"number\":\"1\",}")),
        ("body-malformed", body("{\"number\":NaN}")),
        ("body-malformed", body("{\"number\":\"a\nb\"}")),
        ("body-malformed", lookup().body(b"{\"number\":\"\xff\"}")),
        ("body-malformed", body(r#"{"number":"\ud800"}"#)),
        ("body-malformed", body(r#"{"number":"1","number":"2"}"#)),
        ("body-malformed", body(r#"{"number":"1","num\u0062er":"2"}"#)),
        ("body-malformed", member(r#""x":{"y":[{"a":1,"a":1}]}"#)),
        ("body-malformed", lookup().body(nested(40))),
        ("body-malformed", lookup().body("[".repeat(16_000))),
        ("number-missing", body("{}")),
        ("number-missing", body(r#"{"number":null}"#)),
        ("number-missing", body(r#"{"number":""}"#)),
        ("cache-days-unsupported", member(r#""cache_value_days":31"#)),
        ("cache-days-unsupported", member(r#""cache_value_days":-1"#)),
        ("cache-days-unsupported", member(r#""cache_value_days":1.5"#)),
        ("cache-days-unsupported", member(r#""cache_value_days":"7""#)),
        // No number that a parser can hold is this large.
        ("body-malformed", member(r#""cache_value_days":1e400"#)),
        ("live-status-country-unsupported", member(r#""supplementary_live_status":{"mobile":["ATL"]}"#)),
        ("live-status-country-unsupported", member(r#""supplementary_live_status":{"landline":["GBR","ATL"]}"#)),
        ("body-invalid", body("[]")),
        ("body-invalid", body(r#"{"number":7}"#)),
        ("body-invalid", member(r#""output_format":"longer than ten""#)),
        ("body-invalid", member(r#""country_iso":"GBRX""#)),
        ("body-invalid", member(r#""get_ported_date":1"#)),
        ("upstream-unavailable", lookup().target("/phone/down")),
    ]
}

#[test]
fn every_problem_is_the_whole_error_object_and_echoes_the_reference() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (slug, request) in problems() {
            let named = request.headers.iter().any(|(name, _)| name == "Reference-ID");
            let request = if named { request } else { request.with("Reference-ID", REFERENCE) };
            let shown = format!("{version:?} {slug}: {} {:.200}", request.method, request.target);
            println!("{shown}");
            let response = gateway.send(version, &request);
            response.assert_problem(slug);
            let echoed = response.header("Reference-ID") == Some(REFERENCE);
            assert_eq!(echoed, slug != "reference-id-invalid", "{shown}");
        }
    }
    assert_eq!(backend.requests().len(), 0, "a refused request reached the backend");
}

#[test]
fn a_known_path_with_another_method_is_unknown_and_names_the_right_one() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (request, allow) in [
            (lookup().method("GET").body(""), Some("POST")),
            (lookup().method("DELETE"), Some("POST")),
            (lookup().method("HEAD").body(""), Some("POST")),
            (lookup().target("/nothing"), None),
        ] {
            let response = gateway.send(version, &request);
            response.assert_problem("endpoint-unknown");
            let methods: Vec<&str> = response.header("Allow").into_iter().flat_map(|value| value.split(", ")).collect();
            assert_eq!(methods.contains(&"POST"), allow.is_some(), "{methods:?}");
        }
    }
}

#[test]
fn a_connect_is_malformed() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for target in ["api.example.com:443", "/phone/validate/v2"] {
        gateway
            .exchange(raw(&format!("CONNECT {target} HTTP/1.1\nHost: api.example.com:443"), ""))
            .assert_problem("malformed-request");
    }
    gateway.send(Version::Http2, &Request::new("CONNECT", "api.example.com:443")).assert_problem("malformed-request");
}

#[test]
fn head_goes_with_get_on_what_the_gateway_serves_itself() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("payer", "5")]));
    for version in VERSIONS {
        for path in ["/", "/reference", "/problems/token-unknown", "/status.json", "/account/credits"] {
            println!("{version:?} {path}");
            let request = |method: &str| Request::new(method, path).with("Auth-Token", &token("payer"));
            let (head, get) = (gateway.send(version, &request("HEAD")), gateway.send(version, &request("GET")));
            assert_eq!((head.status(), get.status()), (200, 200));
            for name in ["Content-Type", "Cache-Control"] {
                assert_eq!(head.header(name), get.header(name), "{name}");
            }
            assert_eq!(get.number("Content-Length"), get.body().len() as u64);
            assert!(head.number("Content-Length") > 0 && head.body().is_empty());
            let refused = gateway.send(version, &request("DELETE"));
            refused.assert_problem("endpoint-unknown");
            assert_eq!(refused.header("Allow"), Some("GET, HEAD"));
        }
        // Without a token nothing is revealed, with either method.
        gateway.send(version, &Request::new("HEAD", "/account/credits")).assert_problem("token-missing");
        let refused = gateway.send(version, &lookup().method("HEAD").body(""));
        refused.assert_problem("endpoint-unknown");
        assert_eq!(refused.header("Allow"), Some("POST"));
    }
}

#[test]
fn the_root_leads_people_to_the_pages_and_programs_to_the_openapi_document() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for path in ["/", "/docs", "/docs/"] {
            for accept in [None, Some("*/*"), Some("application/json")] {
                let request = accept
                    .into_iter()
                    .fold(Request::new("GET", path), |request, accept| request.with("Accept", accept));
                let response = gateway.send(version, &request);
                assert_eq!(response.status(), 200, "{path} {accept:?}");
                assert_eq!(response.json()["openapi"], "https://api.example.com/docs/openapi.json");
                assert_eq!(response.json()["reference"], "https://api.example.com/docs/reference");
            }
            let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
            let response = gateway.send(version, &Request::new("GET", path).with("Accept", browser));
            assert_eq!((response.status(), response.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
            let html = String::from_utf8(response.body().to_vec()).unwrap();
            for link in ["/docs/reference", "/docs/problems", "/docs/openapi.json", "/docs/status"] {
                assert!(html.contains(&format!("href=\"{link}\"")), "{link} in {html}");
            }
        }
    }
    // Without pages there is nothing to lead to, and a product can have the root.
    let yaml = Configuration::new(backend.address()).yaml();
    let without = Gateway::start(&format!("{yaml}pages: {{ serve: false }}\n"));
    without.send(Version::Http1, &Request::new("GET", "/")).assert_problem("endpoint-unknown");
    let own = Gateway::start(&yaml.replace("routes: [POST /web/v1]", "routes: [POST /web/v1, POST /]"));
    own.send(Version::Http1, &Request::new("POST", "/")).assert_problem("token-missing");
    let response = own.send(Version::Http1, &Request::new("GET", "/"));
    response.assert_problem("endpoint-unknown");
    assert_eq!(response.header("Allow"), Some("POST"));
}

#[test]
fn a_body_where_there_is_none_is_told_so() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).yaml();
    let (start, plain) = (
        "products:\n",
        "products:\n  plain:\n    upstream: lookup\n    routes: [GET /plain]\n    token_headers: [Auth-Token]\n    headers:\n      Reference-ID: { pattern: '[A-Za-z0-9-]+', echo: true, problem: reference-id-invalid }\n",
    );
    let yaml = yaml.replacen(start, plain, 1).replace("products: [phone, down]", "products: [phone, down, plain]");
    let gateway = Gateway::start(&yaml);
    for version in VERSIONS {
        let request = lookup().method("GET").target("/plain");
        let response = gateway.send(version, &request);
        response.assert_problem("body-too-large");
        let detail = response.json()["error"]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("takes no body") && !detail.contains('0'), "{detail}");
        gateway.send(version, &request.body("")).assert_success();
    }
}

#[test]
fn the_answer_to_head_has_no_body() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    for request in
        [lookup().method("HEAD").body(""), Request::new("HEAD", "/nothing"), Request::new("HEAD", "/phone/validate/v2")]
    {
        client.request(&request);
        client.response().assert_problem("endpoint-unknown");
        gateway.send(Version::Http2, &request).assert_problem("endpoint-unknown");
    }
    client.request(&lookup());
    client.response().assert_success();
}

/// Also where the rest of the head cannot be read: the method begins it.
#[test]
fn the_answer_to_an_unreadable_head_request_has_no_body() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for rest in [
        "/phone/validate/v2 HTTP/1.1\nHost: a\n\n",
        "/phone/validate/v2 HTTP/9.9\r\nHost: a\r\n\r\n",
        " /phone/validate/v2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "/phone/validate/v2 HTTP/1.1\r\nHost: a\r\n X: a\r\n\r\n",
        "/phone/validate/v2 HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(format!("HEAD {rest}"));
        let answer = client.any_path_response();
        answer.assert_problem("malformed-request");
        assert_ne!(answer.header("Content-Length"), Some("0"), "{rest:?}");
        assert_eq!(client.rest(), 0, "{rest:?}");
    }
}
