//! The framing rules of contract section 8, one line of a table each.

use super::*;

const LIMITS: HeadLimits = HeadLimits { target_bytes: 8192, header_bytes: 16_384, header_lines: 64 };
const PEER: Peer = Peer::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

/// Judges a whole head; `\n` in the text stands for CR LF.
fn judge(text: &str) -> Result<(Framing, bool, bool, String), &'static str> {
    let bytes = text.replace('\n', "\r\n").into_bytes();
    let end = match scan(&bytes, 0).map_err(|problem| problem.reason)? {
        Scan::Complete(end) => end,
        Scan::Partial(_) => return Err("partial"),
    };
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let lines = Lines::split(&bytes[..end], &mut slots).map_err(|problem| problem.reason)?;
    let head = Head::judge(lines, PEER, &LIMITS).map_err(|problem| problem.reason)?;
    Ok((head.framing, head.expects_continue, head.keep_alive, head.path.to_owned()))
}

#[test]
fn sound_heads_are_read() {
    let path = || "/p".to_owned();
    for (text, expected) in [
        ("GET /p HTTP/1.1\nHost: a\n\n", (Framing::None, false, true, path())),
        ("\nGET /p HTTP/1.1\nHost: a\n\n", (Framing::None, false, true, path())),
        ("GET /p HTTP/1.0\n\n", (Framing::None, false, false, path())),
        ("GET /p HTTP/1.0\nConnection: keep-alive\n\n", (Framing::None, false, true, path())),
        ("GET /p HTTP/1.1\nHost: a\nConnection: keep-alive, close\n\n", (Framing::None, false, false, path())),
        ("POST /p?q=%2f HTTP/1.1\nHost: a:80\nContent-Length: 12\n\n", (Framing::Length(12), false, true, path())),
        ("POST /p HTTP/1.1\nhost: [::1]:80\nTransfer-Encoding: Chunked\n\n", (Framing::Chunked, false, true, path())),
        ("POST /p HTTP/1.1\nHost: a\nExpect: 100-Continue\n\n", (Framing::None, true, true, path())),
        ("POST /p HTTP/1.0\nHost: a\nExpect: 100-continue\n\n", (Framing::None, false, false, path())),
        ("GET http://a/p HTTP/1.1\nHost: a\n\n", (Framing::None, false, true, path())),
        ("GET http://a HTTP/1.1\nHost: a\n\n", (Framing::None, false, true, "/".to_owned())),
        ("OPTIONS * HTTP/1.1\nHost: a\n\n", (Framing::None, false, true, "*".to_owned())),
        ("GET /%41/ HTTP/1.1\nHost: a\n\n", (Framing::None, false, true, "/%41/".to_owned())),
    ] {
        assert_eq!(judge(text).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_malformed() {
    let head = |line: &str| format!("POST /p HTTP/1.1\nHost: a\n{line}\n\n");
    let target = |target: &str| format!("GET {target} HTTP/1.1\nHost: a\n\n");
    for (text, reason) in [
        (head("Content-Length: 1\nTransfer-Encoding: chunked"), "Content-Length with Transfer-Encoding"),
        (head("Content-Length: 1\nContent-Length: 1"), "several Content-Length lines"),
        (head("Content-Length: 1, 1"), "Content-Length is not a number"),
        (head("Content-Length: +5"), "Content-Length is not a number"),
        (head("Content-Length: 0x5"), "Content-Length is not a number"),
        (head("Content-Length: -1"), "Content-Length is not a number"),
        (head("Content-Length: 99999999999999999999"), "Content-Length is not a number"),
        (head("Content-Length:"), "Content-Length is not a number"),
        (head("Transfer-Encoding: gzip, chunked"), "a Transfer-Encoding that is not one chunked"),
        (head("Transfer-Encoding: chunked\nTransfer-Encoding: chunked"), "a Transfer-Encoding that is not one chunked"),
        (head("Transfer-Encoding: xchunked"), "a Transfer-Encoding that is not one chunked"),
        (head("Host: b"), "several Host lines"),
        (head(&format!("Connection: a{}", ",".repeat(16))), "too many Connection options"),
        (head("X: a\n b"), "a header name has an odd byte"),
        (head("X : a"), "a header name has an odd byte"),
        (head("X: a\0b"), "a header value has an odd byte"),
        ("POST /p HTTP/1.0\nTransfer-Encoding: chunked\n\n".into(), "Transfer-Encoding in HTTP/1.0"),
        ("GET /p HTTP/1.1\n\n".into(), "no Host"),
        ("GET /p HTTP/1.1\nHost: u@a\n\n".into(), "the Host is not a host and a port"),
        ("GET /p HTTP/1.1\nHost:\n\n".into(), "the Host is not a host and a port"),
        ("GET /p HTTP/1.1\nHost: a:b\n\n".into(), "the Host is not a host and a port"),
        ("GET /p HTTP/1.1\nHost: [::1\n\n".into(), "the Host is not a host and a port"),
        ("GET http://b/p HTTP/1.1\nHost: a\n\n".into(), "the target and the Host name two hosts"),
        ("GET http://u@a/p HTTP/1.1\nHost: a\n\n".into(), "the target's authority is not a host and a port"),
        ("CONNECT a:443 HTTP/1.1\nHost: a\n\n".into(), "CONNECT is not served"),
        ("PRI * HTTP/2.0\n\n".into(), "the version is not HTTP/1.0 or HTTP/1.1"),
        ("\n\nGET /p HTTP/1.1\nHost: a\n\n".into(), "blank lines before the request line"),
        ("\x16\x03\x01".into(), "the first byte begins no method"),
        (target("/a//b"), "an empty segment in the path"),
        (target("//a"), "an empty segment in the path"),
        (target("/a/./b"), "a dot segment in the path"),
        (target("/a/.."), "a dot segment in the path"),
        (target("/a/%2e%2e/b"), "an encoded dot in the path"),
        (target("/a%2Fb"), "an encoded slash in the path"),
        (target("/a%5cb"), "an encoded slash in the path"),
        (target("/a\\b"), "a backslash in the path"),
        (target("/a%00"), "an encoded NUL in the path"),
        (target("/a;x"), "a semicolon in the path"),
        (target("/a%zz"), "a broken percent-encoding in the path"),
        (target("/a%2"), "a broken percent-encoding in the path"),
        (target("/a#b"), "a fragment in the target"),
        (target("a"), "the target is not a path"),
        (target(&format!("/{}", "a".repeat(8192))), "the target is longer than the limit"),
        (head(&"X: a\n".repeat(64)).replace("\n\n\n", "\n\n"), "more header lines than the limit"),
        (head(&format!("X: {}", "a".repeat(16_384))), "more header bytes than the limit"),
    ] {
        assert_eq!(judge(&text), Err(reason), "{text:?}");
    }
}

#[test]
fn a_bare_line_feed_is_refused_before_the_head_ends() {
    for bytes in [b"GET / HTTP/1.1\nHost: a".as_slice(), b"GET / HTTP/1.1\r\nHost: a\n", b"\nGET /"] {
        assert!(scan(bytes, 0).is_err(), "{bytes:?}");
    }
}

#[test]
fn of_bytes_that_are_no_head_the_method_and_the_path_are_known() {
    for (bytes, method, target) in [
        ("HEAD /p HTTP/1.1\nHost: a\n\n", "HEAD", "/p"),
        ("\r\nHEAD /p HTTP/9.9\r\n\r\n", "HEAD", "/p"),
        ("HEAD  /p?q HTTP/1.1\r\n\r\n", "HEAD", "/p?q"),
        ("HEAD /p", "HEAD", "/p"),
        ("HEAD ", "HEAD", ""),
        ("POST /p\r\n", "POST", "/p"),
        ("HEAD", "", ""),
        ("HEAD\t/p HTTP/1.1\r\n", "", ""),
        ("HEAD\n/p x\n\n", "", "/p"),
        ("head /p HTTP/1.1\n", "", "/p"),
        (" HEAD /p HTTP/1.1\r\n", "", "/p"),
        ("nonsense\r\n\r\n", "", ""),
        (" ", "", ""),
        ("", "", ""),
    ] {
        let lines = Lines::unreadable(bytes.as_bytes());
        assert_eq!((lines.method, lines.target), (method, target), "{bytes:?}");
    }
}

#[test]
fn a_scan_goes_on_where_the_last_one_stopped() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
    let mut start = 0;
    for length in 0..27 {
        match scan(&bytes[..length], start) {
            Ok(Scan::Partial(next)) => start = next,
            other => panic!("{length}: {other:?}"),
        }
    }
    assert_eq!(scan(&bytes[..27], start), Ok(Scan::Complete(27)));
    assert_eq!(scan(bytes, 0), Ok(Scan::Complete(27)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let _ = scan(&bytes, 0);
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        if let Ok(lines) = Lines::split(&bytes, &mut slots) {
            let _ = Head::judge(lines, PEER, &LIMITS);
        }
    }

    #[test]
    fn no_mutation_of_a_head_makes_the_parser_panic(
        at in 0..60usize, byte in proptest::prelude::any::<u8>(), cut in 0..80usize,
    ) {
        let mut bytes = b"POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: x\r\n\r\n".to_vec();
        bytes[at] = byte;
        bytes.truncate(cut);
        let _ = scan(&bytes, 0);
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        if let Ok(lines) = Lines::split(&bytes, &mut slots) {
            let _ = Head::judge(lines, PEER, &LIMITS);
        }
    }
}
