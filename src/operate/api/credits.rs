//! Credits of an account: balances, the rows of the ledger, grants and adjustments. They are the ledger's,
//! which knows accounts by their names, and whose rows say who has done it and why.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Api;
use super::problem::{FieldError, Kind, Problem};
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Page;
use crate::ledger::entry::{Entry, FIRST_GRANT, Statement};
use crate::ledger::store::accounts;
use crate::ledger::{self, Corrected, Correction, Ledger, Refusal};
use crate::policy::credits::CreditAccount;
use crate::policy::credits::balance::MAX_CREDITS;

/// A grant or an adjustment.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CreditsChange")]
pub struct Change {
    /// Whole credits: above 0 for a grant, not 0 for an adjustment.
    #[schemars(range(min = -MAX_CREDITS.cast_signed(), max = MAX_CREDITS.cast_signed()))]
    pub amount: i64,
    /// Why, for whoever reads the ledger.
    #[schemars(length(min = 1, max = 400), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]+$"))]
    pub why: String,
}

/// The balances of an account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CreditBalances")]
pub struct Balances {
    /// One for each product that the account has credits for.
    pub items: Vec<Statement>,
}

/// What came of a grant or an adjustment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The row that was written.
    pub entry: Entry,
    /// What the account has since.
    pub balance: Statement,
}

/// The balances of an account.
pub async fn balances(call: Call<NoBody>) -> Result<Reply<Balances>, Problem> {
    let (ledger, name) = books(&call.api, call.value(0)).await?;
    let register = ledger.register_of_licences();
    let of_account: Vec<Arc<CreditAccount>> =
        register.all().filter(|credit_account| *credit_account.account == *name).map(Arc::clone).collect();
    ledger.known_of(of_account.clone()).await.map_err(not_done)?;
    Ok(Reply::of(Balances { items: of_account.iter().map(Statement::of).collect() }))
}

/// The rows of one balance, the oldest first.
pub async fn entries(call: Call<NoBody>) -> Result<Reply<Page<Entry>>, Problem> {
    let (ledger, credit_account) = credit_account(&call).await?;
    let after = match call.query.after().map(str::parse::<i64>) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => {
            let fault = FieldError::new("?after", "is not a row of the ledger", "write the `next` of the page before");
            return Err(Problem::query(vec![fault]));
        }
    };
    let seconds = |name: &str| call.query.time(name).map(|time| time.0);
    let limit = call.query.limit();
    let page = ledger::Page {
        credit_account: Some(credit_account),
        account: None,
        since: seconds("since"),
        until: seconds("until"),
        after,
        rows: limit.saturating_add(1),
    };
    let entries = ledger.history(page).wait().await.map_err(not_done)?;
    Ok(Reply::of(Page::of(entries, limit, |entry| entry.id.to_string())))
}

/// Gives an account credits.
pub async fn grant(call: Call<Change>) -> Result<Reply<Changed>, Problem> {
    correct(&call, ledger::entry::Kind::Grant).await
}

/// Corrects what an account was given, up or down.
pub async fn adjust(call: Call<Change>) -> Result<Reply<Changed>, Problem> {
    correct(&call, ledger::entry::Kind::Adjustment).await
}

async fn correct(call: &Call<Change>, kind: ledger::entry::Kind) -> Result<Reply<Changed>, Problem> {
    let (ledger, credit_account) = credit_account(call).await?;
    let Change { amount, why } = call.body.clone();
    let fits = match kind {
        ledger::entry::Kind::Grant => amount > 0,
        ledger::entry::Kind::Adjustment | ledger::entry::Kind::Charge | ledger::entry::Kind::Refund => amount != 0,
    };
    if !fits {
        let fault = FieldError::new("/amount", "changes nothing, or takes away", "write a number above 0 for a grant");
        return Err(Problem::body(vec![fault]));
    }
    let key = call.once.as_ref().map(|once| once.key.clone()).unwrap_or_default();
    if key == FIRST_GRANT {
        let fault = FieldError::new("Idempotency-Key", "is the key of the configuration's own grant", "choose another");
        return Err(Problem::query(vec![fault]));
    }
    let by = call.caller.actor.clone();
    let correction = Correction { credit_account: Arc::clone(&credit_account), kind, amount, key, by, why };
    let Corrected { entry, again, .. } = ledger.correct(correction).wait().await.map_err(not_done)?;
    Ok(Reply::of(Changed { entry, balance: Statement::of(&credit_account) }).again(again))
}

/// The ledger, and the name by which it knows an account.
async fn books(api: &Api, account: &str) -> Result<(Arc<Ledger>, String), Problem> {
    let id = account.to_owned();
    let name = api.store.read(move |connection| accounts::get(connection, &id)).await.map_err(refused)?.name;
    match &api.ledger {
        Some(ledger) => Ok((Arc::clone(ledger), name)),
        None => Err(Problem::new(Kind::StoreUnavailable, "No gateway runs here; `tollgate credits` opens the ledger.")),
    }
}

async fn credit_account<B>(call: &Call<B>) -> Result<(Arc<Ledger>, Arc<CreditAccount>), Problem> {
    let (ledger, name) = books(&call.api, call.value(0)).await?;
    let found = ledger.credit_account(&name, call.value(1));
    found
        .map(|credit_account| (ledger, credit_account))
        .ok_or_else(|| Problem::new(Kind::NotFound, "The account has no credits for a product of this name."))
}

fn not_done(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Unusable(_) | Refusal::Unavailable => Problem::plain(Kind::StoreUnavailable),
        Refusal::KeyTaken => Problem::plain(Kind::KeyOfAnother),
        Refusal::TooMuch | Refusal::TooLittle => Problem::new(Kind::Conflict, format!("Nothing was done: {refusal}.")),
    }
}
