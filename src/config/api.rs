//! Where the management API is: `api`, as it is written, compiled and shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::fill::fill;
use super::listeners;
use super::source::Source;
use super::tls::server_tls;
use super::tls::written::ListenerTls;
use super::units::{Parsed, Text};
use crate::config::yaml::{Mistakes, Place, Written};
use crate::platform::tls::server::ServerTls;

/// Where the API is, unless it says otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::net::SocketAddr;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::tls::written::ListenerTls;
    use crate::config::units::Text;
    use crate::config::yaml::Written;

    /// The management API, which changes what is in the store.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Api {
        /// An address and a port. Default: 127.0.0.1:9091.
        pub listen: Text<SocketAddr>,
        /// Let `listen` be an address that other machines can reach without TLS, behind a proxy that has it.
        /// Default: false.
        pub exposed: Written<bool>,
        /// TLS 1.2 and 1.3, with HTTP/1.1. Default: none.
        pub tls: Written<ListenerTls>,
    }
}

/// The listener of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiListener {
    pub address: SocketAddr,
    pub tls: Option<Arc<ServerTls>>,
}

impl ApiListener {
    /// Where it is asked on this machine.
    pub fn url(&self) -> String {
        url_at(self.address, self.tls.is_some())
    }
}

/// The URL of a listener on this machine: of one on every address, on the machine's own.
pub fn url_at(address: SocketAddr, has_tls: bool) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// What has an address or is needed already.
pub struct Beside<'c> {
    pub own: &'c listeners::Compiled,
    pub admin: SocketAddr,
    /// The listener that was compiled before, if there is one, with its key.
    pub other: Option<(&'static str, SocketAddr)>,
    /// Whether there is a store.
    pub has_store: bool,
}

/// A listener of the process's own, as mistakes describe it.
pub struct Own {
    pub default: SocketAddr,
    /// What is wrong without a store.
    pub needs_store: &'static str,
    /// What would be sent in the clear without TLS.
    pub in_the_clear: &'static str,
}

const OWN: Own = Own {
    default: DEFAULT_LISTEN,
    needs_store: "changes what is in the store, and there is none; add one, as in store: { sqlite: tollgate.db }",
    in_the_clear: "management keys",
};

/// Compiles `api`; there is none unless it is written.
pub fn api(
    api: Written<written::Api>,
    beside: &Beside<'_>,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<ApiListener> {
    let place = api.place()?.clone();
    let written::Api { listen, exposed, tls } = api.take()?;
    Some(listener((listen, exposed, tls), &place, &OWN, beside, source, mistakes))
}

/// Where a listener is, whether other machines may reach it without TLS, and its TLS.
type WrittenListener = (Text<SocketAddr>, Written<bool>, Written<ListenerTls>);

/// Compiles a listener of the process's own, which needs the store.
pub fn listener(
    (listen, exposed, tls): WrittenListener,
    place: &Place,
    own: &Own,
    beside: &Beside<'_>,
    source: &Source,
    mistakes: &mut Mistakes,
) -> ApiListener {
    if !beside.has_store {
        mistakes.push(place.clone(), own.needs_store);
    }
    let at = listen.place().cloned().unwrap_or_else(|| place.clone());
    let address = listen.take().map_or(own.default, |Parsed(address)| address);
    if address.port() == 0 {
        mistakes.push(at.clone(), "has the port 0; write the port to connect to");
    }
    if let Some(key) = beside.own.taken(address) {
        let what = format!("is where clients connect already; choose another port than that of {key}");
        mistakes.push(at.clone(), what);
    }
    let others = [Some(("admin", beside.admin)), beside.other].into_iter().flatten();
    for (key, _) in others.filter(|(_, other)| listeners::overlap(*other, address)) {
        mistakes.push(at.clone(), format!("is where `{key}` is already; choose another port"));
    }
    let has_tls = !tls.is_missing();
    if !has_tls && !exposed.take().unwrap_or(false) && !address.ip().to_canonical().is_loopback() {
        let what = format!(
            "can be reached from other machines, and {} would be sent in the clear; add `tls`, use a loopback \
             address, or say exposed: true behind a proxy that has TLS",
            own.in_the_clear
        );
        mistakes.push(at, what);
    }
    let tls_place = tls.place().cloned();
    let tls = tls.take().zip(tls_place).and_then(|(tls, place)| server_tls(tls, &place, source, mistakes));
    ApiListener { address, tls: tls.map(Arc::new) }
}

/// Shows what is not written.
pub fn fill_in(api: &mut Value, listener: &ApiListener) {
    fill(api, "listen", listener.address.to_string());
    fill(api, "exposed", false);
    if let Some(tls) = api.get_mut("tls").filter(|tls| tls.get("client_ca").is_some()) {
        fill(tls, "client_certificate", "required");
    }
}
