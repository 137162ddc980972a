//! Signing in with a link or a code that is sent by mail. The link is used once, within 15 minutes, in the browser that
//! has asked for it; opening it shows a button, since programs that look into mail open links. The code of six digits is
//! for that browser as well, when the mail is read on another device.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::cookies::Cookie;
use super::guesses::{self, Kind};
use super::pages::{ButtonPage, CodePage, too_many, used};
use super::people::{self, act, active, trouble};
use super::randomness::random;
use super::{code, session};
use crate::ledger::store::people::{How, Ticket, TicketKind, UserInfo, UserState};
use crate::ledger::store::randomness::hexadecimal;
use crate::ledger::store::tickets::{self, Binding, TicketDraft};
use crate::ledger::store::users;
use crate::platform::mail::{Mail, Mailer};
use crate::platform::portal_key::{PortalKey, Purpose, from_hexadecimal};
use crate::policy::account::Digest;
use crate::portal::answer::{self, with_cookie};
use crate::portal::frame::Message;
use crate::portal::mailing;
use crate::portal::visit::{Shown, Trouble, Visit, rendered};
use crate::portal::words::in_query;

/// How long a link can be used, in milliseconds.
const LINK_MS: i64 = 15 * 60_000;

/// Sends a link to an address, if it is a user's. The answer says nothing of that.
pub async fn send(visit: Visit) -> Shown {
    let Some(mailer) = mailer(&visit) else { return Err(Trouble::NotFound) };
    let (to, email) = (answer::inside(visit.form.raw("to")).to_owned(), people::address(visit.form.raw("email")));
    if let Err(seconds) = guesses::take(&visit, Kind::Mail, &email).await? {
        return Ok(too_many(&visit, seconds));
    }
    let browser = hexadecimal(&random::<32>()?);
    let number = u32::from_be_bytes(random::<4>()?) % 1_000_000;
    let code = format!("{number:06}");
    let letter = Letter { mailer, to: to.clone(), browser: digest(&browser), code, act: act(&visit, "") };
    // Nobody waits for it, so that nobody can tell by the time whether the address is known.
    let (store, key) = (Arc::clone(&visit.portal.store), visit.portal.sign_in.key.clone());
    let (url, name) = (visit.portal.settings.public_url.clone(), visit.look.site.name.to_string());
    tokio::spawn(async move {
        let wanted = store.read(move |connection| users::find_by_email(connection, &email)).await;
        match wanted {
            Ok(Some(user)) if user.state == UserState::Active => letter.send(&store, &key, user, (&url, &name)).await,
            Ok(_) => {}
            Err(error) => log::error!(target: "tollgate::portal", "no link can be sent: {error}"),
        }
    });
    let response = code_form(&visit, &to, StatusCode::OK, None)?;
    let cookie = Cookie::Link.set(&browser, LINK_MS / 1000, visit.portal.settings.is_secure());
    Ok(with_cookie(response, &cookie))
}

fn mailer(visit: &Visit) -> Option<Arc<Mailer>> {
    visit.portal.sign_in.mailer.clone().filter(|_| visit.portal.settings.sign_in.email_link)
}

/// What is to be sent.
struct Letter {
    mailer: Arc<Mailer>,
    to: String,
    browser: [u8; 32],
    code: String,
    act: crate::ledger::store::Act,
}

impl Letter {
    async fn send(
        self,
        store: &crate::ledger::store::Store,
        key: &PortalKey,
        user: UserInfo,
        (url, name): (&str, &str),
    ) {
        let Some(email) = user.email else { return };
        let ends_at = self.act.at_ms.saturating_add(LINK_MS);
        let draft = TicketDraft::to(email.clone(), TicketKind::EmailLink, ends_at);
        let (browser, code, key) = (self.browser, self.code.clone(), key.clone());
        let made = people::make_link(store, self.act, move |writing| {
            let bind = |ticket: &Digest| Binding { browser, code: code_digest(&key, ticket, &code) };
            tickets::send(writing, &draft, Some(&bind))
        });
        let Some((secret, id)) = made.await else { return };
        let mail = Mail {
            to: email,
            id,
            subject: format!("Sign in to {name}"),
            text: text(url, &secret, &self.to, &self.code, name),
            at: SystemTime::now(),
        };
        mailing::send(self.mailer, mail, "a link").await;
    }
}

fn text(url: &str, secret: &str, to: &str, code: &str, name: &str) -> String {
    let to = in_query(to);
    let to = if to == "%2F" { String::new() } else { format!("?to={to}") };
    let (first, last) = code.split_at(code.len() / 2);
    format!(
        "Open this link in the browser in which you asked for it:\n\n{url}/sign-in/link/{secret}{to}\n\nOr type this code \
         there: {first} {last}\n\nBoth work once, for 15 minutes. If you have not asked to sign in to {name}, nothing \
         needs to be done: nobody can sign in without this message.\n"
    )
}

/// The digest of a browser's value.
fn digest(browser: &str) -> [u8; 32] {
    *Digest::of(browser.as_bytes()).bytes()
}

/// The keyed digest of a code, which has so few digits that a plain one would tell it.
fn code_digest(key: &PortalKey, ticket: &Digest, code: &str) -> [u8; 32] {
    key.digest(Purpose::Code, &[ticket.bytes(), code.as_bytes()])
}

