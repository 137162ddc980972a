//! A state as a number, the same for states that differ only by the names of nodes or by when they began.

use super::super::centre::Centre;
use super::super::message::{Answer, Ask, Body, Counters, Epoch, Key, NodeId, Outcome, Refusal, Request};
use super::super::node::{Node, Record};
use super::setup::Setup;
use super::world::{Letter, Slot, World, id_of, key_of};

/// Mixes numbers into one of 64 bits.
pub struct Digest(u64);

impl Digest {
    fn new() -> Digest {
        Digest(0x9e37_79b9_7f4a_7c15)
    }

    fn add(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = (mixed ^ (mixed >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53) ^ (mixed >> 29);
    }

    fn all(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| self.add(number));
    }

    fn counters(&mut self, counters: &Counters) {
        self.add(counters.taken << 40 | counters.returned << 20 | counters.spent);
    }

    fn epoch(&mut self, epoch: Epoch) {
        self.add(epoch.number << 32 | epoch.nonce);
    }

    fn key(&mut self, key: Key) {
        self.add(u64::from(key.owner) << 32 | u64::from(key.period));
    }

    fn leases(&mut self, leases: &[(Key, Counters)]) {
        for (key, counters) in leases {
            self.key(*key);
            self.counters(counters);
        }
    }
}

/// Beyond this, differences of heartbeats are taken for the same.
const FAR: u64 = 3;

impl World {
    /// Times count from now, numbers of messages from the one that is waited for, heartbeats from what the janitor has
    /// seen; and nodes have no order.
    pub fn digest(&self, setup: &Setup) -> u64 {
        let mut digest = Digest::new();
        let left = self.left;
        let budget = [left.ticks, left.crashes, left.disk_losses, left.failovers, left.losses, left.hand_overs];
        digest.all(budget.map(u64::from));
        digest.add(u64::from(left.drains));
        self.centre.digest(&mut digest);
        digest.epoch(self.janitor.epoch());
        digest.add(u64::from(self.replica.is_some()));
        if let Some(replica) = &self.replica {
            replica.digest(&mut digest);
            digest.add(if setup.backup { 0 } else { self.now - self.marked });
        }
        let mut slots: Vec<u64> = (0..self.slots.len()).map(|index| self.digest_of(index, setup)).collect();
        slots.sort_unstable();
        digest.all(slots);
        digest.0
    }

    fn digest_of(&self, index: usize, setup: &Setup) -> u64 {
        let mut digest = Digest::new();
        let slot = &self.slots[index];
        digest.add(slot.generation << 1 | u64::from(slot.node.is_some()));
        if let Some(node) = &slot.node {
            self.node(node, setup, &mut digest);
        }
        let differs = slot.node.is_none() || setup.batch;
        if let Some(Record { leases, .. }) = slot.journal.as_ref().filter(|_| differs) {
            digest.add(leases.len() as u64);
            digest.leases(leases);
        }
        let mut holds: Vec<(Key, u64, u64)> =
            slot.holds.iter().map(|hold| (hold.key, hold.amount, self.now - hold.since)).collect();
        holds.sort_unstable();
        for (key, amount, age) in holds {
            digest.key(key);
            digest.add(amount << 8 | age);
        }
        digest.add(letters(slot, setup));
        for generation in 0..=slot.generation {
            self.identity(id_of(index, generation), setup, &mut digest);
        }
        digest.0
    }

    fn node(&self, node: &Node, setup: &Setup, digest: &mut Digest) {
        let terms = &setup.terms;
        let age = (self.now - node.renewed).min(terms.ttl);
        let joined = node.joined.map_or(0, |joined| 1 + (self.now - joined).min(terms.lag));
        let pending = node.pending().map_or(0, |pending| 1 + (self.now - pending.sent).min(terms.ttl));
        let settles = node.pending().is_some_and(|pending| pending.settles);
        let flags = [node.settled, node.declared, node.in_doubt, settles];
        let flags = flags.into_iter().rev().fold(0, |flags, flag| flags << 1 | u64::from(flag));
        digest.all([node.state as u64 | flags << 4 | node.identity.incarnation << 8, age, joined, pending]);
        digest.epoch(node.epoch);
        for (key, lease) in node.leases.iter() {
            digest.key(key);
            digest.counters(&lease.counters);
            digest.counters(&lease.acknowledged);
            digest.add(lease.held << 2 | u64::from(lease.direct) << 1 | u64::from(lease.recalled));
        }
    }

