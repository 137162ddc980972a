//! The history of an account: who has changed what.

use askama::Template;
use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::operate::api::client::Asked;
use crate::operate::api::shown::{Audited, Page as Rows};
use crate::portal::frame::Frame;
use crate::portal::page::{Page, account};
use crate::portal::people::Names;
use crate::portal::visit::{AtAccount, Shown, rendered};
use crate::portal::words;

/// This page.
pub fn pages() -> Vec<Page> {
    vec![account(Method::GET, "/accounts/{account}/audit", list)]
}

/// Rows of a history: of one account, or of all.
#[derive(Template)]
#[template(path = "portal/audit.html")]
pub struct AuditPage<'s> {
    pub frame: Frame<'s>,
    pub rows: Vec<Audited>,
    pub next: Option<String>,
    pub shows_account: bool,
    pub names: Names,
}

async fn list(at: AtAccount) -> Shown {
    let asked = Asked::get(at.api_path("/audit")).with("limit", Some("100"));
    let rows: Rows<Audited> = at.client.ask(&asked.with("after", at.query.given("after"))).await?;
    let next = rows.next.map(|next| format!("{}/audit?after={next}", at.base()));
    let names = Names::of_account(&at.client, &at.account.id, &at.person).await?;
    let frame = at.frame("/audit", "History");
    let page = AuditPage { rows: rows.items, next, shows_account: false, names, frame };
    rendered(StatusCode::OK, &page)
}

/// What a change has changed: each member that differs, with its value before and after.
pub fn difference(row: &Audited) -> Vec<(String, String, String)> {
    let empty = serde_json::Map::new();
    let members = |state: &Option<Value>| state.as_ref().and_then(Value::as_object).cloned();
    let (before, after) = (members(&row.before), members(&row.after));
    let (before, after) = (before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name) && *name != "row_version");
    changed.map(|name| (name.replace('_', " "), text(before.get(name)), text(after.get(name)))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_shows_what_differs() {
        let row: Audited = serde_json::from_value(json!({
            "id": 1, "at": "2026-11-29T10:00:00Z", "account": "a", "actor": "user:1", "via": "portal", "address": "",
            "action": "token.update", "subject": "web",
            "before": { "name": "web", "state": "enabled", "row_version": 1 },
            "after": { "name": "web", "state": "disabled", "row_version": 2 },
        }))
        .unwrap();
        assert_eq!(difference(&row), [("state".to_owned(), "enabled".to_owned(), "disabled".to_owned())]);
    }
}
