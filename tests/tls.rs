//! TLS over real connections: which certificate a client gets, what it may speak, certificates that
//! are renewed at run time, certificates of clients, and TLS towards backends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use crate::support::{
    Authority, Backend, CANARY, Client, Configuration, Gateway, Issued, PATIENCE, Request, TlsBackend, TlsSettings,
    Wire,
};

/// How long a changed file may take to be seen, on a machine that has much else to do.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(30);

/// One listener with TLS and these keys of it.
fn listener(tls: &str) -> String {
    format!("listeners:\n  - address: $FREE\n    tls: {{ {tls} }}\n")
}

const ONE: &str = "certificates: [{ certificate: a.pem, key: a.key }]";

/// A gateway with one certificate for a.example, and what signed it.
fn gateway(backend: &Backend, more: &str, files: &[(&str, &str)]) -> (Gateway, Authority, Issued) {
    let authority = Authority::new("of the gateway");
    let issued = authority.issue(&["a.example"]);
    let configuration = Configuration::new(backend.address()).with(&listener(&format!("{ONE}{more}")));
    let own = [("a.pem", &*issued.certificate), ("a.key", &*issued.key)];
    let gateway = Gateway::start_with_files(&configuration.yaml(), &[&own, files].concat());
    (gateway, authority, issued)
}

fn handshake(gateway: &Gateway, settings: &TlsSettings) -> Option<Wire> {
    Wire::tls(gateway.more(0), b"", settings)
}

fn connect(gateway: &Gateway, settings: &TlsSettings) -> Client {
    gateway.connect_over(handshake(gateway, settings).expect("a handshake"))
}

fn certificate_of(client: &mut Client) -> CertificateDer<'static> {
    client.wire().tls_connection().peer_certificates().unwrap()[0].clone().into_owned()
}

fn lookup() -> Request {
    Request::lookup("live")
}

