//! Users of the portal, for operators: finding them, changing what they are called and may do, and letting them sign in
//! or not. New ones come by invitation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::people::{NewPasswordLink, RESET_MS, User};
use super::problem::Problem;
use super::refusal::{refused, refused_as};
use super::route::{Call, NoBody, ROOT, Reply};
use super::shown::Page;
use super::tokens::given;
use crate::ledger::store::Outcome;
use crate::ledger::store::people::{UserInfo, UserState};
use crate::ledger::store::records::Role;
use crate::ledger::store::tickets;
use crate::ledger::store::users::{self, UserPage, UserPatch};

/// What is changed of a user; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserChange {
    /// How the user is called.
    #[schemars(length(max = 500))]
    pub display: Option<String>,
    /// What they may do as an operator: admin, support or auditor; null: they are none any more.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<Role>")]
    pub role: Option<Option<Role>>,
}

/// Users in the order in which they were made.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<User>>, Problem> {
    let limit = call.query.limit();
    let page = UserPage {
        after: call.query.after().map(str::to_owned),
        rows: limit.saturating_add(1),
        operators: call.query.text("kind") == Some("operators"),
    };
    let found = call.api.store.read(move |connection| users::list(connection, &page)).await.map_err(refused)?;
    let found = found.into_iter().map(User::from).collect();
    Ok(Reply::of(Page::of(found, limit, |user: &User| user.id.clone())))
}

/// One user.
pub async fn get(call: Call<NoBody>) -> Result<Reply<User>, Problem> {
    let id = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| users::get(connection, &id)).await.map_err(refused)?;
    let version = found.row_version;
    Ok(Reply::versioned(found.into(), version))
}

/// Changes what is said of a user.
pub async fn update(call: Call<UserChange>) -> Result<Reply<User>, Problem> {
    let UserChange { display, role } = call.body.clone();
    change(&call, UserPatch { display, operator: role, state: None }).await
}

/// Lets a user sign in again.
pub async fn enable(call: Call<NoBody>) -> Result<Reply<User>, Problem> {
    change(&call, UserPatch { state: Some(UserState::Active), ..UserPatch::default() }).await
}

/// Signs a user out everywhere, and lets them sign in no more.
pub async fn disable(call: Call<NoBody>) -> Result<Reply<User>, Problem> {
    change(&call, UserPatch { state: Some(UserState::Disabled), ..UserPatch::default() }).await
}

/// Takes away what a user signs in with here, and makes a link to choose a new password.
pub async fn reset(call: Call<NoBody>) -> Result<Reply<NewPasswordLink>, Problem> {
    let (id, ends_at) = (call.value(0).to_owned(), call.at_ms.saturating_add(RESET_MS));
    let location = format!("{ROOT}/users/{id}");
    let outcome = call.write(move |writing| tickets::reset(writing, &id, ends_at)).await.map_err(refused)?;
    Ok(Reply::of(NewPasswordLink::from(outcome.value)).at(location).again(outcome.replayed))
}

async fn change<B>(call: &Call<B>, patch: UserPatch) -> Result<Reply<User>, Problem> {
    let (id, version) = (call.value(0).to_owned(), call.version());
    let outcome = call.write(move |writing| users::update(writing, &id, version, &patch)).await;
    let Outcome { value, replayed, .. } = outcome.map_err(refused_as::<UserInfo, User>)?;
    let version = value.row_version;
    Ok(Reply::versioned(value.into(), version).again(replayed))
}
