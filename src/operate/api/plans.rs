//! Plans, which accounts name.

use super::problem::Problem;
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::{Page, Plan};
use crate::ledger::store::plans;

/// Plans in the order of their names.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Plan>>, Problem> {
    let found = call.api.store.read(plans::list).await.map_err(refused)?.into_iter();
    let (after, limit) = (call.query.after(), call.query.limit());
    let found = found.filter(|plan| after.is_none_or(|after| *plan.name > *after)).map(Plan::from).collect();
    Ok(Reply::of(Page::of(found, limit, |plan| plan.name.clone())))
}

/// One plan.
pub async fn get(call: Call<NoBody>) -> Result<Reply<Plan>, Problem> {
    let name = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| plans::get(connection, &name)).await.map_err(refused)?;
    let (plan, version) = (Plan::from(found.clone()), found.row_version);
    Ok(Reply::versioned(plan, version))
}
