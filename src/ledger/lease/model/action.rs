//! What can happen in a world, and what it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::message::{Ask, Key, NodeId, Outcome};
use super::super::node::{Kind, Node};
use super::setup::Setup;
use super::world::{Call, InFlight, Letter, World, id_of, slot_of};

/// A kind of request that carries no amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Join,
    Report,
    Declare,
    Retire,
    Late,
}

impl Plain {
    pub const ALL: [Plain; 5] = [Plain::Join, Plain::Report, Plain::Declare, Plain::Retire, Plain::Late];

    pub fn kind(self) -> Kind {
        match self {
            Plain::Join => Kind::Join,
            Plain::Report => Kind::Report,
            Plain::Declare => Kind::Declare,
            Plain::Retire => Kind::Retire,
            Plain::Late => Kind::Late,
        }
    }
}

/// An event. Numbers are of slots, then of letters or holds in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Hold(usize, Key, u64),
    /// A request ends: so much of its hold is charged.
    Settle(usize, usize, u64),
    Send(usize, Plain),
    Acquire(usize, Ask),
    /// A letter arrives.
    Arrive(usize, usize),
    Lose(usize, usize),
    GiveUp(usize),
    GiveBack(usize, Key, u64),
    Recall(usize, Key),
    /// Reads what the centre has as taken, and believes it: only where the rule against it is broken.
    Believe(usize, Key),
    Flush(usize),
    Crash(usize),
    LoseDisk(usize),
    Restart(usize),
    Rejoin(usize),
    HandOver(usize),
    Drain(usize),
    Fence(NodeId),
    /// The replica hears of nothing that is committed from now on.
    Mark,
    CatchUp,
    Failover,
    Tick,
}

impl World {
    /// Makes something happen.
    pub fn apply(&mut self, action: Action, setup: &Setup) {
        let terms = &setup.terms;
        match action {
            Action::Hold(slot, key, amount) => self.hold(slot, key, amount, setup),
            Action::Settle(slot, hold, charged) => self.settle(slot, hold, charged, setup),
            Action::Send(slot, plain) => self.send(slot, plain.kind(), setup),
            Action::Acquire(slot, ask) => self.send(slot, Kind::Acquire(vec![ask]), setup),
            Action::Arrive(slot, letter) => self.arrive(slot, letter, setup),
            Action::Lose(slot, letter) => {
                self.left.losses = self.left.losses.saturating_sub(1);
                self.slot(slot).letters.remove(letter);
                if !setup.delays {
                    self.with(slot, setup, Node::give_up);
                }
            }
            Action::GiveUp(slot) => self.with(slot, setup, Node::give_up),
            Action::GiveBack(slot, key, most) => self.with(slot, setup, |node| node.give_back(key, most, terms)),
            Action::Recall(slot, key) => self.with(slot, setup, |node| node.recall(key)),
            Action::Believe(slot, key) => self.believe(slot, key, setup),
            Action::Flush(slot) => self.flush(slot),
            Action::Crash(slot) => {
                self.left.crashes = self.left.crashes.saturating_sub(1);
                self.crash(slot);
            }
            Action::LoseDisk(slot) => {
                self.left.disk_losses = self.left.disk_losses.saturating_sub(1);
                self.lose_disk(slot);
            }
            Action::Restart(slot) => {
                let now = self.clock(slot);
                let slot = self.slot(slot);
                slot.node = slot.journal.as_ref().map(|record| Node::from_journal(record, now, terms));
            }
            Action::Rejoin(slot) => self.rejoin(slot, setup),
            Action::HandOver(slot) => {
                self.left.hand_overs = self.left.hand_overs.saturating_sub(1);
                let node = self.slot(slot).node.take().map(|node| node.hand_over(terms));
                self.slot(slot).node = node;
                self.flush(slot);
            }
            Action::Drain(slot) => {
                self.left.drains = self.left.drains.saturating_sub(1);
                self.with(slot, setup, Node::drain);
            }
            Action::Fence(id) => self.fence(id, setup),
            Action::Mark => (self.replica, self.marked) = (Some(Arc::clone(&self.centre)), self.now),
            Action::CatchUp => self.replica = None,
            Action::Failover => self.fail_over(),
            Action::Tick => self.tick(setup),
        }
    }

