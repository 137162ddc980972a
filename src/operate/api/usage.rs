//! What accounts have used, by the hour or by the day, as JSON and as CSV; and what they were refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};
use super::refusal::refused;
use super::route::{Call, Csv, NoBody, Reply};
use super::shown::{Page, Time};
use crate::ledger::store::refusals::{self, RefusalPage, Refused};
use crate::ledger::store::usage::{self, Span, UsageLine, UsagePage};
use crate::ledger::store::{accounts, refusals::MAX_PAGE_ROWS};
use crate::platform::sheet;

/// What one token has used of a product in an hour or a day, with one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// The beginning of the hour or the day, in UTC.
    pub at: Time,
    /// The account's name.
    pub account: String,
    /// The token's name. A token that has replaced another one has its name.
    pub token: String,
    /// The product's name.
    pub product: String,
    /// The problem that the requests were refused with, `client-gone`, or null for answers.
    pub outcome: Option<String>,
    /// How many requests there were.
    pub requests: i64,
    /// What was charged for them.
    pub credits: i64,
    /// How many of them a list of networks would have refused that is only watched.
    pub watched_networks: i64,
    /// How many of them a list of domains would have refused that is only watched.
    pub watched_domains: i64,
}

/// Requests of a minute that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct ShownRefusal {
    /// Grows from row to row.
    pub id: i64,
    /// The minute, in UTC.
    pub at: Time,
    /// The account's name; null where the token is not known.
    pub account: Option<String>,
    /// The token's name; null where it is not known.
    pub token: Option<String>,
    /// The product's name.
    pub product: String,
    /// The problem that they were refused with.
    pub problem: String,
    /// Nothing was refused: a list that is only watched would have.
    pub watched: bool,
    /// Why, as in the log.
    pub reason: String,
    /// Where they came from, where that says how to mend it: an entry for the token's networks.
    pub address: Option<String>,
    /// The host of the page that they came from: an entry for the token's domains.
    pub host: Option<String>,
    /// How many there were.
    pub requests: i64,
    /// The Transaction-Id of the last of them.
    pub transaction_id: String,
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<UsageLine> for Used {
    fn from(line: UsageLine) -> Used {
        Used {
            at: Time(line.at),
            account: line.account,
            token: line.token,
            product: line.product,
            outcome: some(line.outcome),
            requests: line.requests,
            credits: line.credits,
            watched_networks: line.watched_networks,
            watched_domains: line.watched_domains,
        }
    }
}

impl From<Refused> for ShownRefusal {
    fn from(row: Refused) -> ShownRefusal {
        ShownRefusal {
            id: row.id,
            at: Time(row.minute),
            account: some(row.account),
            token: some(row.token),
            product: row.product,
            problem: row.problem,
            watched: row.is_watched,
            reason: row.reason,
            address: some(row.address),
            host: some(row.host),
            requests: row.requests,
            transaction_id: row.transaction_id,
        }
    }
}

/// The columns of the CSV, in their order.
const COLUMNS: [&str; 9] =
    ["at", "account", "token", "product", "outcome", "requests", "credits", "watched_networks", "watched_domains"];

impl Used {
    /// A line of the CSV. No cell is one that a spreadsheet would run.
    fn cells(&self) -> [String; 9] {
        [
            self.at.to_string(),
            sheet::cell(&self.account),
            sheet::cell(&self.token),
            sheet::cell(&self.product),
            self.outcome.clone().unwrap_or_default(),
            self.requests.to_string(),
            self.credits.to_string(),
            self.watched_networks.to_string(),
            self.watched_domains.to_string(),
        ]
    }
}

