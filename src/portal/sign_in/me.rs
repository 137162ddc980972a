//! What somebody sees and changes of how they sign in: the password, one-time passwords, and the browsers that are
//! signed in.

use askama::Template;
use axum::http::StatusCode;

use super::cookies::Cookie;
use super::pages::busy;
use super::people::{act, get, trouble};
use super::randomness::random;
use super::{again, session};
use crate::ledger::store::people::{How, SessionInfo, UserInfo};
use crate::ledger::store::{sessions, users};
use crate::operate::api::shown::Time;
use crate::platform::password;
use crate::platform::portal_key::from_hexadecimal;
use crate::portal::answer::{self, with_cookie};
use crate::portal::frame::{Frame, Message};
use crate::portal::visit::{Entered, Shown, rendered};
use crate::portal::words;

/// What somebody sees of themselves.
#[derive(Template)]
#[template(path = "portal/me.html")]
struct MePage<'s> {
    frame: Frame<'s>,
    user: UserInfo,
    has_passwords: bool,
    codes_left: i64,
    sessions: Vec<SessionInfo>,
    own: &'s str,
}

impl MePage<'_> {
    fn how(&self, how: &How) -> &'static str {
        match how {
            How::Password => "with the password",
            How::OneTimePassword => "with the password and a one-time password",
            How::RecoveryCode => "with the password and a recovery code",
            How::EmailLink => "by mail",
            How::Invitation => "by accepting an invitation",
            How::Oidc => "through the identity provider",
            How::Proxy => "through the proxy in front",
        }
    }
}

/// The page.
pub async fn show(entered: Entered) -> Shown {
    // The session may be another since, so that the message is one of these.
    let message = match entered.query.text("done") {
        "session" => Some("It is signed out."),
        "password" => Some("The password is changed, and all other browsers are signed out."),
        "one-time-password" => Some("You are not asked for one-time passwords any more."),
        _ => None,
    };
    let message = message.map(Message::done);
    with_message(&entered, StatusCode::OK, message).await
}

async fn with_message(entered: &Entered, status: StatusCode, message: Option<Message>) -> Shown {
    let user = get(entered, &entered.person.user).await?;
    let (id, now_ms) = (user.id.clone(), entered.at_ms);
    let found = entered.portal.store.read(move |connection| {
        Ok((sessions::list(connection, &id, now_ms)?, users::recovery_codes(connection, &id)?))
    });
    let (mut sessions, codes_left) = found.await.map_err(trouble)?;
    sessions.retain(|session| session::is_in_force(session, &user, entered.at_ms));
    let template = MePage {
        frame: entered.frame("Your sign-in").with(message),
        user,
        has_passwords: entered.portal.settings.sign_in.password,
        codes_left,
        sessions,
        own: &entered.person.session,
    };
    rendered(status, &template)
}

/// Ends the session.
pub async fn sign_out(entered: Entered) -> Shown {
    if let Some(digest) = entered.person.digest() {
        let user = entered.person.user.clone();
        let ended = entered.portal.store.write(act(&entered, &user), {
            let user = user.clone();
            move |writing| sessions::end(writing, &user, &digest)
        });
        ended.await.map_err(trouble)?;
    }
    let is_secure = entered.portal.settings.is_secure();
    Ok(with_cookie(answer::see_other("/sign-in"), &Cookie::Session.remove(is_secure)))
}

/// Ends one session of a list, or all others.
pub async fn end_session(entered: Entered) -> Shown {
    let user = entered.person.user.clone();
    let one = from_hexadecimal::<32>(entered.form.raw("session"));
    let own = entered.person.digest();
    let is_all = entered.form.has("others");
    let ended = entered.portal.store.write(act(&entered, &user), move |writing| match (is_all, one) {
        (true, _) => {
            let others: Vec<_> = sessions::list(writing.database(), &user, i64::MIN)?;
            for digest in others.iter().filter_map(|session| from_hexadecimal::<32>(&session.id)) {
                if Some(digest) != own {
                    sessions::end(writing, &user, &digest)?;
                }
            }
            Ok(())
        }
        (false, Some(digest)) => sessions::end(writing, &user, &digest).map(drop),
        (false, None) => Ok(()),
    });
    ended.await.map_err(trouble)?;
    Ok(answer::see_other("/me?done=session"))
}

/// Sets another password.
pub async fn set_password(entered: Entered) -> Shown {
    if !entered.portal.settings.sign_in.password {
        return Err(crate::portal::visit::Trouble::NotFound);
    }
    if let Some(proof) = again::needed(&entered.person, entered.at_ms, "/me") {
        return Ok(proof);
    }
    let user = get(&entered, &entered.person.user).await?;
    let (chosen, repeated) = (entered.form.raw("password"), entered.form.raw("again"));
    if let Err(fault) = password::check_pair(chosen, repeated, user.email.as_deref().unwrap_or_default()) {
        let message = Message::bad("Please choose another password", fault);
        return with_message(&entered, StatusCode::UNPROCESSABLE_ENTITY, Some(message)).await;
    }
    let Ok(hash) = password::hash(chosen.to_owned(), random()?).await else { return Ok(busy(&entered)) };
    let (id, kept) = (user.id.clone(), entered.person.digest());
    let set = entered.portal.store.write(act(&entered, &user.id), move |writing| {
        users::set_password(writing, &id, Some(&hash), kept.as_ref()).map(drop)
    });
    set.await.map_err(trouble)?;
    let response = answer::see_other("/me?done=password");
    session::renew(&entered, &entered.person, response).await
}
