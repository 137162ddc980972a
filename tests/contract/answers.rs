//! What becomes of a backend's answers by status, type and header, and what the backend is told (contract, section 11).

use tollgate::policy::account::Digest;

use super::routes::{request, yaml};
use crate::support::{Backend, Gateway, PATIENCE, VERSIONS, token};

/// A backend that answers `GET /answer/STATUS` with that status, and `/TYPE/…` with a document of that type.
fn backend() -> Backend {
    Backend::start(|peer, request| {
        let request = String::from_utf8_lossy(request);
        let target = request.split(' ').nth(1).unwrap();
        let path = target.split('?').next().unwrap();
        let (kind, what) = path[1..].split_once('/').unwrap();
        match kind {
            "answer" => {
                let headers =
                    "Content-Type: application/json\r\nETag: \"e\"\r\nCache-Control: max-age=60\r\nSet-Cookie: c=1\r\n";
                let body = if what.starts_with("204") { b"".as_slice() } else { br#"{"match":false,"surcharge":2}"# };
                peer.answer_with(&format!("{what} X"), headers, body)
            }
            "pdf" => peer.answer_with("200 OK", "Content-Type: application/pdf; v=1\r\n", b"%PDF-1.7 \xff\x00"),
            "json" => peer.answer_with("200 OK", "Content-Type: application/json\r\n", what.as_bytes()),
            _ => peer.answer_with("200 OK", "Content-Type: text/html\r\n", b"<html>"),
        }
    })
}

const PRODUCT: &str = r#"accept: [application/json, application/pdf]
routes:
  - GET /answer/{status}
  - GET /pdf/{x}
  - GET /json/{x}
  - GET /html/{x}
  - route: GET /other/{status}
    rewrite: /answer/{status}
    answers:
      404: { problem: no-such-day }
      410: { status: 200, price: [{ add: 2 }] }
      202: { body: { match: false } }
      403: { body: { match: unknown } }
    credits: { hold: [{ add: 2 }], price: [{ add: 2 }] }
answers:
  404: { status: 200, price: [{ add: 1 }] }
  410: { status: 404 }
  201: {}
  204: { body: { match: null } }
  409: { problem: no-such-day }
  503: { status: 200, failure: true }
  423: { problem: upstream-unavailable }
answer_headers: [ETag, Cache-Control]
caller_headers: { account: X-Account, token: X-Token, product: X-Product, address: X-Address }
credits:
  hold: [{ add: 3 }]
  price: [{ add: 1 }, { add: { answer: /surcharge, max: 2 } }]
"#;

fn gateway(backend: &Backend) -> Gateway {
    let digest = Digest::of(token("paying").as_bytes()).text();
    let free = yaml(backend, &[("vat", PRODUCT)])
        .replace("rate: { limit: 600000/min }", "rate: { limit: 600000/min }\n    credits: { vat: unmetered }");
    let paying = format!(
        "  paying/%:\n    rate: {{ limit: 600000/min }}\n    credits: {{ vat: 100 }}\n    tokens: [{{ name: 'n 1', hash: \"{digest}\", products: [vat] }}]\n\
         ledger: {{ volatile: true }}\nproblems: {{ no-such-day: {{ status: 400, detail: Choose another day. }} }}\n"
    );
    Gateway::start(&(free + &paying))
}

#[test]
fn a_status_that_the_product_names_passes_and_all_others_are_rows() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (status, seen) in [("200", 200), ("404", 200), ("410", 404), ("201", 200), ("503", 200)] {
            let response = gateway.send(version, &request("GET", &format!("/answer/{status}")));
            assert_eq!(response.status(), seen, "{status}");
            assert_eq!(response.json()["match"], false, "{status}");
            assert_eq!(response.header("content-type"), Some("application/json"));
            assert_eq!((response.header("etag"), response.header("set-cookie")), (Some("\"e\""), None));
            assert_eq!(response.all("cache-control"), ["max-age=60"]);
        }
        let empty = gateway.send(version, &request("GET", "/answer/204"));
        assert_eq!((empty.status(), empty.json()["match"].is_null()), (200, true));
        for (status, slug) in [
            ("409", "no-such-day"),
            ("423", "upstream-unavailable"),
            ("422", "body-invalid"),
            ("202", "upstream-failed"),
            ("302", "upstream-failed"),
            ("401", "upstream-failed"),
            ("500", "upstream-failed"),
            ("502", "upstream-unavailable"),
        ] {
            gateway.send(version, &request("GET", &format!("/answer/{status}"))).assert_problem(slug);
        }
    }
}

#[test]
fn a_route_can_say_otherwise_of_some_statuses_and_what_else_the_product_says_holds() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (status, seen) in [("200", 200), ("201", 200), ("410", 200), ("202", 200), ("403", 403), ("503", 200)] {
            let response = gateway.send(version, &request("GET", &format!("/other/{status}")));
            assert_eq!(response.status(), seen, "{status}");
            let wanted = if status == "403" { "unknown".into() } else { serde_json::Value::from(false) };
            assert_eq!(response.json()["match"], wanted, "{status}");
        }
        for (status, slug) in [("404", "no-such-day"), ("409", "no-such-day"), ("422", "body-invalid")] {
            gateway.send(version, &request("GET", &format!("/other/{status}"))).assert_problem(slug);
        }
        gateway.send(version, &request("GET", "/answer/403")).assert_problem("upstream-failed");
        gateway.send(version, &request("GET", "/answer/202")).assert_problem("upstream-failed");
    }
}

