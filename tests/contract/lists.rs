//! Networks and domains of tokens (contract, section 6).

use super::{behind_a_proxy, check, gateway, lookup};
use crate::support::{Backend, Request, VERSIONS};

#[test]
fn a_token_is_bound_to_its_networks() {
    let backend = Backend::answering_json();
    let gateway = behind_a_proxy(&backend);
    for version in VERSIONS {
        for (lines, passes) in [
            (vec![], false),
            (vec!["203.0.113.9"], true),
            (vec!["203.0.113.255"], true),
            (vec!["203.0.114.0"], false),
            (vec!["198.51.100.7"], true),
            (vec!["198.51.100.8"], false),
            (vec!["2001:db8::1"], true),
            (vec!["2001:DB8:0:0::1"], true),
            (vec!["2001:db9::1"], false),
            (vec!["::ffff:203.0.113.9"], true),
            (vec!["::203.0.113.9"], false),
            (vec!["198.51.100.1, 203.0.113.9"], true),
            (vec!["203.0.113.9, 198.51.100.1"], false),
            (vec!["203.0.113.9, 127.0.0.1"], true),
            (vec!["203.0.113.9,127.0.0.1 , ::ffff:127.0.0.1"], true),
            (vec!["198.51.100.1", "203.0.113.9"], true),
            (vec!["203.0.113.9", "198.51.100.1"], false),
            (vec!["203.0.113.9", "127.0.0.1"], true),
            (vec!["unknown, 203.0.113.9"], true),
            (vec!["203.0.113.9, unknown"], false),
            (vec!["203.0.113.9, unknown, 127.0.0.1"], false),
            (vec!["203.0.113.9, "], true),
            (vec!["203.0.113.9", "", " ,, "], true),
            (vec![""], false),
            (vec![","], false),
            // Load balancers that write the port as well.
            (vec!["203.0.113.9:4711"], true),
            (vec!["198.51.100.1:80, 203.0.113.9:4711, 127.0.0.1:8080"], true),
            (vec!["203.0.114.9:4711"], false),
            (vec!["[2001:db8::1]"], true),
            (vec!["[2001:db8::1]:4711"], true),
            (vec!["[2001:db9::1]:4711"], false),
            (vec!["203.0.113.9:port"], false),
            (vec!["203.0.113.9:99999"], false),
            (vec!["[203.0.113.9]:4711"], false),
            (vec!["2001:db8::1%eth0"], false),
            (vec!["203.0.113.09"], false),
            (vec!["0313.0.0161.9"], false),
            (vec!["203.113.9"], false),
            (vec!["3405803785"], false),
            (vec!["0xcb007109"], false),
            (vec!["127.0.0.1"], false),
        ] {
            let mut request = Request::lookup("ip");
            for line in &lines {
                request = request.with("X-Forwarded-For", line);
            }
            println!("{version:?} {lines:?}");
            check(&gateway.send(version, &request), (!passes).then_some("ip-not-allowed"));
        }
        // An address that is not known is not forwarded.
        gateway.send(version, &lookup().with("X-Forwarded-For", "unknown")).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap();
        assert!(!sent.to_ascii_lowercase().contains("forwarded"), "{sent}");
        // Only this header is trusted.
        let others = Request::lookup("ip")
            .with("X-Real-IP", "203.0.113.9")
            .with("Forwarded", "for=203.0.113.9")
            .with("X_Forwarded_For", "203.0.113.9");
        gateway.send(version, &others).assert_problem("ip-not-allowed");
    }
}

#[test]
fn a_stranger_is_not_believed_who_claims_another_address() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let request = Request::lookup("ip").with("X-Forwarded-For", "203.0.113.9");
        gateway.send(version, &request).assert_problem("ip-not-allowed");
        gateway.send(version, &lookup().with("X-Forwarded-For", "203.0.113.9")).assert_success();
        let sent = String::from_utf8(backend.last_request()).unwrap().to_ascii_lowercase();
        assert!(sent.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{sent}");
        assert!(!sent.contains("203.0.113.9"), "{sent}");
    }
}

