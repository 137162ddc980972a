//! When an answer is charged: from the first byte of it that is handed to the client's connection, its
//! headers included, exactly once and whatever the client does; and not before. Every moment of every
//! version of HTTP, in the clear and over TLS.

use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::frames::{DATA, Frame, Frames, HEADERS, RST_STREAM};
use crate::support::{ANSWER, Authority, Backend, Gateway, PATIENCE, Request, Scratch, TlsSettings, Wire, paying};

const VOLATILE: &str = "{ volatile: true }";

/// How long a client may withhold its windows in these tests.
const WRITE_TIMEOUT: Duration = Duration::from_millis(300);

/// What a client does once it has got so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// HTTP/2: resets the stream. HTTP/1: resets the connection.
    Resets,
    Closes,
    /// Closes its sending side, and continues to read.
    Finishes,
    /// Neither sends nor reads anything more.
    IsSilent,
}

const LEAVES: [Leaves; 4] = [Leaves::Resets, Leaves::Closes, Leaves::Finishes, Leaves::IsSilent];

/// A gateway with an account that pays, over plain connections and TLS.
struct Shop {
    gateway: Gateway,
    settings: TlsSettings,
    spent: u64,
}

impl Shop {
    fn open(backend: &Backend, ledger: &str) -> Shop {
        let authority = Authority::new("of the gateway");
        let issued = authority.issue(&["a.example"]);
        let listener =
            "listeners:\n  - address: $FREE\n    tls: { certificates: [{ certificate: a.pem, key: a.key }] }\n";
        let mut yaml = paying(backend.address(), ledger, &[("acme", "1000000")]);
        yaml += &format!("limits: {{ write_timeout: {}ms }}\n{listener}", WRITE_TIMEOUT.as_millis());
        let files = [("a.pem", &*issued.certificate), ("a.key", &*issued.key)];
        let gateway = Gateway::start_with_files(&yaml, &files);
        Shop { gateway, settings: TlsSettings::new(&authority, "a.example"), spent: 0 }
    }

    fn wire(&self, tls: bool, protocol: &str) -> Wire {
        match tls {
            false => Wire::tcp(self.gateway.address()),
            true => {
                let settings = self.settings.clone().alpn(&[protocol]);
                Wire::tls(self.gateway.more(0), b"", &settings).expect("a handshake")
            }
        }
    }

    fn frames(&self, tls: bool, window: u32) -> Frames {
        Frames::begin(self.wire(tls, "h2"), window)
    }

    /// Waits until nothing is held, and checks that this many more credits are spent.
    fn assert_charged(&mut self, credits: u64, what: &str) {
        let begun = Instant::now();
        loop {
            let (_, body) = self.gateway.ask_admin("GET", "/accounts/acme/credits/phone", &[], "");
            let told: Value = serde_json::from_str(&body).unwrap();
            let [granted, balance, held, spent] =
                ["granted", "balance", "held", "spent"].map(|name| told[name].as_u64().unwrap());
            assert_eq!(granted, balance + held + spent, "{what}");
            if held == 0 && spent == self.spent + credits {
                break;
            }
            assert!(spent <= self.spent + credits, "{what}: {spent} instead of {} + {credits}", self.spent);
            assert!(begun.elapsed() < PATIENCE, "{what}: {spent} instead of {} + {credits}, held {held}", self.spent);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.spent += credits;
    }
}

fn lookup() -> Request {
    Request::lookup("acme")
}

/// Ends a connection of TCP by a reset.
fn reset(wire: &Wire) {
    match wire {
        Wire::Tcp(stream) => rustix::net::sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO)),
        Wire::Tls(stream) => rustix::net::sockopt::set_socket_linger(stream.sock.as_fd(), Some(Duration::ZERO)),
        Wire::Unix(_) => panic!("no reset"),
    }
    .unwrap();
}

/// Reads to the end of a connection, which may be a reset.
fn drain(wire: &mut Wire) {
    while matches!(wire.read(&mut [0; 4096]), Ok(1..)) {}
}

/// The frame, which has to be one of stream 1.
fn of_stream_1(frame: Option<Frame>) -> Frame {
    let frame = frame.expect("a frame before the end");
    assert_eq!(frame.stream, 1);
    frame
}

