//! Seats that accounts share by weight: who gets the next one, who waits, and who is turned away.
//!
//! A seat is the right to have one request in flight. While there are free seats nobody waits. When there are none,
//! requests wait in a queue of their account, and accounts take turns by start-time fair queueing (Goyal, Vin and Cheng,
//! 1996), as in the API Priority and Fairness of Kubernetes: each account has a tag, which advances by the time that its
//! requests hold seats, divided by its weight, and the account with the lowest tag is next. So accounts that wait share the
//! time of the seats by weight, whatever each of their requests takes, and one that has asked for less than its share is
//! ahead of all that have had theirs. An account that comes back begins at the virtual time, which is the tag of the account
//! that got a seat last: nobody saves up for later, and nobody pays for seats that were free.
//!
//! When as many wait as may, the newest request of the account with the most waiting by its weight is turned away.
//!
//! Nothing here reads a clock or wakes anybody: times are arguments, and what waits is whatever the caller hands in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::policy::weight::Weight;

/// The place of a request among those that wait. Later ones are larger.
pub type Ticket = u64;

/// The most accounts without requests whose tags are remembered because they are ahead of the virtual time.
const MAX_REMEMBERED: usize = 10_000;

/// What a request is thought to hold a seat for before any has been measured.
const FIRST_GUESS: Duration = Duration::from_millis(10);

/// How much one request changes the mean: one part in so many.
const MEAN_OVER: u64 = 32;

/// The time over which the pace of a queue is measured.
const PACE_OVER: Duration = Duration::from_secs(10);

/// The longest time that a client is told to wait, and the shortest.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// What has become of a request that asks for a seat.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered<W> {
    /// It has a seat, which [`FairQueue::leave`] gives back.
    Seated(Charge),
    /// It waits, and this one is turned away for it, if there was no room for both.
    Waits(Ticket, Option<TurnedAway<W>>),
    /// It is turned away, and may come again after this time.
    TurnedAway(Duration),
}

/// One that has waited and is turned away.
#[derive(Debug, PartialEq, Eq)]
pub struct TurnedAway<W> {
    pub waiter: W,
    /// When its client may come again.
    pub retry_after: Duration,
}

/// One that has waited and has a seat now.
#[derive(Debug, PartialEq, Eq)]
pub struct Seated<W> {
    pub account: Arc<str>,
    pub waiter: W,
    pub charge: Charge,
}

/// What an account was charged for a seat in advance, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge(u64);

/// The seats of one upstream and those who want them; `W` is what the caller keeps of a request that waits.
#[derive(Debug)]
pub struct FairQueue<W> {
    limit: u32,
    max_queue: usize,
    in_flight: u32,
    waiting: usize,
    next_ticket: Ticket,
    /// The tag of the account that got a seat last.
    virtual_time: u64,
    /// How long requests hold seats on average, in microseconds.
    mean: u64,
    accounts: HashMap<Arc<str>, Account<W>>,
    /// The accounts with requests that wait, by tag and then by the ticket of their oldest request.
    turns: BTreeSet<(u64, Ticket, Arc<str>)>,
    /// The same accounts by the number of their requests that wait, relative to their weights.
    depths: BTreeSet<(u64, Arc<str>)>,
    /// The weights of these accounts together.
    waiting_weight: u64,
    /// Accounts without requests, whose tags are ahead of the virtual time.
    remembered: BTreeSet<(u64, Arc<str>)>,
}

/// An account that has requests, or whose tag is remembered.
#[derive(Debug)]
struct Account<W> {
    weight: u64,
    tag: u64,
    in_flight: u32,
    queue: BTreeMap<Ticket, W>,
    pace: Pace,
}

/// How fast requests of an account get seats while some wait.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    since: Duration,
    seated: u32,
}

impl<W> Account<W> {
    fn turn(&self) -> Option<(u64, Ticket)> {
        self.queue.first_key_value().map(|(ticket, _)| (self.tag, *ticket))
    }

    fn depth(&self, more: usize) -> u64 {
        relative(u64::try_from(self.queue.len().saturating_add(more)).unwrap_or(u64::MAX), self.weight)
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.queue.is_empty()
    }
}

