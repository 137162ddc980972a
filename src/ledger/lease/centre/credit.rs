//! Transactions about credits: acquire and report.

use super::super::message::{Acquired, Ask, Counters, Key, NodeId, Outcome, Refusal, Request};
use super::super::terms::{Rule, Terms};
use super::{Balance, Centre, RowState};

impl Centre {
    /// Leases credits, in one order of keys for all nodes: at most half of what is available, at least the highest
    /// price, or nothing.
    pub(super) fn acquire(&mut self, request: &Request, asks: &[Ask], terms: &Terms) -> Result<Outcome, Refusal> {
        let id = request.identity.id;
        let row = self.writer(request.identity, terms)?;
        if row.state == RowState::Draining {
            return Err(Refusal::Ended);
        }
        if !self.is_of_this_epoch(request, terms) {
            return Err(Refusal::Epoch(self.cluster.epoch));
        }
        if !self.cluster.opened && terms.keep(Rule::ClosedUntilAllHaveDeclared) {
            return Err(Refusal::Closed);
        }
        let mut asks = asks.to_vec();
        asks.sort_by_key(|ask| ask.key);
        Ok(Outcome::Acquired(asks.iter().map(|ask| self.lease(ask, id, terms)).collect()))
    }

    fn lease(&mut self, ask: &Ask, id: NodeId, terms: &Terms) -> Acquired {
        let available = self.balances.get(ask.key).map_or(0, Balance::available);
        let most = if terms.keep(Rule::AtMostHalf) { available / 2 } else { available };
        let got = if available < ask.floor { 0 } else { ask.want.min(most).max(ask.floor) };
        if got > 0 {
            self.change_lease(ask.key, id, |row| row.taken += got);
        }
        let recalled = if got == 0 && terms.keep(Rule::Recall) { self.recall(ask, id) } else { 0 };
        let taken = self.leases.get((ask.key, id)).map_or(0, |row| row.taken);
        let nodes = self.live_nodes();
        Acquired { key: ask.key, got, floor: ask.floor, taken, available: available - got, nodes, recalled }
    }

    /// Asks all others that hold credits to return what they do not need, and counts those that have not answered.
    fn recall(&mut self, ask: &Ask, id: NodeId) -> u64 {
        if !ask.again {
            let of_key = self.leases.iter().filter(|((key, node), _)| *key == ask.key && *node != id);
            let holders = of_key.filter(|(_, row)| row.outstanding() > 0).map(|((_, node), _)| node);
            for holder in holders.collect::<Vec<NodeId>>() {
                self.recalls.insert((holder, ask.key), ());
            }
        }
        self.recalls.iter().map(|((node, key), ())| u64::from(key == ask.key && node != id)).sum()
    }

    /// A heartbeat with totals. It touches rows of leases alone, and a balance only where something was returned.
    pub(super) fn report(
        &mut self,
        request: &Request,
        (draining, all): (bool, bool),
        leases: &[(Key, Counters)],
        answered: &[Key],
        terms: &Terms,
    ) -> Result<Outcome, Refusal> {
        let id = request.identity.id;
        self.writer(request.identity, terms)?;
        if !self.is_of_this_epoch(request, terms) {
            return Err(Refusal::Epoch(self.cluster.epoch));
        }
        let row = self.writer(request.identity, terms)?;
        row.beat += 1;
        if draining {
            row.state = row.state.max(RowState::Draining);
        }
        for (key, counters) in leases {
            self.change_lease(*key, id, |row| {
                row.returned = row.returned.max(counters.returned);
                row.spent = match terms.keep(Rule::TotalsNotDifferences) {
                    true => row.spent.max(counters.spent),
                    false => row.spent + counters.spent,
                };
            });
        }
        self.recalls.retain(|(node, key), ()| node != id || !answered.contains(&key));
        if all {
            return Ok(Outcome::Reported(self.leases_of(id)));
        }
        let row = |(key, _): &(Key, Counters)| Some((*key, *self.leases.get((*key, id))?));
        Ok(Outcome::Reported(leases.iter().filter_map(row).collect()))
    }

    /// The rows of one identity.
    pub(super) fn leases_of(&self, id: NodeId) -> Vec<(Key, Counters)> {
        let own = self.leases.iter().filter(|((_, node), _)| *node == id);
        own.map(|((key, _), row)| (key, *row)).collect()
    }

    /// Changes a lease, and its balance with it. Nothing is left to change of a quota's period that is over.
    pub(super) fn change_lease(&mut self, key: Key, id: NodeId, change: impl FnOnce(&mut Counters)) {
        if key.period > 0 && self.balances.get(key).is_none() {
            return;
        }
        let before = self.leases.get((key, id)).copied().unwrap_or_default();
        let mut after = before;
        change(&mut after);
        if after != before {
            self.leases.insert((key, id), after);
            self.balances.update(key, |balance| balance.replace(&before, &after));
        }
    }

    /// Forgets a quota's period that is over. Reports about it change nothing any more.
    pub fn close_period(&mut self, key: Key) {
        self.leases.retain(|(known, _), _| known != key);
        self.balances.retain(|known, _| known != key);
        self.recalls.retain(|(_, known), ()| known != key);
        self.unpaid.retain(|(known, _), _| known != key);
    }
}