/// Waits until something is true.
fn wait_until(what: &str, allowance: Duration, is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < allowance, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_certificate_is_the_one_that_has_the_name() {
    let backend = Backend::answering_json();
    let authority = Authority::new("of the gateway");
    let names: [&[&str]; 4] = [
        &["first.example", "127.0.0.1"],
        &["b.example", "also-b.example"],
        &["*.wild.example"],
        &["exact.wild.example"],
    ];
    let issued = names.map(|names| authority.issue(names));
    let mut tls = "certificates: [".to_owned();
    let mut files = Vec::new();
    for (number, issued) in issued.iter().enumerate() {
        tls += &format!("{{ certificate: {number}.pem, key: {number}.key }}, ");
        files.push((format!("{number}.pem"), &issued.certificate));
        files.push((format!("{number}.key"), &issued.key));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (&**name, &***content)).collect();
    let yaml = Configuration::new(backend.address()).with(&listener(&format!("{tls}]"))).yaml();
    let gateway = Gateway::start_with_files(&yaml, &files);
    for (name, number) in [
        ("first.example", 0),
        ("b.example", 1),
        ("B.Example", 1),
        ("also-b.example", 1),
        ("any.wild.example", 2),
        ("exact.wild.example", 3),
        ("127.0.0.1", 0),
    ] {
        for version in [&TLS12, &TLS13] {
            let mut client = connect(&gateway, &TlsSettings::new(&authority, name).version(version));
            assert_eq!(certificate_of(&mut client), issued[number].der(), "{name}");
            client.request(&lookup());
            client.response().assert_success();
        }
    }
    // Without a name, and with one that no certificate has, it is the first.
    let mut client = connect(&gateway, &TlsSettings::new(&authority, "first.example").without_sni());
    assert_eq!(certificate_of(&mut client), issued[0].der());
    for name in ["wild.example", "a.b.wild.example", &format!("{CANARY}.example")] {
        assert!(handshake(&gateway, &TlsSettings::new(&authority, name)).is_none(), "{name}");
    }
}

#[test]
fn http_2_and_http_1_1_are_agreed_on() {
    let backend = Backend::answering_json();
    let (gateway, authority, _) = gateway(&backend, "", &[]);
    let settings = TlsSettings::new(&authority, "a.example");
    for (offered, chosen) in [
        (vec![], None),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec!["http/1.1", "h2"], Some("h2")),
        (vec!["h2"], Some("h2")),
        (vec!["spdy/3", "http/1.1"], Some("http/1.1")),
    ] {
        let mut client = connect(&gateway, &settings.clone().alpn(&offered));
        let agreed = client.wire().tls_connection().alpn_protocol();
        assert_eq!(agreed, chosen.map(str::as_bytes), "{offered:?}");
        if chosen != Some("h2") {
            client.request(&lookup());
            client.response().assert_success();
            client.request(&lookup().set("Auth-Token", "c4n4ry-unknown"));
            client.response().assert_problem("token-unknown");
        }
    }
    assert!(handshake(&gateway, &settings.clone().alpn(&["spdy/3"])).is_none());
    for version in [&TLS12, &TLS13] {
        let settings = settings.clone().version(version).alpn(&["h2", "http/1.1"]);
        let mut http2 = gateway.connect_http2_tls(gateway.more(0), &settings);
        http2.exchange(&lookup()).assert_success();
        http2.exchange(&lookup().without("Auth-Token")).assert_problem("token-missing");
    }
    wait_until("the count", PATIENCE, || {
        gateway.metric::<u64>(r#"tollgate_connections_refused_total{reason="handshake-failed"}"#) == 1
    });
}

#[test]
fn the_error_contract_holds_over_tls() {
    let backend = Backend::answering_json();
    let (gateway, authority, _) = gateway(&backend, "", &[]);
    let settings = TlsSettings::new(&authority, "a.example");
    for (bytes, slug) in [
        ("POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "malformed-request"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "malformed-request"),
        ("garbage\r\n\r\n", "malformed-request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "malformed-request"),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", "endpoint-unknown"),
    ] {
        let mut client = connect(&gateway, &settings);
        client.send(bytes);
        client.any_path_response().assert_problem(slug);
    }
    let mut client = connect(&gateway, &settings);
    client.request(&lookup().body(vec![b'x'; 200_000]));
    client.response().assert_problem("body-too-large");
    // Several requests over one connection, and one whose client says goodbye at once.
    let mut client = connect(&gateway, &settings);
    for _ in 0..3 {
        client.request(&lookup());
        client.response().assert_success();
    }
    client.request(&lookup());
    client.finish();
    client.final_response().assert_success();
}

/// The beginning of a handshake that offers nothing above a version.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend_from_slice(&[7; 32]);
    // No session, four suites that old servers knew, no compression, one algorithm of signatures.
    body.extend_from_slice(&[0, 0, 8, 0xc0, 0x13, 0xc0, 0x14, 0, 0x2f, 0, 0x35, 1, 0]);
    body.extend_from_slice(&[0, 8, 0, 0x0d, 0, 4, 0, 2, 4, 3]);
    let length = u16::try_from(body.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let [record_high, record_low] = (length + 4).to_be_bytes();
    [&[0x16, 3, 1, record_high, record_low, 1, 0, high, low], body.as_slice()].concat()
}

#[test]
fn older_versions_and_other_protocols_are_refused() {
    let backend = Backend::answering_json();
    let (gateway, _, _) = gateway(&backend, "", &[]);
    let first = format!("GET /{CANARY} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    for (number, bytes) in [hello([3, 1]), hello([3, 2]), first, vec![0; 64], vec![0xff; 20_000]].iter().enumerate() {
        let mut stream = TcpStream::connect(gateway.more(0)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer);
        if number < 2 {
            // A fatal alert: protocol_version.
            assert_eq!(answer.first().zip(answer.get(5..7)), Some((&0x15, [2, 70].as_slice())), "{answer:?}");
        }
        assert!(answer.len() < 16, "{}", answer.escape_ascii());
    }
    let name = r#"tollgate_connections_refused_total{reason="handshake-failed"}"#;
    wait_until("the count", PATIENCE, || gateway.metric::<u64>(name) == 5);
    gateway.send(crate::support::Version::Http1, &lookup()).assert_success();
}

#[test]
fn a_handshake_that_never_ends_is_closed_in_its_allowance() {
    const ALLOWANCE: Duration = Duration::from_millis(600);
    let backend = Backend::answering_json();
    let authority = Authority::new("of the gateway");
    let issued = authority.issue(&["a.example"]);
    let configuration = Configuration::new(backend.address()).with(&listener(ONE)).limit("handshake_timeout", "600ms");
    let files = [("a.pem", &*issued.certificate), ("a.key", &*issued.key)];
    let gateway = Gateway::start_with_files(&configuration.yaml(), &files);
    std::thread::scope(|scope| {
        for start in [Vec::new(), vec![0x16], hello([3, 3])[..20].to_vec()] {
            let gateway = &gateway;
            scope.spawn(move || {
                let begun = Instant::now();
                let mut client = gateway.connect_over(Wire::tcp(gateway.more(0)));
                client.more(start);
                client.assert_ends();
                let taken = begun.elapsed();
                assert!(taken >= ALLOWANCE - Duration::from_millis(10), "took {taken:?}");
                assert!(taken < ALLOWANCE + Duration::from_secs(4), "took {taken:?}");
            });
        }
    });
    let name = r#"tollgate_connections_refused_total{reason="handshake-timeout"}"#;
    wait_until("the count", PATIENCE, || gateway.metric::<u64>(name) == 3);
    // A loaded machine may need more than one attempt for an honest one.
    let settings = TlsSettings::new(&authority, "a.example");
    wait_until("a handshake", PATIENCE, || handshake(&gateway, &settings).is_some());
}

#[test]
fn a_client_that_is_silent_behind_its_handshake_is_closed_in_the_allowance_of_a_head() {
    const ALLOWANCE: Duration = Duration::from_millis(600);
    let backend = Backend::answering_json();
    let authority = Authority::new("of the gateway");
    let issued = authority.issue(&["a.example"]);
    let configuration = Configuration::new(backend.address()).with(&listener(ONE)).limit("head_timeout", "600ms");
    let files = [("a.pem", &*issued.certificate), ("a.key", &*issued.key)];
    let gateway = Gateway::start_with_files(&configuration.yaml(), &files);
    for (protocol, start) in [("http/1.1", ""), ("h2", ""), ("h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")] {
        let settings = TlsSettings::new(&authority, "a.example").alpn(&[protocol]);
        let begun = Instant::now();
        let mut client = connect(&gateway, &settings);
        client.more(start);
        client.rest();
        let taken = begun.elapsed();
        assert!(
            (ALLOWANCE - Duration::from_millis(10)..ALLOWANCE + Duration::from_secs(5)).contains(&taken),
            "{taken:?}"
        );
    }
}

#[test]
fn connections_in_a_handshake_count_as_connections() {
    let backend = Backend::answering_json();
    let authority = Authority::new("of the gateway");
    let issued = authority.issue(&["a.example"]);
    let configuration = Configuration::new(backend.address())
        .with(&listener(ONE))
        .limit("connections", "2")
        .limit("handshake_timeout", "60s");
    let files = [("a.pem", &*issued.certificate), ("a.key", &*issued.key)];
    let gateway = Gateway::start_with_files(&configuration.yaml(), &files);
    let _silent: Vec<Wire> = (0..2).map(|_| Wire::tcp(gateway.more(0))).collect();
    let settings = TlsSettings::new(&authority, "a.example");
    // Whether both are counted yet shows in the answer.
    wait_until("the limit", PATIENCE, || {
        let mut client = connect(&gateway, &settings);
        client.request(&lookup());
        let response = client.response();
        if response.status() == 503 {
            response.assert_problem("overloaded");
        }
        response.status() == 503
    });
}

#[test]
fn a_renewed_certificate_is_taken_over_and_connections_stay() {
    let backend = Backend::answering_json();
    let (gateway, authority, old) = gateway(&backend, "", &[]);
    let settings = TlsSettings::new(&authority, "a.example");
    let shown = || certificate_of(&mut connect(&gateway, &settings));
    let mut kept = connect(&gateway, &settings);
    let mut kept_http2 = gateway.connect_http2_tls(gateway.more(0), &settings.clone().alpn(&["h2"]));
    kept.request(&lookup());
    kept.response().assert_success();
    assert_eq!(shown(), old.der());

    let new = authority.issue(&["a.example"]);
    gateway.replace("a.key", &new.key);
    gateway.replace("a.pem", &new.certificate);
    wait_until("the new certificate", RENEWAL_PATIENCE, || shown() == new.der());

    kept.request(&lookup());
    kept.response().assert_success();
    kept_http2.exchange(&lookup()).assert_success();
    gateway.wait_for_output("were renewed");
    assert_eq!(gateway.metric::<u64>("tollgate_certificates_renewed_total"), 1);
    assert_eq!(gateway.metric::<u64>("tollgate_certificates_broken_total"), 0);
}

#[test]
fn a_broken_certificate_leaves_the_last_good_one() {
    let backend = Backend::answering_json();
    let (gateway, authority, old) = gateway(&backend, "", &[]);
    let settings = TlsSettings::new(&authority, "a.example");
    let shown = || certificate_of(&mut connect(&gateway, &settings));
    let lines = |what: &str| gateway.output().matches(what).count();
    let broken = |what: &'static str, times: usize| {
        wait_until(what, RENEWAL_PATIENCE, || lines("are not replaced") == times);
        assert!(gateway.output().contains(what), "{}", gateway.output());
        assert_eq!(shown(), old.der());
    };
    gateway.replace("a.pem", "-----BEGIN CERTIFICATE-----\nc4n4ry");
    broken("a.pem is not a PEM file of certificates", 1);
    let other = authority.issue(&["a.example"]);
    gateway.replace("a.pem", &other.certificate);
    broken("a.key does not belong to the certificate", 2);
    std::fs::remove_file(gateway.file("a.key")).unwrap();
    broken("a.key does not exist", 3);
    // What stays broken is not logged again, and a repair is not logged as broken.
    gateway.replace("a.key", &other.key);
    wait_until("the new certificate", RENEWAL_PATIENCE, || shown() == other.der());
    assert_eq!(lines("are not replaced"), 3);
    assert_eq!(gateway.metric::<u64>("tollgate_certificates_broken_total"), 3);
}

#[test]
fn certificates_of_clients_are_required_or_optional_as_the_listener_says() {
    let backend = Backend::answering_json();
    let clients = Authority::new("of the clients");
    let strangers = Authority::new("of strangers");
    let (good, bad) = (clients.issue(&["client.example"]), strangers.issue(&["client.example"]));
    for (mode, anonymous) in
        [("", false), (", client_certificate: required", false), (", client_certificate: optional", true)]
    {
        let (gateway, authority, _) =
            gateway(&backend, &format!(", client_ca: clients.pem{mode}"), &[("clients.pem", clients.pem())]);
        for version in [&TLS12, &TLS13] {
            let settings = TlsSettings::new(&authority, "a.example").version(version);
            for (settings, welcome) in [
                (settings.clone(), anonymous),
                (settings.clone().showing(&good), true),
                (settings.showing(&bad), false),
            ] {
                // In TLS 1.3 the client's handshake is over before its certificate was judged.
                let Some(wire) = handshake(&gateway, &settings) else {
                    assert!(!welcome, "{mode}");
                    continue;
                };
                let mut client = gateway.connect_over(wire);
                client.more(lookup().bytes());
                if welcome {
                    client.response().assert_success();
                } else {
                    client.assert_ends();
                }
            }
        }
    }
}

#[test]
fn sessions_are_resumed_and_not_beyond_a_renewal() {
    use rustls::HandshakeKind;
    let backend = Backend::answering_json();
    let (gateway, authority, _) = gateway(&backend, "", &[]);
    let settings = TlsSettings::new(&authority, "a.example");
    let config = settings.config();
    let kind = || {
        let connection = rustls::ClientConnection::new(config.clone(), settings.name()).unwrap();
        let stream = TcpStream::connect(gateway.more(0)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        // An answer shows that the tickets, which come before it, were read.
        stream.write_all(&lookup().with("Connection", "close").bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
        stream.conn.handshake_kind()
    };
    assert_eq!(kind(), Some(HandshakeKind::Full));
    assert_eq!(kind(), Some(HandshakeKind::Resumed));
    let new = authority.issue(&["a.example"]);
    gateway.replace("a.key", &new.key);
    gateway.replace("a.pem", &new.certificate);
    wait_until("the renewal", RENEWAL_PATIENCE, || gateway.output().contains("were renewed"));
    assert_eq!(kind(), Some(HandshakeKind::Full));
}

/// A ticket is good for hours; the certificate that it stands for may not be.
#[test]
fn a_resumed_session_is_served_only_while_its_certificate_is_in_force() {
    use rustls::HandshakeKind;
    let backend = Backend::answering_json();
    let clients = Authority::new("of the clients");
    let required = ", client_ca: clients.pem, client_certificate: required";
    let (gateway, authority, _) = gateway(&backend, required, &[("clients.pem", clients.pem())]);
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for version in [&TLS12, &TLS13] {
        let end = now() + 8;
        let [short, long] = [end, end + 3600].map(|end| {
            let issued = clients.issue_for("client.example", now() - 60, end);
            let settings = TlsSettings::new(&authority, "a.example").version(version).showing(&issued);
            (settings.config(), settings.name())
        });
        // Whether a request is answered, and what handshake there was.
        let served = |(config, name): &(std::sync::Arc<rustls::ClientConfig>, _)| {
            let connection = rustls::ClientConnection::new(config.clone(), std::clone::Clone::clone(name)).unwrap();
            let stream = TcpStream::connect(gateway.more(0)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut answer = Vec::new();
            // A client that is not served finds the connection closed.
            let _ = stream.write_all(&lookup().with("Connection", "close").bytes());
            let _ = stream.read_to_end(&mut answer);
            (answer.starts_with(b"HTTP/1.1 200 OK\r\n"), stream.conn.handshake_kind())
        };
        for client in [&short, &long] {
            assert_eq!(served(client), (true, Some(HandshakeKind::Full)));
            assert_eq!(served(client), (true, Some(HandshakeKind::Resumed)));
        }
        wait_until("the end of the certificate", 2 * PATIENCE, || now() > end + 1);
        assert_eq!(served(&short), (false, Some(HandshakeKind::Resumed)), "{version:?}");
        assert_eq!(served(&long), (true, Some(HandshakeKind::Resumed)), "{version:?}");
    }
}

/// A gateway whose upstream has these keys of TLS, in front of a backend.
fn towards(backend: &TlsBackend, tls: &str, files: &[(&str, &str)]) -> Gateway {
    let configuration =
        Configuration::new(backend.address()).upstream(&format!("connect_timeout: 10s, tls: {{ {tls} }}"));
    Gateway::start_with_files(&configuration.yaml(), files)
}

#[test]
fn a_backend_with_the_right_certificate_is_asked() {
    let authority = Authority::new("of the backend");
    let backend = TlsBackend::start(&authority.issue(&["lookup.internal"]), None);
    let gateway = towards(&backend, "ca: ca.pem", &[("ca.pem", authority.pem())]);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.request(&lookup());
        client.response().assert_success();
    }
    // One handshake for all, under the name that is the Host.
    assert_eq!((backend.handshakes(), backend.requests()), (1, 3));
    assert_eq!(backend.names(), [Some("lookup.internal".to_owned())]);
}

#[test]
fn a_backend_with_another_certificate_is_unavailable() {
    let authority = Authority::new("of the backend");
    let stranger = Authority::new("of somebody else");
    for (issued, tls) in [
        // Another authority, another name, and the address instead of the name.
        (stranger.issue(&["lookup.internal"]), "ca: ca.pem"),
        (authority.issue(&["other.internal"]), "ca: ca.pem"),
        (authority.issue(&["127.0.0.1"]), "ca: ca.pem"),
        (authority.issue(&["lookup.internal"]), "ca: ca.pem, server_name: other.internal"),
        (authority.issue(&["lookup.internal"]), "ca: ca.pem, server_name: 127.0.0.1"),
    ] {
        let backend = TlsBackend::start(&issued, None);
        let gateway = towards(&backend, tls, &[("ca.pem", authority.pem())]);
        for _ in 0..2 {
            let mut client = gateway.connect();
            client.request(&lookup());
            client.response().assert_problem("upstream-unavailable");
        }
        assert_eq!(backend.requests(), 0, "{tls}");
        gateway.wait_for_output("certificate of the server");
    }
    // No TLS at all.
    let plain = Backend::answering_json();
    let configuration = Configuration::new(plain.address()).upstream("tls: { ca: ca.pem }");
    let gateway = Gateway::start_with_files(&configuration.yaml(), &[("ca.pem", authority.pem())]);
    let mut client = gateway.connect();
    client.request(&lookup());
    client.response().assert_problem("upstream-unavailable");
}

#[test]
fn a_backend_is_named_by_its_own_name_or_address() {
    let authority = Authority::new("of the backend");
    for (name, tls, asked) in [
        ("other.internal", "ca: ca.pem, server_name: other.internal", Some("other.internal")),
        // An address is verified and not asked for.
        ("127.0.0.1", "ca: ca.pem, server_name: 127.0.0.1", None),
    ] {
        let backend = TlsBackend::start(&authority.issue(&[name]), None);
        let gateway = towards(&backend, tls, &[("ca.pem", authority.pem())]);
        let mut client = gateway.connect();
        client.request(&lookup());
        client.response().assert_success();
        assert_eq!(backend.names(), [asked.map(str::to_owned)]);
    }
}

#[test]
fn a_backend_is_shown_the_certificate_that_it_asks_for() {
    let authority = Authority::new("of the backend");
    let clients = Authority::new("of the gateways");
    let (good, bad) = (clients.issue(&["gateway.internal"]), authority.issue(&["gateway.internal"]));
    let backend = TlsBackend::start(&authority.issue(&["lookup.internal"]), Some(&clients));
    for (tls, issued, welcome) in [
        ("ca: ca.pem, certificate: us.pem, key: us.key", &good, true),
        ("ca: ca.pem, certificate: us.pem, key: us.key", &bad, false),
        ("ca: ca.pem", &good, false),
    ] {
        let files = [("ca.pem", authority.pem()), ("us.pem", &*issued.certificate), ("us.key", &*issued.key)];
        let gateway = towards(&backend, tls, &files);
        let mut client = gateway.connect();
        client.request(&lookup());
        let response = client.response();
        if welcome {
            response.assert_success();
        } else {
            response.assert_problem("upstream-unavailable");
        }
    }
    assert_eq!((backend.requests(), backend.refused()), (1, 2));
}

#[test]
fn a_backend_that_never_ends_its_handshake_is_unavailable_in_time() {
    let silent = Backend::silent();
    let authority = Authority::new("of the backend");
    let configuration = Configuration::new(silent.address()).upstream("connect_timeout: 500ms, tls: { ca: ca.pem }");
    let gateway = Gateway::start_with_files(&configuration.yaml(), &[("ca.pem", authority.pem())]);
    let begun = Instant::now();
    let mut client = gateway.connect();
    client.request(&lookup());
    client.response().assert_problem("upstream-unavailable");
    let taken = begun.elapsed();
    assert!((Duration::from_millis(490)..Duration::from_secs(5)).contains(&taken), "took {taken:?}");
    gateway.wait_for_output("handshake took too long");
}

#[test]
fn without_an_authority_of_its_own_a_backend_is_judged_by_those_of_the_machine() {
    let backend = TlsBackend::start(&Authority::new("of nobody here").issue(&["lookup.internal"]), None);
    let configuration = Configuration::new(backend.address()).upstream("tls: {}").yaml();
    // A machine without authorities says so at start; any other one refuses this one.
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return;
    }
    let gateway = Gateway::start(&configuration);
    let mut client = gateway.connect();
    client.request(&lookup());
    client.response().assert_problem("upstream-unavailable");
    assert_eq!(backend.requests(), 0);
}

#[test]
fn renewed_authorities_of_a_backend_are_taken_over() {
    let (old, new) = (Authority::new("of old"), Authority::new("of now"));
    let backend = TlsBackend::start(&new.issue(&["lookup.internal"]), None);
    let gateway = towards(&backend, "ca: ca.pem", &[("ca.pem", old.pem())]);
    let status = || {
        let mut client = gateway.connect();
        client.request(&lookup());
        client.response().status()
    };
    assert_eq!(status(), 503);
    gateway.replace("ca.pem", new.pem());
    wait_until("the new authority", RENEWAL_PATIENCE, || status() == 200);
}