/// Usage as CSV, below a line with the names of the columns.
///
/// # Errors
/// Those of the writer, of which a buffer in memory has none.
pub fn csv(rows: &[Used]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    rows.iter().try_for_each(|row| writer.write_record(row.cells()))?;
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Usage of all accounts.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Used>>, Problem> {
    page(&call, call.query.text("account").map(str::to_owned)).await
}

/// Usage of one account.
pub async fn list_of_account(call: Call<NoBody>) -> Result<Reply<Page<Used>>, Problem> {
    let name = name(&call).await?;
    page(&call, Some(name)).await
}

/// Usage of all accounts as CSV.
pub async fn sheet_of_all(call: Call<NoBody>) -> Result<Reply<Csv>, Problem> {
    as_sheet(&call, list_rows(&call, call.query.text("account").map(str::to_owned)).await?)
}

/// Usage of one account as CSV.
pub async fn sheet_of_account(call: Call<NoBody>) -> Result<Reply<Csv>, Problem> {
    let name = name(&call).await?;
    as_sheet(&call, list_rows(&call, Some(name)).await?)
}

fn as_sheet(call: &Call<NoBody>, page: Page<Used>) -> Result<Reply<Csv>, Problem> {
    let text = csv(&page.items).map_err(|_| Problem::plain(super::problem::Kind::Internal))?;
    Ok(Reply::of(Csv(text)).followed_by(call.following(page.next)))
}

async fn page(call: &Call<NoBody>, account: Option<String>) -> Result<Reply<Page<Used>>, Problem> {
    Ok(Reply::of(list_rows(call, account).await?))
}

async fn list_rows(call: &Call<NoBody>, account: Option<String>) -> Result<Page<Used>, Problem> {
    let limit = call.query.limit();
    let text = |name: &str| call.query.text(name).map(str::to_owned);
    let wanted = UsagePage {
        span: if call.query.text("by") == Some("day") { Span::Day } else { Span::Hour },
        account,
        token: text("token"),
        product: text("product"),
        // Answers have no problem.
        outcome: text("outcome").map(|outcome| if outcome == "answered" { String::new() } else { outcome }),
        since: call.query.milliseconds("since"),
        until: call.query.milliseconds("until"),
        after: cursor(call, "is not a line of usage, or one that is not kept any more")?,
        rows: limit.saturating_add(1),
    };
    let lines = call.api.store.read(move |connection| usage::page(connection, &wanted)).await.map_err(refused)?;
    let Some(lines) = lines else {
        let fault = FieldError::new("?after", "is not a line of usage, or one that is not kept any more", "begin anew");
        return Err(Problem::query(vec![fault]));
    };
    let Page { items, next } = Page::of(lines, limit, |line| line.id.to_string());
    Ok(Page { items: items.into_iter().map(Used::from).collect(), next })
}

fn cursor(call: &Call<NoBody>, problem: &str) -> Result<Option<i64>, Problem> {
    let cursor = call.query.after().map(str::parse::<i64>).transpose();
    cursor.map_err(|_| Problem::query(vec![FieldError::new("?after", problem, "write the `next` of the page before")]))
}

async fn name(call: &Call<NoBody>) -> Result<String, Problem> {
    let id = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| accounts::get(connection, &id)).await;
    Ok(found.map_err(refused)?.name)
}

/// Refusals of everybody.
pub async fn refusals(call: Call<NoBody>) -> Result<Reply<Page<ShownRefusal>>, Problem> {
    refusal_page(&call, call.query.text("account").map(str::to_owned)).await
}

/// Refusals of one account.
pub async fn refusals_of_account(call: Call<NoBody>) -> Result<Reply<Page<ShownRefusal>>, Problem> {
    let name = name(&call).await?;
    refusal_page(&call, Some(name)).await
}

async fn refusal_page(call: &Call<NoBody>, account: Option<String>) -> Result<Reply<Page<ShownRefusal>>, Problem> {
    let limit = call.query.limit();
    let text = |name: &str| call.query.text(name).map(str::to_owned);
    let wanted = RefusalPage {
        account,
        token: text("token"),
        product: text("product"),
        problem: text("problem"),
        since: call.query.milliseconds("since"),
        until: call.query.milliseconds("until"),
        before: cursor(call, "is not a row of the refusals")?,
        rows: limit.saturating_add(1).min(MAX_PAGE_ROWS),
    };
    let rows = call.api.store.read(move |connection| refusals::page(connection, &wanted)).await.map_err(refused)?;
    let Page { items, next } = Page::of(rows, limit, |row| row.id.to_string());
    Ok(Reply::of(Page { items: items.into_iter().map(ShownRefusal::from).collect(), next }))
}
