//! Listeners and TLS: what is wrong with them, told where it is written, and what is right.
//!
//! The certificates are made by the tests, in a directory that goes with them.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SignatureAlgorithm};

use super::tests::{GOOD, Scratch};
use super::*;
use crate::downstream::listener::{At, Listener};
use crate::platform::tls::server::Clients;
use crate::policy::check::network::Networks;

/// A certificate that signs itself, and its key.
fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    certificate_of(&rcgen::PKCS_ECDSA_P256_SHA256, change)
}

fn certificate_of(kind: &'static SignatureAlgorithm, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate_for(kind).unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    change(&mut params);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A directory with files that are good, and some that are not.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let (good, key) = certificate(|_| {});
    scratch.write("a.pem", &good);
    scratch.write("a.key", &key);
    let (other, other_key) = certificate_of(&rcgen::PKCS_ED25519, |_| {});
    scratch.write("b.pem", other);
    scratch.write("b.key", other_key);
    let (nameless, nameless_key) = certificate(|params| params.subject_alt_names.clear());
    scratch.write("nameless.pem", nameless);
    scratch.write("nameless.key", nameless_key);
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    scratch.write("ca.pem", certificate(authority).0);
    let (expired, expired_key) = certificate(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    scratch.write("expired.pem", expired);
    scratch.write("expired.key", expired_key);
    let (future, future_key) = certificate(|params| params.not_before = rcgen::date_time_ymd(3000, 1, 1));
    scratch.write("future.pem", future);
    scratch.write("future.key", future_key);
    scratch.write("empty.pem", "");
    scratch.write("letter.pem", "Dear operator,\n");
    scratch.write("torn.pem", &good[..good.len() / 2]);
    scratch.write("not-der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    scratch.write("seventeen.pem", good.repeat(17));
    scratch.write("huge.pem", vec![b'\n'; 4 * 1024 * 1024 + 1]);
    scratch.write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    scratch.write("odd.key", "-----BEGIN PRIVATE KEY-----\nMAUCAQAwAA==\n-----END PRIVATE KEY-----\n");
    scratch
}

fn load_text(scratch: &Scratch, text: &str) -> Result<Config, Mistakes> {
    parse("f", text, &Source::from(scratch.path().to_owned()))
}

fn lines(scratch: &Scratch, text: &str) -> Vec<String> {
    load_text(scratch, text)
        .map_or_else(|mistakes| mistakes.to_string().lines().map(str::to_owned).collect(), |_| Vec::new())
}

/// The good configuration behind a first line, without `listen`.
fn with_first_line(first: &str) -> String {
    format!("{first}\n{}", GOOD.replacen("listen: 127.0.0.1:8080\n", "", 1))
}

/// The good configuration with these keys of its upstream in line 10.
fn with_upstream(keys: &str) -> String {
    GOOD.replacen("    connect_timeout: 1s\n", &format!("    {keys}\n"), 1)
}

fn check(scratch: &Scratch, text: impl Fn(&str) -> String, cases: &[(&str, &[&str])]) {
    let mut failures = String::new();
    for (written, expected) in cases {
        let lines = lines(scratch, &text(written));
        if lines != *expected {
            failures += &format!("\n{written}\n  is answered with {lines:#?}");
        }
        for line in &lines {
            let what = line.splitn(5, ':').nth(4).unwrap_or_default();
            assert!(
                what.split_once("; ").is_some_and(|(wrong, instead)| wrong.len() > 5 && instead.len() > 7),
                "{line}"
            );
            assert!(!line.contains("BEGIN CERT") || line.contains("blocks"), "{line}");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn mistakes_in_listeners() {
    let long = "x".repeat(120);
    let long_path = format!("listeners: [{{ unix: /{long} }}]");
    check(
        &scratch(),
        with_first_line,
        &[
            ("listeners:", &["f:1:1: listeners: is blank; give it a value or remove the key"]),
            ("listeners: []", &["f:1:12: listeners: is an empty list; write at least one, or remove the key"]),
            (
                "listeners: 127.0.0.1:8080",
                &["f:1:12: listeners: is one value, but a list is wanted here; write `- value` lines below it"],
            ),
            (
                "listeners: [127.0.0.1:8080]",
                &[
                    "f:1:13: listeners[0]: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are address, unix, mode, h2c, tls, proxy_protocol, serves",
                ],
            ),
            (
                "listeners: [{ h2c: true }]",
                &[
                    "f:1:13: listeners[0].address: is missing; write an address and a port, or the path of a Unix socket as `unix`",
                ],
            ),
            (
                "listeners: [{ address: localhost:80 }]",
                &[
                    "f:1:24: listeners[0].address: is not an address and a port; write one as in 127.0.0.1:8080 or [::1]:8080, not a name",
                ],
            ),
            (
                "listeners: [{ address: 127.0.0.1:0 }]",
                &["f:1:24: listeners[0].address: has the port 0; write the port to connect to"],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80, unix: s }]",
                &["f:1:44: listeners[0].unix: stands beside `address`; make two listeners of them, or remove one"],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80, mode: \"0660\" }]",
                &[
                    "f:1:44: listeners[0].mode: is said of a Unix socket, which is not there; remove it, or write `unix`",
                ],
            ),
            (
                "listeners: [{ unix: s, mode: 0999 }]",
                &["f:1:30: listeners[0].mode: is not a mode; write three octal digits, as in \"0660\""],
            ),
            (
                "listeners: [{ unix: '' }]",
                &["f:1:21: listeners[0].unix: is not a path; write one as in /run/tollgate/tollgate.sock"],
            ),
            (
                &long_path,
                &[
                    "f:1:21: listeners[0].unix: is too long for a Unix socket, with the directories in front of it; write a path of at most 107 bytes",
                ],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80 }, { address: 0.0.0.0:80 }, { unix: s }, { unix: s }]",
                &[
                    "f:1:51: listeners[1].address: is where another listener is already; give each its own address or path",
                    "f:1:86: listeners[3].unix: is where another listener is already; give each its own address or path",
                ],
            ),
            (
                "listeners: [{ address: \"[::]:8080\" }]\nlisten: 127.0.0.1:8080",
                &[
                    "f:1:24: listeners[0].address: is where another listener is already; give each its own address or path",
                ],
            ),
            (
                "listeners: [{ address: \"[::]:9901\" }, { address: 127.0.0.1:9001 }]",
                &[
                    "f:1:1: admin: is where clients connect already; choose another port than that of `listeners`",
                    "f:8:15: upstreams.lookup.servers[0]: is the gateway's own `listeners` address; write that of the backend",
                ],
            ),
            (
                "listeners: [{ unix: s }]\nh2c: true",
                &["f:2:6: h2c: is said of `listen`, which is not there; write it for a listener of the list"],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80, h2c: true, tls: { certificates: [{ certificate: a.pem, key: a.key }] } }]",
                &[
                    "f:1:43: listeners[0].h2c: is HTTP/2 without TLS; remove it, since HTTP/2 is offered with TLS anyway",
                ],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80, proxy_protocol: {} }]",
                &[
                    "f:1:54: listeners[0].proxy_protocol.from: is missing; write the networks of the proxies, as in [10.0.0.0/8]",
                ],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80, proxy_protocol: { from: [0.0.0.0/0, 10.0.0.1/8] } }]",
                &[
                    "f:1:63: listeners[0].proxy_protocol.from[0]: trusts every address, so that any client could claim another one's; write the proxies' own networks",
                    "f:1:74: listeners[0].proxy_protocol.from[1]: has bits set behind its prefix; write the network's first address, or a longer prefix",
                ],
            ),
            (
                "listeners: [{ unix: s, proxy_protocol: { from: [10.0.0.0/8] } }]",
                &[
                    "f:1:48: listeners[0].proxy_protocol.from: lists addresses, which peers of a Unix socket have none of; write proxy_protocol: {} there",
                ],
            ),
            (
                "listeners: [{ address: 127.0.0.1:80, proxy: true }]",
                &["f:1:38: listeners[0].proxy: is not a key here; did you mean `proxy_protocol`?"],
            ),
        ],
    );
}

