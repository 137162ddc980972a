//! The metrics of upstreams, and their state for the admin API.
//!
//! Both are read from the state that requests use, so they cannot differ from it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde_json::{Value, json};

use super::blame::Asker;
use super::breaker::Phase;
use super::gate::GateState;
use super::servers::ServerState;
use super::tally::Tally;
use super::{Pool, Upstreams};
use crate::telemetry::shown::Shown;

impl<P> Upstreams<P> {
    /// The upstreams as operators see them.
    pub fn as_json(&self) -> Value {
        json!({ "upstreams": self.pools.iter().map(|pool| pool.as_json()).collect::<Vec<_>>() })
    }
}

impl<P> Pool<P> {
    fn as_json(&self) -> Value {
        let now = self.clock.now();
        let breaker = match self.breaker.phase(now) {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::HalfOpen => "half-open",
        };
        let roster = self.roster.load();
        let mut servers: Vec<Value> = Vec::new();
        for server in roster.servers() {
            let state = match server.standing(Asker::NOBODY, now) {
                ServerState::Healthy => "healthy",
                ServerState::Unhealthy => "unhealthy",
                ServerState::Ejected => "ejected",
            };
            servers.push(json!({
                "server": &*server.name,
                "address": server.address.to_string(),
                "state": state,
                "in_flight": server.in_flight(),
                "max_requests": server.max_requests,
                "weight": server.weight,
            }));
        }
        servers.extend(self.unresolved().map(|name| json!({ "server": name, "state": "unresolved" })));
        let mut shown = json!({ "name": &*self.upstream.name, "breaker": breaker, "servers": servers });
        if let (Some(gate), Some(shown)) = (&self.gate, shown.as_object_mut()) {
            shown.insert("concurrency".to_owned(), gate_as_json(gate.state()));
        }
        shown
    }

    /// The names that have not been resolved yet.
    fn unresolved(&self) -> impl Iterator<Item = String> {
        let addresses = |server: &crate::upstream::settings::Server| self.addresses_of(&server.address);
        let servers = self.upstream.servers.iter();
        servers
            .filter(move |server| addresses(server).is_none_or(|addresses| addresses.is_empty()))
            .map(|server| server.address.to_string())
    }

    /// Each server, and whether it gets requests.
    fn ups(&self) -> Vec<(String, bool)> {
        let now = self.clock.now();
        let roster = self.roster.load();
        let known = roster.servers().iter().map(|server| {
            let up = server.standing(Asker::NOBODY, now) == ServerState::Healthy;
            (server.address.to_string(), up)
        });
        known.chain(self.unresolved().map(|name| (name, false))).collect()
    }
}

/// The requests of an upstream with a limit, as operators see them.
fn gate_as_json(state: GateState) -> Value {
    let GateState { limit, in_flight, waiting, unloaded } = state;
    let unloaded = unloaded.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    json!({ "limit": limit, "in_flight": in_flight, "waiting": waiting, "unloaded_us": unloaded })
}

/// What there is to tell of upstreams with a limit of requests.
fn gates<P>(encoder: &mut DescriptorEncoder<'_>, pools: &[Arc<Pool<P>>]) -> Result<(), fmt::Error> {
    type Of = fn(&GateState) -> i64;
    let gates = || pools.iter().filter_map(|pool| Some((&*pool.upstream.name, pool.gate.as_ref()?)));
    let gauges: [(&str, &str, Of); 3] = [
        ("tollgate_upstream_concurrency_limit", "Requests that an upstream gets at a time", |state| state.limit.into()),
        ("tollgate_upstream_in_flight", "Requests of an upstream with a limit that are in flight", |state| {
            state.in_flight.into()
        }),
        ("tollgate_upstream_waiting", "Requests that wait for an upstream with a limit", |state| {
            i64::try_from(state.waiting).unwrap_or(i64::MAX)
        }),
    ];
    for (name, help, of) in gauges {
        let mut shown = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (upstream, gate) in gates() {
            ConstGauge::new(of(&gate.state())).encode(shown.encode_family(&[("upstream", upstream)])?)?;
        }
    }
    let (name, help) = ("tollgate_upstream_unloaded", "How long requests take while their upstream is not busy");
    let mut shown = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
    for (upstream, gate) in gates() {
        if let Some(unloaded) = gate.state().unloaded {
            ConstGauge::new(unloaded.as_secs_f64()).encode(shown.encode_family(&[("upstream", upstream)])?)?;
        }
    }
    let (name, help) = ("tollgate_upstream_shed", "Requests that were refused as overloaded by an upstream's limit");
    let mut shown = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (upstream, gate) in gates() {
        for (reason, count) in [("queue-full", &gate.tally.full), ("waited", &gate.tally.late)] {
            count.encode(shown.encode_family(&[("upstream", upstream), ("reason", reason)])?)?;
        }
    }
    let (name, help) = ("tollgate_upstream_wait", "How long requests waited that had to wait for their upstream");
    let mut shown = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (upstream, gate) in gates() {
        Shown(&gate.tally.waited).encode(shown.encode_family(&[("upstream", upstream)])?)?;
    }
    Ok(())
}

