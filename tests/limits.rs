//! Slow, endless, garbled and abandoned requests, too many of everything, and the end of the
//! process: clients get their answer where one is possible, and nothing waits longer than it may.

use std::time::{Duration, Instant};

use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, block, lines};
use crate::support::{
    ANSWER, After, Backend, Client, Configuration, Gateway, PATIENCE, Request, Response, VERSIONS, Version, Wire,
};

/// The allowances of these tests.
const ALLOWANCE: Duration = Duration::from_millis(400);

/// How much later than its allowance something may end.
const SLACK: Duration = Duration::from_secs(1);

fn impatient(backend: &Backend) -> Gateway {
    let configuration = Configuration::new(backend.address())
        .limit("head_timeout", "400ms")
        .limit("body_timeout", "400ms")
        .limit("idle_timeout", "400ms");
    Gateway::start(&configuration.yaml())
}

/// A gateway whose allowances are longer than any test.
fn patient(backend: &Backend) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).yaml())
}

fn lookup() -> Request {
    Request::lookup("live")
}

/// Checks that something took as long as the allowance, and not much longer.
fn assert_in_time(begun: Instant) {
    let taken = begun.elapsed();
    assert!((ALLOWANCE - Duration::from_millis(10)..ALLOWANCE + SLACK).contains(&taken), "took {taken:?}");
}

/// Checks that something did not wait for any allowance.
fn assert_at_once(begun: Instant) {
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(1), "took {taken:?}");
}

/// The last answer of a connection.
fn assert_last(client: &mut Client, slug: &str) -> Response {
    let response = client.response();
    response.assert_problem(slug);
    assert_eq!(response.header("Connection"), Some("close"));
    client.assert_ends();
    response
}

#[test]
fn a_slow_head_is_a_request_timeout() {
    let backend = Backend::answering_json();
    let gateway = impatient(&backend);
    std::thread::scope(|scope| {
        for start in [
            "P",
            "PO",
            "G",
            "POST /phone/validate/v2",
            "POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\n",
            "POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\n\r",
            "\r\nP",
        ] {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.connect();
                let begun = Instant::now();
                client.send(start);
                let response = client.any_path_response();
                response.assert_problem("request-timeout");
                assert_in_time(begun);
                client.assert_ends();
            });
        }
        // A byte now and then does not prolong the allowance.
        scope.spawn(|| {
            let mut client = gateway.connect();
            let begun = Instant::now();
            client.send("POST /phone/validate/v2 HTTP/1.1\r\nX-Slow: ");
            for _ in 0..20 {
                if begun.elapsed() > ALLOWANCE {
                    break;
                }
                client.more("a");
                std::thread::sleep(Duration::from_millis(25));
            }
            client.response().assert_problem("request-timeout");
            assert_in_time(begun);
        });
        // The head of a second request has the allowance as well.
        scope.spawn(|| {
            let mut client = gateway.connect();
            client.request(&lookup());
            client.response().assert_success();
            let begun = Instant::now();
            client.send("POST /phone/validate/v2 HTTP/1.1\r\n");
            assert_last(&mut client, "request-timeout");
            assert_in_time(begun);
        });
    });
}

#[test]
fn the_allowance_of_a_head_begins_with_its_first_byte_and_only_once() {
    let backend = Backend::answering_json();
    let configuration = Configuration::new(backend.address()).limit("head_timeout", "1s");
    let gateway = Gateway::start(&configuration.yaml());
    let mut client = gateway.connect();
    let begun = Instant::now();
    client.send("P");
    std::thread::sleep(Duration::from_millis(900));
    client.more("OST /phone/validate/v2 HTTP/1.1\r\n");
    client.any_path_response().assert_problem("request-timeout");
    let taken = begun.elapsed();
    assert!(taken < Duration::from_millis(1500), "took {taken:?}");
}

