//! Signing in through an OpenID Connect provider: the authorization code flow (Core 1.0, section 3.1) with PKCE (RFC 7636),
//! `state`, `nonce`, an exact redirect URI, and `iss` in the answer (RFC 9207).
//!
//! `provider.rs` asks the provider, `token.rs` judges what an ID token claims. What one flow has to find again is in a
//! sealed cookie of the browser that has begun it, so that the answer of one flow is never that of another.

pub mod provider;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cookies::Cookie;
use super::pages::not_invited;
use super::people::{self, act, trouble};
use super::randomness::random;
use super::{session, step};
use crate::config::sign_in::OidcSettings;
use crate::ledger::store::people::{How, Identity, UserInfo, UserState};
use crate::ledger::store::records::Role;
use crate::ledger::store::users::UserDraft;
use crate::ledger::store::{StoreError, Writing, users};
use crate::platform::constant_time::is_same;
use crate::portal::answer::{self, with_cookie};
use crate::portal::form::Values;
use crate::portal::frame::Message;
use crate::portal::state::Portal;
use crate::portal::visit::{Shown, Trouble, Visit};
use token::{Expected, Who};

/// The kind of the step.
const STEP: &str = "provider";

/// Where the provider sends browsers back to, below the portal's URL.
const BACK: &str = "/sign-in/provider/back";

/// What one flow has to find again.
#[derive(Clone, Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: String,
    /// The proof of PKCE.
    verifier: String,
    to: String,
    /// Whether the provider has to ask the user again.
    is_fresh: bool,
}

fn redirect_uri(portal: &Portal) -> String {
    format!("{}{BACK}", portal.settings.public_url)
}

/// Leads to the provider.
pub async fn begin(visit: Visit) -> Shown {
    let Some(provider) = visit.portal.sign_in.provider.clone() else { return Err(Trouble::NotFound) };
    let word = || random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let flow = Flow {
        state: word()?,
        nonce: word()?,
        verifier: word()?,
        to: answer::inside(visit.query.raw("to")).to_owned(),
        is_fresh: visit.query.has("again"),
    };
    let asked = Arc::clone(&provider);
    let endpoint = tokio::task::spawn_blocking(move || asked.authorization_endpoint()).await;
    let endpoint = match endpoint {
        Ok(Ok(endpoint)) => endpoint,
        Ok(Err(why)) => return Ok(unusable(&visit, &why)),
        Err(_) => return Ok(unusable(&visit, "asking it has failed")),
    };
    let target = target(&endpoint, &provider.settings, &flow, &redirect_uri(&visit.portal));
    let Some(target) = target else { return Ok(unusable(&visit, "its authorization endpoint is no URL")) };
    let sealed = step::seal(&visit.portal.sign_in.key, STEP, flow, visit.at_ms)?;
    let mut response = answer::see_other("/");
    if let Ok(target) = target.parse() {
        response.headers_mut().insert(axum::http::header::LOCATION, target);
    }
    let cookie = Cookie::Provider.set(&sealed, step::STEP_MS / 1000, visit.portal.settings.is_secure());
    Ok(with_cookie(response, &cookie))
}

/// The provider's endpoint with what is asked of it.
fn target(endpoint: &str, settings: &OidcSettings, flow: &Flow, redirect: &str) -> Option<String> {
    let mut url = url::Url::parse(endpoint).ok()?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(flow.verifier.as_bytes()));
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", &settings.scopes)
        .append_pair("state", &flow.state)
        .append_pair("nonce", &flow.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    if flow.is_fresh {
        url.query_pairs_mut().append_pair("max_age", "0").append_pair("prompt", "login");
    }
    Some(url.into())
}

fn unusable(visit: &Visit, why: &str) -> Response<Body> {
    log::warn!(target: "tollgate::portal", "the identity provider cannot be used: {why}");
    let text = "Nobody can sign in through it at the moment. Please try again in a while, or sign in another way.";
    visit.told(StatusCode::BAD_GATEWAY, Message::bad("The identity provider cannot be reached", text))
}

/// Takes what the provider has sent the browser back with.
pub async fn come_back(visit: Visit) -> Shown {
    let response = match returned(&visit).await {
        Ok(response) => response,
        Err(Failed::Trouble(trouble)) => return Err(trouble),
        Err(Failed::Uninvited) => not_invited(&visit),
        Err(Failed::Refused(why)) => {
            log::warn!(target: "tollgate::portal", "somebody was not signed in through the identity provider: {why}");
            let text = "The answer of the identity provider does not belong to this browser, is too old, or is not right. \
                        Please begin again.";
            visit.told(StatusCode::FORBIDDEN, Message::bad("This did not work", text))
        }
    };
    // An answer counts once, whatever becomes of it.
    Ok(with_cookie(response, &Cookie::Provider.remove(visit.portal.settings.is_secure())))
}

