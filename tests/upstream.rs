//! Whatever a backend does, clients get a valid 200 or one of the contract's problems, and a request reaches a backend
//! once.

use std::time::{Duration, Instant, SystemTime};

use crate::support::{ANSWER, After, Backend, Configuration, DRIP, Gateway, Peer, Request, VERSIONS, Version};

type Behaviour = fn(&mut Peer) -> After;

/// More header bytes than the gateway reads.
const ENDLESS: usize = 64 << 20;

const UNAVAILABLE: Option<&str> = Some("upstream-unavailable");
const FAILED: Option<&str> = Some("upstream-failed");

/// Sends an answer and closes.
fn last(peer: &mut Peer, bytes: impl AsRef<[u8]>) -> After {
    peer.send(bytes);
    After::Close
}

/// Sends this piece until so many bytes are gone or the gateway takes no more.
fn flood(peer: &mut Peer, piece: &str, bytes: usize) -> After {
    let many = piece.repeat(65_536 / piece.len());
    for _ in 0..bytes / many.len() {
        if !peer.send(&many) {
            break;
        }
    }
    After::Close
}

/// What backends do, and what clients see of it: a 200, or a problem.
const BEHAVIOURS: &[(&str, Behaviour, Option<&str>)] = &[
    ("good", |peer| peer.answer(ANSWER), None),
    ("good-with-spaces", |peer| peer.answer(" { \"result\" : [1, 2.50, \"\\u00e9\\n\"] }\r\n"), None),
    (
        "good-chunked",
        |peer| {
            peer.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n4;x\r\na\":1\r\n1\r\n}\r\n0\r\n\r\n",
            );
            After::Keep
        },
        None,
    ),
    (
        "good-until-the-end",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}"),
        None,
    ),
    ("good-of-http-1-0", |peer| last(peer, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}"), None),
    ("good-of-http-1-0-with-length", |peer| last(peer, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}"), None),
    (
        "good-without-a-type",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
            After::Keep
        },
        None,
    ),
    (
        "good-without-a-phrase",
        |peer| last(peer, "HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"a\":1}"),
        None,
    ),
    (
        "good-after-continue",
        |peer| {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            peer.answer(ANSWER)
        },
        None,
    ),
    (
        "good-after-early-hints",
        |peer| {
            peer.send("HTTP/1.1 103 Early Hints\r\nLink: </gone>\r\n\r\n");
            peer.answer(ANSWER)
        },
        None,
    ),
    (
        "good-in-pieces",
        |peer| {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ANSWER}", ANSWER.len());
            for piece in text.as_bytes().chunks(40) {
                peer.send(piece);
                std::thread::sleep(Duration::from_millis(2));
            }
            After::Keep
        },
        None,
    ),
    (
        "good-with-headers-that-must-not-pass",
        |peer| {
            peer.answer_with(
                "200 OK",
                "Server: nginx\r\nSet-Cookie: a=b\r\nX-Internal: yes\r\nConnection: X-Foo\r\nX-Foo: yes\r\nVia: 1.1 inner\r\n\
                 X-Powered-By: PHP\r\nTransaction-Id: inner\r\nReference-ID: inner\r\nAccess-Control-Allow-Origin: *\r\n\
                 X-Rate-Limit-Limit: 7\r\nLocation: http://inner\r\nAllow: PATCH\r\n",
                ANSWER.as_bytes(),
            )
        },
        None,
    ),
    ("good-and-nested", |peer| peer.answer(&format!("{}{}", "[".repeat(100), "]".repeat(100))), None),
    ("good-with-a-key-twice", |peer| peer.answer("{\"a\":1,\"a\":2}"), None),
    ("closes-without-a-word", |_| After::Close, UNAVAILABLE),
    ("resets-without-a-word", |_| After::Reset, UNAVAILABLE),
    ("closes-within-the-head", |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Le"), FAILED),
    (
        "resets-within-the-head",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Le");
            std::thread::sleep(DRIP);
            After::Reset
        },
        FAILED,
    ),
    ("garbage", |peer| last(peer, "\u{0}\u{1}garbage\r\n\r\n"), FAILED),
    ("garbage-without-an-end", |peer| flood(peer, "garbage ", ENDLESS), FAILED),
    ("ssh", |peer| last(peer, "SSH-2.0-OpenSSH_9.6\r\n"), FAILED),
    ("http-0-9", |peer| last(peer, "<html>hello</html>\r\n\r\n"), FAILED),
    ("http-2", |peer| last(peer, "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}"), FAILED),
    ("status-of-two-digits", |peer| last(peer, "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}"), FAILED),
    ("odd-header-name", |peer| last(peer, "HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\n{}"), FAILED),
    (
        "endless-headers",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\n");
            flood(peer, "X-Header: some value\r\n", ENDLESS)
        },
        FAILED,
    ),
    (
        "one-endless-header",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nX-Header: ");
            flood(peer, "aaaaaaaa", ENDLESS)
        },
        FAILED,
    ),
    ("short-body", |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":1}"), FAILED),
    (
        "short-body-and-reset",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":1}");
            std::thread::sleep(DRIP);
            After::Reset
        },
        FAILED,
    ),
    (
        "endless-body",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
            flood(peer, "[[[[[[[[", ENDLESS)
        },
        FAILED,
    ),
    (
        "endless-chunks",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            flood(peer, "4\r\n    \r\n", ENDLESS)
        },
        FAILED,
    ),
    ("huge-length", |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{\"a\":1}"), FAILED),
    ("length-that-is-no-number", |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{\"a\":1}"), FAILED),
    (
        "two-lengths",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 2\r\n\r\n{\"a\":1}"),
        FAILED,
    ),
    (
        "good-with-one-length-twice",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n{\"a\":1}"),
        None,
    ),
    (
        "length-and-chunks",
        |peer| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
            After::Keep
        },
        FAILED,
    ),
    (
        "chunks-of-http-1-0",
        |peer| last(peer, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        FAILED,
    ),
    (
        "another-coding",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        FAILED,
    ),
    ("folded-header", |peer| last(peer, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n{}"), FAILED),
    (
        "larger-than-the-limit",
        |peer| {
            let body = format!("\"{}\"", "a".repeat(1 << 20));
            peer.answer(&body)
        },
        FAILED,
    ),
    (
        "as-large-as-the-limit",
        |peer| {
            let body = format!("\"{}\"", "a".repeat((1 << 20) - 2));
            peer.answer(&body)
        },
        None,
    ),
    (
        "chunk-size-that-is-none",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        FAILED,
    ),
    (
        "chunk-longer-than-its-size",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n"),
        FAILED,
    ),
    ("chunks-cut-short", |peer| last(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), FAILED),
    (
        "chunks-cut-short-at-the-last",
        |peer| last(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"),
        FAILED,
    ),
    (
        "switching-protocols",
        |peer| last(peer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        FAILED,
    ),
    (
        "interim-answers-without-end",
        |peer| flood(peer, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ENDLESS),
        FAILED,
    ),
    ("interim-answer-and-close", |peer| last(peer, "HTTP/1.1 100 Continue\r\n\r\n"), UNAVAILABLE),
    ("no-content", |peer| last(peer, "HTTP/1.1 204 No Content\r\n\r\n"), FAILED),
    ("no-content-with-a-body", |peer| peer.answer_with("204 No Content", "", b"{}"), FAILED),
    ("not-modified-with-a-body", |peer| peer.answer_with("304 Not Modified", "", b"{}"), FAILED),
    ("created", |peer| peer.answer_with("201 Created", "", b"{}"), FAILED),
    ("partial", |peer| peer.answer_with("206 Partial Content", "Content-Range: bytes 0-1/7\r\n", b"{}"), FAILED),
    ("moved", |peer| peer.answer_with("301 Moved Permanently", "Location: http://c4n4ry.internal/\r\n", b"{}"), FAILED),
    ("moved-for-now", |peer| peer.answer_with("307 Temporary Redirect", "Location: /c4n4ry\r\n", b"{}"), FAILED),
    (
        "bad-request",
        |peer| peer.answer_with("400 Bad Request", "", b"{\"error\":\"c4n4ry inner words\"}"),
        Some("body-invalid"),
    ),
    ("unauthorized", |peer| peer.answer_with("401 Unauthorized", "WWW-Authenticate: Basic\r\n", b"{}"), FAILED),
    ("forbidden", |peer| peer.answer_with("403 Forbidden", "", b"{}"), FAILED),
    ("not-found", |peer| peer.answer_with("404 Not Found", "", b"{}"), FAILED),
    ("method-not-allowed", |peer| peer.answer_with("405 Method Not Allowed", "Allow: PATCH\r\n", b"{}"), FAILED),
    ("timed-out", |peer| peer.answer_with("408 Request Timeout", "", b"{}"), UNAVAILABLE),
    ("too-large", |peer| peer.answer_with("413 Content Too Large", "", b"{}"), Some("body-too-large")),
    (
        "unprocessable",
        |peer| peer.answer_with("422 Unprocessable Content", "", b"{\"c4n4ry\":1}"),
        Some("body-invalid"),
    ),
    (
        "server-error-in-html",
        |peer| {
            peer.answer_with("500 Internal Server Error", "X-Debug: c4n4ry\r\n", b"<html>c4n4ry at inner.rs:17</html>")
        },
        FAILED,
    ),
    ("not-implemented", |peer| peer.answer_with("501 Not Implemented", "", b"{}"), FAILED),
    ("507", |peer| peer.answer_with("507 Insufficient Storage", "", b"{}"), FAILED),
    ("status-999", |peer| peer.answer_with("999 Odd", "", b"{}"), FAILED),
    ("bad-gateway", |peer| peer.answer_with("502 Bad Gateway", "", b"<html>"), UNAVAILABLE),
    ("unavailable", |peer| peer.answer_with("503 Service Unavailable", "", b""), UNAVAILABLE),
    ("gateway-timeout", |peer| peer.answer_with("504 Gateway Timeout", "", b"{}"), UNAVAILABLE),
    (
        "compressed",
        |peer| {
            peer.answer_with(
                "200 OK",
                "Content-Encoding: gzip\r\n",
                b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0",
            )
        },
        FAILED,
    ),
    ("html", |peer| peer.answer("<html>hello</html>"), FAILED),
    ("text", |peer| peer.answer("ok"), FAILED),
    ("two-documents", |peer| peer.answer("{}{}"), FAILED),
    ("half-a-document", |peer| peer.answer("{\"a\":"), FAILED),
    ("nan", |peer| peer.answer("{\"a\":NaN}"), FAILED),
    ("not-utf-8", |peer| peer.answer_with("200 OK", "", b"{\"a\":\"\xff\xfe\"}"), FAILED),
    ("empty", |peer| peer.answer(""), FAILED),
    ("empty-without-a-length", |peer| last(peer, "HTTP/1.1 200 OK\r\n\r\n"), FAILED),
    ("deeply-nested", |peer| peer.answer(&"[".repeat(500_000)), FAILED),
];

/// A backend that does what the query of a request names, and everything well once it was named.
fn misbehaving() -> Backend {
    Backend::start(|peer, request| {
        let text = String::from_utf8_lossy(request);
        let name = text.split(['?', ' ']).nth(2).unwrap().to_owned();
        let behaviour = BEHAVIOURS.iter().find(|(known, _, _)| *known == name);
        behaviour.unwrap_or_else(|| panic!("no behaviour {name}")).1(peer)
    })
}

fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&Configuration::new(backend.address()).yaml())
}

fn lookup(query: &str) -> Request {
    Request::lookup("live").target(&format!("/phone/validate/v2?{query}"))
}

fn check_behaviours(version: Version) {
    let backend = misbehaving();
    let gateway = gateway(&backend);
    for (name, _, slug) in BEHAVIOURS {
        println!("{version:?} {name}");
        let begun = Instant::now();
        let request = lookup(name).with("Reference-ID", "c4n4ry/1").with("Origin", "https://app.example.com");
        let response = gateway.send(version, &request);
        match slug {
            None => response.assert_success(),
            Some(slug) => {
                response.assert_problem(slug);
                assert!(!String::from_utf8_lossy(response.body()).contains("c4n4ry"), "{name}");
            }
        }
        assert_eq!(response.header("Reference-ID"), Some("c4n4ry/1"), "{name}");
        assert_eq!(response.header("Access-Control-Allow-Origin"), Some("https://app.example.com"), "{name}");
        for inner in ["x-foo", "location", "x-debug", "www-authenticate", "link", "upgrade", "allow"] {
            assert_eq!(response.header(inner), None, "{name}");
        }
        assert_eq!(response.number("X-Rate-Limit-Limit"), 600_000, "{name}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{name} took {:?}", begun.elapsed());
        assert_eq!(backend.count(&format!("?{name} ")), 1, "{name} was sent more than once");
    }
    // None of that has harmed the next request.
    gateway.send(version, &lookup("good")).assert_success();
}

#[test]
fn whatever_a_backend_does_is_one_of_the_problems_over_http_1() {
    check_behaviours(Version::Http1);
}

#[test]
fn whatever_a_backend_does_is_one_of_the_problems_over_http_2() {
    check_behaviours(Version::Http2);
}

#[test]
fn the_bytes_of_an_answer_pass_unchanged() {
    let backend = Backend::start(|peer, request| {
        let body = request.split(|byte| *byte == b'\n').next_back().unwrap().to_vec();
        peer.answer_with("200 OK", "", &body)
    });
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let body = "{ \"number\" : \"c4n4ry \\u00e9 é ☎\", \"x\" : 1.50e0 }";
        let response = gateway.send(version, &Request::lookup("live").body(body));
        response.assert_success();
        assert_eq!(response.body(), body.as_bytes());
    }
}

#[test]
fn a_retry_after_passes_as_whole_seconds() {
    let backend = Backend::start(|peer, request| {
        let text = String::from_utf8_lossy(request);
        let value = match text.split(['?', ' ']).nth(2).unwrap() {
            "seconds" => "7".to_owned(),
            "zero" => "0".to_owned(),
            "date" => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60)),
            "past" => httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60)),
            "odd" => "c4n4ry".to_owned(),
            "none" => return peer.answer_with("503 Service Unavailable", "", b""),
            status => return peer.answer_with(&format!("{status} Status"), "Retry-After: 7\r\n", b""),
        };
        peer.answer_with("503 Service Unavailable", &format!("Retry-After: {value}\r\n"), b"")
    });
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (query, slug, seconds) in [
            ("seconds", "upstream-unavailable", Some(7..8)),
            ("zero", "upstream-unavailable", Some(1..2)),
            ("date", "upstream-unavailable", Some(57..62)),
            ("past", "upstream-unavailable", Some(1..2)),
            ("odd", "upstream-unavailable", None),
            ("none", "upstream-unavailable", None),
            ("429", "upstream-unavailable", Some(7..8)),
            ("502", "upstream-unavailable", Some(7..8)),
            ("504", "upstream-unavailable", Some(7..8)),
            ("500", "upstream-failed", None),
            ("404", "upstream-failed", None),
        ] {
            let response = gateway.send(version, &lookup(query));
            response.assert_problem(slug);
            let known = response.header("Retry-After").map(|value| value.parse::<u64>().unwrap());
            match seconds {
                None => assert_eq!(known, None, "{query}"),
                Some(range) => assert!(range.contains(&known.unwrap()), "{query}: {known:?}"),
            }
        }
    }
}

