//! What must hold in every state of a world, counted beside the protocol.

use super::super::message::{Counters, Key, NodeId};
use super::super::node::State;
use super::setup::Setup;
use super::world::World;

/// What is wrong with a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wrong {
    /// What was charged, and what can still be sold, is more than what was granted.
    Oversold,
    /// More was charged than was delivered.
    ChargedTwice,
    /// The rows contradict each other.
    Unbalanced,
    /// Leases can be taken although more is allotted than was granted, and no backup was restored.
    Deficit,
    /// When faults have stopped, credits stay where they cannot be used.
    Stuck,
    /// A charge is missing that no fault excuses.
    GivenAway,
}

impl World {
    /// The first thing that is wrong, with its figures.
    pub fn wrong(&self, setup: &Setup) -> Option<(Wrong, String)> {
        (0..setup.keys).find_map(|index| self.wrong_of(super::world::key_of(index), setup))
    }

    fn wrong_of(&self, key: Key, setup: &Setup) -> Option<(Wrong, String)> {
        let balance = self.centre.balances.get(key).copied().unwrap_or_default();
        let of_key = self.centre.leases.iter().filter(|((known, _), _)| *known == key);
        let mut allotted = 0;
        for ((_, id), row) in of_key {
            let ghost = self.ghosts.get((id, key)).copied().unwrap_or_default();
            let written = self.centre.written(key, id);
            if written > ghost.delivered {
                return Some((Wrong::ChargedTwice, format!("{written} charged of {} delivered", ghost.delivered)));
            }
            if row.spent + row.returned > row.taken {
                return Some((Wrong::Unbalanced, format!("the lease of {id:?} is {row:?}")));
            }
            allotted += row.taken - row.returned;
        }
        if allotted != balance.allotted || balance.allotted > balance.granted + balance.deficit {
            return Some((Wrong::Unbalanced, format!("{allotted} allotted by leases, {balance:?}")));
        }
        let sold: u64 = self.identities().map(|id| self.can_be_sold(id, key, setup)).sum();
        let limit = balance.granted + if setup.backup { balance.deficit } else { 0 };
        if sold > limit {
            return Some((Wrong::Oversold, format!("{sold} sold or to be sold of {limit} granted")));
        }
        // Until all have declared or ended, what a failover has lost of a release counts twice.
        let current = self.centre.server_timeline == self.centre.cluster.timeline;
        if balance.deficit > 0 && !setup.backup && self.centre.cluster.opened && current {
            return Some((Wrong::Deficit, format!("{balance:?}")));
        }
        None
    }

    /// What an identity has had charged, and what it can still sell. What has ended counts with its charges alone: the
    /// rest of what it delivered is a gift.
    fn can_be_sold(&self, id: NodeId, key: Key, setup: &Setup) -> u64 {
        let row = self.centre.leases.get((key, id)).copied().unwrap_or_default();
        let Some(node) = self.process(id) else { return row.spent };
        let lease = node.leases.get(key).copied().unwrap_or_default();
        let held = self.really_held(super::world::slot_of(id), key);
        // After the restore of a backup, nobody can know of those that have not declared yet.
        let unknown = setup.backup && !self.has_declared(id);
        match node.state {
            State::Live | State::Draining if !unknown => {
                let Counters { spent, .. } = lease.counters;
                row.spent.max(spent) + held + lease.available()
            }
            _ if unknown => row.spent,
            _ => row.spent + held,
        }
    }

    /// Whether the centre has the counters of an identity that lives.
    fn has_declared(&self, id: NodeId) -> bool {
        let epoch = self.centre.cluster.epoch;
        self.centre.server_timeline == self.centre.cluster.timeline
            && self.centre.nodes.get(id).is_some_and(|row| !row.has_ended() && row.epoch == epoch)
    }
}
