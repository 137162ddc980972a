//! The running upstreams: which server a request goes to, and what is learned from the result.
//!
//! A [`Pool`] is made from the policy's `Upstream` but is not part of the policy: the state of
//! servers survives a change of the configuration. Requests use only atomics here; the list of
//! servers is replaced as a whole when a name has new addresses. `exchange.rs` sends requests and
//! reads answers; `keep.rs` is the background work. pingora-load-balancing is not used: it has no
//! caps, no ejection and no breaker, and its backends are clones of an address that would have to
//! be made into a peer for each request.

pub mod blame;
pub mod breaker;
pub(crate) mod connector;
pub mod exchange;
pub mod figures;
pub mod gate;
pub mod health;
pub(crate) mod idle_pool;
pub mod keep;
mod lookup;
pub mod made_up;
mod probe;
mod resolve;
pub mod response;
pub mod servers;
pub mod settings;
mod tally;
pub(crate) mod translate;
pub(crate) mod unprocessed;
pub mod verdict;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::platform::clock::Clock;
use crate::policy::now::Now;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::rate::whole_seconds;
use crate::upstream::settings::Upstream;
use crate::upstream::settings::{Address, MAX_SERVERS};
use blame::{Asker, Shut};
use breaker::{Breaker, Change, Pass};
use gate::Gate;
use lookup::RETRY;
use servers::{Lack, Roster, Server, State, Tried};
use tally::Tally;
use verdict::Verdict;

/// Makes the connector for a server of an upstream.
pub type Connect<P> = fn(&Upstream, SocketAddr, Option<&P>) -> P;

/// All upstreams of a policy, in its order.
#[derive(Debug)]
pub struct Upstreams<P> {
    pools: Box<[Arc<Pool<P>>]>,
    connect: Connect<P>,
    clock: Clock,
}

/// One running upstream.
#[derive(Debug)]
pub struct Pool<P> {
    upstream: Upstream,
    connect: Connect<P>,
    clock: Clock,
    roster: ArcSwap<Roster<P>>,
    /// The addresses of each of the upstream's servers; for a name, those last resolved. Only the
    /// background task writes here.
    resolved: Mutex<Vec<Box<[SocketAddr]>>>,
    breaker: Arc<Breaker>,
    /// `None` if any number of requests may be in flight.
    gate: Option<Arc<Gate>>,
    tally: Arc<Tally>,
}

impl<P> Upstreams<P> {
    /// Prepares the upstreams of a policy. No connection is made and no name is resolved yet.
    pub fn new(upstreams: &[Upstream], connect: Connect<P>) -> Upstreams<P> {
        let clock = Clock::start();
        let pools = upstreams.iter().map(|upstream| Arc::new(Pool::new(upstream, connect, clock, None))).collect();
        Upstreams { pools, connect, clock }
    }

    /// The upstreams of the next policy: whatever stays the same keeps its state.
    pub fn renewed(&self, upstreams: &[Upstream]) -> Upstreams<P> {
        let renew = |upstream: &Upstream| {
            let before = self.pools.iter().find(|pool| pool.upstream.name == upstream.name);
            Arc::new(Pool::new(upstream, self.connect, self.clock, before.map(|pool| &**pool)))
        };
        Upstreams { pools: upstreams.iter().map(renew).collect(), connect: self.connect, clock: self.clock }
    }

    /// The upstream at an index of the policy.
    pub fn pool(&self, index: usize) -> Option<&Pool<P>> {
        self.pools.get(index).map(|pool| &**pool)
    }
}

/// Whether an upstream has a server that has not failed its health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Some,
    None,
    /// No server has an address yet.
    Unresolved,
}

impl<P> Pool<P> {
    /// Whether a server can be reached, according to health checks.
    pub fn reach(&self) -> Reach {
        let roster = self.roster.load();
        match roster.servers() {
            [] => Reach::Unresolved,
            servers if servers.iter().any(|server| server.state.health.is_up()) => Reach::Some,
            _ => Reach::None,
        }
    }