#[test]
fn pages_and_the_openapi_document_say_what_a_route_passes_on() {
    let backend = backend();
    let gateway = gateway(&backend);
    let get = |path: &str| gateway.send(VERSIONS[0], &crate::support::Request::new("GET", path));
    let document = get("/docs/openapi.json").json();
    let responses = |path: &str| document["paths"][path]["get"]["responses"].clone();
    let (first, other) = (responses("/answer/{status}"), responses("/other/{status}"));
    let slugs = |responses: &serde_json::Value, status: &str| responses[status]["x-problems"].to_string();
    // The product refuses with it for both; the route does so for one more status.
    assert!(slugs(&first, "400").contains("no-such-day") && slugs(&other, "400").contains("no-such-day"));
    let schema = |responses: &serde_json::Value, status: &str| {
        responses[status]["content"]["application/json"]["schema"].to_string()
    };
    assert!(schema(&first, "404").contains("anyOf"), "{first}");
    assert!(!schema(&other, "404").contains("anyOf"), "404 is a problem there: {other}");
    assert!(schema(&other, "403").contains(r#"{"const":{"match":"unknown"}}"#), "{other}");
    assert!(!schema(&first, "403").contains("anyOf"), "{first}");
    assert!(schema(&first, "200").contains(r#"{"const":{"match":null}}"#), "{first}");
    let page = String::from_utf8(get("/docs/reference/products/vat").body().to_vec()).unwrap();
    for sentence in [
        "A lookup that ends with 404 is answered with 200 and its own body.",
        "A lookup that ends with 410 is answered with 404 and its own body, which is no error object.",
        "A lookup that ends with 410 is answered with 200 and its own body.",
        "A lookup that ends with 403 is answered with 403 and {&#34;match&#34;:&#34;unknown&#34;}.",
    ] {
        assert!(page.contains(sentence), "{sentence} is not in {page}");
    }
}

#[test]
fn a_body_is_judged_by_its_type_and_only_types_that_are_served_pass() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let pdf = gateway.send(version, &request("GET", "/pdf/1").with("Accept", "application/pdf"));
        assert_eq!((pdf.status(), pdf.header("content-type")), (200, Some("application/pdf; v=1")));
        assert_eq!(pdf.body(), b"%PDF-1.7 \xff\x00");
        assert!(String::from_utf8(backend.last_request()).unwrap().contains("\r\nAccept: application/pdf\r\n"));
        gateway.send(version, &request("GET", "/json/7")).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        assert!(sent.contains("\r\nAccept: application/json, application/pdf\r\n"), "{sent}");
        gateway.send(version, &request("GET", "/json/nonsense")).assert_problem("upstream-failed");
        gateway.send(version, &request("GET", "/html/1")).assert_problem("upstream-failed");
        gateway
            .send(version, &request("GET", "/html/1").with("Accept", "text/html"))
            .assert_problem("accept-unsupported");
    }
}

#[test]
fn an_answer_costs_what_its_status_says_and_at_most_what_was_held() {
    let backend = backend();
    let gateway = gateway(&backend);
    let ask = |target: &str| {
        let response = gateway
            .send(VERSIONS[0], &crate::support::Request::new("GET", target).with("Auth-Token", &token("paying")));
        (
            response.header("x-credits-charged").map(str::to_owned),
            response.header("x-credits-remaining").map(str::to_owned),
        )
    };
    let told = |charged: &str, left: &str| (Some(charged.to_owned()), Some(left.to_owned()));
    assert_eq!(ask("/answer/200"), told("3", "97"));
    assert_eq!(ask("/answer/404"), told("1", "96"));
    assert_eq!(ask("/answer/410"), told("0", "96"));
    assert_eq!(ask("/answer/201"), told("0", "96"));
    assert_eq!(ask("/pdf/1"), told("1", "95"));
    assert_eq!(ask("/other/410"), told("2", "93"));
    assert_eq!(ask("/other/201"), told("0", "93"));
    assert_eq!(ask("/other/200"), told("2", "91"));
    assert_eq!(ask("/other/404"), (None, None));
    assert_eq!(ask("/answer/500"), (None, None));
    assert_eq!(ask("/json/%7B%22surcharge%22:9%7D"), (None, None), "a path is no JSON");
}

#[test]
fn the_backend_is_told_who_asks_by_headers_that_no_client_can_forge() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let forged = crate::support::Request::new("GET", "/answer/200")
            .with("Auth-Token", &token("paying"))
            .with("X-Account", "other")
            .with("x-token", "other")
            .with("x_account", "other")
            .with("X-Product", "other")
            .with("X-Address", "192.0.2.1");
        gateway.send(version, &forged).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        for line in ["X-Account: paying/%25", "X-Token: n 1", "X-Product: vat", "X-Address: 127.0.0.1"] {
            assert_eq!(sent.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} of {sent}");
        }
        assert!(!sent.contains("other") && !sent.contains("192.0.2.1"), "{sent}");
    }
}

#[test]
fn a_lookup_without_a_match_is_no_incident_and_a_failure_is_one() {
    let backend = backend();
    let gateway = gateway(&backend);
    let count = |what: &str| {
        let (_, text) = gateway.ask_admin("GET", "/metrics", &[], "");
        let line = text.lines().find(|line| {
            line.starts_with("tollgate_requests_total{product=\"vat\",problem=\"\"") && line.contains(what)
        });
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
    };
    for _ in 0..3 {
        gateway.send(VERSIONS[0], &request("GET", "/answer/404"));
        gateway.send(VERSIONS[0], &request("GET", "/answer/410"));
    }
    // A request is counted when its answer has been sent, which may be a moment after it was read.
    let begun = std::time::Instant::now();
    while (count("status=\"200\""), count("status=\"404\"")) != (3, 3) {
        assert!(begun.elapsed() < PATIENCE);
    }
}
