//! The counts of one upstream, which requests and the background add to and its metrics show.

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::counters::Count;

/// What is counted of one upstream.
#[derive(Debug, Default)]
pub struct Tally {
    pub ejections: Counter,
    /// Accounts that were shut out of the upstream or of a server, since their requests alone had failed.
    pub shut_out: Counter,
    /// Requests that went on to another server.
    pub retries: Counter,
    /// Requests that were sent once more over a new connection, since nobody can have processed them.
    pub repeated: Counter,
    pub failed_checks: Counter,
    /// Requests that went over a connection from the pool.
    pub reused: Count,
    /// Connections that were made for a request.
    pub connected: Count,
}
