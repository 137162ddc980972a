//! Management keys: finding them, making them, revoking them. A key is in one answer, when it is made, and
//! nowhere else, and never makes one that may do more than itself.

use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::{Operator, SCOPES, Scope, Who, member, operator};
use super::problem::{FieldError, Kind, Problem};
use super::refusal::{refused, refused_as};
use super::route::{Call, NoBody, ROOT, Reply};
use super::shown::{Key, NewKey, Page, Time};
use crate::ledger::store::accounts;
use crate::ledger::store::keys::{self, KeyDraft};
use crate::ledger::store::records::{KeyInfo, Role};
use crate::ledger::store::{Outcome, StoreError};

/// A key that is to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// How people call it.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub name: String,
    /// What its holder is: admin, support or auditor for an operator; owner, member or viewer in an account.
    pub role: Role,
    /// What it may be used for.
    #[schemars(length(min = 1, max = SCOPES.len()))]
    pub scopes: Vec<Scope>,
    /// When it ends. Default: it does not.
    #[serde(default)]
    pub ends_at: Option<Time>,
}

/// The keys of operators.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Key>>, Problem> {
    page(&call, None).await
}

/// The keys of an account.
pub async fn list_of_account(call: Call<NoBody>) -> Result<Reply<Page<Key>>, Problem> {
    let account = call.value(0).to_owned();
    page(&call, Some(account)).await
}

async fn page(call: &Call<NoBody>, account: Option<String>) -> Result<Reply<Page<Key>>, Problem> {
    let found = call.api.store.read(move |connection| {
        if let Some(account) = &account {
            accounts::get(connection, account)?;
        }
        keys::list(connection, account.as_deref())
    });
    let (after, limit) = (call.query.after(), call.query.limit());
    let found = found.await.map_err(refused)?.into_iter();
    let found = found.filter(|key| after.is_none_or(|after| *key.id > *after)).map(Key::from).collect();
    Ok(Reply::of(Page::of(found, limit, |key| key.id.clone())))
}

/// One key of operators.
pub async fn get(call: Call<NoBody>) -> Result<Reply<Key>, Problem> {
    let id = call.value(0).to_owned();
    one(&call, None, id).await
}

/// One key of an account.
pub async fn get_of_account(call: Call<NoBody>) -> Result<Reply<Key>, Problem> {
    let (account, id) = (call.value(0).to_owned(), call.value(1).to_owned());
    one(&call, Some(account), id).await
}

async fn one(call: &Call<NoBody>, account: Option<String>, id: String) -> Result<Reply<Key>, Problem> {
    let found = call.api.store.read(move |connection| keys::get(connection, &id)).await.map_err(refused)?;
    let found = of(found, account.as_deref()).map_err(refused)?;
    Ok(shown(found.into()))
}

/// A key of an account, or of operators; all others are not there.
fn of(key: KeyInfo, account: Option<&str>) -> Result<KeyInfo, StoreError> {
    if key.account_id.as_deref() == account { Ok(key) } else { Err(StoreError::NotFound { what: "key" }) }
}

/// Makes a key of operators.
pub async fn create(call: Call<KeyBody>) -> Result<Reply<NewKey>, Problem> {
    make(&call, None).await
}

/// Makes a key of an account.
pub async fn create_of_account(call: Call<KeyBody>) -> Result<Reply<NewKey>, Problem> {
    let account = call.value(0).to_owned();
    make(&call, Some(account)).await
}

async fn make(call: &Call<KeyBody>, account_id: Option<String>) -> Result<Reply<NewKey>, Problem> {
    let KeyBody { name, role, scopes, ends_at } = call.body.clone();
    let mut faults = Vec::new();
    if role.is_of_account() != account_id.is_some() {
        let fix = match account_id {
            Some(_) => "write owner, member or viewer",
            None => "write admin, support or auditor, or make the key below its account",
        };
        faults.push(FieldError::new("/role", "is a role of the other kind", fix));
    }
    if ends_at.is_some_and(|end| end.0 <= call.at_ms) {
        faults.push(FieldError::new("/ends_at", "is over already", "write a later time"));
    }
    if !faults.is_empty() {
        return Err(Problem::body(faults));
    }
    // The lowest rule that lets the new role in: whoever makes it has to be let in as well.
    let least = match (operator(role), member(role)) {
        (Some(operator), _) => Who::operators(operator),
        (None, Some(member)) => Who::both(Operator::Admin, member),
        (None, None) => Who::operators(Operator::Admin),
    };
    if !least.allows(call.caller.role) {
        return Err(Problem::new(Kind::RoleTooLow, "A key cannot make one with a higher role than its own."));
    }
    if let Some(more) = scopes.iter().find(|scope| !call.caller.scopes.contains(scope)) {
        let detail = format!("A key cannot make one with a scope that it lacks, as this one does {}.", more.word());
        return Err(Problem::new(Kind::ScopeMissing, detail));
    }
    let scopes = scopes.into_iter().map(|scope| scope.word().to_owned()).collect();
    let draft = KeyDraft { name, account_id, role, scopes, ends_at: ends_at.map(|end| end.0) };
    let outcome = call.write(move |writing| keys::create(writing, &draft)).await.map_err(refused)?;
    let (value, replayed) = (NewKey::from(outcome.value), outcome.replayed);
    let (id, version) = (&value.key.id, value.key.version);
    let location = match &value.key.account {
        Some(account) => format!("{ROOT}/accounts/{account}/keys/{id}"),
        None => format!("{ROOT}/keys/{id}"),
    };
    Ok(Reply::versioned(value, version).at(location).again(replayed))
}

/// Revokes a key of operators.
pub async fn revoke(call: Call<NoBody>) -> Result<Reply<Key>, Problem> {
    let id = call.value(0).to_owned();
    end(&call, None, id).await
}

/// Revokes a key of an account.
pub async fn revoke_of_account(call: Call<NoBody>) -> Result<Reply<Key>, Problem> {
    let (account, id) = (call.value(0).to_owned(), call.value(1).to_owned());
    end(&call, Some(account), id).await
}

async fn end(call: &Call<NoBody>, account: Option<String>, id: String) -> Result<Reply<Key>, Problem> {
    let version = call.version();
    let outcome = call.write(move |writing| {
        of(keys::get(writing.database(), &id)?, account.as_deref())?;
        keys::revoke(writing, &id, version)
    });
    let Outcome { value, replayed, .. } = outcome.await.map_err(refused_as::<KeyInfo, Key>)?;
    Ok(shown(value.into()).again(replayed))
}

fn shown(key: Key) -> Reply<Key> {
    let version = key.version;
    Reply::versioned(key, version)
}
