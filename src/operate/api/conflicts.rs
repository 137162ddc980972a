//! What of the store is not in force: accounts and tokens that files have as well, and whatever does not fit the
//! configuration any more.

use std::sync::Arc;

use super::access::Api;
use super::in_force::InForce;
use super::problem::Problem;
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use crate::ledger::store::accounts;
use crate::operate::store_feed::{self, ConflictsShown};

/// What of the store is not in force, and why.
pub async fn list(call: Call<NoBody>) -> Result<Reply<ConflictsShown>, Problem> {
    Ok(Reply::of(of_store(&call.api).await?))
}

async fn of_store(api: &Api) -> Result<ConflictsShown, Problem> {
    match &api.in_force {
        InForce::Gateway(_, feed) => Ok(feed.conflicts()),
        InForce::Configuration(policy) => {
            let policy = Arc::clone(policy);
            api.store.read(move |connection| store_feed::conflicts_with(connection, &policy)).await.map_err(refused)
        }
    }
}

/// What is wrong with one account by its id, as [`list`] has it.
pub async fn of_account(api: &Api, account: &str) -> Result<Vec<String>, Problem> {
    let (id, policy) = (account.to_owned(), api.in_force.policy());
    let feed = match &api.in_force {
        InForce::Gateway(_, feed) => Some(feed.clone()),
        InForce::Configuration(_) => None,
    };
    let found = api.store.read(move |connection| {
        let name = accounts::get(connection, &id)?.name;
        match feed {
            Some(feed) => Ok(feed.conflicts_of(&name)),
            None => store_feed::flaws(connection, &id, &policy),
        }
    });
    found.await.map_err(refused)
}
