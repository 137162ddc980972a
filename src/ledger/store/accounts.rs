//! Operations on accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::changes::ChangeKind;
use super::error::StoreError;
use super::fields;
use super::records::{AccountProduct, AccountState, AccountTerms, ProductFunds, StoredAccount, Terms};
use super::sql::{self, Connection, OptionalExtension, Row, ToSql, params, params_from_iter};
use super::terms;
use super::writing::{Writing, expect};
use crate::policy::credits::balance::MAX_CREDITS;

/// The most rows of one page of a list.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// The values of a new account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountDraft {
    /// Its name in logs and in the ledger; it never changes.
    pub name: String,
    /// Its display name in lists.
    #[serde(default)]
    pub display: String,
    /// What it may use.
    pub terms: AccountTerms,
    /// Its credits for each product with prices.
    #[serde(default)]
    pub products: Vec<AccountProduct>,
}

/// Changes of an account; what is missing is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountPatch {
    /// Its display name in lists.
    pub display: Option<String>,
    /// Active or suspended; closing is a separate operation.
    pub state: Option<AccountState>,
    /// What it may use.
    pub terms: Option<AccountTerms>,
    /// Its credits for each product with prices: all of them.
    pub products: Option<Vec<AccountProduct>>,
}

/// Which accounts of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountPage {
    /// Only those whose name comes after this one: the last of the page before.
    pub after: Option<String>,
    /// The number of rows, at most [`MAX_PAGE_ROWS`].
    pub rows: u32,
    /// Only those whose name begins with this.
    pub prefix: Option<String>,
    pub state: Option<AccountState>,
    pub plan: Option<String>,
}

const NAME_TAKEN: StoreError =
    StoreError::Taken { field: "name", why: "is the name of an existing account; choose another" };

/// Makes an account.
///
/// # Errors
/// An invalid value, or a name that is taken.
pub fn create(writing: &mut Writing<'_>, draft: &AccountDraft) -> Result<StoredAccount, StoreError> {
    let account = insert(writing, draft)?;
    writing.note("account.create", Some(&account.id), &*account.name, None, Some(&account))?;
    Ok(account)
}

/// The same, which whoever calls notes for the audit.
pub(super) fn insert(writing: &mut Writing<'_>, draft: &AccountDraft) -> Result<StoredAccount, StoreError> {
    let products = check_values(&draft.name, &draft.display, &draft.terms, &draft.products)?;
    if id_of(writing.database(), &draft.name)?.is_some() {
        return Err(NAME_TAKEN);
    }
    let account = StoredAccount {
        id: writing.new_id()?,
        name: draft.name.clone(),
        display: draft.display.clone(),
        state: AccountState::Active,
        terms: in_order(draft.terms.clone()),
        products,
        row_version: 1,
        created_at: writing.act().at_ms,
    };
    write_new(writing, &account)?;
    Ok(account)
}

/// Writes an account that is not there.
pub(super) fn write_new(writing: &mut Writing<'_>, account: &StoredAccount) -> Result<(), StoreError> {
    let (plan, own) = columns(&account.terms);
    let insert = "INSERT INTO account (id, name, display, state, plan, concurrency, weight, row_version, changed, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)";
    writing.database().prepare_cached(insert)?.execute(params![
        account.id,
        account.name,
        account.display,
        account.state.word(),
        plan,
        own.and_then(|own| own.concurrency),
        own.and_then(|own| own.weight),
        account.row_version,
        account.created_at,
    ])?;
    let own = own.cloned().unwrap_or_default();
    terms::set(writing.database(), (&account.id, ""), true, &own.rates, own.quota)?;
    write_products(writing.database(), &account.id, true, &account.products)?;
    writing.mark(ChangeKind::Account, &account.id);
    Ok(())
}

