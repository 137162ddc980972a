//! One connection of a listener, from the moment it is accepted to its end: whether there is room for it, its PROXY
//! header and TLS handshake, and its version of HTTP.

use std::sync::Arc;

use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;

use crate::downstream::listener::Listener;
use crate::downstream::{accept, http1, http2};
use crate::gateway::Gateway;
use crate::policy::admit::{Headroom, Ingress};
use crate::telemetry::Occupied;
use crate::telemetry::accept_metrics::Reason;

/// Serves a connection of a listener until it ends.
pub async fn serve(gateway: &Arc<Gateway>, stream: Stream, listener: &Listener, shutdown: &ShutdownWatch) {
    let (_occupied, before) = Occupied::one_of(gateway.connections());
    let limits = gateway.snapshot().policy.limits;
    let shares = gateway.shares(&limits);
    if before >= shares.connections.saturating_add(shares.heard_out) {
        // An answer over TLS would need a handshake, which is more expensive than reading the request.
        return match listener.tls {
            None => http1::refuse_unheard(gateway, stream, shutdown).await,
            Some(_) => gateway.arrivals().count(Reason::Overloaded),
        };
    }
    let arrived = if listener.is_plain() {
        accept::peer(&stream, listener).map(|peer| (stream, peer))
    } else {
        // Boxed, so that it does not make plain connections larger.
        Box::pin(accept::receive(stream, listener, &limits, gateway.arrivals(), shutdown)).await
    };
    let Some((stream, peer)) = arrived else { return };
    let ingress = Ingress {
        headroom: Headroom::beside(before, shares.connections, limits.reserved_percent),
        scope: listener.serves,
    };
    if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
        return http2::serve(gateway, stream, peer, ingress, shutdown).await;
    }
    if let Some(stream) = http1::serve(gateway, stream, peer, ingress, listener.h2c, shutdown).await {
        http2::serve(gateway, stream, peer, ingress, shutdown).await;
    }
}
