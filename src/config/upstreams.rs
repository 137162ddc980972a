//! `upstreams`: servers, connections and added headers, their keys and compilers.
//!
//! The handling of failing servers is in `failures.rs`.

use serde_json::{Value, json};

use super::bounds::{MAX_REQUESTS, MAX_WEIGHT};
use super::common::{check_name, listed, number, time};
use super::concurrency_limit;
use super::failures;
use super::fill::{duration, fill, hide};
use super::listeners::Compiled;
use super::source::Source;
use super::tls::client_tls;
use super::units::{FromText, HeaderName, Parsed};
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written, invisible};
use crate::upstream::settings::Upstream;
use crate::upstream::settings::{AddedHeaders, Address, MAX_SERVERS, Server};

/// The most headers that can be added to each request, and the most bytes of a value.
const MAX_ADDED_HEADERS: usize = 32;
const MAX_VALUE_BYTES: usize = 8192;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::concurrency_limit::written::ConcurrencyLimit;
    use crate::config::failures::written::{Breaker, Ejection, HealthCheck};
    use crate::config::tls::written::UpstreamTls;
    use crate::config::units::{FromText, Parsed, Text};
    use crate::config::yaml::{Entries, Listed, Place, TEXT_OR_KEYS, Written};
    use crate::upstream::settings::Address;

    /// A backend.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["servers"]))]
    pub struct Upstream {
        /// Servers: an address or a name with a port each, or a mapping. Requests take turns.
        #[schemars(length(min = 1))]
        pub servers: Written<Listed<AnyServer>>,
        /// How often names are looked up, in the background. Default: 30s.
        pub resolve_every: Text<Duration>,
        /// The Host header that the backend sees. Default: the first server.
        pub host: Written<String>,
        /// Use TLS to the servers, also for health checks; they are always verified. Default: none.
        pub tls: Written<UpstreamTls>,
        /// The time limit for connecting to a server. Default: 1s.
        pub connect_timeout: Text<Duration>,
        /// How long an idle connection is kept; it should be shorter than the backend's own time-out. Default: 60s.
        pub idle_timeout: Text<Duration>,
        /// A request that is abandoned after this time counts as a failure of its server. Default: 5s.
        pub slow_after: Text<Duration>,
        /// Headers that are added to every request and health check, and replace a client's own. In their values,
        /// ${env:NAME} is an environment variable and ${file:PATH} the text of a file. Default: none.
        pub add_headers: Entries<String>,
        /// Servers whose checks fail get no requests. Default: no checks.
        pub health_check: Written<HealthCheck>,
        /// A server with this many failures in a row gets no requests for a time. Default: { failures: 5, time: 10s }.
        pub ejection: Written<Ejection>,
        /// An upstream that fails too often gets no requests for a time. Default: off.
        pub breaker: Written<Breaker>,
        /// How many requests it gets at a time; others wait, and accounts take turns by their weights. Default: off.
        pub concurrency_limit: Written<ConcurrencyLimit>,
    }

    /// A server as a mapping.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["address"]))]
    pub struct Server {
        /// An address or a name, with its port. Each address of a name is a separate server.
        pub address: Text<Address>,
        /// Its share of the turns. Default: 1.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_WEIGHT))]
        pub weight: Written<u32>,
        /// The most requests that it gets at a time. Default: no limit.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_REQUESTS))]
        pub max_requests: Written<u32>,
    }

    /// A server: its address alone, or a mapping.
    #[derive(Debug, Default)]
    pub struct AnyServer(pub Server);

    impl<'de> Deserialize<'de> for AnyServer {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct ServerVisitor;
            impl<'de> serde::de::Visitor<'de> for ServerVisitor {
                type Value = AnyServer;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("an address, or a mapping")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AnyServer, E> {
                    let address = Address::from_text(text).map_err(E::custom)?;
                    let address = Written::Here(Parsed(address), Place::default());
                    Ok(AnyServer(Server { address, ..Server::default() }))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<AnyServer, A::Error> {
                    Server::deserialize(serde::de::value::MapAccessDeserializer::new(access)).map(AnyServer)
                }
            }
            deserializer.deserialize_struct(TEXT_OR_KEYS, &["address", "weight", "max_requests"], ServerVisitor)
        }
    }
}

