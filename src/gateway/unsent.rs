//! Limits the bytes of answers that wait for HTTP/2 clients to read them, shared by account.
//!
//! An account may use at most as many bytes as are still free. So one account alone can use half of all, two a third
//! each, and there is always room for another account: a slow reader only affects itself. All requests without an
//! account count as one account. Bytes that answers share, such as pages, are not counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes of waiting answers for all clients together.
pub(crate) const MAX_UNSENT_BYTES_OF_ALL: usize = 16 * 1024 * 1024;

/// The waiting bytes of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Unsent(Mutex<Shares>);

#[derive(Debug, Default)]
struct Shares {
    all: usize,
    /// Only accounts with waiting bytes; `None` is for requests without an account.
    of: HashMap<Option<Arc<str>>, usize>,
}

/// Waiting bytes of one account, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Share<'u> {
    unsent: &'u Unsent,
    account: Option<Arc<str>>,
    bytes: usize,
}

impl Unsent {
    /// Reserves bytes for an account; `None` if it would exceed its share.
    pub(crate) fn share(&self, account: Option<&Arc<str>>, bytes: usize) -> Option<Share<'_>> {
        let mut shares = self.shares();
        let own = shares.of.get(&account.cloned()).copied().unwrap_or(0);
        let free = MAX_UNSENT_BYTES_OF_ALL.saturating_sub(shares.all);
        (own.saturating_add(bytes) <= free).then(|| self.count(&mut shares, account, bytes))
    }

    /// The same without a limit.
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
            // Another account that takes as much as it can gets its share of what the others left free.
            let had = (held.len() - before) * PIECE;
            assert_eq!(had, MAX_UNSENT_BYTES_OF_ALL >> accounts, "{accounts}");
        }
        assert!(held.len() * PIECE < MAX_UNSENT_BYTES_OF_ALL);
        held.clear();
        let shares = unsent.shares();
        assert_eq!((shares.all, shares.of.len()), (0, 0), "accounts without waiting bytes are forgotten");
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
