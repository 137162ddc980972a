//! The requests in flight of each account, where accounts share what the gateway itself can have in flight.
//!
//! While there is room for everybody, everybody is served. Once only the reserved part of `limits.requests` is left
//! (`limits.reserved_percent`), an account gets one more only as long as it has less than its share of all, by weight among
//! the accounts that have any and one more: the last part is never for the account that has used up the rest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::account::Account;
use crate::policy::admit::{Headroom, SHARE_USED, overloaded};
use crate::policy::problem::Problem;

/// The lookups in flight by account.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<Arc<str>, Requests>,
    /// The weights of these accounts together.
    weight: usize,
}

/// The lookups of one account.
#[derive(Debug)]
struct Requests {
    in_flight: usize,
    weight: usize,
}

/// A lookup's part of what its account has in flight, until it is dropped.
#[derive(Debug)]
#[must_use = "a share that is dropped is free again"]
pub(crate) struct Share<'g> {
    shares: &'g Shares,
    account: &'g Arc<str>,
}

impl Shares {
    /// Counts one more lookup of an account, where so many may be in flight in all.
    ///
    /// # Errors
    /// `overloaded`, if there is little room and the account has its share.
    pub(crate) fn enter<'g>(
        &'g self,
        account: &'g Account,
        headroom: Headroom,
        limit: usize,
    ) -> Result<Share<'g>, Problem> {
        let weight = usize::from(account.weight().get());
        let mut state = self.lock();
        let (in_flight, counted) = state.accounts.get(&account.name).map_or((0, 0), |had| (had.in_flight, had.weight));
        // With its weight as it is now, and one more that may come.
        let all = state.weight.saturating_sub(counted).saturating_add(weight).saturating_add(1);
        let share = limit.saturating_mul(weight).checked_div(all).unwrap_or(0).max(1);
        if headroom != Headroom::Free && in_flight >= share {
            return Err(overloaded(SHARE_USED));
        }
        state.weight = all.saturating_sub(1);
        state.accounts.insert(Arc::clone(&account.name), Requests { in_flight: in_flight.saturating_add(1), weight });
        Ok(Share { shares: self, account: &account.name })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each step is whole in itself, also behind a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.shares.lock();
        let Some(requests) = state.accounts.get_mut(self.account) else { return };
        requests.in_flight = requests.in_flight.saturating_sub(1);
        if requests.in_flight == 0 {
            let weight = requests.weight;
            state.accounts.remove(self.account);
            state.weight = state.weight.saturating_sub(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::account::samples;

    #[test]
    fn the_last_part_is_for_those_who_have_less_than_their_share() {
        let (noisy, quiet) = (samples::account("noisy", []), samples::account("quiet", []));
        let shares = Shares::default();
        let enter = |account, headroom| shares.enter(account, headroom, 10);
        let mut held: Vec<Share<'_>> = (0..5).map(|_| enter(&noisy, Headroom::Free).unwrap()).collect();
        // Alone it has the share of one of two: one more may come.
        assert!(enter(&noisy, Headroom::Reserved).is_err());
        held.extend((0..3).map(|_| enter(&quiet, Headroom::Reserved).unwrap()));
        assert!(enter(&quiet, Headroom::Reserved).is_err(), "a third of ten is three");
        // While there is room, nobody is refused.
        held.extend((0..5).map(|_| enter(&noisy, Headroom::Free).unwrap()));
        drop(held);
        let state = shares.lock();
        assert_eq!((state.accounts.len(), state.weight), (0, 0));
    }
}
