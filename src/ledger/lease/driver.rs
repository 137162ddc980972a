//! What a gateway sends, and when: heartbeats, acquisitions ahead of demand and for requests that wait, answers to
//! recalls, the janitor's work, and its end. One message is on its way at a time.
//!
//! Requests use balances of their own ([`Balances`]) and touch nothing here, unless they find too little. Like the rest of
//! the protocol, this has no I/O and no clock: whoever drives it asks for the [`Next`] step, does it, and says what came of
//! it. It sells nothing by itself; what it may sell, and until when, it tells the balances.

mod balances;
mod wants;

use std::collections::BTreeMap;

use super::janitor::Janitor;
use super::message::{Answer, Ask, Fence, Heartbeats, Key, NodeId, Outcome, Request};
use super::node::{Kind, Node, State, TakenOver};
use super::terms::{Terms, Time};
use wants::Wants;

pub use balances::{Balances, Usage};
pub use wants::Verdict;

// All times are in milliseconds.
/// Between two heartbeats, unless there is something that others wait for.
const HEARTBEAT: Time = 1_250;
/// How often it is looked whether others need credits.
const RECALLS: Time = 250;
/// How often the janitor looks at the heartbeats.
const LOOK: Time = 5_000;
/// How often demand is counted.
const COUNT: Time = 1_000;
/// The pause after a failure or a refusal; twice as long after each further failure.
const RETRY: Time = 200;
/// The longest pause.
const MOST_RETRY: Time = 5_000;
/// How soon it is looked again whether requests have ended.
const SOON: Time = 50;
/// The most keys of one acquisition.
const MOST_ASKS: usize = 100;

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, then call [`Driver::answered`] or [`Driver::failed`].
    Send(Request),
    /// Read what is recalled, then call [`Driver::recalled`] or [`Driver::failed`].
    Recalls(NodeId),
    /// Read the heartbeats, then call [`Driver::looked`] or [`Driver::failed`].
    Look,
    Fence(Fence),
    /// The identity is over: call [`Driver::begin`] with a new one.
    Begin,
    /// Nothing before this time, unless a request is short of credits.
    Wait(Time),
}

/// Drives one identity after the other.
#[derive(Debug)]
pub struct Driver {
    terms: Terms,
    node: Node,
    wants: BTreeMap<Key, Wants>,
    /// Of each lease, the total that was made available.
    added: BTreeMap<Key, u64>,
    janitor: Janitor,
    fences: Vec<Fence>,
    verdicts: Vec<(Key, Verdict)>,
    heartbeat_at: Time,
    recalls_at: Time,
    look_at: Time,
    count_at: Time,
    retry_at: Time,
    failures: u32,
}

impl Driver {
    /// Drives a new identity, or that of a journal or of a predecessor.
    pub fn new(node: Node, terms: Terms, now: Time) -> Driver {
        let added = node.leases.iter().map(|(key, lease)| (key, lease.counters.taken)).collect();
        Driver {
            terms,
            node,
            wants: BTreeMap::new(),
            added,
            janitor: Janitor::default(),
            fences: Vec::new(),
            verdicts: Vec::new(),
            heartbeat_at: now,
            recalls_at: now,
            look_at: now,
            count_at: now,
            retry_at: now,
            failures: 0,
        }
    }

    /// The identity.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What the next process has to know of the identity; `None` once it sells nothing any more.
    pub fn handover(&self) -> Option<TakenOver> {
        self.node.handover(&self.terms)
    }

    /// Requests can take so long from here on.
    pub fn allow(&mut self, longest_request: Time) -> Terms {
        self.terms.longest_request = self.terms.longest_request.max(longest_request);
        self.terms
    }

    /// Takes no more leases from here on, and retires once no request holds anything.
    pub fn drain(&mut self) {
        self.node.drain();
    }