/// The metrics of the upstreams in force, made when they are scraped.
pub struct Metrics<P>(pub Box<dyn Fn() -> Arc<Upstreams<P>> + Send + Sync>);

impl<P> fmt::Debug for Metrics<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl<P: fmt::Debug + Send + Sync + 'static> Collector for Metrics<P> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let upstreams = (self.0)();
        let pools = &upstreams.pools;
        let gauge = MetricType::Gauge;
        let help = "Whether a server gets requests (1), or is unhealthy, ejected or not resolved (0)";
        let mut up = encoder.encode_descriptor("tollgate_upstream_server_up", help, None, gauge)?;
        for pool in pools {
            for (server, is_up) in pool.ups() {
                let labels = [("upstream", &*pool.upstream.name), ("server", &*server)];
                ConstGauge::new(i64::from(is_up)).encode(up.encode_family(&labels)?)?;
            }
        }
        let help = "Whether the breaker of an upstream is open or half-open (1)";
        let mut open = encoder.encode_descriptor("tollgate_upstream_breaker_open", help, None, gauge)?;
        for pool in pools {
            let is_open = pool.breaker.phase(pool.clock.now()) != Phase::Closed;
            let labels = [("upstream", &*pool.upstream.name)];
            ConstGauge::new(i64::from(is_open)).encode(open.encode_family(&labels)?)?;
        }
        let help = "Connections that requests to an upstream used, by whether they were new or from the pool";
        let mut connections =
            encoder.encode_descriptor("tollgate_upstream_connections", help, None, MetricType::Counter)?;
        for pool in pools {
            for (kind, count) in [("new", &pool.tally.connected), ("reused", &pool.tally.reused)] {
                let labels = [("upstream", &*pool.upstream.name), ("kind", kind)];
                ConstCounter::new(count.sum()).encode(connections.encode_family(&labels)?)?;
            }
        }
        let mut count = |name, help, of: fn(&Tally) -> &Counter| -> fmt::Result {
            let mut counted = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for pool in pools {
                let labels = [("upstream", &*pool.upstream.name)];
                of(&pool.tally).encode(counted.encode_family(&labels)?)?;
            }
            Ok(())
        };
        let help = "Servers that were ejected after failures in a row";
        count("tollgate_upstream_ejections", help, |tally| &tally.ejections)?;
        let help = "Accounts that were shut out for a while because only their requests had failed";
        count("tollgate_upstream_accounts_shut_out", help, |tally| &tally.shut_out)?;
        count(
            "tollgate_upstream_retries",
            "Requests that were sent to another server because the first one could not take them",
            |tally| &tally.retries,
        )?;
        let help =
            "Requests that were sent again because their idle connection had been closed before it received them";
        count("tollgate_upstream_repeats", help, |tally| &tally.repeated)?;
        count("tollgate_upstream_health_check_failures", "Failed health checks", |tally| &tally.failed_checks)?;
        // Only where there are any, so that the others have no empty families.
        if pools.iter().any(|pool| pool.gate.is_some()) { gates(&mut encoder, pools) } else { Ok(()) }
    }
}
