//! Tests of `pages`.

use std::path::PathBuf;

use super::tests::GOOD;
use super::*;
use crate::policy::page::ListenerScope;

/// The line of the good configuration after which more keys are added.
const PROXIES: &str = "trusted_proxies: [10.0.0.0/8]";

fn compiled(edits: &[(&str, &str)]) -> Config {
    let text = edits.iter().fold(GOOD.to_owned(), |text, (old, new)| text.replace(old, new));
    let source = Source::from(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config")));
    parse("f", &text, &source).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn routes_may_be_where_no_pages_are() {
    for edits in [
        [("POST /plate]", "POST /problems]"), (PROXIES, "pages: { serve: false }")],
        [("POST /plate]", "POST /problems]"), (PROXIES, "pages: { path: /docs }")],
        [("POST /plate]", "POST /problems]"), ("api.example.com", "api.example.com/v1")],
        [("POST /plate]", "POST /problematic]"), (PROXIES, "")],
    ] {
        compiled(&edits);
    }
}

#[test]
fn pages_stand_below_the_path_that_requests_have_and_link_to_the_public_one() {
    for (public_url, pages, served, link, api) in [
        ("https://a.example", "", "/problems", "/problems", "https://a.example"),
        ("https://a.example/v1", "", "/v1/problems", "/v1/problems", "https://a.example"),
        ("https://a.example/v1", "pages: { path: / }", "/problems", "/v1/problems", "https://a.example/v1"),
        ("https://a.example/v1/x", "pages: { path: /x }", "/x/problems", "/v1/x/problems", "https://a.example/v1"),
        ("https://a.example", "pages: { api_url: https://b.example }", "/problems", "/problems", "https://b.example"),
    ] {
        let config = compiled(&[("https://api.example.com", public_url), (PROXIES, pages)]);
        let site = &config.settings.site;
        assert!(config.policy.pages.find(served).is_some(), "{public_url} {pages}");
        assert_eq!((site.link("/problems").as_str(), &*site.api_url), (link, api), "{public_url} {pages}");
    }
}

#[test]
fn a_listener_for_pages_leaves_lookups_to_the_others() {
    let doors = |listeners: &str| -> Vec<ListenerScope> {
        let config = compiled(&[(PROXIES, listeners)]);
        config.listeners.0.iter().map(|listener| listener.serves).collect()
    };
    let (pages, all) = ("{ address: 127.0.0.1:81, serves: pages }", "{ address: 127.0.0.1:82, serves: all }");
    let unsaid = "{ address: 127.0.0.1:83 }";
    assert_eq!(doors(&format!("listeners: [{unsaid}]")), [ListenerScope::All, ListenerScope::All]);
    assert_eq!(
        doors(&format!("listeners: [{pages}, {all}, {unsaid}]")),
        [ListenerScope::Lookups, ListenerScope::Pages, ListenerScope::All, ListenerScope::Lookups]
    );
}

#[test]
fn own_words_stand_on_the_page_of_their_row() {
    let words = "status: 400\n    meaning: Own <meaning>.\n    causes: [Own cause.]\n    remedy: [Own remedy.]";
    let config = compiled(&[("number-missing:\n    status: 400", &format!("number-missing:\n    {words}"))]);
    let page = config.policy.pages.find("/problems/number-missing").unwrap().page();
    let text = String::from_utf8(page.rendition(0).unwrap().plain().to_vec()).unwrap();
    for words in ["Own &#60;meaning&#62;.", "Own cause.", "Own remedy."] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn the_page_of_a_row_leads_where_its_detail_does() {
    let portal = "pages: { portal: \"https://portal.example.com\", support: { email: help@example.com } }";
    let detail = "detail: \"Send a number. Ask {support}, or see {status_page}. Or sign in ({portal}).\"";
    let places = |edits: &[(&str, &str)], slug: &str| -> Vec<String> {
        let config = compiled(edits);
        let page = config.policy.pages.find(&format!("/problems/{slug}")).unwrap().page();
        let view: serde_json::Value = serde_json::from_slice(page.rendition(1).unwrap().plain()).unwrap();
        let places = view["see"].as_array().cloned().unwrap_or_default();
        places.iter().map(|place| place["url"].as_str().unwrap().to_owned()).collect()
    };
    let (site, own) = ((PROXIES, portal), ("detail: Send a number.", detail));
    let (portal, mail) = ("https://portal.example.com/", "mailto:help@example.com");
    for (edits, slug, expected) in [
        (&[site][..], "token-unknown", &[portal][..]),
        (&[site], "internal", &[mail]),
        (&[site], "number-missing", &[]),
        (&[site, own], "number-missing", &[portal, "https://api.example.com/status", mail]),
        (&[own], "number-missing", &["https://api.example.com/status"]),
        (&[], "token-unknown", &[]),
        // The status page has a line of its own where the service may be at fault.
        (&[site], "overloaded", &[]),
    ] {
        assert_eq!(places(edits, slug), expected, "{slug}");
    }
}
