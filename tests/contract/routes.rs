//! Routes with parameters, several routes of one product, hosts and rewrites (contract, section 11).

use std::fmt::Write as _;

use tollgate::policy::account::Digest;

use crate::support::{Backend, Gateway, Request, VERSIONS, token};

/// The header that every answer repeats.
const REFERENCE: &str =
    "headers: { Reference-ID: { pattern: '[A-Za-z0-9-]+', echo: true, problem: reference-id-invalid } }";

/// A configuration whose products have these keys each.
pub fn yaml(backend: &Backend, products: &[(&str, &str)]) -> String {
    let mut yaml = format!(
        "h2c: true\nworkers: 2\npublic_url: https://api.example.com/docs\n\
         upstreams:\n  lookup: {{ servers: [{}], host: lookup.internal }}\nproducts:\n",
        backend.address()
    );
    for (name, keys) in products {
        writeln!(yaml, "  {name}:\n    upstream: lookup\n    token_headers: [Auth-Token]\n    {REFERENCE}").unwrap();
        keys.lines().for_each(|line| writeln!(yaml, "    {line}").unwrap());
    }
    let names: Vec<&str> = products.iter().map(|(name, _)| *name).collect();
    let digest = Digest::of(token("live").as_bytes()).text();
    write!(
        yaml,
        "accounts:\n  main:\n    rate: {{ limit: 600000/min }}\n    tokens:\n      \
         - {{ name: live, hash: \"{digest}\", products: [{}] }}\n",
        names.join(", ")
    )
    .unwrap();
    yaml
}

/// A request with a token that may have everything.
pub fn request(method: &'static str, target: &str) -> Request {
    Request::new(method, target).with("Auth-Token", &token("live"))
}

/// The request line that the backend got last.
fn asked(backend: &Backend) -> String {
    String::from_utf8(backend.last_request()).unwrap().lines().next().unwrap().to_owned()
}

const VAT: &str = r#"routes:
  - route: GET /v1/vat/{number}
    parameters:
      number: { pattern: "[A-Z]{2}[0-9A-Z]{2,12}", max: 14, example: DE811907980 }
    query:
      date: { pattern: "[0-9]{4}-[0-9]{2}-[0-9]{2}" }
      detail: { one_of: [full, short], ignore_case: true }
      tag: { repeat: true, max: 8 }
      reason: { required: true }
"#;

#[test]
fn a_parameter_is_one_segment_judged_after_decoding_and_forwarded_in_one_encoding() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&yaml(&backend, &[("vat", VAT)]));
    for version in VERSIONS {
        for (target, forwarded) in [
            ("/v1/vat/DE811907980?reason=x", "/v1/vat/DE811907980?reason=x"),
            ("/v1/vat/%44E811907980?reason=a+b", "/v1/vat/DE811907980?reason=a%20b"),
            ("/v1/vat/DE811907980?reason=%c3%a9&other=1", "/v1/vat/DE811907980?reason=%C3%A9&other=1"),
            ("/v1/vat/DE811907980?re%61son=1;number=2", "/v1/vat/DE811907980?reason=1%3Bnumber%3D2"),
            (
                "/v1/vat/DE811907980?tag=a&reason=r&tag=b&detail=FULL&&x",
                "/v1/vat/DE811907980?tag=a&reason=r&tag=b&detail=FULL&x",
            ),
        ] {
            gateway.send(version, &request("GET", target)).assert_success();
            assert_eq!(asked(&backend), format!("GET {forwarded} HTTP/1.1"), "{target}");
        }
    }
}

