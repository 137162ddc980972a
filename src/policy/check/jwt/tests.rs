//! Signed tokens that are as they should be, and those that lie.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;

const NOW: Seconds = 1_800_000_000;

/// A provider's two keys, of P-256 with the id `ec` and of Ed25519 with the id `ed`.
struct Signer {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Signer {
    fn new() -> Signer {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Signer {
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    fn set(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": text(&point[1..33]), "y": text(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "x": text(self.ed.public_key().as_ref()) },
            { "kty": "oct", "kid": "secret", "k": "AAAA" },
            { "kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": text(&point[1..33]), "y": text(&point[33..]) },
        ]})
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(head), text(claims));
        let signature = match head["alg"].as_str() {
            Some("EdDSA") => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            _ => self.ec.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn issuer(&self) -> Arc<Issuer> {
        let keys = KeySet::default();
        keys.replace(Keys::parse(self.set().to_string().as_bytes()).unwrap());
        issuer(keys)
    }
}

/// What is read of a token.
fn read(issuers: &[Arc<Issuer>], token: &str) -> Result<Bearer, Problem> {
    bearer(issuers, token.as_bytes(), &Digest::of(token.as_bytes()), NOW)
}

fn issuer(keys: KeySet) -> Arc<Issuer> {
    Arc::new(Issuer::new(
        "company".into(),
        "https://id.example.com/".into(),
        ["lookups".into()].into(),
        [Algorithm::Es256, Algorithm::EdDsa].into(),
        ("sub".into(), TokenName::Claim("azp".into())),
        60,
        Arc::new(keys),
    ))
}

fn claims() -> Value {
    json!({ "iss": "https://id.example.com/", "aud": "lookups", "exp": NOW + 100, "sub": "acme", "azp": "web" })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_signed_token_names_its_account_and_token() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    for (head, claims, ends) in [
        (json!({ "alg": "ES256", "kid": "ec", "typ": "JWT" }), claims(), NOW + 160),
        (json!({ "alg": "ES256" }), claims(), NOW + 160),
        (json!({ "alg": "EdDSA", "kid": "ed" }), with("aud", json!(["other", "lookups"])), NOW + 160),
        (json!({ "alg": "EdDSA" }), with("nbf", json!(NOW + 60)), NOW + 160),
        (json!({ "alg": "EdDSA" }), with("exp", json!(1_800_000_100.9)), NOW + 160),
        // It is the caller who refuses one that is over.
        (json!({ "alg": "EdDSA" }), with("exp", json!(NOW - 100)), NOW - 40),
    ] {
        let token = signer.sign(&head, &claims);
        for _ in 0..2 {
            let bearer = read(&issuers, &token).unwrap();
            assert_eq!((&*bearer.account, &*bearer.token, bearer.ends), ("acme", "web", ends), "{head} {claims}");
        }
        assert!(issuers[0].remembered(&Digest::of(token.as_bytes()), NOW).is_some());
    }
}

#[test]
fn a_token_that_lies_is_unknown() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    let head = json!({ "alg": "ES256", "kid": "ec" });
    let good = signer.sign(&head, &claims());
    let refused = |token: &str| match read(&issuers, token) {
        Ok(bearer) => panic!("{bearer:?}"),
        Err(problem) => (problem.row, problem.reason),
    };
    let signed = |head: Value, claims: Value| signer.sign(&head, &claims);
    let (body, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = body.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"none"}"#);
    let wrong_algorithm = "the algorithm of the signed token is not one of the issuer's";
    let malformed = "the signed token is malformed";
    for (token, reason) in [
        (format!("{none}.{payload}."), wrong_algorithm),
        (format!("{none}.{payload}.{signature}"), wrong_algorithm),
        (format!("{twice}.{payload}.{signature}"), malformed),
        (format!("{body}."), "the signature is wrong"),
        (format!("{body}.{}", signature.replacen(|_| true, "x", 3)), "the signature is wrong"),
        (format!("{body}.%"), malformed),
        (format!("{body}.{signature}="), malformed),
        (signed(json!({ "alg": "HS256", "kid": "secret" }), claims()), wrong_algorithm),
        (signed(json!({ "alg": "RS256", "kid": "ec" }), claims()), wrong_algorithm),
        (signed(json!({ "alg": "EdDSA", "kid": "ec" }), claims()), "the issuer has no key for the signed token"),
        (signed(json!({ "alg": "ES256", "kid": "enc" }), claims()), "the issuer has no key for the signed token"),
        (signed(json!({ "alg": "ES256", "kid": "newer" }), claims()), "the issuer has no key for the signed token"),
        (signed(json!({ "alg": "ES256", "crit": ["exp"] }), claims()), "the signed token asks for an extension"),
        (signed(head.clone(), with("iss", json!("https://id.example.com"))), "the signed token has another issuer"),
        (signed(head.clone(), without("iss")), "the signed token has another issuer"),
        (signed(head.clone(), with("aud", json!("other"))), "the signed token is for another audience"),
        (signed(head.clone(), without("aud")), "the signed token is for another audience"),
        (signed(head.clone(), without("exp")), "the signed token has no exp"),
        (signed(head.clone(), with("exp", json!("9999999999"))), "a time of the signed token is not a number"),
        (signed(head.clone(), with("nbf", json!("0"))), "a time of the signed token is not a number"),
        (signed(head.clone(), with("nbf", json!(NOW + 61))), "the signed token is not valid yet"),
        (signed(head.clone(), without("sub")), "the signed token lacks a claim that names its account or token"),
        (signed(head.clone(), with("azp", json!(7))), "the signed token lacks a claim that names its account or token"),
        ("no.signed.token".to_owned(), NOT_SIGNED.reason),
        ("eyJ.eyJ".to_owned(), NOT_SIGNED.reason),
        (format!("ey{}..", "A".repeat(9000)), NOT_SIGNED.reason),
    ] {
        assert_eq!(refused(&token), (Row::TokenUnknown, reason), "{token}");
    }
    assert!(issuers[0].keys.take_wanted(), "an unknown key asks for newer ones");
}

