//! Signed tokens of an identity provider (contract, section 4).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tollgate::policy::account::Digest;

use crate::support::api::tollgate;
use crate::support::{After, Backend, Gateway, PATIENCE, Request, VERSIONS, Version, token};

/// A key of a provider with an id.
struct Signer(&'static str, Ed25519KeyPair);

impl Signer {
    fn new(id: &'static str) -> Signer {
        let key = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        Signer(id, Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.1.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.0, "x": x })
    }

    fn sign(&self, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&json!({ "alg": "EdDSA", "kid": self.0 })), text(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.1.sign(signed.as_bytes())))
    }
}

fn seconds_from_now(seconds: i64) -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + seconds
}

fn claims() -> Value {
    json!({ "iss": "https://id.example.com/", "aud": ["lookups"], "exp": seconds_from_now(600), "sub": "main", "azp": "live" })
}

/// A gateway that takes tokens of a provider with these keys.
fn gateway(backend: &Backend, jwks: &str, files: &[(&str, &str)]) -> Gateway {
    let hash = |name: &str| Digest::of(token(name).as_bytes()).text();
    let yaml = format!(
        "h2c: true\nworkers: 2\npublic_url: https://api.example.com/docs\n\
         upstreams: {{ lookup: {{ servers: [{}] }} }}\n\
         jwt:\n  company:\n    issuer: https://id.example.com/\n    audience: [lookups]\n    algorithms: [EdDSA]\n\
         \x20   jwks: {jwks}\n    account_claim: sub\n    token_claim: azp\n    leeway: 5s\n\
         products:\n  vat:\n    upstream: lookup\n    token_in: [bearer]\n    jwt: [company]\n    routes: [GET /vat]\n\
         \x20   headers: {{ Reference-ID: {{ pattern: '[A-Za-z0-9-]+', echo: true, problem: reference-id-invalid }} }}\n\
         accounts:\n  main:\n    rate: {{ limit: 600000/min }}\n    tokens:\n\
         \x20     - {{ name: live, hash: \"{}\", products: [vat] }}\n\
         \x20     - {{ name: off, hash: \"{}\", products: [vat], disabled: true }}\n\
         \x20     - {{ name: far, hash: \"{}\", products: [vat], networks: [203.0.113.0/24] }}\n",
        backend.address(),
        hash("live"),
        hash("off"),
        hash("far"),
    );
    Gateway::start_with_files(&yaml, files)
}

fn ask(token: &str) -> Request {
    Request::new("GET", "/vat").with("Authorization", &format!("Bearer {token}"))
}

#[test]
fn a_signed_token_is_judged_like_the_token_that_it_names() {
    let (backend, signer) = (Backend::answering_json(), Signer::new("one"));
    let keys = json!({ "keys": [signer.public()] }).to_string();
    let gateway = gateway(&backend, "{ file: keys.json }", &[("keys.json", &keys)]);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.sign(&claims)
    };
    for version in VERSIONS {
        for _ in 0..2 {
            gateway.send(version, &ask(&signer.sign(&claims()))).assert_success();
        }
        gateway.send(version, &ask(&token("live"))).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        assert!(!sent.to_ascii_lowercase().contains("authorization"), "{sent}");
        for (token, slug) in [
            (with("azp", json!("off")), "token-disabled"),
            (with("azp", json!("far")), "ip-not-allowed"),
            (with("azp", json!("nobody")), "token-unknown"),
            (with("sub", json!("nobody")), "token-unknown"),
            (with("exp", json!(seconds_from_now(-10))), "token-expired"),
            (with("aud", json!("others")), "token-unknown"),
            (Signer::new("one").sign(&claims()), "token-unknown"),
            (Signer::new("two").sign(&claims()), "token-unknown"),
        ] {
            for _ in 0..2 {
                gateway.send(version, &ask(&token)).assert_problem(slug);
            }
        }
        let unknown = gateway.send(version, &ask("eyJ.eyJ.x"));
        unknown.assert_problem("token-unknown");
        assert_eq!(unknown.header("www-authenticate"), Some("Bearer"));
    }
    let said = gateway.output();
    assert!(!said.contains("eyJ"), "no token is logged: {said}");
}

