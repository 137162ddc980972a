//! The exact bytes that reach the backend (contract, section 8).

use super::{BODY, REFERENCE, behind_a_proxy, framed, gateway, lookup};
use crate::support::{Backend, Request, VERSIONS, Version, closed_port, token};

/// A lookup with headers of which some are forwarded, some are checked, and most are dropped.
fn with_much_that_stays_behind(body: &str) -> Request {
    Request::new("POST", "/phone/validate/v2?a=b%20c&d=/e%2f")
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
        .body(body)
}

#[test]
fn the_backend_gets_a_request_that_was_built_anew() {
    let backend = Backend::answering_json();
    let gateway = behind_a_proxy(&backend);
    let body = "{ \"number\" : \"c4n4ry\\u0031 \u{e9}\" }\n";
    let request = with_much_that_stays_behind(body);
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
fn a_connection_line_takes_no_header_away_that_was_judged() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for nominated in [
        "content-type",
        "close-to, Content-Type",
        "Add-Metadata",
        "Timeout-Seconds, add-metadata, content-type",
        "origin, referer",
        "content-length, host, reference-id, transaction-id, traceparent, x-forwarded-for",
    ] {
        println!("{nominated}");
        let request = lookup()
            .with("Connection", nominated)
            .with("Connection", "X-Hop")
            .with("X-Hop", "gone")
            .with("Add-Metadata", "true")
            .with("Timeout-Seconds", "5")
            .with("Reference-ID", REFERENCE)
            .with("Origin", "https://app.example.com")
            .with("Referer", "https://app.example.com/a");
        gateway.send(Version::Http1, &request).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        for line in [
            "Host: lookup.internal",
            "Content-Type: application/json",
            "Add-Metadata: true",
            "Timeout-Seconds: 5",
            "Origin: https://app.example.com",
            "Referer: https://app.example.com/a",
            &format!("Reference-ID: {REFERENCE}"),
            &format!("Content-Length: {}", request.body.len()),
        ] {
            assert_eq!(sent.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {sent}");
        }
        for name in ["\r\nTransaction-Id: ", "\r\ntraceparent: ", "\r\nX-Forwarded-For: 127.0.0.1\r\n"] {
            assert_eq!(sent.matches(name).count(), 1, "{name} in {sent}");
        }
        assert!(!sent.contains("gone") && !sent.contains("\r\nConnection"), "{sent}");
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
    // A token in a trailer does not count.
    let mut client = gateway.connect_http2();
    let request = request.without("Auth-Token");
    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, false);
    client.trailers(&mut stream, "auth-token", &token("live"));
    client.response(stream).assert_problem("token-missing");
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
