//! One identity of a node: its states, its requests, what it makes of the answers.

use super::holding::Lease;
use super::message::{Acquired, Answer, Ask, Body, Counters, Epoch, Identity, Key, NodeId, Outcome};
use super::message::{Pending, Refusal, Request};
use super::table::Table;
use super::terms::{Rule, Terms, Time};

/// States of an identity, in the only order that they can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The centre may not know the identity yet, or so recently that a failover could lose it: it takes no lease.
    Joining,
    Live,
    /// Takes no more leases, and serves the last requests.
    Draining,
    /// No heartbeat was acknowledged in time, or the process has ended: nothing is sold any more.
    Expired,
    /// Ended by its own last word.
    Retired,
    /// Ended by another node.
    Fenced,
}

/// What a node can send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Join,
    Report,
    Acquire(Vec<Ask>),
    Declare,
    Retire,
    Late,
}

/// What the journal has of an identity: enough to end it after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub identity: Identity,
    pub leases: Vec<(Key, Counters)>,
}

/// What a process has to know of an identity that it takes over at an upgrade, beside the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// Whether it may sell, or still waits until it may.
    pub is_live: bool,
    pub epoch: Epoch,
    pub declared: bool,
    pub renewed: Time,
    /// How long the process before could sell from then on.
    pub ttl: Time,
    pub joined: Option<Time>,
}

/// An identity. Its holder calls [`Node::tick`] before anything that depends on the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub identity: Identity,
    pub state: State,
    pub epoch: Epoch,
    /// Whether the centre has acknowledged the counters in this epoch.
    pub declared: bool,
    /// When the last acknowledged heartbeat was sent.
    pub renewed: Time,
    /// When the centre acknowledged the identity.
    pub joined: Option<Time>,
    /// Whether the centre has written all charges of an identity that has ended.
    pub settled: bool,
    pub leases: Table<Key, Lease>,
    /// An answer was lost: the centre may have given more than is known here.
    pub in_doubt: bool,
    number: u64,
    pending: Option<Pending>,
}

impl Node {
    /// A new identity, which nobody has had before. `now` is the time of its holder's clock.
    pub fn new(id: NodeId, now: Time) -> Node {
        Node {
            identity: Identity { id, incarnation: 0 },
            state: State::Joining,
            epoch: Epoch::default(),
            declared: false,
            renewed: now,
            joined: None,
            settled: false,
            leases: Table::default(),
            in_doubt: false,
            number: 0,
            pending: None,
        }
    }

    /// The identity that a journal names, after its process has ended: it sells nothing, and what was held is available
    /// to its last word. The process that reads the journal takes a new identity.
    pub fn from_journal(record: &Record, now: Time, terms: &Terms) -> Node {
        let lease = |counters: Counters| Lease { counters, ..Lease::default() };
        let ended = terms.keep(Rule::NewIdentityAfterRestart);
        Node {
            identity: record.identity,
            state: if ended { State::Expired } else { State::Live },
            joined: Some(now),
            leases: record.leases.iter().map(|(key, counters)| (*key, lease(*counters))).collect(),
            // Numbers of the process before: none of its answers may count.
            number: u64::from(u32::MAX),
            ..Node::new(record.identity.id, now)
        }
    }

    /// The identity that a journal names, as the next process of an upgrade goes on with it. What requests of the process
    /// before hold is held in the balances.
    pub fn taken_over(record: &Record, told: TakenOver, now: Time, terms: &Terms) -> Node {
        let TakenOver { is_live, epoch, declared, renewed, ttl, joined } = told;
        // Until others know of a longer time, it is the shorter one.
        let renewed = renewed.saturating_sub(terms.ttl.saturating_sub(ttl));
        let Record { identity: Identity { id, incarnation }, .. } = *record;
        Node {
            identity: Identity { id, incarnation: incarnation + 1 },
            state: if is_live { State::Live } else { State::Joining },
            epoch,
            declared,
            renewed,
            joined,
            // What the process before has sent last may have no answer.
            in_doubt: true,
            number: 0,
            ..Node::from_journal(record, now, terms)
        }
    }

