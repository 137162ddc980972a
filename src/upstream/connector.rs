//! Connections to one server of an upstream, with TLS if the upstream has it.
//!
//! Pingora connects; the TLS handshake is made here, so that the configuration checked at the start
//! is used, sessions are resumed, and every handshake needs a value of `platform/tls/client.rs`,
//! which always verifies the server. Idle connections are in `idle_pool.rs`; `exchange.rs` sends
//! requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::Stream;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_timeout::timeout;
use tokio_rustls::TlsConnector;

use crate::platform::tls::client::ClientTls;
use crate::platform::tls::stream::Secured;
use crate::upstream::idle_pool::{Capacity, Idle};
use crate::upstream::settings::Upstream;

/// Makes connections, and limits how many may be idle.
pub struct Connections {
    connector: TransportConnector,
    room: Capacity,
}

impl Connections {
    /// At most this many connections are idle.
    pub fn new(most_idle: usize) -> Connections {
        // Pingora's own pool is not used.
        Connections {
            connector: TransportConnector::new(Some(ConnectorOptions::new(1))),
            room: Capacity::new(most_idle),
        }
    }
}

/// A server, ready to be connected to.
#[derive(Debug)]
pub struct Connector {
    peer: HttpPeer,
    tls: Option<Arc<ClientTls>>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle: Arc<Idle<Stream>>,
}

impl Connector {
    /// Prepares a server of an upstream; no connection is made yet. Idle connections of `before`
    /// are kept if they were verified in the same way.
    pub fn new(upstream: &Upstream, server: SocketAddr, before: Option<&Connector>) -> Connector {
        // A socket address needs no resolver, which would block, and cannot fail.
        let mut peer = HttpPeer::new(server, false, String::new());
        peer.options.connection_timeout = Some(upstream.connect_timeout);
        peer.options.total_connection_timeout = Some(upstream.connect_timeout);
        let number = |tls: &Option<Arc<ClientTls>>| tls.as_ref().map(|tls| tls.number());
        let before = before.filter(|before| number(&before.tls) == number(&upstream.tls));
        Connector {
            peer,
            tls: upstream.tls.clone(),
            connect_timeout: upstream.connect_timeout,
            idle_timeout: upstream.idle_timeout,
            idle: before.map_or_else(Arc::default, |before| Arc::clone(&before.idle)),
        }
    }

    /// An idle connection or a new one; also returns whether it was idle.
    ///
    /// # Errors
    /// Pingora's errors, or a failed handshake.
    pub async fn get_stream(&self, connections: &Connections) -> Result<(Stream, bool)> {
        match self.idle.take() {
            Some(stream) => Ok((stream, true)),
            None => Ok((self.new_stream(connections).await?, false)),
        }
    }

    /// Keeps a connection for another request; its last answer must have been read completely.
    pub fn keep(&self, connections: &Connections, stream: Stream) {
        self.idle.put(stream, &connections.room, Instant::now());
    }

    /// Closes idle connections that have expired.
    pub fn sweep(&self, connections: &Connections) {
        self.idle.sweep(self.idle_timeout, &connections.room, Instant::now());
    }

    /// A new connection.
    ///
    /// # Errors
    /// Pingora's errors, or a failed handshake.
    pub async fn new_stream(&self, connections: &Connections) -> Result<Stream> {
        match &self.tls {
            None => connections.connector.new_stream(&self.peer).await,
            Some(tls) => self.secure(&connections.connector, tls).await,
        }
    }

    /// Connects and makes the handshake, both within the connect time-out.
    async fn secure(&self, connector: &TransportConnector, tls: &ClientTls) -> Result<Stream> {
        let name = tls.settings().server_name.clone();
        let connect = async {
            let stream = connector.new_stream(&self.peer).await?;
            let secured = TlsConnector::from(tls.current()).connect(name, stream).await;
            secured.map_err(|error| Error::new(kind_of(&error)))
        };
        match timeout(self.connect_timeout, connect).await {
            Ok(secured) => Ok(Box::new(Secured::new(secured?))),
            Err(_) => Err(Error::new(ErrorType::TLSHandshakeTimedout)),
        }
    }
}

/// Whether the handshake failed because of the backend's certificate.
fn kind_of(error: &std::io::Error) -> ErrorType {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => ErrorType::InvalidCert,
        Some(_) | None => ErrorType::TLSHandshakeFailure,
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::platform::tls::client::ClientFiles;
    use crate::upstream::settings::{AddedHeaders, BreakerRule, EjectionRule};

    #[test]
    fn connections_that_were_verified_in_other_ways_are_not_shared() {
        let authority = std::env::temp_dir().join(format!("tollgate-contact-{}.pem", std::process::id()));
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        std::fs::write(&authority, made.cert.pem()).unwrap();
        let tls = || {
            let server_name = ServerName::try_from("a.example").unwrap();
            let settings = ClientFiles { authorities: Some(authority.clone()), server_name, pair: None };
            Some(Arc::new(ClientTls::new(settings).unwrap()))
        };
        let plain = Upstream {
            name: "u".into(),
            servers: Box::default(),
            resolve_every: Duration::from_secs(1),
            host: "a.example".into(),
            tls: None,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            slow_after: Duration::from_secs(1),
            added: AddedHeaders::default(),
            health: None,
            ejection: EjectionRule { failures: 0, time: Duration::from_secs(1) },
            breaker: BreakerRule::NEVER,
            concurrency_limit: None,
        };
        let first = Upstream { tls: tls(), ..plain.clone() };
        let second = Upstream { tls: tls(), ..plain.clone() };
        std::fs::remove_file(&authority).unwrap();
        let server = "127.0.0.1:9001".parse().unwrap();
        for (before, after, shared) in
            [(&plain, &plain, true), (&first, &first, true), (&plain, &first, false), (&first, &second, false)]
        {
            let before = Connector::new(before, server, None);
            let after = Connector::new(after, server, Some(&before));
            assert_eq!(Arc::ptr_eq(&before.idle, &after.idle), shared);
        }
    }
}
