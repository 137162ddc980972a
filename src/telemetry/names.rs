//! The names of the members of an access log line: Tollgate's own, which are the default and do not change, those of
//! OpenTelemetry's semantic conventions, or those of the Elastic Common Schema.
//!
//! If a convention has no name for a member, its name begins with `tollgate.`, as in spans.

use std::time::Duration;

/// A choice of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    #[default]
    Tollgate,
    /// Semantic conventions 1.x: `http.*`, `error.type`, `network.protocol.version`.
    OpenTelemetry,
    /// ECS 8.x, in which times are in nanoseconds.
    Ecs,
}

/// The unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Microseconds,
    Nanoseconds,
}

/// The names of all members.
#[derive(Debug)]
pub struct Names {
    pub time: &'static str,
    /// A member that every line has.
    pub constant: Option<(&'static str, &'static str)>,
    pub transaction: &'static str,
    pub trace: &'static str,
    pub reference: &'static str,
    pub account: &'static str,
    pub token: &'static str,
    pub product: &'static str,
    pub method: &'static str,
    pub route: &'static str,
    pub protocol: &'static str,
    /// `1.1` and not `HTTP/1.1`.
    pub short_protocol: bool,
    pub status: &'static str,
    /// A request without an answer has the status 0; otherwise the member is missing.
    pub zero_status: bool,
    pub problem: &'static str,
    pub reason: &'static str,
    pub upstream: &'static str,
    pub server: &'static str,
    pub upstream_status: &'static str,
    pub total: &'static str,
    pub total_unit: TimeUnit,
    pub upstream_us: &'static str,
    pub own_us: &'static str,
    pub bytes_in: &'static str,
    pub bytes_out: &'static str,
    pub delivered: &'static str,
    /// Only in lines of answers that were those of earlier requests with the same key.
    pub replayed: &'static str,
}

static TOLLGATE: Names = Names {
    time: "time",
    constant: None,
    transaction: "transaction_id",
    trace: "trace_id",
    reference: "reference_hash",
    account: "account",
    token: "token",
    product: "product",
    method: "method",
    route: "route",
    protocol: "protocol",
    short_protocol: false,
    status: "status",
    zero_status: true,
    problem: "problem",
    reason: "reason",
    upstream: "upstream",
    server: "server",
    upstream_status: "upstream_status",
    total: "total_us",
    total_unit: TimeUnit::Microseconds,
    upstream_us: "upstream_us",
    own_us: "own_us",
    bytes_in: "bytes_in",
    bytes_out: "bytes_out",
    delivered: "delivered",
    replayed: "replayed",
};

static OPENTELEMETRY: Names = Names {
    time: "timestamp",
    constant: None,
    transaction: "tollgate.transaction_id",
    trace: "trace_id",
    reference: "tollgate.reference_hash",
    account: "tollgate.account",
    token: "tollgate.token",
    product: "tollgate.product",
    method: "http.request.method",
    route: "http.route",
    protocol: "network.protocol.version",
    short_protocol: true,
    status: "http.response.status_code",
    zero_status: false,
    problem: "error.type",
    reason: "error.message",
    upstream: "tollgate.upstream",
    server: "tollgate.upstream.address",
    upstream_status: "tollgate.upstream.status_code",
    total: "tollgate.total_us",
    total_unit: TimeUnit::Microseconds,
    upstream_us: "tollgate.upstream_us",
    own_us: "tollgate.own_us",
    bytes_in: "http.request.body.size",
    bytes_out: "http.response.body.size",
    delivered: "tollgate.delivered",
    replayed: "tollgate.replayed",
};

static ECS: Names = Names {
    time: "@timestamp",
    constant: Some(("ecs.version", "8.17.0")),
    transaction: "transaction.id",
    trace: "trace.id",
    reference: "tollgate.reference_hash",
    account: "organization.name",
    token: "user.name",
    product: "service.name",
    method: "http.request.method",
    route: "url.path",
    protocol: "http.version",
    short_protocol: true,
    status: "http.response.status_code",
    zero_status: false,
    problem: "error.code",
    reason: "error.message",
    upstream: "tollgate.upstream",
    server: "destination.address",
    upstream_status: "tollgate.upstream.status_code",
    total: "event.duration",
    total_unit: TimeUnit::Nanoseconds,
    upstream_us: "tollgate.upstream_us",
    own_us: "tollgate.own_us",
    bytes_in: "http.request.body.bytes",
    bytes_out: "http.response.body.bytes",
    delivered: "tollgate.delivered",
    replayed: "tollgate.replayed",
};

impl Naming {
    /// The names.
    pub fn names(self) -> &'static Names {
        match self {
            Naming::Tollgate => &TOLLGATE,
            Naming::OpenTelemetry => &OPENTELEMETRY,
            Naming::Ecs => &ECS,
        }
    }

    /// The choice as the configuration writes it.
    pub fn word(self) -> &'static str {
        match self {
            Naming::Tollgate => "tollgate",
            Naming::OpenTelemetry => "otel",
            Naming::Ecs => "ecs",
        }
    }
}

impl TimeUnit {
    /// A time in whole units.
    pub fn of(self, time: Duration) -> u64 {
        let count = match self {
            TimeUnit::Microseconds => time.as_micros(),
            TimeUnit::Nanoseconds => time.as_nanos(),
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}