/// Changes an account that is at an expected version, or at any.
///
/// # Errors
/// An invalid value, an account that does not exist, has changed, or is closed.
pub fn update(
    writing: &mut Writing<'_>,
    id: &str,
    expected: Option<i64>,
    patch: &AccountPatch,
) -> Result<StoredAccount, StoreError> {
    let before = get(writing.database(), id)?;
    expect("account", expected, before.row_version, &before)?;
    if before.state == AccountState::Closed {
        return Err(StoreError::State { why: "the account is closed permanently; make a new one" });
    }
    let mut after = before.clone();
    if let Some(display) = &patch.display {
        fields::text("display", display)?;
        after.display.clone_from(display);
    }
    match patch.state {
        Some(AccountState::Closed) => {
            return Err(StoreError::invalid("state", "cannot be set to closed; close the account instead"));
        }
        Some(state) => after.state = state,
        None => {}
    }
    if let Some(terms) = &patch.terms {
        check_terms(terms)?;
        after.terms = in_order(terms.clone());
    }
    if let Some(products) = &patch.products {
        after.products = checked_products(products)?;
    }
    if after == before {
        return Ok(before);
    }
    write(writing, "account.update", &before, after)
}

/// Closes an account permanently: its tokens are revoked, and its name cannot be used again.
///
/// # Errors
/// An account that does not exist, has changed, or is closed.
pub fn close(writing: &mut Writing<'_>, id: &str, expected: Option<i64>) -> Result<StoredAccount, StoreError> {
    let before = get(writing.database(), id)?;
    expect("account", expected, before.row_version, &before)?;
    if before.state == AccountState::Closed {
        return Ok(before);
    }
    let revoke = "UPDATE token SET state = 'revoked', row_version = row_version + 1 \
                  WHERE account_id = ?1 AND state <> 'revoked'";
    writing.database().prepare_cached(revoke)?.execute([id])?;
    let keys = "UPDATE management_key SET state = 'revoked', row_version = row_version + 1 \
                WHERE account_id = ?1 AND state <> 'revoked' RETURNING id";
    let revoked: Vec<String> = {
        let mut statement = writing.database().prepare_cached(keys)?;
        let revoked = statement.query_map([id], |row| row.get(0))?;
        revoked.collect::<Result<_, _>>()?
    };
    for key in revoked {
        writing.mark(ChangeKind::Key, &key);
    }
    // Who its people were is kept no longer than it is needed, and nobody comes in by an invitation.
    for table in ["alert_balance", "alert_setting", "membership", "ticket"] {
        writing.database().prepare_cached(&format!("DELETE FROM {table} WHERE account_id = ?1"))?.execute([id])?;
    }
    let after = StoredAccount { state: AccountState::Closed, ..before.clone() };
    write(writing, "account.close", &before, after)
}

fn write(
    writing: &mut Writing<'_>,
    action: &'static str,
    before: &StoredAccount,
    mut after: StoredAccount,
) -> Result<StoredAccount, StoreError> {
    after.row_version = before.row_version.saturating_add(1);
    let (plan, own) = columns(&after.terms);
    let update = "UPDATE account SET display = ?2, state = ?3, plan = ?4, concurrency = ?5, weight = ?6, row_version = ?7 \
         WHERE id = ?1";
    writing.database().prepare_cached(update)?.execute(params![
        after.id,
        after.display,
        after.state.word(),
        plan,
        own.and_then(|own| own.concurrency),
        own.and_then(|own| own.weight),
        after.row_version,
    ])?;
    if after.terms != before.terms {
        let own = own.cloned().unwrap_or_default();
        terms::set(writing.database(), (&after.id, ""), false, &own.rates, own.quota)?;
    }
    if after.products != before.products {
        write_products(writing.database(), &after.id, false, &after.products)?;
    }
    writing.mark(ChangeKind::Account, &after.id);
    writing.note(action, Some(&after.id), &*after.name, Some(before), Some(&after))?;
    Ok(after)
}