    fn new(upstream: &Upstream, connect: Connect<P>, clock: Clock, before: Option<&Pool<P>>) -> Pool<P> {
        let known = |address: &Address| before.and_then(|pool| pool.addresses_of(address)).unwrap_or_default();
        let resolved = upstream.servers.iter().map(|server| match &server.address {
            Address::Socket(address) => [*address].into(),
            name @ Address::Name { .. } => known(name),
        });
        let resolved: Vec<Box<[SocketAddr]>> = resolved.collect();
        let state_before = before.map(|pool| pool.roster.load_full());
        let roster = roster(upstream, connect, &resolved, state_before.as_deref());
        if upstream.health.is_none() {
            roster.servers().iter().for_each(|server| server.state.health.reset());
        }
        let gate = upstream.concurrency_limit.map(|rule| match before.and_then(|pool| pool.gate.as_ref()) {
            None => Arc::new(Gate::new(rule, clock)),
            // Who waits or is in flight there goes on, so at no moment there are more than the limit.
            Some(gate) => {
                gate.follow(rule);
                Arc::clone(gate)
            }
        });
        let breaker = before.map(|pool| &pool.breaker).filter(|breaker| *breaker.rule() == upstream.breaker);
        Pool {
            upstream: upstream.clone(),
            connect,
            clock,
            roster: ArcSwap::from_pointee(roster),
            resolved: Mutex::new(resolved),
            breaker: breaker.map_or_else(|| Arc::new(Breaker::new(upstream.breaker)), Arc::clone),
            gate,
            tally: before.map_or_else(Arc::default, |pool| Arc::clone(&pool.tally)),
        }
    }

    /// What requests have to pass before they enter, if their number is limited.
    pub fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// Admits a request of an account.
    ///
    /// # Errors
    /// `upstream-unavailable` while the breaker is open.
    pub fn enter<'p>(&'p self, asker: Asker<'p>) -> Result<Passage<'p, P>, Problem> {
        let now = self.clock.now();
        let pass = self.breaker.enter(asker, now).map_err(|wait| unavailable("the breaker is open", wait))?;
        let (tried, attempt, verdict) = (Tried::default(), None, Verdict::Unknown);
        Ok(Passage { pool: self, asker, roster: self.roster.load_full(), pass, tried, attempt, verdict, now })
    }

    /// The last known addresses of a server.
    fn addresses_of(&self, address: &Address) -> Option<Box<[SocketAddr]>> {
        let index = self.upstream.servers.iter().position(|server| server.address == *address)?;
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    /// Sets the addresses of the server at an index of the configuration; true if they are new.
    fn resolve(&self, index: usize, addresses: Box<[SocketAddr]>) -> bool {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = resolved.get_mut(index).filter(|known| **known != addresses) else { return false };
        *known = addresses;
        let roster = roster(&self.upstream, self.connect, &resolved, Some(&self.roster.load()));
        self.roster.store(Arc::new(roster));
        true
    }

    /// Logs servers whose ejection has ended.
    fn welcome_back(&self, now: Now) {
        for server in self.roster.load().servers().iter().filter(|server| server.has_returned(now)) {
            log::info!(
                target: "tollgate::upstream",
                "upstream {}: server {} gets requests again after its ejection",
                self.upstream.name, server.address,
            );
        }
    }
}

/// Builds the list of an upstream's servers. Servers that are known already keep their state, and
/// an address that occurs twice is one server.
fn roster<P>(
    upstream: &Upstream,
    connect: Connect<P>,
    resolved: &[Box<[SocketAddr]>],
    before: Option<&Roster<P>>,
) -> Roster<P> {
    let mut servers: Vec<Arc<Server<P>>> = Vec::new();
    for (configured, addresses) in upstream.servers.iter().zip(resolved) {
        let name: Arc<str> = configured.address.to_string().into();
        for address in addresses {
            if servers.len() == MAX_SERVERS || servers.iter().any(|server| server.address == *address) {
                continue;
            }
            let known = before.and_then(|roster| roster.servers().iter().find(|server| server.address == *address));
            servers.push(Arc::new(Server {
                name: Arc::clone(&name),
                address: *address,
                weight: configured.weight,
                max_requests: configured.max_requests,
                peer: connect(upstream, *address, known.map(|server| &server.peer)),
                state: known.map_or_else(Arc::<State>::default, |server| Arc::clone(&server.state)),
            }));
        }
    }
    Roster::new(servers)
}

/// One request's attempts at the servers of an upstream, one after the other. Its verdicts are
/// counted when it is dropped, also if the request was abandoned.
#[derive(Debug)]
pub struct Passage<'p, P> {
    pool: &'p Pool<P>,
    asker: Asker<'p>,
    roster: Arc<Roster<P>>,
    pass: Pass,
    tried: Tried,
    attempt: Option<Attempt<P>>,
    /// The verdict of the last finished attempt.
    verdict: Verdict,
    /// The last reading of the clock: when the request arrived, or when its last attempt ended.
    now: Now,
}

/// The server that a request is using at the moment.
#[derive(Debug)]
struct Attempt<P> {
    server: Arc<Server<P>>,
    since: Now,
    /// `None` until it is known.
    verdict: Option<Verdict>,
}

