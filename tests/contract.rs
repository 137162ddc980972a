//! The contract as a client sees it: every problem, every header rule, framing, CORS, rates and the
//! very bytes that reach the backend, over HTTP/1.1 and HTTP/2.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Backend, Configuration, Gateway, Request, Response, VERSIONS, Version, closed_port, token};

/// A reference that sound requests carry, with every kind of character that is allowed.
const REFERENCE: &str = "c4n4ry Az09_-/:.,()";

/// A body that passes, for places where a request is written out.
const BODY: &str = r#"{"number":"c4n4ry"}"#;

fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).yaml())
}

fn behind_a_proxy(backend: &Backend) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).behind_a_proxy().yaml())
}

fn lookup() -> Request {
    Request::lookup("live")
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// One HTTP/1 request, its lines separated by `\n` in the source.
fn raw(lines: &str, body: &str) -> Vec<u8> {
    (lines.replace('\n', "\r\n") + "\r\n\r\n" + body).into_bytes()
}

/// A sound HTTP/1 lookup with more lines, and a body framed by them.
fn framed(more: &str, body: &str) -> Vec<u8> {
    let token = token("live");
    raw(
        &format!(
            "POST /phone/validate/v2 HTTP/1.1\nHost: api.example.com\nAuth-Token: {token}\nReference-ID: {REFERENCE}\n\
             Content-Type: application/json\n{more}"
        ),
        body,
    )
}

// ---- The problems (section 3) ----

/// A request for each way into each row that needs no time and no state.
pub fn problems() -> Vec<(&'static str, Request)> {
    let nested = |depth: usize| format!(r#"{{"number":"c4n4ry","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let body = |text: &str| lookup().body(text);
    let member = |text: &str| lookup().body(format!(r#"{{"number":"c4n4ry",{text}}}"#));
    let target = |text: &str| lookup().target(text);
    let long = "a".repeat(8200);
    let mut many = lookup();
    for line in 0..65 {
        many = many.with(&format!("X-Line-{line}"), "a");
    }
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
        ("ip-not-allowed", Request::lookup("ip")),
        ("domain-not-allowed", Request::lookup("domain")),
        ("accept-unsupported", lookup().with("Accept", "text/html")),
        ("content-type-unsupported", lookup().without("Content-Type")),
        ("timeout-invalid", lookup().with("Timeout-Seconds", "1")),
        ("reference-id-invalid", lookup().set("Reference-ID", "a;b")),
        ("add-metadata-invalid", lookup().with("Add-Metadata", "yes")),
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
fn a_deadline_is_kept_and_ends_the_call() {
    let backend = Backend::silent();
    let gateway = gateway(&backend);
    std::thread::scope(|scope| {
        for version in VERSIONS {
            let gateway = &gateway;
            scope.spawn(move || {
                let begun = Instant::now();
                let response =
                    gateway.send(version, &lookup().with("Timeout-Seconds", "2").with("Reference-ID", "slow"));
                let taken = begun.elapsed();
                response.assert_problem("deadline-exceeded");
                assert_eq!(response.header("Reference-ID"), Some("slow"));
                assert!(
                    (Duration::from_millis(1990)..Duration::from_millis(2500)).contains(&taken),
                    "{version:?} took {taken:?}"
                );
            });
        }
    });
    backend.wait_for_closes();
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_deadline_also_bounds_the_body() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let request = lookup().with("Timeout-Seconds", "2");
    let begun = Instant::now();
    let mut client = gateway.connect();
    client.send(request.head());
    client.response().assert_problem("deadline-exceeded");
    let taken = begun.elapsed();
    assert!((1990..2500).contains(&taken.as_millis()), "took {taken:?}");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_client_that_hangs_up_ends_its_upstream_call() {
    let backend = Backend::silent();
    let gateway = gateway(&backend);
    let begun = Instant::now();
    let mut client = gateway.connect();
    client.request(&lookup());
    backend.wait_for_requests(1);
    drop(client);
    backend.wait_for_closes();

    let mut client = gateway.connect_http2();
    let request = lookup();
    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, true);
    client.drive(|| backend.requests().len() == 2);
    client.reset(stream);
    client.drive(|| backend.all_closed());

    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, true);
    client.drive(|| backend.requests().len() == 3);
    drop((stream, client));
    backend.wait_for_closes();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

// ---- Request headers (section 4) ----

#[test]
fn the_token_has_two_names() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let (live, none) = (token("live"), lookup().without("Auth-Token"));
    for version in VERSIONS {
        for (request, slug) in [
            (none.clone().with("auth-token", &live), None),
            (none.clone().with("AUTH-TOKEN", &live), None),
            (none.clone().with("x-app-key", &live), None),
            (none.clone().with("X-App-Key", &live), None),
            (none.clone().with("x-app-key", &live).with("Auth-Token", &live), None),
            (none.clone().with("x-app-key", &live).with("Auth-Token", ""), None),
            (none.clone().with("x-app-key", "").with("Auth-Token", &live), None),
            (none.clone().with("x-app-key", &live).with("Auth-Token", &token("other")), Some("malformed-request")),
            (none.clone().with("x-app-key", &live).with("x-app-key", &live), Some("malformed-request")),
            (none.clone().with("Auth-Token", &live).with("Auth-Token", ""), Some("malformed-request")),
            (none.clone().with("x-app-key", "").with("Auth-Token", ""), Some("token-missing")),
        ] {
            check(&gateway.send(version, &request), slug);
        }
    }
}

/// Success, or this problem.
fn check(response: &Response, slug: Option<&str>) {
    match slug {
        None => response.assert_success(),
        Some(slug) => response.assert_problem(slug),
    }
}

#[test]
fn a_reference_is_echoed_made_or_refused() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let longest = "a".repeat(256);
    let too_long = "a".repeat(257);
    let refused = Some("reference-id-invalid");
    for version in VERSIONS {
        for (reference, slug) in [
            (REFERENCE, None),
            ("a", None),
            ("a  b", None),
            (&longest, None),
            (&too_long, refused),
            ("", refused),
            ("a;b", refused),
            ("a\tb", refused),
            ("a\"b", refused),
            ("<a>", refused),
            ("ä", refused),
        ] {
            for request in [lookup(), lookup().without("Content-Type"), Request::lookup("nobody")] {
                let response = gateway.send(version, &request.clone().with("Reference-ID", reference));
                if slug.is_none() {
                    assert_eq!(response.header("reference-id"), Some(reference), "{version:?}");
                } else {
                    assert_ne!(response.header("reference-id"), Some(reference), "{version:?}");
                }
                if request.headers == lookup().headers && request.body == lookup().body {
                    check(&response, slug);
                }
            }
        }
        let twice = lookup().with("Reference-ID", "one").with("Reference-ID", "two");
        let response = gateway.send(version, &twice);
        response.assert_problem("reference-id-invalid");
        assert!(!["one", "two", "one, two"].contains(&response.header("Reference-ID").unwrap()));
        // One that is not sent is made: a UUID, another one each time.
        let made: Vec<String> =
            (0..2).map(|_| gateway.send(version, &lookup()).header("Reference-ID").unwrap().to_owned()).collect();
        assert!(made.iter().all(|made| uuid::Uuid::parse_str(made).is_ok()), "{made:?}");
        assert_ne!(made[0], made[1]);
    }
}

/// Values of a header, and whether they pass.
type Values = &'static [(&'static str, bool)];

#[test]
fn the_other_headers_have_their_tables() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let tables: [(&str, &str, Values); 5] = [
        (
            "Add-Metadata",
            "add-metadata-invalid",
            &[
                ("true", true),
                ("false", true),
                ("True", true),
                ("FALSE", true),
                ("", false),
                ("1", false),
                ("yes", false),
                ("true, true", false),
            ],
        ),
        (
            "Timeout-Seconds",
            "timeout-invalid",
            &[
                ("2", true),
                ("15", true),
                ("1", false),
                ("0", false),
                ("16", false),
                ("", false),
                ("+5", false),
                ("-5", false),
                ("5.0", false),
                ("5s", false),
                ("0x5", false),
                ("five", false),
                ("99999999999999999999999", false),
            ],
        ),
        (
            "Accept",
            "accept-unsupported",
            &[
                ("*/*", true),
                ("application/*", true),
                ("application/json", true),
                ("Application/JSON", true),
                ("application/json; charset=utf-8", true),
                ("text/html, application/json;q=0.001", true),
                ("text/html,application/xhtml+xml,*/*;q=0.8", true),
                ("text/html", false),
                ("application/xml", false),
                ("application/json;q=0", false),
                ("*/*;q=0", false),
                ("*/*, application/json;q=0", false),
                ("application/*;q=0, */*", false),
            ],
        ),
        (
            "Content-Type",
            "content-type-unsupported",
            &[
                ("application/json", true),
                ("APPLICATION/Json", true),
                ("application/json; charset=utf-8", true),
                ("application/json;charset=\"UTF-8\"", true),
                ("application/json; version=1", true),
                ("application/json; charset=iso-8859-1", false),
                ("application/json; charset=utf-16", false),
                ("text/json", false),
                ("application/jsonp", false),
                ("application/x-www-form-urlencoded", false),
                ("multipart/form-data; boundary=a", false),
                ("", false),
                ("application/json, text/html", false),
            ],
        ),
        (
            "Content-Encoding",
            "content-type-unsupported",
            &[("identity", true), ("Identity", true), ("gzip", false), ("br", false), ("identity, gzip", false)],
        ),
    ];
    for version in VERSIONS {
        for (name, slug, rows) in tables {
            for (value, passes) in rows {
                println!("{version:?} {name}: {value}");
                let response = gateway.send(version, &lookup().set(name, value));
                // What is not served is said in the form that the client prefers.
                check_either(&response, (!passes).then_some(slug));
            }
        }
        for (name, slug, value) in [
            ("Add-Metadata", "add-metadata-invalid", "true"),
            ("Timeout-Seconds", "timeout-invalid", "5"),
            ("Content-Type", "content-type-unsupported", "application/json"),
        ] {
            let twice = lookup().without(name).with(name, value).with(name, value);
            gateway.send(version, &twice).assert_problem(slug);
        }
        // Lines of Accept are one list.
        let two = lookup().with("Accept", "text/html").with("Accept", "application/json");
        gateway.send(version, &two).assert_success();
    }
}

