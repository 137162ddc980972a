//! Entries of domain lists, and Origins against them: by the `url` crate and a naive comparison.

use tollgate::policy::check::domain::{Domains, Pattern};
use url::Url;

use crate::memory;

/// An input: an entry, a line end, and an Origin.
pub fn run(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (entry, origin) = (&data[..at], &data[at + 1..]);
    let Ok(entry) = std::str::from_utf8(entry) else { return };
    let Ok(pattern) = Pattern::parse(entry) else { return };
    let list = Domains::listed([pattern.clone()], false);
    let (written, _) = list.patterns().unwrap();
    let [written] = written.as_slice() else { panic!("one entry is one entry") };
    assert_eq!(Pattern::parse(written), Ok(pattern), "{written} is not {entry}");
    let (scheme, host) =
        written.split_once("://").map_or((None, written.as_str()), |(scheme, host)| (Some(scheme), host));
    if let Some(parent) = host.strip_prefix("*.") {
        assert_ne!(psl::suffix_str(parent), Some(parent), "{parent} is a public suffix");
        let child = format!("any--name.{parent}");
        assert_ne!(psl::suffix_str(&child), Some(child.as_str()), "names below {parent} are public suffixes");
    }
    let allowed = memory::within(8 * 1024 + 64 * data.len(), "an Origin", || list.contains_origin(origin));
    let expected = std::str::from_utf8(origin).ok().and_then(|origin| named(origin, scheme, host));
    match expected {
        Some(Named::Surely(is_listed)) => assert_eq!(allowed, is_listed),
        Some(Named::Perhaps(is_listed)) => assert!(!allowed || is_listed),
        None => assert!(!allowed, "no Origin that the URL standard has a host for"),
    }
}

/// Whether an Origin is on the list.
enum Named {
    /// A browser writes Origins like this one.
    Surely(bool),
    /// It does not, so that it may be refused for its form.
    Perhaps(bool),
}

fn named(origin: &str, scheme: Option<&str>, entry: &str) -> Option<Named> {
    let url = Url::parse(origin).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let is_host = match entry.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => host == entry,
    };
    let is_scheme = match scheme {
        Some(scheme) => url.scheme() == scheme,
        None => ["http", "https"].contains(&url.scheme()),
    };
    let is_browsers = ["http", "https"].contains(&url.scheme()) && url.origin().ascii_serialization() == origin;
    Some(if is_browsers { Named::Surely(is_host && is_scheme) } else { Named::Perhaps(is_host && is_scheme) })
}