/// An account by its id.
///
/// # Errors
/// That it does not exist, or errors of the database.
pub fn get(connection: &Connection, id: &str) -> Result<StoredAccount, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM account WHERE id = ?1");
    let found = connection.prepare_cached(&query)?.query_row([id], row_of).optional()?;
    with_rest(connection, found.ok_or(StoreError::NotFound { what: "account" })??)
}

/// An account by its name.
///
/// # Errors
/// That it does not exist, or errors of the database.
pub fn get_named(connection: &Connection, name: &str) -> Result<StoredAccount, StoreError> {
    let id = id_of(connection, name)?.ok_or(StoreError::NotFound { what: "account" })?;
    get(connection, &id)
}

/// The id of the account with a name.
///
/// # Errors
/// Errors of the database.
pub fn id_of(connection: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM account WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// The number of accounts that are not closed.
///
/// # Errors
/// Errors of the database.
pub fn count(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT COUNT(*) FROM account WHERE state <> 'closed'")?;
    Ok(statement.query_row((), |row| row.get(0))?)
}

/// The number of accounts, closed ones too.
///
/// # Errors
/// Errors of the database.
pub fn count_all(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT COUNT(*) FROM account")?.query_row((), |row| row.get(0))?)
}

/// Accounts in the order of their names. Each damaged one is a separate error.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection, page: &AccountPage) -> Result<Vec<StoredAccount>, StoreError> {
    let mut query = format!("SELECT {COLUMNS} FROM account WHERE name > ?1");
    let after = page.after.clone().unwrap_or_default();
    let rows = page.rows.clamp(1, MAX_PAGE_ROWS);
    // The highest character, so that everything that begins with the prefix sorts before it.
    let end = page.prefix.as_ref().map(|prefix| format!("{prefix}\u{10ffff}"));
    let state = page.state.map(AccountState::word);
    let mut values: Vec<&dyn ToSql> = vec![&after];
    for (condition, value) in [
        ("name >=", page.prefix.as_ref().map(|prefix| prefix as &dyn ToSql)),
        ("name <", end.as_ref().map(|end| end as &dyn ToSql)),
        ("state =", state.as_ref().map(|state| state as &dyn ToSql)),
        ("plan =", page.plan.as_ref().map(|plan| plan as &dyn ToSql)),
    ] {
        if let Some(value) = value {
            values.push(value);
            query += &format!(" AND {condition} ?{}", values.len());
        }
    }
    query += &format!(" ORDER BY name LIMIT {rows}");
    let mut statement = connection.prepare_cached(&query)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut accounts = Vec::new();
    while let Some(row) = found.next()? {
        accounts.push(with_rest(connection, row_of(row)??)?);
    }
    Ok(accounts)
}

/// The columns of [`row_of`].
pub(super) const COLUMNS: &str = "id, name, display, state, plan, concurrency, weight, row_version, created_at";

/// An account without its products and limits.
pub(super) fn row_of(row: Row<'_>) -> sql::Result<Result<StoredAccount, StoreError>> {
    let id: String = row.get(0)?;
    let Some(state) = AccountState::from_word(row.text(3)?) else {
        return Ok(Err(StoreError::corrupted("account", &id, "its state is unknown")));
    };
    let terms = match row.get::<Option<String>>(4)? {
        Some(plan) => AccountTerms::Plan(plan),
        None => AccountTerms::Own(Terms { concurrency: row.get(5)?, weight: row.get(6)?, ..Terms::default() }),
    };
    Ok(Ok(StoredAccount {
        id,
        name: row.get(1)?,
        display: row.get(2)?,
        state,
        terms,
        products: Vec::new(),
        row_version: row.get(7)?,
        created_at: row.get(8)?,
    }))
}