#[test]
fn mistakes_in_the_tls_of_listeners() {
    let first_line =
        |tls: &str| with_first_line(&format!("listeners: [{{ address: 127.0.0.1:80, tls: {{ {tls} }} }}]"));
    let at = |what: &'static str| what;
    check(
        &scratch(),
        first_line,
        &[
            (
                "",
                &[at(
                    "f:1:43: listeners[0].tls.certificates: is missing; write at least one, as in [{ certificate: tls/api.pem, key: tls/api.key }]",
                )],
            ),
            (
                "certificates: []",
                &[
                    "f:1:59: listeners[0].tls.certificates: is an empty list; write at least one, as in [{ certificate: tls/api.pem, key: tls/api.key }]",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem }]",
                &[
                    "f:1:60: listeners[0].tls.certificates[0].key: is missing; name the PEM file of the certificate's private key",
                ],
            ),
            (
                "certificates: [{ key: a.key }]",
                &[
                    "f:1:60: listeners[0].tls.certificates[0].certificate: is missing; name the PEM file of the certificate that the key belongs to",
                ],
            ),
            (
                "certificates: [{ certificate: '', key: a.key }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: is not the name of a file; write one as in tls/api.pem",
                ],
            ),
            (
                "certificates: [{ certificate: gone.pem, key: gone.key }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: is not there; name a file that is",
                    "f:1:90: listeners[0].tls.certificates[0].key: is not there; name a file that is",
                ],
            ),
            (
                "certificates: [{ certificate: accounts.d, key: a.key }]",
                &["f:1:75: listeners[0].tls.certificates[0].certificate: is a directory; name a file in it"],
            ),
            (
                "certificates: [{ certificate: huge.pem, key: a.key }]",
                &["f:1:75: listeners[0].tls.certificates[0].certificate: is larger than 4 MiB; keep what is needed"],
            ),
            (
                "certificates: [{ certificate: empty.pem, key: empty.pem }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: is no PEM file of a private key; write one as a BEGIN PRIVATE KEY block",
                    "f:1:75: listeners[0].tls.certificates[0].certificate: is no PEM file of certificates; write them as BEGIN CERTIFICATE blocks",
                    "f:1:91: listeners[0].tls.certificates[0].key: is no PEM file of a private key; write one as a BEGIN PRIVATE KEY block",
                    "f:1:91: listeners[0].tls.certificates[0].key: is no PEM file of certificates; write them as BEGIN CERTIFICATE blocks",
                ],
            ),
            (
                "certificates: [{ certificate: letter.pem, key: locked.key }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: is no PEM file of certificates; write them as BEGIN CERTIFICATE blocks",
                    "f:1:92: listeners[0].tls.certificates[0].key: is an encrypted key; write it without a passphrase, readable for this user alone",
                ],
            ),
            (
                "certificates: [{ certificate: torn.pem, key: odd.key }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: is no PEM file of certificates; write them as BEGIN CERTIFICATE blocks",
                    "f:1:90: listeners[0].tls.certificates[0].key: has a key of a kind that is not used; make one of ECDSA P-256 or P-384, Ed25519, or RSA from 2048 bits on",
                ],
            ),
            (
                "certificates: [{ certificate: not-der.pem, key: a.key }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: has a first certificate that cannot be used; write one of X.509 version 3 there",
                ],
            ),
            (
                "certificates: [{ certificate: seventeen.pem, key: a.key }]",
                &[
                    "f:1:75: listeners[0].tls.certificates[0].certificate: has more than 16 certificates; keep the server's own and those up to its authority",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem, key: b.key }, { certificate: b.pem, key: a.key }]",
                &[
                    "f:1:87: listeners[0].tls.certificates[0].key: does not belong to the certificate; name the key that the certificate was made for",
                    "f:1:123: listeners[0].tls.certificates[1].key: does not belong to the certificate; name the key that the certificate was made for",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem, key: a.key }, { certificate: nameless.pem, key: nameless.key }]",
                &[
                    "f:1:111: listeners[0].tls.certificates[1].certificate: has no DNS name, so that no client could ever get it; put it first, or remove it",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem, key: a.key }], client_certificate: required",
                &[
                    "f:1:117: listeners[0].tls.client_certificate: says nothing without `client_ca`; name the file of the authorities that clients' certificates come from",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem, key: a.key }], client_ca: gone.pem",
                &["f:1:108: listeners[0].tls.client_ca: is not there; name a file that is"],
            ),
            (
                "certificates: [{ certificate: a.pem, key: a.key }], client_ca: a.key",
                &[
                    "f:1:87: listeners[0].tls.certificates[0].key: is no PEM file of certificates; write them as BEGIN CERTIFICATE blocks",
                    "f:1:108: listeners[0].tls.client_ca: is no PEM file of certificates; write them as BEGIN CERTIFICATE blocks",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem, key: a.key }], client_ca: not-der.pem",
                &[
                    "f:1:108: listeners[0].tls.client_ca: has a certificate that cannot be an authority; name the certificates of authorities alone",
                ],
            ),
            (
                "certificates: [{ certificate: a.pem, key: a.key }], client_ca: ca.pem, client_certificate: yes",
                &[
                    "f:1:136: listeners[0].tls.client_certificate: is not one of the words allowed here; write one of optional, required",
                ],
            ),
            (
                "certificate: a.pem",
                &[
                    "f:1:43: listeners[0].tls.certificates: is missing; write at least one, as in [{ certificate: tls/api.pem, key: tls/api.key }]",
                    "f:1:45: listeners[0].tls.certificate: is not a key here; did you mean `certificates`?",
                ],
            ),
        ],
    );
}

