//! A provider that lies, in every way that a relying party has to notice.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::token::{Expected, who};
use crate::ledger::store::records::Role;
use crate::ledger::store::sessions;
use crate::platform::clock::unix_seconds;
use crate::portal::form::Values;
use crate::portal::sign_in::testing::{Answer, Bench, Browser};

/// How the provider lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// In the document about itself.
    Document,
    /// In a claim: its name, and what it is instead, as JSON; nothing removes it.
    Claim(&'static str, &'static str),
    AlgNone,
    AlgHs256,
    OtherKey,
    UnknownKey,
    Changed,
    /// The token endpoint leads elsewhere.
    Elsewhere,
    NoToken,
    /// In the redirect: what is put in the place of its parameters.
    Redirect(&'static str),
}

/// What a browser has brought to the provider.
#[derive(Clone, Debug, Default)]
struct Asked {
    nonce: String,
    challenge: String,
    redirect: String,
    lie: Option<Lie>,
    says_iss: bool,
    claims: Map<String, Value>,
}

struct Liar {
    address: SocketAddr,
    asked: Arc<Mutex<Asked>>,
    /// Bodies and authorizations of the token endpoint.
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

const CODE: &str = "c0de";

fn key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
}

impl Liar {
    fn start() -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, requests) = (Arc::new(Mutex::new(Asked::default())), Arc::new(Mutex::new(Vec::new())));
        let (shared, seen) = (Arc::clone(&asked), Arc::clone(&requests));
        std::thread::spawn(move || {
            let keys = [key(), key()];
            for stream in listener.incoming() {
                let asked: Asked = shared.lock().unwrap().clone();
                serve(stream.unwrap(), address, &asked, &keys, &seen);
            }
        });
        Liar { address, asked, requests }
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    fn portal(&self) -> Bench {
        let issuer = self.issuer();
        Bench::with(
            &format!(
                "  sign_in:\n    oidc: {{ issuer: \"{issuer}\", client_id: tollgate, client_secret: \"s3:cret\", \
                 operators: {{ admins: admin, readers: auditor }} }}"
            ),
            "",
        )
    }

    /// A browser's way to the provider and back.
    async fn sign_in(&self, browser: &Browser<'_>, lie: Lie, claims: Value) -> Answer {
        let begun = browser.get("/sign-in/provider?to=/me").await;
        if lie == Lie::Document {
            return begun;
        }
        assert_eq!(begun.status, 303, "{}", begun.text);
        let target = url::Url::parse(&begun.location).unwrap();
        let query = Values::read(target.query().unwrap().as_bytes());
        assert_eq!((query.raw("response_type"), query.raw("code_challenge_method")), ("code", "S256"));
        assert_eq!(query.raw("redirect_uri"), "https://portal.example.com/sign-in/provider/back");
        let Value::Object(claims) = claims else { panic!("{claims}") };
        let state = query.raw("state").to_owned();
        {
            let mut asked = self.asked.lock().unwrap();
            asked.nonce = query.raw("nonce").to_owned();
            asked.challenge = query.raw("code_challenge").to_owned();
            asked.redirect = query.raw("redirect_uri").to_owned();
            asked.lie = Some(lie);
            asked.claims = claims;
        }
        let back = match lie {
            Lie::Redirect(instead) => instead.replace("STATE", &state).replace("ISSUER", &self.issuer()),
            _ => format!("code={CODE}&state={state}"),
        };
        browser.get(&format!("/sign-in/provider/back?{back}")).await
    }
}

fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    asked: &Asked,
    keys: &[EcdsaKeyPair; 2],
    seen: &Mutex<Vec<(String, String)>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let line = head.iter().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.map_or("", |line| line.split_once(": ").unwrap().1).to_owned()
    };
    let mut body = vec![0; header("content-length:").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let path = head.first().map_or("", |line| line.split(' ').nth(1).unwrap());
    let (status, answer) = match path {
        "/.well-known/openid-configuration" => ("200 OK", document(address, asked)),
        "/keys" => ("200 OK", json!({ "keys": [public(&keys[0])] })),
        "/token" => {
            seen.lock().unwrap().push((body.clone(), header("authorization:")));
            token(&body, &header("authorization:"), address, asked, keys)
        }
        _ => ("404 Not Found", Value::Null),
    };
    let text = answer.to_string();
    let place = if status.starts_with("30") { "Location: http://127.0.0.1:1/token\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status}\r\n{place}Connection: close\r\nContent-Length: {}\r\n\r\n", text.len());
    let _ = stream.write_all((head + &text).as_bytes());
}

fn document(address: SocketAddr, asked: &Asked) -> Value {
    let url = format!("http://{address}");
    let issuer = if asked.lie == Some(Lie::Document) { "https://id.example.com".to_owned() } else { url.clone() };
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "authorization_response_iss_parameter_supported": asked.says_iss,
    })
}

