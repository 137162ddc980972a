//! Forms: what browsers send, within limits, and from the portal's own pages alone.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use http_body_util::{BodyExt, Limited};
use pingora_timeout::timeout;

/// Bytes of a form: a list of 10,000 entries with short notes.
pub const MOST_BYTES: usize = 2 * 1024 * 1024;

/// How long the bytes of a form may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// Names and values of a form or a query, in their order.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<(String, String)>);

impl Values {
    /// Reads `application/x-www-form-urlencoded` (WHATWG URL standard).
    pub fn read(text: &[u8]) -> Values {
        let pairs = url::form_urlencoded::parse(text);
        Values(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A value without spaces around it; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A value as it was sent; empty where there is none.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// A value that is not empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The version that a form was made from, as `If-Match` has it.
    pub fn version(&self) -> String {
        format!("\"{}\"", self.text("version"))
    }

    /// All values of a name, as of check boxes.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a box is ticked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// Why a form is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It comes from another site, or from a page that is too old.
    NotOurs,
    TooLarge,
    /// It is no form, broke off, or took too long.
    Broken,
}

/// Reads the form of a request.
///
/// # Errors
/// Why it is not taken.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Values, Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refused::Broken);
    }
    let collected = timeout(TIMEOUT, Limited::new(body, MOST_BYTES).collect()).await.map_err(|_| Refused::Broken)?;
    match collected {
        Ok(collected) => Ok(Values::read(&collected.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refused::TooLarge),
        Err(_) => Err(Refused::Broken),
    }
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a form was sent by a page of the portal, as far as the browser says (Fetch Metadata; RFC 6454): a browser that
/// says nothing has to show the session's own word as well, which every form is checked for.
pub fn is_of_this_site(headers: &HeaderMap, public_url: &str) -> bool {
    let of = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = of(&FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
    site && of(&ORIGIN).is_none_or(|origin| is_origin(origin, public_url))
}

/// Whether an origin is that of a URL. On this machine `localhost` is as good as its addresses.
fn is_origin(origin: &str, public_url: &str) -> bool {
    let parts = |text: &str| {
        let url = url::Url::parse(text).ok()?;
        let host = url.host_str()?.to_owned();
        let is_local = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let host = if is_local { "localhost".to_owned() } else { host };
        Some((url.scheme().to_owned(), host, url.port_or_known_default()))
    };
    origin != "null" && parts(origin).is_some_and(|own| parts(public_url) == Some(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_not_ours() {
        for (site, origin, ours) in [
            (None, None, true),
            (Some("same-origin"), Some("https://portal.example.com"), true),
            (Some("none"), None, true),
            (None, Some("https://portal.example.com:443"), true),
            (Some("cross-site"), Some("https://evil.example"), false),
            (Some("same-site"), Some("https://portal.example.com"), false),
            (None, Some("https://evil.example"), false),
            (None, Some("null"), false),
            (None, Some("http://portal.example.com"), false),
            (None, Some("https://portal.example.com:444"), false),
            (None, Some("https://portal.example.com.evil.example"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert(FETCH_SITE, site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_of_this_site(&headers, "https://portal.example.com"), ours, "{site:?} {origin:?}");
        }
        assert!(is_origin("http://localhost:9092", "http://127.0.0.1:9092"));
        assert!(!is_origin("http://localhost:9093", "http://127.0.0.1:9092"));
    }

    #[test]
    fn values_are_those_of_the_form() {
        let values = Values::read(b"name=+web+&product=a&product=b&empty=&text=a%0D%0Ab");
        assert_eq!((values.text("name"), values.raw("name")), ("web", " web "));
        assert_eq!(values.all("product"), ["a", "b"]);
        assert_eq!((values.given("empty"), values.given("none"), values.has("empty")), (None, None, true));
        assert_eq!(values.raw("text"), "a\r\nb");
    }
}
