//! Credits of an account: balances, and every row of the ledger.

use askama::Template;
use axum::http::{Method, StatusCode};

use crate::ledger::entry::{Entry, Statement};
use crate::operate::api::client::Asked;
use crate::operate::api::credits::Balances;
use crate::operate::api::shown::Page as Rows;
use crate::platform::sheet;
use crate::portal::answer;
use crate::portal::chart::Chart;
use crate::portal::frame::Frame;
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, Trouble, rendered};
use crate::portal::words;

use super::usage::{self, Days};

/// Days of the picture.
const DAYS: i64 = 30;

/// Rows of a sheet at the most.
const MOST_ROWS: usize = 100_000;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        account(Method::GET, "/accounts/{account}/credits", list),
        account(Method::GET, "/accounts/{account}/credits/{product}", entries),
        account(Method::GET, "/accounts/{account}/credits/{product}/entries.csv", csv),
    ]
}

#[derive(Template)]
#[template(path = "portal/credits.html")]
struct CreditsPage<'s> {
    frame: Frame<'s>,
    base: String,
    balances: Vec<Statement>,
    credits: Chart,
}

async fn list(at: AtAccount) -> Shown {
    let balances: Balances = at.client.ask(&Asked::get(at.api_path("/credits"))).await?;
    let used = usage::by_day(&at, DAYS).await?;
    let page = CreditsPage {
        base: at.base(),
        balances: balances.items,
        credits: Days::of(&used, at.at_ms, DAYS).credits(),
        frame: at.frame("/credits", "Credits"),
    };
    rendered(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "portal/entries.html")]
struct EntriesPage<'s> {
    frame: Frame<'s>,
    base: String,
    product: String,
    entries: Vec<Entry>,
    next: Option<String>,
}

fn path(at: &AtAccount) -> String {
    at.api_path(&format!("/credits/{}/entries", in_path(at.value(1))))
}

/// A name as a segment of a path.
fn in_path(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn entries(at: AtAccount) -> Shown {
    let asked = Asked::get(path(&at)).with("limit", Some("100")).with("after", at.query.given("after"));
    let rows: Rows<Entry> = at.client.ask(&asked).await?;
    let product = at.value(1).to_owned();
    let page = EntriesPage {
        base: at.base(),
        entries: rows.items,
        next: rows.next.map(|next| format!("{}/credits/{}?after={next}", at.base(), in_path(&product))),
        frame: at.frame("/credits", format!("Credits for {product}")),
        product,
    };
    rendered(StatusCode::OK, &page)
}

async fn csv(at: AtAccount) -> Shown {
    let rows: Vec<Entry> = at.client.rows(&Asked::get(path(&at)), MOST_ROWS).await?;
    let text = as_csv(&rows).map_err(|_| Trouble::NotFound)?;
    Ok(answer::download("text/csv; charset=utf-8", &format!("credits-{}.csv", words::day(at.at_ms)), text))
}

/// Rows of the ledger for spreadsheets. No cell is one that a spreadsheet would run.
fn as_csv(rows: &[Entry]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["at", "product", "kind", "amount", "lookups", "reference", "why"])?;
    for row in rows {
        let (amount, lookups) = (row.amount.to_string(), row.lookups.to_string());
        let (reference, why) = (sheet::cell(&row.reference), sheet::cell(&row.why));
        let product = sheet::cell(&row.product);
        writer.write_record([&*row.at, &*product, row.kind.word(), &*amount, &*lookups, &*reference, &*why])?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