fn with_rest(connection: &Connection, mut account: StoredAccount) -> Result<StoredAccount, StoreError> {
    if let AccountTerms::Own(own) = &mut account.terms {
        (own.rates, own.quota) = terms::of(connection, &account.id, "")?;
    }
    let query = "SELECT product, first_grant FROM account_product WHERE account_id = ?1 ORDER BY product";
    let mut statement = connection.prepare_cached(query)?;
    let products = statement.query_map([&account.id], |row| product(row, 0))?;
    account.products = products.collect::<Result<_, _>>()?;
    Ok(account)
}

/// A product, whose columns from `column` on are its name and its first grant.
pub(super) fn product(row: Row<'_>, column: usize) -> sql::Result<AccountProduct> {
    let funds = match row.get::<Option<i64>>(column + 1)? {
        Some(granted) => ProductFunds::Credits { first_grant: u64::try_from(granted).unwrap_or_default() },
        None => ProductFunds::Unmetered,
    };
    Ok(AccountProduct { product: row.get(column)?, funds })
}

fn columns(terms: &AccountTerms) -> (Option<&str>, Option<&Terms>) {
    match terms {
        AccountTerms::Plan(plan) => (Some(plan), None),
        AccountTerms::Own(own) => (None, Some(own)),
    }
}

/// Whether an account that comes from elsewhere has values that fit.
pub(super) fn check(account: &StoredAccount) -> Result<(), StoreError> {
    fields::id("id", &account.id)?;
    check_values(&account.name, &account.display, &account.terms, &account.products).map(drop)
}

fn check_values(
    name: &str,
    display: &str,
    terms: &AccountTerms,
    products: &[AccountProduct],
) -> Result<Vec<AccountProduct>, StoreError> {
    fields::name("name", name)?;
    fields::text("display", display)?;
    check_terms(terms)?;
    checked_products(products)
}

/// Terms as they are read: rates by their periods.
fn in_order(mut terms: AccountTerms) -> AccountTerms {
    if let AccountTerms::Own(own) = &mut terms {
        own.rates.sort_by_key(|rate| rate.period);
    }
    terms
}

fn check_terms(terms: &AccountTerms) -> Result<(), StoreError> {
    match terms {
        AccountTerms::Plan(plan) => fields::name("terms.plan", plan),
        AccountTerms::Own(own) => terms::check_terms("terms.own", own),
    }
}

fn checked_products(products: &[AccountProduct]) -> Result<Vec<AccountProduct>, StoreError> {
    let mut sorted = products.to_vec();
    sorted.sort_by(|one, other| one.product.cmp(&other.product));
    for (number, AccountProduct { product, funds }) in products.iter().enumerate() {
        let field = format!("products[{number}]");
        fields::name(&format!("{field}.product"), product)?;
        if matches!(funds, ProductFunds::Credits { first_grant } if *first_grant > MAX_CREDITS) {
            let why = format!("is too much; write at most {MAX_CREDITS} credits");
            return Err(StoreError::invalid(format!("{field}.funds.credits.first_grant"), why));
        }
        if products.iter().take(number).any(|before| before.product == *product) {
            return Err(StoreError::invalid(field, "is listed already; write each product once"));
        }
    }
    if products.len() > fields::MAX_PRODUCTS {
        return Err(StoreError::Limit { what: "products", most: fields::MAX_PRODUCTS });
    }
    Ok(sorted)
}

fn write_products(
    connection: &Connection,
    id: &str,
    is_new: bool,
    products: &[AccountProduct],
) -> Result<(), StoreError> {
    if !is_new {
        connection.prepare_cached("DELETE FROM account_product WHERE account_id = ?1")?.execute([id])?;
    }
    let insert = "INSERT INTO account_product (account_id, product, funds, first_grant) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(insert)?;
    for AccountProduct { product, funds } in products {
        let (word, first_grant) = match funds {
            ProductFunds::Credits { first_grant } => ("credits", Some(i64::try_from(*first_grant).unwrap_or(i64::MAX))),
            ProductFunds::Unmetered => ("unmetered", None),
        };
        insert.execute(params![id, product, word, first_grant])?;
    }
    Ok(())
}
