//! Accepting an invitation: whoever has its link becomes what it says. Somebody new chooses a password; somebody who is
//! known signs in first, so that nobody takes over a user by inviting them.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::pages::{ButtonPage, InvitationPage, busy, used};
use super::people::{act, join, trouble};
use super::randomness::random;
use super::session;
use crate::ledger::store::people::{How, Ticket, TicketInfo, TicketKind, UserInfo, UserState};
use crate::ledger::store::users::UserDraft;
use crate::ledger::store::{StoreError, accounts, tickets, users};
use crate::platform::password;
use crate::policy::account::Digest;
use crate::portal::answer;
use crate::portal::frame::Message;
use crate::portal::visit::{Shown, Trouble, Visit, rendered};
use crate::portal::words::in_query;

/// Where somebody new goes on: to one-time passwords.
const AFTER: &str = "/me/one-time-password?first";

/// What somebody who opens an invitation has to do.
enum Next {
    /// Choose a password: nobody has the address, or a user without one whom an operator has invited.
    Choose,
    /// Accept: they have signed in as the user of the address.
    Accept(UserInfo),
    /// Sign in: the address is that of a user.
    SignIn,
    /// They have signed in as somebody else.
    Other,
}

/// An invitation, whose it is, and which account it is to.
struct Found {
    ticket: Ticket,
    user: Option<UserInfo>,
    account: Option<String>,
}

async fn find(visit: &Visit) -> Result<Option<Found>, Trouble> {
    let (digest, now_ms) = (Digest::of(visit.value(0).as_bytes()), visit.at_ms);
    let found = visit.portal.store.read(move |connection| {
        let ticket = tickets::find(connection, &digest, now_ms)?;
        let Some(ticket) = ticket.filter(|ticket| ticket.info.kind == TicketKind::Invite) else { return Ok(None) };
        let user = users::find_by_email(connection, &ticket.info.email)?;
        let account = ticket.info.account_id.as_deref().map(|id| accounts::get(connection, id)).transpose()?;
        Ok(Some(Found { ticket, user, account: account.map(|account| account.name) }))
    });
    let found = found.await.map_err(trouble)?;
    Ok(found.filter(|found| found.user.as_ref().is_none_or(|user| user.state == UserState::Active)))
}

impl Found {
    fn next(&self, visit: &Visit) -> Next {
        let person = visit.person.as_ref();
        match (&self.user, person) {
            (Some(user), Some(person)) if user.id == person.user => Next::Accept(user.clone()),
            (_, Some(_)) => Next::Other,
            (None, None) => Next::Choose,
            (Some(user), None) => {
                let is_new = !user.has_password && user.identity.is_none() && !user.has_totp;
                if is_new && self.ticket.info.proves { Next::Choose } else { Next::SignIn }
            }
        }
    }

    fn what(&self) -> String {
        let TicketInfo { role, .. } = &self.ticket.info;
        let role = role.map_or("", |role| role.word());
        match &self.account {
            Some(account) => format!("You are invited to the account {account}, as {role}."),
            None => format!("You are invited to operate this portal, as {role}."),
        }
    }
}

/// The form of an invitation.
pub async fn show(visit: Visit) -> Shown {
    match find(&visit).await? {
        Some(found) => form(&visit, &found, StatusCode::OK, None),
        None => Ok(used(&visit)),
    }
}

fn form(visit: &Visit, found: &Found, status: StatusCode, message: Option<Message>) -> Shown {
    let (frame, what) = (visit.frame("Invitation").with(message), found.what());
    let action = format!("/invitation/{}", visit.value(0));
    match found.next(visit) {
        Next::Choose if visit.portal.settings.sign_in.password => {
            let (email, display) = (&*found.ticket.info.email, visit.form.text("display"));
            rendered(status, &InvitationPage { frame, action: &action, email, what, display })
        }
        Next::Accept(_) => rendered(status, &ButtonPage { frame, action: &action, text: what, button: "Accept" }),
        Next::Choose | Next::SignIn => {
            let to = in_query(&action);
            Ok(answer::see_other(&format!("/sign-in?to={to}")))
        }
        Next::Other => {
            let text = format!("{what} It is for {}: sign out, and open the link again.", found.ticket.info.email);
            Ok(visit.told(StatusCode::CONFLICT, Message::bad("This is somebody else's invitation", text)))
        }
    }
}

/// Accepts an invitation.
pub async fn accept(visit: Visit) -> Shown {
    let Some(found) = find(&visit).await? else { return Ok(used(&visit)) };
    match found.next(&visit) {
        Next::Accept(user) => finish(&visit, &found, Some(user), None).await,
        Next::Choose if visit.portal.settings.sign_in.password => choose(&visit, &found).await,
        Next::Choose | Next::SignIn | Next::Other => form(&visit, &found, StatusCode::CONFLICT, None),
    }
}

async fn choose(visit: &Visit, found: &Found) -> Shown {
    let (chosen, again) = (visit.form.raw("password"), visit.form.raw("again"));
    if let Err(fault) = password::check_pair(chosen, again, &found.ticket.info.email) {
        let message = Message::bad("Please choose another password", fault);
        return form(visit, found, StatusCode::UNPROCESSABLE_ENTITY, Some(message));
    }
    let Ok(hash) = password::hash(chosen.to_owned(), random()?).await else { return Ok(busy(visit)) };
    finish(visit, found, found.user.clone(), Some(hash)).await
}

/// Uses the ticket, makes the user what it says, and signs them in.
async fn finish(
    visit: &Visit,
    found: &Found,
    user: Option<UserInfo>,
    hash: Option<String>,
) -> Result<Response<Body>, Trouble> {
    let (ticket, now_ms, is_new) = (found.ticket.clone(), visit.at_ms, hash.is_some());
    let display = visit.form.text("display").chars().filter(|char| !char.is_control()).take(100).collect();
    let draft = UserDraft {
        email: Some(ticket.info.email.clone()),
        email_proven: ticket.info.proves,
        display,
        ..UserDraft::default()
    };
    let actor = act(visit, user.as_ref().map_or("", |user| &user.id));
    let done = visit.portal.store.write(actor, move |writing| {
        if !tickets::spend(writing.database(), &ticket.digest, now_ms)? {
            return Err(StoreError::NotFound { what: "invitation" });
        }
        let user = match &user {
            Some(user) => user.clone(),
            None => users::create(writing, &draft)?,
        };
        if let Some(hash) = &hash {
            users::set_password(writing, &user.id, Some(hash), None)?;
        }
        join(writing, &ticket.info, &user.id)?;
        users::get(writing.database(), &user.id)
    });
    match done.await {
        Ok(outcome) => session::begin(visit, &outcome.value, How::Invitation, if is_new { AFTER } else { "/" }).await,
        Err(StoreError::NotFound { .. } | StoreError::Taken { .. }) => Ok(used(visit)),
        Err(StoreError::State { why }) => {
            Ok(visit.told(StatusCode::CONFLICT, Message::bad("This cannot be accepted", why)))
        }
        Err(error) => Err(trouble(error)),
    }
}
