//! Connections: who ends them and when, and what is sent over them in between.

use std::time::Duration;

use super::{BODY, check, framed, gateway, lookup, statuses::problems};
use crate::support::{Backend, Request, VERSIONS, Version};

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
    // A body that has arrived already needs no 100 Continue, and the connection is kept.
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
    // HTTP/1.0 has no interim answers.
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
        // The connection can be used for the next request.
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
    // A body that was not read is discarded first.
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
fn an_upgrade_is_an_offer_that_is_not_taken_up() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for lines in [
        // Java's HttpClient, and curl --http2 on plain HTTP.
        "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        "Connection: Upgrade\nUpgrade: websocket",
        "Connection: keep-alive, Upgrade\nUpgrade: h2c, TLS/1.0, IRC/6.9",
        "Upgrade: h2c",
        "Upgrade: HTTP/2.0\nUpgrade: h2c",
    ] {
        println!("{lines:?}");
        let length = format!("Content-Length: {}", BODY.len());
        let mut client = gateway.connect();
        // The connection continues in the version that it began with.
        for _ in 0..2 {
            client.send(framed(&format!("{lines}\n{length}"), BODY));
            let response = client.response();
            response.assert_success();
            assert_eq!(response.header("Upgrade"), None);
        }
        let sent = String::from_utf8(backend.last_request()).unwrap().to_ascii_lowercase();
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert!(!sent.contains(gone), "{gone} in {sent}");
        }
    }
    // What is refused is refused for its own reason.
    let request = Request::lookup("nobody").with("Connection", "Upgrade").with("Upgrade", "h2c");
    gateway.send(Version::Http1, &request).assert_problem("token-unknown");
    let upgrade = "Upgrade: h2c\nConnection: Upgrade\nContent-Length: 5\nTransfer-Encoding: chunked";
    gateway.exchange(framed(upgrade, "0\r\n\r\n")).assert_problem("malformed-request");
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