#[test]
fn nobody_listening_is_unavailable_at_once() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let begun = Instant::now();
        gateway.send(version, &Request::lookup("live").target("/phone/down")).assert_problem("upstream-unavailable");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn a_drip_is_cut_off_by_the_deadline() {
    let backend = Backend::start(|peer, request| {
        let text = String::from_utf8_lossy(request);
        if text.contains("?body") {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        } else {
            peer.send("HTTP/1.1 200 OK\r\nX-Header: ");
        }
        while peer.send("1") {
            std::thread::sleep(DRIP);
        }
        After::Close
    });
    let gateway = gateway(&backend);
    std::thread::scope(|scope| {
        for version in VERSIONS {
            for query in ["head", "body"] {
                let gateway = &gateway;
                scope.spawn(move || {
                    let begun = Instant::now();
                    let response = gateway.send(version, &lookup(query).with("Timeout-Seconds", "2"));
                    response.assert_problem("deadline-exceeded");
                    let taken = begun.elapsed().as_millis();
                    assert!((1990..2500).contains(&taken), "{version:?} {query} took {taken} ms");
                });
            }
        }
    });
}

#[test]
fn connections_to_the_backend_are_kept() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for _ in 0..10 {
            gateway.send(version, &Request::lookup("live")).assert_success();
        }
    }
    assert_eq!(backend.requests().len(), 20);
    // Two threads serve clients, and each may keep connections of its own.
    assert!(backend.connections() <= 2, "{} connections", backend.connections());
}

