//! What several ways of signing in do in the store.

use crate::ledger::store::people::{NewTicket, TicketInfo, UserInfo, UserState};
use crate::ledger::store::records::Role;
use crate::ledger::store::users::UserDraft;
use crate::ledger::store::{Act, Store, StoreError, Via, Writing, memberships, tickets, users};
use crate::portal::ask::Refusal;
use crate::portal::visit::{Trouble, Visit};

/// What the store refuses where nothing should be refused.
pub fn trouble(error: StoreError) -> Trouble {
    Trouble::Refused(Refusal::Broken(error.to_string()))
}

/// The circumstances of what a user does.
pub fn act(visit: &Visit, user: &str) -> Act {
    Act {
        actor: if user.is_empty() { "portal".to_owned() } else { format!("user:{user}") },
        via: Via::Portal,
        address: visit.peer.map_or_else(String::new, |peer| peer.0.to_string()),
        at_ms: visit.at_ms,
        idempotency: None,
    }
}

/// An address of mail as it is compared; one that is none is compared as it is, with nothing.
pub fn address(written: &str) -> String {
    const MOST_BYTES: usize = 254;
    let mut address = written.trim().to_ascii_lowercase();
    if address.len() > MOST_BYTES {
        // No user has such a long one.
        address = "?".to_owned();
    }
    address
}

/// The user who may sign in with an address of mail.
///
/// # Errors
/// Those of the store.
pub async fn active(visit: &Visit, email: String) -> Result<Option<UserInfo>, Trouble> {
    let found = visit.portal.store.read(move |connection| users::find_by_email(connection, &email)).await;
    Ok(found.map_err(trouble)?.filter(|user| user.state == UserState::Active))
}

/// The user who has signed in.
///
/// # Errors
/// Those of the store.
pub async fn get(visit: &Visit, id: &str) -> Result<UserInfo, Trouble> {
    let id = id.to_owned();
    visit.portal.store.read(move |connection| users::get(connection, &id)).await.map_err(trouble)
}

/// Makes a link that is sent by mail, for which nobody waits: its secret, which is no part of what the store answers, and
/// its id. Why it could not be made is in the log.
pub async fn make_link(
    store: &Store,
    act: Act,
    mut make: impl FnMut(&mut Writing<'_>) -> Result<NewTicket, StoreError> + Send + 'static,
) -> Option<(String, String)> {
    let made = store.write(act, move |writing| {
        let NewTicket { secret, ticket } = make(writing)?;
        Ok((secret, ticket.id))
    });
    match made.await.map(|outcome| outcome.value) {
        Ok((secret, id)) => secret.map(|secret| (secret, id)),
        Err(error) => {
            log::error!(target: "tollgate::portal", "no link can be made: {error}");
            None
        }
    }
}

/// Makes a user what an invitation says.
///
/// # Errors
/// An account that is closed, or those of the store.
pub fn join(writing: &mut Writing<'_>, ticket: &TicketInfo, user: &str) -> Result<(), StoreError> {
    match (&ticket.account_id, ticket.role) {
        (Some(account), Some(role)) => memberships::add(writing, account, user, role).map(drop),
        (None, Some(role)) => users::set_operator_as_told(writing, user, Some(role)).map(drop),
        (_, None) => Ok(()),
    }
}

/// The user of an address that somebody else vouches for: a provider or a proxy that the operator trusts. Whoever is not
/// known is made a user if an invitation waits for the address, or if the voucher says that they are an operator; all
/// invitations that wait are accepted.
///
/// # Errors
/// That nobody has invited them: `NotFound`; or those of the store.
pub fn vouched(
    writing: &mut Writing<'_>,
    email: &str,
    display: &str,
    operator: Option<Role>,
) -> Result<UserInfo, StoreError> {
    let email = users::address("email", email)?;
    let now_ms = writing.act().at_ms;
    let waiting = tickets::invitations_of(writing.database(), &email, now_ms)?;
    let user = match users::find_by_email(writing.database(), &email)? {
        Some(user) => users::prove_email(writing, &user.id)?,
        None if waiting.is_empty() && operator.is_none() => return Err(StoreError::NotFound { what: "user" }),
        None => {
            let (email, display) = (Some(email), display.to_owned());
            users::create(writing, &UserDraft { email, email_proven: true, display, ..UserDraft::default() })?
        }
    };
    if user.state == UserState::Disabled {
        return Err(StoreError::NotFound { what: "user" });
    }
    for ticket in waiting {
        // One to an account that was closed meanwhile is passed over.
        let joined = writing.attempt(|writing| join(writing, &ticket.info, &user.id));
        if joined.is_ok() {
            tickets::spend(writing.database(), &ticket.digest, now_ms)?;
        }
    }
    users::get(writing.database(), &user.id)
}