/// Success, or this problem in one of its two forms.
fn check_either(response: &Response, slug: Option<&str>) {
    match slug {
        Some(slug) if response.header("Content-Type") == Some("application/problem+json") => {
            response.assert_problem_json(slug);
        }
        _ => check(response, slug),
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

#[test]
fn odd_but_allowed_bodies_pass_unchanged() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (place, body) in [
            r#"{"number":"c4n4ry"}"#,
            r#" {"number":" "} "#,
            "\r\n{\"number\"\t:\"not a number at all c4n4ry\"}\r\n",
            r#"{"number":"c4n4ry\u0000\ud83d\ude00 ☎"}"#,
            r#"{"number":"1","output_format":null,"cache_value_days":null,"country_iso":"","get_ported_date":null}"#,
            r#"{"number":"1","cache_value_days":0,"supplementary_live_status":{"mobile":[],"landline":null}}"#,
            r#"{"number":"1","cache_value_days":30,"supplementary_live_status":{"mobile":["GBR"]}}"#,
            r#"{"number":"1","supplementary_live_status":null,"get_disposable_number":""}"#,
            r#"{"number":"1","unknown":{"deep":[1,2,{"a":1.5e3}]}}"#,
            // Without its byte order mark it is the same body (section 11).
            "\u{feff}{\"number\":\"c4n4ry\"}",
        ]
        .into_iter()
        .enumerate()
        {
            let target = format!("/phone/validate/v2?{version:?}-{place}");
            gateway.send(version, &lookup().target(&target).body(body)).assert_success();
            let sent = String::from_utf8(backend.last_request()).unwrap();
            assert!(sent.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{sent}");
            assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, body.trim_start_matches('\u{feff}'));
        }
    }
}