    /// The rows of one identity, and what is known of it.
    fn identity(&self, id: NodeId, setup: &Setup, digest: &mut Digest) {
        let beat = |centre: &Centre| centre.nodes.get(id).map(|row| row.beat);
        let seen = self.janitor.seen(id).copied();
        let beats = [beat(&self.centre), self.replica.as_deref().and_then(beat), seen.map(|seen| seen.beat)];
        let least = beats.iter().flatten().min().copied().unwrap_or_default();
        digest.all(beats.map(|beat| beat.map_or(0, |beat| 1 + (beat - least).min(FAR))));
        digest.add(seen.map_or(0, |seen| 1 + (self.now - seen.since).min(setup.terms.fence_after())));
        self.centre.identity(id, setup, digest);
        if let Some(replica) = &self.replica {
            replica.identity(id, setup, digest);
        }
        for index in 0..setup.keys {
            let ghost = self.ghosts.get((id, key_of(index))).copied().unwrap_or_default();
            digest.add(ghost.delivered << 20 | ghost.gift << 1 | u64::from(ghost.disk_lost));
        }
    }
}

impl Centre {
    fn digest(&self, digest: &mut Digest) {
        digest.epoch(self.cluster.epoch);
        digest.add(self.server_timeline << 20 | self.cluster.timeline << 1 | u64::from(self.cluster.opened));
        for (_, balance) in self.balances.iter() {
            digest.add(balance.granted << 40 | balance.allotted << 20 | balance.deficit);
        }
    }

    fn identity(&self, id: NodeId, setup: &Setup, digest: &mut Digest) {
        if let Some(row) = self.nodes.get(id) {
            digest.add(1 + (row.state as u64) + (row.incarnation << 4));
            digest.epoch(row.epoch);
        }
        for key in (0..setup.keys).map(key_of) {
            digest.counters(&self.leases.get((key, id)).copied().unwrap_or_default());
            digest.add(self.unpaid.get((key, id)).copied().unwrap_or_default());
            digest.add(u64::from(self.recalls.get((id, key)).is_some()));
        }
    }
}

/// What is on the way, in any order.
fn letters(slot: &Slot, setup: &Setup) -> u64 {
    let pending = slot.node.as_ref().and_then(|node| node.pending()).map(|pending| pending.number);
    let digest_of = |letter: &Letter| {
        let mut digest = Digest::new();
        digest.add(u64::from(Some(letter.number()) == pending));
        match letter {
            Letter::Request(request) => digest_request(request, &mut digest),
            Letter::Answer(answer) => digest_answer(answer, setup, &mut digest),
        }
        digest.0
    };
    slot.letters.iter().map(digest_of).fold(0, u64::wrapping_add)
}

fn digest_request(request: &Request, digest: &mut Digest) {
    digest.epoch(request.epoch);
    digest.add(request.identity.incarnation);
    match &request.body {
        Body::Join => digest.add(1),
        Body::Report { draining, leases, answered, all } => {
            digest.add(2 | u64::from(*draining) << 4 | u64::from(*all) << 5);
            digest.leases(leases);
            answered.iter().for_each(|key| digest.key(*key));
        }
        Body::Acquire(asks) => {
            digest.add(3);
            for Ask { key, want, floor, again } in asks {
                digest.key(*key);
                digest.all([*want, *floor, u64::from(*again)]);
            }
        }
        Body::Declare(leases) => {
            digest.add(4);
            digest.leases(leases);
        }
        Body::Retire(leases) => {
            digest.add(5);
            digest.leases(leases);
        }
        Body::Late(leases) => {
            digest.add(6);
            digest.leases(leases);
        }
    }
}

fn digest_answer(answer: &Answer, setup: &Setup, digest: &mut Digest) {
    digest.add(100 + answer.to.0 / 8);
    match &answer.result {
        Ok(Outcome::Joined(epoch)) => digest.epoch(*epoch),
        Ok(Outcome::Reported(rows)) => {
            digest.add(2);
            digest.leases(rows);
        }
        Ok(Outcome::Declared(rows)) => {
            digest.add(3);
            digest.leases(rows);
        }
        Ok(Outcome::Acquired(acquired)) => {
            for one in acquired {
                digest.key(one.key);
                let left = if setup.terms.low_factor > 0 { one.available * one.nodes } else { 0 };
                digest.all([4, one.taken, one.recalled, left]);
            }
        }
        Ok(Outcome::Ended { settled }) => digest.add(5 | u64::from(*settled) << 4),
        Err(Refusal::Epoch(epoch)) => {
            digest.add(6);
            digest.epoch(*epoch);
        }
        Err(Refusal::Closed) => digest.add(7),
        Err(Refusal::Ended) => digest.add(8),
        Err(Refusal::Unknown) => digest.add(9),
    }
}
