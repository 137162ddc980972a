//! Lists of tokens that nobody has confirmed in time: the ones before come back, as changes like any other, which are
//! in force as soon as the store is looked at again.
//!
//! Several processes may have the store, as during an upgrade. Whichever comes first does it, since the transaction
//! that puts a list back also forgets that it waits.

use std::sync::Arc;

use rusqlite::Connection;

use crate::ledger::store::list_before;
use crate::ledger::store::{Act, Store, StoreError, Via, lists};

/// Milliseconds between two looks.
const LOOK_INTERVAL_MS: i64 = 250;

/// Milliseconds until it is tried again after the store could not be written.
const RETRY_INTERVAL_MS: i64 = 5000;

/// Lists that are put back at one look.
const MOST_AT_ONCE: u32 = 100;

/// When it is looked next.
#[derive(Debug, Default)]
pub struct GoingBack {
    /// In milliseconds since 1970, UTC.
    next_look_at: i64,
}

impl GoingBack {
    /// Puts back what is due at a moment, if it is time to look.
    pub fn look(&mut self, connection: &Connection, store: &Arc<Store>, now_ms: i64) {
        // A clock that was set back does not put this off.
        if (self.next_look_at.saturating_sub(RETRY_INTERVAL_MS)..self.next_look_at).contains(&now_ms) {
            return;
        }
        self.next_look_at = now_ms.saturating_add(LOOK_INTERVAL_MS);
        if let Err(error) = put_back(connection, store, now_ms) {
            self.next_look_at = now_ms.saturating_add(RETRY_INTERVAL_MS);
            log::error!(target: "tollgate::store", "a list that was not confirmed could not be put back: {error}");
        }
    }
}

fn put_back(connection: &Connection, store: &Store, now_ms: i64) -> Result<(), StoreError> {
    for due in list_before::due(connection, now_ms, MOST_AT_ONCE)? {
        let shown = due.token_id.clone();
        if store.write_here(act(now_ms), move |writing| lists::go_back(writing, due.of()))?.value {
            log::info!(target: "tollgate::store", "a list of the token {shown} was not confirmed, and the one before is back");
        }
    }
    Ok(())
}

fn act(at_ms: i64) -> Act {
    Act { actor: "gateway".to_owned(), via: Via::Gateway, address: String::new(), at_ms, idempotency: None }
}
