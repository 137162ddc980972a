//! What an account is told of, and what it was told.

use askama::Template;
use axum::http::Method;
use serde_json::{Value, json};

use crate::operate::api::alerts::{Settings, ShownAlert};
use crate::operate::api::client::Asked;
use crate::operate::api::shown::Page as Rows;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, above_form, rendered, status_with};
use crate::portal::words;

/// This page.
pub fn pages() -> Vec<Page> {
    const PATH: &str = "/accounts/{account}/alerts";
    vec![account(Method::GET, PATH, show), account(Method::POST, PATH, save)]
}

#[derive(Template)]
#[template(path = "portal/alerts.html")]
struct AlertsPage<'s> {
    frame: Frame<'s>,
    base: String,
    /// Products with the credits below which is told; empty for that of the service.
    balances: Vec<(String, String)>,
    token_days: String,
    mail: String,
    version: i64,
    alerts: Vec<ShownAlert>,
    may_edit: bool,
}

async fn show(at: AtAccount) -> Shown {
    page(&at, None).await
}

async fn page(at: &AtAccount, message: Option<Message>) -> Shown {
    let Settings { settings, version } = at.client.ask(&Asked::get(at.api_path("/alerts/settings"))).await?;
    let balances = at.client.balances(&at.account.id).await?;
    let below = |product: &str| {
        let set = settings.balances.iter().find(|set| set.product == product);
        set.map_or_else(String::new, |set| set.below.to_string())
    };
    let alerts: Rows<ShownAlert> = at.client.ask(&Asked::get(at.api_path("/alerts"))).await?;
    let status = status_with(message.as_ref());
    let page = AlertsPage {
        base: at.base(),
        balances: balances
            .into_iter()
            .map(|one| (below(&one.product), one.product))
            .map(|(below, of)| (of, below))
            .collect(),
        token_days: settings.token_days.map_or_else(String::new, |days| days.to_string()),
        mail: settings.mail.unwrap_or_default(),
        version,
        alerts: alerts.items,
        may_edit: at.may_edit(),
        frame: at.frame("/alerts", "Alerts").with(message),
    };
    rendered(status, &page)
}

async fn save(at: AtAccount) -> Shown {
    // A text that is no number is left as it is, so that the API says what is wrong with it.
    let number = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    let products = at.form.all("product");
    let set = products.iter().zip(at.form.all("below")).filter(|(_, below)| !below.trim().is_empty());
    let balances: Vec<Value> =
        set.map(|(product, below)| json!({ "product": product, "below": number(below.trim()) })).collect();
    let body = json!({
        "balances": balances,
        "token_days": at.form.given("token_days").map(number),
        "mail": at.form.given("mail"),
    });
    let asked = Asked::change(Method::PUT, at.api_path("/alerts/settings"), at.form.version(), Some(body));
    match at.client.ask::<Value>(&asked).await {
        Ok(_) => Ok(at.done("/alerts", "Saved.")),
        Err(refusal) => page(&at, Some(above_form(refusal, &[])?)).await,
    }
}

/// A crossing in words.
fn about(alert: &ShownAlert) -> String {
    let number = |value: Option<i64>| words::grouped(value.unwrap_or_default());
    match (&alert.product, &alert.token) {
        (Some(product), _) => {
            format!("The balance of {product} was {}, below {}", number(alert.balance), number(alert.below))
        }
        (None, Some(token)) => {
            let day = alert.last_day.map_or_else(String::new, |day| format!(" after {day}"));
            format!("The token {token} ends{day}")
        }
        (None, None) => alert.kind.clone(),
    }
}
