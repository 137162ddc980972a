//! The counters of one upstream, for its metrics.

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::counters::Count;

/// The counters of one upstream.
#[derive(Debug, Default)]
pub struct Tally {
    pub ejections: Counter,
    /// Accounts that were shut out of the upstream or of a server, because only their requests had failed.
    pub shut_out: Counter,
    /// Requests that went on to another server.
    pub retries: Counter,
    /// Requests that were sent again over a new connection, since they cannot have been processed.
    pub repeated: Counter,
    pub failed_checks: Counter,
    /// Requests that went over a connection from the pool.
    pub reused: Count,
    /// Connections that were made for a request.
    pub connected: Count,
}
