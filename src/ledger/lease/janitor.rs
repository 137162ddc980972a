//! Which identities have been silent for too long. Any node can be the janitor; several do no harm.
//!
//! No wall clock takes part: the janitor counts on its own clock for how long it has seen the same heartbeat number. An
//! identity that writes has another number, and one that cannot write expires by itself before the count is over.

use super::message::{Epoch, Fence, Heartbeat, Heartbeats, NodeId};
use super::table::Table;
use super::terms::{Rule, Terms, Time};

/// The heartbeat that was seen last, and since when it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub beat: u64,
    pub since: Time,
    /// How long the silence must be.
    pub fence_after: Time,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Janitor {
    epoch: Epoch,
    seen: Table<NodeId, Seen>,
}

impl Janitor {
    /// Takes what the centre has just answered; `now` is the time when the question was answered.
    pub fn look(&mut self, heartbeats: &Heartbeats, now: Time, terms: &Terms) {
        if heartbeats.epoch != self.epoch && terms.keep(Rule::CountAnewInEachEpoch) {
            self.lost_contact();
        }
        self.epoch = heartbeats.epoch;
        let known = |id: NodeId| heartbeats.beats.binary_search_by_key(&id, |(id, _)| *id).is_ok();
        self.seen.retain(|id, _| known(id));
        for (id, Heartbeat { number, fence_after }) in heartbeats.beats.iter().copied() {
            let since = self.seen.get(id).filter(|seen| seen.beat == number).map_or(now, |seen| seen.since);
            self.seen.insert(id, Seen { beat: number, since, fence_after });
        }
    }

    /// The centre did not answer: what happened meanwhile is unknown, and every count begins anew.
    pub fn lost_contact(&mut self) {
        self.seen = Table::default();
    }

    /// Identities to fence. The centre compares the heartbeat once more.
    pub fn due(&self, now: Time, terms: &Terms) -> impl Iterator<Item = Fence> {
        let (epoch, wait) = (self.epoch, terms.fence_after());
        let is_silent = move |seen: &Seen| now.saturating_sub(seen.since) >= wait.max(seen.fence_after);
        let silent = self.seen.iter().filter(move |(_, seen)| is_silent(seen));
        silent.map(move |(id, seen)| Fence { id, beat: seen.beat, epoch })
    }

    /// Of which epoch its counts are.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What was seen of an identity.
    pub fn seen(&self, id: NodeId) -> Option<&Seen> {
        self.seen.get(id)
    }
}
