//! What one account has used of its rates and quotas and of its requests in flight, where it has more limits than
//! one plain rate (that is `rate.rs` alone, without a lock).
//!
//! All limits of an account are counted under one lock, which is held for some comparisons and never while anything
//! is waited for: a request is counted in all rates that apply to it, or, if one of them is used up, in none, and
//! nobody sees a count that is taken back. The same holds for quotas.
//!
//! Every figure is this node's own: a limit allows so much on each node. Whoever is to bring the counts of several
//! nodes together reads [`Meter::usage`] and writes with [`Meter::at_least`]; a restart, an upgrade and a change of
//! the configuration go through the same two today.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::calendar::{Calendar, Counter};
use crate::policy::limit::{
    Asker, LimitState, LimitStates, Limits, Owner, QuotaLimit, RateLimit, Usage, Used, carried,
};
use crate::policy::now::Now;
use crate::policy::plan::{Allowances, Quota};
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::rate::{Tat, whole_seconds};
use crate::policy::weight::Weight;

/// All that is counted of one account.
#[derive(Debug)]
pub struct Meter {
    /// The account's name.
    pub account: Arc<str>,
    /// The name of the plan that its limits are from.
    pub plan: Option<Arc<str>>,
    /// The account's weight.
    pub weight: Weight,
    limits: Arc<Limits>,
    concurrency: Option<NonZeroU32>,
    /// The ledger is told already that there is something to write.
    told: AtomicBool,
    /// A rate has counted since this was asked the last time.
    touched: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// In the order of the rates.
    tats: Box<[Tat]>,
    /// In the order of the quotas.
    counters: Box<[Counter]>,
    in_flight: Arc<InFlight>,
    /// Who goes on counting, once another configuration has taken over.
    successor: Option<Arc<Meter>>,
    /// What was used of limits that a configuration before had: one that has them again goes on with it.
    former: Vec<Usage>,
}

/// The requests in flight of one account on this node.
#[derive(Debug, Default)]
pub struct InFlight(AtomicU32);