/// A quantity relative to a weight, in whole numbers that stay exact enough for every weight.
fn relative(quantity: u64, weight: u64) -> u64 {
    quantity.saturating_mul(u64::from(Weight::MAX)).checked_div(weight).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl<W> FairQueue<W> {
    /// So many free seats, and room for so many that wait.
    pub fn new(limit: u32, max_queue: u32) -> FairQueue<W> {
        FairQueue {
            limit,
            max_queue: usize::try_from(max_queue).unwrap_or(usize::MAX),
            in_flight: 0,
            waiting: 0,
            next_ticket: 0,
            virtual_time: 0,
            mean: micros(FIRST_GUESS),
            accounts: HashMap::new(),
            turns: BTreeSet::new(),
            depths: BTreeSet::new(),
            waiting_weight: 0,
            remembered: BTreeSet::new(),
        }
    }

    /// The seats that there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The seats that are taken; more than there are, while there have become fewer.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Changes the number of seats. Whoever waits gets new ones with [`FairQueue::seat_next`].
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Changes how many may wait. Those who wait already go on waiting.
    pub fn set_max_queue(&mut self, max_queue: u32) {
        self.max_queue = usize::try_from(max_queue).unwrap_or(usize::MAX);
    }

    /// A request of an account wants a seat. `waiter` is called only if it has to wait.
    pub fn enter(
        &mut self,
        name: &Arc<str>,
        weight: Weight,
        now: Duration,
        waiter: impl FnOnce(Ticket) -> W,
    ) -> Entered<W> {
        self.find(name, weight);
        if self.in_flight < self.limit && self.waiting == 0 {
            return Entered::Seated(self.seat(name, self.virtual_time));
        }
        let mut turned_away = None;
        if self.waiting >= self.max_queue {
            let own = self.accounts.get(name).map_or(0, |account| account.depth(1));
            let deepest = self.depths.last().filter(|(depth, _)| *depth > own).map(|(_, deepest)| Arc::clone(deepest));
            match deepest.and_then(|deepest| self.turn_away(&deepest, now)) {
                Some(other) => turned_away = Some(other),
                None => {
                    let retry_after = self.retry_after(name, now);
                    self.forget_if_idle(name);
                    return Entered::TurnedAway(retry_after);
                }
            }
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let virtual_time = self.virtual_time;
        self.change(name, |account| {
            if account.queue.is_empty() {
                account.tag = account.tag.max(virtual_time);
                account.pace = Pace { since: now, seated: 0 };
            }
            account.queue.insert(ticket, waiter(ticket));
        });
        Entered::Waits(ticket, turned_away)
    }

    /// Takes back a request that waits: what was kept of it, and when its client may come again; `None` if it does not
    /// wait any more.
    pub fn cancel(&mut self, name: &Arc<str>, ticket: Ticket, now: Duration) -> Option<TurnedAway<W>> {
        let retry_after = self.retry_after(name, now);
        let waiter = self.change(name, |account| account.queue.remove(&ticket))??;
        self.forget_if_idle(name);
        Some(TurnedAway { waiter, retry_after })
    }

    /// A request gives its seat back, which it has held for this time.
    pub fn leave(&mut self, name: &Arc<str>, charge: Charge, held: Duration) {
        let held = micros(held);
        self.mean = (self.mean.saturating_mul(MEAN_OVER - 1).saturating_add(held) / MEAN_OVER).max(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.change(name, |account| {
            account.in_flight = account.in_flight.saturating_sub(1);
            // What it was charged in advance was a guess.
            account.tag = account.tag.saturating_add(relative(held.saturating_sub(charge.0), account.weight));
            account.tag = account.tag.saturating_sub(relative(charge.0.saturating_sub(held), account.weight));
        });
        self.forget_if_idle(name);
        if self.in_flight == 0 && self.waiting == 0 {
            // Nobody is ahead of anybody any more.
            self.accounts.clear();
            self.remembered.clear();
            self.virtual_time = 0;
        }
    }

    /// Gives a free seat to the one that is next; `None` if there is no seat, or nobody waits.
    pub fn seat_next(&mut self, now: Duration) -> Option<Seated<W>> {
        if self.in_flight >= self.limit {
            return None;
        }
        let (_, ticket, name) = self.turns.first()?.clone();
        let waiter = self.change(&name, |account| account.queue.remove(&ticket))??;
        let charge = self.seat(&name, 0);
        if let Some(account) = self.accounts.get_mut(&name) {
            account.pace.count(now);
        }
        Some(Seated { account: name, waiter, charge })
    }

    /// Makes sure that an account is known, with the weight that it has now.
    fn find(&mut self, name: &Arc<str>, weight: Weight) {
        let weight = u64::from(weight.get());
        match self.accounts.get(name) {
            None => {
                let (tag, pace) = (self.virtual_time, Pace::default());
                let account = Account { weight, tag, in_flight: 0, queue: BTreeMap::new(), pace };
                self.accounts.insert(Arc::clone(name), account);
            }
            Some(account) => {
                if account.is_idle() {
                    self.remembered.remove(&(account.tag, Arc::clone(name)));
                }
                if account.weight != weight {
                    self.change(name, |account| account.weight = weight);
                }
            }
        }
    }

    /// Takes a seat for an account, whose tag is at least so large, and charges it.
    fn seat(&mut self, name: &Arc<str>, least: u64) -> Charge {
        self.in_flight = self.in_flight.saturating_add(1);
        let mean = self.mean;
        let begun = self.change(name, |account| {
            let begun = account.tag.max(least);
            account.in_flight = account.in_flight.saturating_add(1);
            account.tag = begun.saturating_add(relative(mean, account.weight));
            begun
        });
        self.virtual_time = begun.unwrap_or_default().max(self.virtual_time);
        // Who was remembered has had no more than its share by now.
        while self.remembered.first().is_some_and(|(tag, _)| *tag <= self.virtual_time) {
            self.forget_first();
        }
        Charge(mean)
    }

    /// Turns the newest request of an account away.
    fn turn_away(&mut self, name: &Arc<str>, now: Duration) -> Option<TurnedAway<W>> {
        let retry_after = self.retry_after(name, now);
        let (_, waiter) = self.change(name, |account| account.queue.pop_last())??;
        self.forget_if_idle(name);
        Some(TurnedAway { waiter, retry_after })
    }

    /// Changes an account, and its places in the orders with it.
    fn change<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Account<W>) -> T) -> Option<T> {
        let account = self.accounts.get_mut(name)?;
        if let Some((tag, ticket)) = account.turn() {
            self.turns.remove(&(tag, ticket, Arc::clone(name)));
            self.depths.remove(&(account.depth(0), Arc::clone(name)));
            self.waiting_weight = self.waiting_weight.saturating_sub(account.weight);
        }
        self.waiting = self.waiting.saturating_sub(account.queue.len());
        let outcome = change(account);
        self.waiting = self.waiting.saturating_add(account.queue.len());
        if let Some((tag, ticket)) = account.turn() {
            self.turns.insert((tag, ticket, Arc::clone(name)));
            self.depths.insert((account.depth(0), Arc::clone(name)));
            self.waiting_weight = self.waiting_weight.saturating_add(account.weight);
        }
        Some(outcome)
    }

    /// Forgets an account without requests, unless it has had more than its share.
    fn forget_if_idle(&mut self, name: &Arc<str>) {
        let Some(account) = self.accounts.get(name).filter(|account| account.is_idle()) else { return };
        if account.tag <= self.virtual_time {
            self.accounts.remove(name);
            return;
        }
        self.remembered.insert((account.tag, Arc::clone(name)));
        if self.remembered.len() > MAX_REMEMBERED {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, name)) = self.remembered.pop_first() {
            self.accounts.remove(&name);
        }
    }

    /// When a client of an account may come again: once those of its requests that wait now have got seats, by the pace
    /// at which they did so far.
    fn retry_after(&self, name: &Arc<str>, now: Duration) -> Duration {
        let Some(account) = self.accounts.get(name) else { return SHORTEST_RETRY };
        let queued = u64::try_from(account.queue.len()).unwrap_or(u64::MAX);
        let each = account.pace.each(now).unwrap_or_else(|| {
            // Nothing is measured yet: a seat is free after a share of the mean, and the account gets its part of them.
            let others = self.waiting_weight.max(account.weight);
            self.mean.saturating_mul(others) / account.weight.saturating_mul(u64::from(self.limit)).max(1)
        });
        Duration::from_micros(queued.saturating_mul(each)).clamp(SHORTEST_RETRY, LONGEST_RETRY)
    }
}

impl Pace {
    /// The fewest seats from which a pace is told.
    const ENOUGH: u32 = 4;

    /// Counts a seat, and lets older ones count less.
    fn count(&mut self, now: Duration) {
        self.seated = self.seated.saturating_add(1);
        let measured = now.saturating_sub(self.since);
        if measured > PACE_OVER {
            self.since = self.since.saturating_add(measured / 2);
            self.seated /= 2;
        }
    }

    /// The microseconds from one seat to the next, once that can be told.
    fn each(&self, now: Duration) -> Option<u64> {
        let measured = micros(now.saturating_sub(self.since));
        (self.seated >= Pace::ENOUGH).then(|| measured / u64::from(self.seated))
    }
}

#[cfg(test)]
#[path = "fair_queue_tests.rs"]
mod tests;