/// Why nobody was signed in.
enum Failed {
    Refused(String),
    Uninvited,
    Trouble(Trouble),
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Failed {
        Failed::Trouble(trouble)
    }
}

async fn returned(visit: &Visit) -> Result<Response<Body>, Failed> {
    let refused = |why: &str| Failed::Refused(why.to_owned());
    let provider = visit.portal.sign_in.provider.clone().ok_or(Failed::Trouble(Trouble::NotFound))?;
    let sealed = Cookie::Provider.of(&visit.headers, visit.portal.settings.is_secure());
    let flow = sealed.and_then(|sealed| step::open::<Flow>(&visit.portal.sign_in.key, STEP, &sealed, visit.at_ms));
    let flow = flow.ok_or_else(|| refused("this browser has not begun, or too long ago"))?;
    let code = code(&visit.query, &flow, &provider.settings.issuer).map_err(refused)?.to_owned();
    let (redirect, now) = (redirect_uri(&visit.portal), visit.at_ms.div_euclid(1000));
    let (asked, sent) = (Arc::clone(&provider), flow.clone());
    let found = tokio::task::spawn_blocking(move || {
        let iss_is_needed = asked.says_iss()?;
        let token = asked.exchange(&code, &sent.verifier, &redirect)?;
        let claims = asked.verified(&token)?;
        let (issuer, client) = (&*asked.settings.issuer, &*asked.settings.client_id);
        let expected = Expected { issuer, client, nonce: &sent.nonce, now, is_fresh: sent.is_fresh };
        let who = token::who(&claims, &expected, &asked.settings.groups_claim).map_err(str::to_owned)?;
        Ok::<(Who, bool), String>((who, iss_is_needed))
    });
    let (who, iss_is_needed) = found.await.map_err(|_| refused("asking it has failed"))?.map_err(Failed::Refused)?;
    if iss_is_needed && !visit.query.has("iss") {
        return Err(refused("its answer lacks iss, which it says to send"));
    }
    let operators = provider.settings.operators.clone();
    let role = (!operators.is_empty()).then(|| role(&who, |group| operators.get(group).copied()));
    let issuer = provider.settings.issuer.to_string();
    let known = visit.portal.store.write(act(visit, ""), move |writing| known(writing, &who, &issuer, role)).await;
    let user = match known {
        Ok(outcome) => outcome.value,
        Err(StoreError::NotFound { .. } | StoreError::Taken { .. } | StoreError::State { .. }) => {
            return Err(Failed::Uninvited);
        }
        Err(error) => return Err(Failed::Trouble(trouble(error))),
    };
    Ok(session::begin(visit, &user, How::Oidc, &flow.to).await?)
}

/// The code of an answer that is one to this flow, from this provider.
fn code<'q>(query: &'q Values, flow: &Flow, issuer: &str) -> Result<&'q str, &'static str> {
    // A parameter that is there twice could be read differently by two (RFC 6749, section 3.1).
    if ["code", "state", "iss", "error"].iter().any(|name| query.all(name).len() > 1) {
        return Err("its answer has a parameter twice");
    }
    if !is_same(query.raw("state").as_bytes(), flow.state.as_bytes()) {
        return Err("its answer is not to what this browser has begun");
    }
    if query.has("iss") && query.raw("iss") != issuer {
        return Err("its answer says that it is of another provider");
    }
    if query.has("error") {
        return Err("it has refused");
    }
    match query.raw("code") {
        "" => Err("its answer has no code"),
        code => Ok(code),
    }
}

/// The highest role among those of a user's groups.
fn role(who: &Who, of_group: impl Fn(&str) -> Option<Role>) -> Option<Role> {
    let roles: Vec<Role> = who.groups.iter().filter_map(|group| of_group(group)).collect();
    [Role::Admin, Role::Support, Role::Auditor].into_iter().find(|role| roles.contains(role))
}

/// The user whom a provider knows. `role` is what it says of operators, if it is asked for that.
fn known(
    writing: &mut Writing<'_>,
    who: &Who,
    issuer: &str,
    role: Option<Option<Role>>,
) -> Result<UserInfo, StoreError> {
    let identity = Identity { issuer: issuer.to_owned(), subject: who.subject.clone() };
    let found = users::find_by_identity(writing.database(), &identity)?;
    let user = match (found, &who.email) {
        (Some(user), _) => user,
        (None, Some(email)) => {
            let user = people::vouched(writing, email, &who.display, role.flatten())?;
            users::set_identity(writing, &user.id, &identity)?
        }
        (None, None) if role.flatten().is_some() => {
            let draft = UserDraft { identity: Some(identity), display: who.display.clone(), ..UserDraft::default() };
            users::create(writing, &draft)?
        }
        (None, None) => return Err(StoreError::NotFound { what: "user" }),
    };
    if user.state == UserState::Disabled {
        return Err(StoreError::NotFound { what: "user" });
    }
    match role {
        Some(role) => users::set_operator_as_told(writing, &user.id, role),
        None => Ok(user),
    }
}
