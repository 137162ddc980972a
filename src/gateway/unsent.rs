//! Bytes of answers that wait for clients of HTTP/2 to make room for them, shared by account.
//!
//! An account may have as many of them as are still free. So one alone can have half of all, two a third
//! each, and one that comes has room however much the others withhold: a slow reader can take answers
//! from nobody but itself. Strangers are one account together. Bytes that are shared among answers
//! already, such as pages, are not counted at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of answers that wait for all clients together.
pub(crate) const MAX_UNSENT_BYTES_OF_ALL: usize = 16 * 1024 * 1024;

/// What waits for the clients of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Unsent(Mutex<Shares>);

#[derive(Debug, Default)]
struct Shares {
    all: usize,
    /// Only accounts that have something waiting; `None` are the strangers.
    of: HashMap<Option<Arc<str>>, usize>,
}

/// Bytes that wait for a client of one account, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Share<'u> {
    unsent: &'u Unsent,
    account: Option<Arc<str>>,
    bytes: usize,
}

impl Unsent {
    /// Lets so many bytes wait for an account; `None` when it has its share already.
    pub(crate) fn share(&self, account: Option<&Arc<str>>, bytes: usize) -> Option<Share<'_>> {
        let mut shares = self.shares();
        let own = shares.of.get(&account.cloned()).copied().unwrap_or(0);
        let free = MAX_UNSENT_BYTES_OF_ALL.saturating_sub(shares.all);
        (own.saturating_add(bytes) <= free).then(|| self.count(&mut shares, account, bytes))
    }

    /// The same for what may wait whatever else does.
    pub(crate) fn share_anyway(&self, account: Option<&Arc<str>>, bytes: usize) -> Share<'_> {
        self.count(&mut self.shares(), account, bytes)
    }

    fn count(&self, shares: &mut Shares, account: Option<&Arc<str>>, bytes: usize) -> Share<'_> {
        let account = account.cloned();
        shares.all = shares.all.saturating_add(bytes);
        let own = shares.of.entry(account.clone()).or_default();
        *own = own.saturating_add(bytes);
        Share { unsent: self, account, bytes }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut shares = self.unsent.shares();
        shares.all = shares.all.saturating_sub(self.bytes);
        if let Some(own) = shares.of.get_mut(&self.account) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                shares.of.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_all_they_can_leaves_room_for_one_more() {
        const PIECE: usize = 1024;
        let unsent = Unsent::default();
        let mut held = Vec::new();
        for accounts in 1..=5 {
            let account: Option<Arc<str>> = (accounts > 1).then(|| format!("account-{accounts}").into());
            let before = held.len();
            held.extend(std::iter::from_fn(|| unsent.share(account.as_ref(), PIECE)));
            // The share of one more among those who take all they can, of what the others left free.
            let had = (held.len() - before) * PIECE;
            assert_eq!(had, MAX_UNSENT_BYTES_OF_ALL >> accounts, "{accounts}");
        }
        assert!(held.len() * PIECE < MAX_UNSENT_BYTES_OF_ALL);
        held.clear();
        let shares = unsent.shares();
        assert_eq!((shares.all, shares.of.len()), (0, 0), "nothing is remembered of those who have nothing waiting");
    }

    #[test]
    fn what_may_wait_anyway_is_counted_all_the_same() {
        let unsent = Unsent::default();
        let one = unsent.share_anyway(None, 2 * MAX_UNSENT_BYTES_OF_ALL);
        assert!(unsent.share(Some(&"acme".into()), 1).is_none());
        drop(one);
        assert!(unsent.share(Some(&"acme".into()), 1).is_some());
    }
}