#[test]
fn a_refused_body_is_told_where_and_why_and_never_what_it_said() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (body, slug, detail) in [
            (
                r#"{"output_format":"c4n4ry-secret","number":7,"country_iso":["c4n4ry"]}"#,
                "body-invalid",
                "The body breaks the rules of this endpoint: output_format must have at most 10 characters; number must be \
                 a string; country_iso must be a string or null. Mend that and send it again.",
            ),
            (
                "{\n  \"number\": \"1\",\n  \"c4n4ry\" 1\n}",
                "body-malformed",
                "The body is not one well-formed JSON document (line 3, column 12). Check its syntax, its UTF-8 encoding, \
                 and that no key stands twice in one object.",
            ),
        ] {
            let response = gateway.send(version, &lookup().body(body));
            response.assert_problem(slug);
            assert_eq!(response.json()["error"]["detail"], detail);
        }
    }
}

// ---- Networks and domains (section 6) ----

#[test]
fn a_token_is_bound_to_its_networks() {
    let backend = Backend::answering_json();
    let gateway = behind_a_proxy(&backend);
    for version in VERSIONS {
        for (lines, passes) in [
            (vec![], false),
            (vec!["203.0.113.9"], true),
            (vec!["203.0.113.255"], true),
            (vec!["203.0.114.0"], false),
            (vec!["198.51.100.7"], true),
            (vec!["198.51.100.8"], false),
            (vec!["2001:db8::1"], true),
            (vec!["2001:DB8:0:0::1"], true),
            (vec!["2001:db9::1"], false),
            (vec!["::ffff:203.0.113.9"], true),
            (vec!["::203.0.113.9"], false),
            (vec!["198.51.100.1, 203.0.113.9"], true),
            (vec!["203.0.113.9, 198.51.100.1"], false),
            (vec!["203.0.113.9, 127.0.0.1"], true),
            (vec!["203.0.113.9,127.0.0.1 , ::ffff:127.0.0.1"], true),
            (vec!["198.51.100.1", "203.0.113.9"], true),
            (vec!["203.0.113.9", "198.51.100.1"], false),
            (vec!["203.0.113.9", "127.0.0.1"], true),
            (vec!["unknown, 203.0.113.9"], true),
            (vec!["203.0.113.9, unknown"], false),
            (vec!["203.0.113.9, unknown, 127.0.0.1"], false),
            (vec!["203.0.113.9, "], false),
            (vec![""], false),
            (vec!["203.0.113.9:4711"], false),
            (vec!["[2001:db8::1]"], false),
            (vec!["2001:db8::1%eth0"], false),
            (vec!["203.0.113.09"], false),
            (vec!["0313.0.0161.9"], false),
            (vec!["203.113.9"], false),
            (vec!["3405803785"], false),
            (vec!["0xcb007109"], false),
            (vec!["127.0.0.1"], false),
        ] {
            let mut request = Request::lookup("ip");
            for line in &lines {
                request = request.with("X-Forwarded-For", line);
            }
            println!("{version:?} {lines:?}");
            check(&gateway.send(version, &request), (!passes).then_some("ip-not-allowed"));
        }
        // An address that cannot be told goes no further.
        gateway.send(version, &lookup().with("X-Forwarded-For", "unknown")).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        assert!(!sent.to_ascii_lowercase().contains("forwarded"), "{sent}");
        // Only this header is believed.
        let others = Request::lookup("ip")
            .with("X-Real-IP", "203.0.113.9")
            .with("Forwarded", "for=203.0.113.9")
            .with("X_Forwarded_For", "203.0.113.9");
        gateway.send(version, &others).assert_problem("ip-not-allowed");
    }
}

