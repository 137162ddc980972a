//! Who people are, and how they sign in: with a password and a one-time password, with a link or a code by mail, through
//! an OpenID Connect provider, or by a proxy in front that authenticates; and what they see and change of it.
//!
//! * `session.rs` is who has signed in, and the cookie; `step.rs` is what a browser keeps between two steps;
//! * `password.rs`, `code.rs`, `link.rs`, `oidc.rs` and `proxy.rs` are the ways in; `invitation.rs` is the first one;
//! * `again.rs` asks for a proof again before something sensitive is done; `me.rs`, `totp.rs` are what users see of it;
//! * `guesses.rs` limits how often any of it can be tried, `people.rs` is what several of them do in the store.
//!
//! What is answered never says whether somebody is a user, and takes the same time.

pub mod again;
mod code;
mod cookies;
mod guesses;
mod invitation;
mod link;
mod me;
mod oidc;
mod pages;
mod password;
mod people;
mod proxy;
pub mod session;
mod step;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod totp;

use std::sync::Arc;

use axum::http::Method;

use super::router::{Page, open, signed_in};
use crate::config::portal::PortalSettings;
use crate::ledger::store::randomness::{Randomness, SystemRandomness};
use crate::ledger::store::{Location, Store};
use crate::platform::mail::Mailer;
use crate::platform::portal_key::PortalKey;
use oidc::Provider;

/// What signing in needs.
pub struct SignIn {
    /// The key of what is sealed and signed.
    pub key: PortalKey,
    /// What sends mail, if the configuration has a server for it.
    mailer: Option<Arc<Mailer>>,
    /// The identity provider, if there is one.
    provider: Option<Arc<Provider>>,
}

impl SignIn {
    /// What a configuration needs, with the key beside its store.
    ///
    /// # Errors
    /// What is wrong with the key's file, or with the server of mail.
    pub fn of(settings: &PortalSettings, store: &Store) -> Result<SignIn, String> {
        let key = match store.location() {
            Location::File(path) => PortalKey::beside(path)?,
            Location::Postgres(settings) => PortalKey::shared(&settings.portal_key)?,
        };
        let mailer = settings.sign_in.mail.as_ref().map(Mailer::to).transpose()?.map(Arc::new);
        let provider = settings.sign_in.oidc.clone().map(|oidc| Arc::new(Provider::of(oidc)));
        Ok(SignIn { key, mailer, provider })
    }
}

/// The pages of signing in, and of what people see of it.
pub fn pages() -> Vec<Page> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        open(get.clone(), "/sign-in", password::show),
        open(post.clone(), "/sign-in", password::sign_in),
        open(get.clone(), "/sign-in/code", code::show),
        open(post.clone(), "/sign-in/code", code::check),
        open(post.clone(), "/sign-in/link", link::send),
        open(post.clone(), "/sign-in/link-code", link::by_code),
        open(get.clone(), "/sign-in/link/{ticket}", link::show),
        open(post.clone(), "/sign-in/link/{ticket}", link::by_link),
        open(get.clone(), "/sign-in/provider", oidc::begin),
        open(get.clone(), "/sign-in/provider/back", oidc::come_back),
        open(get.clone(), "/invitation/{ticket}", invitation::show),
        open(post.clone(), "/invitation/{ticket}", invitation::accept),
        signed_in(get.clone(), "/sign-in/again", again::show),
        signed_in(post.clone(), "/sign-in/again", again::prove),
        signed_in(post.clone(), "/sign-out", me::sign_out),
        signed_in(get.clone(), "/me", me::show),
        signed_in(post.clone(), "/me/password", me::set_password),
        signed_in(post.clone(), "/me/sessions/end", me::end_session),
        signed_in(get, "/me/one-time-password", totp::show),
        signed_in(post.clone(), "/me/one-time-password", totp::set),
        signed_in(post, "/me/one-time-password/remove", totp::remove),
    ]
}

/// Random bytes of the operating system.
///
/// # Errors
/// That the machine has none.
fn random<const N: usize>() -> Result<[u8; N], super::visit::Trouble> {
    let mut bytes = [0; N];
    SystemRandomness.fill(&mut bytes).map_err(people::trouble)?;
    Ok(bytes)
}
