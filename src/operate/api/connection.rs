//! The connections of the API's listener: how many there may be, how long each may take, TLS, and their
//! HTTP/1.1, which is hyper's.
//!
//! It has a thread of its own, so that lookups notice nothing of it. HTTP/2 is not offered: nobody needs
//! it here, and its limits of abuse are not ours to keep twice. What is asked is `router.rs`.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::timeout;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::platform::tls::server::ServerTls;

/// How long a handshake of TLS may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a head may take, from the end of the answer before it: a connection that asks for nothing for
/// so long is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection lives: then it is closed with its next answer.
const LIFETIME: Duration = Duration::from_secs(300);

/// How long a request that is in flight then, or at the end of the process, may go on.
const GRACE: Duration = Duration::from_secs(30);

/// How long the first request of a new connection is waited for at the end of the process.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// Bytes of a head.
const HEAD_BYTES: usize = 16 * 1024;

/// Header lines of a request.
const HEADER_LINES: usize = 64;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The API as the one app of its service.
pub struct ApiApp {
    service: TowerToHyperService<Router>,
    tls: Option<Arc<ServerTls>>,
    seats: Arc<Semaphore>,
    connections: usize,
    give_way: fn(),
}

/// The connections of the API that are open, for whoever ends the process.
#[derive(Clone, Debug)]
pub struct OpenConnections {
    seats: Arc<Semaphore>,
    most: usize,
}

impl OpenConnections {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.most.saturating_sub(self.seats.available_permits())
    }
}

impl ApiApp {
    /// One that serves this router, with TLS if there is any, on so many connections at a time. Its thread, and those that it
    /// starts for what blocks, have nothing to do with lookups: they begin with `give_way`.
    pub fn new(router: Router, tls: Option<Arc<ServerTls>>, connections: usize, give_way: fn()) -> ApiApp {
        let seats = Arc::new(Semaphore::new(connections));
        ApiApp { service: TowerToHyperService::new(router), tls, seats, connections, give_way }
    }

    /// Its connections.
    pub fn open_connections(&self) -> OpenConnections {
        OpenConnections { seats: Arc::clone(&self.seats), most: self.connections }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: Option<Peer>, shutdown: &ShutdownWatch) {
        let begun = Notify::new();
        let service = service_fn(|request: Request<Incoming>| {
            begun.notify_one();
            let mut request = request.map(Body::new);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            self.service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADER_LINES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut shutdown = shutdown.clone();
        tokio::select! {
            // How a connection of somebody else ends is of no interest.
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(LIFETIME) => {}
            _ = shutdown.changed() => {
                // The first request of a connection that was accepted in this moment is on its way: closing would lose it.
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = begun.notified() => {}
                    () = tokio::time::sleep(FIRST_REQUEST) => {}
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(GRACE, connection).await;
    }
}

#[async_trait]
impl ServerApp for ApiApp {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _seat = self.seats.try_acquire().ok()?;
        (self.give_way)();
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let peer = address.map(|address| Peer(address.ip().to_canonical()));
        let Some(tls) = &self.tls else {
            self.serve(stream, peer, shutdown).await;
            return None;
        };
        let handshakes = tls.current();
        let mut config = (*handshakes.config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let handshake = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let Ok(Ok(secured)) = timeout(HANDSHAKE_TIMEOUT, handshake).await else { return None };
        if handshakes.admit(secured.get_ref().1, UnixTime::now()) {
            self.serve(secured, peer, shutdown).await;
        }
        None
    }
}
