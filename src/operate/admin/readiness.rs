//! Whether clients should be sent to this process, and which parts of it work.
//!
//! The process is not ready only if it cannot answer any request: a load balancer that removed it for less would send
//! its clients to others with the same problem, or to none.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::downstream::listener::Listeners;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::upstream::Reach;

/// Whether clients should be sent here.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub struct Readiness {
    /// `ready`, `stopping` or `not ready`.
    pub status: String,
    /// The checks, if the request asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReadinessCheck")]
pub struct Check {
    /// `process`, `ledger`, `certificates`, or `upstream` and its name.
    pub name: String,
    pub ready: bool,
    /// Whether the process is not ready if this check fails.
    pub required: bool,
    /// The result, and what it means for clients.
    pub detail: String,
}

impl Readiness {
    /// The readiness at a moment. `stopping`: the process is about to end, and no successor serves.
    pub fn of(gateway: &Gateway, ledger: &Ledger, listeners: &Listeners, stopping: bool, now: SystemTime) -> Readiness {
        let mut checks = vec![process(stopping), of_ledger(ledger)];
        checks.extend(upstreams(gateway));
        checks.push(certificates(gateway, listeners, now));
        let ready = checks.iter().all(|check| check.ready || !check.required);
        let status = if stopping {
            "stopping"
        } else if ready {
            "ready"
        } else {
            "not ready"
        };
        Readiness { status: status.to_owned(), checks }
    }

    /// Whether clients should be sent here.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

fn check(name: &str, ready: bool, required: bool, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), ready, required, detail: detail.into() }
}

fn process(stopping: bool) -> Check {
    let detail = if stopping { "is about to end; requests in flight finish" } else { "accepts connections" };
    check("process", !stopping, true, detail)
}

/// If the ledger cannot be used, every request that costs credits is refused. Another gateway may be able to answer it.
fn of_ledger(ledger: &Ledger) -> Check {
    let (stuck, cannot_sell) = (ledger.is_stuck(), ledger.cannot_sell());
    let detail = if stuck {
        "cannot be used; requests that cost credits are refused"
    } else if cannot_sell {
        "has no credits on lease that may be sold; requests that cost credits are refused"
    } else {
        "can be used, if there is one"
    };
    // A database that is away is so for all gateways: what costs nothing is still served.
    let required = !cannot_sell || ledger.never_sold() || stuck;
    check("ledger", !stuck && !cannot_sell, required, detail)
}

fn upstreams(gateway: &Gateway) -> Vec<Check> {
    let snapshot = gateway.snapshot();
    let pools = snapshot.exchange.upstreams();
    let of = |(place, upstream): (usize, &crate::upstream::settings::Upstream)| {
        let (ready, detail) = match pools.pool(place).map(crate::upstream::Pool::reach) {
            Some(Reach::Some) => (true, "has a server that gets requests"),
            Some(Reach::None) => (false, "has no healthy server; clients get upstream-unavailable"),
            Some(Reach::Unresolved) | None => (false, "has no address yet; clients get upstream-unavailable"),
        };
        check(&format!("upstream {}", upstream.name), ready, false, detail)
    };
    snapshot.settings.upstreams.iter().enumerate().map(of).collect()
}

fn certificates(gateway: &Gateway, listeners: &Listeners, now: SystemTime) -> Check {
    let snapshot = gateway.snapshot();
    let of_upstreams = snapshot.settings.upstreams.iter().filter_map(|upstream| upstream.tls.as_deref());
    let overdue: Vec<String> = (listeners.tls().flat_map(|tls| tls.overdue(now)))
        .chain(of_upstreams.flat_map(|tls| tls.overdue(now)))
        .map(|overdue| overdue.to_string())
        .collect();
    let detail =
        if overdue.is_empty() { "none has expired or is not valid yet".to_owned() } else { overdue.join("; ") };
    check("certificates", overdue.is_empty(), false, detail)
}