#[test]
fn a_stranger_is_not_believed_who_claims_another_address() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let request = Request::lookup("ip").with("X-Forwarded-For", "203.0.113.9");
        gateway.send(version, &request).assert_problem("ip-not-allowed");
        gateway.send(version, &lookup().with("X-Forwarded-For", "203.0.113.9")).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap().to_ascii_lowercase();
        assert!(sent.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{sent}");
        assert!(!sent.contains("203.0.113.9"), "{sent}");
    }
}

#[test]
fn a_token_is_bound_to_its_domains() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let origins = [
        ("https://app.example.com", true),
        ("http://app.example.com", true),
        ("https://APP.Example.COM", true),
        ("https://app.example.com:8443", true),
        ("https://a.shop.example.com", true),
        ("https://a.b.shop.example.com", true),
        ("https://xn--bcher-kva.example", true),
        ("https://shop.example.com", false),
        ("https://example.com", false),
        ("https://www.app.example.com", false),
        ("https://evil-app.example.com", false),
        ("https://evilshop.example.com", false),
        ("https://app.example.com.evil.example", false),
        ("https://app.example.com@evil.example", false),
        ("https://evil.example@app.example.com", false),
        ("https://user:word@app.example.com", false),
        ("https://app.example.com:80@evil.example", false),
        ("https://evil.example/app.example.com", false),
        ("https://evil.example#app.example.com", false),
        ("https://evil.example?app.example.com", false),
        ("https://evil.example\\app.example.com", false),
        ("https://evil.example\\.shop.example.com", false),
        ("https://evil.example%2f.shop.example.com", false),
        ("https://app.example.com:port", false),
        ("https://app.example.com:99999", false),
        ("https:app.example.com", false),
        ("//app.example.com", false),
        ("app.example.com", false),
        ("ftp://app.example.com", false),
        ("file://app.example.com", false),
        ("javascript://app.example.com", false),
        ("null", false),
        ("*", false),
        ("", false),
        ("https://", false),
        ("https://app.example.com, https://app.example.com", false),
        ("https://app.example.com https://app.example.com", false),
    ];
    for version in VERSIONS {
        for (origin, passes) in origins {
            println!("{version:?} {origin}");
            let slug = (!passes).then_some("domain-not-allowed");
            let response = gateway.send(version, &Request::lookup("domain").with("Origin", origin));
            check(&response, slug);
            assert_eq!(response.header("Access-Control-Allow-Origin").is_some(), passes, "{origin}");
            // A Referer is a URL with a path.
            if !origin.contains(['/', '#', '?']) || !passes {
                continue;
            }
            for rest in ["", "/", "/a/b?c=d#e", "/https://evil.example@"] {
                let request = Request::lookup("domain").with("Referer", &format!("{origin}{rest}"));
                check(&gateway.send(version, &request), slug);
            }
        }
        let good = "https://app.example.com";
        let evil = "https://evil.example";
        for (name, origins, referers, passes) in [
            ("domain", vec![], vec![], false),
            ("domain", vec![good, good], vec![], false),
            ("domain", vec![good, evil], vec![], false),
            ("domain", vec![good], vec![evil], true),
            ("domain", vec![evil], vec![good], false),
            ("domain", vec!["null"], vec![good], false),
            ("domain", vec![], vec![evil], false),
            ("domain", vec![], vec!["https://evil.example/app.example.com"], false),
            ("domain", vec![], vec!["https://app.example.com@evil.example/"], false),
            ("domain-or-none", vec![], vec![], true),
            ("domain-or-none", vec![good], vec![], true),
            ("domain-or-none", vec![evil], vec![], false),
            ("domain-or-none", vec![], vec![evil], false),
            ("domain-or-none", vec!["null"], vec![], false),
            ("live", vec![evil], vec![evil], true),
        ] {
            println!("{version:?} {name} {origins:?} {referers:?}");
            let mut request = Request::lookup(name);
            for origin in origins {
                request = request.with("Origin", origin);
            }
            for referer in referers {
                request = request.with("Referer", referer);
            }
            check(&gateway.send(version, &request), (!passes).then_some("domain-not-allowed"));
        }
    }
}

// ---- Rates (section 7) ----