#[test]
fn a_slow_body_is_a_request_timeout() {
    let backend = Backend::answering_json();
    let gateway = impatient(&backend);
    let request = lookup().with("Reference-ID", "c4n4ry/slow");
    std::thread::scope(|scope| {
        for (framing, start) in [
            ("Content-Length: 100", ""),
            ("Content-Length: 100", "{\"number\":"),
            ("Transfer-Encoding: chunked", ""),
            ("Transfer-Encoding: chunked", "5\r\n{\"num"),
            ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n"),
            ("Content-Length: 100\r\nExpect: 100-continue", ""),
        ] {
            let (gateway, request) = (&gateway, &request);
            scope.spawn(move || {
                let head = String::from_utf8(request.clone().body("").head()).unwrap();
                let head = head.strip_suffix("\r\n").unwrap();
                let mut client = gateway.connect();
                let begun = Instant::now();
                client.send(format!("{head}{framing}\r\n\r\n{start}"));
                if framing.contains("Expect") {
                    assert_eq!(client.interim(), 100);
                }
                let response = assert_last(&mut client, "request-timeout");
                assert_eq!(response.header("Reference-ID"), Some("c4n4ry/slow"));
                assert_in_time(begun);
            });
        }
        for start in ["", "{\"number\":"] {
            let (gateway, request) = (&gateway, &request);
            scope.spawn(move || {
                let mut client = gateway.connect_http2();
                let begun = Instant::now();
                let mut stream = client.begin(request, false);
                client.data(&mut stream, start.as_bytes(), false);
                let response = client.response(stream);
                response.assert_problem("request-timeout");
                assert_eq!(response.header("Reference-ID"), Some("c4n4ry/slow"));
                assert_in_time(begun);
                // The other streams of the connection go on.
                client.exchange(&lookup()).assert_success();
            });
        }
    });
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_head_over_the_limits_is_refused_at_once() {
    let backend = Backend::answering_json();
    let gateway = patient(&backend);
    let start = "POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\n";
    for head in [
        // None of these heads has an end.
        format!("{start}X: {}", "a".repeat(30_000)),
        format!("{start}{}", "X: a\r\n".repeat(5000)),
        format!("POST /{}", "a".repeat(30_000)),
        "A".repeat(30_000),
    ] {
        let begun = Instant::now();
        let mut client = gateway.connect();
        client.send(&head);
        client.any_path_response().assert_problem("malformed-request");
        assert_at_once(begun);
        client.assert_ends();
    }
    // Megabytes that are on their way do not keep the answer from arriving.
    let mut client = gateway.connect();
    client.send(start);
    let line = "X: ".to_owned() + &"a".repeat(1020) + "\r\n";
    for _ in 0..4096 {
        client.more(&line);
    }
    client.response().assert_problem("malformed-request");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn the_limits_of_a_head_are_exact() {
    let backend = Backend::answering_json();
    let configuration = Configuration::new(backend.address())
        .limit("headers", "10")
        .limit("target_bytes", "100B")
        .limit("header_bytes", "1000B");
    let gateway = Gateway::start(&configuration.yaml());
    let malformed = Some("malformed-request");
    // Host, Auth-Token, Content-Type and Content-Length are there already.
    let lines = |count: usize| (0..count).fold(lookup(), |request, line| request.with(&format!("X-{line}"), "a"));
    let target = |bytes: usize| lookup().target(&format!("/phone/validate/v2?{}", "a".repeat(bytes - 19)));
    for version in VERSIONS {
        for (request, slug) in [
            (lines(5), None),
            (lines(11), malformed),
            (target(100), None),
            (target(101), malformed),
            (lookup().with("X-Long", &"a".repeat(700)), None),
            (lookup().with("X-Long", &"a".repeat(1000)), malformed),
        ] {
            let response = gateway.send(version, &request.with("Reference-ID", "c4n4ry"));
            match slug {
                None => response.assert_success(),
                Some(slug) => response.assert_problem(slug),
            }
            assert_eq!(response.header("Reference-ID"), Some("c4n4ry"));
        }
    }
    let over = lines(6).with("X", "a");
    gateway.send(Version::Http1, &over).assert_problem("malformed-request");
}

#[test]
fn what_is_no_http_is_refused_at_once() {
    let backend = Backend::answering_json();
    let gateway = patient(&backend);
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\x00",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xff\xfe",
        b"{\"number\":\"c4n4ry\"}",
        b"\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\n",
        b"GET /\r\n\r\n",
        b"HELO there\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x05\x01\x00",
        b"<html>",
    ] {
        println!("{}", bytes.escape_ascii());
        let begun = Instant::now();
        let mut client = gateway.connect();
        client.send(bytes);
        client.any_path_response().assert_problem("malformed-request");
        assert_at_once(begun);
        client.assert_ends();
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_silent_or_idle_connection_ends_without_a_byte() {
    let backend = Backend::answering_json();
    let gateway = impatient(&backend);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            let mut client = gateway.connect();
            client.assert_ends();
            assert_in_time(begun);
        });
        for request in [lookup(), Request::lookup("nobody")] {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.connect();
                client.request(&request);
                client.response();
                let begun = Instant::now();
                client.assert_ends();
                assert_in_time(begun);
            });
        }
        scope.spawn(|| {
            let mut client = gateway.connect_http2();
            client.exchange(&lookup()).assert_success();
            let begun = Instant::now();
            client.assert_ends();
            assert_in_time(begun);
        });
        scope.spawn(|| {
            let client = gateway.connect_http2();
            let begun = Instant::now();
            client.assert_ends();
            assert_in_time(begun);
        });
    });
}

