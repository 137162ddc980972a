//! One balance of credits in two atomic words: the granted credits, and those that are available
//! and held. The others were spent.
//!
//! A hold is one compare-and-swap, so no two requests can use the same credit. Spent credits are
//! not stored: they are the rest of the grants, so that `granted = available + held + spent` always
//! holds. This file uses nothing else of the crate, so that a model checker can run it with its own
//! atomics.

use super::atomic::{AtomicU64, Ordering, spin_loop};

/// The most credits that one balance can hold: 2^40 − 1, about a million million.
pub const MAX_CREDITS: u64 = (1 << GRANTED_BITS) - 1;

/// The most credits of one balance that requests in flight can hold together: 2^24 − 1.
pub const MAX_HELD: u64 = (1 << HELD_BITS) - 1;

const HELD_BITS: u32 = 24;

/// Of the grants' word, the part that is neither the number of changes nor the mark of one.
const GRANTED_BITS: u32 = 40;

/// A balance that any number of threads may use; it starts at zero.
#[derive(Debug, Default)]
pub struct Balance {
    /// `available << 24 | held`.
    word: AtomicU64,
    /// `changes << 41 | granted << 1 | changing`: while the lowest bit is set, the two words do not
    /// belong together, and the number of changes tells a balance from an equal one before it.
    grants: AtomicU64,
}

/// Why nothing was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Fewer credits are available.
    Credits,
    /// More would be held than one balance can count.
    Room,
}

/// A balance at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceSnapshot {
    /// All grants and adjustments together.
    pub granted: u64,
    /// The available credits.
    pub available: u64,
    /// The credits that requests in flight hold.
    pub held: u64,
    /// What was charged.
    pub spent: u64,
}

impl Balance {
    /// Moves `amount` from the available credits to the held ones.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn hold(&self, amount: u32) -> Result<(), Short> {
        let amount = u64::from(amount);
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let (available, held) = parts(seen);
            let left = available.checked_sub(amount).ok_or(Short::Credits)?;
            let held = held.saturating_add(amount);
            if held > MAX_HELD {
                return Err(Short::Room);
            }
            match self.word.compare_exchange_weak(seen, word(left, held), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Ends a hold of `held`: `price` of it is spent, and the rest is available again. A higher
    /// price is limited to the hold.
    pub fn settle(&self, held: u32, price: u32) {
        let back = u64::from(held.saturating_sub(price));
        // One addition does both, since what is held is at least `held`.
        self.word.fetch_add((back << HELD_BITS).wrapping_sub(u64::from(held)), Ordering::AcqRel);
    }

    /// Makes spent credits available again.
    pub fn refund(&self, credits: u32) {
        self.word.fetch_add(u64::from(credits) << HELD_BITS, Ordering::AcqRel);
    }

    /// Adds to the granted and available credits. Only one thread at a time may grant, withdraw or
    /// load; any number may hold and settle meanwhile.
    ///
    /// Returns `false`, and changes nothing, if the balance cannot count that much.
    pub fn grant(&self, amount: u64) -> bool {
        if !self.can_grant(amount) {
            return false;
        }
        self.change(self.granted() + amount, || {
            // Available never exceeds granted, so that the sum fits.
            self.word.fetch_add(amount << HELD_BITS, Ordering::AcqRel);
            true
        })
    }

    /// Whether this amount can be granted.
    pub fn can_grant(&self, amount: u64) -> bool {
        self.granted().checked_add(amount).is_some_and(|sum| sum <= MAX_CREDITS)
    }

    /// Sets an empty balance to its stored state.
    ///
    /// Returns `false`, and changes nothing, if the balance cannot count that much.
    pub fn load(&self, granted: u64, spent: u64) -> bool {
        let Some(available) = granted.checked_sub(spent).filter(|_| self.can_grant(granted)) else {
            return false;
        };
        self.change(granted, || {
            self.word.store(word(available, 0), Ordering::Release);
            true
        })
    }

    /// Takes back granted credits that are available. Only the thread that grants may call it.
    ///
    /// Returns `false`, and changes nothing, if less is available.
    pub fn withdraw(&self, amount: u64) -> bool {
        let granted = self.granted();
        self.change(granted.saturating_sub(amount), || {
            let mut seen = self.word.load(Ordering::Acquire);
            loop {
                let (available, held) = parts(seen);
                let Some(left) = available.checked_sub(amount) else { return false };
                match self.word.compare_exchange_weak(seen, word(left, held), Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return true,
                    Err(changed) => seen = changed,
                }
            }
        })
    }

    /// The balance as it is at one moment.
    pub fn snapshot(&self) -> BalanceSnapshot {
        loop {
            let before = self.grants.load(Ordering::Acquire);
            let seen = self.word.load(Ordering::Acquire);
            let after = self.grants.load(Ordering::Acquire);
            if before == after && before & 1 == 0 {
                let (available, held) = parts(seen);
                let granted = granted_in(before);
                let spent = granted.saturating_sub(available).saturating_sub(held);
                return BalanceSnapshot { granted, available, held, spent };
            }
            spin_loop();
        }
    }

    /// The available credits.
    pub fn available(&self) -> u64 {
        parts(self.word.load(Ordering::Acquire)).0
    }

    fn granted(&self) -> u64 {
        granted_in(self.grants.load(Ordering::Acquire))
    }

    /// Changes both words; no snapshot is taken in between. `granted` is stored only if `change`
    /// returns true.
    fn change(&self, granted: u64, change: impl FnOnce() -> bool) -> bool {
        let before = self.grants.fetch_or(1, Ordering::AcqRel);
        let done = change();
        let changes = (before >> (GRANTED_BITS + 1)).wrapping_add(1);
        let granted = if done { granted } else { granted_in(before) };
        self.grants.store(changes << (GRANTED_BITS + 1) | granted << 1, Ordering::Release);
        done
    }
}

const fn granted_in(grants: u64) -> u64 {
    grants >> 1 & MAX_CREDITS
}

const fn parts(word: u64) -> (u64, u64) {
    (word >> HELD_BITS, word & MAX_HELD)
}

const fn word(available: u64, held: u64) -> u64 {
    available << HELD_BITS | held
}
