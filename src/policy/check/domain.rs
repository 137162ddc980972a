//! Web domains that a token may be used from, and the host an Origin or a Referer names.
//!
//! An entry is a host, which http and https share, or a scheme and a host, which both have to be
//! equal: apps and extensions have Origins of schemes of their own.
//!
//! Hosts are compared in the form that the WHATWG URL standard gives them (the `url` crate), so a
//! list entry and a browser's Origin meet in one canonical form. Which header counts is contract
//! section 6; the answers' CORS headers are `cors.rs`.

pub mod origins;

use std::sync::Arc;

use url::{Host, Url};

use crate::policy::check::watch::Watched;
use crate::policy::http::head::{Lines, One};
use crate::policy::problem::{Problem, Row};

/// Where browsers may call from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Entries that name a scheme.
    with_scheme: Box<[SchemeEntry]>,
    /// Requests with neither Origin nor Referer pass (`absent: allow`).
    allow_absent: bool,
    /// Every Origin passes, and so does none; the list tells which of them it would refuse.
    is_watched: bool,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This host, by http or https.
    Exact(Box<str>),
    /// Any subdomain of this host, not the host itself, by http or https.
    Below(Box<str>),
    /// By this scheme alone.
    WithScheme(SchemeEntry),
}

/// An entry as in `capacitor://localhost` or `https://*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemeEntry {
    /// In lower case.
    scheme: Box<str>,
    host: Box<str>,
    /// Any subdomain of the host, not the host itself.
    below: bool,
}

/// The scheme of an Origin, in lower case.
#[derive(Clone, Copy)]
struct Scheme<'a> {
    name: &'a str,
    /// http or https: what an entry without a scheme means.
    is_web: bool,
}

impl Domains {
    /// A list of patterns; an empty one lets no domain pass.
    pub fn listed(patterns: impl IntoIterator<Item = Pattern>, allow_absent: bool) -> Domains {
        let mut exact = Vec::new();
        let mut parents = Vec::new();
        let mut with_scheme = Vec::new();
        for pattern in patterns {
            match pattern {
                Pattern::Exact(host) => exact.push(host),
                Pattern::Below(host) => parents.push(host),
                Pattern::WithScheme(entry) => with_scheme.push(entry),
            }
        }
        Domains::Listed(Arc::new(DomainList::sorted(exact, parents, with_scheme, allow_absent)))
    }

    /// The same list, of which is only watched what it would refuse.
    pub fn watched(self) -> Domains {
        match self {
            Domains::Any => Domains::Any,
            Domains::Listed(list) => {
                Domains::Listed(Arc::new(DomainList { is_watched: true, ..DomainList::clone(&list) }))
            }
        }
    }

    /// Whether what the list would refuse is only watched.
    pub fn is_watched(&self) -> bool {
        matches!(self, Domains::Listed(list) if list.is_watched)
    }

    /// The patterns of the list, and whether requests without a domain pass; `None` without a list.
    pub fn patterns(&self) -> Option<(Vec<String>, bool)> {
        let Domains::Listed(list) = self else { return None };
        let exact = list.exact.iter().map(ToString::to_string);
        let below = list.parents.iter().map(|parent| format!("*.{parent}"));
        let with_scheme = list.with_scheme.iter().map(|SchemeEntry { scheme, host, below }| {
            let wildcard = if *below { "*." } else { "" };
            format!("{scheme}://{wildcard}{host}")
        });
        Some((exact.chain(below).chain(with_scheme).collect(), list.allow_absent))
    }

    /// Lets the request pass by its Origin, else its Referer. What a list would refuse that is only watched is noted
    /// in `watched`.
    ///
    /// # Errors
    /// `domain-not-allowed`.
    pub fn allow(&self, lines: &Lines<'_>, watched: &mut Watched) -> Result<(), Problem> {
        let Domains::Listed(list) = self else { return Ok(()) };
        list.allow(lines).or_else(|refused| {
            watched.domains = list.is_watched;
            if list.is_watched { Ok(()) } else { Err(refused) }
        })
    }

