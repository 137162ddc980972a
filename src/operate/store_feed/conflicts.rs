//! What of the store is not in force, and why: at most so many are kept in words, all of them are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ledger::store::StoreError;
use crate::platform::count::{counted, either};
use crate::policy::account::directory::change::{Clash, Conflict};

/// Accounts whose conflicts are kept in words.
const MOST_KEPT: usize = 1000;

/// Accounts of which the log tells each time.
const MOST_LOGGED: usize = 20;

/// An account of the store that is not in force as the store says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountConflict {
    /// Its name, or the id of a row that cannot be read.
    pub account: String,
    /// What is left out, and how to mend it.
    pub why: Vec<String>,
}

/// All of them, as they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConflictsShown {
    /// How many accounts there are.
    pub count: usize,
    /// The first of them, by name.
    pub accounts: Vec<AccountConflict>,
}

/// What is known of conflicts.
#[derive(Clone, Debug, Default)]
pub struct Conflicts(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// By the accounts' names.
    of: BTreeMap<String, Vec<String>>,
    /// Those of them whose names files have.
    behind_files: BTreeSet<String>,
    /// Accounts beyond those that are kept.
    beyond: usize,
    /// Something has been added since it was logged.
    is_new: bool,
}

impl Conflicts {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all, since all accounts are looked at anew.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.of.clear();
        kept.behind_files.clear();
        kept.beyond = 0;
    }

    /// What is wrong with an account now; nothing, if that is empty.
    pub fn set(&self, account: &str, flaws: Vec<String>) {
        let mut kept = self.kept();
        kept.behind_files.remove(account);
        if flaws.is_empty() {
            kept.of.remove(account);
        } else {
            kept.put(account, flaws);
        }
    }

    /// A row that cannot be read.
    pub fn damaged(&self, error: &StoreError) {
        let id = match error {
            StoreError::Corrupted { id, .. } => id.as_str(),
            _ => "(unknown)",
        };
        self.kept().put(id, vec![format!("cannot be read: {error}")]);
    }

    /// What others were there first with.
    pub fn add(&self, conflicts: Vec<Conflict>) {
        let mut kept = self.kept();
        for conflict in conflicts {
            let mut flaws = kept.of.get(&*conflict.account).cloned().unwrap_or_default();
            let flaw = in_words(&conflict);
            if !flaws.contains(&flaw) {
                flaws.push(flaw);
            }
            kept.put(&conflict.account, flaws);
            if conflict.with == Clash::Name && kept.of.contains_key(&*conflict.account) {
                kept.behind_files.insert(conflict.account.to_string());
            }
        }
    }

    /// What is wrong with an account.
    pub fn of(&self, account: &str) -> Vec<String> {
        self.kept().of.get(account).cloned().unwrap_or_default()
    }

    /// The accounts that are kept.
    pub fn names(&self) -> Vec<String> {
        self.kept().of.keys().cloned().collect()
    }

    /// The accounts whose names files have; `None` if more than are kept have conflicts.
    pub fn behind_files(&self) -> Option<Vec<String>> {
        let kept = self.kept();
        (kept.beyond == 0).then(|| kept.behind_files.iter().cloned().collect())
    }

    /// How many accounts there are.
    pub fn count(&self) -> usize {
        let kept = self.kept();
        kept.of.len().saturating_add(kept.beyond)
    }

    /// All of them, as they are shown.
    pub fn shown(&self) -> ConflictsShown {
        let kept = self.kept();
        let shown = kept.of.iter().map(|(account, why)| AccountConflict { account: account.clone(), why: why.clone() });
        ConflictsShown { count: kept.of.len().saturating_add(kept.beyond), accounts: shown.collect() }
    }

    /// Logs them, if some are new.
    pub fn log(&self) {
        let mut kept = self.kept();
        if !std::mem::take(&mut kept.is_new) {
            return;
        }
        for (account, why) in kept.of.iter().take(MOST_LOGGED) {
            log::warn!(target: "tollgate::store", "the store's account {account} is not in force as it is written: it {}", why.join("; "));
        }
        let more = kept.of.len().saturating_sub(MOST_LOGGED).saturating_add(kept.beyond);
        if more > 0 {
            let (accounts, are) = (
                counted(more, "more account"),
                either(&more, "is not in force as it is", "are not in force as they are"),
            );
            log::warn!(target: "tollgate::store", "{accounts} of the store {are} written");
        }
    }
}

impl Kept {
    fn put(&mut self, account: &str, flaws: Vec<String>) {
        if self.of.get(account) == Some(&flaws) {
            return;
        }
        if self.of.len() >= MOST_KEPT && !self.of.contains_key(account) {
            // Counted, and not logged with each of the many that an import may bring.
            self.beyond = self.beyond.saturating_add(1);
            return;
        }
        self.of.insert(account.to_owned(), flaws);
        self.is_new = true;
    }
}

/// What could not be put in force, in words.
pub(super) fn in_words(conflict: &Conflict) -> String {
    match &conflict.with {
        Clash::Name => {
            "has the name of an account in files, which is the one that counts; take that one out of the files"
                .to_owned()
        }
        Clash::Digest { account, .. } => {
            format!("has a token that the account {account} has as well; revoke one of both")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_kept_by_account_until_they_are_mended() {
        let conflicts = Conflicts::default();
        let name = |account: &str| Conflict { account: account.into(), with: Clash::Name };
        conflicts.set("a", vec!["has the product x".to_owned()]);
        conflicts.add(vec![name("a"), name("b")]);
        assert_eq!((conflicts.count(), conflicts.of("a").len(), conflicts.of("b").len()), (2, 2, 1));
        conflicts.set("a", Vec::new());
        assert_eq!(conflicts.names(), ["b"]);
        conflicts.damaged(&StoreError::Corrupted { table: "token", id: "0f".to_owned(), why: "odd".to_owned() });
        assert!(conflicts.of("0f")[0].contains("row 0f of token"));
        for number in 0..MOST_KEPT + 10 {
            conflicts.set(&format!("n{number}"), vec!["x".to_owned()]);
        }
        let shown = conflicts.shown();
        assert_eq!((shown.count, shown.accounts.len()), (MOST_KEPT + 12, MOST_KEPT));
        conflicts.clear();
        assert_eq!(conflicts.shown(), ConflictsShown::default());
    }
}
