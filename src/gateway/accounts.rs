//! Changes of the store's accounts while clients are served: one swap of the snapshot for any number of them.
//!
//! Whoever compiles accounts and says when is `operate/reload.rs`, whose thread is the only one that exchanges
//! snapshots, so that no change of the configuration loses one of the accounts, nor the other way round.

use std::sync::Arc;

use super::Gateway;
use super::snapshot::{Snapshot, WithAccounts};
use crate::policy::account::directory::change::{AccountChange, Conflict};

/// What came of changes of accounts.
#[derive(Debug)]
pub struct AccountsChanged {
    /// The snapshot before, which requests may still use. Whoever keeps it until they are done frees it
    /// instead of one of them; `None` if nothing has changed.
    pub before: Option<Arc<Snapshot>>,
    pub conflicts: Vec<Conflict>,
}

impl Gateway {
    /// Puts changes of accounts in force: requests that come from now on see all of them. What the accounts
    /// have used goes on being counted, and credit accounts that are new have been read when this returns.
    pub fn change_accounts(&self, changes: &[AccountChange]) -> AccountsChanged {
        let before = self.snapshot();
        let WithAccounts { snapshot, changed, conflicts } = before.with_accounts(changes, self.now());
        if changed.is_empty() {
            return AccountsChanged { before: None, conflicts };
        }
        self.ledger.change(&snapshot.policy, &changed);
        // Upstreams are the same: nobody who keeps them has to be told.
        let snapshot = Arc::new(snapshot);
        self.current.store(Arc::clone(&snapshot));
        // What requests of the snapshot before have used meanwhile counts as well.
        snapshot.count_changed(&changed, self.now());
        AccountsChanged { before: Some(before), conflicts }
    }
}
