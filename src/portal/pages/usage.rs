//! Usage of an account: by the day or the hour, by product, token and outcome, as a picture, a table and CSV.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::{Method, StatusCode};

use super::tokens::MOST_TOKENS;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::{Page as Rows, Token};
use crate::operate::api::usage::Used;
use crate::policy::problem::{Fault, Row};
use crate::portal::answer;
use crate::portal::ask::Refusal;
use crate::portal::chart::{Bar, Chart};
use crate::portal::form::Values;
use crate::portal::frame::Frame;
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, rendered};
use crate::portal::words::{self, DAY_MS};

/// Days of the picture, unless somebody chooses others.
const DAYS: i64 = 30;

/// Rows that a picture is made of at the most.
const MOST_ROWS: usize = 20_000;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        account(Method::GET, "/accounts/{account}/usage", usage),
        account(Method::GET, "/accounts/{account}/usage.csv", sheet),
    ]
}

/// What rows of usage are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    pub answered: i64,
    /// Refused for a reason that is the client's.
    pub refused: i64,
    /// Failed, which is not the client's fault.
    pub failed: i64,
    pub credits: i64,
}

impl Total {
    /// The sum of rows.
    pub fn of<'u>(rows: impl Iterator<Item = &'u Used>) -> Total {
        rows.fold(Total::default(), |mut total, row| {
            total.add(row);
            total
        })
    }

    fn add(&mut self, row: &Used) {
        self.credits = self.credits.saturating_add(row.credits);
        let place = match row.outcome.as_deref() {
            None => &mut self.answered,
            Some(problem) if is_failure(problem) => &mut self.failed,
            Some(_) => &mut self.refused,
        };
        *place = place.saturating_add(row.requests);
    }
}

/// Whether a problem is no fault of the client's.
fn is_failure(problem: &str) -> bool {
    Row::from_slug(problem).and_then(Row::definition).is_some_and(|row| row.fault != Fault::Client)
}

/// Usage by the day, with the days that have none.
pub struct Days(Vec<(String, Total)>);

impl Days {
    /// The last days until now.
    pub fn of(rows: &[Used], now_ms: i64, days: i64) -> Days {
        let mut by_day: BTreeMap<String, Total> =
            (0..days).map(|back| (words::day(now_ms - back * DAY_MS), Total::default())).collect();
        for row in rows {
            if let Some(total) = by_day.get_mut(&words::day(row.at.0)) {
                total.add(row);
            }
        }
        Days(by_day.into_iter().collect())
    }

    /// Credits by the day.
    pub fn credits(&self) -> Chart {
        let bar = |(label, total): &(String, Total)| Bar { label: label.clone(), parts: vec![total.credits] };
        let title = format!("Credits a day, last {} days", self.0.len());
        Chart { title, names: vec!["credits"], bars: self.0.iter().map(bar).collect() }
    }

    /// Requests by the day and by what came of them.
    pub fn outcomes(&self) -> Chart {
        let bar = |(label, total): &(String, Total)| Bar {
            label: label.clone(),
            parts: vec![total.answered, total.refused, total.failed],
        };
        let title = format!("Requests a day, last {} days", self.0.len());
        Chart { title, names: vec!["answered", "refused", "failed"], bars: self.0.iter().map(bar).collect() }
    }
}

/// What the form above the table chooses.
struct Chosen {
    by: &'static str,
    days: i64,
    token: String,
    product: String,
    outcome: String,
}

impl Chosen {
    fn of(query: &Values) -> Chosen {
        let days = query.text("days").parse().ok().filter(|days| [1, 7, 30, 90].contains(days)).unwrap_or(DAYS);
        Chosen {
            by: if query.text("by") == "hour" { "hour" } else { "day" },
            days,
            token: query.text("token").to_owned(),
            product: query.text("product").to_owned(),
            outcome: query.text("outcome").to_owned(),
        }
    }

    fn ask(&self, path: String, now_ms: i64) -> Asked {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Asked::get(path)
            .with("by", Some(self.by))
            .with("since", Some(words::since(now_ms, self.days)))
            .with("token", given(&self.token))
            .with("product", given(&self.product))
            .with("outcome", given(&self.outcome))
    }

    /// The query of a link with the same choice.
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("by", self.by).append_pair("days", &self.days.to_string());
        for (name, value) in [("token", &self.token), ("product", &self.product), ("outcome", &self.outcome)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

#[derive(Template)]
#[template(path = "portal/usage.html")]
struct UsagePage<'s> {
    frame: Frame<'s>,
    base: String,
    chosen: Chosen,
    tokens: Vec<String>,
    products: Vec<String>,
    outcomes: Vec<String>,
    credits: Chart,
    requests: Chart,
    rows: Vec<Used>,
    next: Option<String>,
}

/// What the account has used in each of so many days.
///
/// # Errors
/// The API's refusal.
pub async fn by_day(at: &AtAccount, days: i64) -> Result<Vec<Used>, Refusal> {
    let asked = Asked::get(at.api_path("/usage")).with("by", Some("day"));
    at.client.rows(&asked.with("since", Some(words::since(at.at_ms, days))), MOST_ROWS).await
}

/// The different values of rows, in order.
fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut values: Vec<String> = values.collect();
    values.sort();
    values.dedup();
    values
}

async fn usage(at: AtAccount) -> Shown {
    let chosen = Chosen::of(&at.query);
    let by_day = Chosen { by: "day", ..Chosen::of(&at.query) };
    let all: Vec<Used> = at.client.rows(&by_day.ask(at.api_path("/usage"), at.at_ms), MOST_ROWS).await?;
    let days = Days::of(&all, at.at_ms, chosen.days);
    let asked = chosen.ask(at.api_path("/usage"), at.at_ms).with("limit", Some("100"));
    let rows: Rows<Used> = at.client.ask(&asked.with("after", at.query.given("after"))).await?;
    let tokens: Vec<Token> = at.client.rows(&Asked::get(at.api_path("/tokens")), MOST_TOKENS).await?;
    let page = UsagePage {
        base: at.base(),
        tokens: distinct(tokens.into_iter().map(|token| token.name).chain(all.iter().map(|row| row.token.clone()))),
        products: distinct(all.iter().map(|row| row.product.clone())),
        outcomes: distinct(all.iter().filter_map(|row| row.outcome.clone())),
        credits: days.credits(),
        requests: days.outcomes(),
        rows: rows.items,
        next: rows.next.map(|next| format!("{}/usage?{}&after={next}", at.base(), chosen.query())),
        chosen,
        frame: at.frame("/usage", "Usage"),
    };
    rendered(StatusCode::OK, &page)
}

/// All of it as one table for spreadsheets.
async fn sheet(at: AtAccount) -> Shown {
    let asked = Chosen::of(&at.query).ask(at.api_path("/usage.csv"), at.at_ms).with("limit", Some("5000"));
    let mut text = String::new();
    let mut after: Option<String> = None;
    loop {
        let (part, next) = at.client.text(&asked.clone().with("after", after.as_deref())).await?;
        // The names of the columns are there once.
        let rows = if text.is_empty() { &*part } else { part.split_once('\n').map_or("", |(_, rows)| rows) };
        text.push_str(rows);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(answer::download("text/csv; charset=utf-8", &format!("usage-{}.csv", words::day(at.at_ms)), text))
}
