//! Web domains that a token may be used from, and the host an Origin or a Referer names.
//!
//! Hosts are compared in the form that the WHATWG URL standard gives them (the `url` crate), so a
//! list entry and a browser's Origin meet in one canonical form. Which header counts is contract
//! section 6; the answers' CORS headers are `cors.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use url::{Host, Url};

use crate::policy::http::head::{Lines, One};
use crate::policy::problem::{Problem, Row};

/// Where browsers may call from.
#[derive(Clone, Debug, Default)]
pub enum Domains {
    /// No list was given: every Origin passes, and so does none.
    #[default]
    Any,
    /// Tokens with the same list share it.
    Listed(Arc<DomainList>),
}

/// Exact hosts and wildcards, sorted for binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DomainList {
    exact: Box<[Box<str>]>,
    /// The part of `*.example.com` behind the dot.
    parents: Box<[Box<str>]>,
    /// Requests with neither Origin nor Referer pass (`absent: allow`).
    allow_absent: bool,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Exact(Box<str>),
    /// Any subdomain of this host, not the host itself.
    Below(Box<str>),
}

impl Domains {
    /// A list of patterns; an empty one lets no domain pass.
    pub fn listed(patterns: impl IntoIterator<Item = Pattern>, allow_absent: bool) -> Domains {
        let mut exact = Vec::new();
        let mut parents = Vec::new();
        for pattern in patterns {
            match pattern {
                Pattern::Exact(host) => exact.push(host),
                Pattern::Below(host) => parents.push(host),
            }
        }
        exact.sort_unstable();
        parents.sort_unstable();
        Domains::Listed(Arc::new(DomainList { exact: exact.into(), parents: parents.into(), allow_absent }))
    }

    /// The patterns of the list, and whether requests without a domain pass; `None` without a list.
    pub fn patterns(&self) -> Option<(Vec<String>, bool)> {
        let Domains::Listed(list) = self else { return None };
        let exact = list.exact.iter().map(ToString::to_string);
        let below = list.parents.iter().map(|parent| format!("*.{parent}"));
        Some((exact.chain(below).collect(), list.allow_absent))
    }

    /// What any of these lists lets pass: everything, if one of them is no list.
    pub fn any_of<'d>(lists: impl Iterator<Item = &'d Domains>) -> Domains {
        let mut exact = Vec::new();
        let mut parents = Vec::new();
        // Millions of tokens may share a few lists.
        let mut seen = HashSet::new();
        for domains in lists {
            match domains {
                Domains::Any => return Domains::Any,
                Domains::Listed(list) if !seen.insert(Arc::as_ptr(list)) => {}
                Domains::Listed(list) => {
                    exact.extend_from_slice(&list.exact);
                    parents.extend_from_slice(&list.parents);
                }
            }
        }
        for hosts in [&mut exact, &mut parents] {
            hosts.sort_unstable();
            hosts.dedup();
        }
        Domains::Listed(Arc::new(DomainList { exact: exact.into(), parents: parents.into(), allow_absent: false }))
    }

    /// Lets the request pass by its Origin, else its Referer.
    ///
    /// # Errors
    /// `domain-not-allowed`.
    pub fn allow(&self, lines: &Lines<'_>) -> Result<(), Problem> {
        let Domains::Listed(list) = self else { return Ok(()) };
        let refused = |reason| Err(Problem::new(Row::DomainNotAllowed, reason));
        let allowed = match (lines.one("origin"), lines.one("referer")) {
            (One::Several, _) => return refused("several Origin lines"),
            (One::Value(origin), _) => origin_host(origin, |host| list.contains(host)),
            (One::Absent, One::Several) => return refused("several Referer lines"),
            (One::Absent, One::Value(referer)) => referer_host(referer, |host| list.contains(host)),
            (One::Absent, One::Absent) if list.allow_absent => return Ok(()),
            (One::Absent, One::Absent) => return refused("neither Origin nor Referer"),
        };
        match allowed {
            Some(true) => Ok(()),
            Some(false) => refused("the host is in none of the token's domains"),
            None => refused("the Origin or Referer names no host"),
        }
    }

    /// Whether an Origin of this value passes.
    pub fn contains_origin(&self, origin: &[u8]) -> bool {
        match self {
            Domains::Any => origin_host(origin, |_host| true) == Some(true),
            Domains::Listed(list) => origin_host(origin, |host| list.contains(host)) == Some(true),
        }
    }
}

impl DomainList {
    fn contains(&self, host: &str) -> bool {
        let listed = |hosts: &[Box<str>], host: &str| hosts.binary_search_by(|entry| (**entry).cmp(host)).is_ok();
        listed(&self.exact, host)
            || host
                .match_indices('.')
                .any(|(dot, _)| dot > 0 && host.get(dot + 1..).is_some_and(|parent| listed(&self.parents, parent)))
    }
}

