//! The servers of one upstream: whose turn it is, who is full, and who is left out for a while.
//!
//! Turns follow a plan that is made once from the weights (smooth weighted round robin, as nginx
//! has it), so that a request takes one from an atomic counter and waits for nobody. A turn of a
//! server that cannot take it is passed over, which leaves the shares of the others as they are.
//! This file connects to nobody and reads no clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::blame::{Asker, Row, Shut, ShutUntil};
use super::health::Health;
use super::verdict::Verdict;
use crate::policy::now::Now;
use crate::upstream::settings::{EjectionRule, MAX_SERVERS};

/// What is known of a server while it runs. It outlives the roster it stands in.
#[derive(Debug, Default)]
pub struct State {
    pub health: Health,
    in_flight: AtomicU32,
    /// Failures in a row. An ejection does not end the row: a server that comes back and fails again
    /// goes at once.
    failures: Row,
    ejected: ShutUntil,
}

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    Healthy,
    /// Its health checks have failed.
    Unhealthy,
    /// Its requests have failed.
    Ejected,
}

/// One server, with what it takes to connect to it.
#[derive(Debug)]
pub struct Server<P> {
    /// As the configuration calls it.
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub weight: u32,
    pub max_requests: Option<u32>,
    pub peer: P,
    pub state: Arc<State>,
}

impl<P> Server<P> {
    /// How it stands at this moment for an account: what has failed for one alone is ejected for it
    /// alone.
    pub fn standing(&self, asker: Asker<'_>, now: Now) -> ServerState {
        match (self.state.health.is_up(), self.state.ejected.wait(asker, now).is_some()) {
            (false, _) => ServerState::Unhealthy,
            (true, true) => ServerState::Ejected,
            (true, false) => ServerState::Healthy,
        }
    }

    /// How many requests it has at this moment.
    pub fn in_flight(&self) -> u32 {
        self.state.in_flight.load(Ordering::Relaxed)
    }

    /// Takes a place among its requests, if there is one.
    fn enter(&self) -> bool {
        let count = &self.state.in_flight;
        let Some(most) = self.max_requests else {
            count.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let one_more = |before: u32| (before < most).then(|| before.saturating_add(1));
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Gives the place back that a choice has taken.
    pub fn leave(&self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether an ejection has ended since this was asked the last time.
    pub fn has_returned(&self, now: Now) -> bool {
        self.state.ejected.has_ended(now)
    }

    fn is_chosen_first(&self, asker: Asker<'_>, now: Now) -> bool {
        self.standing(asker, now) == ServerState::Healthy
    }
}

/// The servers that one request has been sent to or tried to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried(u128);

const _: () = assert!(MAX_SERVERS <= 128, "a request remembers the servers it has tried in 128 bits");

impl Tried {
    fn has(self, place: u8) -> bool {
        self.0 & (1 << u32::from(place)) != 0
    }

    fn add(&mut self, place: u8) {
        self.0 |= 1 << u32::from(place);
    }
}

/// Why no server can have a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No name has been resolved yet.
    Unresolved,
    /// All are unhealthy.
    Unhealthy,
    /// Those that are well have as many requests as they may, or were tried.
    Full,
}

/// The servers of an upstream at some moment.
#[derive(Debug)]
pub struct Roster<P> {
    servers: Box<[Arc<Server<P>>]>,
    /// The place of the server at each turn.
    plan: Box<[u8]>,
    turn: AtomicUsize,
}

impl<P> Roster<P> {
    /// A roster of at most [`MAX_SERVERS`]; further ones are left out.
    pub fn new(servers: Vec<Arc<Server<P>>>) -> Roster<P> {
        let servers: Box<[_]> = servers.into_iter().take(MAX_SERVERS).collect();
        let weights: Vec<u32> = servers.iter().map(|server| server.weight).collect();
        Roster { plan: plan(&weights), servers, turn: AtomicUsize::new(0) }
    }

    /// All of them.
    pub fn servers(&self) -> &[Arc<Server<P>>] {
        &self.servers
    }

    /// Chooses a server that has not been tried, and takes a place among its requests, which the
    /// caller has to give back. Ejected ones serve when nobody else is healthy.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choose(&self, tried: &mut Tried, asker: Asker<'_>, now: Now) -> Result<&Arc<Server<P>>, Lack> {
        let only_ejected = !self.servers.iter().any(|server| server.is_chosen_first(asker, now));
        let mut take = |place: u8| {
            let server = self.servers.get(usize::from(place))?;
            let may = match server.standing(asker, now) {
                ServerState::Healthy => true,
                ServerState::Ejected => only_ejected,
                ServerState::Unhealthy => false,
            };
            let taken = may && !tried.has(place) && server.enter();
            taken.then(|| {
                tried.add(place);
                server
            })
        };
        for _ in 0..self.plan.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.plan.len()).unwrap_or(0);
            if let Some(server) = self.plan.get(turn).and_then(|place| take(*place)) {
                return Ok(server);
            }
        }
        // Others draw turns as well, so that ours may have missed somebody.
        let all = 0..u8::try_from(self.servers.len()).unwrap_or(u8::MAX);
        all.into_iter().find_map(take).ok_or_else(|| self.lack())
    }

    fn lack(&self) -> Lack {
        if self.servers.is_empty() {
            Lack::Unresolved
        } else if self.servers.iter().any(|server| server.state.health.is_up()) {
            Lack::Full
        } else {
            Lack::Unhealthy
        }
    }

    /// Takes the verdict on a request of a server: whether that ejects it, and for whom. The last one
    /// that serves is never ejected.
    pub fn judge(&self, server: &Server<P>, verdict: Verdict, asker: Asker<'_>, rule: EjectionRule, now: Now) -> Shut {
        let state = &server.state;
        match verdict {
            Verdict::Unknown => Shut::Nobody,
            Verdict::Sound => {
                state.failures.end();
                Shut::Nobody
            }
            Verdict::Unreachable | Verdict::Failed => {
                let shut = state.failures.count(verdict, asker, rule.failures);
                let for_whom = if shut == Shut::Asker { asker } else { Asker::NOBODY };
                let mut others = self.servers.iter().filter(|other| !Arc::ptr_eq(&other.state, state));
                let ejected = shut != Shut::Nobody
                    && others.any(|other| other.is_chosen_first(for_whom, now))
                    && state.ejected.shut(shut, asker, rule.time, now);
                if ejected { shut } else { Shut::Nobody }
            }
        }
    }
}

/// The order in which servers of these weights have their turns: each as often as its weight says,
/// as far apart as they can be.
fn plan(weights: &[u32]) -> Box<[u8]> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let mut standings: Vec<(i64, i64)> = weights.iter().map(|weight| (i64::from(weight / divisor), 0)).collect();
    let total: i64 = standings.iter().map(|(weight, _)| weight).sum();
    let mut plan = Vec::new();
    for _ in 0..total {
        for (weight, credit) in &mut standings {
            *credit += *weight;
        }
        // The first of equals, so that the order is that of the configuration.
        let furthest = standings.iter_mut().enumerate().rev().max_by_key(|(_, (_, credit))| *credit);
        if let Some((place, (_, credit))) = furthest {
            *credit -= total;
            plan.extend(u8::try_from(place));
        }
    }
    plan.into()
}

fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
#[path = "servers_tests.rs"]
mod tests;
