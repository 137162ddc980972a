//! Importing accounts and plans from an export of a store, after a look at what the import would do.

use askama::Template;
use axum::http::Method;
use serde_json::json;

use super::tokens::new_key;
use crate::ledger::store::records::Role;
use crate::operate::api::client::Asked;
use crate::operate::api::import::ImportOutcome;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, operator};
use crate::portal::visit::{AtDesk, Shown, above_form, rendered, status_with};
use crate::portal::words;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        operator(Method::GET, "/operator/import", show),
        operator(Method::POST, "/operator/import", |at| import(at, true)),
        operator(Method::POST, "/operator/import/done", |at| import(at, false)).sensitive(),
    ]
}

#[derive(Template)]
#[template(path = "portal/desk_import.html")]
struct ImportPage<'s> {
    frame: Frame<'s>,
    outcome: Option<ImportOutcome>,
    lines: &'s str,
    once: String,
    may_import: bool,
}

async fn show(at: AtDesk) -> Shown {
    page(&at, None, None)
}

fn page(at: &AtDesk, outcome: Option<ImportOutcome>, message: Option<Message>) -> Shown {
    let status = status_with(message.as_ref());
    let page = ImportPage {
        outcome,
        lines: at.form.text("lines"),
        once: new_key(),
        // An import brings tokens that others know.
        may_import: at.role == Role::Admin,
        frame: at.frame("/operator", "Import accounts").with(message),
    };
    rendered(status, &page)
}

async fn import(at: AtDesk, dry_run: bool) -> Shown {
    let body = json!({ "lines": at.form.text("lines"), "dry_run": dry_run });
    // The key of a look is another one than that of the import that follows it.
    let once = if dry_run { new_key() } else { at.form.text("once").to_owned() };
    match at.client.ask(&Asked::make("/accounts/import", once, Some(body))).await {
        Ok(outcome) => page(&at, Some(outcome), None),
        Err(refusal) => page(&at, None, Some(above_form(refusal, &[])?)),
    }
}
