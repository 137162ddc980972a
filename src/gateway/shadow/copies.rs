//! Copies of accounts for a candidate: they begin with what the live accounts have used, and share nothing that is counted.

use std::sync::Arc;

use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::directory::change::AccountChange;
use crate::policy::now::Now;

/// The candidate with copies of all its accounts.
pub fn policy(candidate: &Policy, in_force: &Policy, now: Now) -> Policy {
    candidate.copied(|account| copy(account, (candidate, in_force), now))
}

/// The same changes with copies of the accounts.
pub fn changes(changes: &[AccountChange], by: (&Policy, &Policy), now: Now) -> Vec<AccountChange> {
    let change = |change: &AccountChange| match change {
        AccountChange::Put(account) => AccountChange::Put(Arc::new(copy(account, by, now))),
        AccountChange::Remove(name) => AccountChange::Remove(Arc::clone(name)),
    };
    changes.iter().map(change).collect()
}

fn copy(account: &Account, (candidate, in_force): (&Policy, &Policy), now: Now) -> Account {
    let live = in_force.accounts.by_name(&account.name);
    let copy = account.beginning_as(live.map(|live| &**live), now);
    if let Some(live) = live {
        let (window, window_before) = (&candidate.account_info.window, &in_force.account_info.window);
        window.inherit(&copy.account_info_rate, window_before, &live.account_info_rate, now);
    }
    copy
}