#[test]
fn mistakes_in_the_tls_of_upstreams() {
    check(
        &scratch(),
        with_upstream,
        &[
            ("tls:", &["f:10:5: upstreams.lookup.tls: is blank; give it a value or remove the key"]),
            (
                "tls: true",
                &[
                    "f:10:10: upstreams.lookup.tls: is one value, but a mapping is wanted here; write `key: value` lines below it; the keys are ca, server_name, certificate, key",
                ],
            ),
            (
                "tls: { verify: false }",
                &[
                    "f:10:12: upstreams.lookup.tls.verify: is not a key here; the keys are ca, server_name, certificate, key",
                ],
            ),
            ("tls: { ca: gone.pem }", &["f:10:16: upstreams.lookup.tls.ca: is not there; name a file that is"]),
            (
                "tls: { ca: ca.pem, server_name: '' }",
                &[
                    "f:10:37: upstreams.lookup.tls.server_name: is not a name that a certificate can have; write one as in lookup.internal or 10.0.0.1",
                ],
            ),
            (
                "tls: { ca: ca.pem, server_name: 'https://a.example' }",
                &[
                    "f:10:37: upstreams.lookup.tls.server_name: is not a name that a certificate can have; write one as in lookup.internal or 10.0.0.1",
                ],
            ),
            (
                "tls: { ca: ca.pem, certificate: a.pem }",
                &["f:10:10: upstreams.lookup.tls.key: is missing; name the PEM file of the certificate's private key"],
            ),
            (
                "tls: { ca: ca.pem, certificate: a.pem, key: b.key }",
                &[
                    "f:10:49: upstreams.lookup.tls.key: does not belong to the certificate; name the key that the certificate was made for",
                ],
            ),
        ],
    );
}