    /// Changes a process, and writes what its journal gets at once.
    fn with(&mut self, slot: usize, setup: &Setup, change: impl FnOnce(&mut Node)) {
        let slot = self.slot(slot);
        let Some(node) = &mut slot.node else { return };
        change(node);
        let mut record = node.record();
        if let Some(journal) = slot.journal.as_ref().filter(|_| setup.batch) {
            for (key, counters) in &mut record.leases {
                let before = journal.leases.iter().find(|(known, _)| known == key);
                counters.spent = before.map_or(0, |(_, before)| before.spent);
            }
        }
        slot.journal = Some(record);
    }

    fn flush(&mut self, slot: usize) {
        let slot = self.slot(slot);
        if let Some(node) = &slot.node {
            slot.journal = Some(node.record());
        }
    }

    fn hold(&mut self, slot: usize, key: Key, amount: u64, setup: &Setup) {
        let since = self.clock(slot);
        let mut held = false;
        self.with(slot, setup, |node| held = node.hold(key, amount, since, &setup.terms));
        if held {
            self.slot(slot).holds.push(InFlight { key, amount, since });
        }
    }

    fn settle(&mut self, slot: usize, hold: usize, charged: u64, setup: &Setup) {
        let InFlight { key, amount, .. } = self.slot(slot).holds.remove(hold);
        self.with(slot, setup, |node| node.settle(key, amount, charged, &setup.terms));
        let id = self.slots[slot].node.as_ref().map(|node| node.identity.id);
        if let Some(id) = id.filter(|_| charged > 0) {
            self.ghosts.update((id, key), |ghost| ghost.delivered += charged);
        }
    }

    pub fn send(&mut self, slot: usize, kind: Kind, setup: &Setup) {
        let now = self.clock(slot);
        self.flush(slot);
        let request = self.slot(slot).node.as_mut().and_then(|node| node.send(kind, now, &setup.terms));
        self.flush(slot);
        let Some(request) = request else { return };
        self.slot(slot).letters.push(Letter::Request(request));
        if !setup.delays {
            let last = self.slots[slot].letters.len() - 1;
            self.arrive(slot, last, setup);
        }
    }

    fn arrive(&mut self, slot: usize, letter: usize, setup: &Setup) {
        match self.slot(slot).letters.remove(letter) {
            Letter::Request(request) => {
                let before = self.centre.cluster.epoch;
                let nonce = self.nonce + 1;
                let answer = self.centre().serve(&request, nonce, &setup.terms);
                self.note(|| Call::Serve(request, nonce, answer.clone()));
                self.nonce += u64::from(before != self.centre.cluster.epoch);
                // A synchronous commit is answered only after the replica has it.
                if !(setup.synchronous && self.replica.is_some()) {
                    self.slot(slot).letters.push(Letter::Answer(answer));
                }
            }
            Letter::Answer(answer) => {
                let now = self.clock(slot);
                self.with(slot, setup, |node| node.receive(&answer, now, &setup.terms));
            }
        }
    }

    fn believe(&mut self, slot: usize, key: Key, setup: &Setup) {
        let Some(id) = self.slots[slot].node.as_ref().map(|node| node.identity.id) else { return };
        let taken = self.centre.leases.get((key, id)).map_or(0, |row| row.taken);
        self.with(slot, setup, |node| node.leases.update(key, |lease| lease.believe(taken)));
    }

    /// The process ends, and what it had in memory alone is lost.
    fn crash(&mut self, slot: usize) {
        self.slot(slot).holds.clear();
        let Some(node) = self.slot(slot).node.take() else { return };
        let id = node.identity.id;
        let on_disk = self.slots[slot].journal.clone();
        for (key, lease) in node.leases.iter() {
            let written = on_disk.iter().flat_map(|record| &record.leases).find(|(known, _)| *known == key);
            let written = written.map_or(0, |(_, counters)| counters.spent);
            let lost = lease.counters.spent - written;
            if lost > 0 {
                self.ghosts.update((id, key), |ghost| ghost.gift += lost);
            }
        }
    }

