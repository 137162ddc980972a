//! Operations on plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::changes::ChangeKind;
use super::error::StoreError;
use super::fields;
use super::records::{StoredPlan, Terms};
use super::sql::{self, Connection, OptionalExtension, Row, params};
use super::terms;
use super::writing::{Writing, expect};

/// The most plans of a store.
pub const MAX_PLANS: usize = 1000;

/// The content of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanDraft {
    /// What its accounts may use.
    pub terms: Terms,
    /// The products of tokens of its accounts that name none themselves.
    #[serde(default)]
    pub products: Vec<String>,
}

/// Makes a plan.
///
/// # Errors
/// An invalid value, a name that is taken, or too many plans.
pub fn create(writing: &mut Writing<'_>, name: &str, draft: &PlanDraft) -> Result<StoredPlan, StoreError> {
    fields::name("name", name)?;
    terms::check_terms("terms", &draft.terms)?;
    let products = fields::products("products", &draft.products)?;
    match get(writing.database(), name) {
        Err(StoreError::NotFound { .. }) => {}
        Err(other) => return Err(other),
        Ok(_) => {
            let why = "is the name of an existing plan; choose another, or change that one";
            return Err(StoreError::Taken { field: "name", why });
        }
    }
    if list(writing.database())?.len() >= MAX_PLANS {
        return Err(StoreError::Limit { what: "plans", most: MAX_PLANS });
    }
    let insert = "INSERT INTO plan (name, concurrency, weight, row_version, created_at) VALUES (?1, ?2, ?3, 1, ?4)";
    let values = params![name, draft.terms.concurrency, draft.terms.weight, writing.act().at_ms];
    writing.database().prepare_cached(insert)?.execute(values)?;
    write_rest(writing, name, &draft.terms, &products)?;
    let made = get(writing.database(), name)?;
    writing.note("plan.create", None, name, None, Some(&made))?;
    Ok(made)
}

/// Replaces the content of a plan, for all accounts that name it.
///
/// # Errors
/// An invalid value, a plan that does not exist or has changed.
pub fn replace(
    writing: &mut Writing<'_>,
    name: &str,
    expected: Option<i64>,
    draft: &PlanDraft,
) -> Result<StoredPlan, StoreError> {
    let before = get(writing.database(), name)?;
    expect("plan", expected, before.row_version, &before)?;
    terms::check_terms("terms", &draft.terms)?;
    let products = fields::products("products", &draft.products)?;
    let update = "UPDATE plan SET concurrency = ?2, weight = ?3, row_version = row_version + 1 WHERE name = ?1";
    writing.database().prepare_cached(update)?.execute(params![name, draft.terms.concurrency, draft.terms.weight])?;
    write_rest(writing, name, &draft.terms, &products)?;
    let after = get(writing.database(), name)?;
    writing.note("plan.update", None, name, Some(&before), Some(&after))?;
    Ok(after)
}

/// Removes a plan that no account names.
///
/// # Errors
/// A plan that does not exist, has changed, or is in use.
pub fn remove(writing: &mut Writing<'_>, name: &str, expected: Option<i64>) -> Result<(), StoreError> {
    let before = get(writing.database(), name)?;
    expect("plan", expected, before.row_version, &before)?;
    let used = "SELECT 1 FROM account WHERE plan = ?1 AND state <> 'closed' LIMIT 1";
    if writing.database().prepare_cached(used)?.query_row([name], |_| Ok(())).optional()?.is_some() {
        return Err(StoreError::State { why: "accounts have the plan; give them another one first" });
    }
    for table in ["plan_limit WHERE plan", "plan_product WHERE plan", "plan WHERE name"] {
        writing.database().prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([name])?;
    }
    writing.mark(ChangeKind::Plan, name);
    writing.note("plan.remove", None, name, Some(&before), None)
}

fn write_rest(writing: &mut Writing<'_>, name: &str, terms: &Terms, products: &[String]) -> Result<(), StoreError> {
    terms::set_plan(writing.database(), name, terms)?;
    writing.database().prepare_cached("DELETE FROM plan_product WHERE plan = ?1")?.execute([name])?;
    for product in products {
        let insert = "INSERT INTO plan_product (plan, product) VALUES (?1, ?2)";
        writing.database().prepare_cached(insert)?.execute(params![name, product])?;
    }
    writing.mark(ChangeKind::Plan, name);
    Ok(())
}

/// A plan by its name.
///
/// # Errors
/// That it does not exist, or errors of the database.
pub fn get(connection: &Connection, name: &str) -> Result<StoredPlan, StoreError> {
    let query = "SELECT name, concurrency, weight, row_version, created_at FROM plan WHERE name = ?1";
    let found = connection.prepare_cached(query)?.query_row([name], row_of).optional()?;
    with_rest(connection, found.ok_or(StoreError::NotFound { what: "plan" })?)
}

/// All plans in the order of their names.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection) -> Result<Vec<StoredPlan>, StoreError> {
    let query = "SELECT name, concurrency, weight, row_version, created_at FROM plan ORDER BY name";
    let mut statement = connection.prepare_cached(query)?;
    let mut found = statement.query(())?;
    let mut plans = Vec::new();
    while let Some(row) = found.next()? {
        plans.push(with_rest(connection, row_of(row)?)?);
    }
    Ok(plans)
}

/// The ids of the accounts that name a plan and are not closed, in order.
///
/// # Errors
/// Errors of the database.
pub fn accounts_of(connection: &Connection, name: &str) -> Result<Vec<String>, StoreError> {
    let query = "SELECT id FROM account WHERE plan = ?1 AND state <> 'closed' ORDER BY id";
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_map([name], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn row_of(row: Row<'_>) -> sql::Result<StoredPlan> {
    Ok(StoredPlan {
        name: row.get(0)?,
        terms: Terms { concurrency: row.get(1)?, weight: row.get(2)?, ..Terms::default() },
        products: Vec::new(),
        row_version: row.get(3)?,
        created_at: row.get(4)?,
    })
}

fn with_rest(connection: &Connection, mut plan: StoredPlan) -> Result<StoredPlan, StoreError> {
    (plan.terms.rates, plan.terms.quota) = terms::of_plan(connection, &plan.name)?;
    let mut statement =
        connection.prepare_cached("SELECT product FROM plan_product WHERE plan = ?1 ORDER BY product")?;
    let products = statement.query_map([&plan.name], |row| row.get(0))?;
    plan.products = products.collect::<Result<_, _>>()?;
    Ok(plan)
}