    /// What the next process has to know; `None` once the identity sells nothing any more.
    pub fn handover(&self, terms: &Terms) -> Option<TakenOver> {
        let Node { epoch, declared, renewed, joined, .. } = *self;
        let ttl = terms.ttl;
        let is_live = self.state == State::Live;
        (is_live || self.state == State::Joining).then_some(TakenOver {
            is_live,
            epoch,
            declared,
            renewed,
            ttl,
            joined,
        })
    }

    /// What must be in the journal: all of it before a report is sent.
    pub fn record(&self) -> Record {
        Record { identity: self.identity, leases: self.counters().collect() }
    }

    /// Hands the identity over to the next process, at an upgrade: with its leases, what its requests hold, its time,
    /// and with whatever was sent and not answered as unknown. This process sells nothing from then on.
    pub fn hand_over(mut self, terms: &Terms) -> Node {
        self.identity.incarnation += 1;
        self.give_up();
        if !terms.keep(Rule::HandOverHolds) {
            self.leases.iter_mut().for_each(|(_, lease)| lease.held = 0);
        }
        self
    }

    /// The request that waits for its answer.
    pub fn pending(&self) -> Option<Pending> {
        self.pending
    }

    fn counters(&self) -> impl Iterator<Item = (Key, Counters)> {
        self.leases.iter().map(|(key, lease)| (key, lease.counters))
    }

    fn holds_nothing(&self) -> bool {
        self.leases.iter().all(|(_, lease)| lease.held == 0)
    }

    /// Whether requests can hold credits.
    pub fn sells(&self, terms: &Terms) -> bool {
        match self.state {
            State::Live | State::Draining => true,
            State::Expired => !terms.keep(Rule::ExpiredSellsNothing),
            State::Joining | State::Retired | State::Fenced => false,
        }
    }

    /// Lets the time pass: an identity expires, or has waited long enough to be live.
    pub fn tick(&mut self, now: Time, terms: &Terms) {
        if self.state <= State::Draining && self.joined.is_some() && now.saturating_sub(self.renewed) >= terms.ttl {
            self.state = State::Expired;
        }
        let waits = if terms.keep(Rule::NewIdentityWaitsForTheReplica) { terms.lag } else { 0 };
        if self.state == State::Joining && self.joined.is_some_and(|joined| now.saturating_sub(joined) >= waits) {
            self.state = State::Live;
        }
    }

    /// Takes no more leases, and retires once nothing is held.
    pub fn drain(&mut self) {
        if self.state <= State::Live {
            self.state = State::Draining;
        }
    }

    /// Holds credits for a request, and returns whether there were enough.
    pub fn hold(&mut self, key: Key, amount: u64, now: Time, terms: &Terms) -> bool {
        self.tick(now, terms);
        self.sells(terms) && self.leases.get_mut(key).is_some_and(|lease| lease.hold(amount))
    }

    /// Charges a part of what a request held; zero gives all of it back. In direct mode, what is available then is
    /// returned.
    pub fn settle(&mut self, key: Key, held: u64, charged: u64, terms: &Terms) {
        if let Some(lease) = self.leases.get_mut(key) {
            lease.settle(held, charged);
            if lease.direct && terms.keep(Rule::DirectMode) {
                lease.give_back(u64::MAX);
            }
        }
    }

    /// Returns credits that no request holds; the next report says so.
    pub fn give_back(&mut self, key: Key, most: u64, terms: &Terms) {
        if let Some(lease) = self.leases.get_mut(key).filter(|_| terms.keep(Rule::ReturnAtHomeFirst)) {
            lease.give_back(most);
        }
    }

    /// Another node needs credits: returns what no request holds.
    pub fn recall(&mut self, key: Key) {
        if let Some(lease) = self.leases.get_mut(key) {
            lease.give_back(u64::MAX);
            lease.recalled = true;
        }
    }

    /// Takes over what requests hold, and what the journal has as spent, from the balances that requests really use. Both
    /// may be older than this call, but not than the last one.
    pub fn observe(&mut self, key: Key, held: u64, spent: u64) {
        if let Some(lease) = self.leases.get_mut(key) {
            lease.held = held;
            lease.counters.spent = lease.counters.spent.max(spent);
        }
    }

