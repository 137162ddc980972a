//! Changes of single accounts: those of the store, while the accounts of files stay as they are.
//!
//! A change costs a leaf of the tokens for each token, one of the names, and some neighbours in the list,
//! however many accounts there are. What was before it stays as it is for the requests that have it.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Accounts, NameEntry, TokenEntry, Twice, index, short};
use crate::policy::account::Account;

/// A change of one account of the store.
#[derive(Clone, Debug)]
pub enum AccountChange {
    /// The account is new, or comes instead of the store's account of its name.
    Put(Arc<Account>),
    /// The store's account of the name goes. Others than the store's stay.
    Remove(Arc<str>),
}

impl AccountChange {
    /// The name of the account that it is about.
    pub fn name(&self) -> &Arc<str> {
        match self {
            AccountChange::Put(account) => &account.name,
            AccountChange::Remove(name) => name,
        }
    }

    fn after(&self) -> Option<&Arc<Account>> {
        match self {
            AccountChange::Put(account) => Some(account),
            AccountChange::Remove(_) => None,
        }
    }
}

/// Something that the store says and that cannot be, since others were there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The store's account.
    pub account: Arc<str>,
    pub with: Clash,
}

/// What was there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Files have an account of the name: the store's is left out.
    Name,
    /// Another account has a token of the same digest, which cannot be found as this account's; the account
    /// has all its other tokens.
    Digest {
        /// The token's index among those of the store's account.
        token: usize,
        /// The name of the other account.
        account: Arc<str>,
    },
}

/// What became of one account.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its slot, before and after.
    pub slot: usize,
    /// What it was; `None` if it is new.
    pub before: Option<Arc<Account>>,
    /// What it is; `None` if it has gone.
    pub after: Option<Arc<Account>>,
}

/// Accounts after changes.
#[derive(Debug)]
pub struct Changes {
    pub accounts: Accounts,
    /// Each account that is not what it was, once.
    pub changed: Vec<Changed>,
    pub conflicts: Vec<Conflict>,
}

impl Accounts {
    /// The accounts after changes of some; these stay as they are. Of several changes of one name, the last
    /// counts. A token may go from one account to another, in whatever order the two are told.
    pub fn with(&self, changes: &[AccountChange]) -> Changes {
        let (mut accounts, mut conflicts) = (self.clone(), Vec::new());
        let mut changed: Vec<Changed> = Vec::with_capacity(changes.len());
        let mut indexes: HashMap<&str, usize> = HashMap::with_capacity(changes.len());
        for change in changes {
            let name = change.name();
            if let Some(known) = indexes.get(&**name).and_then(|index| changed.get_mut(*index)) {
                known.after = change.after().cloned();
                continue;
            }
            match accounts.slot_of(name) {
                Some(slot) if slot < accounts.from_files => {
                    if change.after().is_some() {
                        conflicts.push(Conflict { account: Arc::clone(name), with: Clash::Name });
                    }
                    continue;
                }
                Some(slot) => {
                    let before = accounts.leave(slot);
                    changed.push(Changed { slot, before, after: change.after().cloned() });
                }
                None => changed.push(Changed { slot: usize::MAX, before: None, after: change.after().cloned() }),
            }
            indexes.insert(name, changed.len() - 1);
        }
        // Who was not there and is not there now has not changed.
        changed.retain(|one| one.before.is_some() || one.after.is_some());
        for Changed { slot, before, after } in &mut changed {
            accounts.settle(slot, before.as_ref(), after.as_ref(), &mut conflicts);
        }
        Changes { accounts, changed, conflicts }
    }

    /// Adds accounts of the store to those of files, before anybody uses them.
    pub fn take_in(&mut self, from_store: impl IntoIterator<Item = Arc<Account>>) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        for account in from_store {
            (self.pace)();
            if self.slot_of(&account.name).is_some() {
                conflicts.push(Conflict { account: Arc::clone(&account.name), with: Clash::Name });
            } else {
                let (slot, name) = (self.slots.len(), Arc::clone(&account.name));
                let twice = self.enter(account, slot);
                self.tell(&name, twice, &mut conflicts);
            }
        }
        conflicts
    }

    /// Lets an account go from its slot, which it keeps for the time being, as its name does.
    fn leave(&mut self, slot: usize) -> Option<Arc<Account>> {
        let gone = self.slots.get_mut(slot)?.take()?;
        for key in &gone.keys {
            // A token of the same digest may be another account's.
            let is_it =
                |entry: &TokenEntry| Arc::ptr_eq(&entry.account, &gone) && entry.account.key(&key.digest).is_some();
            self.tokens.remove(self.digests.tag(&key.digest), is_it);
        }
        self.token_count -= gone.keys.len();
        Some(gone)
    }

    /// Gives an account the slot that it had, or another one if it is new; or gives the slot free.
    fn settle(
        &mut self,
        slot: &mut usize,
        before: Option<&Arc<Account>>,
        after: Option<&Arc<Account>>,
        conflicts: &mut Vec<Conflict>,
    ) {
        let twice = match (before, after) {
            (Some(before), None) => {
                let number = short(*slot);
                self.names.remove(self.name_tag(&before.name), |entry: &NameEntry| entry.slot == number);
                self.free.push(number);
                return;
            }
            (Some(_), Some(after)) => {
                if let Some(own) = self.slots.get_mut(*slot) {
                    *own = Some(Arc::clone(after));
                }
                self.enter_tokens(after, *slot)
            }
            (None, Some(after)) => {
                *slot = self.free.pop().map_or(self.slots.len(), index);
                self.enter(Arc::clone(after), *slot)
            }
            (None, None) => return,
        };
        if let Some(after) = after {
            self.tell(&after.name, twice, conflicts);
        }
    }

    fn tell(&self, name: &Arc<str>, twice: Vec<Twice>, conflicts: &mut Vec<Conflict>) {
        for Twice { own, slot, .. } in twice {
            let account = self.at(slot).map_or_else(|| Arc::clone(name), |other| Arc::clone(&other.name));
            conflicts.push(Conflict { account: Arc::clone(name), with: Clash::Digest { token: own, account } });
        }
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
