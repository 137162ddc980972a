//! Management keys of an account, with which its own programs use the management API.

use askama::Template;
use axum::http::Method;
use serde_json::{Value, json};

use super::tokens::new_key;
use crate::ledger::store::records::{KeyState, Role};
use crate::operate::api::caller::SCOPES;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::{Key, NewKey};
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::people::Names;
use crate::portal::visit::{AtAccount, Shown, above_form, rendered, status_with};
use crate::portal::words;

/// Keys of an account at the most.
const MOST_KEYS: usize = 2000;

/// These pages.
pub fn pages() -> Vec<Page> {
    const PATH: &str = "/accounts/{account}/keys";
    vec![
        account(Method::GET, PATH, list),
        account(Method::POST, PATH, create).sensitive(),
        account(Method::POST, "/accounts/{account}/keys/{key}/revoke", revoke),
    ]
}

#[derive(Template)]
#[template(path = "portal/keys.html")]
struct KeysPage<'s> {
    frame: Frame<'s>,
    base: String,
    keys: Vec<Key>,
    /// Nobody but owners sees keys.
    may_own: bool,
    once: String,
    name: String,
    made: Option<NewKey>,
    names: Names,
}

async fn list(at: AtAccount) -> Shown {
    page(&at, None, None).await
}

async fn page(at: &AtAccount, made: Option<NewKey>, message: Option<Message>) -> Shown {
    let keys: Vec<Key> = at.client.rows_if_allowed(&Asked::get(at.api_path("/keys")), MOST_KEYS).await?;
    let status = status_with(message.as_ref());
    let page = KeysPage {
        base: at.base(),
        keys,
        may_own: at.may_own(),
        once: new_key(),
        name: at.form.text("name").to_owned(),
        made,
        names: Names::of_account(&at.client, &at.account.id, &at.person).await?,
        frame: at.frame("/keys", "Keys").with(message),
    };
    rendered(status, &page)
}

async fn create(at: AtAccount) -> Shown {
    let body = json!({
        "name": at.form.text("name"),
        "role": at.form.text("role"),
        "scopes": at.form.all("scope"),
    });
    let asked = Asked::make(at.api_path("/keys"), at.form.text("once").to_owned(), Some(body));
    match at.client.ask::<NewKey>(&asked).await {
        Ok(made) => page(&at, Some(made), None).await,
        Err(refusal) => page(&at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn revoke(at: AtAccount) -> Shown {
    let asked = Asked::change(Method::POST, at.api_path(&format!("/keys/{}/revoke", at.value(1))), "*", None);
    match at.client.ask::<Value>(&asked).await {
        Ok(_) => Ok(at.done("/keys", "The key is revoked.")),
        Err(refusal) => page(&at, None, Some(above_form(refusal, &[])?)).await,
    }
}
