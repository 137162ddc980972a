//! Mistakes in `pages`, in what products have to do with them, and what they come to.

use super::tests::{GOOD, check_edits};
use super::*;
use crate::policy::page::ListenerScope;

/// The line of the good configuration behind which more keys are written.
const PROXIES: &str = "trusted_proxies: [10.0.0.0/8]";

macro_rules! with {
    ($lines:literal) => {
        &[(PROXIES, concat!("trusted_proxies: [10.0.0.0/8]\n", $lines))]
    };
}

#[test]
fn mistakes_in_pages() {
    type Edits = &'static [(&'static str, &'static str)];
    let cases: &[(Edits, &[&str])] = &[
        (
            with!("pages: { serve: maybe, name: \" \" }"),
            &[
                "f:5:17: pages.serve: is neither true nor false; write `true` or `false`",
                "f:5:30: pages.name: is not a name; write one of visible characters",
            ],
        ),
        (
            with!("pages: { path: docs }"),
            &["f:5:16: pages.path: is not a path that pages can be below; write one as in /docs, or / for the root"],
        ),
        (
            with!("pages: { path: /a//b }"),
            &["f:5:16: pages.path: is not a path that pages can be below; write one as in /docs, or / for the root"],
        ),
        (
            with!("pages: { colours: { light: { accent: blue } } }"),
            &[
                "f:5:38: pages.colours.light.accent: is not a colour; write red, green and blue in hexadecimal digits, as in \"#0b57a8\"",
            ],
        ),
        (
            with!("pages: { colours: { light: { accent: \"#ffcc00\" } } }"),
            &[
                "f:5:28: pages.colours.light: has a colour that cannot be read: accent on its background has a contrast of 1.4; choose colours with at least 4.5 (WCAG AA)",
            ],
        ),
        (
            with!("pages: { colours: { dark: { background: \"#ffffff\" } } }"),
            &[
                "f:5:27: pages.colours.dark: has a colour that cannot be read: text on its background has a contrast of 1.2; choose colours with at least 4.5 (WCAG AA)",
            ],
        ),
        (
            with!("pages: { support: { email: someone } }"),
            &["f:5:28: pages.support.email: is not an e-mail address; write one as in support@example.com"],
        ),
        (
            with!("pages: { portal: portal.example.com, support: { url: \"mailto:a@example.com\" } }"),
            &[
                "f:5:18: pages.portal: is not a link; write a whole one, as in https://portal.example.com/tokens",
                "f:5:54: pages.support.url: is not a link; write a whole one, as in https://portal.example.com/tokens",
            ],
        ),
        (
            with!("pages: { logo: phone.schema.json }"),
            &["f:5:16: pages.logo: names a file that is neither SVG nor PNG; name one that is"],
        ),
        (
            with!("pages: { logo: none.svg }"),
            &[
                "f:5:16: pages.logo: names a file that cannot be read (No such file or directory (os error 2)); write its path from this file's directory",
            ],
        ),
        (
            with!("pages: { extra: [{ title: T, slug: \"A b\", file: terms.md }, { title: U, slug: u }] }"),
            &[
                "f:5:36: pages.extra[0].slug: is not a slug; use lower-case letters, digits and hyphens, as in terms",
                "f:5:61: pages.extra[1].file: is missing; name a Markdown file beside this one",
            ],
        ),
        (
            with!("pages: { extra: [{ title: T, slug: t, file: terms.md }, { title: U, slug: t, file: terms.md }] }"),
            &["f:5:75: pages.extra[1].slug: is another page's already; give each page its own"],
        ),
        (
            &[("POST /phone]", "POST /problems]")],
            &[
                "f:14:14: products.phone.routes[0]: is where the gateway's own pages are; give the route another path, move the pages with `pages.path`, or say pages: { serve: false }",
            ],
        ),
        (
            &[("POST /phone]", "GET /reference/a]")],
            &[
                "f:14:14: products.phone.routes[0]: is where the gateway's own pages are; give the route another path, move the pages with `pages.path`, or say pages: { serve: false }",
            ],
        ),
        (
            with!("pages: { serve: false }\nlisteners: [{ address: 127.0.0.1:81, serves: pages }]"),
            &[
                "f:6:46: listeners[0].serves: is for pages, and there are none; remove `serve: false` of `pages`, or this",
            ],
        ),
        (
            &[("detail: Send a number.", "detail: Send a number.\n    causes: []\n    meaning: \" \"")],
            &[
                "f:33:13: problems.number-missing.causes: is an empty list; write at least one sentence, or remove the key",
                "f:34:14: problems.number-missing.meaning: is empty; write words for the client",
            ],
        ),
    ];
    check_edits(GOOD, cases.iter().map(|(edits, lines)| (*edits, *lines)));
}

fn compiled(edits: &[(&str, &str)]) -> Config {
    let text = edits.iter().fold(GOOD.to_owned(), |text, (old, new)| text.replace(old, new));
    let source = Source::from(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config")));
    parse("f", &text, &source).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn routes_may_be_where_no_pages_are() {
    for edits in [
        [("POST /phone]", "POST /problems]"), (PROXIES, "pages: { serve: false }")],
        [("POST /phone]", "POST /problems]"), (PROXIES, "pages: { path: /docs }")],
        [("POST /phone]", "POST /problems]"), ("api.example.com", "api.example.com/v1")],
        [("POST /phone]", "POST /problematic]"), (PROXIES, "")],
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
        let site = &config.policy.site;
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
