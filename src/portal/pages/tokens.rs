//! The tokens of an account, and a new one, which is shown this once.

use askama::Template;
use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

use crate::ledger::store::records::TokenState;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::{NewToken, Token};
use crate::portal::form::Values;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, Trouble, above_form, rendered, status_with};
use crate::portal::words;
use crate::site::pages::example::Tokens;
use crate::site::pages::example::request::Example;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        account(Method::GET, "/accounts/{account}/tokens", list),
        account(Method::GET, "/accounts/{account}/tokens/new", new),
        account(Method::POST, "/accounts/{account}/tokens/new", create).sensitive(),
    ]
}

/// Tokens of an account at the most, with those that are revoked.
pub const MOST_TOKENS: usize = 5000;

#[derive(Template)]
#[template(path = "portal/tokens.html")]
struct TokensPage<'s> {
    frame: Frame<'s>,
    base: String,
    tokens: Vec<Token>,
    revoked: usize,
    shows_revoked: bool,
    may_edit: bool,
    now_ms: i64,
}

async fn list(at: AtAccount) -> Shown {
    let all: Vec<Token> = at.client.rows(&Asked::get(at.api_path("/tokens")), MOST_TOKENS).await?;
    let is_over = |token: &Token| words::state(token, at.at_ms).0 == "Revoked";
    let shows_revoked = at.query.has("revoked");
    let revoked = all.iter().filter(|token| is_over(token)).count();
    let mut tokens: Vec<Token> = all.into_iter().filter(|token| shows_revoked || !is_over(token)).collect();
    tokens.reverse();
    let page = TokensPage {
        base: at.base(),
        tokens,
        revoked,
        shows_revoked,
        may_edit: at.may_edit(),
        now_ms: at.at_ms,
        frame: at.frame("/tokens", "Tokens"),
    };
    rendered(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "portal/token_new.html")]
struct NewPage<'s> {
    frame: Frame<'s>,
    base: String,
    once: String,
    name: String,
    products: Vec<(String, bool)>,
    expires: String,
}

/// The products of the configuration, each with whether it is chosen.
pub fn products(at: &AtAccount, chosen: &[String]) -> Vec<(String, bool)> {
    let snapshot = at.portal.gateway.snapshot();
    let names = snapshot.policy.products.iter().map(|product| product.name.to_string());
    names.map(|name| (chosen.contains(&name), name)).map(|(is_chosen, name)| (name, is_chosen)).collect()
}

/// A word that one form alone has, so that it is done once however often it is sent.
pub fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

async fn new(at: AtAccount) -> Shown {
    let all: Vec<String> = products(&at, &[]).into_iter().map(|(name, _)| name).collect();
    form(&at, &Values::default(), &all, None)
}

fn form(at: &AtAccount, given: &Values, chosen: &[String], message: Option<Message>) -> Shown {
    let status = status_with(message.as_ref());
    let page = NewPage {
        base: at.base(),
        // What was not done can be sent again.
        once: given.given("once").filter(|_| message.is_none()).map_or_else(new_key, str::to_owned),
        name: given.text("name").to_owned(),
        products: products(at, chosen),
        expires: given.text("expires").to_owned(),
        frame: at.frame("/tokens", "New token").with(message),
    };
    rendered(status, &page)
}

async fn create(at: AtAccount) -> Shown {
    let chosen = at.form.all("product");
    let mut body = json!({ "name": at.form.text("name"), "products": chosen });
    if let (Some(expires), Some(members)) = (at.form.given("expires"), body.as_object_mut()) {
        members.insert("expires".to_owned(), expires.into());
    }
    let asked = Asked::make(at.api_path("/tokens"), at.form.text("once").to_owned(), Some(body));
    match at.client.ask::<NewToken>(&asked).await {
        Ok(made) => shown_once(&at, &made, "The token is made"),
        Err(refusal) => form(&at, &at.form, &chosen, Some(above_form(refusal, &[])?)),
    }
}

#[derive(Template)]
#[template(path = "portal/token_once.html")]
struct Once<'s> {
    frame: Frame<'s>,
    base: String,
    token: &'s Token,
    secret: Option<&'s str>,
    curl: Option<String>,
}

/// The page with a token that was just made, which nothing shows again.
///
/// # Errors
/// When the page cannot be made.
pub fn shown_once(at: &AtAccount, made: &NewToken, title: &str) -> Result<Response<Body>, Trouble> {
    let secret = made.secret.as_deref();
    let page = Once {
        frame: at.frame("/tokens", title),
        base: at.base(),
        token: &made.token,
        secret,
        curl: secret.and_then(|secret| example(at, &made.token, secret)),
    };
    rendered(StatusCode::OK, &page)
}

/// A request that works with a token, if pages have one.
fn example(at: &AtAccount, token: &Token, secret: &str) -> Option<String> {
    let snapshot = at.portal.gateway.snapshot();
    let covered = |name: &str| token.products.is_empty() || token.products.iter().any(|product| product == name);
    let product = snapshot.policy.products.iter().find(|product| covered(&product.name))?;
    let request = Example::good(product, product.routes.first()?, Tokens::Named);
    Some(request.curl(&at.look.site.api_url).replace("$TOKEN", secret))
}
