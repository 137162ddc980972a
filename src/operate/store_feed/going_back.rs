//! Lists of tokens that nobody has confirmed in time: the ones before come back, as changes like any other, which are
//! in force as soon as the store is looked at again.
//!
//! Several processes may have the store, as during an upgrade. Whichever comes first does it, since the transaction
//! that puts a list back also forgets that it waits.

use std::sync::Arc;

use crate::ledger::store::list_before;
use crate::ledger::store::{Act, Connection, Store, StoreError, Via, lists};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::accounts::{self, AccountDraft};
    use crate::ledger::store::audit::{self, AuditPage};
    use crate::ledger::store::list_before::ListOf;
    use crate::ledger::store::open;
    use crate::ledger::store::randomness::SystemRandomness;
    use crate::ledger::store::records::{AccountTerms, ListEntry, ListKind, ListMode, QuotaLimit, Terms, TokenList};
    use crate::ledger::store::tokens::{self, TokenDraft};

    #[test]
    fn a_list_goes_back_when_its_time_is_over_by_one_of_two_processes() {
        const NOW: i64 = 1_798_761_600_000;
        const MINUTE: i64 = 60_000;
        let directory = std::env::temp_dir().join(format!("tollgate-back-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("store.db");
        let stores = [0, 1].map(|_| Arc::new(Store::open(&path, Box::new(SystemRandomness)).unwrap()));
        let connection = open(&path).unwrap();
        let made = stores[0].write_here(act(NOW), |writing| {
            let terms = AccountTerms::Own(Terms::default());
            let draft = AccountDraft { name: "acme".to_owned(), display: String::new(), terms, products: Vec::new() };
            let account = accounts::create(writing, &draft)?.id;
            let (products, rates) = (vec!["plate".to_owned()], Vec::new());
            let name = "web".to_owned();
            let draft = TokenDraft { name, products, last_day: None, rates, quota: QuotaLimit::default() };
            let token = tokens::create(writing, &account, &draft)?.token.id;
            let of = ListOf { account_id: &account, token_id: &token, kind: ListKind::Network };
            let entries = vec![ListEntry { value: "203.0.113.9".to_owned(), note: String::new() }];
            let list = TokenList { mode: ListMode::Enforce, entries, absent: None };
            lists::change(writing, of, None, &list, Some(MINUTE))?;
            Ok((account, token))
        });
        let (account, token) = made.unwrap().value;
        let mode = || lists::get(&connection, &account, &token, ListKind::Network).unwrap().mode;
        let mut looks = [0, 1].map(|_| GoingBack::default());
        for (after, expected) in [
            (MINUTE - 300, ListMode::Enforce),
            // Too soon to look again.
            (MINUTE - 100, ListMode::Enforce),
            (MINUTE, ListMode::Any),
            (2 * MINUTE, ListMode::Any),
        ] {
            for (look, store) in looks.iter_mut().zip(&stores) {
                look.look(&connection, store, NOW + after);
            }
            assert_eq!(mode(), expected, "{after}");
        }
        let rows = audit::page(&connection, &AuditPage { rows: 9, ..AuditPage::default() }).unwrap();
        let told: Vec<(&str, &str, &str)> =
            rows.iter().map(|row| (&*row.actor, &*row.via, &*row.action)).take(2).collect();
        let by_gateway = |action| ("gateway", "gateway", action);
        assert_eq!(told, ["token.networks.go-back", "token.networks"].map(by_gateway), "once");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
