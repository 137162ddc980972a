//! The overview of an account: what is left and for how long, the last thirty days, what was refused of late.

use askama::Template;
use axum::http::{Method, StatusCode};

use super::tokens::MOST_TOKENS;
use super::usage::{self, Days, Total};
use crate::ledger::entry::Statement;
use crate::ledger::store::records::AccountState;
use crate::operate::api::alerts::ShownAlert;
use crate::operate::api::client::Asked;
use crate::operate::api::limits::{AccountLimits, ShownLimit};
use crate::operate::api::shown::{Page as Rows, Token};
use crate::operate::api::usage::{ShownRefusal, Used};
use crate::portal::chart::Chart;
use crate::portal::frame::Frame;
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, rendered};
use crate::portal::words::{self, DAY_MS};

/// Days that the rate of use is taken from.
const DAYS_OF_RATE: i64 = 7;

/// Days of the pictures.
const DAYS: i64 = 30;

/// This page.
pub fn pages() -> Vec<Page> {
    vec![account(Method::GET, "/accounts/{account}", overview)]
}

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct Overview<'s> {
    frame: Frame<'s>,
    base: String,
    state: AccountState,
    balances: Vec<(Statement, String)>,
    limits: Vec<ShownLimit>,
    credits: Option<Chart>,
    outcomes: Chart,
    alerts: Vec<ShownAlert>,
    refusals: Vec<ShownRefusal>,
    tokens: usize,
    may_edit: bool,
    now_ms: i64,
}

async fn overview(at: AtAccount) -> Shown {
    let now_ms = at.at_ms;
    let balances = at.client.balances(&at.account.id).await?;
    let used = usage::by_day(&at, DAYS).await?;
    let days = Days::of(&used, now_ms, DAYS);
    let balances: Vec<(Statement, String)> = balances.into_iter().map(|one| with_rest(one, &used, now_ms)).collect();
    let alerts = Asked::get(at.api_path("/alerts")).with("state", Some("open"));
    let alerts: Rows<ShownAlert> = at.client.ask(&alerts).await?;
    let may_edit = at.may_edit();
    let refusals = Asked::get(at.api_path("/refusals")).with("limit", Some("5"));
    let refusals = match at.client.ask::<Rows<ShownRefusal>>(&refusals).await {
        Ok(page) => page.items,
        // Who may only look is not told of addresses.
        Err(refusal) if refusal.status() == 403 => Vec::new(),
        Err(refusal) => return Err(refusal.into()),
    };
    let tokens: Vec<Token> = at.client.rows(&Asked::get(at.api_path("/tokens")), MOST_TOKENS).await?;
    let limits: AccountLimits = at.client.ask(&Asked::get(at.api_path("/limits"))).await?;
    let page = Overview {
        base: at.base(),
        state: at.account.state,
        credits: (!balances.is_empty()).then(|| days.credits()),
        outcomes: days.outcomes(),
        balances,
        limits: limits.items,
        alerts: alerts.items,
        refusals,
        tokens: tokens.len(),
        may_edit,
        now_ms,
        frame: at.frame("", "Overview"),
    };
    rendered(StatusCode::OK, &page)
}

/// A balance, and for how long it will do at the rate of the last days.
fn with_rest(statement: Statement, used: &[Used], now_ms: i64) -> (Statement, String) {
    let since = now_ms - DAYS_OF_RATE * DAY_MS;
    let spent = Total::of(used.iter().filter(|row| row.product == statement.product && row.at.0 >= since)).credits;
    let rest = left(statement.balance, spent);
    (statement, rest)
}

/// For how long a balance will do, if a week costs as much as the last one.
fn left(balance: u64, spent_in_a_week: i64) -> String {
    let balance = i64::try_from(balance).unwrap_or(i64::MAX);
    match (balance, spent_in_a_week) {
        (0, _) => "used up".to_owned(),
        (_, ..=0) => "not used in the last week".to_owned(),
        (balance, spent) => match balance.saturating_mul(DAYS_OF_RATE) / spent {
            0 => "left for less than a day at this rate".to_owned(),
            days if days > 730 => "left for more than two years at this rate".to_owned(),
            days => format!("left for about {} at this rate", words::counted(days, "day")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_says_for_how_long_it_will_do() {
        for (balance, spent, words) in [
            (0, 7, "used up"),
            (90, 70, "left for about 9 days at this rate"),
            (1, 7, "left for about 1 day at this rate"),
            (9, 70, "left for less than a day at this rate"),
            (90, 0, "not used in the last week"),
            (u64::MAX, 1, "left for more than two years at this rate"),
        ] {
            assert_eq!(left(balance, spent), words, "{balance} {spent}");
        }
    }
}
