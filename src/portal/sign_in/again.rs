//! Asking again who somebody is, before something sensitive is done, when the last proof is older than 15 minutes.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::guesses::{self, Kind};
use super::pages::{AgainPage, busy, too_many};
use super::people::{get, trouble};
use super::{code, session};
use crate::ledger::store::people::UserInfo;
use crate::ledger::store::users;
use crate::platform::password;
use crate::portal::answer;
use crate::portal::frame::Message;
use crate::portal::person::SignedIn;
use crate::portal::visit::{Entered, Shown, rendered};
use crate::portal::words::in_query;

/// The way to the proof, if one is needed, which leads back to a path.
pub fn needed(person: &SignedIn, now_ms: i64, back: &str) -> Option<Response<Body>> {
    if person.is_strong(now_ms) {
        return None;
    }
    let back = in_query(answer::inside(back));
    Some(answer::see_other(&format!("/sign-in/again?to={back}")))
}

/// The form for a proof. Whoever has no password signs in again the way they did.
pub async fn show(entered: Entered) -> Shown {
    let user = get(&entered, &entered.person.user).await?;
    let to = answer::inside(entered.query.raw("to")).to_owned();
    form(&entered, &user, &to, StatusCode::OK, None)
}

fn form(entered: &Entered, user: &UserInfo, to: &str, status: StatusCode, message: Option<Message>) -> Shown {
    let has_password = user.has_password && entered.portal.settings.sign_in.password;
    if !has_password {
        let to = in_query(to);
        return Ok(answer::see_other(&format!("/sign-in?again&to={to}")));
    }
    let frame = entered.frame("Please show again that it is you").with(message);
    rendered(status, &AgainPage { frame, to, has_totp: user.has_totp })
}

/// Takes a proof, and leads on.
pub async fn prove(entered: Entered) -> Shown {
    let user = get(&entered, &entered.person.user).await?;
    let to = answer::inside(entered.form.raw("to")).to_owned();
    let whose = user.email.clone().unwrap_or_else(|| user.id.clone());
    if let Err(seconds) = guesses::take(&entered, Kind::Password, &whose).await? {
        return Ok(too_many(&entered, seconds));
    }
    let id = user.id.clone();
    let credentials = entered.portal.store.read(move |connection| users::credentials(connection, &id)).await;
    let hash = credentials.map_err(trouble)?.password;
    let Ok(is_right) = password::verify(entered.form.raw("password").to_owned(), hash).await else {
        return Ok(busy(&entered));
    };
    let is_right =
        is_right && (!user.has_totp || code::is_right(&entered, &user, entered.form.raw("code")).await?.is_some());
    if !is_right {
        let message = Message::bad("This did not work", "The password or the code is wrong.");
        return form(&entered, &user, &to, StatusCode::FORBIDDEN, Some(message));
    }
    guesses::forget(&entered.portal, Kind::Password, &whose).await?;
    session::renew(&entered, &entered.person, answer::see_other(&to)).await
}
