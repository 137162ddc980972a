//! The handling of failing servers: `health_check`, `ejection` and `breaker` of an upstream, their keys and compilers.

use serde_json::Value;

use super::bounds::{MAX_IN_A_ROW, MAX_REQUESTS};
use super::common::{number, time};
use super::fill::{duration, fill, section};
use crate::config::yaml::{Mistakes, Written};
use crate::upstream::settings::Upstream;
use crate::upstream::settings::{BreakerRule, EjectionRule, HealthRule, Probe};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::Written;

    /// Health checks of servers.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("anyOf" = [{"required": ["path"]}, {"required": ["tcp"]}]))]
    pub struct HealthCheck {
        /// The path of the GET request.
        #[schemars(regex(pattern = "^/[!-~]*$"))]
        pub path: Written<String>,
        /// The status that passes. Default: 200.
        #[schemars(range(min = 200, max = 599))]
        pub status: Written<u32>,
        /// Only connect, and send no request. Default: false.
        pub tcp: Written<bool>,
        /// From one check to the next. Default: 5s.
        pub interval: Text<Duration>,
        /// How long a check may take. Default: 1s.
        pub timeout: Text<Duration>,
        /// Failures in a row after which a server gets no requests. Default: 3.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_IN_A_ROW))]
        pub failures: Written<u32>,
        /// Successes in a row after which it gets requests again. Default: 2.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_IN_A_ROW))]
        pub successes: Written<u32>,
    }

    /// When a server is ejected.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Ejection {
        /// Failures in a row; 0 ejects nobody. Default: 5.
        #[schemars(range(min = 0, max = crate::config::bounds::MAX_IN_A_ROW))]
        pub failures: Written<u32>,
        /// How long the server gets no requests. Default: 10s.
        pub time: Text<Duration>,
    }

    /// The circuit breaker of an upstream.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Breaker {
        /// Failures in a row; 0 switches the condition off. Default: 5.
        #[schemars(range(min = 0, max = crate::config::bounds::MAX_IN_A_ROW))]
        pub failures: Written<u32>,
        /// The share of failures within `window`; 0 switches the condition off. Default: 50.
        #[schemars(range(min = 0, max = 100))]
        pub error_percent: Written<u32>,
        /// The time in which `error_percent` is measured. Default: 10s.
        pub window: Text<Duration>,
        /// Requests within `window` before `error_percent` counts. Default: 20.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_REQUESTS))]
        pub min_requests: Written<u32>,
        /// How long requests are refused as upstream-unavailable, before one may try. Default: 5s.
        pub open_for: Text<Duration>,
    }
}

/// Compiles `health_check`.
pub fn health(written: Written<written::HealthCheck>, mistakes: &mut Mistakes) -> Option<HealthRule> {
    let place = written.place()?.clone();
    let written::HealthCheck { path, status, tcp, interval, timeout, failures, successes } = written.take()?;
    let status_place = status.place().cloned();
    let status = u16::try_from(number(status, 200, 200..=599, mistakes)).unwrap_or_default();
    let tcp = tcp.take().unwrap_or(false);
    let probe = match (path, tcp) {
        (Written::Missing, true) => {
            if let Some(place) = status_place {
                mistakes.push(place, "has no effect with tcp: true, which sends no request; remove one of the two");
            }
            Probe::Connect
        }
        (Written::Here(_, place), true) => {
            mistakes.push(place, "has no effect with tcp: true, which sends no request; remove one of the two");
            Probe::Connect
        }
        (Written::Here(path, place), false) => {
            if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
                mistakes.push(place, "is not a path; write one as in /healthz");
            }
            Probe::Get { path: path.into(), status }
        }
        (Written::Missing, false) => {
            mistakes.push(place, "does not say what to check; write a path, as in path: /healthz, or tcp: true");
            Probe::Connect
        }
        (Written::Bad, _) => Probe::Connect,
    };
    Some(HealthRule {
        probe,
        interval: time(interval, 5, mistakes),
        timeout: time(timeout, 1, mistakes),
        failures: number(failures, 3, 1..=MAX_IN_A_ROW, mistakes),
        successes: number(successes, 2, 1..=MAX_IN_A_ROW, mistakes),
    })
}

/// Compiles `ejection`, which also has a default.
pub fn ejection(written: Written<written::Ejection>, mistakes: &mut Mistakes) -> EjectionRule {
    let written::Ejection { failures, time: ejected_for } = written.take().unwrap_or_default();
    EjectionRule { failures: number(failures, 5, 0..=MAX_IN_A_ROW, mistakes), time: time(ejected_for, 10, mistakes) }
}

/// Compiles `breaker`; without this key it never opens.
pub fn breaker(written: Written<written::Breaker>, mistakes: &mut Mistakes) -> BreakerRule {
    let Written::Here(breaker, place) = written else { return BreakerRule::NEVER };
    let rule = BreakerRule {
        failures: number(breaker.failures, 5, 0..=MAX_IN_A_ROW, mistakes),
        error_percent: number(breaker.error_percent, 50, 0..=100, mistakes),
        window: time(breaker.window, 10, mistakes),
        min_requests: number(breaker.min_requests, 20, 1..=MAX_REQUESTS, mistakes),
        open_for: time(breaker.open_for, 5, mistakes),
    };
    if rule.failures == 0 && rule.error_percent == 0 {
        mistakes.push(place, "would never open; give it failures or error_percent, or remove it");
    }
    rule
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, upstream: &Upstream) {
    if let Some(HealthRule { probe, interval, timeout, failures, successes }) = &upstream.health {
        let shown = section(shown, "health_check");
        match probe {
            Probe::Connect => fill(shown, "tcp", true),
            Probe::Get { status, .. } => {
                fill(shown, "tcp", false);
                fill(shown, "status", *status);
            }
        }
        fill(shown, "interval", duration(*interval));
        fill(shown, "timeout", duration(*timeout));
        fill(shown, "failures", *failures);
        fill(shown, "successes", *successes);
    }
    let ejection = section(shown, "ejection");
    fill(ejection, "failures", upstream.ejection.failures);
    fill(ejection, "time", duration(upstream.ejection.time));
    let BreakerRule { failures, error_percent, window, min_requests, open_for } = upstream.breaker;
    if let Some(shown) = shown.get_mut("breaker") {
        fill(shown, "failures", failures);
        fill(shown, "error_percent", error_percent);
        fill(shown, "window", duration(window));
        fill(shown, "min_requests", min_requests);
        fill(shown, "open_for", duration(open_for));
    }
}