const RATE_HEADERS: [&str; 5] =
    ["X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "RateLimit-Policy", "RateLimit"];

/// Seconds after which one more of the three requests an hour is there.
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
        // Refusals before the rate is asked do not count.
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

// ---- Framing (section 8) ----

#[test]
fn the_backend_gets_a_request_that_was_built_anew() {
    let backend = Backend::answering_json();
    let gateway = behind_a_proxy(&backend);
    let body = "{ \"number\" : \"c4n4ry\\u0031 \u{e9}\" }\n";
    let request = Request::new("POST", "/phone/validate/v2?a=b%20c&d=/e%2f")
        .with("Host", "evil.example")
        .with("Auth-Token", &token("live"))
        .with("x-app-key", &token("live"))
        .with("Reference-ID", REFERENCE)
        .with("Content-Type", "application/json; charset=UTF-8")
        .with("Accept", "text/html, application/json;q=0.5")
        .with("Add-Metadata", "True")
        .with("Timeout-Seconds", "5")
        .with("User-Agent", "load/1.0")
        .with("X_Under_Score", "gone")
        .with("auth_token", "gone")
        .with("X-Forwarded-For", "192.0.2.1, 198.51.100.7")
        .with("X-Forwarded-Host", "gone.example")
        .with("X-Forwarded-Proto", "gone")
        .with("X-Forwarded-Prefix", "/gone")
        .with("X-Original-URL", "/gone")
        .with("X-HTTP-Method-Override", "DELETE")
        .with("If-None-Match", "gone")
        .with("Range", "bytes=0-1")
        .with("Accept-Encoding", "gzip")
        .with("Transaction-Id", "gone")
        .body(body);
    let hop_by_hop = request
        .clone()
        .with("Connection", "keep-alive, X-Gone, close-to")
        .with("X-Gone", "gone")
        .with("Keep-Alive", "timeout=5")
        .with("Proxy-Connection", "keep-alive")
        .with("Proxy-Authorization", "gone")
        .with("TE", "trailers")
        .with("Trailer", "X-Trailer")
        .with("Expect", "100-continue")
        .with("Content-Encoding", "identity");
    for (version, request) in [(Version::Http1, hop_by_hop), (Version::Http2, request.clone())] {
        let request = match version {
            Version::Http1 => request,
            // HTTP/2 names the host in the target.
            Version::Http2 => request.without("Host"),
        };
        let response = match version {
            Version::Http1 => {
                let mut client = gateway.connect();
                client.send(request.head());
                assert_eq!(client.interim(), 100);
                client.more(&request.body);
                client.response()
            }
            Version::Http2 => gateway.send(version, &request),
        };
        response.assert_success();
        let transaction = response.header("Transaction-Id").unwrap();
        let trace = transaction.replace('-', "");
        let name = |name: &str| match version {
            Version::Http1 => name.to_owned(),
            Version::Http2 => name.to_ascii_lowercase(),
        };
        let expected = [
            "POST /phone/validate/v2?a=b%20c&d=/e%2f HTTP/1.1".to_owned(),
            "Host: lookup.internal".to_owned(),
            "Accept: application/json".to_owned(),
            format!("Reference-ID: {REFERENCE}"),
            format!("Transaction-Id: {transaction}"),
            format!("traceparent: 00-{trace}-{}-02", &trace[..16]),
            "X-Forwarded-For: 198.51.100.7".to_owned(),
            format!("{}: application/json; charset=UTF-8", name("Content-Type")),
            format!("{}: True", name("Add-Metadata")),
            format!("{}: 5", name("Timeout-Seconds")),
            format!("{}: load/1.0", name("User-Agent")),
            format!("Content-Length: {}", body.len()),
            String::new(),
            body.to_owned(),
        ]
        .join("\r\n");
        assert_eq!(String::from_utf8(backend.last_request()).unwrap(), expected, "{version:?}");
    }
}

#[test]
fn a_reference_that_was_made_goes_upstream_as_well() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let response = gateway.send(version, &lookup());
        let sent = String::from_utf8(backend.last_request()).unwrap();
        for name in ["Reference-ID", "Transaction-Id"] {
            let line = format!("\r\n{name}: {}\r\n", response.header(name).unwrap());
            assert_eq!(sent.matches(&line).count(), 1, "{sent}");
        }
    }
}

#[test]
fn chunks_and_trailers_end_at_the_gateway() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let chunks =
        "8\r\n{\"number\r\n00b;a=b;c=\"d\"\r\n\":\"c4n4ry\"}\r\n0\r\nX-Trailer: gone\r\nAuth-Token: gone\r\n\r\n";
    let bytes = framed("Transfer-Encoding: chunked", chunks);
    let one = gateway.exchange(&bytes);
    one.assert_success();
    let mut client = gateway.connect();
    // The same byte by byte, and then once more on the same connection.
    client.send(&bytes[..1]);
    for byte in bytes[1..].chunks(1) {
        client.more(byte);
    }
    client.response_to("POST", "/phone/validate/v2").assert_success();
    client.send(&bytes);
    client.response().assert_success();
    for sent in backend.requests() {
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.ends_with(&format!("\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len())), "{sent}");
        for gone in ["ransfer-", "railer", "gone", "Token"] {
            assert!(!sent.contains(gone), "{gone} in {sent}");
        }
    }

    let mut client = gateway.connect_http2();
    let request = lookup().body(BODY);
    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, false);
    client.trailers(&mut stream, "auth-token", "gone");
    client.response(stream).assert_success();
    let sent = String::from_utf8(backend.last_request()).unwrap();
    assert!(sent.ends_with(&format!("\r\n\r\n{BODY}")) && !sent.contains("gone"), "{sent}");
    // A token that comes as a trailer is none.
    let mut client = gateway.connect_http2();
    let request = request.without("Auth-Token");
    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, false);
    client.trailers(&mut stream, "auth-token", &token("live"));
    client.response(stream).assert_problem("token-missing");
}