#[test]
fn whatever_is_wrong_with_a_path_or_a_query_is_told() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&(yaml(&backend, &[("vat", VAT), ("strict", STRICT)]) + OWN_ROW));
    let invalid = |what: &str| {
        format!(
            "A parameter in the address of the request is not valid: {what}. Correct that and send the request again."
        )
    };
    let number = "number must be at most 14 characters that match [A-Z]{2}[0-9A-Z]{2,12}";
    for version in VERSIONS {
        for (target, what) in [
            ("/v1/vat/811907980?reason=x", number),
            ("/v1/vat/DE81190798000000?reason=x", number),
            ("/v1/vat/DE%20811907980?reason=x", number),
            ("/v1/vat/?reason=x", "number is missing"),
            ("/v1/vat/DE811907980", "reason is missing"),
            ("/v1/vat/DE811907980?reason=", "reason is missing"),
            ("/v1/vat/DE811907980?reason=x&reason=y", "reason is sent more than once"),
            ("/v1/vat/DE811907980?reason=x%00", "reason must be text of at most 256 bytes"),
            (
                "/v1/vat/DE811907980?reason=x&date=31.1.2026",
                "date must be at most 256 characters that match [0-9]{4}-[0-9]{2}-[0-9]{2}",
            ),
            ("/v1/vat/DE811907980?reason=x&detail=all", "detail must be one of full, short, in any case of letters"),
            ("/v1/vat/DE811907980?reason=x&tag=123456789", "tag must be text of at most 8 bytes"),
            ("/strict?mail=a@example.com&x=1", "the query has a parameter that this endpoint does not know"),
        ] {
            let response = gateway.send(version, &request("GET", target));
            response.assert_problem("parameter-invalid");
            assert_eq!(response.json()["error"]["detail"], *invalid(what), "{target}");
        }
        let own = gateway.send(version, &request("GET", "/strict?mail=nobody"));
        own.assert_problem("mail-invalid");
        for (method, target) in [
            ("GET", "/v1/vat"),
            ("GET", "/v1/vat/DE811907980/more"),
            ("GET", "/v1/VAT/DE811907980"),
            ("POST", "/v1/vat/DE811907980?reason=x"),
            ("HEAD", "/v1/vat/DE811907980?reason=x"),
        ] {
            gateway.send(version, &request(method, target)).assert_problem("endpoint-unknown");
        }
        for target in ["/v1/vat/DE%2f811907980", "/v1/vat/..", "/v1/vat/%2e%2e", "/v1/vat//DE1"] {
            gateway.send(version, &request("GET", target)).assert_problem("malformed-request");
        }
    }
    assert_eq!(backend.requests().len(), 0, "nothing of this reaches the backend");
}

const STRICT: &str = r#"routes:
  - route: GET /strict
    undeclared_query: refuse
    query:
      mail: { required: true, pattern: "[^@]+@[^@]+", problem: mail-invalid }
"#;

const OWN_ROW: &str = "problems:\n  mail-invalid: { status: 400, detail: Send a mail address. }\n";