#[test]
fn listeners_are_what_is_written() {
    let scratch = scratch();
    let text = with_first_line(
        "listen: 127.0.0.1:8080\n\
         h2c: true\n\
         listeners:\n\
         \x20 - address: \"[::]:443\"\n\
         \x20   tls: { certificates: [{ certificate: a.pem, key: a.key }, { certificate: b.pem, key: b.key }], client_ca: ca.pem }\n\
         \x20 - { unix: s }\n\
         \x20 - { address: 127.0.0.1:81, proxy_protocol: { from: [10.0.0.0/8] } }\n\
         \x20 - { unix: /run/t, mode: \"600\", proxy_protocol: {}, h2c: true }",
    );
    let config = load_text(&scratch, &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let [first, tls, unix, proxied, last] = &*config.listeners.0 else { panic!("five listeners") };
    let plain = |text: &str| Listener::plain(text.parse().unwrap());
    assert_eq!(*first, Listener { h2c: true, ..plain("127.0.0.1:8080") });
    let files = tls.tls.as_ref().unwrap().settings();
    assert_eq!(files.pairs.len(), 2);
    assert_eq!(files.clients, Clients::Required(scratch.path().join("ca.pem")));
    assert_eq!(unix.at, At::Unix { path: scratch.path().join("s"), mode: 0o660 });
    let from = Networks::listed(["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(*proxied, Listener { proxies: Some(from), ..plain("127.0.0.1:81") });
    assert_eq!(last.at, At::Unix { path: "/run/t".into(), mode: 0o600 });
    assert_eq!((last.h2c, &last.proxies), (true, &Some(Networks::Any)));
    assert!(config.summary("f").contains("https://[::]:443"), "{}", config.summary("f"));

    // What was changed shows, and a renewed certificate is no change.
    let again = |text: &str| load_text(&scratch, text).unwrap().listeners;
    assert_eq!(config.listeners, again(&text));
    let (renewed, key) = certificate(|_| {});
    scratch.write("a.pem", renewed);
    scratch.write("a.key", key);
    assert_eq!(config.listeners, again(&text));
    for (old, new) in [
        ("h2c: true\nlisteners", "h2c: false\nlisteners"),
        ("[::]:443", "[::1]:443"),
        (", client_ca: ca.pem", ""),
        ("client_ca: ca.pem", "client_ca: ca.pem, client_certificate: optional"),
        ("10.0.0.0/8] } }", "10.0.0.0/16] } }"),
        ("\"600\"", "\"660\""),
        ("certificate: b.pem, key: b.key", "certificate: a.pem, key: a.key"),
    ] {
        assert_ne!(config.listeners, again(&text.replacen(old, new, 1)), "{new}");
    }
}

#[test]
fn the_name_of_a_backend_is_that_of_its_host() {
    let scratch = scratch();
    for (host, name) in [
        ("lookup.internal", "lookup.internal"),
        ("lookup.internal:9001", "lookup.internal"),
        ("192.0.2.7:9001", "192.0.2.7"),
        ("\"[2001:db8::1]:9001\"", "2001:db8::1"),
    ] {
        let text = with_upstream("tls: { ca: ca.pem }").replacen("host: lookup.internal", &format!("host: {host}"), 1);
        let config = load_text(&scratch, &text).unwrap_or_else(|mistakes| panic!("{host}: {mistakes}"));
        let tls = config.policy.upstreams[0].tls.as_ref().unwrap();
        assert_eq!(tls.settings().server_name.to_str(), name, "{host}");
    }
}

#[test]
fn certificates_out_of_their_time_are_told() {
    let scratch = scratch();
    let pair = |name: &str| format!("{{ certificate: {name}.pem, key: {name}.key }}");
    let tls = ["a", "expired", "future"].map(pair).join(", ");
    let text = with_first_line(&format!("listeners: [{{ address: 127.0.0.1:80, tls: {{ certificates: [{tls}] }} }}]"));
    let text = text.replacen(
        "    connect_timeout: 1s\n",
        "    tls: { ca: ca.pem, certificate: expired.pem, key: expired.key }\n",
        1,
    );
    let config = load_text(&scratch, &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    // Between 2020 and 3000.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let told: Vec<String> = config.overdue(now).iter().map(ToString::to_string).collect();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let expired = format!("{} has expired; put the renewed certificate there", path("expired.pem"));
    let future = format!("{} is not valid yet; put one there that is, or set the clock", path("future.pem"));
    assert_eq!(told, [expired.clone(), future, expired]);
}

#[test]
fn the_examples_of_gateway_yaml_are_good() {
    let scratch = scratch();
    std::fs::create_dir_all(scratch.path().join("tls")).unwrap();
    for (name, from) in [("api", "a"), ("any", "b"), ("us", "a")] {
        for kind in ["pem", "key"] {
            let copy = scratch.path().join(format!("tls/{name}.{kind}"));
            std::fs::copy(scratch.path().join(format!("{from}.{kind}")), copy).unwrap();
        }
    }
    for name in ["tls/clients.pem", "tls/backend-ca.pem"] {
        std::fs::copy(scratch.path().join("ca.pem"), scratch.path().join(name)).unwrap();
    }
    for name in ["phone.schema.json", "phone.answer.schema.json", "logo.svg", "terms.md"] {
        let from = format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(from, scratch.path().join(name)).unwrap();
    }
    let config = load_text(&scratch, &super::tests::with_all_examples());
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.listeners.0.len(), 4);
    assert!(config.policy.upstreams[0].tls.is_some());
}