    /// The machine ends with its disk: what the centre has not heard of is lost.
    fn lose_disk(&mut self, slot: usize) {
        self.crash(slot);
        if let Some(record) = self.slot(slot).journal.take() {
            for (key, _) in &record.leases {
                self.ghosts.update((record.identity.id, *key), |ghost| ghost.disk_lost = true);
            }
        }
    }

    /// Begins a new identity.
    fn rejoin(&mut self, slot: usize, setup: &Setup) {
        let now = self.clock(slot);
        self.slot(slot).generation += 1;
        let id = id_of(slot, self.slots[slot].generation);
        self.slot(slot).node = Some(Node::new(id, now));
        if !setup.delays {
            self.slot(slot).letters.clear();
        }
        self.flush(slot);
    }

    fn fence(&mut self, id: NodeId, setup: &Setup) {
        let order = self.janitor.due(self.now, &setup.terms).find(|fence| fence.id == id);
        if let Some(order) = order {
            let before = self.centre.cluster.epoch;
            let nonce = self.nonce + 1;
            let is_ended = self.centre().fence(&order, nonce, &setup.terms);
            self.note(|| Call::Fence(order, nonce, is_ended));
            self.nonce += u64::from(before != self.centre.cluster.epoch);
        }
    }

    /// A replica is promoted: what it has not heard of is lost. Another replica may still be where it was.
    fn fail_over(&mut self) {
        self.left.failovers = self.left.failovers.saturating_sub(1);
        let Some(replica) = &self.replica else { return };
        let lost = std::mem::replace(&mut self.centre, Arc::clone(replica));
        self.centre().server_timeline += 1;
        let promoted = Arc::clone(&self.centre);
        self.note(|| Call::Promoted(promoted));
        // What is unpaid has no row of a lease, perhaps.
        let rows = lost.leases.iter().map(|(row, _)| row).chain(lost.unpaid.iter().map(|(row, _)| row));
        for (key, id) in rows.collect::<BTreeSet<_>>() {
            let gone = lost.written(key, id).saturating_sub(self.centre.written(key, id));
            if gone > 0 && !self.remembers(id) {
                self.ghosts.update((id, key), |ghost| ghost.gift += gone);
            }
        }
        if self.left.failovers == 0 {
            self.replica = None;
        }
    }

    /// Whether an identity is still there, or has not got the answer to its last word: so that it can bring its charges
    /// back. Whoever was told that they are written forgets them.
    fn remembers(&self, id: NodeId) -> bool {
        let slot = &self.slots[slot_of(id)];
        let settled = |letter: &Letter| match letter {
            Letter::Answer(answer) => answer.to == id && answer.result == Ok(Outcome::Ended { settled: true }),
            Letter::Request(_) => false,
        };
        let on_disk = || slot.journal.as_ref().is_some_and(|record| record.identity.id == id);
        match &slot.node {
            Some(node) => node.identity.id == id && !node.settled && !slot.letters.iter().any(settled),
            None => on_disk(),
        }
    }

    /// The time passes for everybody.
    fn tick(&mut self, setup: &Setup) {
        if self.left.ticks < u8::MAX {
            self.left.ticks = self.left.ticks.saturating_sub(1);
        }
        let before = self.centre.cluster.epoch;
        let nonce = self.nonce + 1;
        let heartbeats = self.centre().heartbeats(nonce, &setup.terms);
        self.note(|| Call::Look(nonce, heartbeats.clone()));
        self.nonce += u64::from(before != self.centre.cluster.epoch);
        self.janitor.look(&heartbeats, self.now, &setup.terms);
        self.now += 1;
        if !setup.backup && self.now - self.marked >= setup.terms.lag {
            self.replica = None;
        }
        for slot in 0..self.slots.len() {
            let now = self.clock(slot);
            if let Some(node) = &mut self.slot(slot).node {
                node.tick(now, &setup.terms);
            }
        }
    }
}
