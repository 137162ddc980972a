//! One token: what is known of it, and everything that can be done with it but its lists.

use askama::Template;
use axum::http::Method;
use serde_json::{Value, json};

use super::tokens::{MOST_TOKENS, new_key, products, shown_once};
use crate::ledger::store::records::{Absent, ListMode, TokenState};
use crate::operate::api::client::Asked;
use crate::operate::api::lists::List;
use crate::operate::api::shown::{NewToken, Token};
use crate::operate::api::usage::Used;
use crate::portal::ask::Refusal;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::people::Names;
use crate::portal::visit::{AtAccount, Shown, Trouble, above_form, rendered, status_with};
use crate::portal::words;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        account(Method::GET, "/accounts/{account}/tokens/{token}", show),
        account(Method::POST, "/accounts/{account}/tokens/{token}", change),
        account(Method::POST, "/accounts/{account}/tokens/{token}/enable", |at| act(at, "enable", "is enabled")),
        account(Method::POST, "/accounts/{account}/tokens/{token}/disable", |at| act(at, "disable", "is disabled")),
        account(Method::POST, "/accounts/{account}/tokens/{token}/revoke", revoke),
        account(Method::POST, "/accounts/{account}/tokens/{token}/rotate", rotate).sensitive(),
    ]
}

/// A token that another one has replaced, and how it is still used.
struct Old {
    token: Token,
    of_late: i64,
}

#[derive(Template)]
#[template(path = "portal/token.html")]
struct TokenPage<'s> {
    frame: Frame<'s>,
    base: String,
    token: Token,
    state: (&'static str, &'static str),
    networks: List,
    domains: List,
    products: Vec<(String, bool)>,
    old: Option<Old>,
    replaced_by: Option<Token>,
    may_edit: bool,
    is_over: bool,
    once: String,
    names: Names,
}

/// The token that the path names.
///
/// # Errors
/// That it is not there.
pub async fn find(at: &AtAccount) -> Result<Token, Trouble> {
    Ok(at.client.ask(&Asked::get(path(at, ""))).await?)
}

/// A path of the API below the token's.
pub fn path(at: &AtAccount, rest: &str) -> String {
    at.api_path(&format!("/tokens/{}{rest}", at.value(1)))
}

async fn show(at: AtAccount) -> Shown {
    page(&at, None).await
}

async fn page(at: &AtAccount, message: Option<Message>) -> Shown {
    let mut token = find(at).await?;
    let networks: List = at.client.ask(&Asked::get(path(at, "/networks"))).await?;
    let domains: List = at.client.ask(&Asked::get(path(at, "/domains"))).await?;
    let all: Vec<Token> = at.client.rows(&Asked::get(at.api_path("/tokens")), MOST_TOKENS).await?;
    token.last_used_at = all.iter().find(|known| known.id == token.id).and_then(|known| known.last_used_at);
    let replaced_by = all.iter().find(|known| known.replaces.as_deref() == Some(&*token.id)).cloned();
    let old = all.into_iter().find(|known| token.replaces.as_deref() == Some(&*known.id));
    let old = match old {
        Some(old) if old.state == TokenState::Enabled => {
            let is_used = old.last_used_at.is_some_and(|last| last.0 > at.at_ms - 2 * words::HOUR_MS);
            let of_late = if is_used { requests_of_late(at, &old.name).await? } else { 0 };
            Some(Old { of_late, token: old })
        }
        Some(_) | None => None,
    };
    let status = status_with(message.as_ref());
    let state = words::state(&token, at.at_ms);
    let page = TokenPage {
        base: at.base(),
        products: products(at, &token.products),
        is_over: token.state == TokenState::Revoked,
        state,
        networks,
        domains,
        old,
        replaced_by,
        may_edit: at.may_edit(),
        once: new_key(),
        names: Names::of_account(&at.client, &at.account.id, &at.person).await?,
        frame: at.frame("/tokens", token.name.clone()).with(message),
        token,
    };
    rendered(status, &page)
}

/// Requests with tokens of a name in this hour and the one before.
async fn requests_of_late(at: &AtAccount, name: &str) -> Result<i64, Refusal> {
    let asked = Asked::get(at.api_path("/usage")).with("by", Some("hour")).with("token", Some(name));
    let used: Vec<Used> = at.client.rows(&asked.with("since", Some(words::hour_before(at.at_ms))), 1000).await?;
    Ok(used.iter().map(|row| row.requests).sum())
}

/// Does something, and shows the token again: with what is wrong, or with a message after a redirect.
async fn done(at: &AtAccount, asked: &Asked, message: &str) -> Shown {
    match at.client.ask::<Value>(asked).await {
        Ok(_) => Ok(at.done(&format!("/tokens/{}", at.value(1)), message)),
        Err(refusal) => page(at, Some(above_form(refusal, &[])?)).await,
    }
}

async fn change(at: AtAccount) -> Shown {
    let expires = at.form.given("expires").map_or(Value::Null, Value::from);
    let body = json!({
        "name": at.form.text("name"),
        "products": at.form.all("product"),
        "expires": expires,
    });
    let asked = Asked::change(Method::PATCH, path(&at, ""), at.form.version(), Some(body));
    done(&at, &asked, "Saved.").await
}

async fn act(at: AtAccount, act: &'static str, is: &'static str) -> Shown {
    let name = find(&at).await?.name;
    // Whatever has changed meanwhile: who disables a token wants it disabled.
    let asked = Asked::change(Method::POST, path(&at, &format!("/{act}")), "*", None);
    done(&at, &asked, &format!("The token {name} {is}, as of now.")).await
}

async fn revoke(at: AtAccount) -> Shown {
    let token = find(&at).await?;
    if at.form.text("name") != token.name {
        let text = format!("Write its name, {}, to revoke it for good.", token.name);
        return page(&at, Some(Message::bad("Nothing was revoked", text))).await;
    }
    let asked = Asked::change(Method::POST, path(&at, "/revoke"), "*", None);
    done(&at, &asked, &format!("The token {} is revoked for good.", token.name)).await
}

async fn rotate(at: AtAccount) -> Shown {
    let body = json!({ "overlap": at.form.text("overlap") });
    let asked = Asked::change(Method::POST, path(&at, "/rotate"), "*", Some(body));
    let asked = asked.once(at.form.text("once").to_owned());
    match at.client.ask::<NewToken>(&asked).await {
        Ok(made) => shown_once(&at, &made, "The new token"),
        Err(refusal) => page(&at, Some(above_form(refusal, &[])?)).await,
    }
}
