//! The templates of signing in, and answers that several ways have in common.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::portal::frame::{Frame, Message};
use crate::portal::visit::Visit;
use crate::portal::words;

/// All ways in, with what was written before.
#[derive(Template)]
#[template(path = "portal/sign_in.html")]
pub struct SignInPage<'s> {
    pub frame: Frame<'s>,
    /// Where to go on, a path of the portal.
    pub to: &'s str,
    pub email: &'s str,
    pub has_password: bool,
    pub has_link: bool,
    /// Whether a forgotten password can be set anew by mail.
    pub has_reset: bool,
    /// How the identity provider is called.
    pub provider: Option<&'s str>,
    /// Somebody who has signed in has to show again who they are.
    pub is_again: bool,
}

/// A one-time password, or a code by mail.
#[derive(Template)]
#[template(path = "portal/sign_in_code.html")]
pub struct CodePage<'s> {
    pub frame: Frame<'s>,
    /// Where the form goes.
    pub action: &'s str,
    pub to: &'s str,
    /// Whether it is a code that was sent by mail.
    pub is_by_mail: bool,
}

/// A button that does something once.
#[derive(Template)]
#[template(path = "portal/sign_in_button.html")]
pub struct ButtonPage<'s> {
    pub frame: Frame<'s>,
    pub action: &'s str,
    pub text: String,
    pub button: &'s str,
}

/// The form of an invitation.
#[derive(Template)]
#[template(path = "portal/invitation.html")]
pub struct InvitationPage<'s> {
    pub frame: Frame<'s>,
    pub action: &'s str,
    pub email: &'s str,
    pub what: String,
    pub display: &'s str,
}

/// Asks for the address of mail of a forgotten password.
#[derive(Template)]
#[template(path = "portal/forgotten.html")]
pub struct ForgottenPage<'s> {
    pub frame: Frame<'s>,
    pub email: &'s str,
}

/// The form for a new password.
#[derive(Template)]
#[template(path = "portal/new_password.html")]
pub struct NewPasswordPage<'s> {
    pub frame: Frame<'s>,
    pub action: &'s str,
    pub email: &'s str,
}

/// Asks for a proof again.
#[derive(Template)]
#[template(path = "portal/again.html")]
pub struct AgainPage<'s> {
    pub frame: Frame<'s>,
    pub to: &'s str,
    pub has_totp: bool,
}

/// Too many tries; the same for everybody, known or not.
pub fn too_many(visit: &Visit, seconds: i64) -> Response<Body> {
    let wait = if seconds > 90 { format!("{} minutes", (seconds + 59) / 60) } else { format!("{seconds} seconds") };
    let text = format!("To protect accounts from guessing, please wait {wait}, and try again.");
    let mut response = visit.told(StatusCode::TOO_MANY_REQUESTS, Message::bad("Too many tries", text));
    if let Ok(value) = seconds.to_string().parse() {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, value);
    }
    response
}

/// The portal is busy with the passwords of others.
pub fn busy(visit: &Visit) -> Response<Body> {
    let text = "Many people are signing in at the moment. Please try again in a few seconds.";
    visit.told(StatusCode::SERVICE_UNAVAILABLE, Message::bad("The portal is busy", text))
}

/// A link that is none any more.
pub fn used(visit: &Visit) -> Response<Body> {
    let text = "It was used already, has ended, or was replaced by a newer one. Ask for another.";
    visit.told(StatusCode::NOT_FOUND, Message::bad("This link does not work any more", text))
}

/// Nobody has let this person in.
pub fn not_invited(visit: &Visit) -> Response<Body> {
    let text = "You have shown who you are, but nobody has invited you. Ask whoever looks after your account to do so.";
    visit.told(StatusCode::FORBIDDEN, Message::bad("You have no access here", text))
}
