//! What domains let pass, and which entries are refused.

use super::*;
use proptest::prelude::*;

fn list(patterns: &[&str], allow_absent: bool) -> Domains {
    Domains::listed(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()), allow_absent)
}

fn judged(domains: &Domains, fields: &[(&'static str, &'static [u8])]) -> bool {
    let fields: Vec<_> = fields.iter().map(|(name, value)| httparse::Header { name, value }).collect();
    domains.allow(&Lines { fields: &fields, ..Lines::UNREADABLE }, &mut Watched::default()).is_ok()
}

#[test]
fn hosts_are_compared_whole_and_canonical() {
    let domains =
        list(&["app.example.com", "*.shop.example.com", "münchen.example", "localhost", "127.0.0.1", "[::1]"], false);
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("http://app.example.com", true),
        ("HTTPS://APP.example.COM", true),
        ("https://app.example.com:8443", true),
        ("https://a.shop.example.com", true),
        ("https://a.b.shop.example.com", true),
        ("https://shop.example.com", false),
        ("https://.shop.example.com", false),
        ("https://xn--mnchen-3ya.example", true),
        ("http://localhost:3000", true),
        ("http://127.0.0.1:3000", true),
        ("http://[::1]:3000", true),
        ("http://0x7f.1", true),
        ("https://evil-app.example.com", false),
        ("https://app.example.com.evil.com", false),
        ("https://evil-shop.example.com", false),
        ("https://app.example.com@evil.com", false),
        ("https://evil.com@app.example.com", false),
        ("https://app.example.com:80@evil.com", false),
        ("https://app%2eexample.com", false),
        ("https://app.example.com\\.evil.com", false),
        ("https://app。example.com", false),
        ("https://app.example.com.", false),
        ("https://app.example.com/", false),
        ("https://app.example.com/path", false),
        ("https://app.example.com?q", false),
        ("https://app.example.com:99999", false),
        ("https://app.example.com:x", false),
        ("https://app.\texample.com", false),
        (" https://app.example.com", false),
        ("ftp://app.example.com", false),
        ("app.example.com", false),
        ("//app.example.com", false),
        ("null", false),
        ("", false),
    ] {
        assert_eq!(judged(&domains, &[("Origin", origin.as_bytes())]), allowed, "{origin}");
    }
    assert!(!judged(&domains, &[("Origin", b"https://app.example.com\xff")]));
}

#[test]
fn the_origin_counts_first_then_the_referer() {
    let domains = list(&["app.example.com"], false);
    for (fields, allowed) in [
        (vec![], false),
        (vec![("Referer", b"https://app.example.com/a?b#c".as_slice())], true),
        (vec![("Referer", b"https://app.example.com".as_slice())], true),
        (vec![("Referer", b"https://evil.com/https://app.example.com/".as_slice())], false),
        (vec![("Referer", b"https://evil.com?@app.example.com/".as_slice())], false),
        (vec![("Referer", b"/relative".as_slice())], false),
        (vec![("Origin", b"https://evil.com"), ("Referer", b"https://app.example.com/".as_slice())], false),
        (vec![("Origin", b"https://app.example.com"), ("Referer", b"https://evil.com/".as_slice())], true),
        (vec![("Origin", b"null"), ("Referer", b"https://app.example.com/".as_slice())], false),
        (vec![("Origin", b"https://app.example.com"), ("Origin", b"https://app.example.com".as_slice())], false),
    ] {
        assert_eq!(judged(&domains, &fields), allowed, "{fields:?}");
    }
    assert!(judged(&list(&["app.example.com"], true), &[]), "absent: allow");
    assert!(judged(&Domains::Any, &[("Origin", b"null")]), "no list, no restriction");
}

