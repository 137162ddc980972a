//! Who people are, and how they sign in: with a password and a one-time password, with a link or a code by mail, through
//! an OpenID Connect provider, or by a proxy in front that authenticates; and what they see and change of it.
//!
//! * `session.rs` is who has signed in, and the cookie; `step.rs` is what a browser keeps between two steps;
//! * `password.rs`, `code.rs`, `link.rs`, `oidc.rs` and `proxy.rs` are the ways in; `invitation.rs` is the first one,
//!   `new_password.rs` is for a password that is forgotten;
//! * `again.rs` asks for a proof again before something sensitive is done; `me.rs`, `totp.rs` are what users see of it;
//! * `guesses.rs` limits how often any of it can be tried, `people.rs` is what several of them do in the store,
//!   `randomness.rs` is where their secrets come from.
//!
//! What is answered never says whether somebody is a user, and takes the same time.

pub mod again;
mod code;
mod cookies;
mod guesses;
mod invitation;
mod link;
mod me;
mod new_password;
pub(super) mod oidc;
mod pages;
mod password;
mod people;
mod proxy;
mod randomness;
pub mod session;
mod step;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod totp;

use axum::http::Method;

use super::page::{Page, open, signed_in};

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
        open(get.clone(), "/sign-in/forgotten", new_password::ask),
        open(post.clone(), "/sign-in/forgotten", new_password::send),
        open(get.clone(), "/sign-in/new-password/{ticket}", new_password::show),
        open(post.clone(), "/sign-in/new-password/{ticket}", new_password::choose),
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
