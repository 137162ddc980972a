//! Transactions about identities: join, declare, and their ends.

use super::super::message::{Body, Counters, Identity, Key, NodeId, Outcome, Refusal, Request};
use super::super::terms::{Rule, Terms};
use super::{Centre, NodeRow, RowState};

type Leases = [(Key, Counters)];

impl Centre {
    /// Adds an identity without leases, which so has declared them. One that has a row already must name the epoch: else
    /// its first join, if it was late by a failover, would count as a declaration of the leases that it has taken since.
    pub(super) fn join(&mut self, request: &Request, terms: &Terms) -> Result<Outcome, Refusal> {
        let (identity, epoch) = (request.identity, self.cluster.epoch);
        let named = request.epoch == epoch || !terms.keep(Rule::JoinInTheEpochThatItNames);
        match self.nodes.get_mut(identity.id) {
            Some(row) if row.has_ended() => return Err(Refusal::Ended),
            Some(_) if !named => return Err(Refusal::Epoch(epoch)),
            Some(row) => {
                row.epoch = epoch;
                row.beat += 1;
            }
            None => self.add_row(identity, RowState::Live, terms),
        }
        self.open_if_complete();
        Ok(Outcome::Joined(epoch))
    }

    fn add_row(&mut self, identity: Identity, state: RowState, terms: &Terms) {
        let (epoch, incarnation, fence_after) = (self.cluster.epoch, identity.incarnation, terms.fence_after());
        self.nodes.insert(identity.id, NodeRow { incarnation, state, epoch, beat: 0, fence_after });
    }

    /// The row of an identity that may write, after its process has been compared.
    pub(super) fn writer(&mut self, identity: Identity, terms: &Terms) -> Result<&mut NodeRow, Refusal> {
        let row = self.nodes.get_mut(identity.id).ok_or(Refusal::Unknown)?;
        if row.has_ended() && terms.keep(Rule::EndedReportsNothing) {
            return Err(Refusal::Ended);
        }
        if row.incarnation > identity.incarnation && terms.keep(Rule::OnlyTheNewestIncarnation) {
            return Err(Refusal::Ended);
        }
        row.incarnation = row.incarnation.max(identity.incarnation);
        // The next process of an upgrade can have another time to live.
        row.fence_after = terms.fence_after();
        Ok(row)
    }

    /// Takes all counters of a live identity, after the epoch changed. One whose row is lost, with a backup that is
    /// older than it, gets a row again; what is then leased beyond what was granted is a deficit.
    pub(super) fn declare(&mut self, request: &Request, leases: &Leases, terms: &Terms) -> Result<Outcome, Refusal> {
        let (identity, epoch) = (request.identity, self.cluster.epoch);
        if request.epoch != epoch {
            return Err(Refusal::Epoch(epoch));
        }
        if self.nodes.get(identity.id).is_none() {
            self.add_row(identity, RowState::Live, terms);
        }
        let row = self.writer(identity, terms)?;
        row.beat += 1;
        row.epoch = epoch;
        for (key, counters) in leases {
            self.change_lease(*key, identity.id, |known| match terms.keep(Rule::DeclareByMaximum) {
                true => *known = known.maximum(counters),
                false => *known = *counters,
            });
        }
        self.open_if_complete();
        Ok(Outcome::Declared(self.leases_of(identity.id)))
    }

    /// The last word of an identity. What it has spent of leases that the centre knows from this epoch is charged, the
    /// rest is released; charges beyond them wait for [`Centre::late`].
    pub(super) fn retire(&mut self, identity: Identity, leases: &Leases, terms: &Terms) -> Outcome {
        let (id, epoch) = (identity.id, self.cluster.epoch);
        let known = self.nodes.get(id).copied();
        let has_ended = known.is_some_and(|row| row.has_ended());
        match self.nodes.get_mut(id) {
            Some(row) if !has_ended => row.state = RowState::Retired,
            Some(_) => {}
            None => self.add_row(identity, RowState::Retired, terms),
        }
        let waits = terms.keep(Rule::LateChargesWaitForTheOpening);
        if !has_ended && (known.is_some_and(|row| row.epoch == epoch) || !waits) {
            for (key, counters) in leases {
                self.change_lease(*key, id, |row| row.spent = row.spent.max(counters.spent.min(row.allotted())));
            }
        }
        self.release(id);
        let settled = leases.iter().all(|(key, counters)| self.written(*key, id) >= counters.spent);
        Outcome::Ended { settled }
    }

    /// Charges of an identity that has ended: made where credits are available, and unpaid otherwise. What is available
    /// is known only in an epoch that is open.
    pub(super) fn late(&mut self, identity: Identity, leases: &Leases, terms: &Terms) -> Result<Outcome, Refusal> {
        if self.nodes.get(identity.id).is_none_or(|row| !row.has_ended()) {
            // A failover has lost the end of the identity.
            self.retire(identity, &[], terms);
        }
        if !self.cluster.opened && terms.keep(Rule::LateChargesWaitForTheOpening) {
            return Err(Refusal::Closed);
        }
        for (key, counters) in leases {
            let due = counters.spent.saturating_sub(self.written(*key, identity.id));
            let room = self.balances.get(*key).map_or(0, |balance| balance.available());
            let charged = if terms.keep(Rule::LateChargesNeedRoom) { due.min(room) } else { due };
            self.change_lease(*key, identity.id, |row| {
                row.taken += charged;
                row.spent += charged;
            });
            if due > charged {
                self.unpaid.update((*key, identity.id), |unpaid| *unpaid += due - charged);
            }
        }
        Ok(Outcome::Ended { settled: true })
    }

    /// What the centre has written of an identity's charges, as spent or as unpaid.
    pub fn written(&self, key: Key, id: NodeId) -> u64 {
        let spent = self.leases.get((key, id)).map_or(0, |row| row.spent);
        spent + self.unpaid.get((key, id)).copied().unwrap_or_default()
    }

    /// Releases whatever an identity has on lease, for it has ended.
    pub(super) fn release(&mut self, id: NodeId) {
        let keys: Vec<Key> = self.leases.iter().filter(|((_, node), _)| *node == id).map(|((key, _), _)| key).collect();
        for key in keys {
            self.change_lease(key, id, |row| row.returned = row.taken.saturating_sub(row.spent).max(row.returned));
        }
        self.recalls.retain(|(node, _), ()| node != id);
        self.open_if_complete();
    }

    /// Whether a request is one that needs the epoch in force.
    pub(super) fn is_of_this_epoch(&self, request: &Request, terms: &Terms) -> bool {
        let report = matches!(request.body, Body::Report { .. });
        let checked = !report || terms.keep(Rule::DeclareBeforeReport);
        let declared = self.nodes.get(request.identity.id).is_some_and(|row| row.epoch == self.cluster.epoch);
        !checked || request.epoch == self.cluster.epoch && declared
    }
}
