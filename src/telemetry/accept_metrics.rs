//! Counts of the connections that ended before their first request could be read, by reason.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Why a connection ended before its first request could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The client closed it without sending anything, as port checks do.
    Abandoned,
    /// The number of connections was far beyond the limit.
    Overloaded,
    /// The peer is not in the list of proxies that may state a client's address.
    ProxyUnlisted,
    ProxyMalformed,
    ProxyTimeout,
    HandshakeFailed,
    HandshakeTimeout,
}

impl Reason {
    /// Its name in metrics.
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

/// Counts the connections that ended before their first request.
#[derive(Debug, Default)]
pub struct AcceptMetrics {
    refused: Family<Labels, Counter>,
}

impl AcceptMetrics {
    pub fn count(&self, reason: Reason) {
        self.refused.get_or_create(&Labels { reason }).inc();
    }

    /// Registers the counts as a metric.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tollgate_connections_refused",
            "Connections that ended before their first request could be read",
            self.refused.clone(),
        );
    }
}