/// Values of Origin, and whether they pass.
const ORIGINS: [(&str, bool); 37] = [
    ("https://app.example.com", true),
    ("http://app.example.com", true),
    ("https://APP.Example.COM", true),
    ("https://app.example.com:8443", true),
    ("https://a.shop.example.com", true),
    ("https://a.b.shop.example.com", true),
    ("https://xn--bcher-kva.example", true),
    ("https://shop.example.com", false),
    ("https://example.com", false),
    ("https://www.app.example.com", false),
    ("https://evil-app.example.com", false),
    ("https://evilshop.example.com", false),
    ("https://app.example.com.evil.example", false),
    ("https://app.example.com@evil.example", false),
    ("https://evil.example@app.example.com", false),
    ("https://user:word@app.example.com", false),
    ("https://app.example.com:80@evil.example", false),
    ("https://evil.example/app.example.com", false),
    ("https://evil.example#app.example.com", false),
    ("https://evil.example?app.example.com", false),
    ("https://evil.example\\app.example.com", false),
    ("https://evil.example\\.shop.example.com", false),
    ("https://evil.example%2f.shop.example.com", false),
    ("https://app.example.com:port", false),
    ("https://app.example.com:99999", false),
    ("https:app.example.com", false),
    ("//app.example.com", false),
    ("app.example.com", false),
    ("ftp://app.example.com", false),
    ("file://app.example.com", false),
    ("javascript://app.example.com", false),
    ("null", false),
    ("*", false),
    ("", false),
    ("https://", false),
    ("https://app.example.com, https://app.example.com", false),
    ("https://app.example.com https://app.example.com", false),
];

const GOOD: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

/// Tokens, lines of Origin, lines of Referer, and whether they pass.
const ORIGINS_AND_REFERERS: [(&str, &[&str], &[&str], bool); 15] = [
    ("domain", &[], &[], false),
    ("domain", &[GOOD, GOOD], &[], false),
    ("domain", &[GOOD, EVIL], &[], false),
    ("domain", &[GOOD], &[EVIL], true),
    ("domain", &[EVIL], &[GOOD], false),
    ("domain", &["null"], &[GOOD], false),
    ("domain", &[], &[EVIL], false),
    ("domain", &[], &["https://evil.example/app.example.com"], false),
    ("domain", &[], &["https://app.example.com@evil.example/"], false),
    ("domain-or-none", &[], &[], true),
    ("domain-or-none", &[GOOD], &[], true),
    ("domain-or-none", &[EVIL], &[], false),
    ("domain-or-none", &[], &[EVIL], false),
    ("domain-or-none", &["null"], &[], false),
    ("live", &[EVIL], &[EVIL], true),
];

#[test]
fn a_token_is_bound_to_its_domains() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (origin, passes) in ORIGINS {
            println!("{version:?} {origin}");
            let slug = (!passes).then_some("domain-not-allowed");
            let response = gateway.send(version, &Request::lookup("domain").with("Origin", origin));
            check(&response, slug);
            assert_eq!(response.header("Access-Control-Allow-Origin").is_some(), passes, "{origin}");
            // A Referer is a URL with a path.
            if !origin.contains(['/', '#', '?']) || !passes {
                continue;
            }
            for rest in ["", "/", "/a/b?c=d#e", "/https://evil.example@"] {
                let request = Request::lookup("domain").with("Referer", &format!("{origin}{rest}"));
                check(&gateway.send(version, &request), slug);
            }
        }
        for (name, origins, referers, passes) in ORIGINS_AND_REFERERS {
            println!("{version:?} {name} {origins:?} {referers:?}");
            let mut request = Request::lookup(name);
            for origin in origins {
                request = request.with("Origin", origin);
            }
            for referer in referers {
                request = request.with("Referer", referer);
            }
            check(&gateway.send(version, &request), (!passes).then_some("domain-not-allowed"));
        }
    }
}