impl Pattern {
    /// Parses an entry as a configuration writes it.
    ///
    /// # Errors
    /// Says what is wrong with the text and what to write instead, without repeating it.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        const WANTED: &str =
            "is not a host; write one as in app.example.com or *.example.com, without scheme, port or path";
        let (host, below) = match text.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (text, false),
        };
        if host.is_empty() || host.ends_with('.') || host.contains(['*', '%', '/', '@', '?', '#', '\\']) {
            return Err(WANTED);
        }
        let host = Host::parse(host).map_err(|_| WANTED)?;
        match (&host, below) {
            (Host::Domain(domain), true) if psl::suffix_str(domain) == Some(domain.as_str()) => Err(
                "covers a whole public suffix, which strangers share; write a registered domain, as in *.example.com",
            ),
            (Host::Domain(domain), true) => Ok(Pattern::Below(domain.as_str().into())),
            (Host::Ipv4(_) | Host::Ipv6(_), true) => Err("puts a wildcard before an address; write the address alone"),
            (Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_), false) => Ok(Pattern::Exact(host.to_string().into())),
        }
    }
}

/// Judges the host of an Origin header: scheme, host and port and nothing else (RFC 6454,
/// section 6.1). `None` when there is no such host.
fn origin_host(origin: &[u8], judge: impl FnOnce(&str) -> bool) -> Option<bool> {
    host_of(without_scheme(origin)?, judge)
}

/// Judges the host of a Referer header: the URL of a page (RFC 9110, section 10.1.3).
fn referer_host(referer: &[u8], judge: impl FnOnce(&str) -> bool) -> Option<bool> {
    let rest = without_scheme(referer)?;
    let authority = rest.split(|byte| b"/?#".contains(byte)).next()?;
    host_of(authority, judge)
}

/// What follows `http://` or `https://`.
fn without_scheme(url: &[u8]) -> Option<&[u8]> {
    [b"https://".as_slice(), b"http://"].into_iter().find_map(|scheme| match url.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => Some(rest),
        Some(_) | None => None,
    })
}

/// Judges the host of an authority.
fn host_of(authority: &[u8], judge: impl FnOnce(&str) -> bool) -> Option<bool> {
    if let Some(host) = canonical_already(authority) {
        return Some(judge(host));
    }
    // The bytes that the URL standard would quietly drop, decode or turn into another byte, or that
    // would end the authority, never stand in one that a browser sends.
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\\@%/?#".contains(byte);
    if !authority.iter().all(plain) {
        return None;
    }
    let url = Url::parse(&format!("http://{}/", std::str::from_utf8(authority).ok()?)).ok()?;
    url.host_str().map(judge)
}

/// The host of an authority that is in canonical form as it stands, which is what browsers send:
/// lower-case letters, digits, hyphens and dots, and a port. Saves the allocation of a URL.
fn canonical_already(authority: &[u8]) -> Option<&str> {
    let mut label_start = 0;
    let mut host_end = authority.len();
    for (at, byte) in authority.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            b'.' => {
                is_plain_label(authority.get(label_start..at)?).then_some(())?;
                label_start = at + 1;
            }
            b':' => {
                let port = authority.get(at + 1..)?;
                let fits = matches!(port.len(), 1..=4) && port.iter().all(u8::is_ascii_digit);
                fits.then_some(())?;
                host_end = at;
                break;
            }
            _ => return None,
        }
    }
    // A last label that begins with a digit may be the end of an IPv4 address in one of its forms.
    let last = authority.get(label_start..host_end)?;
    let ends_in_name = last.first().is_some_and(u8::is_ascii_lowercase) && is_plain_label(last);
    ends_in_name.then_some(())?;
    std::str::from_utf8(authority.get(..host_end)?).ok()
}

/// A label that IDNA leaves as it is.
fn is_plain_label(label: &[u8]) -> bool {
    !label.is_empty() && !label.starts_with(b"xn--")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(patterns: &[&str], allow_absent: bool) -> Domains {
        Domains::listed(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()), allow_absent)
    }

    fn judged(domains: &Domains, fields: &[(&'static str, &'static [u8])]) -> bool {
        let fields: Vec<_> = fields.iter().map(|(name, value)| httparse::Header { name, value }).collect();
        domains.allow(&Lines { fields: &fields, ..Lines::UNREADABLE }).is_ok()
    }

    #[test]
    fn hosts_are_compared_whole_and_canonical() {
        let domains = list(
            &["app.example.com", "*.shop.example.com", "münchen.example", "localhost", "127.0.0.1", "[::1]"],
            false,
        );
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
            "*.co.uk",
            "*.com",
            "*.github.io",
            "*",
            "*.",
            "a.*.example.com",
            "https://example.com",
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
}
