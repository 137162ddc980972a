//! What two parsers could read differently (contract, section 8).

use super::{BODY, REFERENCE, framed, gateway, lookup};
use crate::support::{Backend, token};

/// Lines that leave it open where a body ends or which host is meant; `{length}` is the right
/// Content-Length, `{bytes}` its number.
const AMBIGUOUS_LINES: [&str; 21] = [
    "{length}\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\n{length}",
    "{length}\n{length}",
    "{length}\nContent-Length: 0",
    "Content-Length: {bytes}, {bytes}",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: -1",
    "Content-Length: 5 5",
    "Content-Length:",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding:",
    "{length}\nHost: api.example.com",
    "{length}\nHost: other.example.com",
];

/// Heads that RFC 9112 does not allow; `{host}` is a sound Host line, `{start}` what else a lookup
/// needs.
const MALFORMED_HEADS: [&str; 43] = [
    "POST /phone/validate/v2 HTTP/1.1\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost:\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost: a@api.example.com\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com/x\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost: a b\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost: a, b\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com:x\r\n{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com:70000\r\n{start}",
    "POST http://other.example.com/phone/validate/v2 HTTP/1.1\r\n{host}{start}",
    "POST http://a@api.example.com/phone/validate/v2 HTTP/1.1\r\n{host}{start}",
    "POST phone/validate/v2 HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2#a HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2\\a HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2?\u{1} HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2?\u{7f} HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2?\u{0} HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2?\u{e9} HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2?a\tb HTTP/1.1\r\n{host}{start}",
    "POST  /phone/validate/v2 HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2  HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2 HTTP/1.1 \r\n{host}{start}",
    " POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2 HTTP/1.2\r\n{host}{start}",
    "POST /phone/validate/v2 HTTP/2.0\r\n{host}{start}",
    "POST /phone/validate/v2 HTTP/0.9\r\n{host}{start}",
    "POST /phone/validate/v2 http/1.1\r\n{host}{start}",
    "POST /phone/validate/v2 HTTPS/1.1\r\n{host}{start}",
    "POST /phone/validate/v2\r\n{host}{start}",
    "PO(ST /phone/validate/v2 HTTP/1.1\r\n{host}{start}",
    "POST /phone/validate/v2 HTTP/1.1\n{host}{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\nY: b\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\rY: b\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\r\n b\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\r\n\tb\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n X: a\r\n{host}{start}",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X : a\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}: a\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\0b\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X: a\u{1}b\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X\0: a\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}X\u{e9}: a\r\n",
    "POST /phone/validate/v2 HTTP/1.1\r\n{host}{start}\"X\": a\r\n",
];

#[test]
fn what_two_parsers_could_read_differently_is_malformed() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let length = format!("Content-Length: {}", BODY.len());
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for more in AMBIGUOUS_LINES {
        let more = more.replace("{length}", &length).replace("{bytes}", &BODY.len().to_string());
        println!("{more:?}");
        let response = gateway.exchange(framed(&more, &chunked));
        response.assert_problem("malformed-request");
        assert_eq!(response.header("Reference-ID"), Some(REFERENCE), "{more}");
        assert_eq!(response.header("Connection"), Some("close"), "{more}");
    }
    let token = token("live");
    let start = format!("Auth-Token: {token}\r\nContent-Type: application/json\r\n{length}\r\n");
    let host = "Host: api.example.com\r\n";
    for head in MALFORMED_HEADS {
        let head = head.replace("{host}", host).replace("{start}", &start);
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
