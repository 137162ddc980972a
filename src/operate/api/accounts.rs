//! Accounts: finding them, making them, changing, suspending and closing them.

use super::problem::Problem;
use super::query::Query;
use super::refusal::{refused, refused_as};
use super::route::{Call, NoBody, ROOT, Reply};
use super::shown::{Account, Page};
use crate::ledger::store::accounts::{self, AccountDraft, AccountPage, AccountPatch};
use crate::ledger::store::records::{AccountState, StoredAccount};
use crate::ledger::store::{Outcome, StoreError, Writing};

type Replied = Result<Reply<Account>, Problem>;

/// Which accounts a query asks for.
fn page_of(query: &Query) -> AccountPage {
    AccountPage {
        after: None,
        rows: query.limit().saturating_add(1),
        prefix: query.text("name").map(str::to_owned),
        state: query.text("state").and_then(AccountState::from_word),
        plan: query.text("plan").map(str::to_owned),
    }
}

/// Accounts in the order of their names; those whose key asks, if it is an account's.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Account>>, Problem> {
    let mut page = page_of(&call.query);
    let (after, own) = (call.query.after().map(str::to_owned), call.caller.account.clone());
    let found = call.api.store.read(move |connection| {
        if let Some(own) = own {
            let fits = |account: &StoredAccount| {
                let after = after.as_ref().is_none_or(|after| *after < account.id);
                let named = page.prefix.as_ref().is_none_or(|prefix| account.name.starts_with(&**prefix));
                let state = page.state.is_none_or(|state| account.state == state);
                after && named && state && page.plan.is_none()
            };
            return Ok(accounts::get(connection, &own).into_iter().filter(fits).collect());
        }
        // The cursor is the id of the last account, whose name never changes.
        page.after = after.map(|id| accounts::get(connection, &id).map(|account| account.name)).transpose()?;
        accounts::list(connection, &page)
    });
    let found = found.await.map_err(refused)?.into_iter().map(Account::from).collect();
    Ok(Reply::of(Page::of(found, call.query.limit(), |account| account.id.clone())))
}

/// One account.
pub async fn get(call: Call<NoBody>) -> Replied {
    let id = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| accounts::get(connection, &id)).await.map_err(refused)?;
    Ok(shown(found.into()))
}

/// Makes an account.
pub async fn create(call: Call<AccountDraft>) -> Replied {
    let draft = call.body.clone();
    let outcome = call.write(move |writing| accounts::create(writing, &draft)).await.map_err(refused)?;
    let (value, replayed) = (Account::from(outcome.value), outcome.replayed);
    let location = format!("{ROOT}/accounts/{}", value.id);
    Ok(shown(value).at(location).again(replayed))
}

/// Changes what is said of an account.
pub async fn update(call: Call<AccountPatch>) -> Replied {
    let patch = call.body.clone();
    change(&call, move |writing, id, version| accounts::update(writing, id, version, &patch)).await
}

/// Lets an account use nothing until it is resumed.
pub async fn suspend(call: Call<NoBody>) -> Replied {
    set_state(&call, AccountState::Suspended).await
}

/// Lets an account that was suspended use again what it has.
pub async fn resume(call: Call<NoBody>) -> Replied {
    set_state(&call, AccountState::Active).await
}

/// Closes an account for good.
pub async fn close(call: Call<NoBody>) -> Replied {
    change(&call, accounts::close).await
}

async fn set_state(call: &Call<NoBody>, state: AccountState) -> Replied {
    let patch = AccountPatch { state: Some(state), ..AccountPatch::default() };
    change(call, move |writing, id, version| accounts::update(writing, id, version, &patch)).await
}

async fn change<B>(
    call: &Call<B>,
    mut operation: impl FnMut(&mut Writing<'_>, &str, Option<i64>) -> Result<StoredAccount, StoreError> + Send + 'static,
) -> Replied {
    let (id, version) = (call.value(0).to_owned(), call.version());
    let outcome = call.write(move |writing| operation(writing, &id, version)).await;
    let Outcome { value, replayed, .. } = outcome.map_err(refused_as::<StoredAccount, Account>)?;
    Ok(shown(value.into()).again(replayed))
}

fn shown(account: Account) -> Reply<Account> {
    let version = account.version;
    Reply::versioned(account, version)
}