/// What a client of HTTP/2 begins with: the preface and no settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn an_http_2_client_that_falls_silent_is_let_go() {
    let backend = Backend::answering_json();
    let gateway = impatient(&backend);
    // A block of headers that does not end: stream 1, one byte that begins a literal.
    let half_a_head = [PREFACE, b"\0\0\x01\x01\0\0\0\0\x01\x00".as_slice()].concat();
    std::thread::scope(|scope| {
        for bytes in [b"PRI * HT", PREFACE, half_a_head.as_slice()] {
            let gateway = &gateway;
            scope.spawn(move || {
                let begun = Instant::now();
                let mut client = gateway.connect();
                client.more(bytes);
                // Frames of the gateway's own may come; nothing answers them.
                client.rest();
                let taken = begun.elapsed();
                // One allowance until it counts as silent, and the wait for its goodbye.
                assert!(
                    taken < ALLOWANCE + SLACK + Duration::from_millis(300),
                    "{} took {taken:?}",
                    bytes.escape_ascii()
                );
            });
        }
    });
}

#[test]
fn a_client_may_leave_at_any_time() {
    let backend = Backend::answering_json();
    let gateway = patient(&backend);
    let bytes = lookup().bytes();
    for end in (0..bytes.len()).step_by(3) {
        let mut client = gateway.connect();
        if end > 0 {
            client.send(&bytes[..end]);
        }
        drop(client);
    }
    // One that only stops sending still reads: a part of a request is answered.
    let head = lookup().head().len();
    for end in [1, 2, 10, head - 1, head, bytes.len() - 1] {
        let begun = Instant::now();
        let mut client = gateway.connect();
        client.send(&bytes[..end]);
        client.finish();
        client.any_path_response().assert_problem("malformed-request");
        assert_at_once(begun);
        client.assert_ends();
    }
    let mut client = gateway.connect();
    client.finish();
    client.assert_ends();
    // Over HTTP/2 a stream or the whole connection is given up.
    let request = lookup();
    for part in [0, 5] {
        let mut client = gateway.connect_http2();
        let mut stream = client.begin(&request, false);
        client.data(&mut stream, &request.body[..part], false);
        client.reset(stream);
        client.exchange(&request).assert_success();
        client.begin(&request, false);
    }
    gateway.send(Version::Http1, &lookup()).assert_success();
    assert_eq!(backend.requests().len(), 3, "half a request reached the backend");
}

