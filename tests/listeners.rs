//! Several listeners: addresses of both kinds, Unix sockets, and the PROXY protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{
    Authority, Backend, CANARY, Client, Configuration, Gateway, PATIENCE, Request, TlsSettings, Wire, closed_port,
};

const HEAD: &str = "head_timeout";

fn lookup(token: &str) -> Request {
    Request::lookup(token)
}

fn refused(gateway: &Gateway, reason: &str, count: u64) {
    let begun = Instant::now();
    let name = format!("tollgate_connections_refused_total{{reason=\"{reason}\"}}");
    while gateway.metric::<u64>(&name) != count {
        assert!(begun.elapsed() < PATIENCE, "{name} is {}", gateway.metric::<u64>(&name));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Header of version 2 that states an IPv4 address.
fn second(address: [u8; 4]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &address, &[10, 0, 0, 1, 0xc0, 0, 1, 0xbb]].concat()
}

#[test]
fn both_kinds_of_addresses_are_listened_on() {
    let backend = Backend::answering_json();
    let port = closed_port().port();
    let yaml = Configuration::new(backend.address())
        .with(&format!("listeners:\n  - address: \"[::]:{port}\"\n  - {{ address: $FREE, h2c: true }}\n"))
        .yaml();
    let gateway = Gateway::start(&yaml);
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}"), gateway.more(0).to_string()] {
        let mut client = gateway.connect_over(Wire::tcp(address.parse().unwrap()));
        client.request(&lookup("live"));
        client.response().assert_success();
    }
    gateway.connect().request(&lookup("live"));
    // HTTP/2 without TLS is only available where it is configured.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut plain = gateway.connect_over(Wire::tcp(format!("127.0.0.1:{port}").parse().unwrap()));
    plain.send(preface);
    plain.any_path_response().assert_problem("malformed-request");
    let mut stream = TcpStream::connect(gateway.more(0)).unwrap();
    stream.write_all(preface).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut settings = [0; 9];
    stream.read_exact(&mut settings).unwrap();
    assert_eq!(settings[3], 4, "a SETTINGS frame");
}

#[test]
fn a_unix_socket_has_the_client_that_its_peer_states() {
    let backend = Backend::answering_json();
    let yaml =
        Configuration::new(backend.address()).with("listeners:\n  - { unix: tollgate.sock, mode: \"0600\" }\n").yaml();
    let gateway = Gateway::start(&yaml);
    let path = gateway.file("tollgate.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let ask = |request: &Request| {
        let mut client = gateway.connect_over(Wire::unix(&path));
        client.request(request);
        client.response()
    };
    ask(&lookup("live")).assert_success();
    ask(&lookup("ip").with("X-Forwarded-For", "203.0.113.9")).assert_success();
    ask(&lookup("ip").with("X-Forwarded-For", "192.0.2.9")).assert_problem("ip-not-allowed");
    ask(&lookup("ip").with("X-Forwarded-For", "203.0.113.9, unknown")).assert_problem("ip-not-allowed");
    ask(&lookup("ip")).assert_problem("ip-not-allowed");
    // The backend gets no address if none was stated.
    ask(&lookup("live")).assert_success();
    let last = String::from_utf8(backend.last_request()).unwrap().to_lowercase();
    assert!(!last.contains("x-forwarded-for"), "{last}");
    let mut client = gateway.connect_over(Wire::unix(&path));
    client.send("garbage\r\n\r\n");
    client.any_path_response().assert_problem("malformed-request");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_nothing_else_is() {
    let backend = Backend::answering_json();
    let directory = std::env::temp_dir().join(format!("tollgate-sock-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("s");
    let yaml =
        Configuration::new(backend.address()).with(&format!("listeners:\n  - unix: {}\n", path.display())).yaml();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let gateway = Gateway::start(&yaml);
    let mut client = gateway.connect_over(Wire::unix(&path));
    client.request(&lookup("live"));
    client.response().assert_success();
    // A second gateway does not take the socket away from the first.
    assert!(gateway.fails_to_start(&yaml).contains("another process listens there"));
    client.request(&lookup("live"));
    client.response().assert_success();
    drop((client, gateway));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a letter").unwrap();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    assert!(gateway.fails_to_start(&yaml).contains("a file that is not a socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a letter");
    std::fs::remove_dir_all(&directory).unwrap();
}

fn behind(gateway: &Gateway, header: &[u8]) -> Client {
    let mut wire = Wire::tcp(gateway.more(0));
    wire.write_all(header).unwrap();
    gateway.connect_over(wire)
}

#[test]
fn a_listed_proxy_states_the_address() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address())
        .with("listeners:\n  - { address: $FREE, proxy_protocol: { from: [127.0.0.0/8] } }\n")
        .yaml();
    let gateway = Gateway::start(&yaml);
    let first = |address: &str| format!("PROXY TCP4 {address} 10.0.0.1 49152 443\r\n").into_bytes();
    for (header, allowed) in [
        (first("203.0.113.9"), true),
        (first("192.0.2.9"), false),
        (second([203, 0, 113, 9]), true),
        (second([192, 0, 2, 9]), false),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 49152 443\r\n".to_vec(), true),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:10.0.0.1 49152 443\r\n".to_vec(), true),
        // The proxy itself.
        (b"PROXY UNKNOWN\r\n".to_vec(), false),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), false),
    ] {
        let mut client = behind(&gateway, &header);
        // The address holds for all requests of the connection, and nothing in them changes it.
        for request in [lookup("ip"), lookup("ip").with("X-Forwarded-For", "203.0.113.9")] {
            client.request(&request);
            let response = client.response();
            if allowed {
                response.assert_success();
            } else {
                response.assert_problem("ip-not-allowed");
            }
        }
        client.request(&lookup("live"));
        client.response().assert_success();
    }
    // In one piece with the request, and in pieces of one byte.
    let mut client = behind(&gateway, b"");
    client.more([second([203, 0, 113, 9]), lookup("ip").bytes()].concat());
    client.response().assert_success();
    let mut client = behind(&gateway, b"");
    for byte in first("203.0.113.9") {
        client.more([byte]);
    }
    client.request(&lookup("ip"));
    client.response().assert_success();
}

