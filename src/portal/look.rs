//! What the history of an account says of operators who look at its pages.

use super::ask::Refusal;
use super::visit::{Entered, Trouble};
use super::words::HOUR_MS;
use crate::ledger::store::{Act, Idempotency, Via};
use crate::operate::api::shown::Account;

/// Notes that an operator looks at an account: once for a session, an account and an hour. What cannot be noted is not
/// shown, so that nobody looks without a trace.
///
/// # Errors
/// Those of the store.
pub async fn note(entered: &Entered, account: &Account) -> Result<(), Trouble> {
    let hour = entered.at_ms.div_euclid(HOUR_MS);
    let once = Idempotency {
        scope: format!("look:{}", entered.person.session),
        key: format!("{}:{hour}", account.id),
        request: [0; 32],
    };
    let act = Act {
        actor: format!("user:{}", entered.person.user),
        via: Via::Portal,
        address: entered.peer.map_or_else(String::new, |peer| peer.0.to_string()),
        at_ms: entered.at_ms,
        idempotency: Some(once),
    };
    let (id, name) = (account.id.clone(), account.name.clone());
    let noted =
        entered.portal.store.write(act, move |writing| writing.note("operator.look", Some(&id), name, None, None));
    noted.await.map(drop).map_err(|error| Trouble::Refused(Refusal::Broken(error.to_string())))
}