    /// Takes over that credits were returned, which nobody can hold any more and which the journal has as returned. With
    /// `recalled`, the next report answers other nodes.
    pub fn gave_back(&mut self, key: Key, credits: u64, recalled: bool) {
        if let Some(lease) = self.leases.get_mut(key) {
            // What was refunded after it was reported stays spent.
            let most = lease.counters.taken.saturating_sub(lease.counters.spent);
            lease.counters.returned = (lease.counters.returned + credits).min(most.max(lease.counters.returned));
            lease.recalled |= recalled;
        }
    }

    /// Whether the centre lacks something of a lease that others may wait for.
    pub fn has_returned(&self) -> bool {
        self.leases.iter().any(|(_, lease)| lease.recalled || lease.counters.returned != lease.acknowledged.returned)
    }

    /// Forgets the lease of a quota's period that is over, once the centre knows all of it.
    pub fn forget(&mut self, key: Key) {
        self.leases.retain(|known, lease| known != key || lease.held > 0 || lease.is_unreported());
    }

    /// What to send next if nothing is acquired: what the state demands, or a heartbeat.
    pub fn due(&self) -> Option<Kind> {
        match self.state {
            State::Joining if self.joined.is_none() => Some(Kind::Join),
            State::Draining if self.holds_nothing() => Some(Kind::Retire),
            State::Live | State::Draining if !self.declared => Some(Kind::Declare),
            State::Joining | State::Live | State::Draining => Some(Kind::Report),
            State::Expired => Some(Kind::Retire),
            State::Retired | State::Fenced => (!self.settled).then_some(Kind::Late),
        }
    }

    /// Whether the state allows a request of this kind. One at a time is sent.
    pub fn may(&self, kind: &Kind, terms: &Terms) -> bool {
        let serves = self.joined.is_some() && self.state <= State::Draining;
        let silent = self.holds_nothing() || !terms.keep(Rule::RetireWithoutHolds);
        self.pending.is_none()
            && match kind {
                Kind::Join => self.state == State::Joining && self.joined.is_none(),
                Kind::Report => {
                    let renews = self.state == State::Expired && !terms.keep(Rule::ExpiredStaysExpired);
                    (serves || renews) && self.declared
                }
                Kind::Acquire(_) => self.state == State::Live && self.declared,
                Kind::Declare => {
                    let kept = terms.keep(Rule::TheEndedDoNotDeclare) && terms.keep(Rule::ExpiredStaysExpired);
                    (serves || self.state == State::Expired && !kept) && !self.declared
                }
                Kind::Retire => matches!(self.state, State::Draining | State::Expired) && silent,
                Kind::Late => self.state > State::Expired && !self.settled && self.holds_nothing(),
            }
    }

    /// The request of this kind, if the state allows it. The journal must have [`Node::record`] first.
    pub fn send(&mut self, kind: Kind, now: Time, terms: &Terms) -> Option<Request> {
        self.tick(now, terms);
        if !self.may(&kind, terms) {
            return None;
        }
        let body = match kind {
            Kind::Join => Body::Join,
            Kind::Report => self.report(terms),
            Kind::Acquire(asks) => self.acquire(asks, terms),
            Kind::Declare => Body::Declare(self.counters().collect()),
            Kind::Retire => Body::Retire(self.counters().collect()),
            Kind::Late => Body::Late(self.counters().collect()),
        };
        if matches!(body, Body::Retire(_)) && terms.keep(Rule::LastWordEndsSelling) {
            self.state = State::Expired;
        }
        self.number += 1;
        let settles = matches!(body, Body::Report { all: true, .. });
        self.pending = Some(Pending { number: self.number, sent: now, settles });
        Some(Request { identity: self.identity, epoch: self.epoch, number: self.number, body })
    }

    /// A heartbeat with everything that the centre does not know.
    fn report(&self, terms: &Terms) -> Body {
        let totals = |lease: &Lease| {
            let mut counters = lease.counters;
            if !terms.keep(Rule::TotalsNotDifferences) {
                counters.spent -= lease.acknowledged.spent;
            }
            if !terms.keep(Rule::ReturnAtHomeFirst) {
                counters.returned += lease.available();
            }
            counters
        };
        let unreported =
            self.leases.iter().filter(|(_, lease)| lease.is_unreported() || !terms.keep(Rule::ReturnAtHomeFirst));
        let leases = unreported.map(|(key, lease)| (key, totals(lease))).collect();
        let answered = self.leases.iter().filter(|(_, lease)| lease.recalled).map(|(key, _)| key).collect();
        Body::Report { draining: self.state == State::Draining, leases, answered, all: self.in_doubt }
    }