    /// A request needs so many credits of a key, and finds too few. A [`Verdict`] follows.
    pub fn short(&mut self, key: Key, credits: u64, now: Time) {
        self.wants.entry(key).or_insert_with(|| Wants::new(now)).short(credits, now);
        // It does not wait for a pause that has grown long.
        self.retry_at = self.retry_at.min(now + RETRY);
    }

    /// What requests that are short of credits are told, since this was asked last.
    pub fn verdicts(&mut self) -> Vec<(Key, Verdict)> {
        std::mem::take(&mut self.verdicts)
    }

    /// Begins another identity, which nobody has had, unless the journal cannot have it now.
    pub fn begin(&mut self, id: NodeId, now: Time, balances: &mut impl Balances) {
        self.retry_at = now;
        if !balances.begin(id) {
            return self.failed(now);
        }
        self.node = Node::new(id, now);
        self.added.clear();
        self.wants.values_mut().for_each(|wants| wants.begin(now));
        self.heartbeat_at = now;
    }

    /// What to do now.
    pub fn next(&mut self, now: Time, balances: &mut impl Balances) -> Next {
        self.node.tick(now, &self.terms);
        self.adjust(now, balances);
        if now < self.retry_at {
            return Next::Wait(self.retry_at);
        }
        if self.node.state >= State::Retired && self.node.settled {
            return Next::Begin;
        }
        let serves = self.node.joined.is_some() && self.node.state <= State::Draining;
        if serves && now >= self.recalls_at {
            self.recalls_at = now + RECALLS;
            return Next::Recalls(self.node.identity.id);
        }
        if let Some(fence) = self.fences.pop() {
            return Next::Fence(fence);
        }
        // Also while this identity waits for its own end, since that may wait for others'.
        if now >= self.look_at {
            self.look_at = now + LOOK;
            return Next::Look;
        }
        match self.kind(now, balances).and_then(|kind| self.send(kind, now, balances)) {
            Some(request) => Next::Send(request),
            None => Next::Wait(self.wake_at(now, serves)),
        }
    }

    fn wake_at(&self, now: Time, serves: bool) -> Time {
        if !serves {
            return now + SOON;
        }
        let timers = [self.recalls_at, self.look_at, self.heartbeat_at, self.count_at];
        let waiting = self.wants.values().filter_map(|wants| wants.next(now));
        timers.into_iter().chain(waiting).min().map_or(now + SOON, |first| first.max(now + 1))
    }

    /// The kind of message that is due.
    fn kind(&self, now: Time, balances: &impl Balances) -> Option<Kind> {
        match self.node.due()? {
            Kind::Report if now >= self.heartbeat_at => Some(Kind::Report),
            Kind::Report if now + HEARTBEAT >= self.heartbeat_at + SOON && self.node.has_returned() => {
                Some(Kind::Report)
            }
            Kind::Report => {
                let asks = self.asks(now, balances);
                (!asks.is_empty()).then_some(Kind::Acquire(asks))
            }
            due => Some(due),
        }
    }

    fn asks(&self, now: Time, balances: &impl Balances) -> Vec<Ask> {
        let ask = |(key, wants): (&Key, &Wants)| {
            let direct = self.node.leases.get(*key).is_some_and(|lease| lease.direct);
            wants.ask(*key, balances.usage(*key).available, direct, now)
        };
        // Those that wait are not behind those that do not.
        let mut asks: Vec<Ask> = self.wants.iter().filter_map(ask).collect();
        asks.sort_by_key(|ask| ask.again);
        asks.truncate(MOST_ASKS);
        asks
    }

    /// The message, once the journal has what it says.
    fn send(&mut self, kind: Kind, now: Time, balances: &mut impl Balances) -> Option<Request> {
        if kind == Kind::Retire {
            // From here on nothing can be held.
            self.close(balances);
        }
        for key in self.keys() {
            self.observe(key, balances);
        }
        let is_report = kind == Kind::Report;
        let request = self.node.send(kind, now, &self.terms)?;
        if is_report {
            self.heartbeat_at = now + HEARTBEAT;
        }
        Some(request)
    }