    /// Whether an Origin of this value passes.
    pub fn contains_origin(&self, origin: &[u8]) -> bool {
        match self {
            Domains::Any => origin_host(origin, |_scheme, _host| true) == Some(true),
            Domains::Listed(list) if list.is_watched => Domains::Any.contains_origin(origin),
            Domains::Listed(list) => origin_host(origin, |scheme, host| list.contains(scheme, host)) == Some(true),
        }
    }
}

impl DomainList {
    #[inline(always)]
    fn allow(&self, lines: &Lines<'_>) -> Result<(), Problem> {
        let refused = |reason| Err(Problem::new(Row::DomainNotAllowed, reason));
        let allowed = match (lines.one("origin"), lines.one("referer")) {
            (One::Several, _) => return refused("several Origin lines"),
            (One::Value(origin), _) => origin_host(origin, |scheme, host| self.contains(scheme, host)),
            (One::Absent, One::Several) => return refused("several Referer lines"),
            (One::Absent, One::Value(referer)) => referer_host(referer, |scheme, host| self.contains(scheme, host)),
            (One::Absent, One::Absent) if self.allow_absent => return Ok(()),
            (One::Absent, One::Absent) => return refused("neither Origin nor Referer"),
        };
        match allowed {
            Some(true) => Ok(()),
            Some(false) => refused("the host is in none of the token's domains"),
            None => refused("the Origin or Referer names no host"),
        }
    }

    fn sorted(
        mut exact: Vec<Box<str>>,
        mut parents: Vec<Box<str>>,
        mut with_scheme: Vec<SchemeEntry>,
        allow_absent: bool,
    ) -> DomainList {
        for hosts in [&mut exact, &mut parents] {
            hosts.sort_unstable();
            hosts.dedup();
        }
        with_scheme.sort_unstable();
        with_scheme.dedup();
        DomainList {
            exact: exact.into(),
            parents: parents.into(),
            with_scheme: with_scheme.into(),
            allow_absent,
            is_watched: false,
        }
    }

    fn contains(&self, scheme: Scheme<'_>, host: &str) -> bool {
        let listed = |hosts: &[Box<str>], host: &str| hosts.binary_search_by(|entry| (**entry).cmp(host)).is_ok();
        (scheme.is_web && (listed(&self.exact, host) || parents(host).any(|parent| listed(&self.parents, parent))))
            || (!self.with_scheme.is_empty() && self.contains_with_scheme(scheme.name, host))
    }

    #[cold]
    fn contains_with_scheme(&self, scheme: &str, host: &str) -> bool {
        let listed = |host: &str, below: bool| {
            let key = |entry: &SchemeEntry| {
                (*entry.scheme).cmp(scheme).then((*entry.host).cmp(host)).then(entry.below.cmp(&below))
            };
            self.with_scheme.binary_search_by(key).is_ok()
        };
        listed(host, false) || parents(host).any(|parent| listed(parent, true))
    }
}

/// The domains that a host is a subdomain of, the nearest first.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').filter(|(dot, _)| *dot > 0).filter_map(|(dot, _)| host.get(dot + 1..))
}

