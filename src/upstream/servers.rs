//! The servers of one upstream: whose turn it is, which are full, and which are ejected for a
//! while.
//!
//! Turns follow a plan that is made once from the weights (smooth weighted round robin, as in
//! nginx), so a request takes the next turn from an atomic counter, without locks. The turn of a
//! server that cannot take a request is skipped, which does not change the shares of the others.
//! Nothing here connects or reads a clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::blame::{Asker, Row, Shut, ShutUntil};
use super::health::Health;
use super::verdict::Verdict;
use crate::policy::now::Now;
use crate::upstream::settings::{EjectionRule, MAX_SERVERS};

/// The state of a running server. It outlives the roster it is in.
#[derive(Debug, Default)]
pub struct State {
    pub health: Health,
    in_flight: AtomicU32,
    /// Failures in a row. An ejection does not reset them: a server that fails again after it is at
    /// once ejected again.
    failures: Row,
    ejected: ShutUntil,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    Healthy,
    /// Its health checks have failed.
    Unhealthy,
    /// Its requests have failed.
    Ejected,
}

/// One server and its connector.
#[derive(Debug)]
pub struct Server<P> {
    /// Its name in the configuration.
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub weight: u32,
    pub max_requests: Option<u32>,
    pub peer: P,
    pub state: Arc<State>,
}

impl<P> Server<P> {
    /// Its state at this moment for an account: a server that has failed only for one account is
    /// ejected only for that account.
    pub fn standing(&self, asker: Asker<'_>, now: Now) -> ServerState {
        match (self.state.health.is_up(), self.state.ejected.wait(asker, now).is_some()) {
            (false, _) => ServerState::Unhealthy,
            (true, true) => ServerState::Ejected,
            (true, false) => ServerState::Healthy,
        }
    }

    /// The number of requests it has at this moment.
    pub fn in_flight(&self) -> u32 {
        self.state.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one more request, if its cap allows it.
    fn enter(&self) -> bool {
        let count = &self.state.in_flight;
        let Some(most) = self.max_requests else {
            count.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let one_more = |before: u32| (before < most).then(|| before.saturating_add(1));
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Ends the request that `choose` counted.
    pub fn leave(&self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether an ejection has ended since the last call.
    pub fn has_returned(&self, now: Now) -> bool {
        self.state.ejected.has_ended(now)
    }

    fn is_chosen_first(&self, asker: Asker<'_>, now: Now) -> bool {
        self.standing(asker, now) == ServerState::Healthy
    }
}

/// The servers that one request has tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried(u128);

const _: () = assert!(MAX_SERVERS <= 128, "a request remembers the servers it has tried in 128 bits");

impl Tried {
    fn has(self, index: u8) -> bool {
        self.0 & (1 << u32::from(index)) != 0
    }

    fn add(&mut self, index: u8) {
        self.0 |= 1 << u32::from(index);
    }
}

/// Why no server can take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No name has been resolved yet.
    Unresolved,
    /// All servers are unhealthy.
    Unhealthy,
    /// The healthy servers have as many requests as they may, or were tried.
    Full,
}

/// The servers of an upstream at a moment.
#[derive(Debug)]
pub struct Roster<P> {
    servers: Box<[Arc<Server<P>>]>,
    /// The index of the server at each turn.
    plan: Box<[u8]>,
    turn: AtomicUsize,
}

impl<P> Roster<P> {
    /// A roster of at most [`MAX_SERVERS`]; further servers are left out.
    pub fn new(servers: Vec<Arc<Server<P>>>) -> Roster<P> {
        let servers: Box<[_]> = servers.into_iter().take(MAX_SERVERS).collect();
        let weights: Vec<u32> = servers.iter().map(|server| server.weight).collect();
        Roster { plan: plan(&weights), servers, turn: AtomicUsize::new(0) }
    }

    /// All of them.
    pub fn servers(&self) -> &[Arc<Server<P>>] {
        &self.servers
    }

    /// Chooses a server that has not been tried, and counts the request, which the caller has to
    /// end with [`Server::leave`]. Ejected servers are used if no other is healthy.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choose(&self, tried: &mut Tried, asker: Asker<'_>, now: Now) -> Result<&Arc<Server<P>>, Lack> {
        let only_ejected = !self.servers.iter().any(|server| server.is_chosen_first(asker, now));
        let mut take = |index: u8| {
            let server = self.servers.get(usize::from(index))?;
            let may = match server.standing(asker, now) {
                ServerState::Healthy => true,
                ServerState::Ejected => only_ejected,
                ServerState::Unhealthy => false,
            };
            let taken = may && !tried.has(index) && server.enter();
            taken.then(|| {
                tried.add(index);
                server
            })
        };
        for _ in 0..self.plan.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.plan.len()).unwrap_or(0);
            if let Some(server) = self.plan.get(turn).and_then(|index| take(*index)) {
                return Ok(server);
            }
        }
        // Other requests take turns as well, so this one may have missed a server.
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

    /// Counts the verdict on a request of a server; returns for whom it is ejected. The last server
    /// in use is never ejected.
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

/// The order in which servers with these weights have their turns: each in proportion to its
/// weight, and spread as evenly as possible.
fn plan(weights: &[u32]) -> Box<[u8]> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let mut standings: Vec<(i64, i64)> = weights.iter().map(|weight| (i64::from(weight / divisor), 0)).collect();
    let total: i64 = standings.iter().map(|(weight, _)| weight).sum();
    let mut plan = Vec::new();
    for _ in 0..total {
        for (weight, credit) in &mut standings {
            *credit += *weight;
        }
        // The first of equals, so that ties follow the order of the configuration.
        let furthest = standings.iter_mut().enumerate().rev().max_by_key(|(_, (_, credit))| *credit);
        if let Some((index, (_, credit))) = furthest {
            *credit -= total;
            plan.extend(u8::try_from(index));
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
