//! Signing in with an address and a password. Whether the user is not known, has no password or has another one, the
//! answer and the time that it takes are the same.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::guesses::{self, Kind};
use super::pages::{SignInPage, busy, not_invited, too_many};
use super::people::{self, act, active, trouble};
use super::{code, new_password, proxy, session};
use crate::ledger::store::people::How;
use crate::ledger::store::{StoreError, users};
use crate::platform::password;
use crate::portal::answer;
use crate::portal::frame::Message;
use crate::portal::visit::{Shown, Trouble, Visit, rendered};

/// All ways in. Whom a proxy in front vouches for is signed in at once.
pub async fn show(visit: Visit) -> Shown {
    let to = answer::inside(visit.query.raw("to")).to_owned();
    if visit.person.is_some() && !visit.query.has("again") {
        return Ok(answer::see_other(&to));
    }
    match proxy::shown(&visit.portal, &visit.headers, visit.connection) {
        Ok(None) => form(&visit, (&to, ""), StatusCode::OK, None),
        Ok(Some(email)) => by_proxy(&visit, email, &to).await,
        Err(why) => {
            log::warn!(target: "tollgate::portal", "the proxy's word is not taken: {why}");
            let message = Message::bad("The proxy in front of this portal has said something unclear", why);
            Ok(visit.told(StatusCode::BAD_REQUEST, message))
        }
    }
}

async fn by_proxy(visit: &Visit, email: String, to: &str) -> Shown {
    let vouched = visit.portal.store.write(act(visit, ""), move |writing| people::vouched(writing, &email, "", None));
    match vouched.await {
        Ok(outcome) => session::begin(visit, &outcome.value, How::Proxy, to).await,
        Err(StoreError::NotFound { .. }) => Ok(not_invited(visit)),
        Err(error) => Err(trouble(error)),
    }
}

/// The page with all ways in.
///
/// # Errors
/// Those of the template.
pub fn form(
    visit: &Visit,
    (to, email): (&str, &str),
    status: StatusCode,
    message: Option<Message>,
) -> Result<Response<Body>, Trouble> {
    let settings = &visit.portal.settings.sign_in;
    let template = SignInPage {
        frame: visit.frame("Sign in").with(message),
        to,
        email,
        has_password: settings.password,
        has_link: settings.email_link,
        has_reset: new_password::is_offered(visit),
        provider: settings.oidc.as_ref().map(|oidc| &*oidc.name),
        is_again: visit.query.has("again"),
    };
    rendered(status, &template)
}

/// Takes an address and a password.
pub async fn sign_in(visit: Visit) -> Shown {
    if !visit.portal.settings.sign_in.password {
        return Err(Trouble::NotFound);
    }
    let (to, email) = (answer::inside(visit.form.raw("to")).to_owned(), people::address(visit.form.raw("email")));
    if let Err(seconds) = guesses::take(&visit, Kind::Password, &email).await? {
        return Ok(too_many(&visit, seconds));
    }
    let user = active(&visit, email.clone()).await?;
    let credentials = match &user {
        Some(user) => {
            let id = user.id.clone();
            visit.portal.store.read(move |connection| users::credentials(connection, &id)).await.map_err(trouble)?
        }
        None => {
            // As long as for those who are known.
            visit.portal.store.read(|_| Ok(())).await.map_err(trouble)?;
            Default::default()
        }
    };
    let Ok(is_right) = password::verify(visit.form.raw("password").to_owned(), credentials.password).await else {
        return Ok(busy(&visit));
    };
    let Some(user) = user.filter(|_| is_right) else {
        let text = "The address or the password is wrong. Nobody here can see your password; whoever has forgotten \
                    theirs can set a new one.";
        return form(&visit, (&to, &email), StatusCode::FORBIDDEN, Some(Message::bad("This did not work", text)));
    };
    if user.has_totp {
        return code::ask(&visit, &user, How::Password, &to);
    }
    guesses::forget(&visit.portal, Kind::Password, &email).await?;
    session::begin(&visit, &user, How::Password, &to).await
}
