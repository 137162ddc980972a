//! Finding accounts by what an operator has at hand. What is looked for is in the body, since it may be a token, which
//! belongs into no path, no log and no history of a browser.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};
use super::refusal::refused;
use super::route::{Call, Reply};
use crate::ledger::store::find::{self, Found};

/// What is looked for.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Search")]
pub struct Wanted {
    /// A part of a name, a domain, an address, the first and last characters of a token, or a token.
    #[schemars(length(min = 2, max = 500))]
    pub text: String,
}

/// An account that was found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FoundAccount {
    /// The account's id.
    pub account: String,
    /// Its name.
    pub name: String,
    /// What it is called in lists.
    pub display: String,
    /// How it was found: name, token, hint, domain or address.
    pub by: String,
    /// The id of the token that it was found by.
    pub token: Option<String>,
    /// The name of that token.
    pub token_name: Option<String>,
}

/// What was found, the surest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FoundAccounts {
    /// At most 50.
    pub items: Vec<FoundAccount>,
}

impl From<Found> for FoundAccount {
    fn from(found: Found) -> FoundAccount {
        let (token, token_name) = found.token.unzip();
        let (account, name, display) = (found.account_id, found.name, found.display);
        FoundAccount { account, name, display, by: found.by.word().to_owned(), token, token_name }
    }
}

/// Accounts that have to do with a text.
pub async fn run(call: Call<Wanted>) -> Result<Reply<FoundAccounts>, Problem> {
    let text = call.body.text.trim().to_owned();
    if text.chars().count() < 2 {
        return Err(Problem::body(vec![FieldError::new("/text", "is too short", "write two characters or more")]));
    }
    let found = call.api.store.read(move |connection| find::find(connection, &text)).await.map_err(refused)?;
    Ok(Reply::of(FoundAccounts { items: found.into_iter().map(FoundAccount::from).collect() }))
}