fn public(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    json!({ "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "x": part(1..33), "y": part(33..65) })
}

/// An honest provider gives a token only for its code, to the client, for the redirect, to whoever has the verifier.
fn token(
    body: &str,
    authorization: &str,
    address: SocketAddr,
    asked: &Asked,
    keys: &[EcdsaKeyPair; 2],
) -> (&'static str, Value) {
    let form = Values::read(body.as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form.raw("code_verifier").as_bytes()));
    let client = format!("Basic {}", STANDARD.encode("tollgate:s3%3Acret"));
    let is_right = form.raw("code") == CODE
        && form.raw("grant_type") == "authorization_code"
        && form.raw("redirect_uri") == asked.redirect
        && challenge == asked.challenge
        && authorization == client;
    if !is_right {
        return ("400 Bad Request", json!({ "error": "invalid_grant" }));
    }
    match asked.lie {
        Some(Lie::Elsewhere) => return ("302 Found", Value::Null),
        Some(Lie::NoToken) => return ("200 OK", json!({ "access_token": "x" })),
        _ => {}
    }
    let now = unix_seconds();
    let mut claims = json!({
        "iss": format!("http://{address}"), "aud": "tollgate", "sub": "17", "nonce": asked.nonce, "iat": now,
        "exp": now + 300,
    });
    claims.as_object_mut().unwrap().extend(asked.claims.clone());
    if let Some(Lie::Claim(name, instead)) = asked.lie {
        match instead {
            "" => drop(claims.as_object_mut().unwrap().remove(name)),
            text => claims[name] = serde_json::from_str(text).unwrap(),
        }
    }
    ("200 OK", json!({ "token_type": "Bearer", "id_token": signed(&claims, asked.lie, keys) }))
}

fn signed(claims: &Value, lie: Option<Lie>, keys: &[EcdsaKeyPair; 2]) -> String {
    let (alg, kid) = match lie {
        Some(Lie::AlgNone) => ("none", "1"),
        Some(Lie::AlgHs256) => ("HS256", "1"),
        Some(Lie::UnknownKey) => ("ES256", "2"),
        _ => ("ES256", "1"),
    };
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(&json!({ "alg": alg, "kid": kid })), encoded(claims));
    let key = if lie == Some(Lie::OtherKey) { &keys[1] } else { &keys[0] };
    let mut signature = match lie {
        Some(Lie::AlgNone) => Vec::new(),
        // What a library does that takes the public key for a shared secret.
        Some(Lie::AlgHs256) => {
            let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.public_key().as_ref());
            ring::hmac::sign(&secret, text.as_bytes()).as_ref().to_vec()
        }
        _ => key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
    };
    if lie == Some(Lie::Changed) {
        signature[5] ^= 1;
    }
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn ann() -> Value {
    json!({ "email": "Ann@example.com", "email_verified": true, "name": "Ann", "groups": ["staff", "admins"] })
}

#[tokio::test]
async fn an_honest_provider_says_who_somebody_is_and_what_they_may() {
    let liar = Liar::start();
    let bench = liar.portal();
    let browser = bench.browser();
    let done = liar.sign_in(&browser, Lie::None, ann()).await;
    assert_eq!((done.status, &*done.location), (303, "/me"), "{}", done.text);
    let user = bench.user("ann@example.com").await;
    assert_eq!((user.operator, user.email_proven, &*user.display), (Some(Role::Admin), true, "Ann"));
    assert_eq!(user.identity.unwrap().subject, "17");
    // The groups of the next time count, also for the last admin; and the address may have changed.
    let other = json!({ "email": "anna@example.com", "email_verified": true, "groups": "readers" });
    liar.sign_in(&bench.browser(), Lie::None, other).await;
    assert_eq!(bench.user("ann@example.com").await.operator, Some(Role::Auditor));
    liar.sign_in(&bench.browser(), Lie::None, json!({})).await;
    assert_eq!(bench.user("ann@example.com").await.operator, None);
    // The code is exchanged by the portal itself, with its secret and the verifier, which no browser has seen.
    let requests = liar.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|(body, _)| Values::read(body.as_bytes()).raw("code_verifier").len() == 43));
}

#[tokio::test]
async fn only_who_is_invited_or_an_operator_is_let_in() {
    let liar = Liar::start();
    let bench = liar.portal();
    let account = bench.account("acme").await;
    let as_bob =
        |verified: bool, sub: &str| json!({ "email": "bob@example.com", "email_verified": verified, "sub": sub });
    let refused = liar.sign_in(&bench.browser(), Lie::None, as_bob(true, "18")).await;
    assert_eq!(refused.status, 403, "nobody has invited them");
    bench.invite("bob@example.com", Some(&account), Role::Owner).await;
    let refused = liar.sign_in(&bench.browser(), Lie::None, as_bob(false, "18")).await;
    assert_eq!(refused.status, 403, "the provider has not verified the address");
    let browser = bench.browser();
    let done = liar.sign_in(&browser, Lie::None, as_bob(true, "18")).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert!(browser.get("/accounts").await.text.contains("acme"), "the invitation is accepted");
    let refused = liar.sign_in(&bench.browser(), Lie::None, as_bob(true, "19")).await;
    assert_eq!(refused.status, 403, "another user of the provider has the address of one who is known");
    let unnamed = json!({ "sub": "20", "groups": ["readers"] });
    assert_eq!(liar.sign_in(&bench.browser(), Lie::None, unnamed).await.status, 303, "an operator without an address");
}

