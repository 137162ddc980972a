//! The balances of a gateway that requests use, and their journal, as the driver needs them.

use super::super::message::{Key, NodeId};
use super::super::terms::Time;

/// What there is of a key at a moment, in credits. Whatever else was made available is held, or its charge is on its way
/// to the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub available: u64,
    /// What was delivered and is on the journal's disk as spent in this identity. It never falls, since what can still be
    /// refunded was not delivered.
    pub spent: u64,
}

/// The balances that requests use, and their journal.
pub trait Balances {
    /// What there is now. `spent` is read first, so that nothing is missing from what is held.
    fn usage(&self, key: Key) -> Usage;

    /// Makes credits available, once the journal has them, up to this total of what was taken. Returns whether it was
    /// done. If that is in doubt, it is looked up in the journal before the next time.
    fn add(&mut self, key: Key, taken: u64) -> bool;

    /// Takes back all available credits: from requests first, then in the journal. Returns how many the journal has; what
    /// is in doubt is a part of a later answer.
    fn take_back(&mut self, key: Key) -> u64;

    /// From this time on nothing is held any more, unless it is told anew.
    fn sell_until(&mut self, time: Time);

    /// Another identity begins: what was spent counts from zero, and nothing is available. Returns whether the journal has
    /// it, without which it cannot begin.
    fn begin(&mut self, id: NodeId) -> bool;
}