/// Asks over HTTP/2, takes HEADERS and so many bytes of the body, and leaves.
fn leave_http2(shop: &Shop, tls: bool, bytes: usize, leaves: Leaves) {
    let mut frames = shop.frames(tls, 0);
    frames.request(1, &lookup());
    of_stream_1(frames.next(HEADERS));
    if bytes > 0 {
        frames.grant(1, bytes as u32);
    }
    let mut taken = 0;
    while taken < bytes {
        taken += of_stream_1(frames.next(DATA)).payload.len();
    }
    match leaves {
        Leaves::Resets => frames.reset(1),
        Leaves::Closes => {}
        Leaves::Finishes => {
            frames.wire().finish();
            drain(frames.wire());
        }
        Leaves::IsSilent if bytes < ANSWER.len() => {
            of_stream_1(frames.next(RST_STREAM));
        }
        Leaves::IsSilent => {}
    }
}

#[test]
fn an_answer_of_http_2_is_charged_once_from_its_headers_on() {
    for tls in [false, true] {
        let backend = Backend::answering_json();
        let mut shop = Shop::open(&backend, VOLATILE);
        for leaves in LEAVES {
            // A silent client has the gateway wait, so that it is tried at fewer bytes.
            let step = if leaves == Leaves::IsSilent { ANSWER.len() / 2 } else { 1 };
            for bytes in (0..=ANSWER.len()).step_by(step) {
                leave_http2(&shop, tls, bytes, leaves);
                shop.assert_charged(1, &format!("TLS {tls}, {leaves:?} after {bytes} bytes"));
            }
        }
    }
}

/// Asks over HTTP/1 and leaves after so many bytes of the answer, head included.
fn leave_http1(shop: &Shop, tls: bool, version: &str, bytes: usize, leaves: Leaves) {
    let mut wire = shop.wire(tls, "http/1.1");
    let request = String::from_utf8(lookup().bytes()).unwrap().replace("HTTP/1.1", version);
    std::io::Write::write_all(&mut wire, request.as_bytes()).unwrap();
    let mut taken = vec![0; bytes];
    wire.read_exact(&mut taken).unwrap();
    assert!(b"HTTP/1.1 200 OK\r\n".starts_with(&taken[..bytes.min(17)]));
    match leaves {
        Leaves::Resets => reset(&wire),
        Leaves::Closes => {}
        Leaves::Finishes => {
            wire.finish();
            drain(&mut wire);
        }
        Leaves::IsSilent => std::thread::sleep(Duration::from_millis(1)),
    }
}

#[test]
fn an_answer_of_http_1_is_charged_once_from_its_first_byte_on() {
    for (tls, version) in [(false, "HTTP/1.0"), (false, "HTTP/1.1"), (true, "HTTP/1.0"), (true, "HTTP/1.1")] {
        let backend = Backend::answering_json();
        let mut shop = Shop::open(&backend, VOLATILE);
        for leaves in LEAVES {
            for bytes in (1..200).step_by(9) {
                leave_http1(&shop, tls, version, bytes, leaves);
                shop.assert_charged(1, &format!("TLS {tls}, {version}, {leaves:?} after {bytes} bytes"));
            }
        }
    }
}

#[test]
fn a_long_answer_of_which_a_client_takes_little_is_charged() {
    let backend = Backend::answering_at_length(900_000);
    let mut shop = Shop::open(&backend, VOLATILE);
    for tls in [false, true] {
        for leaves in LEAVES {
            for bytes in [1, 20_000, 200_000] {
                leave_http1(&shop, tls, "HTTP/1.1", bytes, leaves);
                shop.assert_charged(1, &format!("TLS {tls}, {leaves:?} after {bytes} bytes"));
            }
        }
    }
}

#[test]
fn of_a_client_that_leaves_before_there_is_an_answer_nothing_is_charged() {
    let backend = Backend::silent();
    let mut shop = Shop::open(&backend, VOLATILE);
    let mut asked = 0;
    for tls in [false, true] {
        for leaves in [Leaves::Resets, Leaves::Closes] {
            let mut frames = shop.frames(tls, 0);
            frames.request(1, &lookup());
            asked += 1;
            backend.wait_for_requests(asked);
            match leaves {
                Leaves::Resets => frames.reset(1),
                Leaves::Closes | Leaves::Finishes | Leaves::IsSilent => drop(frames),
            }
            shop.assert_charged(0, &format!("HTTP/2, TLS {tls}, {leaves:?}"));
            // A client of HTTP/1.0 that closes its side may still be listening.
            let versions = ["HTTP/1.1", "HTTP/1.0"];
            for version in &versions[..if leaves == Leaves::Closes { 1 } else { 2 }] {
                let mut wire = shop.wire(tls, "http/1.1");
                let request = String::from_utf8(lookup().bytes()).unwrap().replace("HTTP/1.1", version);
                std::io::Write::write_all(&mut wire, request.as_bytes()).unwrap();
                asked += 1;
                backend.wait_for_requests(asked);
                if leaves == Leaves::Resets {
                    reset(&wire);
                }
                drop(wire);
                shop.assert_charged(0, &format!("{version}, TLS {tls}, {leaves:?}"));
            }
        }
    }
}