#[tokio::test]
async fn every_lie_is_noticed() {
    let liar = Liar::start();
    let bench = liar.portal();
    for lie in [
        Lie::Claim("iss", "\"https://id.example.com\""),
        Lie::Claim("iss", ""),
        Lie::Claim("aud", "\"another\""),
        Lie::Claim("aud", "[\"tollgate\", \"another\"]"),
        Lie::Claim("aud", "[]"),
        Lie::Claim("azp", "\"another\""),
        Lie::Claim("nonce", "\"another\""),
        Lie::Claim("nonce", ""),
        Lie::Claim("exp", "1000000000"),
        Lie::Claim("exp", ""),
        Lie::Claim("exp", "\"soon\""),
        Lie::Claim("iat", "99999999999"),
        Lie::Claim("iat", ""),
        Lie::Claim("nbf", "99999999999"),
        Lie::Claim("sub", ""),
        Lie::Claim("sub", "\"\""),
        Lie::Claim("sub", "17"),
        Lie::AlgNone,
        Lie::AlgHs256,
        Lie::OtherKey,
        Lie::UnknownKey,
        Lie::Changed,
        Lie::Elsewhere,
        Lie::NoToken,
        Lie::Redirect("code=c0de&state=another"),
        Lie::Redirect("code=c0de"),
        Lie::Redirect("state=STATE"),
        Lie::Redirect("code=stolen&state=STATE"),
        Lie::Redirect("code=c0de&code=c0de&state=STATE"),
        Lie::Redirect("code=c0de&state=STATE&state=STATE"),
        Lie::Redirect("code=c0de&state=STATE&iss=https://id.example.com"),
        Lie::Redirect("code=c0de&state=STATE&iss=ISSUER&iss=ISSUER"),
        Lie::Redirect("error=access_denied&state=STATE"),
    ] {
        let browser = bench.browser();
        let refused = liar.sign_in(&browser, lie, ann()).await;
        assert_eq!((refused.status, browser.is_signed_in()), (403, false), "{lie:?}: {}", refused.text);
        assert!(!browser.jar.lock().unwrap().contains_key("__Host-tg-provider"), "{lie:?}: it counts once");
        assert!(!refused.text.contains("c0de"), "{lie:?}");
    }
    let nobody = bench.store.read(|connection| sessions::list(connection, "", 0)).await.unwrap();
    assert_eq!(nobody, []);
    let good = Lie::Redirect("code=c0de&state=STATE&iss=ISSUER");
    assert_eq!(liar.sign_in(&bench.browser(), good, ann()).await.status, 303, "and the truth is believed");
}

#[tokio::test]
async fn an_answer_is_of_the_browser_that_has_begun_and_a_document_of_its_issuer() {
    let liar = Liar::start();
    let bench = liar.portal();
    liar.asked.lock().unwrap().lie = Some(Lie::Document);
    let refused = liar.sign_in(&bench.browser(), Lie::Document, ann()).await;
    assert_eq!(refused.status, 502, "{}", refused.text);
    *liar.asked.lock().unwrap() = Asked { says_iss: true, ..Asked::default() };
    let refused = liar.sign_in(&bench.browser(), Lie::None, ann()).await;
    assert_eq!(refused.status, 403, "iss is missing, and it says to send it");
    let (one, other) = (bench.browser(), bench.browser());
    let begun = one.get("/sign-in/provider").await.location;
    let state = Values::read(url::Url::parse(&begun).unwrap().query().unwrap().as_bytes()).raw("state").to_owned();
    other.get("/sign-in/provider").await;
    for browser in [&other, &bench.browser()] {
        let injected = browser.get(&format!("/sign-in/provider/back?code={CODE}&state={state}")).await;
        assert_eq!((injected.status, browser.is_signed_in()), (403, false), "the answer to another browser");
    }
    assert_eq!(liar.requests.lock().unwrap().len(), 1, "nothing is exchanged for them");
}

#[test]
fn who_is_asked_again_has_to_have_been() {
    let claims = |asked: Option<i64>| {
        let mut claims = json!({ "iss": "i", "aud": "c", "sub": "1", "nonce": "n", "iat": 1000, "exp": 2000 });
        if let Some(asked) = asked {
            claims["auth_time"] = asked.into();
        }
        let Value::Object(claims) = claims else { panic!() };
        claims
    };
    for (asked, is_fresh, good) in [
        (None, false, true),
        (None, true, false),
        (Some(1000), true, true),
        (Some(600), true, false),
        (Some(600), false, true),
    ] {
        let expected = Expected { issuer: "i", client: "c", nonce: "n", now: 1000, is_fresh };
        assert_eq!(who(&claims(asked), &expected, "groups").is_ok(), good, "{asked:?} {is_fresh}");
    }
}