#[test]
fn what_was_verified_is_forgotten_with_the_keys_that_did() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    let token = signer.sign(&json!({ "alg": "ES256" }), &claims());
    assert!(read(&issuers, &token).is_ok());
    let others = Signer::new();
    issuers[0].keys.replace(Keys::parse(others.set().to_string().as_bytes()).unwrap());
    let problem = read(&issuers, &token).unwrap_err();
    assert_eq!((problem.row, problem.reason), (Row::TokenUnknown, "the signature is wrong"));
}

#[test]
fn without_keys_it_is_not_known_whether_a_token_is_one() {
    let signer = Signer::new();
    let token = signer.sign(&json!({ "alg": "ES256" }), &claims());
    let problem = read(&[issuer(KeySet::default())], &token).unwrap_err();
    assert_eq!((problem.row, problem.hint), (Row::UpstreamUnavailable, Hint::RetryAfter(5)));
}

#[test]
fn so_many_tokens_are_remembered_and_no_more() {
    let seen = VerifiedTokens::default();
    let one = |number: u64| Digest::of(&number.to_be_bytes());
    for number in 0..100_000 {
        let bearer = Bearer { account: "a".into(), token: "t".into(), ends: NOW + number };
        seen.put(one(number), Verified { bearer, not_before: 0, generation: 1 }, NOW);
    }
    let known = (0..100_000).filter(|number| seen.get(&one(*number), 1).is_some()).count();
    assert!((1..=16 * 2048).contains(&known), "{known}");
    assert!(seen.get(&one(99_999), 1).is_some() && seen.get(&one(99_999), 2).is_none());
}

/// The example of RFC 7515, appendix A.2: a signature by RSA.
#[test]
fn the_example_of_the_standard_is_verified() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = Keys::parse(json!({ "keys": [{ "kty": "RSA", "n": n, "e": "AQAB" }] }).to_string().as_bytes()).unwrap();
    let key = keys.of(None, Algorithm::Rs256).next().unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(key.verifies(Algorithm::Rs256, signed.as_bytes(), &signature));
    assert!(!key.verifies(Algorithm::Ps256, signed.as_bytes(), &signature));
    assert!(!key.verifies(Algorithm::Rs256, &signed.as_bytes()[1..], &signature));
}

#[test]
fn a_set_has_keys_that_can_be_used_or_is_a_mistake() {
    for text in
        ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#, r#"{"keys":[7]}"#]
    {
        assert!(Keys::parse(text.as_bytes()).is_err(), "{text}");
    }
}