    fn acquire(&mut self, asks: Vec<Ask>, terms: &Terms) -> Body {
        if !terms.keep(Rule::SellAfterTheAcknowledgement) {
            asks.iter().for_each(|ask| self.leases.update(ask.key, |lease| lease.counters.taken += ask.floor));
        }
        Body::Acquire(asks)
    }

    /// The answer will not arrive: whether the request did is unknown. Nothing is believed of it; every later write
    /// that is acknowledged says what was taken.
    pub fn give_up(&mut self) {
        self.in_doubt |= self.pending.take().is_some();
    }

    /// Takes an answer.
    pub fn receive(&mut self, answer: &Answer, now: Time, terms: &Terms) {
        self.tick(now, terms);
        let Some(pending) = self.waited_for(answer, terms) else { return };
        self.pending = None;
        match &answer.result {
            Ok(Outcome::Joined(epoch)) => {
                self.epoch = *epoch;
                self.declared = true;
                self.joined = Some(now);
                self.renew(pending, now, terms);
            }
            Ok(Outcome::Reported(taken)) => {
                self.in_doubt &= !pending.settles;
                self.renew(pending, now, terms);
                self.acknowledged(taken, terms);
            }
            Ok(Outcome::Declared(taken)) => {
                self.declared = true;
                self.in_doubt = false;
                self.renew(pending, now, terms);
                self.acknowledged(taken, terms);
            }
            Ok(Outcome::Acquired(acquired)) => acquired.iter().for_each(|one| self.acquired(one, terms)),
            Ok(Outcome::Ended { settled }) => {
                self.state = self.state.max(State::Retired);
                self.settled = *settled;
            }
            Err(Refusal::Epoch(epoch)) => {
                self.epoch = *epoch;
                self.unknown();
            }
            Err(Refusal::Unknown) => self.unknown(),
            Err(Refusal::Closed) => {}
            Err(Refusal::Ended) => self.state = State::Fenced,
        }
        self.tick(now, terms);
    }

    fn waited_for(&self, answer: &Answer, terms: &Terms) -> Option<Pending> {
        if answer.to != self.identity.id {
            return None;
        }
        if !terms.keep(Rule::OnlyTheAnswerThatIsWaitedFor) {
            return Some(Pending { number: answer.number, sent: self.renewed, settles: false });
        }
        self.pending.filter(|pending| pending.number == answer.number)
    }

    /// The centre may not have what it acknowledged: the counters must be declared. An identity without leases joins once
    /// more, and waits anew until no failover can lose its row.
    fn unknown(&mut self) {
        self.declared = false;
        if self.state == State::Joining {
            self.joined = None;
        }
    }

    fn renew(&mut self, pending: Pending, now: Time, terms: &Terms) {
        let counted = if terms.keep(Rule::TimeFromTheSending) { pending.sent } else { now };
        self.renewed = self.renewed.max(counted);
        if self.state == State::Expired && !terms.keep(Rule::ExpiredStaysExpired) {
            self.state = State::Live;
        }
    }

    /// The centre has acknowledged a report or a declaration, and has these rows now.
    fn acknowledged(&mut self, rows: &[(Key, Counters)], terms: &Terms) {
        for (key, row) in rows {
            self.leases.update(*key, |lease| {
                if !terms.keep(Rule::ReturnAtHomeFirst) {
                    lease.counters.returned = lease.counters.returned.max(row.returned);
                }
                lease.believe(row.taken);
                lease.acknowledged = *row;
                lease.recalled &= lease.counters.returned != row.returned;
            });
        }
    }

    fn acquired(&mut self, acquired: &Acquired, terms: &Terms) {
        self.leases.update(acquired.key, |lease| {
            lease.believe(acquired.taken);
            lease.acknowledged.taken = lease.acknowledged.taken.max(acquired.taken);
            lease.direct = acquired.available < terms.low_factor * acquired.nodes * acquired.floor;
        });
    }
}

#[cfg(test)]
mod tests;
