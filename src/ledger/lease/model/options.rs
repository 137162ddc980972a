//! What can happen next in a world, with amounts of one credit.

use super::super::message::{Ask, NodeId};
use super::super::node::{Kind, Node, State};
use super::super::terms::Rule;
use super::action::{Action, Plain};
use super::setup::Setup;
use super::world::{World, key_of};

impl World {
    /// Whether the time can pass: no request is longer than the longest.
    fn may_tick(&self, setup: &Setup) -> bool {
        self.left.ticks > 0 && (0..self.slots.len()).all(|slot| self.overdue(slot, setup).is_none())
    }

    /// A request that must end before the time passes.
    pub fn overdue(&self, slot: usize, setup: &Setup) -> Option<usize> {
        let now = self.clock(slot);
        let holds = &self.slots[slot].holds;
        holds.iter().position(|hold| now.saturating_sub(hold.since) >= setup.terms.longest_request)
    }

    /// Everything that can happen, with amounts of one credit.
    pub fn actions(&self, setup: &Setup) -> Vec<Action> {
        let mut actions = Vec::new();
        for slot in 0..self.slots.len() {
            self.actions_of(slot, setup, &mut actions);
        }
        let live = self.identities().filter(|id| self.centre.nodes.get(*id).is_some_and(|row| !row.has_ended()));
        let due = |id: &NodeId| self.janitor.due(self.now, &setup.terms).any(|fence| fence.id == *id);
        actions.extend(live.filter(due).map(Action::Fence));
        if self.left.failovers > 0 {
            match &self.replica {
                None => actions.push(Action::Mark),
                Some(_) => {
                    actions.push(Action::Failover);
                    if setup.synchronous {
                        actions.push(Action::CatchUp);
                    }
                }
            }
        }
        if self.may_tick(setup) {
            actions.push(Action::Tick);
        }
        actions
    }

    fn actions_of(&self, index: usize, setup: &Setup, actions: &mut Vec<Action>) {
        let slot = &self.slots[index];
        for letter in 0..slot.letters.len() {
            actions.push(Action::Arrive(index, letter));
            if self.left.losses > 0 {
                actions.push(Action::Lose(index, letter));
            }
        }
        for hold in 0..slot.holds.len() {
            actions.extend([Action::Settle(index, hold, 1), Action::Settle(index, hold, 0)]);
        }
        let more_identities = slot.generation + 1 < setup.identities;
        let Some(node) = &slot.node else {
            match &slot.journal {
                Some(_) => actions.push(Action::Restart(index)),
                None if more_identities => actions.push(Action::Rejoin(index)),
                None => {}
            }
            return;
        };
        self.leases_of(index, node, setup, actions);
        self.requests_of(index, node, setup, actions);
        if node.state >= State::Retired && node.settled && more_identities {
            actions.push(Action::Rejoin(index));
        }
        if self.left.crashes > 0 {
            actions.push(Action::Crash(index));
        }
        if self.left.disk_losses > 0 {
            actions.push(Action::LoseDisk(index));
        }
        if self.left.hand_overs > 0 && node.state <= State::Draining {
            actions.push(Action::HandOver(index));
        }
        if self.left.drains > 0 && node.state == State::Live {
            actions.push(Action::Drain(index));
        }
    }

    fn leases_of(&self, index: usize, node: &Node, setup: &Setup, actions: &mut Vec<Action>) {
        let slot = &self.slots[index];
        for (key, lease) in node.leases.iter() {
            if lease.available() > 0 && node.sells(&setup.terms) {
                if slot.holds.len() < setup.holds {
                    actions.push(Action::Hold(index, key, 1));
                }
                if setup.returns && node.state == State::Live && setup.terms.keep(Rule::ReturnAtHomeFirst) {
                    actions.push(Action::GiveBack(index, key, 1));
                }
            }
            if !lease.recalled && self.centre.recalled(node.identity.id).any(|recalled| recalled == key) {
                actions.push(Action::Recall(index, key));
            }
            if setup.batch && slot.journal.as_ref() != Some(&node.record()) {
                actions.push(Action::Flush(index));
            }
        }
        if !setup.terms.keep(Rule::BelieveWritesOnly) {
            actions.extend(node.leases.iter().map(|(key, _)| Action::Believe(index, key)));
            actions.push(Action::Believe(index, key_of(0)));
        }
    }

    fn requests_of(&self, index: usize, node: &Node, setup: &Setup, actions: &mut Vec<Action>) {
        let terms = &setup.terms;
        if node.pending().is_some() {
            let on_the_way = !self.slots[index].letters.is_empty();
            if setup.delays && self.left.losses > 0 || !on_the_way {
                actions.push(Action::GiveUp(index));
            }
            return;
        }
        if self.slots[index].letters.len() >= 2 {
            return;
        }
        let sensible = |plain: Plain| match plain {
            Plain::Report => {
                let unreported = node.leases.iter().any(|(_, lease)| lease.is_unreported());
                unreported || self.now > node.renewed || !terms.keep(Rule::ReturnAtHomeFirst)
            }
            _ => true,
        };
        let may = |plain: &Plain| node.may(&plain.kind(), terms) && sensible(*plain);
        actions.extend(Plain::ALL.into_iter().filter(may).map(|plain| Action::Send(index, plain)));
        if node.may(&Kind::Acquire(Vec::new()), terms) {
            for (key, balance) in self.centre.balances.iter() {
                let taken = node.leases.get(key).map_or(0, |lease| lease.counters.taken);
                if taken < setup.most_taken && (balance.available() > 0 || setup.asks_in_vain) {
                    actions.push(Action::Acquire(index, Ask { key, want: 1, floor: 1, again: false }));
                }
            }
        }
    }
}
