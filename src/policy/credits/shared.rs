//! What a process knows of a balance that it shares with others, beside what it may sell of it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::balance::BalanceSnapshot;

/// No balance has so many.
const UNKNOWN: u64 = u64::MAX;

/// The whole of a balance, of which this process has a lease. Nothing is decided by it.
#[derive(Debug)]
pub struct SharedBalance {
    granted: AtomicU64,
    /// What was spent in all, less what was spent of the balance in this process.
    spent_elsewhere: AtomicI64,
}

impl Default for SharedBalance {
    fn default() -> SharedBalance {
        SharedBalance { granted: AtomicU64::new(UNKNOWN), spent_elsewhere: AtomicI64::new(0) }
    }
}

impl SharedBalance {
    /// Takes over what the others have said. Readers in between see a part of it, for a moment.
    pub fn set(&self, granted: u64, spent_elsewhere: i64) {
        self.spent_elsewhere.store(spent_elsewhere, Ordering::Relaxed);
        self.granted.store(granted.min(UNKNOWN - 1), Ordering::Relaxed);
    }

    /// Whether the balance is shared, and its others were heard of.
    pub fn is_known(&self) -> bool {
        self.granted.load(Ordering::Relaxed) != UNKNOWN
    }

    /// The whole of a balance, with what is here at one moment. `granted` stays the sum of the other three, also where an
    /// old backup has less than what was spent.
    pub fn with(&self, here: BalanceSnapshot) -> BalanceSnapshot {
        if !self.is_known() {
            return here;
        }
        let spent = here.spent.saturating_add_signed(self.spent_elsewhere.load(Ordering::Relaxed));
        let granted = self.granted.load(Ordering::Relaxed).max(spent.saturating_add(here.held));
        BalanceSnapshot { granted, available: granted - spent - here.held, held: here.held, spent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_balance_is_all_that_there_is_of_it() {
        let shared = SharedBalance::default();
        let here = BalanceSnapshot { granted: 30, available: 10, held: 2, spent: 18 };
        assert!(!shared.is_known());
        assert_eq!(shared.with(here), here);
        for (granted, elsewhere, expected) in [
            (100, 50, [100, 30, 2, 68]),
            // What was spent here before this balance was shared is not of it.
            (100, -15, [100, 95, 2, 3]),
            (0, 0, [20, 0, 2, 18]),
            (u64::MAX, 0, [u64::MAX - 1, u64::MAX - 21, 2, 18]),
        ] {
            shared.set(granted, elsewhere);
            let BalanceSnapshot { granted, available, held, spent } = shared.with(here);
            assert_eq!([granted, available, held, spent], expected);
            assert_eq!(granted, available + held + spent);
        }
    }
}
