//! The audit: who has done what, the newest first, and whether it is as it was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::{Audited, Page};
use crate::ledger::store::accounts;
use crate::ledger::store::audit::{self, AuditPage, AuditRow, Chain, MAX_PAGE_ROWS};

/// Rows that are looked at for one page: a filter that nothing fits does not read the whole audit at once.
const MOST_LOOKED_AT: u32 = 20 * MAX_PAGE_ROWS;

/// What the chain of digests says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainCheck {
    /// Whether every row is as it was written, and none is missing.
    pub whole: bool,
    /// How many rows are.
    pub rows: i64,
    /// The first row that is not as it was written, or that is missing.
    pub broken_at: Option<i64>,
}

/// Rows of the whole audit.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Audited>>, Problem> {
    page(&call, None).await
}

/// Rows about one account.
pub async fn list_of_account(call: Call<NoBody>) -> Result<Reply<Page<Audited>>, Problem> {
    let account = call.value(0).to_owned();
    page(&call, Some(account)).await
}

async fn page(call: &Call<NoBody>, account: Option<String>) -> Result<Reply<Page<Audited>>, Problem> {
    let before = match call.query.after().map(str::parse::<i64>) {
        None => None,
        Some(Ok(before)) => Some(before),
        Some(Err(_)) => {
            let fault = FieldError::new("?after", "is not a row of the audit", "write the `next` of the page before");
            return Err(Problem::query(vec![fault]));
        }
    };
    let limit = usize::try_from(call.query.limit()).unwrap_or(usize::MAX);
    let text = |name: &str| call.query.text(name).map(str::to_owned);
    let (action, actor) = (text("action"), text("actor"));
    let (since, until) = (call.query.milliseconds("since"), call.query.milliseconds("until"));
    let fits = move |row: &AuditRow| {
        action.as_ref().is_none_or(|action| row.action.starts_with(&**action))
            && actor.as_ref().is_none_or(|actor| row.actor == *actor)
            && until.is_none_or(|until| row.at < until)
    };
    let found = call.api.store.read(move |connection| {
        if let Some(account) = &account {
            accounts::get(connection, account)?;
        }
        let (mut found, mut before, mut looked_at) = (Vec::new(), before, 0);
        let mut rest = None;
        loop {
            let wanted = AuditPage { account_id: account.clone(), before, rows: MAX_PAGE_ROWS };
            let rows = audit::page(connection, &wanted)?;
            let is_last = rows.len() < usize::try_from(MAX_PAGE_ROWS).unwrap_or(usize::MAX);
            for row in rows {
                before = Some(row.id);
                looked_at += 1;
                // Rows are older and older: no later one is newer.
                if since.is_some_and(|since| row.at < since) {
                    return Ok((found, None));
                }
                if !fits(&row) {
                    continue;
                }
                if found.len() == limit {
                    return Ok((found, rest));
                }
                rest = Some(row.id);
                found.push(row);
            }
            if is_last {
                return Ok((found, None));
            }
            if looked_at >= MOST_LOOKED_AT {
                return Ok((found, before));
            }
        }
    });
    let (rows, next) = found.await.map_err(refused)?;
    let items = rows.into_iter().map(Audited::from).collect();
    Ok(Reply::of(Page { items, next: next.map(|next| next.to_string()) }))
}

/// Follows the chain of the whole audit.
pub async fn check(call: Call<NoBody>) -> Result<Reply<ChainCheck>, Problem> {
    let chain = call.api.store.read(audit::check).await.map_err(refused)?;
    Ok(Reply::of(match chain {
        Chain::Whole { rows } => ChainCheck { whole: true, rows, broken_at: None },
        Chain::Broken { at } => ChainCheck { whole: false, rows: at.saturating_sub(1), broken_at: Some(at) },
    }))
}
