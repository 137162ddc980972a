//! Addresses, networks, hosts, domains and links.

use std::net::SocketAddr;

use schemars::Schema;

use super::text::{FromText, matching};
use crate::policy::check::domain::Pattern;
use crate::policy::check::network::parse_network;
use crate::upstream::settings::Address;

impl FromText for SocketAddr {
    fn from_text(text: &str) -> Result<SocketAddr, &'static str> {
        text.parse()
            .map_err(|_| "is not an address and a port; write one as in 127.0.0.1:8080 or [::1]:8080, not a name")
    }

    fn schema() -> Schema {
        matching(r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$")
    }
}

impl FromText for Address {
    fn from_text(text: &str) -> Result<Address, &'static str> {
        Address::parse(text).ok_or(
            "is not an address or a name with a port; write one as in 127.0.0.1:9001, [::1]:9001 or lookup-1.internal:9001",
        )
    }

    fn schema() -> Schema {
        matching(r"^(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")
    }
}

impl FromText for ipnet::IpNet {
    fn from_text(text: &str) -> Result<ipnet::IpNet, &'static str> {
        parse_network(text)
    }

    fn schema() -> Schema {
        matching(r"^([0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?$")
    }
}

impl FromText for Pattern {
    fn from_text(text: &str) -> Result<Pattern, &'static str> {
        Pattern::parse(text)
    }

    fn schema() -> Schema {
        matching(r"^([A-Za-z][A-Za-z0-9+.-]*://)?((\*\.)?[^\s*%/@?#\\:\[\]]*[^\s*%/@?#\\:\[\].]|\[[0-9A-Fa-f:.]+\])$")
    }
}

/// A host without a port: a name, or an address without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub Box<str>);

impl FromText for HostName {
    fn from_text(text: &str) -> Result<HostName, &'static str> {
        const WANTED: &str = "is not a host; write a name without a port, as in tollgate.internal, or an address";
        let is_address = text.parse::<std::net::IpAddr>().is_ok();
        let is_name = !text.contains(':') && crate::policy::http::head::is_authority(text.as_bytes());
        if is_address || is_name { Ok(HostName(text.to_ascii_lowercase().into())) } else { Err(WANTED) }
    }

    fn schema() -> Schema {
        matching(r"^[0-9A-Za-z._:-]+$")
    }
}

/// `https://api.example.com`: the base URL of links to problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(pub Box<str>);

impl FromText for PublicUrl {
    fn from_text(text: &str) -> Result<PublicUrl, &'static str> {
        const WANTED: &str = "is not a public URL; write scheme and host, as in https://api.example.com";
        let url = url::Url::parse(text).map_err(|_| WANTED)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(WANTED);
        }
        Ok(PublicUrl(url.as_str().trim_end_matches('/').into()))
    }

    fn schema() -> Schema {
        matching(r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s?#@]+$")
    }
}

/// A link to an external web page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebLink(pub Box<str>);

impl FromText for WebLink {
    fn from_text(text: &str) -> Result<WebLink, &'static str> {
        const WANTED: &str = "is not a link; write a full URL, as in https://portal.example.com/tokens";
        let url = url::Url::parse(text).map_err(|_| WANTED)?;
        let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if !plain || text.contains(char::is_whitespace) {
            return Err(WANTED);
        }
        Ok(WebLink(url.as_str().into()))
    }

    fn schema() -> Schema {
        matching(r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@]+([/?#]\S*)?$")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_whole_url() {
        for (text, url) in [
            ("https://portal.example.com", Some("https://portal.example.com/")),
            ("https://portal.example.com/#/tokens", Some("https://portal.example.com/#/tokens")),
            ("http://a/b?c=d", Some("http://a/b?c=d")),
            ("https://a/\"<>", Some("https://a/%22%3C%3E")),
            ("javascript:alert(1)", None),
            ("mailto:a@example.com", None),
            ("https://u@a", None),
            ("https://a/b c", None),
            ("portal.example.com", None),
            ("", None),
        ] {
            assert_eq!(WebLink::from_text(text).ok().as_ref().map(|url| &*url.0), url, "{text}");
        }
    }

    #[test]
    fn a_public_url_has_no_slash_at_its_end() {
        for (text, url) in [
            ("https://api.example.com", Some("https://api.example.com")),
            ("https://api.example.com/v1/", Some("https://api.example.com/v1")),
            ("ftp://a", None),
            ("https://u@a", None),
            ("https://a?b", None),
            ("api.example.com", None),
        ] {
            assert_eq!(PublicUrl::from_text(text).ok().as_ref().map(|url| &*url.0), url, "{text}");
        }
    }
}