    /// Takes over what requests hold, and what the journal has.
    fn observe(&mut self, key: Key, balances: &impl Balances) {
        let Some(lease) = self.node.leases.get(key) else { return };
        let here = self.added.get(&key).copied().unwrap_or_default().saturating_sub(lease.counters.returned);
        let Usage { available, spent } = balances.usage(key);
        self.node.observe(key, here.saturating_sub(available).saturating_sub(spent), spent);
    }

    fn keys(&self) -> Vec<Key> {
        self.node.leases.iter().map(|(key, _)| key).collect()
    }

    fn close(&mut self, balances: &mut impl Balances) {
        balances.sell_until(0);
        for key in self.keys() {
            self.give_back(key, false, balances);
        }
    }

    fn give_back(&mut self, key: Key, recalled: bool, balances: &mut impl Balances) {
        let credits = balances.take_back(key);
        self.node.gave_back(key, credits, recalled);
    }

    /// Brings the balances to what the identity has: more credits, fewer credits, and until when.
    fn adjust(&mut self, now: Time, balances: &mut impl Balances) {
        let counts = now >= self.count_at;
        if counts {
            self.count_at = now + COUNT;
        }
        let sells = self.node.sells(&self.terms);
        balances.sell_until(if sells { self.node.renewed.saturating_add(self.terms.ttl) } else { 0 });
        for key in self.keys() {
            let Some(lease) = self.node.leases.get(key).copied() else { continue };
            let added = self.added.entry(key).or_default();
            let taken = lease.counters.taken;
            if sells && taken > *added && balances.add(key, taken) {
                *added = taken;
            }
            let here = added.saturating_sub(lease.counters.returned);
            let wants = self.wants.entry(key).or_insert_with(|| Wants::new(now));
            if counts {
                wants.count(here.saturating_sub(balances.usage(key).available), now);
            }
            if !sells || wants.returns(lease.direct, now) {
                self.give_back(key, false, balances);
            }
            self.observe(key, balances);
        }
        for (key, wants) in &mut self.wants {
            self.verdicts.extend(wants.expire(now).map(|verdict| (*key, verdict)));
        }
    }

    /// Takes the answer to what was sent.
    pub fn answered(&mut self, answer: &Answer, now: Time, balances: &mut impl Balances) {
        self.failures = 0;
        if answer.result.is_err() {
            self.retry_at = now + RETRY;
        }
        self.node.receive(answer, now, &self.terms);
        // Credits first, then whoever waits for them.
        self.adjust(now, balances);
        let Ok(Outcome::Acquired(acquired)) = &answer.result else { return };
        let terms = self.terms;
        for one in acquired {
            let wants = self.wants.entry(one.key).or_insert_with(|| Wants::new(now));
            self.verdicts.extend(wants.acquired(one, &terms, now).map(|verdict| (one.key, verdict)));
        }
    }

    /// What was sent or read has no answer: whether it was done is unknown.
    pub fn failed(&mut self, now: Time) {
        self.node.give_up();
        self.janitor.lost_contact();
        self.fences.clear();
        self.retry_at = now + RETRY.saturating_mul(1 << self.failures.min(8)).min(MOST_RETRY);
        self.failures = self.failures.saturating_add(1);
    }

    /// Others need credits of these keys: what no request holds is returned.
    pub fn recalled(&mut self, keys: &[Key], balances: &mut impl Balances) {
        for key in keys {
            self.give_back(*key, true, balances);
        }
    }

    /// The heartbeats, as they have just been read.
    pub fn looked(&mut self, heartbeats: &Heartbeats, now: Time) {
        self.janitor.look(heartbeats, now, &self.terms);
        self.fences = self.janitor.due(now, &self.terms).collect();
    }
}

#[cfg(test)]
mod tests;
