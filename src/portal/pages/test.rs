//! A request that is not sent, judged by the gateway's own checks.

use askama::Template;
use axum::http::Method;
use serde_json::{Map, Value};

use super::token::{find, path};
use crate::operate::api::client::Asked;
use crate::operate::api::shown::Token;
use crate::operate::api::token_test::TestOutcome;
use crate::portal::form::Values;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, above_form, rendered, status_with};

/// The fields of the form, which are the API's.
const FIELDS: [&str; 4] = ["address", "origin", "method", "path"];

/// These pages.
pub fn pages() -> Vec<Page> {
    const PATH: &str = "/accounts/{account}/tokens/{token}/test";
    vec![account(Method::GET, PATH, ask), account(Method::POST, PATH, judge)]
}

#[derive(Template)]
#[template(path = "portal/test.html")]
struct TestPage<'s> {
    frame: Frame<'s>,
    base: String,
    token: Token,
    address: String,
    origin: String,
    method: String,
    target: String,
    outcome: Option<TestOutcome>,
}

async fn ask(at: AtAccount) -> Shown {
    let given = at.query.clone();
    page(&at, &given, None, None).await
}

async fn page(at: &AtAccount, given: &Values, outcome: Option<TestOutcome>, message: Option<Message>) -> Shown {
    let token = find(at).await?;
    let status = status_with(message.as_ref());
    let text = |name: &str| given.text(name).to_owned();
    let page = TestPage {
        base: at.base(),
        address: text("address"),
        origin: text("origin"),
        method: text("method"),
        target: text("path"),
        outcome,
        frame: at.frame("/tokens", format!("Test {}", token.name)).with(message),
        token,
    };
    rendered(status, &page)
}

async fn judge(at: AtAccount) -> Shown {
    let given = FIELDS.into_iter().filter_map(|name| Some((name.to_owned(), at.form.given(name)?.into())));
    let body: Map<String, Value> = given.collect();
    match at.client.ask::<TestOutcome>(&Asked::try_out(path(&at, "/test"), body.into())).await {
        Ok(outcome) => page(&at, &at.form, Some(outcome), None).await,
        Err(refusal) => page(&at, &at.form, None, Some(above_form(refusal, &[])?)).await,
    }
}

/// How a verdict is marked.
fn mark(verdict: &str) -> &'static str {
    match verdict {
        "pass" => "good",
        "refused" => "bad",
        _ => "quiet",
    }
}
