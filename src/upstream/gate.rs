//! The gate in front of one upstream: no more requests pass at a time than the upstream can take, and accounts share what
//! there is by the weights of their plans.
//!
//! `gate/fair_queue.rs` decides who is next and who is turned away, `gate/gradient.rs` how many may pass. Here they are
//! under one lock, which is held for a few steps and never while anything is waited for. A request that waits has a
//! channel, through which its seat comes to it: a seat that nobody takes is given back like any other when it is dropped.

mod fair_queue;
mod gradient;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pingora_timeout::timeout;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

use crate::platform::clock::Clock;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::rate::whole_seconds;
use crate::policy::weight::Weight;
use crate::telemetry::counters::Histogram;
use crate::upstream::settings::ConcurrencyLimit;
use fair_queue::{Charge, Entered, FairQueue, Seated, Ticket, TurnedAway};
use gradient::Gradient;

/// The gate of an upstream.
pub struct Gate {
    clock: Clock,
    state: Mutex<State>,
    pub(super) tally: GateTally,
}

/// What the gate has counted.
#[derive(Debug, Default)]
pub(super) struct GateTally {
    /// Requests that were turned away because as many waited as may.
    pub full: Counter,
    /// Requests that were turned away because they had waited as long as they may.
    pub late: Counter,
    /// How long requests have waited that had to.
    pub waited: Histogram,
}

/// A gate at one moment.
#[derive(Clone, Copy, Debug)]
pub struct GateState {
    /// How many requests may be in flight.
    pub limit: u32,
    pub in_flight: u32,
    pub waiting: usize,
    /// What a request takes without load, if that is known.
    pub unloaded: Option<Duration>,
}

struct State {
    gradient: Gradient,
    queue: FairQueue<oneshot::Sender<Granted>>,
}

/// What comes to a request that waits.
type Granted = Result<Seat, Problem>;

/// The right to have one request in flight, until it is dropped.
#[must_use = "a seat that is dropped is free again"]
pub struct Seat {
    gate: Arc<Gate>,
    account: Arc<str>,
    charge: Charge,
    since: Duration,
    is_answered: bool,
}

/// A request that wants to pass.
#[must_use = "a request passes with a seat"]
pub enum Passing {
    Seated(Seat),
    Waits(Waiting),
}

/// A request that waits for its seat; one that is dropped does not wait any more.
pub struct Waiting {
    gate: Arc<Gate>,
    account: Arc<str>,
    /// `None` once it does not wait any more.
    ticket: Option<Ticket>,
    since: Duration,
    max_wait: Duration,
    granted: oneshot::Receiver<Granted>,
}

impl Gate {
    /// A gate through which nothing has passed.
    pub fn new(rule: ConcurrencyLimit, clock: Clock) -> Gate {
        let queue = FairQueue::new(rule.initial, rule.max_queue);
        let state = Mutex::new(State { gradient: Gradient::new(rule), queue });
        Gate { clock, state, tally: GateTally::default() }
    }

    /// Goes on by another rule; requests in flight and those that wait are the same.
    pub fn follow(self: &Arc<Gate>, rule: ConcurrencyLimit) {
        let mut state = self.lock();
        if *state.gradient.rule() != rule {
            state.gradient.follow(rule);
            state.queue.set_max_queue(rule.max_queue);
            let grants = state.renew(self.clock.now().monotonic);
            drop(state);
            self.hand_out(grants);
        }
    }

    /// A request of an account wants to pass.
    ///
    /// # Errors
    /// `overloaded`, with the seconds after which its account's requests that wait now will have passed.
    pub fn enter(self: &Arc<Gate>, account: &Arc<str>, weight: Weight) -> Result<Passing, Problem> {
        let now = self.clock.now().monotonic;
        let mut state = self.lock();
        let max_wait = state.gradient.rule().max_wait;
        let mut granted = None;
        let entered = state.queue.enter(account, weight, now, |_| {
            let (sender, receiver) = oneshot::channel();
            granted = Some(receiver);
            sender
        });
        let in_flight = state.queue.in_flight();
        state.gradient.sees(in_flight);
        drop(state);
        match (entered, granted) {
            (Entered::Seated(charge), _) => Ok(Passing::Seated(self.seat(Arc::clone(account), charge, now))),
            (Entered::Waits(ticket, instead_of), Some(granted)) => {
                if let Some(TurnedAway { waiter, retry_after }) = instead_of {
                    self.tally.full.inc();
                    // One that has just given up needs no answer.
                    let _ = waiter.send(Err(overloaded(QUEUE_FULL, retry_after)));
                }
                let (gate, account) = (Arc::clone(self), Arc::clone(account));
                Ok(Passing::Waits(Waiting { gate, account, ticket: Some(ticket), since: now, max_wait, granted }))
            }
            (Entered::Waits(..), None) => Err(Problem::new(Row::Internal, "a request waits for nothing")),
            (Entered::TurnedAway(retry_after), _) => {
                self.tally.full.inc();
                Err(overloaded(QUEUE_FULL, retry_after))
            }
        }
    }