#[test]
fn what_two_parsers_could_read_differently_is_malformed() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let length = format!("Content-Length: {}", BODY.len());
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for more in [
        format!("{length}\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\n{length}"),
        format!("{length}\n{length}"),
        format!("{length}\nContent-Length: 0"),
        format!("Content-Length: {0}, {0}", BODY.len()),
        "Content-Length: +5".to_owned(),
        "Content-Length: 0x5".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 5 5".to_owned(),
        "Content-Length:".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "Transfer-Encoding: gzip, chunked".to_owned(),
        "Transfer-Encoding: chunked, chunked".to_owned(),
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: \"chunked\"".to_owned(),
        "Transfer-Encoding:".to_owned(),
        format!("{length}\nHost: api.example.com"),
        format!("{length}\nHost: other.example.com"),
        format!("{length}\nUpgrade: websocket\nConnection: Upgrade"),
        format!("{length}\nUpgrade: h2c"),
    ] {
        println!("{more:?}");
        let response = gateway.exchange(framed(&more, &chunked));
        response.assert_problem("malformed-request");
        assert_eq!(response.header("Reference-ID"), Some(REFERENCE), "{more}");
        assert_eq!(response.header("Connection"), Some("close"), "{more}");
    }
    let token = token("live");
    let start = format!("Auth-Token: {token}\r\nContent-Type: application/json\r\n{length}\r\n");
    let host = "Host: api.example.com\r\n";
    for head in [
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost:\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost: a@api.example.com\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com/x\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost: a b\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost: a, b\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com:x\r\n{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com:70000\r\n{start}"),
        format!("POST http://other.example.com/phone/validate/v2 HTTP/1.1\r\n{host}{start}"),
        format!("POST http://a@api.example.com/phone/validate/v2 HTTP/1.1\r\n{host}{start}"),
        format!("POST phone/validate/v2 HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2#a HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2\\a HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2?\u{1} HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2?\u{7f} HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2?\u{0} HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2?\u{e9} HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2?a\tb HTTP/1.1\r\n{host}{start}"),
        format!("POST  /phone/validate/v2 HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2  HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1 \r\n{host}{start}"),
        format!(" POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/1.2\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/2.0\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/0.9\r\n{host}{start}"),
        format!("POST /phone/validate/v2 http/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTPS/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2\r\n{host}{start}"),
        format!("PO(ST /phone/validate/v2 HTTP/1.1\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\nY: b\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\rY: b\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\r\n b\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\r\n\tb\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n X: a\r\n{host}{start}"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X : a\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}: a\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\0b\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\u{1}b\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X\0: a\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X\u{e9}: a\r\n"),
        format!("POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}\"X\": a\r\n"),
    ] {
        println!("{head:?}");
        let response = gateway.exchange(format!("{head}\r\n{BODY}"));
        assert_eq!(response.status(), 400);
        assert!(response.json()["error"]["type"].as_str().unwrap().ends_with("/malformed-request"));
    }
    for version in ["1.0", "1.1"] {
        let head = format!("POST /phone/validate/v2 HTTP/{version}\r\n{host}{start}Transfer-Encoding: chunked\r\n\r\n");
        gateway.exchange(format!("{head}{chunked}")).assert_problem("malformed-request");
    }
    assert_eq!(backend.connections(), 0, "the backend saw something");
}

#[test]
fn a_wrong_chunk_is_malformed() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for body in [
        "x\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "\r\n2\r\n{}\r\n0\r\n\r\n",
        ";a\r\n{}\r\n0\r\n\r\n",
        "2;\0\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: a\nY: b\r\n\r\n",
    ] {
        println!("{body:?}");
        let response = gateway.exchange(framed("Transfer-Encoding: chunked", body));
        response.assert_problem("malformed-request");
        assert_eq!(response.header("Connection"), Some("close"));
    }
    assert_eq!(backend.connections(), 0, "the backend saw something");
}

#[test]
fn a_query_passes_as_it_was_sent() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for query in [
            "?",
            "?a=b&c=d",
            "?a=%2f%2e%2e%00%5c",
            "?a=../..//;x",
            "?u=http://other.example/",
            "?a?b??",
            "?a=%",
            "?{}|^`\"<>",
        ] {
            println!("{version:?} {query}");
            // The URI type of the HTTP/2 client takes less than the protocol does.
            if version == Version::Http2 && query.contains(['^', '`', '<']) {
                continue;
            }
            let target = format!("/phone/validate/v2{query}");
            gateway.send(version, &lookup().target(&target)).assert_success();
            let sent = String::from_utf8(backend.last_request()).unwrap();
            assert!(sent.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{sent}");
        }
    }
}

#[test]
fn a_target_in_absolute_form_is_its_path() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for target in [
        "http://api.example.com/phone/validate/v2?a=b",
        "HTTP://API.example.com/phone/validate/v2?a=b",
        "https://api.example.com/phone/validate/v2?a=b",
    ] {
        gateway.send(Version::Http1, &lookup().target(target)).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        assert!(sent.starts_with("POST /phone/validate/v2?a=b HTTP/1.1\r\nHost: lookup.internal\r\n"), "{sent}");
    }
    gateway
        .send(Version::Http1, &lookup().target("http://api.example.com/nothing?a"))
        .assert_problem("endpoint-unknown");
    gateway.send(Version::Http1, &Request::new("OPTIONS", "*")).assert_problem("endpoint-unknown");
}