#[test]
fn entries_that_mean_something_else_than_a_host_are_refused() {
    for text in [
        "*",
        "*.",
        "a.*.example.com",
        "https://example.com/",
        "https://example.com:443",
        "https://*",
        "https://",
        "://example.com",
        "1app://example.com",
        "capacitor://",
        "capacitor://localhost/",
        "capacitor://localhost:80",
        "capacitor://*.example.com",
        "capacitor://user@localhost",
        "capacitor://local%68ost",
        "chrome-extension://*",
        "file://host",
        "file://",
        "https://https://example.com",
        "example.com/",
        "example.com:80",
        "example.com.",
        "",
        "u@example.com",
        "exa mple.com",
        "%65xample.com",
        "*.127.0.0.1",
        "xn--a",
    ] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_wildcard_over_what_strangers_can_share_is_refused() {
    for (text, shared) in [
        ("*.com", true),
        ("*.co.uk", true),
        ("*.github.io", true),
        ("*.xn--p1ai", true),
        ("*.\u{440}\u{444}", true),
        // Rules with a wildcard, of both sections of the list.
        ("*.ck", true),
        ("*.kobe.jp", true),
        ("*.KOBE.jp", true),
        ("*.a.kobe.jp", true),
        ("*.compute.amazonaws.com", true),
        ("*.eu-west-1.compute.amazonaws.com", true),
        ("https://*.kobe.jp", true),
        ("http://*.github.io", true),
        // Names above rules, which are no rules themselves.
        ("*.amazonaws.com", true),
        ("https://*.amazonaws.com", true),
        ("*.eu-west-1.amazonaws.com", true),
        ("*.s3.eu-west-1.amazonaws.com", true),
        ("*.AmazonAWS.com", true),
        // What they except, and what stands below them.
        ("*.city.kobe.jp", false),
        ("*.www.ck", false),
        ("*.example.a.kobe.jp", false),
        ("*.example.co.uk", false),
        ("*.example.github.io", false),
        ("*.example.com", false),
        ("*.acme.example", false),
        ("*.amazon.com", false),
        ("*.notamazonaws.com", false),
        ("*.bucket.s3.eu-west-1.amazonaws.com", false),
        ("*.example.internal", false),
        // One host is nobody else's.
        ("github.io", false),
        ("example.github.io", false),
        ("kobe.jp", false),
    ] {
        match (Pattern::parse(text), shared) {
            (Err(what), true) => assert!(what.contains("publicsuffix.org"), "{text} {what}"),
            (Ok(_), false) => {}
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }
}

#[test]
fn an_entry_with_a_scheme_means_both() {
    let domains = list(
        &[
            "capacitor://localhost",
            "chrome-extension://gmbmikajjgmnabiglmofipeabaddhgne",
            "https://app.example.com",
            "https://*.shop.example.com",
            "Ionic://Localhost",
            "both.example.com",
        ],
        false,
    );
    for (origin, allowed) in [
        ("capacitor://localhost", true),
        ("CAPACITOR://LOCALHOST", true),
        ("capacitor://localhost:8080", true),
        ("ionic://localhost", true),
        ("chrome-extension://gmbmikajjgmnabiglmofipeabaddhgne", true),
        ("https://app.example.com", true),
        ("https://app.example.com:8443", true),
        ("https://a.b.shop.example.com", true),
        ("https://both.example.com", true),
        ("http://both.example.com", true),
        ("http://app.example.com", false),
        ("http://a.shop.example.com", false),
        ("https://shop.example.com", false),
        ("http://localhost", false),
        ("https://localhost", false),
        ("capacitor://localhost.evil.example", false),
        ("capacitor://evil.example", false),
        ("capacitor://localhost/", false),
        ("capacitor://localhost/index.html", false),
        ("capacitor://localhost@evil.example", false),
        ("capacitor://evil.example@localhost", false),
        ("capacitor://local%68ost", false),
        ("capacitor://", false),
        ("capacitor:localhost", false),
        ("capacitor", false),
        ("capacitor://localhost capacitor://localhost", false),
        ("moz-extension://gmbmikajjgmnabiglmofipeabaddhgne", false),
        ("chrome-extension://gmbmikajjgmnabiglmofipeabaddhgnf", false),
        ("capacitor://both.example.com", false),
        ("file://localhost", false),
        ("null", false),
    ] {
        assert_eq!(judged(&domains, &[("Origin", origin.as_bytes())]), allowed, "{origin}");
        assert_eq!(domains.contains_origin(origin.as_bytes()), allowed, "{origin}");
    }
    assert!(judged(&domains, &[("Referer", b"capacitor://localhost/index.html?a#b")]));
    assert!(!judged(&domains, &[("Referer", b"capacitor://evil.example/capacitor://localhost")]));
    assert!(!judged(&domains, &[("Referer", b"localhost")]));
    let (texts, _) = domains.patterns().unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(list(&texts, false).patterns(), domains.patterns(), "an entry is shown as it can be written");
    assert!(Domains::Any.contains_origin(b"capacitor://localhost") && !Domains::Any.contains_origin(b"null"));
}

proptest! {
    #[test]
    fn the_short_way_agrees_with_the_url_parser(authority in "[a-z0-9.:x-]{1,24}") {
        if let Some(host) = canonical_already(authority.as_bytes()) {
            let url = Url::parse(&format!("https://{authority}/")).unwrap();
            prop_assert_eq!(url.host_str(), Some(host));
        }
    }

    #[test]
    fn what_passes_is_a_host_that_the_url_parser_names(origin in "(https?|HTTP)://[a-zA-Z0-9.:@%/\\\\\u{3002}-]{1,30}") {
        let domains = list(&["a.example.com", "*.example.org"], false);
        if domains.contains_origin(origin.as_bytes()) {
            let url = Url::parse(&origin).unwrap();
            let host = url.host_str().unwrap();
            prop_assert!(host == "a.example.com" || host.ends_with(".example.org"));
            prop_assert!(url.username().is_empty() && url.path() == "/");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(origin in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = list(&["a.example.com"], false).contains_origin(&origin);
    }
}
