//! What lookups can look like: products with tokens in a header, as Bearer and signed, with and without parameters, and
//! a request for each.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use tollgate::config;
use tollgate::operate::demo;
use tollgate::policy::Policy;
use tollgate::policy::account::Digest;
use tollgate::policy::check::jwt::keys::Keys;

/// What a lookup looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A token in a header, a route without parameters.
    Plain,
    /// The same with a parameter of the path and two of the query, each with a rule.
    Parameters,
    /// As the first, the token as Bearer.
    Bearer,
    /// The same with a signed token.
    Signed,
}

impl Shape {
    /// A policy, and a request that it accepts.
    pub fn of(self) -> (Policy, Vec<u8>) {
        let policy = policy();
        let in_header = || "Auth-Token: token".to_owned();
        let (target, token) = match self {
            Shape::Plain => ("/v1/plain", in_header()),
            Shape::Parameters => ("/v1/vat/DE811907980?date=2026-01-31&detail=full", in_header()),
            Shape::Bearer => ("/v1/bearer", "Authorization: Bearer token".to_owned()),
            Shape::Signed => ("/v1/signed", format!("Authorization: Bearer {}", signed(&policy))),
        };
        let text =
            format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\n{token}\r\nAccept: application/json\r\n\r\n");
        (policy, text.into_bytes())
    }
}

/// Products with a route by table and one with parameters, with tokens in a header, as Bearer and signed.
fn policy() -> Policy {
    let digest = Digest::of(b"token").text();
    let text = format!(
        "public_url: http://127.0.0.1:8080\nadmin: 127.0.0.1:9901\nupstreams: {{ u: {{ servers: [127.0.0.1:9001] }} }}\n\
         jwt: {{ idp: {{ issuer: i, audience: [a], algorithms: [ES256], jwks: {{ url: \"http://127.0.0.1:1/\" }}, account_claim: sub, token: t }} }}\n\
         products:\n  plain: {{ upstream: u, token_headers: [Auth-Token], routes: [GET /v1/plain] }}\n\
         \x20 bearer: {{ upstream: u, token_in: [bearer], routes: [GET /v1/bearer] }}\n\
         \x20 signed: {{ upstream: u, token_in: [bearer], jwt: [idp], routes: [GET /v1/signed] }}\n\
         \x20 vat:\n    upstream: u\n    token_headers: [Auth-Token]\n    routes:\n\
         \x20     - route: GET /v1/vat/{{number}}\n        parameters: {{ number: {{ pattern: \"[A-Z]{{2}}[0-9]+\", max: 14 }} }}\n\
         \x20       query: {{ date: {{ max: 10 }}, detail: {{ one_of: [full, short] }} }}\n\
         accounts: {{ a: {{ rate: {{ unlimited: true }}, tokens: [{{ name: t, hash: \"{digest}\", products: [plain, bearer, signed, vat] }}] }} }}\n"
    );
    config::parse("shapes.yaml", &text, &demo::SOURCE).map_err(|mistakes| mistakes.to_string()).unwrap().policy
}

/// A token that the provider of `policy` has signed with a new key, which the provider is given.
fn signed(policy: &Policy) -> String {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let (x, y) = key.public_key().as_ref().get(1..).unwrap().split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}]}}"#, text(x), text(y));
    policy.issuers.first().unwrap().keys.replace(Keys::parse(set.as_bytes()).unwrap());
    let claims = br#"{"iss":"i","aud":"a","sub":"a","exp":1900000000}"#;
    let unsigned = format!("{}.{}", text(br#"{"alg":"ES256"}"#), text(claims));
    let signature = key.sign(&random, unsigned.as_bytes()).unwrap();
    format!("{unsigned}.{}", text(signature.as_ref()))
}