#[test]
fn a_continue_comes_after_the_head_was_admitted_and_only_then() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let expecting = lookup().with("Expect", "100-continue");
    let mut client = gateway.connect();
    client.send(expecting.head());
    assert_eq!(client.interim(), 100);
    client.more(&expecting.body);
    client.response().assert_success();
    // A body that is there already needs no encouragement, and the connection lives on.
    client.send(expecting.bytes());
    let mut status = client.any_status();
    if status == 100 {
        status = client.any_status();
    }
    assert_eq!(status, 200);
    for (request, slug) in [
        (expecting.clone().set("Auth-Token", "c4n4ry-nobody"), "token-unknown"),
        (expecting.clone().without("Content-Type"), "content-type-unsupported"),
        (expecting.clone().target("/nothing"), "endpoint-unknown"),
    ] {
        println!("{slug}");
        let mut client = gateway.connect();
        client.send(request.head());
        client.response().assert_problem(slug);
    }
    // HTTP/1.0 knows no interim answers.
    let head = String::from_utf8(expecting.head()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    let mut client = gateway.connect();
    client.send(head);
    client.assert_silent(Duration::from_millis(100));
    client.more(&expecting.body);
    client.response().assert_success();
}

#[test]
fn a_body_that_is_announced_too_large_is_not_encouraged() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let request = lookup().with("Expect", "100-continue").with("Content-Length", "20000");
    let mut client = gateway.connect();
    client.send(request.head());
    client.response().assert_problem("body-too-large");
    // HTTP/2 without an interim answer is served as well.
    let request = lookup().with("Expect", "100-continue");
    gateway.send(Version::Http2, &request).assert_success();
    let sent = String::from_utf8(backend.last_request()).unwrap();
    assert!(!sent.contains("xpect"), "{sent}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    let mut bytes = Vec::new();
    for place in 0..5 {
        bytes.extend(lookup().with("Reference-ID", &format!("c4n4ry {place}")).bytes());
        bytes.extend(Request::lookup("nobody").with("Reference-ID", &format!("refused {place}")).bytes());
    }
    client.send(bytes);
    for place in 0..5 {
        let response = client.response();
        response.assert_success();
        assert_eq!(response.header("Reference-ID"), Some(format!("c4n4ry {place}").as_str()));
        let response = client.response();
        response.assert_problem("token-unknown");
        assert_eq!(response.header("Reference-ID"), Some(format!("refused {place}").as_str()));
    }
    assert_eq!(backend.requests().len(), 5);
}

#[test]
fn a_smuggled_request_is_never_answered() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let inner = String::from_utf8(lookup().bytes()).unwrap();
    for (more, body) in [
        ("Content-Length: 5\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\nTransfer-Encoding: x", "0\r\n\r\n"),
        ("Content-Length: 0\nContent-Length: 5", ""),
        ("Transfer-Encoding: chunked", "2\n{}\r\n0\r\n\r\n"),
    ] {
        let mut client = gateway.connect();
        client.send(framed(more, &format!("{body}{inner}")));
        client.response().assert_problem("malformed-request");
        client.assert_ends();
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_refusal_arrives_whatever_becomes_of_the_body() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let refused = |length: usize| Request::lookup("nobody").with("Content-Length", &length.to_string());
    // The answer does not wait for the body, whether that comes later, never or in full.
    for length in [10_240, 1 << 20, 8 << 20] {
        let mut client = gateway.connect();
        client.send(refused(length).head());
        client.response().assert_problem("token-unknown");
        let mut client = gateway.connect();
        client.send(refused(length).head());
        client.more(vec![b' '; length]);
        client.response().assert_problem("token-unknown");
        let chunks = "400\r\n".to_owned() + &" ".repeat(1024) + "\r\n";
        let mut client = gateway.connect();
        client.send(Request::lookup("nobody").with("Transfer-Encoding", "chunked").head());
        for _ in 0..length / 1024 {
            client.more(&chunks);
        }
        client.more("0\r\n\r\n");
        client.response().assert_problem("token-unknown");

        let mut client = gateway.connect_http2();
        let request = refused(length);
        let stream = client.begin(&request, false);
        client.response(stream).assert_problem("token-unknown");
        let mut stream = client.begin(&request, false);
        client.data(&mut stream, &vec![b' '; length], true);
        client.response(stream).assert_problem("token-unknown");
        // The connection is fit for the next request.
        client.exchange(&lookup()).assert_success();
    }
    // Too large a body is refused while it arrives, or by its announced length.
    for version in VERSIONS {
        let request = lookup().body(vec![b' '; 1 << 20]);
        gateway.send(version, &request).assert_problem("body-too-large");
    }
    let mut client = gateway.connect();
    client.send(lookup().with("Content-Length", "1048576").head());
    client.response().assert_problem("body-too-large");
    let mut client = gateway.connect();
    client.send(lookup().with("Transfer-Encoding", "chunked").head());
    for _ in 0..1024 {
        client.more("400\r\n".to_owned() + &" ".repeat(1024) + "\r\n");
    }
    client.response().assert_problem("body-too-large");
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn a_connection_lives_on_after_refusals_that_allow_it() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    for (slug, request) in problems() {
        if matches!(slug, "malformed-request" | "body-too-large") {
            continue;
        }
        println!("{slug}");
        client.request(&request);
        let response = client.response();
        response.assert_problem(slug);
        assert_ne!(response.header("Connection"), Some("close"));
    }
    // A body that was not read is thrown away first.
    let mut late = Request::lookup("nobody").with("Content-Length", "10240");
    client.send(late.head());
    client.response().assert_problem("token-unknown");
    client.more(vec![b'X'; 10_240]);
    late = late.without("Content-Length").with("Transfer-Encoding", "chunked");
    client.send(late.head());
    client.more("5\r\nHello\r\n0\r\n\r\n");
    client.response().assert_problem("token-unknown");
    client.request(&lookup());
    client.response().assert_success();
    // Over HTTP/2 one connection takes them all.
    let mut client = gateway.connect_http2();
    for (slug, request) in problems() {
        client.exchange(&request).assert_problem(slug);
    }
    client.exchange(&lookup()).assert_success();
}