/// The attack: read the price and all of the answer except its last byte, and cancel it.
#[test]
fn an_answer_but_for_its_last_byte_is_not_free() {
    const TRIES: u32 = 500;
    for tls in [false, true] {
        let backend = Backend::answering_json();
        let mut shop = Shop::open(&backend, VOLATILE);
        let mut frames = shop.frames(tls, 0);
        for stream in (1..2 * TRIES).step_by(2) {
            frames.request(stream, &lookup());
            assert_eq!(frames.next(HEADERS).unwrap().stream, stream);
            frames.grant(stream, ANSWER.len() as u32 - 1);
            assert_eq!(frames.next(DATA).unwrap().payload, ANSWER.as_bytes()[..ANSWER.len() - 1]);
            frames.reset(stream);
            // So many are given up at a time that a connection is not ended for it.
            if stream % 400 == 1 {
                frames = shop.frames(tls, 0);
            }
        }
        shop.assert_charged(u64::from(TRIES), &format!("TLS {tls}"));
    }
}

#[test]
fn no_charge_is_written_and_taken_back() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let mut shop = Shop::open(&backend, &scratch.ledger("each"));
    for bytes in [0, 1, ANSWER.len() - 1] {
        for leaves in LEAVES {
            leave_http2(&shop, false, bytes, leaves);
            shop.assert_charged(1, &format!("{leaves:?} after {bytes} bytes"));
        }
    }
    leave_http1(&shop, false, "HTTP/1.1", 1, Leaves::Resets);
    shop.assert_charged(1, "HTTP/1.1");
    // A client that disconnects while its charge is written has either one charge or none: there is no refund.
    for _ in 0..50 {
        let mut frames = shop.frames(false, 0);
        let asked = backend.requests().len();
        frames.request(1, &lookup());
        backend.wait_for_requests(asked + 1);
        frames.reset(1);
    }
    let counts = |kind: &str| -> i64 {
        let query = format!("SELECT COUNT(*) FROM entry WHERE kind = '{kind}'");
        scratch.database().query_row(&query, [], |row| row.get(0)).unwrap()
    };
    crate::support::until("nothing to be held any more", || {
        let (_, body) = shop.gateway.ask_admin("GET", "/accounts/acme/credits/phone", &[], "");
        let told: Value = serde_json::from_str(&body).unwrap();
        told["held"] == 0 && told["spent"].as_i64() == Some(counts("charge"))
    });
    assert!((13..=63).contains(&counts("charge")), "{}", counts("charge"));
    assert_eq!(counts("refund"), 0);
}

/// Answers that wait for one client are bounded; one that may not wait is not begun, and not charged.
#[test]
fn an_answer_that_may_not_wait_is_neither_begun_nor_charged() {
    let backend = Backend::answering_at_length(300_000);
    let mut shop = Shop::open(&backend, VOLATILE);
    let mut frames = shop.frames(false, 0);
    const ASKED: u32 = 12;
    for stream in 0..ASKED {
        frames.request(2 * stream + 1, &lookup());
    }
    let mut begun = std::collections::BTreeSet::new();
    let mut reset = std::collections::BTreeSet::new();
    while reset.len() < ASKED as usize {
        let frame = frames.frame().expect("a frame before the end");
        match frame.kind {
            HEADERS => assert!(begun.insert(frame.stream) && !reset.contains(&frame.stream)),
            RST_STREAM => assert!(reset.insert(frame.stream)),
            _ => {}
        }
    }
    // A mebibyte of them may wait, and more once the first have waited for too long.
    assert!((3..ASKED as usize).contains(&begun.len()), "{}", begun.len());
    shop.assert_charged(begun.len() as u64, "those that were begun");
}