    /// The gate at this moment.
    pub fn state(&self) -> GateState {
        let state = self.lock();
        GateState {
            limit: state.queue.limit(),
            in_flight: state.queue.in_flight(),
            waiting: state.queue.waiting(),
            unloaded: state.gradient.unloaded(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each step is whole in itself, also behind a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(self: &Arc<Gate>, account: Arc<str>, charge: Charge, now: Duration) -> Seat {
        Seat { gate: Arc::clone(self), account, charge, since: now, is_answered: false }
    }

    fn hand_out(self: &Arc<Gate>, grants: Vec<Seated<oneshot::Sender<Granted>>>) {
        let now = self.clock.now().monotonic;
        for Seated { account, waiter, charge } in grants {
            // The seat of one that has just given up comes back, and goes to the next.
            drop(waiter.send(Ok(self.seat(account, charge, now))));
        }
    }
}

impl State {
    /// Puts the limit in force, and seats whoever has room by it.
    fn renew(&mut self, now: Duration) -> Vec<Seated<oneshot::Sender<Granted>>> {
        self.queue.set_limit(self.gradient.limit());
        let mut grants = Vec::new();
        while let Some(granted) = self.queue.seat_next(now) {
            grants.push(granted);
        }
        self.gradient.sees(self.queue.in_flight());
        grants
    }
}

impl Seat {
    /// The upstream has answered, so the time that this took says how busy it is.
    pub fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = self.gate.clock.now().monotonic;
        let held = now.saturating_sub(self.since);
        let mut state = self.gate.lock();
        match self.is_answered {
            true => state.gradient.answered(held, now),
            false => state.gradient.given_up(held, now),
        };
        state.queue.leave(&self.account, self.charge, held);
        let grants = state.renew(now);
        drop(state);
        self.gate.hand_out(grants);
    }
}

impl Waiting {
    /// Waits for the seat.
    ///
    /// # Errors
    /// `overloaded`, once it has waited as long as it may, or if others wait that have had less than their share.
    pub async fn seated(mut self) -> Granted {
        match timeout(self.max_wait, &mut self.granted).await {
            Ok(granted) => {
                self.ticket = None;
                granted.unwrap_or(Err(LOST))
            }
            Err(_) => match self.cancel() {
                Some(retry_after) => {
                    self.gate.tally.late.inc();
                    Err(overloaded(WAITED, retry_after))
                }
                // It came at the last moment.
                None => self.granted.try_recv().unwrap_or(Err(LOST)),
            },
        }
    }

    /// Gives up the place in the queue; when the client may come again, if there was one.
    fn cancel(&mut self) -> Option<Duration> {
        let (ticket, now) = (self.ticket.take()?, self.gate.clock.now().monotonic);
        let cancelled = self.gate.lock().queue.cancel(&self.account, ticket, now);
        cancelled.map(|TurnedAway { retry_after, .. }| retry_after)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.cancel();
        self.gate.tally.waited.add(self.gate.clock.now().monotonic.saturating_sub(self.since));
    }
}

/// What only a fault of our own could bring about.
const LOST: Problem = Problem::new(Row::Internal, "a seat of an upstream was lost");

/// Why a request is turned away.
const QUEUE_FULL: &str =
    "as many requests wait for the upstream as may, and the account has the most of them by its weight";
const WAITED: &str = "the request has waited for the upstream as long as it may";

fn overloaded(reason: &'static str, retry_after: Duration) -> Problem {
    Problem::new(Row::Overloaded, reason).with(Hint::RetryAfter(whole_seconds(retry_after)))
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(formatter)
    }
}

#[cfg(test)]
#[path = "gate/tests.rs"]
mod tests;