#[test]
fn a_client_that_has_only_stopped_sending_is_answered() {
    let (release, backend) = Backend::answering_when_told();
    let gateway = patient(&backend);
    for at_once in [true, false] {
        if at_once {
            release.send(()).unwrap();
        }
        let mut client = gateway.connect();
        client.request(&lookup());
        client.finish();
        if !at_once {
            backend.wait_for_requests(2);
            // Long enough for the end of the client's side to be noticed.
            std::thread::sleep(Duration::from_millis(100));
            release.send(()).unwrap();
        }
        let response = client.final_response();
        response.assert_success();
    }
}

/// Connections that were served and are kept, so that they count.
fn held(gateway: &Gateway, count: usize) -> Vec<Client> {
    let mut held = Vec::new();
    let begun = Instant::now();
    // The connections of the start may not be gone yet.
    while held.len() < count {
        assert!(begun.elapsed() < Duration::from_secs(5), "there is never room");
        let mut client = gateway.connect();
        client.request(&Request::lookup("nobody"));
        if client.response().status() == 401 {
            held.push(client);
        }
    }
    held
}

#[test]
fn a_connection_beyond_the_limit_is_told_so() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).limit("connections", "2").yaml());
    let mut held = held(&gateway, 2);
    for version in VERSIONS {
        for request in [lookup(), Request::lookup("nobody"), lookup().target("/nothing")] {
            let request = request.with("Reference-ID", "c4n4ry/full").with("Origin", "https://app.example.com");
            let response = gateway.send(version, &request);
            response.assert_problem("overloaded");
            assert_eq!(response.header("Reference-ID"), Some("c4n4ry/full"));
            assert_eq!(response.header("Access-Control-Allow-Origin"), Some("https://app.example.com"));
        }
        // What is wrong with a request itself goes first.
        let twice = lookup().with("Auth-Token", "c4n4ry");
        gateway.send(version, &twice).assert_problem("malformed-request");
    }
    let mut client = gateway.connect();
    client.request(&lookup());
    assert_last(&mut client, "overloaded");
    // Those inside are served, and a place that is given back is taken.
    for client in &mut held {
        client.request(&lookup());
        client.response().assert_success();
    }
    held.pop();
    assert_eq!(self::held(&gateway, 1).len(), 1);
}

#[test]
fn a_request_beyond_the_limit_is_told_so() {
    let backend = Backend::silent();
    let gateway = Gateway::start(&Configuration::new(backend.address()).limit("requests", "1").yaml());
    let mut waiting = gateway.connect();
    waiting.request(&lookup());
    backend.wait_for_requests(1);
    let mut kept = gateway.connect();
    for _ in 0..2 {
        kept.request(&lookup().with("Reference-ID", "c4n4ry/full"));
        let response = kept.response();
        response.assert_problem("overloaded");
        assert_eq!(response.header("Reference-ID"), Some("c4n4ry/full"));
    }
    gateway.send(Version::Http2, &lookup()).assert_problem("overloaded");
    // The place is given back when the client leaves.
    drop(waiting);
    backend.wait_for_closes();
    let begun = Instant::now();
    loop {
        kept.request(&Request::lookup("nobody"));
        let response = kept.response();
        if response.status() == 401 {
            break;
        }
        response.assert_problem("overloaded");
        assert!(begun.elapsed() < Duration::from_secs(1), "the place was never given back");
    }
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody() {
    let body = format!("\"{}\"", "a".repeat(1_000_000));
    let backend = Backend::start(move |peer, _| peer.answer(&body));
    let configuration = Configuration::new(backend.address()).limit("write_timeout", "400ms");
    let gateway = Gateway::start(&configuration.yaml());
    let mut stuck = gateway.connect();
    for _ in 0..10 {
        stuck.request(&lookup());
    }
    for version in VERSIONS {
        let begun = Instant::now();
        gateway.send(version, &lookup()).assert_success();
        assert_at_once(begun);
    }
    let mut client = gateway.connect_http2_without_window();
    let begun = Instant::now();
    let request = lookup();
    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, true);
    assert!(client.response_or_error(stream).is_none(), "a body without a window");
    assert_in_time(begun);
    // Its connection ends: less than all of the answers is there to be read.
    std::thread::sleep(ALLOWANCE + Duration::from_millis(200));
    assert!(stuck.rest() < 10_000_000);
}

