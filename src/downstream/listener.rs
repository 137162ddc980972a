//! The listeners: their addresses and protocols.
//!
//! Listeners are separate from the policy and can be compared: changed listeners need other sockets, while a policy can
//! be replaced at any time. Certificates follow their files, so a new certificate is not a change. Connections are
//! handled in `serve.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::platform::tls::server::ServerTls;
use crate::policy::check::network::Networks;
use crate::policy::page::ListenerScope;

/// The longest path of a Unix socket in bytes: the kernel's limit without the terminating zero.
pub const MAX_UNIX_PATH_BYTES: usize = 107;

/// All listeners, at least one; no two share an address.
#[derive(Debug, PartialEq)]
pub struct Listeners(pub Box<[Listener]>);

/// One address or path.
#[derive(Debug, PartialEq)]
pub struct Listener {
    pub at: At,
    /// HTTP/2 without TLS is allowed as well.
    pub h2c: bool,
    pub tls: Option<ServerTls>,
    /// The peers that must state the client's address with the PROXY protocol; `None`: the protocol is off.
    pub proxies: Option<Networks>,
    /// What it serves.
    pub serves: ListenerScope,
}

/// The address or path of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Address(SocketAddr),
    Unix {
        path: PathBuf,
        /// Who may connect, as the mode of the file.
        mode: u32,
    },
}

impl Listener {
    /// A listener for HTTP/1 only, without TLS.
    pub fn plain(address: SocketAddr) -> Listener {
        Listener { at: At::Address(address), h2c: false, tls: None, proxies: None, serves: ListenerScope::All }
    }

    /// Whether connections need neither a TLS handshake nor a PROXY header.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.proxies.is_none()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match &self.at {
            At::Address(address) => write!(formatter, "{scheme}://{address}"),
            At::Unix { path, .. } => write!(formatter, "{scheme}+unix:{}", path.display()),
        }
    }
}

impl At {
    /// Whether two listeners would conflict. `[::]` accepts IPv4 connections as well.
    pub fn clashes_with(&self, other: &At) -> bool {
        match (self, other) {
            (At::Address(one), At::Address(two)) => {
                one.port() == two.port() && (covers(one.ip(), two.ip()) || covers(two.ip(), one.ip()))
            }
            (At::Unix { path: one, .. }, At::Unix { path: two, .. }) => one == two,
            (At::Address(_), At::Unix { .. }) | (At::Unix { .. }, At::Address(_)) => false,
        }
    }

    /// Whether a connection with this local address came through this listener.
    fn receives(&self, local: &Local) -> Receives {
        match (self, local) {
            (At::Address(own), Local::Address(local)) if own.port() == local.port() => {
                let (own, local) = (own.ip().to_canonical(), local.ip().to_canonical());
                if own == local {
                    Receives::Exactly
                } else if covers(own, local) {
                    Receives::AmongOthers
                } else {
                    Receives::Not
                }
            }
            (At::Unix { path, .. }, Local::Unix(local)) if path == local => Receives::Exactly,
            (At::Address(_) | At::Unix { .. }, Local::Address(_) | Local::Unix(_)) => Receives::Not,
        }
    }
}

/// The local address of a connection.
#[derive(Clone, Debug)]
pub enum Local {
    Address(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receives {
    Exactly,
    AmongOthers,
    Not,
}

/// Whether a socket that is bound to the first address accepts connections to the second.
fn covers(bound: IpAddr, other: IpAddr) -> bool {
    let (bound, other) = (bound.to_canonical(), other.to_canonical());
    match bound {
        _ if bound == other => true,
        IpAddr::V4(address) => address == Ipv4Addr::UNSPECIFIED && other.is_ipv4(),
        IpAddr::V6(address) => address == Ipv6Addr::UNSPECIFIED,
    }
}

impl Listeners {
    /// A listener for HTTP/1 only, without TLS.
    pub fn plain(address: SocketAddr) -> Listeners {
        Listeners([Listener::plain(address)].into())
    }

    /// The listener of a connection. If there is only one, `local` is not called, since it costs a system call.
    pub fn of(&self, local: impl FnOnce() -> Option<Local>) -> Option<&Listener> {
        if let [only] = &*self.0 {
            return Some(only);
        }
        let local = local()?;
        let receives = |wanted| self.0.iter().find(|listener| listener.at.receives(&local) == wanted);
        receives(Receives::Exactly).or_else(|| receives(Receives::AmongOthers))
    }

    /// The TLS of all listeners that have it.
    pub fn tls(&self) -> impl Iterator<Item = &ServerTls> {
        self.0.iter().filter_map(|listener| listener.tls.as_ref())
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, listener) in self.0.iter().enumerate() {
            let joint = if number == 0 { "" } else { ", " };
            write!(formatter, "{joint}{listener}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> At {
        match text.parse() {
            Ok(address) => At::Address(address),
            Err(_) => At::Unix { path: text.into(), mode: 0o660 },
        }
    }

    #[test]
    fn listeners_clash_when_one_connection_could_come_to_both() {
        for (one, two, clash) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "[2001:db8::1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("/run/a", "/run/a", true),
            ("/run/a", "/run/b", false),
            ("/run/a", "0.0.0.0:80", false),
        ] {
            assert_eq!(at(one).clashes_with(&at(two)), clash, "{one} {two}");
            assert_eq!(at(two).clashes_with(&at(one)), clash, "{two} {one}");
        }
    }

    #[test]
    fn a_connection_belongs_to_the_listener_that_it_came_to() {
        let listener =
            |text| Listener { at: at(text), h2c: false, tls: None, proxies: None, serves: ListenerScope::All };
        let texts = ["0.0.0.0:80", "[::1]:80", "[::]:81", "127.0.0.1:82", "/run/a", "/run/b"];
        let listeners = Listeners(texts.map(listener).into());
        for (local, expected) in [
            ("10.0.0.1:80", Some("0.0.0.0:80")),
            ("[::1]:80", Some("[::1]:80")),
            ("[::ffff:10.0.0.1]:81", Some("[::]:81")),
            ("[2001:db8::1]:81", Some("[::]:81")),
            ("[::ffff:127.0.0.1]:82", Some("127.0.0.1:82")),
            ("127.0.0.1:83", None),
            ("/run/b", Some("/run/b")),
            ("/run/c", None),
        ] {
            let found = listeners.of(|| match local.parse() {
                Ok(address) => Some(Local::Address(address)),
                Err(_) => Some(Local::Unix(local.into())),
            });
            assert_eq!(found.map(|listener| &listener.at), expected.map(at).as_ref(), "{local}");
        }
        assert!(listeners.of(|| None).is_none());
        let only = Listeners::plain("127.0.0.1:80".parse().unwrap());
        assert!(only.of(|| panic!("asked")).is_some());
    }
}