/// A request's place among those in flight, until it is dropped.
#[derive(Debug, Default)]
#[must_use = "a seat that is dropped is free again"]
pub struct Seat(Option<Arc<InFlight>>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.0 {
            in_flight.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// What a client is told to wait that has as many requests in flight as it may have: lookups take about as long.
const SECONDS_UNTIL_SEAT: u32 = 1;

impl Meter {
    /// One of which nothing is used.
    pub fn new(
        account: Arc<str>,
        plan: Option<Arc<str>>,
        limits: Arc<Limits>,
        concurrency: Option<NonZeroU32>,
    ) -> Meter {
        let state = State {
            tats: limits.rates.iter().map(|_| Tat::default()).collect(),
            counters: limits.quotas.iter().map(|_| Counter::default()).collect(),
            in_flight: Arc::default(),
            successor: None,
            former: Vec::new(),
        };
        Meter {
            account,
            plan,
            weight: Weight::default(),
            limits,
            concurrency,
            told: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Whether another one limits what this one does.
    pub fn has_same_limits(&self, other: &Meter) -> bool {
        self.limits == other.limits && self.concurrency == other.concurrency
    }

    /// The same meter of which nothing is used.
    pub fn unused(&self) -> Meter {
        let (account, limits) = (Arc::clone(&self.account), Arc::clone(&self.limits));
        Meter::new(account, self.plan.clone(), limits, self.concurrency).weighing(self.weight)
    }

    /// The same of an account with a weight.
    #[must_use]
    pub fn weighing(self, weight: Weight) -> Meter {
        Meter { weight, ..self }
    }

    /// Counts one request in every rate that applies to it, or in none.
    ///
    /// # Errors
    /// `rate-exceeded`, with the whole seconds after which all of them let one pass.
    pub fn take_rates(&self, asker: Asker<'_>, now: Now) -> Result<(), Problem> {
        self.counting(|meter, state| {
            let mut longest = None;
            for (limit, tat) in meter.rates(state, asker) {
                if let Err(wait) = limit.window.look(tat, now) {
                    longest = longest.max(Some((wait, limit.exceeded())));
                }
            }
            if let Some((wait, reason)) = longest {
                return Err(Problem::new(Row::RateExceeded, reason).with(Hint::RetryAfter(whole_seconds(wait))));
            }
            if !meter.touched.load(Ordering::Relaxed) {
                meter.touched.store(true, Ordering::Relaxed);
            }
            // Nobody else has counted since.
            meter.rates(state, asker).try_for_each(|(limit, tat)| limit.window.take(tat, now))
        })
    }

    /// Counts one request in every quota that applies to it, or in none; whether any does.
    ///
    /// # Errors
    /// `quota-exceeded`, with the seconds until all of them are renewed.
    pub fn take_quotas(&self, asker: Asker<'_>, now: Now) -> Result<bool, Problem> {
        self.counting(|meter, state| {
            let mut latest = None;
            for (limit, counter) in meter.quotas(state, asker, now) {
                if counter.used() >= limit.most.get() {
                    latest = latest.max(Some((counter.period().end, limit.exceeded())));
                }
            }
            if let Some((renewed, reason)) = latest {
                let wait = renewed.saturating_sub(now.unix_seconds).max(1);
                let wait = u32::try_from(wait).unwrap_or(u32::MAX);
                return Err(Problem::new(Row::QuotaExceeded, reason).with(Hint::RetryAfter(wait)));
            }
            let counted = meter.quotas(state, asker, now).map(|(_, counter)| counter.add_one());
            Ok(counted.count() > 0)
        })
    }

    /// Takes a place among the account's requests in flight.
    ///
    /// # Errors
    /// `concurrency-exceeded`.
    pub fn enter(&self) -> Result<Seat, Problem> {
        self.counting(|meter, state| {
            let Some(most) = meter.concurrency else { return Ok(Seat::default()) };
            // Seats are taken under the lock alone; they are given back without it.
            if state.in_flight.0.load(Ordering::Acquire) >= most.get() {
                let full = Problem::new(Row::ConcurrencyExceeded, "as many requests in flight as the account may have");
                return Err(full.with(Hint::RetryAfter(SECONDS_UNTIL_SEAT)));
            }
            state.in_flight.0.fetch_add(1, Ordering::AcqRel);
            Ok(Seat(Some(Arc::clone(&state.in_flight))))
        })
    }

    /// Requests in flight at this moment, and as many as there may be; `None` without a limit.
    pub fn in_flight(&self) -> Option<(u32, NonZeroU32)> {
        self.counting(|meter, state| Some((state.in_flight.0.load(Ordering::Acquire), meter.concurrency?)))
    }

    /// The limits that a request depends on, as they are at this moment: rates, then quotas.
    pub fn states(&self, asker: Asker<'_>, now: Now) -> LimitStates {
        self.counting(|meter, state| {
            let mut states: LimitStates = meter
                .rates(state, asker)
                .map(|(limit, tat)| LimitState::of_rate(limit.name, &limit.window.state(tat, now)))
                .collect();
            states.extend(meter.quotas(state, asker, now).map(|(limit, counter)| limit.state(counter, now)));
            states
        })
    }

    /// What an owner may use.
    pub fn allowances(&self, owner: &Owner) -> Allowances {
        let Limits { rates, quotas } = &*self.limits;
        let rates = rates.iter().filter(|limit| limit.owner == *owner).map(|limit| limit.window.allowance());
        let most = |calendar| {
            quotas.iter().find(|limit| limit.owner == *owner && limit.calendar == calendar).map(|limit| limit.most)
        };
        let quota = Quota { day: most(Calendar::Day), month: most(Calendar::Month) };
        Allowances { rates: rates.collect(), quota }
    }

    /// Every limit that a token can come to, with its owner: rates, then quotas.
    pub fn all(&self, token: &str, now: Now) -> Vec<(Owner, LimitState)> {
        let is_own = |owner: &Owner| match owner {
            Owner::Account | Owner::Product(_) => true,
            Owner::Token(name) => **name == *token,
        };
        self.counting(|meter, state| {
            let rates = meter.limits.rates.iter().zip(&state.tats).filter(|(limit, _)| is_own(&limit.owner));
            let rate = |(limit, tat): (&RateLimit, &Tat)| {
                (limit.owner.clone(), LimitState::of_rate(limit.name, &limit.window.state(tat, now)))
            };
            let mut all: Vec<(Owner, LimitState)> = rates.map(rate).collect();
            let quotas = meter.all_quotas(state, now).filter(|(limit, _)| is_own(&limit.owner));
            all.extend(quotas.map(|(limit, counter)| (limit.owner.clone(), limit.state(counter, now))));
            all
        })
    }

    /// Whether there is a quota.
    pub fn has_quota(&self) -> bool {
        !self.limits.quotas.is_empty()
    }

    /// What was used, so that it can be counted elsewhere.
    pub fn usage(&self, now: Now) -> Vec<Usage> {
        self.counting(|meter, state| meter.usage_of(state, now))
    }

    /// Counts at least what was used elsewhere: what was used stays used, in requests.
    pub fn at_least(&self, usage: &[Usage], now: Now) {
        self.counting(|meter, state| meter.raise(state, usage, now));
    }

    /// Adds what was counted elsewhere to what was counted here.
    pub fn add(&self, usage: &[Usage], now: Now) {
        self.counting(|meter, state| {
            for (limit, tat) in meter.limits.rates.iter().zip(&state.tats) {
                let left = carried(&limit.window, &limit.owner, usage);
                if !left.is_zero() {
                    limit.window.restore(tat, left, now.monotonic);
                }
            }
            for (limit, counter) in meter.all_quotas(state, now) {
                limit.used_in(usage).for_each(|(began, used)| counter.add(began, used));
            }
        });
    }

    /// What was used of quotas, for whoever writes it down: from here on it is known there.
    pub fn written(&self, now: Now) -> Vec<Usage> {
        self.counting(|meter, state| {
            let quotas = meter.all_quotas(state, now).map(|(limit, counter)| {
                counter.take_unknown();
                limit.usage(counter.period().start, counter.used())
            });
            quotas.collect()
        })
    }

    /// What was used of quotas since it was written down, for another process that counts it from here on.
    pub fn hand_over(&self, now: Now) -> Vec<Usage> {
        self.counting(|meter, state| {
            let more = meter.all_quotas(state, now).map(|(limit, counter)| {
                let more = counter.take_unknown();
                limit.usage(counter.period().start, more)
            });
            more.collect()
        })
    }

    /// Goes on with what was counted before another configuration took over. From here on the meter before counts
    /// in this one, so that no request is lost or counted twice while some still have the configuration before.
    pub fn inherit(self: &Arc<Meter>, before: &Arc<Meter>, now: Now) {
        if Arc::ptr_eq(self, before) {
            return;
        }
        let mut old = before.lock();
        if let Some(known) = old.successor.clone() {
            drop(old);
            return self.inherit(&known, now);
        }
        let mut new = self.lock();
        let mut usage = before.usage_of(&mut old, now);
        usage.append(&mut old.former);
        self.raise(&mut new, &usage, now);
        // The same quota goes on as it is, with what is written down of it.
        for (limit, counter) in self.limits.quotas.iter().zip(&mut new.counters) {
            let quotas = before.limits.quotas.iter().zip(&old.counters);
            let mut same = quotas.filter(|(known, _)| known.owner == limit.owner && known.calendar == limit.calendar);
            if let Some((_, known)) = same.next() {
                *counter = *known;
            }
        }
        usage.retain(|usage| !self.has(usage) && usage.is_current(now));
        new.former = usage;
        new.in_flight = Arc::clone(&old.in_flight);
        old.successor = Some(Arc::clone(self));
    }

    /// Whether the ledger is not told yet that there is something to write: only once until it has looked.
    pub fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// The ledger looks now: whatever is counted from here on is told anew.
    pub fn looked_at(&self) {
        self.told.store(false, Ordering::Release);
    }

    /// Whether one of the limits is the one that was used.
    fn has(&self, usage: &Usage) -> bool {
        match usage.used {
            Used::Rate { period, .. } => {
                let is_it = |limit: &RateLimit| limit.owner == usage.owner && limit.window.allowance().period == period;
                self.limits.rates.iter().any(is_it)
            }
            Used::Quota { calendar, .. } => {
                let is_it = |limit: &QuotaLimit| limit.owner == usage.owner && limit.calendar == calendar;
                self.limits.quotas.iter().any(is_it)
            }
        }
    }

    /// Whether a rate has counted since this was asked the last time.
    pub fn take_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed) && self.touched.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each count is whole in itself, also behind a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the counts: with those of the meter that goes on counting, if there is one.
    fn counting<T>(&self, act: impl FnOnce(&Meter, &mut State) -> T) -> T {
        let mut state = self.lock();
        let Some(mut meter) = state.successor.clone() else { return act(self, &mut state) };
        drop(state);
        loop {
            let next = {
                let mut state = meter.lock();
                match &state.successor {
                    None => return act(&meter, &mut state),
                    Some(next) => Arc::clone(next),
                }
            };
            meter = next;
        }
    }

    fn rates<'m>(&'m self, state: &'m State, asker: Asker<'m>) -> impl Iterator<Item = (&'m RateLimit, &'m Tat)> {
        self.limits.rates.iter().zip(&state.tats).filter(move |(limit, _)| limit.owner.applies(asker))
    }

    /// Those that apply, with the counters of the day and the month that it is.
    fn quotas<'m>(
        &'m self,
        state: &'m mut State,
        asker: Asker<'m>,
        now: Now,
    ) -> impl Iterator<Item = (&'m QuotaLimit, &'m mut Counter)> {
        self.all_quotas(state, now).filter(move |(limit, _)| limit.owner.applies(asker))
    }

    fn all_quotas<'m>(
        &'m self,
        state: &'m mut State,
        now: Now,
    ) -> impl Iterator<Item = (&'m QuotaLimit, &'m mut Counter)> {
        let quotas = self.limits.quotas.iter().zip(&mut state.counters);
        quotas.map(move |(limit, counter)| {
            counter.turn(limit.calendar, now.unix_seconds);
            (limit, counter)
        })
    }

    fn usage_of(&self, state: &mut State, now: Now) -> Vec<Usage> {
        let rates = self.limits.rates.iter().zip(&state.tats).map(|(limit, tat)| limit.usage(tat, now));
        let mut usage: Vec<Usage> = rates.collect();
        let quotas = self.all_quotas(state, now);
        usage.extend(quotas.map(|(limit, counter)| limit.usage(counter.period().start, counter.used())));
        usage
    }

    fn raise(&self, state: &mut State, usage: &[Usage], now: Now) {
        for (limit, tat) in self.limits.rates.iter().zip(&state.tats) {
            let left = carried(&limit.window, &limit.owner, usage);
            if !left.is_zero() {
                tat.raise(now.monotonic.saturating_add(left));
            }
        }
        for (limit, counter) in self.all_quotas(state, now) {
            for (began, used) in limit.used_in(usage) {
                counter.add(began, used.saturating_sub(counter.used()));
            }
        }
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