impl Pattern {
    /// Parses an entry as a configuration writes it: a host, or a scheme and a host.
    ///
    /// # Errors
    /// Says what is wrong with the text and what to write instead, without repeating it.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        let Some((scheme, host)) = text.split_once("://") else {
            return Pattern::parse_host(text);
        };
        if !is_scheme(scheme.as_bytes()) {
            return Err(WANTED);
        }
        let scheme = scheme.to_ascii_lowercase();
        match &*scheme {
            "file" => Err("names a scheme whose pages have the Origin `null`, which no list can allow; remove it"),
            "http" | "https" => Ok(match Pattern::parse_host(host)? {
                Pattern::Exact(host) => Pattern::of_scheme(&scheme, host, false),
                Pattern::Below(host) => Pattern::of_scheme(&scheme, host, true),
                with_scheme @ Pattern::WithScheme(_) => with_scheme,
            }),
            _ if host.starts_with('*') => Err(
                "puts a wildcard behind a scheme other than http and https; write the host of your app, as in capacitor://localhost",
            ),
            other => {
                let host = other_host(other, host.as_bytes()).filter(|(_, port)| port.is_none());
                host.map(|(host, _)| Pattern::of_scheme(&scheme, host, false)).ok_or(WANTED)
            }
        }
    }

    fn of_scheme(scheme: &str, host: Box<str>, below: bool) -> Pattern {
        Pattern::WithScheme(SchemeEntry { scheme: scheme.into(), host, below })
    }

    fn parse_host(text: &str) -> Result<Pattern, &'static str> {
        let (host, below) = match text.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (text, false),
        };
        if host.is_empty() || host.ends_with('.') || host.contains(['*', '%', '/', '@', '?', '#', '\\']) {
            return Err(WANTED);
        }
        let host = Host::parse(host).map_err(|_| WANTED)?;
        match (&host, below) {
            (Host::Domain(domain), true) if is_suffix(domain) => Err(
                "covers names that anybody can have: the part behind *. is on the public suffix list (publicsuffix.org); write a domain of your own there, as in *.example.com, or whole hosts",
            ),
            (Host::Domain(domain), true) if has_suffixes_below(domain) => Err(
                "covers names that anybody can have: the public suffix list (publicsuffix.org) has public suffixes below the part behind *., as s3.amazonaws.com is below amazonaws.com; write a domain of your own there, as in *.example.com, or whole hosts",
            ),
            (Host::Domain(domain), true) => Ok(Pattern::Below(domain.as_str().into())),
            (Host::Ipv4(_) | Host::Ipv6(_), true) => Err("puts a wildcard before an address; write the address alone"),
            (Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_), false) => Ok(Pattern::Exact(host.to_string().into())),
        }
    }
}

/// What an entry has to be.
const WANTED: &str = "is not a host; write one as in app.example.com or *.example.com, without port or path, or an app's scheme and host as in capacitor://localhost";

/// Whether strangers can have names directly below a domain: it is a public suffix.
fn is_suffix(domain: &str) -> bool {
    psl::suffix_str(domain) == Some(domain)
}

/// Whether strangers can have names further below a domain: a rule of the public suffix list is longer than it, as
/// `s3.amazonaws.com` than `amazonaws.com`, or `*.kobe.jp` than `kobe.jp`. The list takes the labels of a name from the
/// right, and asks for one more than there are only if one of its rules has more. What a rule excepts (`!city.kobe.jp`)
/// belongs to one owner, and ends there.
fn has_suffixes_below(domain: &str) -> bool {
    let mut labels = domain.rsplit('.').map(str::as_bytes);
    let mut is_longer = false;
    let asked = std::iter::from_fn(|| {
        let label = labels.next();
        is_longer |= label.is_none();
        label
    });
    let _ = psl::Psl::find(&psl::List, asked);
    is_longer
}

/// A scheme (RFC 3986, section 3.1).
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// Judges the scheme and the host of an Origin header: these, a port and nothing else (RFC 6454,
/// section 6.1). `None` when there is no such host.
fn origin_host(origin: &[u8], judge: impl FnOnce(Scheme<'_>, &str) -> bool) -> Option<bool> {
    match web_scheme(origin) {
        Some((scheme, authority)) => host_of(authority, |host| judge(scheme, host)),
        None => judge_other(origin, judge),
    }
}

/// Judges the scheme and the host of a Referer header: the URL of a page (RFC 9110, section 10.1.3).
fn referer_host(referer: &[u8], judge: impl FnOnce(Scheme<'_>, &str) -> bool) -> Option<bool> {
    let before_path = |rest: &[u8]| rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    match web_scheme(referer) {
        Some((scheme, rest)) => host_of(rest.get(..before_path(rest))?, |host| judge(scheme, host)),
        None => {
            let authority_start = memchr::memmem::find(referer, b"://")? + 3;
            let end = authority_start + before_path(referer.get(authority_start..)?);
            judge_other(referer.get(..end)?, judge)
        }
    }
}

/// The scheme and the host that an Origin names, in canonical form, which every list judges as it does the Origin; `None`
/// if it names none.
#[cold]
pub fn origin_in_short(origin: &[u8]) -> Option<String> {
    let mut short = None;
    let note = |scheme: Scheme<'_>, host: &str| {
        short = Some(format!("{}://{host}", scheme.name));
        true
    };
    origin_host(origin, note).and(short)
}

/// The same of a Referer, without its path and query.
#[cold]
pub fn referer_in_short(referer: &[u8]) -> Option<String> {
    let mut short = None;
    let note = |scheme: Scheme<'_>, host: &str| {
        short = Some(format!("{}://{host}", scheme.name));
        true
    };
    referer_host(referer, note).and(short)
}