/// Compiles all upstreams.
pub fn all(
    upstreams: Entries<written::Upstream>,
    own: &Compiled,
    root: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Box<[Upstream]> {
    let place = root.key("upstreams");
    if upstreams.0.is_empty() && !mistakes.touch(&place) {
        mistakes.push(place, "is missing; write at least one, as in lookup: { servers: [127.0.0.1:9001] }");
    }
    upstreams.0.into_iter().map(|entry| compile(entry, own, source, mistakes)).collect()
}

/// Compiles an upstream. One with mistakes is returned as well, so that products that name it are not reported.
fn compile(
    (name, place, upstream): (String, Place, written::Upstream),
    own: &Compiled,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Upstream {
    check_name(&name, &place, mistakes);
    let servers = servers(upstream.servers, &place, own, mistakes);
    let host_place = upstream.host.place().cloned();
    let first = || servers.first().map(|server| server.address.to_string());
    let host = upstream.host.take().or_else(first).unwrap_or_default();
    if let Some(place) = host_place
        && !crate::policy::http::head::is_authority(host.as_bytes())
    {
        mistakes.push(place, "is not a host; write one as in lookup.internal or lookup.internal:9001");
    }
    let tls = client_tls(upstream.tls, &host, source, mistakes);
    Upstream {
        name: name.into(),
        servers,
        tls,
        host: host.into(),
        connect_timeout: time(upstream.connect_timeout, 1, mistakes),
        idle_timeout: time(upstream.idle_timeout, 60, mistakes),
        resolve_every: time(upstream.resolve_every, 30, mistakes),
        slow_after: time(upstream.slow_after, 5, mistakes),
        added: added(upstream.add_headers, mistakes),
        health: failures::health(upstream.health_check, mistakes),
        ejection: failures::ejection(upstream.ejection, mistakes),
        breaker: failures::breaker(upstream.breaker, mistakes),
        concurrency_limit: concurrency_limit::compile(upstream.concurrency_limit, mistakes),
    }
}

/// Compiles the servers of an upstream.
pub fn servers(
    servers: Written<Listed<written::AnyServer>>,
    parent: &Place,
    own: &Compiled,
    mistakes: &mut Mistakes,
) -> Box<[Server]> {
    let servers = listed(servers, parent, "servers", "write at least one, as in [127.0.0.1:9001]", mistakes);
    if let Some((_, place)) = servers.get(MAX_SERVERS) {
        mistakes.push(place.clone(), format!("is one server too many; write at most {MAX_SERVERS} for one upstream"));
    }
    let mut compiled: Vec<Server> = Vec::new();
    for (written::AnyServer(server), place) in servers {
        let instead = "write the server's address, as in 127.0.0.1:9001 or lookup-1.internal:9001";
        let own_place = server.address.place().filter(|place| **place != Place::default()).cloned();
        let address = server.address.require(&place, "address", instead, mistakes);
        let place = own_place.unwrap_or(place);
        let weight = number(server.weight, 1, 1..=MAX_WEIGHT, mistakes);
        let max_requests = match server.max_requests {
            written @ Written::Here(..) => Some(number(written, 1, 1..=MAX_REQUESTS, mistakes)),
            Written::Missing | Written::Bad => None,
        };
        let Some(Parsed(address)) = address else { continue };
        if address.port() == 0 {
            mistakes.push(place, "has the port 0; write the port that the backend listens on");
        } else if let Address::Socket(socket) = address
            && let Some(key) = own.taken(socket)
        {
            mistakes.push(place, format!("is the gateway's own {key} address; write that of the backend"));
        } else if compiled.iter().any(|known| known.address == address) {
            mistakes.push(place, "is listed already; remove it, or give the server a greater weight");
        }
        compiled.push(Server { address, weight, max_requests });
    }
    compiled.into()
}

/// Compiles `add_headers`.
pub fn added(written: Entries<String>, mistakes: &mut Mistakes) -> AddedHeaders {
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, place, value) in written.0 {
        let name = HeaderName::from_text(&name).map_err(Into::into).map(|HeaderName(name)| name);
        match (name, plain_value(&value)) {
            (Ok(name), Ok(value)) => {
                if headers.len() == MAX_ADDED_HEADERS {
                    mistakes.push(place, format!("is one header too many; write at most {MAX_ADDED_HEADERS}"));
                    break;
                }
                if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                    mistakes.push(place, "is added already; remove it");
                }
                headers.push((name, value));
            }
            (Err(what), _) | (_, Err(what)) => mistakes.push(place, what),
        }
    }
    AddedHeaders::new(&headers)
}

/// A header's value, or another secret. A mistake never shows any of it.
pub fn plain_value(text: &str) -> Result<Box<str>, String> {
    let value = text.trim_matches([' ', '\t']);
    let fits = (1..=MAX_VALUE_BYTES).contains(&value.len());
    if !fits || !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        let seen = invisible(value).map(|what| format!(" ({what})")).unwrap_or_default();
        return Err(format!(
            "is not a valid header value{seen}; write 1 to {MAX_VALUE_BYTES} printable characters of ASCII"
        ));
    }
    Ok(value.into())
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(shown: &mut Value, upstream: &Upstream) {
    fill(shown, "resolve_every", duration(upstream.resolve_every));
    fill(shown, "host", &*upstream.host);
    fill(shown, "connect_timeout", duration(upstream.connect_timeout));
    fill(shown, "idle_timeout", duration(upstream.idle_timeout));
    fill(shown, "slow_after", duration(upstream.slow_after));
    for server in shown.get_mut("servers").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(address) = server {
            *server = json!({ "address": address });
        }
        fill(server, "weight", 1);
    }
    let headers = shown.get_mut("add_headers").and_then(Value::as_object_mut);
    for (name, value) in headers.into_iter().flatten() {
        hide(value, &["upstreams", &upstream.name, "add_headers", name]);
    }
    if let (Some(tls), Some(shown)) = (&upstream.tls, shown.get_mut("tls")) {
        fill(shown, "server_name", &*tls.settings().server_name.to_str());
    }
    failures::fill_in(shown, upstream);
    concurrency_limit::fill_in(shown, upstream);
}
