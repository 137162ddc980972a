//! Setting a new password when the old one is forgotten, with a link that is sent by mail, or that an operator has made.
//! Opening the link shows a form; what signs in is the new password, afterwards. A one-time password is still asked for,
//! unless an operator has taken it away.

use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;

use super::guesses::{self, Kind};
use super::pages::{ForgottenPage, NewPasswordPage, busy, too_many, used};
use super::people::{self, act, active, trouble};
use super::randomness::random;
use crate::ledger::store::people::{Ticket, TicketKind, UserInfo, UserState};
use crate::ledger::store::tickets::{self, TicketDraft};
use crate::ledger::store::{Act, Store, StoreError, users};
use crate::operate::api::people::{NEW_PASSWORD_PATH, RESET_MS};
use crate::platform::mail::{Mail, Mailer};
use crate::platform::password;
use crate::policy::account::Digest;
use crate::portal::frame::Message;
use crate::portal::mailing;
use crate::portal::visit::{Shown, Trouble, Visit, rendered};

/// Asks for the address of mail.
pub async fn ask(visit: Visit) -> Shown {
    mailer(&visit).ok_or(Trouble::NotFound)?;
    rendered(
        StatusCode::OK,
        &ForgottenPage { frame: visit.frame("Forgotten password"), email: visit.query.raw("email") },
    )
}

/// Whether somebody can help themselves to a new password.
pub fn is_offered(visit: &Visit) -> bool {
    mailer(visit).is_some()
}

fn mailer(visit: &Visit) -> Option<Arc<Mailer>> {
    visit.portal.sign_in.mailer.clone().filter(|_| visit.portal.settings.sign_in.password)
}

/// Sends a link to an address, if it is that of a user with a password. The answer says nothing of that.
pub async fn send(visit: Visit) -> Shown {
    let mailer = mailer(&visit).ok_or(Trouble::NotFound)?;
    let email = people::address(visit.form.raw("email"));
    if let Err(seconds) = guesses::take(&visit, Kind::Mail, &email).await? {
        return Ok(too_many(&visit, seconds));
    }
    let (store, act) = (Arc::clone(&visit.portal.store), act(&visit, ""));
    let (url, name) = (visit.portal.settings.public_url.clone(), visit.look.site.name.to_string());
    // Nobody waits for it, so that nobody can tell by the time whether the address is known.
    tokio::spawn(async move {
        let wanted = store.read(move |connection| users::find_by_email(connection, &email)).await;
        match wanted {
            Ok(Some(user)) if has_forgotten(&user) => deliver(&store, &mailer, act, user, (&url, &name)).await,
            Ok(_) => {}
            Err(error) => log::error!(target: "tollgate::portal", "no link can be sent: {error}"),
        }
    });
    let text = "If the address is that of somebody with a password here, a message with a link is on its way. The link \
                works once, for an hour.";
    Ok(visit.told(StatusCode::OK, Message { text: text.to_owned(), ..Message::done("Look into your mail") }))
}

/// Whoever signs in through a provider alone has no password here to forget, and is not given one past the provider.
fn has_forgotten(user: &UserInfo) -> bool {
    user.state == UserState::Active && user.has_password
}

async fn deliver(store: &Store, mailer: &Arc<Mailer>, act: Act, user: UserInfo, (url, name): (&str, &str)) {
    let Some(email) = user.email else { return };
    let draft = TicketDraft::to(email.clone(), TicketKind::PasswordReset, act.at_ms.saturating_add(RESET_MS));
    let made = people::make_link(store, act, move |writing| tickets::send(writing, &draft, None));
    let Some((secret, id)) = made.await else { return };
    let mail = letter(&format!("{url}{NEW_PASSWORD_PATH}{secret}"), name, (email, id));
    mailing::send(Arc::clone(mailer), mail, "a link").await;
}

fn letter(link: &str, name: &str, (to, id): (String, String)) -> Mail {
    let text = format!(
        "Open this link to choose a new password for {name}:\n\n{link}\n\nIt works once, for an hour. The new password \
         ends all sessions. If you have not asked for this, nothing needs to be done: your password stays as it is.\n"
    );
    Mail { to, id, subject: format!("A new password for {name}"), text, at: SystemTime::now() }
}

/// The form behind a link.
pub async fn show(visit: Visit) -> Shown {
    match find(&visit).await? {
        Some(ticket) => form(&visit, &ticket, StatusCode::OK, None),
        None => Ok(used(&visit)),
    }
}

async fn find(visit: &Visit) -> Result<Option<Ticket>, Trouble> {
    if !visit.portal.settings.sign_in.password {
        return Err(Trouble::NotFound);
    }
    let (digest, now_ms) = (Digest::of(visit.value(0).as_bytes()), visit.at_ms);
    let found = visit.portal.store.read(move |connection| tickets::find(connection, &digest, now_ms)).await;
    Ok(found.map_err(trouble)?.filter(|ticket| ticket.info.kind == TicketKind::PasswordReset))
}

fn form(visit: &Visit, ticket: &Ticket, status: StatusCode, message: Option<Message>) -> Shown {
    let frame = visit.frame("New password").with(message);
    rendered(status, &NewPasswordPage { frame, action: &visit.path, email: &ticket.info.email })
}

/// Sets the new password, once, and ends all sessions of the user.
pub async fn choose(visit: Visit) -> Shown {
    let Some(ticket) = find(&visit).await? else { return Ok(used(&visit)) };
    let chosen = visit.form.raw("password");
    if let Err(fault) = password::check_pair(chosen, visit.form.raw("again"), &ticket.info.email) {
        let message = Message::bad("Please choose another password", fault);
        return form(&visit, &ticket, StatusCode::UNPROCESSABLE_ENTITY, Some(message));
    }
    let Some(user) = active(&visit, ticket.info.email.clone()).await? else { return Ok(used(&visit)) };
    let Ok(hash) = password::hash(chosen.to_owned(), random()?).await else { return Ok(busy(&visit)) };
    let (digest, id, now_ms) = (ticket.digest, user.id.clone(), visit.at_ms);
    let set = visit.portal.store.write(act(&visit, &user.id), move |writing| {
        if !tickets::spend(writing.database(), &digest, now_ms)? {
            return Err(StoreError::NotFound { what: "link" });
        }
        users::prove_email(writing, &id)?;
        users::set_password(writing, &id, Some(&hash), None).map(drop)
    });
    match set.await {
        Ok(_) => {}
        Err(StoreError::NotFound { .. }) => return Ok(used(&visit)),
        Err(error) => return Err(trouble(error)),
    }
    guesses::forget(&visit.portal, Kind::Password, &ticket.info.email).await?;
    let text = "All sessions have ended. Sign in with the new password.".to_owned();
    Ok(visit.told(StatusCode::OK, Message { text, ..Message::done("Your password is set") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_link() {
        let mail = letter("https://portal.example.com/x", "Plates", ("ann@example.com".into(), "1".into()));
        assert_eq!((&*mail.subject, &*mail.to), ("A new password for Plates", "ann@example.com"));
        assert!(mail.text.contains("\n\nhttps://portal.example.com/x\n\n"), "{}", mail.text);
    }
}
