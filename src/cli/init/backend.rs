//! The URL of a backend as somebody types it, and what a configuration says of it.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use crate::policy::http::head::check_path;
use crate::upstream::settings::Address;

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// As it is shown: scheme, host and path.
    pub url: String,
    /// Its address with a port, as `servers` has it.
    pub server: String,
    /// What it wants as Host, if that is not `server`.
    pub host: Option<String>,
    pub has_tls: bool,
    /// The path that stands before every route, without a slash at its end.
    pub prefix: String,
}

impl Backend {
    /// Reads a URL; without a scheme it is http.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse(text: &str) -> Result<Backend, String> {
        const WANTED: &str =
            "is not the URL of a backend; write one as in http://127.0.0.1:9001 or https://lookup.example.com/api";
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&with_scheme).map_err(|_| WANTED.to_owned())?;
        let has_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err("has a scheme that is not HTTP; write http:// or https://".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password, which would be readable in a file; leave them out, and put the \
                        backend's own credentials into add_headers"
                .to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a query or a fragment; write scheme, host, port and perhaps a path alone".to_owned());
        }
        let (host, port) = (url.host().ok_or(WANTED)?, url.port_or_known_default().ok_or(WANTED)?);
        let server = format!("{host}:{port}");
        if Address::parse(&server).is_none_or(|address| address.port() == 0) {
            return Err(
                "has a host or a port that nothing can listen on; write one as in http://lookup-1.internal:9001"
                    .to_owned(),
            );
        }
        let prefix = url.path().trim_end_matches('/').to_owned();
        let is_plain = || prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"*{}".contains(&byte));
        let is_path = prefix.is_empty() || (is_plain() && check_path(&prefix).is_ok());
        if !is_path {
            return Err("has a path that no request can have; leave out dot segments, empty segments and ;".to_owned());
        }
        Ok(Backend {
            url: url.as_str().trim_end_matches('/').to_owned(),
            host: url.port().is_none().then(|| host.to_string()),
            server,
            has_tls,
            prefix,
        })
    }

    /// Whether it is on this machine at this port, so that the gateway cannot have that.
    pub fn takes(&self, address: SocketAddr) -> bool {
        let Ok(url) = Url::parse(&self.url) else { return false };
        let is_here = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_unspecified() || IpAddr::V4(ip) == address.ip(),
            Some(Host::Ipv6(ip)) => ip.is_unspecified() || IpAddr::V6(ip) == address.ip(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        is_here && url.port_or_known_default() == Some(address.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_server_perhaps_a_host_tls_and_a_prefix() {
        for (text, server, host, has_tls, prefix) in [
            ("http://127.0.0.1:9001", "127.0.0.1:9001", None, false, ""),
            ("127.0.0.1:9001/", "127.0.0.1:9001", None, false, ""),
            ("localhost:9001", "localhost:9001", None, false, ""),
            ("http://lookup.internal", "lookup.internal:80", Some("lookup.internal"), false, ""),
            ("https://API.example.com/v2/", "api.example.com:443", Some("api.example.com"), true, "/v2"),
            ("https://api.example.com:8443/a/b", "api.example.com:8443", None, true, "/a/b"),
            ("http://[::1]:9001", "[::1]:9001", None, false, ""),
            ("https://bücher.example", "xn--bcher-kva.example:443", Some("xn--bcher-kva.example"), true, ""),
        ] {
            let backend = Backend::parse(text).unwrap();
            let seen = (&*backend.server, backend.host.as_deref(), backend.has_tls, &*backend.prefix);
            assert_eq!(seen, (server, host, has_tls, prefix), "{text}");
        }
        for (text, what) in [
            ("", "is not the URL"),
            ("ftp://127.0.0.1", "not HTTP"),
            ("http://", "is not the URL"),
            ("http://me:secret@127.0.0.1", "a user or a password"),
            ("http://127.0.0.1:9001/?key=x", "a query"),
            ("http://127.0.0.1:0", "a port"),
            ("http://127.0.0.1:99999", "is not the URL"),
            ("http://127.0.0.1/a//b", "path"),
        ] {
            let why = Backend::parse(text).unwrap_err();
            assert!(why.contains(what), "{text}: {why}");
        }
    }

    #[test]
    fn its_own_port_is_not_the_gateways() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        for (text, takes) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080/x", true),
            ("http://0.0.0.0:8080", true),
            ("http://127.0.0.1:9001", false),
            ("http://10.0.0.1:8080", false),
            ("http://lookup.internal:8080", false),
        ] {
            assert_eq!(Backend::parse(text).unwrap().takes(address), takes, "{text}");
        }
    }
}