/// Values of Origin, and whether the token `app` may be used from there: its list names schemes.
const ORIGINS_OF_APPS: [(&str, bool); 13] = [
    ("capacitor://localhost", true),
    ("Capacitor://LocalHost", true),
    ("chrome-extension://gmbmikajjgmnabiglmofipeabaddhgne", true),
    ("https://secure.example.com", true),
    ("https://secure.example.com:8443", true),
    ("http://secure.example.com", false),
    ("http://localhost", false),
    ("https://localhost", false),
    ("ionic://localhost", false),
    ("capacitor://evil.example", false),
    ("capacitor://localhost@evil.example", false),
    ("chrome-extension://aaaaaaaajgmnabiglmofipeabaddhgne", false),
    ("capacitor://localhost/", false),
];

#[test]
fn a_domain_with_a_scheme_means_that_scheme() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (origin, passes) in ORIGINS_OF_APPS {
            println!("{version:?} {origin}");
            let request = Request::lookup("app").target("/web/v1").with("Origin", origin);
            let response = gateway.send(version, &request);
            check(&response, (!passes).then_some("domain-not-allowed"));
            assert_eq!(response.header("Access-Control-Allow-Origin"), passes.then_some(origin));
        }
        // A page of an app says where it is in a Referer as well.
        let referer = Request::lookup("app").target("/web/v1").with("Referer", "capacitor://localhost/index.html");
        gateway.send(version, &referer).assert_success();
        let preflight = Request::new("OPTIONS", "/web/v1")
            .with("Origin", "capacitor://localhost")
            .with("Access-Control-Request-Method", "POST");
        let response = gateway.send(version, &preflight);
        assert_eq!(response.status(), 204);
        assert_eq!(response.header("Access-Control-Allow-Origin"), Some("capacitor://localhost"));
    }
}

/// A list that is only watched refuses nothing, and counts what it would refuse.
#[test]
fn a_watched_list_refuses_nothing_and_counts() {
    let backend = Backend::answering_json();
    let hash = tollgate::policy::account::Digest::of(crate::support::token("watched").as_bytes()).text();
    let mut yaml = crate::support::Configuration::new(backend.address())
        .behind_a_proxy()
        .with("metrics: { by_token: true }\n")
        .yaml();
    yaml += &format!(
        "  watched:\n    rate: {{ unlimited: true }}\n    tokens:\n      - name: w\n        hash: \"{hash}\"\n        products: [phone]\n\
         \x20       networks: {{ mode: watch, list: [203.0.113.0/24] }}\n        domains: {{ mode: watch, list: [app.example.com] }}\n"
    );
    let gateway = crate::support::Gateway::start(&yaml);
    let of = |labels: &str| gateway.metric::<u64>(&format!("tollgate_watched_requests_total{{{labels}}}"));
    let of_token = |labels: &str| gateway.metric::<u64>(&format!("tollgate_token_watched_requests_total{{{labels}}}"));
    let (mut networks, mut domains) = (0, 0);
    for version in VERSIONS {
        for (address, origin, outside, elsewhere) in [
            ("203.0.113.9", Some("https://app.example.com"), 0, 0),
            ("198.51.100.1", Some("https://app.example.com"), 1, 0),
            ("203.0.113.9", Some("https://evil.example"), 0, 1),
            ("198.51.100.1", None, 1, 1),
            ("unknown", Some("null"), 1, 1),
        ] {
            let mut request = Request::lookup("watched").with("X-Forwarded-For", address);
            if let Some(origin) = origin {
                request = request.with("Origin", origin);
            }
            let response = gateway.send(version, &request);
            response.assert_success();
            // Pages of every domain can read the answer, as they could without a list.
            let readable = origin.filter(|origin| *origin != "null");
            assert_eq!(response.header("Access-Control-Allow-Origin"), readable);
            networks += outside;
            domains += elsewhere;
        }
    }
    let known = "account=\"watched\",token=\"w\",";
    crate::support::until("all requests are counted", || {
        of("product=\"phone\",problem=\"domain-not-allowed\"") == domains
    });
    assert_eq!(of("product=\"phone\",problem=\"ip-not-allowed\""), networks);
    assert_eq!(of_token(&format!("{known}problem=\"ip-not-allowed\"")), networks);
    assert_eq!(of_token(&format!("{known}problem=\"domain-not-allowed\"")), domains);
}
