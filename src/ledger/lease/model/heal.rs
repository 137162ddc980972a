//! No more faults: every state must get back to one in which a node can sell all credits that are left.

use super::super::message::{Ask, Key};
use super::super::node::{Kind, Node, State};
use super::super::terms::Rule;
use super::action::Action;
use super::check::Wrong;
use super::setup::Setup;
use super::world::{World, id_of, key_of};

/// Messages that a node needs for one step, at most.
const STEPS: usize = 6;

impl World {
    /// Lets time pass without faults, and returns what is wrong then.
    pub fn heal(&self, setup: &Setup) -> Option<(Wrong, String)> {
        // Heartbeats are a tick apart here, and must be in time.
        let setup = &setup.with(|setup| setup.terms.ttl += 1);
        let mut world = self.clone();
        world.left.failovers = 0;
        world.replica = None;
        // Until the janitor has counted in the newest epoch, and a new identity has waited; and a reserve.
        for _ in 0..setup.terms.fence_after() + setup.terms.lag + 4 {
            for slot in 0..world.slots.len() {
                world.heal_slot(slot, setup);
            }
            for id in world.identities().collect::<Vec<_>>() {
                world.apply(Action::Fence(id), setup);
            }
            world.apply(Action::Tick, setup);
        }
        for slot in 0..world.slots.len() {
            world.heal_slot(slot, setup);
        }
        (0..setup.keys).find_map(|index| world.stuck(key_of(index), setup).or_else(|| world.given_away(key_of(index))))
    }

    /// Does what a node does without being asked.
    fn heal_slot(&mut self, slot: usize, setup: &Setup) {
        for _ in 0..STEPS {
            self.deliver_all(slot, setup);
            while !self.slots[slot].holds.is_empty() {
                self.apply(Action::Settle(slot, 0, 0), setup);
            }
            let Some(node) = &self.slots[slot].node else {
                let restart = self.slots[slot].journal.is_some();
                self.apply(if restart { Action::Restart(slot) } else { Action::Rejoin(slot) }, setup);
                continue;
            };
            if node.state >= State::Retired && node.settled {
                self.apply(Action::Rejoin(slot), setup);
                continue;
            }
            let recalled: Vec<Key> = self.centre.recalled(node.identity.id).collect();
            recalled.into_iter().for_each(|key| self.apply(Action::Recall(slot, key), setup));
            self.exchange(slot, setup, |node| node.due());
        }
    }

    /// Delivers what is on the way, and gives up what is lost.
    fn deliver_all(&mut self, slot: usize, setup: &Setup) {
        while !self.slots[slot].letters.is_empty() {
            self.apply(Action::Arrive(slot, 0), setup);
        }
        self.apply(Action::GiveUp(slot), setup);
    }

    /// Sends a request and delivers its answer.
    fn exchange(&mut self, slot: usize, setup: &Setup, kind: impl FnOnce(&Node) -> Option<Kind>) {
        let Some(kind) = self.slots[slot].node.as_ref().and_then(kind) else { return };
        self.send(slot, kind, setup);
        self.deliver_all(slot, setup);
    }

    /// Lets one node after the other take all credits there are, and says which cannot.
    fn stuck(&mut self, key: Key, setup: &Setup) -> Option<(Wrong, String)> {
        let balance = self.centre.balances.get(key).copied().unwrap_or_default();
        let rows = self.centre.leases.iter().filter(|((known, _), _)| *known == key);
        let left = balance.granted.saturating_sub(rows.map(|(_, row)| row.spent).sum());
        (0..self.slots.len()).find_map(|slot| {
            let usable = self.gather(slot, key, left, setup);
            let state = self.slots[slot].node.as_ref().map(|node| node.state);
            let stuck = usable < left || state != Some(State::Live);
            stuck.then(|| (Wrong::Stuck, format!("node {slot}, {state:?}, can sell {usable} of {left} that are left")))
        })
    }

    /// Lets a node acquire until it can sell so much, while the others answer recalls; returns how much it can.
    fn gather(&mut self, slot: usize, key: Key, left: u64, setup: &Setup) -> u64 {
        let ask = Ask { key, want: left.max(1), floor: 1, again: false };
        let mut usable = 0;
        for _ in 0..2 * self.slots.len() as u64 + left {
            let lease = self.slots[slot].node.as_ref().and_then(|node| node.leases.get(key));
            usable = lease.map_or(0, |lease| lease.available());
            if usable >= left {
                break;
            }
            self.exchange(slot, setup, |_| Some(Kind::Acquire(vec![ask])));
            (0..self.slots.len()).filter(|other| *other != slot).for_each(|other| self.heal_slot(other, setup));
        }
        usable
    }

    /// Charges that are missing without an excuse.
    fn given_away(&self, key: Key) -> Option<(Wrong, String)> {
        let missing = |id| {
            let ghost = self.ghosts.get((id, key)).copied().unwrap_or_default();
            let written = self.centre.written(key, id);
            let excused = if ghost.disk_lost { ghost.delivered } else { ghost.gift };
            (written + excused < ghost.delivered).then(|| {
                (Wrong::GivenAway, format!("{written} charged and {excused} excused of {} delivered", ghost.delivered))
            })
        };
        self.identities().find_map(missing)
    }
}

#[test]
fn a_world_that_cannot_heal_is_found() {
    let setup = Setup::PLAIN;
    let mut world = World::new(&setup);
    assert_eq!(world.heal(&setup), None);
    // Others do not get what a node has taken, unless it is asked.
    let ask = Ask { key: key_of(0), want: 1, floor: 1, again: false };
    world.apply(Action::Acquire(0, ask), &setup);
    world.apply(Action::Arrive(0, 0), &setup);
    assert_eq!(world.heal(&setup), None);
    assert!(matches!(world.heal(&setup.without(Rule::Recall)), Some((Wrong::Stuck, _))));
    // A delivery without a charge.
    let mut world = World::new(&setup);
    world.ghosts.update((id_of(0, 0), key_of(0)), |ghost| ghost.delivered = 1);
    assert!(matches!(world.heal(&setup), Some((Wrong::GivenAway, _))));
}
