//! The second step of users with one-time passwords: one of these, or a recovery code, each of which counts once.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::cookies::Cookie;
use super::guesses::{self, Kind};
use super::pages::{CodePage, too_many};
use super::people::{get, trouble};
use super::{session, step};
use crate::ledger::store::people::{How, UserInfo, UserState};
use crate::ledger::store::users;
use crate::platform::portal_key::Purpose;
use crate::platform::totp;
use crate::policy::account::Digest;
use crate::portal::answer::{self, with_cookie};
use crate::portal::frame::Message;
use crate::portal::visit::{Shown, Trouble, Visit, rendered};

/// The kind of the step.
const STEP: &str = "code";

/// Where the form is.
const PATH: &str = "/sign-in/code";

/// Who has proven the first half.
#[derive(Serialize, Deserialize)]
struct Half {
    user: String,
    /// By what.
    how: How,
    to: String,
}

/// Leads to the second step.
///
/// # Errors
/// That the machine has no random numbers.
pub fn ask(visit: &Visit, user: &UserInfo, how: How, to: &str) -> Result<Response<Body>, Trouble> {
    let half = Half { user: user.id.clone(), how, to: to.to_owned() };
    let sealed = step::seal(&visit.portal.sign_in.key, STEP, half, visit.at_ms)?;
    let cookie = Cookie::Step.set(&sealed, step::STEP_MS / 1000, visit.portal.settings.is_secure());
    Ok(with_cookie(answer::see_other(PATH), &cookie))
}

fn half(visit: &Visit) -> Option<Half> {
    let sealed = Cookie::Step.of(&visit.headers, visit.portal.settings.is_secure())?;
    step::open(&visit.portal.sign_in.key, STEP, &sealed, visit.at_ms)
}

/// The form for a code.
pub async fn show(visit: Visit) -> Shown {
    match half(&visit) {
        Some(_) => form(&visit, StatusCode::OK, None),
        None => Ok(answer::see_other("/sign-in")),
    }
}

fn form(visit: &Visit, status: StatusCode, message: Option<Message>) -> Shown {
    let frame = visit.frame("One-time password").with(message);
    rendered(status, &CodePage { frame, action: PATH, to: "", is_by_mail: false })
}

/// Takes a code.
pub async fn check(visit: Visit) -> Shown {
    let Some(half) = half(&visit) else { return Ok(answer::see_other("/sign-in")) };
    if let Err(seconds) = guesses::take(&visit, Kind::Code, &half.user).await? {
        return Ok(too_many(&visit, seconds));
    }
    let user = get(&visit, &half.user).await?;
    let Some(by) = is_right(&visit, &user, visit.form.raw("code")).await?.filter(|_| user.state == UserState::Active)
    else {
        let text = "Take the newest one that your app shows; each can be used once.";
        return form(&visit, StatusCode::FORBIDDEN, Some(Message::bad("This code is not right", text)));
    };
    guesses::forget(&visit.portal, Kind::Code, &half.user).await?;
    if let Some(email) = &user.email {
        guesses::forget(&visit.portal, Kind::Password, email).await?;
    }
    let how = if half.how == How::Password { by } else { half.how };
    session::begin(&visit, &user, how, &half.to).await
}

/// Whether a code is the user's one-time password, or one of the recovery codes; it is used then.
///
/// # Errors
/// Those of the store.
pub async fn is_right(visit: &Visit, user: &UserInfo, written: &str) -> Result<Option<How>, Trouble> {
    let id = user.id.clone();
    let credentials = visit.portal.store.read(move |connection| users::credentials(connection, &id)).await;
    let sealed = credentials.map_err(trouble)?.totp.unwrap_or_default();
    let secret = visit.portal.sign_in.key.open(Purpose::Totp, &user.id, &sealed);
    if secret.is_none() && user.has_totp {
        log::error!(target: "tollgate::portal", "the one-time password of a user cannot be opened with the portal's key");
    }
    let step = secret.and_then(|secret| totp::step_of(&secret, written, visit.at_ms.div_euclid(1000)));
    let (id, recovery) = (user.id.clone(), recovery_digest(written));
    let used = visit.portal.store.maintain(move |connection| match step {
        Some(step) => Ok(users::use_step(connection, &id, step)?.then_some(How::OneTimePassword)),
        None => Ok(users::use_recovery_code(connection, &id, &recovery)?.then_some(How::RecoveryCode)),
    });
    used.await.map_err(trouble)
}

/// The digest of a recovery code, however it is written.
pub fn recovery_digest(written: &str) -> [u8; 32] {
    let plain: String = written.chars().filter(|char| char.is_ascii_alphanumeric()).collect();
    *Digest::of(plain.to_ascii_uppercase().as_bytes()).bytes()
}