impl<P> Passage<'_, P> {
    /// A server that has not been tried yet. A request may move to another server only while none
    /// has received a byte of it.
    ///
    /// # Errors
    /// `upstream-unavailable`, if there is none.
    pub fn next_server(&mut self) -> Result<Arc<Server<P>>, Problem> {
        let again = self.attempt.is_some();
        self.end_attempt();
        let now = self.now;
        let chosen = self.roster.choose(&mut self.tried, self.asker, now).map(Arc::clone);
        let server = chosen.map_err(|lack| lacking(lack, &self.pool.upstream))?;
        if again {
            self.pool.tally.retries.inc();
        }
        self.attempt = Some(Attempt { server: Arc::clone(&server), since: now, verdict: None });
        Ok(server)
    }

    /// Counts a connection to the server, from the pool or a new one.
    pub fn connected(&self, reused: bool) {
        let tally = &self.pool.tally;
        if reused { &tally.reused } else { &tally.connected }.add_one();
    }

    /// Counts a request that is sent once more, since the server cannot have processed it.
    pub fn repeated(&self) {
        self.pool.tally.repeated.inc();
    }

    /// The server has failed before it received a byte of the request; returns the problem.
    pub fn unreachable(&mut self, problem: Problem) -> Problem {
        self.judge(Verdict::Unreachable);
        problem
    }

    /// The server has failed after it received the request; returns the problem.
    pub fn failed(&mut self, problem: Problem) -> Problem {
        self.judge(Verdict::Failed);
        problem
    }

    /// The server has answered, which says this about it.
    pub fn answered(&mut self, verdict: Verdict) {
        self.judge(verdict);
    }

    fn judge(&mut self, verdict: Verdict) {
        if let Some(attempt) = &mut self.attempt {
            attempt.verdict = Some(verdict);
        }
    }

    fn end_attempt(&mut self) {
        let Some(Attempt { server, since, verdict }) = self.attempt.take() else { return };
        let Pool { upstream, clock, tally, .. } = self.pool;
        server.leave();
        let now = clock.now();
        self.now = now;
        let waited = now.monotonic.saturating_sub(since.monotonic);
        self.verdict = verdict.unwrap_or_else(|| Verdict::of_abandoned(waited, upstream.slow_after));
        let (name, address, time) = (&upstream.name, server.address, upstream.ejection.time);
        match self.roster.judge(&server, self.verdict, self.asker, upstream.ejection, now) {
            Shut::Nobody => {}
            Shut::Asker => {
                tally.shut_out.inc();
                log::warn!(
                    target: "tollgate::upstream",
                    "upstream {name}: server {address} gets no requests of account {} for {time:?}, since they alone have failed there",
                    self.asker.name,
                );
            }
            Shut::Everybody => {
                tally.ejections.inc();
                log::warn!(
                    target: "tollgate::upstream",
                    "upstream {name}: server {address} is ejected for {time:?} after failures in a row",
                );
            }
        }
    }
}

impl<P> Drop for Passage<'_, P> {
    fn drop(&mut self) {
        self.end_attempt();
        let Pool { upstream, breaker, tally, .. } = self.pool;
        let (name, open_for) = (&upstream.name, upstream.breaker.open_for);
        match breaker.judge(self.pass, self.verdict, self.asker, self.now) {
            Change::Nothing => {}
            Change::Opened => log::warn!(
                target: "tollgate::upstream",
                "upstream {name}: the breaker is open; one request tries after {open_for:?}",
            ),
            Change::OpenedForOne => {
                tally.shut_out.inc();
                log::warn!(
                    target: "tollgate::upstream",
                    "upstream {name}: requests of account {} are refused for {open_for:?}, since they alone have failed",
                    self.asker.name,
                );
            }
            Change::Closed => {
                log::info!(target: "tollgate::upstream", "upstream {name}: the breaker is closed");
            }
        }
    }
}

/// The problem for a request that no server can take.
fn lacking(lack: Lack, upstream: &Upstream) -> Problem {
    match lack {
        Lack::Unresolved => unavailable("no server's name has been resolved", RETRY),
        Lack::Unhealthy => {
            let wait = upstream.health.as_ref().map_or(Duration::ZERO, |rule| rule.interval);
            unavailable("all servers are unhealthy", wait)
        }
        Lack::Full => unavailable("all servers have as many requests as they may", Duration::ZERO),
    }
}

/// `upstream-unavailable` with a `Retry-After` of whole seconds, rounded up and never 0.
fn unavailable(reason: &'static str, wait: Duration) -> Problem {
    Problem::new(Row::UpstreamUnavailable, reason).with(Hint::RetryAfter(whole_seconds(wait)))
}

#[cfg(test)]
#[path = "upstream/tests.rs"]
mod tests;
