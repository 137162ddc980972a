//! Notices on the status page: notes, and maintenance with its times.

use askama::Template;
use axum::http::Method;
use serde_json::{Value, json};

use super::tokens::new_key;
use crate::ledger::store::records::Role;
use crate::operate::api::client::Asked;
use crate::operate::api::notices::Notices;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, operator};
use crate::portal::visit::{AtDesk, Shown, above_form, rendered, status_with};
use crate::site::status::notice;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        operator(Method::GET, "/operator/status", list),
        operator(Method::POST, "/operator/status", publish),
        operator(Method::POST, "/operator/status/{notice}/close", close),
    ]
}

#[derive(Template)]
#[template(path = "portal/desk_status.html")]
struct StatusPage<'s> {
    frame: Frame<'s>,
    notices: Vec<notice::Shown>,
    products: Vec<String>,
    text: String,
    once: String,
    may_edit: bool,
    status_url: Option<String>,
}

async fn list(at: AtDesk) -> Shown {
    page(&at, None).await
}

async fn page(at: &AtDesk, message: Option<Message>) -> Shown {
    let notices: Notices = at.client.ask(&Asked::get("/notices")).await?;
    let snapshot = at.portal.gateway.snapshot();
    let status = status_with(message.as_ref());
    let page = StatusPage {
        notices: notices.items,
        products: snapshot.policy.products.iter().map(|product| product.name.to_string()).collect(),
        text: at.form.text("text").to_owned(),
        once: new_key(),
        may_edit: matches!(at.role, Role::Admin | Role::Support),
        status_url: at.look.site.destinations.status.as_deref().map(str::to_owned),
        frame: at.frame("/operator/status", "Status").with(message).with(at.done_before()),
    };
    rendered(status, &page)
}

/// A time of a form, which is in UTC, as the API takes it.
fn time(text: &str) -> Value {
    match text.len() {
        0 => Value::Null,
        // As browsers send it: without seconds.
        16 => format!("{text}:00Z").into(),
        _ => format!("{text}Z").into(),
    }
}

async fn publish(at: AtDesk) -> Shown {
    let form = &at.form;
    let body = json!({
        "text": form.text("text"),
        "product": form.given("product"),
        "from": time(form.text("from")),
        "to": time(form.text("to")),
    });
    done(&at, &Asked::make("/notices", form.text("once").to_owned(), Some(body)), "It is on the status page.").await
}

async fn close(at: AtDesk) -> Shown {
    let asked = Asked::change(Method::POST, format!("/notices/{}/close", at.value(0)), "*", None);
    done(&at, &asked, "The notice is closed.").await
}

async fn done(at: &AtDesk, asked: &Asked, message: &str) -> Shown {
    match at.client.ask::<Value>(asked).await {
        Ok(_) => Ok(at.done("/operator/status", message)),
        Err(refusal) => page(at, Some(above_form(refusal, &[404])?)).await,
    }
}
