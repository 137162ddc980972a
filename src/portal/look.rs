//! What the history of an account says of operators who look at its pages.

use super::words::HOUR_MS;
use crate::ledger::store::{Act, Idempotency, Store, StoreError, Via};
use crate::operate::api::shown::Account;

/// Who looks, and when.
pub struct Look<'l> {
    /// The id of the user.
    pub user: &'l str,
    /// The id of the session.
    pub session: &'l str,
    /// Where from: an address, or nothing.
    pub address: String,
    /// In milliseconds since 1970 in UTC.
    pub at_ms: i64,
}

/// Notes that an operator looks at an account: once for a session, an account and an hour.
///
/// # Errors
/// Those of the store: what cannot be noted must not be shown, so that nobody looks without a trace.
pub async fn note(store: &Store, look: Look<'_>, account: &Account) -> Result<(), StoreError> {
    let Look { user, session, address, at_ms } = look;
    let once = Idempotency {
        scope: format!("look:{session}"),
        key: format!("{}:{}", account.id, at_ms.div_euclid(HOUR_MS)),
        request: [0; 32],
    };
    let actor = format!("user:{user}");
    let act = Act { actor, via: Via::Portal, address, at_ms, idempotency: Some(once) };
    let (id, name) = (account.id.clone(), account.name.clone());
    let noted = store.write(act, move |writing| writing.note("operator.look", Some(&id), &*name, None, None));
    noted.await.map(drop)
}