#[test]
fn a_connection_that_the_backend_will_not_keep_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}",
    ] {
        println!("{answer:?}");
        // A second request on a connection gets no answer.
        let backend = Backend::start(move |peer, _| {
            peer.send(answer);
            peer.wait_for_close()
        });
        let gateway = gateway(&backend);
        for version in VERSIONS {
            let begun = Instant::now();
            let response = gateway.send(version, &lookup("a").with("Timeout-Seconds", "2"));
            assert_ne!(response.status(), 408);
            assert!(begun.elapsed() < Duration::from_secs(1));
        }
        assert_eq!(backend.connections(), 2);
    }
}

#[test]
fn a_connection_that_closed_while_idle_is_replaced() {
    for version in VERSIONS {
        // Each connection gives one sound answer that promises more, and closes.
        let backend = Backend::start(|peer, _| {
            peer.answer(ANSWER);
            After::Close
        });
        let gateway = gateway(&backend);
        for round in 0..20 {
            let response = gateway.send(version, &lookup(&format!("round-{round}")).with("Connection-Test", "1"));
            response.assert_success();
            assert_eq!(backend.count(&format!("?round-{round} ")), 1);
            // The close is on its way when the answer has come; it arrives before the next request.
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(backend.requests().len(), 20);
    }
}

/// Requests come just when the backend ends the connection that waits for them. Whatever meets whatever,
/// each request is answered, and none reaches the backend twice. What the kernel can prove of them is
/// tested beside the proof.
#[test]
fn requests_that_meet_the_end_of_an_idle_connection_reach_the_backend_once() {
    const IDLE: Duration = Duration::from_millis(20);
    const REQUESTS: u32 = 400;
    for after in [After::Close, After::Reset] {
        let backend = Backend::ending_idle(IDLE, after);
        let gateway = gateway(&backend);
        let mut client = gateway.connect();
        let mut served = 0;
        for number in 0..REQUESTS {
            // From a little before to a little after the time at which it ends.
            let aim = IDLE + Duration::from_micros(u64::from(number % 40) * 20) - Duration::from_micros(200);
            std::thread::sleep(aim);
            client.request(&lookup(&format!("round-{number}")));
            let response = client.response();
            if response.status() == 200 {
                served += 1;
            } else {
                // Of a request that was acknowledged, or met by a reset alone, nothing can be proved.
                response.assert_problem("upstream-unavailable");
            }
        }
        let target = |request: Vec<u8>| request.split(|byte| *byte == b' ').nth(1).unwrap().to_vec();
        let mut targets: Vec<Vec<u8>> = backend.requests().into_iter().map(target).collect();
        assert_eq!(targets.len(), served, "{after:?}");
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), served, "{after:?}: none twice");
        let repeated: u64 = gateway.metric("tollgate_upstream_repeats_total{upstream=\"lookup\"}");
        println!("{after:?}: {served} of {REQUESTS} were served, {repeated} of them at the second try");
    }
}

