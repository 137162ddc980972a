//! A connection from the moment it is accepted to its first request: who is at the other end, and
//! the handshake of TLS.
//!
//! Both have an allowance of their own. What fails here is closed and counted, and nothing that a
//! peer has sent is logged. The connections of plain listeners take no step of this.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;

use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::timeout;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::downstream::listener::{At, Listener, Local};
use crate::downstream::proxy_protocol::{self, Unstated};
use crate::platform::tls::stream::Secured;
use crate::policy::Limits;
use crate::policy::check::network::Networks;
use crate::policy::http::head::Peer;

/// Why a connection ended before its first request could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The other side closed it, as one does that only looks whether somebody is there.
    Abandoned,
    /// There were far more connections than the limit.
    Overloaded,
    /// A peer that is not among those who state their clients' addresses.
    ProxyUnlisted,
    ProxyMalformed,
    ProxyTimeout,
    HandshakeFailed,
    HandshakeTimeout,
}

impl Reason {
    /// As metrics call it.
    fn name(self) -> &'static str {
        match self {
            Reason::Abandoned => "abandoned",
            Reason::Overloaded => "overloaded",
            Reason::ProxyUnlisted => "proxy-unlisted",
            Reason::ProxyMalformed => "proxy-malformed",
            Reason::ProxyTimeout => "proxy-timeout",
            Reason::HandshakeFailed => "handshake-failed",
            Reason::HandshakeTimeout => "handshake-timeout",
        }
    }
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.name().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: Reason,
}

/// Counts the connections that did not get to their first request.
#[derive(Debug, Default)]
pub struct AcceptMetrics {
    refused: Family<Labels, Counter>,
}

impl AcceptMetrics {
    pub fn count(&self, reason: Reason) {
        self.refused.get_or_create(&Labels { reason }).inc();
    }

    /// Shows the counts.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tollgate_connections_refused",
            "Connections that ended before their first request could be read",
            self.refused.clone(),
        );
    }
}

/// The own end of a connection; a system call.
pub fn local(stream: &Stream) -> Option<Local> {
    let digest = stream.get_socket_digest()?;
    let address = digest.local_addr()?;
    let path = || address.as_unix().and_then(|address| address.as_pathname());
    address
        .as_inet()
        .map(|address| Local::Address(*address))
        .or_else(|| path().map(|path| Local::Unix(path.to_owned())))
}

/// Who is at the other end; `None` when the connection is gone before it was looked at.
pub fn peer(stream: &Stream, listener: &Listener) -> Option<Peer> {
    match listener.at {
        At::Unix { .. } => Some(Peer::Local),
        At::Address(_) => {
            let digest = stream.get_socket_digest()?;
            let address = digest.peer_addr().and_then(|address| address.as_inet());
            address.map(|address| Peer::Address(address.ip()))
        }
    }
}

/// Takes the steps that a listener asks for; `None` when the connection has ended with one of them.
/// A shutdown ends them as well, since nothing was asked yet.
pub async fn receive(
    mut stream: Stream,
    listener: &Listener,
    limits: &Limits,
    figures: &AcceptMetrics,
    shutdown: &ShutdownWatch,
) -> Option<(Stream, Peer)> {
    let peer = peer(&stream, listener)?;
    let steps = async {
        let peer = match &listener.proxies {
            None => peer,
            Some(proxies) => {
                let stated = timeout(limits.head_timeout, stated(&mut stream, peer, proxies)).await;
                let stated = stated.unwrap_or(Err(Reason::ProxyTimeout))?;
                stated.map_or(peer, Peer::Address)
            }
        };
        let stream = match &listener.tls {
            None => stream,
            Some(tls) => {
                let secured = timeout(limits.handshake_timeout, handshake(stream, tls.current())).await;
                secured.unwrap_or(Err(Reason::HandshakeTimeout))?
            }
        };
        Ok((stream, peer))
    };
    let mut shutdown = shutdown.clone();
    tokio::select! {
        biased;
        outcome = steps => outcome.map_err(|reason| figures.count(reason)).ok(),
        _ = shutdown.changed() => None,
    }
}

/// The address that a proxy states; `None` when it speaks for itself. Whoever may connect to a Unix
/// socket is believed.
async fn stated(stream: &mut Stream, peer: Peer, proxies: &Networks) -> Result<Option<IpAddr>, Reason> {
    let listed = match peer {
        Peer::Address(address) => proxies.contains(address),
        Peer::Local => true,
    };
    if !listed {
        return Err(Reason::ProxyUnlisted);
    }
    proxy_protocol::read(stream).await.map_err(|unstated| match unstated {
        Unstated::Ended => Reason::Abandoned,
        Unstated::Malformed => Reason::ProxyMalformed,
    })
}

async fn handshake(stream: Stream, config: Arc<ServerConfig>) -> Result<Stream, Reason> {
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(secured) => Ok(Box::new(Secured::new(secured))),
        Err(error) => Err(match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Reason::Abandoned,
            _ => Reason::HandshakeFailed,
        }),
    }
}
