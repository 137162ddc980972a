//! What requests are judged by, as far as the API can see: the policy of the gateway that serves, or that of the
//! configuration where none does.

use std::sync::Arc;

use crate::gateway::Gateway;
use crate::ledger::store::Location;
use crate::ledger::store::handle::AccountCheck;
use crate::operate::store_feed::{self, StoreFeed};
use crate::policy::Policy;

/// What requests are judged by.
#[derive(Clone)]
pub enum InForce {
    /// A gateway that serves, and how the store comes into force there.
    Gateway(Arc<Gateway>, StoreFeed),
    /// A configuration, where no gateway serves. It has the accounts of files alone.
    Configuration(Arc<Policy>),
}

impl InForce {
    /// The policy, as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        match self {
            InForce::Gateway(gateway, _) => Arc::clone(&gateway.snapshot().policy),
            InForce::Configuration(policy) => Arc::clone(policy),
        }
    }
}

/// Says of accounts that a transaction has changed whether they could be in force by a configuration, where no gateway
/// serves: the same that a gateway refuses is refused. What was wrong with them before is no reason to refuse.
pub fn check(policy: Arc<Policy>, store: &Location) -> Box<AccountCheck> {
    let store = store.clone();
    Box::new(move |connection, accounts| {
        // The store as it is without this transaction.
        let before = |name: &str| store_feed::flaws_in(&store, name, &policy);
        store_feed::check(connection, accounts, &policy, &before)
    })
}
