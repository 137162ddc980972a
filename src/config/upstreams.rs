//! Upstreams: servers, health checks, ejection, the breaker and added headers, compiled from the
//! configuration.
//!
//! What an upstream is reached with is `compile.rs`.

use std::ops::RangeInclusive;

use super::compile::{out_of_range, time};
use super::listeners::Compiled;
use super::products::listed;
use super::units::{FromText, HeaderName, Parsed};
use super::{Source, file};
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::upstream::settings::{
    AddedHeaders, Address, BreakerRule, EjectionRule, HealthRule, MAX_SERVERS, Probe, Server,
};

/// The greatest weight of a server, which bounds the length of the plan of turns.
pub const MAX_WEIGHT: u32 = 100;

/// The most requests at a time that a server can be given.
pub const MAX_REQUESTS: u32 = 1_000_000;

/// The most checks or failures in a row that can be waited for.
pub const MAX_IN_A_ROW: u32 = 1000;

/// Headers that can be added to each request, and the bytes of a value.
const MAX_ADDED_HEADERS: usize = 32;
const MAX_VALUE_BYTES: usize = 8192;

/// Compiles the servers of an upstream.
pub fn servers(
    servers: Written<Listed<file::AnyServer>>,
    parent: &Place,
    own: &Compiled,
    mistakes: &mut Mistakes,
) -> Box<[Server]> {
    let servers = listed(servers, parent, "servers", "write at least one, as in [127.0.0.1:9001]", mistakes);
    if let Some((_, place)) = servers.get(MAX_SERVERS) {
        mistakes.push(place.clone(), format!("is one server too many; {MAX_SERVERS} fit into one upstream"));
    }
    let mut compiled: Vec<Server> = Vec::new();
    for (file::AnyServer(server), place) in servers {
        let instead = "write where the server is, as in 127.0.0.1:9001 or lookup-1.internal:9001";
        let own_place = server.address.place().filter(|place| **place != Place::default()).cloned();
        let address = server.address.require(&place, "address", instead, mistakes);
        let place = own_place.unwrap_or(place);
        let weight = number(server.weight, 1, 1..=MAX_WEIGHT, mistakes);
        let max_requests = match server.max_requests {
            written @ Written::Here(..) => Some(number(written, 1, 1..=MAX_REQUESTS, mistakes)),
            Written::Missing | Written::Bad => None,
        };
        let Some(Parsed(address)) = address else { continue };
        if address.port() == 0 {
            mistakes.push(place, "has the port 0; write the port that the backend listens on");
        } else if let Address::Socket(socket) = address
            && let Some(key) = own.taken(socket)
        {
            mistakes.push(place, format!("is the gateway's own {key} address; write that of the backend"));
        } else if compiled.iter().any(|known| known.address == address) {
            mistakes.push(place, "is listed already; remove it, or give the server a greater weight");
        }
        compiled.push(Server { address, weight, max_requests });
    }
    compiled.into()
}

/// Compiles how servers are asked whether they are well.
pub fn health(written: Written<file::HealthCheck>, mistakes: &mut Mistakes) -> Option<HealthRule> {
    let place = written.place()?.clone();
    let file::HealthCheck { path, status, tcp, interval, timeout, failures, successes } = written.take()?;
    let status_place = status.place().cloned();
    let status = u16::try_from(number(status, 200, 200..=599, mistakes)).unwrap_or_default();
    let tcp = tcp.take().unwrap_or(false);
    let probe = match (path, tcp) {
        (Written::Missing, true) => {
            if let Some(place) = status_place {
                mistakes.push(place, "says nothing beside tcp: true, which sends no request; remove one of the two");
            }
            Probe::Connect
        }
        (Written::Here(_, place), true) => {
            mistakes.push(place, "says nothing beside tcp: true, which sends no request; remove one of the two");
            Probe::Connect
        }
        (Written::Here(path, place), false) => {
            if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
                mistakes.push(place, "is not a path; write one as in /healthz");
            }
            Probe::Get { path: path.into(), status }
        }
        (Written::Missing, false) => {
            mistakes.push(place, "does not say what to ask for; write a path, as in path: /healthz, or tcp: true");
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

/// Compiles when servers are ejected: by default, too.
pub fn ejection(written: Written<file::Ejection>, mistakes: &mut Mistakes) -> EjectionRule {
    let file::Ejection { failures, time: ejected_for } = written.take().unwrap_or_default();
    EjectionRule { failures: number(failures, 5, 0..=MAX_IN_A_ROW, mistakes), time: time(ejected_for, 10, mistakes) }
}

/// Compiles when the breaker opens: never, without its key.
pub fn breaker(written: Written<file::Breaker>, mistakes: &mut Mistakes) -> BreakerRule {
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

/// Compiles the headers that every request to an upstream gets.
pub fn added(written: Entries<String>, source: &Source, mistakes: &mut Mistakes) -> AddedHeaders {
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, place, value) in written.0 {
        let name = HeaderName::from_text(&name).map_err(Into::into).map(|HeaderName(name)| name);
        match (name, resolved(&value, source)) {
            (Ok(name), Ok(value)) => {
                if headers.len() == MAX_ADDED_HEADERS {
                    mistakes.push(place, format!("is one header too many; {MAX_ADDED_HEADERS} can be added"));
                    break;
                }
                if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                    mistakes.push(place, "is added already; remove it");
                }
                headers.push((name, value));
            }
            (Err(what), _) | (_, Err(what)) => mistakes.push(place, what),
        }
    }
    AddedHeaders::new(&headers)
}

/// A header's value, or another secret, with what it takes from the environment and from files. A mistake never shows
/// any of it.
pub fn resolved(text: &str, source: &Source) -> Result<Box<str>, String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        let (from, after) = from.split_once('}').ok_or("has a ${ without its }; write ${env:NAME} or ${file:PATH}")?;
        value.push_str(before);
        if let Some(name) = from.strip_prefix("env:") {
            let found = std::env::var(name);
            value.push_str(&found.map_err(
                |_| "takes its value from a variable of the environment that is not set; set it, or correct its name",
            )?);
        } else if let Some(path) = from.strip_prefix("file:") {
            let found = source.text(path).map_err(|error| {
                format!("takes its value from a file that cannot be read ({error}); name one that this user may read")
            })?;
            value.push_str(found.trim_ascii_end());
        } else {
            return Err("has a ${…} that means nothing here; write ${env:NAME} or ${file:PATH}".to_owned());
        }
        rest = after;
    }
    value.push_str(rest);
    let value = value.trim_matches([' ', '\t']);
    let fits = (1..=MAX_VALUE_BYTES).contains(&value.len());
    if !fits || !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        return Err(format!(
            "has a value that no header can have; write 1 to {MAX_VALUE_BYTES} printable characters of ASCII"
        ));
    }
    Ok(value.into())
}

/// A number within a range, or its default.
fn number(written: Written<u32>, default: u32, range: RangeInclusive<u32>, mistakes: &mut Mistakes) -> u32 {
    let place = written.place().cloned();
    let number = written.take().unwrap_or(default);
    let wanted = || format!("a number from {} to {}", range.start(), range.end());
    out_of_range(place, range.contains(&number), wanted, mistakes);
    number
}