#[test]
fn a_product_has_several_methods_and_each_route_its_own_body() {
    let backend = Backend::answering_json();
    let keys = r#"body: { schema: { type: object, required: [ids], properties: { ids: { type: array } } } }
routes:
  - "GET /v1/items/{id}"
  - POST /v1/items
  - route: PUT /v1/items/{id}
    body: { max: 20B, schema: { type: object, required: [name] } }
  - { route: POST /v1/refresh, takes_body: false }
"#;
    let gateway = Gateway::start(&yaml(&backend, &[("items", keys)]));
    let json = |method: &'static str, target: &str, body: &str| {
        request(method, target).with("Content-Type", "application/json").body(body)
    };
    for version in VERSIONS {
        gateway.send(version, &request("GET", "/v1/items/7")).assert_success();
        assert_eq!(asked(&backend), "GET /v1/items/7 HTTP/1.1");
        gateway.send(version, &json("POST", "/v1/items", r#"{"ids":[]}"#)).assert_success();
        gateway.send(version, &json("PUT", "/v1/items/7", r#"{"name":"n"}"#)).assert_success();
        gateway.send(version, &request("POST", "/v1/refresh")).assert_success();
        for (request, slug, detail) in [
            (json("POST", "/v1/items", "{}"), "body-invalid", "ids is required"),
            (json("PUT", "/v1/items/7", "{}"), "body-invalid", "name is required"),
            (json("PUT", "/v1/items/7", r#"{"name":"0123456789"}"#), "body-too-large", "at most 20 bytes"),
            (json("POST", "/v1/refresh", "{}"), "body-too-large", "This endpoint takes no body"),
            (json("GET", "/v1/items/7", "{}"), "body-too-large", "This endpoint takes no body"),
        ] {
            let response = gateway.send(version, &request);
            response.assert_problem(slug);
            let told = response.json()["error"]["detail"].as_str().unwrap().to_owned();
            assert!(told.contains(detail), "{told}");
        }
        let other = gateway.send(version, &request("DELETE", "/v1/items/7"));
        other.assert_problem("endpoint-unknown");
        assert_eq!(other.header("allow"), Some("GET, PUT"));
    }
}

#[test]
fn a_literal_path_comes_before_a_parameter_and_a_host_before_none() {
    let backend = Backend::answering_json();
    let products = [
        ("one", "hosts: [One.example]\nroutes: [{ route: \"GET /v1/{id}\", rewrite: \"/one/{id}\" }]"),
        (
            "any",
            "routes:\n  - { route: \"GET /v1/{id}\", rewrite: \"/any/{id}\" }\n  - { route: GET /v1/list, rewrite: /list }\n\
             \x20 - { route: \"GET /v1/{id}/list\", rewrite: \"/list/{id}\" }",
        ),
    ];
    let gateway = Gateway::start(&yaml(&backend, &products));
    {
        for (host, target, forwarded) in [
            ("other.example", "/v1/7", "/any/7"),
            ("other.example", "/v1/list", "/list"),
            ("other.example", "/v1/list/list", "/list/list"),
            ("one.example", "/v1/7", "/one/7"),
            ("ONE.example:8443", "/v1/7", "/one/7"),
            ("one.example", "/v1/list", "/one/list"),
            ("one.example", "/v1/7/list", "/list/7"),
        ] {
            let sent = gateway.send(VERSIONS[0], &request("GET", target).with("Host", host));
            sent.assert_success();
            assert_eq!(asked(&backend), format!("GET {forwarded} HTTP/1.1"), "{host} {target}");
        }
    }
}

#[test]
fn a_rewrite_has_parameters_in_its_path_and_query_and_the_rest_follows() {
    let backend = Backend::answering_json();
    let keys = r#"undeclared_query: drop
routes:
  - route: GET /v1/vat/{country}/{number}
    query:
      date: {}
      tag: { repeat: true }
    rewrite: /check/{number}?fixed=1&cc={country}&on={date}
  - route: GET /v1/mail
    query:
      address: { required: true }
    rewrite: /mail/{address}
"#;
    let gateway = Gateway::start(&yaml(&backend, &[("vat", keys)]));
    for (target, forwarded) in [
        ("/v1/vat/DE/1", "/check/1?fixed=1&cc=DE"),
        ("/v1/vat/DE/1?date=2026-01-31&tag=a&tag=b&other=1", "/check/1?fixed=1&cc=DE&on=2026-01-31&tag=a&tag=b"),
        ("/v1/mail?address=a%20b", "/mail/a%20b"),
    ] {
        gateway.send(VERSIONS[0], &request("GET", target)).assert_success();
        assert_eq!(asked(&backend), format!("GET {forwarded} HTTP/1.1"), "{target}");
    }
    // What would be another path for the backend is no value.
    for value in ["..", ".", "a%2Fb", "a%5Cb", "%00"] {
        let target = format!("/v1/mail?address={value}");
        gateway.send(VERSIONS[0], &request("GET", &target)).assert_problem("parameter-invalid");
    }
}

#[test]
fn parameters_are_judged_after_the_deadline_and_before_headers_and_body() {
    let backend = Backend::answering_json();
    let keys = r#"deadline: { header: Timeout-Seconds, min: 2s, max: 15s }
body: {}
routes: [{ route: "POST /v1/{number}", parameters: { number: { pattern: "[0-9]+" } } }]
"#;
    let gateway = Gateway::start(&yaml(&backend, &[("vat", keys)]));
    let wrong = request("POST", "/v1/x").with("Content-Type", "application/json").body("{");
    for version in VERSIONS {
        gateway
            .send(version, &wrong.clone().with("Timeout-Seconds", "1").with("Reference-ID", "?"))
            .assert_problem("timeout-invalid");
        gateway.send(version, &wrong.clone().with("Reference-ID", "?")).assert_problem("parameter-invalid");
        gateway
            .send(version, &wrong.clone().target("/v1/1").with("Reference-ID", "?"))
            .assert_problem("reference-id-invalid");
        gateway.send(version, &wrong.clone().target("/v1/1")).assert_problem("body-malformed");
    }
}

#[test]
fn a_number_is_one_of_json_and_its_bounds_are_exact() {
    let backend = Backend::answering_json();
    let keys = r#"routes:
  - route: GET /v1/page/{page}
    parameters: { page: { integer: { min: 1, max: 500 } } }
    query: { share: { number: { min: 0.1 } }, any: { integer: {}, repeat: true } }
"#;
    let gateway = Gateway::start(&yaml(&backend, &[("vat", keys)]));
    for version in VERSIONS {
        for target in ["/v1/page/1", "/v1/page/500?share=0.1&any=-3&any=0", "/v1/page/7?share=1e%2B30"] {
            gateway.send(version, &request("GET", target)).assert_success();
            assert_eq!(asked(&backend), format!("GET {target} HTTP/1.1"), "{target}");
        }
        for (target, detail) in [
            ("/v1/page/0", "page must be a whole number from 1 to 500"),
            ("/v1/page/501", "page must be a whole number from 1 to 500"),
            ("/v1/page/007", "page must be a whole number from 1 to 500"),
            ("/v1/page/1.0", "page must be a whole number from 1 to 500"),
            ("/v1/page/1?share=0.0999999999999999999999", "share must be a number of at least 0.1"),
            ("/v1/page/1?share=", "share must be a number of at least 0.1"),
            ("/v1/page/1?any=x", "any must be a whole number"),
        ] {
            let answer = gateway.send(version, &request("GET", target));
            answer.assert_problem("parameter-invalid");
            assert!(answer.json()["error"]["detail"].as_str().unwrap().contains(detail), "{target}: {}", answer.json());
        }
    }
}