#[test]
fn a_stop_lets_a_request_in_flight_finish_over_http_1() {
    check_stop(Version::Http1);
}

#[test]
fn a_stop_lets_a_request_in_flight_finish_over_http_2() {
    check_stop(Version::Http2);
}

fn check_stop(version: Version) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let backend = Backend::start(move |peer, request| {
        if String::from_utf8_lossy(request).contains("?wait") {
            released.lock().unwrap().recv().unwrap();
        }
        peer.answer(ANSWER);
        After::Keep
    });
    let mut gateway = patient(&backend);
    let mut idle = gateway.connect();
    idle.request(&lookup());
    idle.response().assert_success();
    let mut idle_http2 = gateway.connect_http2();
    idle_http2.exchange(&lookup()).assert_success();
    let request = lookup().target("/phone/validate/v2?wait");
    std::thread::scope(|scope| {
        let gateway = &gateway;
        let waiting = scope.spawn(move || gateway.send(version, &request));
        backend.wait_for_requests(3);
        gateway.terminate();
        idle.assert_ends();
        idle_http2.assert_ends();
        release.send(()).unwrap();
        let response = waiting.join().unwrap();
        response.assert_success();
        if version == Version::Http1 {
            assert_eq!(response.header("Connection"), Some("close"));
        }
    });
    let begun = Instant::now();
    let status = gateway.wait_for_end(Duration::from_secs(5)).expect("the end of the process");
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
}

#[test]
fn a_stop_does_not_wait_for_silent_connections() {
    let backend = Backend::answering_json();
    let mut gateway = patient(&backend);
    let mut silent = gateway.connect();
    // Once a later connection is served, this one is in hands as well.
    gateway.send(Version::Http1, &lookup()).assert_success();
    let begun = Instant::now();
    gateway.terminate();
    silent.assert_ends();
    let status = gateway.wait_for_end(PATIENCE).expect("the end of the process");
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
}

#[test]
fn a_stop_without_requests_is_quick() {
    let backend = Backend::answering_json();
    let mut gateway = patient(&backend);
    gateway.send(Version::Http1, &lookup()).assert_success();
    let begun = Instant::now();
    gateway.terminate();
    let status = gateway.wait_for_end(Duration::from_secs(5)).expect("the end of the process");
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
}

// ---- HTTP/2: what a refused stream keeps, and what strangers can hold ----

/// Sends heads of `POST /x` without an end, which are refused at once, and leaves their streams open.
fn hold_refused(gateway: &Gateway, streams: u32) -> Frames {
    let mut frames = Frames::begin(Wire::tcp(gateway.address()), 65_535);
    let block = block(&Request::new("POST", "/x"));
    for stream in 0..streams {
        frames.send(HEADERS, END_HEADERS, 2 * stream + 1, &block);
    }
    for _ in 0..streams {
        frames.next(DATA).expect("a refusal");
    }
    frames
}

#[test]
fn a_refused_request_without_an_end_holds_no_place() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).limit("requests", "10").yaml());
    let _held: Vec<Frames> = (0..3).map(|_| hold_refused(&gateway, 100)).collect();
    for version in VERSIONS {
        for _ in 0..5 {
            let begun = Instant::now();
            gateway.send(version, &lookup()).assert_success();
            gateway.send(version, &Request::lookup("nobody")).assert_problem("token-unknown");
            assert_at_once(begun);
        }
    }
}

