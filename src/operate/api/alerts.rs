//! Alerts: what was told of low balances and of tokens about to end, how its messages went out, and what an account
//! wants to be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};
use super::refusal::{refused, refused_as};
use super::route::{Call, NoBody, Reply};
use super::shown::{Day, Page, Time};
use crate::ledger::store::alert_settings::{self, AlertSettings, StoredAlertSettings};
use crate::ledger::store::alerts::{self, AlertKind, AlertPage, MAX_PAGE_ROWS, Message};
use crate::ledger::store::{Outcome, accounts};
use crate::policy::Policy;

/// A crossing that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub struct ShownAlert {
    /// Grows from row to row.
    pub id: i64,
    /// What receivers know it by: `webhook-id`, and the beginning of `Message-ID`.
    pub event: String,
    /// `low-balance` or `token-ends`.
    pub kind: String,
    /// The account's name.
    pub account: String,
    /// The product of a balance.
    pub product: Option<String>,
    /// The balance when it was told.
    pub balance: Option<i64>,
    /// The credits that it was below.
    pub below: Option<i64>,
    /// The token's name.
    pub token: Option<String>,
    /// The first and last characters of the token, where they are known.
    pub hint: Option<String>,
    /// The token's last day, in UTC.
    pub last_day: Option<Day>,
    /// When it was told.
    pub crossed_at: Time,
    /// Since when it is over; null: it still holds.
    pub over_at: Option<Time>,
    /// What was sent of it.
    pub messages: Vec<ShownMessage>,
}

/// A message of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AlertMessage")]
pub struct ShownMessage {
    /// `webhook` or `mail`.
    pub channel: String,
    /// `waiting`, `delivered` or `given-up`.
    pub state: String,
    /// How often it was tried.
    pub tries: i64,
    /// When it is tried next; null: it is not.
    pub due_at: Option<Time>,
    /// When it was delivered or given up.
    pub done_at: Option<Time>,
    /// Why it was not accepted when it was tried last.
    pub fault: Option<String>,
}

/// What an account wants to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AlertSettingsShown")]
pub struct Settings {
    /// What it has set. The rest is as the configuration has it.
    #[serde(flatten)]
    pub settings: AlertSettings,
    /// What `ETag` says, without the quotes.
    pub version: i64,
}

impl From<StoredAlertSettings> for Settings {
    fn from(stored: StoredAlertSettings) -> Settings {
        Settings { settings: stored.settings, version: stored.row_version }
    }
}

impl From<Message> for ShownMessage {
    fn from(message: Message) -> ShownMessage {
        let Message { channel, state, tries, due_at, done_at, fault, .. } = message;
        let due_at = (state == "waiting").then_some(Time(due_at));
        ShownMessage { channel, state, tries, due_at, done_at: done_at.map(Time), fault }
    }
}

impl From<(alerts::Alert, Vec<Message>)> for ShownAlert {
    fn from((alert, messages): (alerts::Alert, Vec<Message>)) -> ShownAlert {
        let what = alert.what;
        let is_balance = what.kind == AlertKind::LowBalance;
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        ShownAlert {
            id: alert.id,
            event: alert.event_id,
            kind: what.kind.word().to_owned(),
            account: what.account,
            product: text(what.product),
            balance: is_balance.then_some(what.level),
            below: is_balance.then_some(what.threshold),
            token: text(what.token),
            hint: text(what.hint),
            last_day: (!is_balance).then(|| Day(u32::try_from(what.level).unwrap_or_default())),
            crossed_at: Time(alert.crossed_at),
            over_at: alert.over_at.map(Time),
            messages: messages.into_iter().map(ShownMessage::from).collect(),
        }
    }
}

/// Alerts of all accounts.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<ShownAlert>>, Problem> {
    page(&call, call.query.text("account").map(str::to_owned)).await
}

/// Alerts of one account.
pub async fn list_of_account(call: Call<NoBody>) -> Result<Reply<Page<ShownAlert>>, Problem> {
    let id = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| accounts::get(connection, &id)).await;
    page(&call, Some(found.map_err(refused)?.name)).await
}

async fn page(call: &Call<NoBody>, account: Option<String>) -> Result<Reply<Page<ShownAlert>>, Problem> {
    let limit = call.query.limit();
    let before = call.query.after().map(str::parse::<i64>).transpose();
    let before = before.map_err(|_| {
        Problem::query(vec![FieldError::new("?after", "is not an alert", "write the `next` of the page before")])
    })?;
    let wanted = AlertPage {
        account,
        kind: call.query.text("kind").map(str::to_owned),
        is_open: call.query.text("state").map(|state| state == "open"),
        before,
        rows: limit.saturating_add(1).min(MAX_PAGE_ROWS),
    };
    let rows = call.api.store.read(move |connection| alerts::page(connection, &wanted)).await.map_err(refused)?;
    let Page { items, next } = Page::of(rows, limit, |(alert, _)| alert.id.to_string());
    Ok(Reply::of(Page { items: items.into_iter().map(ShownAlert::from).collect(), next }))
}

/// What an account wants to be told.
pub async fn settings(call: Call<NoBody>) -> Result<Reply<Settings>, Problem> {
    let id = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| alert_settings::get(connection, &id)).await;
    Ok(shown(found.map_err(refused)?.into()))
}

/// Sets what an account wants to be told.
pub async fn put_settings(call: Call<AlertSettings>) -> Result<Reply<Settings>, Problem> {
    let settings = call.body.clone();
    let faults = faults(&settings, &call.api.in_force.policy());
    if !faults.is_empty() {
        return Err(Problem::body(faults));
    }
    let (id, version) = (call.value(0).to_owned(), call.version());
    let outcome = call.write(move |writing| alert_settings::set(writing, &id, version, &settings)).await;
    let Outcome { value, replayed, .. } = outcome.map_err(refused_as::<StoredAlertSettings, Settings>)?;
    Ok(shown(value.into()).again(replayed))
}

/// Balances that nobody can have: a threshold of them would never tell anything.
fn faults(settings: &AlertSettings, policy: &Policy) -> Vec<FieldError> {
    let priced: Vec<&str> =
        policy.products.iter().filter(|product| product.has_balance()).map(|product| &*product.name).collect();
    let instead = match &*priced {
        [] => "remove it, since no product has prices".to_owned(),
        priced => format!("write one of {}", priced.join(", ")),
    };
    let unknown = settings.balances.iter().enumerate().filter(|(_, balance)| !priced.contains(&&*balance.product));
    let fault = |(number, _)| {
        FieldError::new(format!("/balances/{number}/product"), "is not a product with prices", instead.clone())
    };
    unknown.map(fault).collect()
}

fn shown(settings: Settings) -> Reply<Settings> {
    let version = settings.version;
    Reply::versioned(settings, version)
}