/// The page that a request comes from, as far as a list of domains looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameFrom<'a> {
    /// There is neither Origin nor Referer.
    Nowhere,
    /// The Origin, else the Referer, names no host, or one that is longer than hosts can be: no list lets it pass.
    Unnamed,
    /// The host that it names, as the entry of a list that lets it pass.
    Host(&'a str),
}

/// Hands over, once, the page that the Origin, else the Referer, names. Allocates nothing for pages of http and https
/// whose host is in canonical form, as browsers send it.
pub fn page(lines: &Lines<'_>, mut take: impl FnMut(CameFrom<'_>)) {
    const LONGEST_HOST: usize = 253;
    let note = |scheme: Scheme<'_>, host: &str| {
        if host.len() > LONGEST_HOST || scheme.name.len() > LONGEST_HOST {
            return false;
        }
        match scheme.is_web {
            true => take(CameFrom::Host(host)),
            false => take(CameFrom::Host(&format!("{}://{host}", scheme.name))),
        }
        true
    };
    let named = match (lines.one("origin"), lines.one("referer")) {
        (One::Value(origin), _) => origin_host(origin, note),
        (One::Absent, One::Value(referer)) => referer_host(referer, note),
        (One::Absent, One::Absent) => return take(CameFrom::Nowhere),
        (One::Several, _) | (One::Absent, One::Several) => None,
    };
    if named != Some(true) {
        take(CameFrom::Unnamed);
    }
}

/// The host that the Origin, else the Referer, names, as the entry of a list that lets it pass; `None` if there is no
/// such host, or one that is longer than hosts can be.
#[cold]
pub fn named(lines: &Lines<'_>) -> Option<String> {
    let mut entry = None;
    page(lines, |from| {
        if let CameFrom::Host(host) = from {
            entry = Some(host.to_owned());
        }
    });
    entry
}

/// `http` or `https`, and what follows `://`.
fn web_scheme(url: &[u8]) -> Option<(Scheme<'static>, &[u8])> {
    [("https", b"https://".as_slice()), ("http", b"http://")].into_iter().find_map(|(name, prefix)| {
        match url.split_at_checked(prefix.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => Some((Scheme { name, is_web: true }, rest)),
            Some(_) | None => None,
        }
    })
}

/// Judges an Origin of another scheme, such as an app's or an extension's.
#[cold]
fn judge_other(origin: &[u8], judge: impl FnOnce(Scheme<'_>, &str) -> bool) -> Option<bool> {
    let separator = memchr::memmem::find(origin, b"://")?;
    let scheme = origin.get(..separator).filter(|scheme| is_scheme(scheme))?;
    let scheme = std::str::from_utf8(scheme).ok()?.to_ascii_lowercase();
    let (host, _port) = other_host(&scheme, origin.get(separator + 3..)?)?;
    Some(judge(Scheme { name: &scheme, is_web: false }, &host))
}

/// The host, in lower case, and the port of an authority in a URL of some scheme. That of a scheme
/// which the URL standard does not know is opaque: it is compared as it stands.
fn other_host(scheme: &str, authority: &[u8]) -> Option<(Box<str>, Option<u16>)> {
    if !authority.iter().all(is_plain_byte) || scheme == "file" {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{}", std::str::from_utf8(authority).ok()?)).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty() && !host.ends_with('.') && !host.contains('*'))?;
    Some((host.to_ascii_lowercase().into(), url.port()))
}

/// The bytes that the URL standard would quietly drop, decode or turn into another byte, or that
/// would end the authority, never stand in one that a browser sends.
fn is_plain_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"\\@%/?#".contains(byte)
}

/// Judges the host of an authority.
fn host_of(authority: &[u8], judge: impl FnOnce(&str) -> bool) -> Option<bool> {
    if let Some(host) = canonical_already(authority) {
        return Some(judge(host));
    }
    if !authority.iter().all(is_plain_byte) {
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
#[path = "domain_tests.rs"]
mod tests;