#[test]
fn the_rest_of_a_refused_stream_is_waited_for_a_moment_and_then_given_up_without_an_error() {
    let backend = Backend::answering_json();
    let gateway = patient(&backend);
    let begun = Instant::now();
    let mut frames = hold_refused(&gateway, 3);
    for _ in 0..3 {
        let reset = frames.next(RST_STREAM).expect("a reset");
        assert_eq!(reset.payload, 0_u32.to_be_bytes(), "NO_ERROR");
    }
    let taken = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&taken), "took {taken:?}");
    // The connection lives on, and a body that comes in time ends its stream in order.
    frames.request(7, &lookup().target("/x"));
    assert_eq!(frames.next(HEADERS).unwrap().stream, 7);
    frames.request(9, &lookup());
    assert_eq!(frames.next(HEADERS).unwrap().stream, 9);
}

#[test]
fn a_part_of_the_connections_is_for_those_who_are_known() {
    let backend = Backend::answering_json();
    let configuration =
        Configuration::new(backend.address()).limit("connections", "10").limit("reserved_percent", "50");
    let gateway = Gateway::start(&configuration.yaml());
    let held = held(&gateway, 5);
    let stranger = Request::lookup("nobody");
    for version in VERSIONS {
        for request in [stranger.clone(), stranger.clone().target("/nothing"), lookup().without("Auth-Token")] {
            gateway.send(version, &request).assert_problem("overloaded");
        }
        // What is wrong with a request itself goes first, and what is wrong with a known token comes later.
        gateway.send(version, &stranger.clone().with("Auth-Token", "c4n4ry")).assert_problem("malformed-request");
        gateway.send(version, &lookup()).assert_success();
        gateway.send(version, &Request::lookup("disabled")).assert_problem("token-disabled");
        gateway.send(version, &lookup().target("/nothing")).assert_problem("endpoint-unknown");
    }
    // A stranger is let go with the refusal; who is known stays, and may make mistakes then.
    let mut client = gateway.connect();
    client.request(&stranger);
    assert_last(&mut client, "overloaded");
    let mut client = gateway.connect();
    client.request(&lookup());
    client.response().assert_success();
    client.request(&stranger);
    client.response().assert_problem("token-unknown");
    drop(held);
}

#[test]
fn an_http_2_connection_beyond_the_limit_is_looked_at_again_and_let_go() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).limit("connections", "2").yaml());
    let held = held(&gateway, 2);
    // One that asks while there is no room is told so, and told to leave.
    let mut refused = Frames::begin(Wire::tcp(gateway.address()), 65_535);
    refused.request(1, &lookup());
    assert_eq!(refused.next(HEADERS).expect("an answer").stream, 1);
    assert!(refused.next(GOAWAY).is_some());
    while refused.frame().is_some() {}
    // One that asks once there is room is served for as long as it stays.
    let mut waiting = gateway.connect_http2();
    drop(held);
    crate::support::until("room for one more", || gateway.send(Version::Http1, &lookup()).status() == 200);
    for _ in 0..3 {
        waiting.exchange(&lookup()).assert_success();
    }
}

#[test]
fn pages_that_nobody_reads_take_no_answer_from_anybody() {
    let backend = Backend::answering_at_length(60_000);
    let gateway = patient(&backend);
    let page = Request::new("GET", "/docs/openapi.json");
    let _held: Vec<Frames> = (0..15)
        .map(|_| {
            let mut frames = Frames::begin(Wire::tcp(gateway.address()), 0);
            for stream in 0..100 {
                frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, &block(&page));
            }
            for _ in 0..100 {
                frames.next(HEADERS).expect("the head of a page");
            }
            frames
        })
        .collect();
    // These have to wait for one another: together they are more than the connection's window.
    let mut frames = Frames::begin(Wire::tcp(gateway.address()), 65_535);
    for round in 0..3 {
        let streams = (0..10).map(|number| 2 * (10 * round + number) + 1);
        streams.for_each(|stream| frames.request(stream, &lookup()));
        let mut ended = 0;
        while ended < 10 {
            let frame = frames.frame().expect("a frame before the end");
            assert_ne!(frame.kind, RST_STREAM, "an answer was lost");
            if frame.kind == DATA {
                ended += usize::from(frame.flags & END_STREAM);
                for window in [0, frame.stream] {
                    frames.grant(window, frame.payload.len() as u32);
                }
            }
        }
    }
}

