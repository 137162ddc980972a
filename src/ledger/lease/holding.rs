//! What one identity has of one key, as the owner of its journal sees it.

use super::message::Counters;

/// A lease. `taken = returned + spent + held + available` at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub counters: Counters,
    /// Credits that requests in flight hold.
    pub held: u64,
    /// What the centre has acknowledged of the counters.
    pub acknowledged: Counters,
    /// Little is left at the centre: what a request leaves over is returned at once.
    pub direct: bool,
    /// Other nodes need credits, and the next report answers them.
    pub recalled: bool,
}

impl Lease {
    /// Credits that can be held.
    pub fn available(&self) -> u64 {
        self.counters.outstanding().saturating_sub(self.held)
    }

    /// Holds credits for a request, and returns whether there were enough.
    pub fn hold(&mut self, amount: u64) -> bool {
        let enough = amount <= self.available();
        if enough {
            self.held += amount;
        }
        enough
    }

    /// Charges a part of a hold, and gives the rest of it back.
    pub fn settle(&mut self, held: u64, charged: u64) {
        self.held = self.held.saturating_sub(held);
        self.counters.spent += charged.min(held);
    }

    /// Returns credits that no request holds, at most so many. They are in `returned`, and so in the journal, before
    /// the centre is informed.
    pub fn give_back(&mut self, most: u64) {
        self.counters.returned += most.min(self.available());
    }

    /// Takes over what an acknowledged write of the centre says about `taken`.
    pub fn believe(&mut self, taken: u64) {
        self.counters.taken = self.counters.taken.max(taken);
    }

    /// Whether the centre does not know everything yet.
    pub fn is_unreported(&self) -> bool {
        self.recalled || self.counters != self.acknowledged
    }
}
