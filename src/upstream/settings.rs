//! The settings of an upstream: its servers, when they count as failing, and the headers that are
//! added to requests.
//!
//! The state of running servers is in `servers.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::platform::tls::client::ClientTls;

/// A backend that uses HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Box<str>,
    pub servers: Box<[Server]>,
    /// How often the names among the servers are looked up.
    pub resolve_every: Duration,
    /// The `Host` that the backend sees.
    pub host: Box<str>,
    /// `None`: no TLS.
    pub tls: Option<Arc<ClientTls>>,
    pub connect_timeout: Duration,
    /// How long an idle connection is kept for the next request.
    pub idle_timeout: Duration,
    /// A request that is abandoned after this time counts as a failure of its server.
    pub slow_after: Duration,
    /// Headers that are added to every request.
    pub added: AddedHeaders,
    /// `None`: no health checks.
    pub health: Option<HealthRule>,
    pub ejection: EjectionRule,
    pub breaker: BreakerRule,
    /// `None`: any number of requests may be in flight, and none waits.
    pub concurrency_limit: Option<ConcurrencyLimit>,
}

/// How many requests an upstream may have in flight at a time, and how many wait for one of these places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencyLimit {
    /// The least that the limit can become; if it is as large as `max`, the limit is fixed.
    pub min: u32,
    pub max: u32,
    /// The limit before anything was measured, from `min` to `max`.
    pub initial: u32,
    /// How much longer than without load requests may take, in percent.
    pub tolerance_percent: u32,
    /// The most requests that wait at a time, of all accounts together.
    pub max_queue: u32,
    /// The longest time that one of them waits.
    pub max_wait: Duration,
}

/// The most servers of one upstream; each address of a name counts.
pub const MAX_SERVERS: usize = 128;

/// One server, or a name that resolves to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: Address,
    /// Its share of the requests, compared with the other servers' weights.
    pub weight: u32,
    /// The most requests that it may have at a time; `None` for no limit.
    pub max_requests: Option<u32>,
}

impl Server {
    /// A server with default settings.
    pub fn at(address: Address) -> Server {
        Server { address, weight: 1, max_requests: None }
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Socket(SocketAddr),
    /// A DNS name, which is looked up at intervals.
    Name {
        host: Box<str>,
        port: u16,
    },
}

impl Address {
    /// Parses `address:port` or `name:port`; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Address> {
        if let Ok(address) = text.parse() {
            return Some(Address::Socket(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
        is_name(host).then(|| Address::Name { host: host.into(), port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Address::Socket(address) => address.port(),
            Address::Name { port, .. } => *port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(address) => write!(formatter, "{address}"),
            Address::Name { host, port } => write!(formatter, "{host}:{port}"),
        }
    }
}

/// Whether a text can be a DNS name (RFC 1123, section 2.1, with the underscores that container
/// networks have in theirs). A last label of digits alone is a mistyped address.
fn is_name(text: &str) -> bool {
    const MAX_NAME_BYTES: usize = 253;
    const MAX_LABEL_BYTES: usize = 63;
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

/// The rule for health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRule {
    pub probe: Probe,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failed checks in a row after which a server gets no requests.
    pub failures: u32,
    /// Passed checks in a row after which it gets requests again.
    pub successes: u32,
}

/// What a check requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// That a connection can be made.
    Connect,
    /// That a GET of the path is answered with the status.
    Get { path: Box<str>, status: u16 },
}

/// When a server is ejected for a while because its requests have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionRule {
    /// Failures in a row; 0 for never.
    pub failures: u32,
    pub time: Duration,
}

/// When the breaker of an upstream opens because its requests have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRule {
    /// Failures in a row that open it; 0 for no such rule.
    pub failures: u32,
    /// The percentage of failures within `window` that opens it; 0 for no such rule.
    pub error_percent: u32,
    pub window: Duration,
    /// The fewest requests within `window` for which the percentage counts.
    pub min_requests: u32,
    /// How long requests are refused, before one may try.
    pub open_for: Duration,
}

impl BreakerRule {
    /// The rule of an upstream without a breaker.
    pub const NEVER: BreakerRule = BreakerRule {
        failures: 0,
        error_percent: 0,
        window: Duration::from_secs(1),
        min_requests: 0,
        open_for: Duration::ZERO,
    };
}

/// Headers that are added to every request to an upstream. Their values can be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AddedHeaders {
    names: Box<[Box<str>]>,
    /// The lines as HTTP/1 writes them.
    lines: Box<[u8]>,
}

impl AddedHeaders {
    /// Headers by name and value.
    pub fn new(headers: &[(Box<str>, Box<str>)]) -> AddedHeaders {
        let lines = headers.iter().flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()).collect();
        AddedHeaders { names: headers.iter().map(|(name, _)| name.clone()).collect(), lines }
    }

    /// Whether one of the headers has this name; the client's own header of that name is not
    /// forwarded then.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The lines as HTTP/1 writes them.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

impl fmt::Debug for AddedHeaders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.names.iter().map(|name| (name, "***"))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_ip_or_a_name_and_a_port() {
        for (text, name) in [
            ("127.0.0.1:9001", Some(None)),
            ("[::1]:9001", Some(None)),
            ("lookup-1.internal:9001", Some(Some("lookup-1.internal"))),
            ("lookup.internal.:80", Some(Some("lookup.internal."))),
            ("LOOKUP_api:80", Some(Some("LOOKUP_api"))),
            ("localhost:9001", Some(Some("localhost"))),
            ("9.example:1", Some(Some("9.example"))),
            ("lookup.internal", None),
            ("lookup.internal:", None),
            ("lookup.internal:http", None),
            ("lookup.internal:+80", None),
            ("lookup.internal:65536", None),
            ("http://lookup:80", None),
            ("lookup:80/path", None),
            ("user@lookup:80", None),
            ("127.0.0.1.5:80", None),
            ("300.1.1.1:80", None),
            ("::1:80", None),
            (":80", None),
            ("a..b:80", None),
            ("-a:80", None),
            ("a-:80", None),
            ("a b:80", None),
            ("bücher:80", None),
        ] {
            let read = Address::parse(text).map(|address| {
                assert_eq!(address.to_string(), text);
                match address {
                    Address::Socket(_) => None,
                    Address::Name { host, .. } => Some(host),
                }
            });
            assert_eq!(read.as_ref().map(|host| host.as_deref()), name, "{text}");
        }
        let longest = "a.".repeat(126) + "a";
        assert!(Address::parse(&format!("{longest}:1")).is_some());
        assert!(Address::parse(&format!("{longest}a:1")).is_none());
        assert!(Address::parse(&format!("{}:1", "a".repeat(64))).is_none());
    }

    #[test]
    fn values_of_added_headers_are_not_shown() {
        let headers = AddedHeaders::new(&[("X-Key".into(), "s3cret".into()), ("X-B".into(), "c".into())]);
        assert_eq!(headers.lines(), b"X-Key: s3cret\r\nX-B: c\r\n");
        assert!(headers.has("x-key") && !headers.has("x"));
        assert_eq!(format!("{headers:?}"), r#"{"X-Key": "***", "X-B": "***"}"#);
    }
}