#[test]
fn a_request_that_was_read_is_never_sent_twice() {
    for version in VERSIONS {
        for after in [After::Close, After::Reset] {
            // The first request of a connection is answered; the next is read and left alone.
            let backend = Backend::start(move |peer, request| {
                if String::from_utf8_lossy(request).contains("?first") { peer.answer(ANSWER) } else { after }
            });
            let gateway = gateway(&backend);
            gateway.send(version, &lookup("first")).assert_success();
            for round in 0..3 {
                let query = format!("lost-{round}");
                let response = gateway.send(version, &lookup(&query));
                response.assert_problem("upstream-unavailable");
                assert_eq!(backend.count(&format!("?{query} ")), 1, "{version:?} {after:?}");
                gateway.send(version, &lookup("first")).assert_success();
            }
        }
    }
}

#[test]
fn bytes_after_an_answer_are_nobodys() {
    // What a backend sends beyond its answer must not become the next client's.
    let backend = Backend::start(|peer, request| {
        if String::from_utf8_lossy(request).contains("?poisoned") {
            let extra = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"evil\":1}";
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ANSWER}{extra}", ANSWER.len()));
            After::Keep
        } else {
            peer.answer(ANSWER)
        }
    });
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for _ in 0..5 {
            let response = gateway.send(version, &lookup("poisoned"));
            // The answer itself may pass or fail; the rest goes no further.
            if response.status() == 200 {
                assert_eq!(response.body(), ANSWER.as_bytes());
            } else {
                response.assert_problem("upstream-failed");
            }
            for _ in 0..3 {
                let response = gateway.send(version, &lookup("next"));
                response.assert_success();
                assert_eq!(response.body(), ANSWER.as_bytes());
            }
        }
    }
}

#[test]
fn a_late_answer_is_nobodys() {
    // An answer that comes after its deadline must not become the next client's.
    let backend = Backend::start(|peer, request| {
        if String::from_utf8_lossy(request).contains("?late") {
            std::thread::sleep(Duration::from_millis(2100));
            peer.answer("{\"late\":1}")
        } else {
            peer.answer(ANSWER)
        }
    });
    let gateway = gateway(&backend);
    std::thread::scope(|scope| {
        for version in VERSIONS {
            let gateway = &gateway;
            scope.spawn(move || {
                gateway.send(version, &lookup("first")).assert_success();
                gateway.send(version, &lookup("late").with("Timeout-Seconds", "2")).assert_problem("deadline-exceeded");
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(300) {
                    let response = gateway.send(version, &lookup("next"));
                    response.assert_success();
                    assert_eq!(response.body(), ANSWER.as_bytes());
                }
            });
        }
    });
}