#[test]
fn a_signed_token_can_be_tested_and_recorded() {
    let (backend, signer) = (Backend::answering_json(), Signer::new("one"));
    let keys = json!({ "keys": [signer.public()] }).to_string();
    let gateway = gateway(&backend, "{ file: keys.json }", &[("keys.json", &keys)]);
    let with = |token: &str| {
        let mut claims = claims();
        claims["azp"] = token.into();
        signer.sign(&claims)
    };
    let mut text = std::fs::read_to_string(gateway.config()).unwrap() + "\ntests:\n";
    for (token, expect) in
        [("live", "upstream: asked"), ("off", "problem: token-disabled"), ("far", "problem: ip-not-allowed")]
    {
        let header = format!("Authorization: \"Bearer {}\"", with(token));
        text += &format!(
            "  - {{ name: {token}, request: {{ path: /vat, headers: {{ {header} }} }}, expect: {{ {expect} }} }}\n"
        );
    }
    std::fs::write(gateway.config(), text).unwrap();
    let run = |words: &[&str]| {
        let output = tollgate(&gateway, words, &[]);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && !told.contains("eyJ"), "{told}");
        told
    };
    assert!(run(&["test"]).contains("3 tests, none failed"));
    let recorded = run(&["test", "--record", "/vat", "-H", &format!("Authorization: Bearer {}", with("far"))]);
    assert!(recorded.contains("account: main") && recorded.contains("token: far"), "{recorded}");
    assert!(recorded.contains("problem: ip-not-allowed"), "{recorded}");
    assert!(backend.requests().is_empty());
}

#[test]
fn keys_of_a_url_are_fetched_again_and_kept_while_they_cannot_be() {
    let (backend, first, second) = (Backend::answering_json(), Signer::new("one"), Signer::new("two"));
    let served: Arc<Mutex<Option<String>>> = Arc::default();
    let shown = Arc::clone(&served);
    let provider = Backend::start(move |peer, _| match &*shown.lock().unwrap() {
        Some(keys) => peer.answer(keys),
        None => {
            peer.answer_with("500 No", "", b"");
            After::Close
        }
    });
    let jwks = format!("{{ url: \"http://{}/keys\", refresh: 10s }}", provider.address());
    let gateway = gateway(&backend, &jwks, &[]);
    let refused = gateway.send(Version::Http1, &ask(&first.sign(&claims())));
    refused.assert_problem("upstream-unavailable");
    assert_eq!(refused.header("retry-after"), Some("5"));
    *served.lock().unwrap() = Some(json!({ "keys": [first.public()] }).to_string());
    let until_it_passes = |signer: &Signer| {
        let begun = Instant::now();
        while gateway.send(Version::Http1, &ask(&signer.sign(&claims()))).status() != 200 {
            assert!(begun.elapsed() < PATIENCE.max(Duration::from_secs(30)), "{}", gateway.output());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until_it_passes(&first);
    // A key that nobody knows yet has the keys fetched; the provider is away for a while before.
    *served.lock().unwrap() = None;
    gateway.send(Version::Http1, &ask(&second.sign(&claims()))).assert_problem("token-unknown");
    gateway.send(Version::Http1, &ask(&first.sign(&claims()))).assert_success();
    *served.lock().unwrap() = Some(json!({ "keys": [second.public()] }).to_string());
    until_it_passes(&second);
    gateway.send(Version::Http1, &ask(&first.sign(&claims()))).assert_problem("token-unknown");
    let (_, metrics) = gateway.ask_admin("GET", "/metrics", &[], "");
    assert!(metrics.contains("tollgate_jwks_fetches_total{issuer=\"company\",outcome=\"fetched\"}"), "{metrics}");
}