#[test]
fn whoever_does_not_state_an_address_rightly_is_closed() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address())
        .with(
            "listeners:\n  - { address: $FREE, proxy_protocol: { from: [127.0.0.0/8] } }\n\
             \x20 - { address: $FREE, proxy_protocol: { from: [192.0.2.0/24] } }\n",
        )
        .yaml();
    let gateway = Gateway::start(&yaml);
    let strangers_at_start: u64 = gateway.metric("tollgate_connections_refused_total{reason=\"proxy-unlisted\"}");
    // A stranger, whatever it says.
    let mut stranger = gateway.connect_over(Wire::tcp(gateway.more(1)));
    stranger.more([second([203, 0, 113, 9]), lookup("ip").bytes()].concat());
    stranger.assert_ends();
    refused(&gateway, "proxy-unlisted", strangers_at_start + 1);
    // No header, and broken ones.
    for bytes in [
        lookup("live").bytes(),
        format!("PROXY TCP4 {CANARY} 10.0.0.1 49152 443\r\n").into_bytes(),
        b"PROXY TCP4 203.0.113.9 10.0.0.1 49152 443 and more\r\n".to_vec(),
        [b"PROXY ".to_vec(), vec![b'x'; 200]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff and so on".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00".to_vec(),
    ] {
        let mut client = behind(&gateway, &bytes);
        client.assert_ends();
    }
    refused(&gateway, "proxy-malformed", 6);
    assert_eq!(backend.requests().len(), 0);
    gateway.send(crate::support::Version::Http1, &lookup("live")).assert_success();
}

#[test]
fn an_address_that_is_stated_too_slowly_is_not_waited_for() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address())
        .with("listeners:\n  - { address: $FREE, proxy_protocol: { from: [127.0.0.0/8] } }\n")
        .limit(HEAD, "600ms")
        .yaml();
    let gateway = Gateway::start(&yaml);
    std::thread::scope(|scope| {
        for start in [b"".as_slice(), b"PROXY TCP4 203.0", b"\r\n\r\n\0\r\nQUIT\n\x21"] {
            let gateway = &gateway;
            scope.spawn(move || {
                let begun = Instant::now();
                behind(gateway, start).assert_ends();
                let taken = begun.elapsed();
                assert!((Duration::from_millis(590)..Duration::from_secs(5)).contains(&taken), "took {taken:?}");
            });
        }
    });
    refused(&gateway, "proxy-timeout", 3);
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let backend = Backend::answering_json();
    let authority = Authority::new("of the gateway");
    let issued = authority.issue(&["a.example"]);
    let yaml = Configuration::new(backend.address())
        .with(
            "listeners:\n  - address: $FREE\n    proxy_protocol: { from: [127.0.0.1] }\n\
             \x20   tls: { certificates: [{ certificate: a.pem, key: a.key }] }\n\
             \x20 - { unix: tollgate.sock, proxy_protocol: {} }\n",
        )
        .yaml();
    let gateway = Gateway::start_with_files(&yaml, &[("a.pem", &issued.certificate), ("a.key", &issued.key)]);
    let settings = TlsSettings::new(&authority, "a.example");
    for (header, allowed) in [(second([203, 0, 113, 9]), true), (second([192, 0, 2, 9]), false)] {
        let mut client = gateway.connect_over(Wire::tls(gateway.more(0), &header, &settings).expect("a handshake"));
        client.request(&lookup("ip"));
        let response = client.response();
        if allowed {
            response.assert_success()
        } else {
            response.assert_problem("ip-not-allowed")
        }
        // On a Unix socket every peer may state an address.
        let mut client = gateway.connect_over(Wire::unix(&gateway.file("tollgate.sock")));
        client.more(&header);
        client.request(&lookup("ip"));
        let response = client.response();
        if allowed { response.assert_success() } else { response.assert_problem("ip-not-allowed") }
    }
    assert!(Wire::tls(gateway.more(0), b"", &settings).is_none());
}

#[test]
fn connections_without_a_request_do_not_hold_up_the_end() {
    let backend = Backend::answering_json();
    let authority = Authority::new("of the gateway");
    let issued = authority.issue(&["a.example"]);
    let yaml = Configuration::new(backend.address())
        .with(
            "listeners:\n  - address: $FREE\n    tls: { certificates: [{ certificate: a.pem, key: a.key }] }\n\
             \x20 - { address: $FREE, proxy_protocol: { from: [127.0.0.1] } }\n",
        )
        .limit(HEAD, "60s")
        .limit("handshake_timeout", "60s")
        .yaml();
    let mut gateway = Gateway::start_with_files(&yaml, &[("a.pem", &issued.certificate), ("a.key", &issued.key)]);
    let _silent = [Wire::tcp(gateway.more(0)), Wire::tcp(gateway.more(1))];
    let settings = TlsSettings::new(&authority, "a.example");
    let mut client = gateway.connect_over(Wire::tls(gateway.more(0), b"", &settings).expect("a handshake"));
    client.request(&lookup("live"));
    client.response().assert_success();
    gateway.terminate();
    let status = gateway.wait_for_end(PATIENCE).expect("an end in time");
    assert!(status.success());
}
