//! What a candidate has found that judges beside the configuration in force, and whether it comes into force.

use askama::Template;
use axum::http::Method;
use serde_json::Value;

use crate::ledger::store::records::Role;
use crate::operate::api::client::Asked;
use crate::operate::shadow::{ByAccount, ByPrice, ByRow, ShadowDocument, Stage};
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, operator};
use crate::portal::visit::{AtDesk, Shown, above_form, rendered, status_with};

/// Rows of each table, at the most.
const MOST_ROWS: usize = 50;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        operator(Method::GET, "/operator/shadow", show),
        operator(Method::POST, "/operator/shadow/promote", |at| end(at, "promote", "The candidate is in force."))
            .sensitive(),
        operator(Method::POST, "/operator/shadow/drop", |at| end(at, "drop", "The candidate was dropped.")).sensitive(),
    ]
}

#[derive(Template)]
#[template(path = "portal/desk_shadow.html")]
struct ShadowPage<'s> {
    frame: Frame<'s>,
    found: ShadowDocument,
    by_row: Vec<ByRow>,
    by_price: Vec<ByPrice>,
    by_account: Vec<ByAccount>,
    is_judging: bool,
    may_end: bool,
}

async fn show(at: AtDesk) -> Shown {
    page(&at, None).await
}

async fn page(at: &AtDesk, message: Option<Message>) -> Shown {
    let mut found: ShadowDocument = at.client.ask(&Asked::get("/shadow")).await?;
    let is_judging = found.state == Stage::Judging;
    let status = status_with(message.as_ref());
    let (mut by_row, mut by_price) = (std::mem::take(&mut found.by_row), std::mem::take(&mut found.by_price));
    let mut by_account = std::mem::take(&mut found.by_account);
    by_row.truncate(MOST_ROWS);
    by_price.truncate(MOST_ROWS);
    by_account.truncate(MOST_ROWS);
    let page = ShadowPage {
        frame: at.frame("/operator/shadow", "Shadow").with(message).with(at.done_before()),
        found,
        by_row,
        by_price,
        by_account,
        is_judging,
        may_end: is_judging && at.role == Role::Admin,
    };
    rendered(status, &page)
}

/// Promotes or drops it.
async fn end(at: AtDesk, act: &'static str, done: &'static str) -> Shown {
    let asked = Asked::change(Method::POST, format!("/shadow/{act}"), "*", None);
    match at.client.ask::<Value>(&asked).await {
        Ok(_) => Ok(at.done("/operator/shadow", done)),
        Err(refusal) => {
            let message = above_form(refusal, &[409])?;
            let found: ShadowDocument = at.client.ask(&Asked::get("/shadow")).await?;
            match found.state {
                Stage::Judging => page(&at, Some(message)).await,
                Stage::None | Stage::Ended if message.status.as_u16() == 403 => page(&at, Some(message)).await,
                Stage::None | Stage::Ended => Ok(at.done("/operator/shadow", "There is no shadow any more.")),
            }
        }
    }
}
