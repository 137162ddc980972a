//! Where a token can be (contract, section 4).

use super::routes::yaml;
use crate::support::{Backend, Gateway, Request, VERSIONS, token};

const PRODUCT: &str = r#"token_in: [bearer, basic password, header X-Api-Key, query api_key]
routes: [GET /vat]
"#;

fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&yaml(backend, &[("vat", PRODUCT)]).replace("    token_headers: [Auth-Token]\n", ""))
}

fn basic(pair: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[test]
fn each_place_takes_the_token_and_none_is_forwarded() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let token = token("live");
    let ask = |target: &str| Request::new("GET", target);
    for version in VERSIONS {
        for (request, forwarded) in [
            (ask("/vat?a=1").with("Authorization", &format!("Bearer {token}")), "/vat?a=1"),
            (ask("/vat").with("authorization", &format!("bearer  {token}")), "/vat"),
            (ask("/vat").with("Authorization", &basic(&format!("me:{token}"))), "/vat"),
            (ask("/vat").with("X-Api-Key", &token), "/vat"),
            (ask(&format!("/vat?a=1&api_key={token}&b=2")), "/vat?a=1&b=2"),
            (ask(&format!("/vat?api%5Fkey={token}")), "/vat"),
            (ask("/vat").with("X-Api-Key", &token).with("Authorization", &format!("Bearer {token}")), "/vat"),
        ] {
            gateway.send(version, &request).assert_success();
            let sent = String::from_utf8(backend.last_request()).unwrap();
            assert!(sent.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{sent}");
            assert!(!sent.contains(&token) && !sent.to_ascii_lowercase().contains("authorization"), "{sent}");
        }
    }
}

#[test]
fn what_is_no_token_there_is_refused_with_the_schemes_that_are() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let token = token("live");
    let ask = |target: &str| Request::new("GET", target);
    for version in VERSIONS {
        for (request, slug) in [
            (ask("/vat"), "token-missing"),
            (ask("/vat").with("Auth-Token", &token), "token-missing"),
            (ask("/vat").with("Authorization", &token), "token-missing"),
            (ask("/vat").with("Authorization", "Bearer "), "token-missing"),
            (ask("/vat").with("Authorization", "Digest username=x"), "token-missing"),
            (ask("/vat").with("Authorization", "Basic !!"), "token-missing"),
            (ask("/vat?api_key="), "token-missing"),
            (ask("/vat").with("Authorization", "Bearer nobody"), "token-unknown"),
            (ask("/vat").with("Authorization", &basic(&format!("{token}:"))), "token-missing"),
            (ask("/vat").with("Authorization", &basic("me:nobody")), "token-unknown"),
            (ask("/vat?api_key=x").with("X-Api-Key", &token), "malformed-request"),
            (ask(&format!("/vat?api_key={token}&api_key={token}")), "malformed-request"),
            (
                ask("/vat").with("Authorization", "Bearer a").with("Authorization", &format!("Bearer {token}")),
                "malformed-request",
            ),
        ] {
            let response = gateway.send(version, &request);
            response.assert_problem(slug);
            let challenges = response.all("www-authenticate");
            let wanted: &[&str] = match slug {
                "token-unknown" => &["Bearer", "Basic realm=\"api\", charset=\"UTF-8\""],
                _ => &[],
            };
            assert_eq!(challenges, wanted, "{slug}");
        }
        let missing = gateway.send(version, &ask("/vat"));
        let told = missing.json()["error"]["detail"].as_str().unwrap().to_owned();
        assert!(
            told.contains(
                "Send your token in the header X-Api-Key, or the header Authorization after the word Bearer, or the \
                 header Authorization as the password of Basic, or the query parameter api_key."
            ),
            "{told}"
        );
    }
    assert!(!String::from_utf8_lossy(gateway.output().as_bytes()).contains(&token), "no token is logged");
}