/// What the browser was given when it asked for a link.
fn browser(visit: &Visit) -> Option<[u8; 32]> {
    let value = Cookie::Link.of(&visit.headers, visit.portal.settings.is_secure())?;
    from_hexadecimal::<32>(&value)?;
    Some(digest(&value))
}

fn code_form(visit: &Visit, to: &str, status: StatusCode, message: Option<Message>) -> Shown {
    let frame = visit.frame("Look into your mail").with(message);
    rendered(status, &CodePage { frame, action: "/sign-in/link-code", to, is_by_mail: true })
}

/// The button behind a link.
pub async fn show(visit: Visit) -> Shown {
    let Some(ticket) = find(&visit).await? else { return Ok(used(&visit)) };
    if ticket.browser.is_none() || ticket.browser != browser(&visit) {
        let text = "Open the link in the browser in which you asked for it, or type the code of the message there.";
        return Ok(visit.told(StatusCode::FORBIDDEN, Message::bad("This is another browser", text)));
    }
    let text = format!("You sign in as {}.", ticket.info.email);
    rendered(
        StatusCode::OK,
        &ButtonPage { frame: visit.frame("Sign in"), action: &visit.path, text, button: "Sign in" },
    )
}

async fn find(visit: &Visit) -> Result<Option<Ticket>, Trouble> {
    let (digest, now_ms) = (Digest::of(visit.value(0).as_bytes()), visit.at_ms);
    let found = visit.portal.store.read(move |connection| tickets::find(connection, &digest, now_ms)).await;
    Ok(found.map_err(trouble)?.filter(|ticket| ticket.info.kind == TicketKind::EmailLink))
}

/// Signs in with a link.
pub async fn by_link(visit: Visit) -> Shown {
    let to = answer::inside(visit.query.raw("to")).to_owned();
    let found = find(&visit).await?.filter(|ticket| ticket.browser.is_some() && ticket.browser == browser(&visit));
    match found {
        Some(ticket) => enter(&visit, ticket, &to).await,
        None => Ok(used(&visit)),
    }
}

/// Signs in with the code of a message.
pub async fn by_code(visit: Visit) -> Shown {
    let to = answer::inside(visit.form.raw("to")).to_owned();
    let Some(browser) = browser(&visit) else { return Ok(answer::see_other("/sign-in")) };
    let code: String = visit.form.raw("code").chars().filter(|char| !char.is_whitespace()).collect();
    if let Err(seconds) = guesses::take(&visit, Kind::Code, &hexadecimal(&browser)).await? {
        return Ok(too_many(&visit, seconds));
    }
    let (key, now_ms) = (visit.portal.sign_in.key.clone(), visit.at_ms);
    let tried = visit.portal.store.maintain(move |connection| {
        let transaction = connection.recording()?;
        let tried = tickets::try_code(&transaction, &browser, now_ms, |ticket, digest| {
            key.is_digest(Purpose::Code, &[ticket.bytes(), code.as_bytes()], digest)
        })?;
        transaction.commit()?;
        Ok(tried)
    });
    match tried.await.map_err(trouble)? {
        Some(ticket) => enter(&visit, ticket, &to).await,
        None => {
            let text = "Take the code of the newest message. After five tries you need another message.";
            let message = Some(Message::bad("This code is not right", text));
            code_form(&visit, &to, StatusCode::FORBIDDEN, message)
        }
    }
}

/// Uses a ticket: whoever has it reads mail to the address.
async fn enter(visit: &Visit, ticket: Ticket, to: &str) -> Result<Response<Body>, Trouble> {
    let Some(user) = active(visit, ticket.info.email.clone()).await? else { return Ok(used(visit)) };
    let (digest, id, now_ms) = (ticket.digest, user.id.clone(), visit.at_ms);
    let spent = visit.portal.store.write(act(visit, &user.id), move |writing| {
        if !tickets::spend(writing.database(), &digest, now_ms)? {
            return Ok(None);
        }
        users::prove_email(writing, &id).map(Some)
    });
    let Some(user) = spent.await.map_err(trouble)?.value else { return Ok(used(visit)) };
    let response = if user.has_totp {
        code::ask(visit, &user, How::EmailLink, to)?
    } else {
        session::begin(visit, &user, How::EmailLink, to).await?
    };
    Ok(with_cookie(response, &Cookie::Link.remove(visit.portal.settings.is_secure())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_link_below_the_portals_url_and_a_code() {
        let text = text("https://portal.example.com", "abc", "/accounts/1?x=1", "012345", "Acme");
        assert!(text.contains("\nhttps://portal.example.com/sign-in/link/abc?to=%2Faccounts%2F1%3Fx%3D1\n"), "{text}");
        assert!(text.contains("012 345"));
        let plain = super::text("https://portal.example.com", "abc", "/", "012345", "Acme");
        assert!(plain.contains("/sign-in/link/abc\n"));
    }

    #[test]
    fn a_code_is_of_one_ticket_and_cannot_be_computed_without_the_key() {
        let (key, one, two) = (PortalKey::from_bytes([1; 32]), Digest::of(b"1"), Digest::of(b"2"));
        assert_ne!(code_digest(&key, &one, "012345"), code_digest(&key, &two, "012345"));
        assert_ne!(code_digest(&key, &one, "012345"), code_digest(&PortalKey::from_bytes([2; 32]), &one, "012345"));
    }
}
