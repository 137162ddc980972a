//! The centre: its rows, and one function for each transaction. SQL does exactly the same.

mod credit;
mod member;

use super::message::{Answer, Body, Counters, Epoch, Fence, Heartbeat, Heartbeats, Key, NodeId, Refusal, Request};
use super::table::Table;
use super::terms::{Rule, Terms, Time};

/// The one row of `cluster`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub epoch: Epoch,
    /// The server's timeline in which the epoch began.
    pub timeline: u64,
    /// Whether all live identities have declared their counters in this epoch, so that leases can be taken.
    pub opened: bool,
}

/// States of a row of `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowState {
    Live,
    Draining,
    Retired,
    Fenced,
}

/// A row of `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRow {
    pub incarnation: u64,
    pub state: RowState,
    /// The epoch in which the identity has declared its counters last.
    pub epoch: Epoch,
    /// Counts its heartbeats.
    pub beat: u64,
    /// How long its silence must be before it may be fenced.
    pub fence_after: Time,
}

impl NodeRow {
    fn heartbeat(&self) -> Heartbeat {
        Heartbeat { number: self.beat, fence_after: self.fence_after }
    }

    pub fn has_ended(&self) -> bool {
        self.state >= RowState::Retired
    }
}

/// A row of `balance`, in credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub granted: u64,
    /// The sum of `taken - returned` of all leases.
    pub allotted: u64,
    /// By how much `allotted` is above `granted`: after the restore of a backup only.
    pub deficit: u64,
}

impl Balance {
    /// Credits that can be leased.
    pub fn available(&self) -> u64 {
        self.granted.saturating_sub(self.allotted)
    }

    /// Changes `allotted` by the difference between two states of a lease.
    fn replace(&mut self, before: &Counters, after: &Counters) {
        self.allotted = (self.allotted + after.allotted()).saturating_sub(before.allotted());
        self.count_deficit();
    }

    fn count_deficit(&mut self) {
        self.deficit = self.allotted.saturating_sub(self.granted);
    }
}

/// The tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Centre {
    /// The timeline of the server, which every transaction reads. No row: a promotion changes it.
    pub server_timeline: u64,
    pub cluster: Cluster,
    pub nodes: Table<NodeId, NodeRow>,
    pub balances: Table<Key, Balance>,
    pub leases: Table<(Key, NodeId), Counters>,
    /// Holders that are asked to return what no request of theirs holds.
    pub recalls: Table<(NodeId, Key), ()>,
    /// Charges for which there were no credits, as totals of an identity.
    pub unpaid: Table<(Key, NodeId), u64>,
}

impl Default for Centre {
    fn default() -> Centre {
        Centre {
            server_timeline: 1,
            cluster: Cluster { epoch: Epoch { number: 1, nonce: 0 }, timeline: 1, opened: true },
            nodes: Table::default(),
            balances: Table::default(),
            leases: Table::default(),
            recalls: Table::default(),
            unpaid: Table::default(),
        }
    }
}

impl Centre {
    /// One transaction for a request. `nonce` is new for each, and used where an epoch begins.
    pub fn serve(&mut self, request: &Request, nonce: u64, terms: &Terms) -> Answer {
        let result = self.check_timeline(nonce, terms).and_then(|()| match &request.body {
            Body::Join => self.join(request, terms),
            Body::Report { draining, leases, answered, all } => {
                self.report(request, (*draining, *all), leases, answered, terms)
            }
            Body::Acquire(asks) => self.acquire(request, asks, terms),
            Body::Declare(leases) => self.declare(request, leases, terms),
            Body::Retire(leases) => Ok(self.retire(request.identity, leases, terms)),
            Body::Late(leases) => self.late(request.identity, leases, terms),
        });
        Answer { to: request.identity.id, number: request.number, result }
    }

    /// The first statement of every transaction: another timeline than that of the epoch is a failover, which may have
    /// lost commits. A new epoch begins, and this transaction does nothing else.
    fn check_timeline(&mut self, nonce: u64, terms: &Terms) -> Result<(), Refusal> {
        if self.server_timeline == self.cluster.timeline || !terms.keep(Rule::EpochForEachTimeline) {
            return Ok(());
        }
        let nonce = if terms.keep(Rule::NonceOfTheEpoch) { nonce } else { 0 };
        let epoch = Epoch { number: self.cluster.epoch.number + 1, nonce };
        self.cluster = Cluster { epoch, timeline: self.server_timeline, opened: false };
        self.open_if_complete();
        Err(Refusal::Epoch(epoch))
    }

    /// Opens the epoch once no identity is left that may have counters which the centre does not know.
    fn open_if_complete(&mut self) {
        let epoch = self.cluster.epoch;
        self.cluster.opened |= self.nodes.iter().all(|(_, row)| row.has_ended() || row.epoch == epoch);
    }

    /// The number of identities that have not ended.
    pub fn live_nodes(&self) -> u64 {
        self.nodes.iter().map(|(_, row)| u64::from(!row.has_ended())).sum()
    }

    /// Reads the heartbeats, for a janitor.
    pub fn heartbeats(&mut self, nonce: u64, terms: &Terms) -> Heartbeats {
        // A new epoch is what its heartbeats are of.
        let _ = self.check_timeline(nonce, terms);
        let live = self.nodes.iter().filter(|(_, row)| !row.has_ended());
        Heartbeats { epoch: self.cluster.epoch, beats: live.map(|(id, row)| (id, row.heartbeat())).collect() }
    }

    /// Ends an identity whose heartbeat is still the one that the janitor has counted: what was on lease is released.
    /// Returns whether it was.
    pub fn fence(&mut self, fence: &Fence, nonce: u64, terms: &Terms) -> bool {
        let same_epoch = |centre: &Centre| fence.epoch == centre.cluster.epoch;
        if self.check_timeline(nonce, terms).is_err() || !same_epoch(self) {
            return false;
        }
        let compared = |row: &NodeRow| row.beat == fence.beat || !terms.keep(Rule::FenceComparesTheHeartbeat);
        let row = self.nodes.get_mut(fence.id).filter(|row| !row.has_ended() && compared(row));
        let Some(row) = row else { return false };
        row.state = RowState::Fenced;
        self.release(fence.id);
        true
    }

    /// Reads which keys a node is asked to return: an index over a table that is almost always empty.
    pub fn recalled(&self, id: NodeId) -> impl Iterator<Item = Key> {
        self.recalls.iter().filter(move |((node, _), ())| *node == id).map(|((_, key), ())| key)
    }

    /// Adds credits.
    pub fn grant(&mut self, key: Key, amount: u64) {
        self.balances.update(key, |balance| {
            balance.granted += amount;
            balance.count_deficit();
        });
    }

    /// Sets what a quota allows in a period.
    pub fn set_limit(&mut self, key: Key, limit: u64) {
        self.balances.update(key, |balance| {
            balance.granted = limit;
            balance.count_deficit();
        });
    }
}

#[cfg(test)]
mod tests;