#[test]
fn a_client_that_asks_for_the_end_gets_it() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for request in [lookup(), Request::lookup("nobody"), lookup().target("/nothing")] {
        for option in ["close", "Close", "keep-alive, close", "x-a, close"] {
            let mut client = gateway.connect();
            client.request(&request.clone().with("Connection", option));
            assert_eq!(client.response().header("Connection"), Some("close"));
            client.assert_ends();
        }
    }
}

#[test]
fn http_1_0_is_served() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let text = |request: &Request| String::from_utf8(request.bytes()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    for (request, slug) in [
        (lookup(), None),
        (Request::lookup("nobody"), Some("token-unknown")),
        (lookup().body(""), Some("body-empty")),
        (lookup().target("/nothing"), Some("endpoint-unknown")),
    ] {
        let mut client = gateway.connect();
        client.send(text(&request));
        check(&client.response(), slug);
        client.assert_ends();
        // With keep-alive there is a next time.
        let kept = request.with("Connection", "keep-alive");
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.send(text(&kept));
            let response = client.response();
            check(&response, slug);
            assert_eq!(response.header("Connection"), Some("keep-alive"));
        }
        // A Host is not needed.
        let mut client = gateway.connect();
        client.send(text(&kept).replace("Host: api.example.com\r\n", ""));
        check(&client.response(), slug);
    }
    let sent = String::from_utf8(backend.last_request()).unwrap();
    assert!(sent.contains(" HTTP/1.1\r\nHost: lookup.internal\r\n"), "{sent}");
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

#[test]
fn http_2_has_its_own_ways_to_be_ambiguous() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let mut client = gateway.connect_http2();
    for request in [
        lookup().with("Host", "other.example"),
        lookup().with("Host", "a@api.example.com"),
        lookup().target("http://a@api.example.com/phone/validate/v2"),
    ] {
        client.exchange(&request).assert_problem("malformed-request");
    }
    client.exchange(&lookup().with("Host", "api.example.com")).assert_success();
    // Frames of a body say less or more than its announced length.
    for length in ["5", "500"] {
        let mut stream = client.begin(&lookup().with("Content-Length", length), false);
        client.data(&mut stream, BODY.as_bytes(), true);
        if let Some(response) = client.response_or_error(stream) {
            response.assert_problem("malformed-request");
        }
    }
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn http_2_heads_over_the_limits_get_the_error_object() {
    // Beyond 256 KiB, sixteen times the limit, the protocol library answers; the README says so.
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for kilobytes in [17, 64, 200, 240] {
        let mut client = gateway.connect_http2();
        let request =
            (0..kilobytes).fold(lookup(), |request, line| request.with(&format!("X-{line}"), &"a".repeat(1000)));
        let stream = client.begin(&request, true);
        let response = client.response_or_error(stream).unwrap_or_else(|| panic!("no answer to {kilobytes} KB"));
        response.assert_problem("malformed-request");
    }
}

// ---- CORS (section 9) ----

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
            for name in ["auth-token", "x-app-key", "content-type", "reference-id", "add-metadata", "timeout-seconds"] {
                assert!(allowed.iter().any(|known| known == name), "{name} is not in {allowed:?}");
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

#[test]
fn garbage_reaches_no_port_but_its_own() {
    // The backend is never what the target or the Host says.
    let (backend, elsewhere) = (Backend::answering_json(), Backend::answering_json());
    let gateway = gateway(&backend);
    let other = elsewhere.address();
    gateway.send(Version::Http1, &lookup().with("Host", &other.to_string())).assert_success();
    let absolute = format!("http://{other}/phone/validate/v2");
    gateway.send(Version::Http1, &lookup().target(&absolute).with("Host", &other.to_string())).assert_success();
    gateway.send(Version::Http2, &lookup().target(&absolute)).assert_success();
    gateway
        .send(Version::Http2, &lookup().target(&format!("http://{}/nothing", closed_port())))
        .assert_problem("endpoint-unknown");
    assert_eq!((backend.requests().len(), elsewhere.connections()), (3, 0));
}
