//! The listeners for clients: `listen`, `h2c` and `listeners`.
//!
//! Certificates are checked in `tls.rs`; addresses, paths and conflicts are checked here.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value;

use super::bounds::MAX_LISTENERS;
use super::common::listed;
use super::fill::fill;
use super::source::Source;
use super::tls::{in_directory, server_tls};
use super::units::{Mode, Parsed, Text};
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::downstream::listener::{At, Listener, Listeners, MAX_UNIX_PATH_BYTES};
use crate::policy::check::network::Networks;
use crate::policy::page::ListenerScope;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Who may connect to a Unix socket: this user and its group.
const DEFAULT_MODE: u32 = 0o660;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::net::SocketAddr;

    use ipnet::IpNet;
    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::tls::written::ListenerTls;
    use crate::config::units::{Mode, Text, Texts};
    use crate::config::yaml::Written;

    /// One more address or path for clients.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["address"]}, {"required": ["unix"]}]))]
    pub struct Listener {
        /// An address and a port, IPv4 or IPv6; `[::]:443` accepts both.
        pub address: Text<SocketAddr>,
        /// The path of a Unix socket, from this file's directory. Its peers have no address and are
        /// trusted like `trusted_proxies`.
        #[schemars(regex(pattern = r"\S"))]
        pub unix: Written<String>,
        /// Who may connect to the Unix socket, in octal digits. Default: "0660".
        pub mode: Text<Mode>,
        /// Allow HTTP/2 without TLS as well. Default: false.
        pub h2c: Written<bool>,
        /// TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1. Default: none.
        pub tls: Written<ListenerTls>,
        /// Connections begin with a PROXY header, version 1 or 2, which states the client's
        /// address. Default: no PROXY header.
        pub proxy_protocol: Written<ProxyProtocol>,
        /// What it serves. Default: all, or lookups as soon as another listener is for pages.
        pub serves: Written<Serves>,
    }

    /// What a listener serves.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Serves {
        /// Products and pages.
        All,
        /// Only products.
        Lookups,
        /// Only pages.
        Pages,
    }

    /// The PROXY protocol of a listener.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct ProxyProtocol {
        /// The proxies that send the header: addresses and networks. Not used on a Unix socket.
        #[schemars(length(min = 1))]
        pub from: Texts<IpNet>,
    }
}

/// All listeners, and by which key each came.
pub struct Compiled {
    pub listeners: Listeners,
    /// Where it says that a listener is for pages.
    pub for_pages: Option<Place>,
    keys: Vec<&'static str>,
}

impl Compiled {
    /// The key of the listener to which connections to an address would come, if there is one.
    pub fn taken(&self, address: SocketAddr) -> Option<&'static str> {
        let mut keyed = self.listeners.0.iter().zip(&self.keys);
        let taken = |listener: &Listener| match listener.at {
            At::Address(own) => overlap(own, address),
            At::Unix { .. } => false,
        };
        keyed.find(|(listener, _)| taken(listener)).map(|(_, key)| *key)
    }
}

/// Whether connections to `other` arrive at a listener of `listen`.
pub fn overlap(listen: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (listen.ip().to_canonical(), other.ip().to_canonical());
    listen.port() == other.port()
        && (ip == other_ip || (ip.is_unspecified() && other_ip.is_loopback()) || other_ip.is_unspecified())
}