#[test]
fn a_client_of_http_1_0_that_has_only_stopped_sending_is_answered() {
    let (release, backend) = Backend::answering_when_told();
    let gateway = patient(&backend);
    let mut client = gateway.connect();
    client.send(String::from_utf8(lookup().bytes()).unwrap().replace("HTTP/1.1", "HTTP/1.0"));
    client.finish();
    backend.wait_for_requests(1);
    // Long enough for the end of the client's side to be noticed.
    std::thread::sleep(Duration::from_millis(100));
    release.send(()).unwrap();
    // No interim response may come: HTTP/1.0 has none.
    client.response().assert_success();
    client.assert_ends();
}

#[test]
fn what_http_2_lets_pass_is_malformed_all_the_same() {
    let backend = Backend::answering_json();
    let gateway = patient(&backend);
    let mut frames = Frames::begin(Wire::tcp(gateway.address()), 65_535);
    let head = |scheme, path| {
        lines(&[(":method", "POST"), (":scheme", scheme), (":authority", "api.example.com"), (":path", path)])
    };
    let mut rest = lines(&[]);
    for (name, value) in &lookup().headers {
        rest.extend(lines(&[(name.to_ascii_lowercase().as_str(), std::str::from_utf8(value).unwrap())]));
    }
    let path = "/phone/validate/v2";
    for (stream, scheme, path, slug) in [
        (1, "http", path, None),
        (3, "https", path, None),
        (5, "ftp", path, Some("malformed-request")),
        (7, "ws", path, Some("malformed-request")),
        (9, "http", "/phone/validate/v2#", Some("malformed-request")),
        (11, "http", "/phone/validate/v2?a#b", Some("malformed-request")),
        (13, "http", "/phone/validate/v2?a%23b", None),
    ] {
        frames.send(HEADERS, END_HEADERS, stream, &[head(scheme, path), rest.clone()].concat());
        frames.send(DATA, END_STREAM, stream, &lookup().body);
        let answer = frames.next(DATA).expect("an answer");
        let text = String::from_utf8(answer.payload).unwrap();
        match slug {
            None => assert_eq!(text, ANSWER, "{scheme} {path}"),
            Some(slug) => assert!(text.contains(slug), "{scheme} {path}: {text}"),
        }
    }
    // Trailers are for what is not known before; a request is not changed by them.
    for (stream, trailer, slug) in [(15, "x-checksum", None), (17, ":path", Some("malformed-request"))] {
        frames.send(HEADERS, END_HEADERS, stream, &[head("http", path), rest.clone()].concat());
        frames.send(DATA, 0, stream, &lookup().body);
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &lines(&[(trailer, "/phone/validation/v2")]));
        let text = String::from_utf8(frames.next(DATA).expect("an answer").payload).unwrap();
        assert!(text.contains(slug.unwrap_or(ANSWER)), "{trailer}: {text}");
    }
    assert_eq!(backend.requests().len(), 4);
    // Beyond what any head may have, the connection ends, and is told why; there is no 431.
    let mut frames = Frames::begin(Wire::tcp(gateway.address()), 65_535);
    let plant = [head("http", path), b"\x40\x01a\x00".to_vec()].concat();
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &plant);
    assert_eq!(frames.next(HEADERS).expect("an answer").stream, 1);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &[head("http", path), vec![0xbe; 7_700]].concat());
    assert_eq!(frames.next(HEADERS).expect("the gateway's own refusal").stream, 3);
    assert!(String::from_utf8_lossy(&frames.next(DATA).unwrap().payload).contains("malformed-request"));
    frames.send(HEADERS, END_HEADERS | END_STREAM, 5, &[head("http", path), vec![0xbe; 8_000]].concat());
    let goaway = loop {
        let frame = frames.frame().expect("a frame before the end");
        assert_ne!((frame.kind, frame.stream), (HEADERS, 5));
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(goaway.payload[4..8], 11_u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
}
