//! A connection from the moment it is accepted to its first request: the PROXY protocol and the TLS
//! handshake.
//!
//! Both have time limits of their own. A connection that fails here is closed and counted, and
//! nothing that a peer has sent is logged. Connections of plain listeners need none of this.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;

use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::timeout;
use rustls::pki_types::UnixTime;
use tokio_rustls::TlsAcceptor;

use crate::downstream::listener::{At, Listener, Local};
use crate::downstream::proxy_protocol::{self, Unstated};
use crate::platform::tls::server::Handshakes;
use crate::platform::tls::stream::Secured;
use crate::policy::Limits;
use crate::policy::check::network::Networks;
use crate::policy::http::head::Peer;
use crate::telemetry::accept_metrics::{AcceptMetrics, Reason};

/// The local address of a connection; a system call.
pub fn local(stream: &Stream) -> Option<Local> {
    let digest = stream.get_socket_digest()?;
    let address = digest.local_addr()?;
    let path = || address.as_unix().and_then(|address| address.as_pathname());
    address
        .as_inet()
        .map(|address| Local::Address(*address))
        .or_else(|| path().map(|path| Local::Unix(path.to_owned())))
}

/// The peer; `None` if the connection is closed already.
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

/// Takes the steps that a listener requires; `None` if the connection ended in one of them. A
/// shutdown ends them as well, since there is no request yet.
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

/// The client's address as the proxy states it; `None` if the connection is the proxy's own. Every
/// peer on a Unix socket is trusted.
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

async fn handshake(stream: Stream, with: Arc<Handshakes>) -> Result<Stream, Reason> {
    match TlsAcceptor::from(Arc::clone(&with.config)).accept(stream).await {
        Ok(secured) if with.admit(secured.get_ref().1, UnixTime::now()) => Ok(Box::new(Secured::new(secured))),
        Ok(_) => Err(Reason::HandshakeFailed),
        Err(error) => Err(match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Reason::Abandoned,
            _ => Reason::HandshakeFailed,
        }),
    }
}