/// Compiles the listeners of a file.
pub fn compile(
    listen: Text<SocketAddr>,
    h2c: Written<bool>,
    listeners: Written<Listed<written::Listener>>,
    root: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Compiled {
    let several = !listeners.is_missing();
    if let (true, true, Some(place)) = (several, listen.is_missing(), h2c.place()) {
        mistakes.push(place.clone(), "is for `listen`, which is not set; write it for a listener in the list");
    }
    let first = match listen {
        Written::Missing if several => None,
        written => Some(written.take().map_or(DEFAULT_LISTEN, |Parsed(address)| address)),
    };
    let first = first.map(|address| Listener { h2c: h2c.take().unwrap_or(false), ..Listener::plain(address) });
    let mut compiled: Vec<Listener> = first.into_iter().collect();
    let from_listen = compiled.len();
    // Listeners that do not say what is behind them.
    let mut open: Vec<bool> = vec![true; from_listen];
    let mut for_pages = None;
    for (written, place) in elements(listeners, root, mistakes) {
        let (unsaid, says_pages) =
            (written.serves.is_missing(), matches!(written.serves.get(), Some(written::Serves::Pages)));
        if says_pages {
            for_pages = written.serves.place().cloned();
        }
        let Some((listener, place)) = listener(written, place, source, mistakes) else { continue };
        if compiled.iter().any(|known| known.at.clashes_with(&listener.at)) {
            mistakes.push(place, "is used by another listener; give each its own address or path");
        }
        compiled.push(listener);
        open.push(unsaid);
    }
    if for_pages.is_some() {
        let open = compiled.iter_mut().zip(open).filter_map(|(listener, open)| open.then_some(listener));
        open.for_each(|listener| listener.serves = ListenerScope::Lookups);
    }
    let keys =
        (0..compiled.len()).map(|number| if number < from_listen { "`listen`" } else { "`listeners`" }).collect();
    Compiled { listeners: Listeners(compiled.into()), for_pages, keys }
}

fn elements(
    listeners: Written<Listed<written::Listener>>,
    root: &Place,
    mistakes: &mut Mistakes,
) -> Vec<(written::Listener, Place)> {
    let Written::Here(list, place) = listeners else { return Vec::new() };
    if list.0.is_empty() && !mistakes.touch(&root.key("listeners")) {
        mistakes.push(place.clone(), "is an empty list; write at least one, or remove the key");
    }
    if list.0.len() > MAX_LISTENERS {
        mistakes.push(place, format!("has more than {MAX_LISTENERS} listeners; remove those that are not used"));
    }
    list.0
}

/// Compiles one listener; also where its address is written.
fn listener(
    written: written::Listener,
    place: Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<(Listener, Place)> {
    let written::Listener { address, unix, mode, h2c, tls, proxy_protocol, serves } = written;
    let h2c_place = h2c.place().cloned();
    let h2c = h2c.take().unwrap_or(false);
    if let (true, false, Some(place)) = (h2c, tls.is_missing(), h2c_place) {
        mistakes.push(place, "is HTTP/2 without TLS; remove it, since HTTP/2 is offered with TLS anyway");
    }
    let tls_place = tls.place().cloned();
    let tls = tls.take().zip(tls_place).and_then(|(tls, place)| server_tls(tls, &place, source, mistakes));
    if let (true, Some(place)) = (unix.is_missing(), mode.place()) {
        mistakes.push(place.clone(), "is only for Unix sockets; remove it, or write `unix`");
    }
    let (at, at_place) = match (address, unix) {
        (Written::Here(Parsed(address), place), Written::Missing | Written::Bad) => {
            if address.port() == 0 {
                mistakes.push(place.clone(), "has the port 0; write the port to connect to");
            }
            (Some(At::Address(address)), place)
        }
        (Written::Here(..), Written::Here(_, place)) => {
            mistakes.push(place.clone(), "is set together with `address`; make two listeners, or remove one");
            (None, place)
        }
        (Written::Missing | Written::Bad, Written::Here(path, place)) => {
            let path = unix_path(path, &place, source, mistakes);
            let mode = mode.take().map_or(DEFAULT_MODE, |Parsed(Mode(mode))| mode);
            (path.map(|path| At::Unix { path, mode }), place)
        }
        (address, unix) => {
            if address.is_missing() && unix.is_missing() {
                let what = "is missing; write an address and a port, or the path of a Unix socket as `unix`";
                mistakes.push(place.key("address"), what);
            }
            (None, place)
        }
    };
    let serves = match serves.take() {
        None | Some(written::Serves::All) => ListenerScope::All,
        Some(written::Serves::Lookups) => ListenerScope::Lookups,
        Some(written::Serves::Pages) => ListenerScope::Pages,
    };
    let on_unix = matches!(at, Some(At::Unix { .. }));
    let proxies = proxies(proxy_protocol, on_unix, mistakes);
    at.map(|at| (Listener { at, h2c, tls, proxies, serves }, at_place))
}

fn unix_path(path: String, place: &Place, source: &Source, mistakes: &mut Mistakes) -> Option<PathBuf> {
    if path.trim().is_empty() || path.contains('\0') {
        mistakes.push(place.clone(), "is not a path; write one as in /run/tollgate/tollgate.sock");
        return None;
    }
    let path = in_directory(source, path);
    if path.to_str().is_none() {
        mistakes.push(place.clone(), "is in a directory whose name is not UTF-8; write an absolute path");
        return None;
    }
    if path.as_os_str().len() > MAX_UNIX_PATH_BYTES {
        let what = format!(
            "is too long for a Unix socket, including its directories; write a path of at most {MAX_UNIX_PATH_BYTES} bytes"
        );
        mistakes.push(place.clone(), what);
        return None;
    }
    Some(path)
}

fn proxies(written: Written<written::ProxyProtocol>, on_unix: bool, mistakes: &mut Mistakes) -> Option<Networks> {
    let place = written.place().cloned().unwrap_or_default();
    let from = written.take()?.from;
    if on_unix {
        if let Some(place) = from.place() {
            let what = "lists addresses, but peers of a Unix socket have none; write proxy_protocol: {} there";
            mistakes.push(place.clone(), what);
        }
        return Some(Networks::Any);
    }
    let from = listed(from, &place, "from", "write the networks of the proxies, as in [10.0.0.0/8]", mistakes);
    check_trust(&from, mistakes);
    Some(Networks::listed(from.into_iter().map(|(Parsed(network), _)| network)))
}

/// Refuses networks that include every address.
pub fn check_trust(networks: &[(Parsed<IpNet>, Place)], mistakes: &mut Mistakes) {
    for (Parsed(network), place) in networks {
        if network.prefix_len() == 0 {
            let what =
                "trusts every address, so any client could claim another address; write the proxies' own networks";
            mistakes.push(place.clone(), what);
        }
    }
}

/// Shows what is not written.
pub fn fill_in(listener: &mut Value) {
    fill(listener, "h2c", false);
    if listener.get("unix").is_some() {
        fill(listener, "mode", "0660");
    }
    if let Some(tls) = listener.get_mut("tls").filter(|tls| tls.get("client_ca").is_some()) {
        fill(tls, "client_certificate", "required");
    }
}
