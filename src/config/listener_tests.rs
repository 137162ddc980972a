//! Listeners and TLS: what right ones come to.
//!
//! The certificates are made by the tests, in a directory that goes with them.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SignatureAlgorithm};

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

/// A chain of three, in the right order and in wrong ones.
fn chains(scratch: &Scratch) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let between = CertifiedIssuer::signed_by(authority("between"), key(), &root).unwrap();
    let leaf_key = key();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    let leaf = params.signed_by(&leaf_key, &between).unwrap().pem();
    let (between, root) = (between.pem(), root.pem());
    scratch.write("leaf.key", leaf_key.serialize_pem());
    scratch.write("chain.pem", format!("{leaf}{between}{root}"));
    scratch.write("upside-down.pem", format!("{root}{between}{leaf}"));
    scratch.write("shuffled.pem", format!("{leaf}{root}{between}"));
}

#[test]
fn a_chain_is_good_in_its_order() {
    let scratch = scratch();
    let tls = "certificates: [{ certificate: chain.pem, key: leaf.key }]";
    let text = with_first_line(&format!("listeners: [{{ address: 127.0.0.1:80, tls: {{ {tls} }} }}]"));
    assert!(load_text(&scratch, &text).is_ok());
}

/// A directory with files that are good, and some that are not.
pub(super) fn scratch() -> Scratch {
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
    chains(&scratch);
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

/// The good configuration behind a first line, without `listen`.
fn with_first_line(first: &str) -> String {
    format!("{first}\n{}", GOOD.replacen("listen: 127.0.0.1:8080\n", "", 1))
}

/// The good configuration with these keys of its upstream in line 10.
fn with_upstream(keys: &str) -> String {
    GOOD.replacen("    connect_timeout: 1s\n", &format!("    {keys}\n"), 1)
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
        let tls = config.settings.upstreams[0].tls.as_ref().unwrap();
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
    let future = format!("{} is not valid yet; put a valid one there, or set the clock", path("future.pem"));
    assert_eq!(told, [expired.clone(), future, expired]);
}

/// The files that the examples of `gateway.yaml` and the demo name.
pub(super) fn scratch_of_examples() -> Scratch {
    let scratch = scratch();
    std::fs::create_dir_all(scratch.path().join("tls")).unwrap();
    for (name, from) in [("api", "a"), ("any", "b"), ("us", "a")] {
        for kind in ["pem", "key"] {
            let copy = scratch.path().join(format!("tls/{name}.{kind}"));
            std::fs::copy(scratch.path().join(format!("{from}.{kind}")), copy).unwrap();
        }
    }
    for name in ["tls/clients.pem", "tls/backend-ca.pem", "tls/collector-ca.pem", "tls/receiver-ca.pem"] {
        std::fs::copy(scratch.path().join("ca.pem"), scratch.path().join(name)).unwrap();
    }
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    scratch.write("partner.jwks.json", keys);
    for name in ["phone.schema.json", "phone.answer.schema.json", "logo.svg", "terms.md"] {
        let from = format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(from, scratch.path().join(name)).unwrap();
    }
    scratch
}

#[test]
fn the_examples_of_gateway_yaml_are_good() {
    let scratch = scratch_of_examples();
    let config = load_text(&scratch, &super::stated_tests::with_all_examples());
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.listeners.0.len(), 4);
    assert!(config.settings.upstreams[0].tls.is_some());
}
