//! Complete accounts, one or all, for the policy and for exports.
//!
//! Every table is read once, in the order of accounts, in parallel: a million accounts do not need a million queries.

use super::accounts;
use super::error::StoreError;
use super::records::{AccountTerms, ListEntry, ListKind, QuotaLimit, StoredToken, Terms, WholeAccount};
use super::sql::{self, Connection, Engine, Row, Rows, Statement, params};
use super::terms;
use super::tokens;
use crate::policy::account::Digest;

/// Before and after every id.
const FIRST: &str = "";
const LAST: &str = "~";

/// The rows of one table, with a look at the next one.
struct Side<'s>(Rows<'s>);

impl<'s> Side<'s> {
    fn of(statement: &'s mut Statement<'_>, range: [&str; 2]) -> Result<Side<'s>, StoreError> {
        let mut rows = statement.query(range)?;
        rows.advance()?;
        Ok(Side(rows))
    }

    /// Takes the rows that belong to a key: those before it belong to nothing.
    fn take<const N: usize>(
        &mut self,
        key: [&str; N],
        mut each: impl FnMut(Row<'_>) -> sql::Result<()>,
    ) -> Result<(), StoreError> {
        while let Some(row) = self.0.get() {
            let mut order = std::cmp::Ordering::Equal;
            for (column, wanted) in key.iter().enumerate() {
                let text = row.text(column)?;
                order = order.then(text.cmp(wanted));
            }
            match order {
                std::cmp::Ordering::Greater => return Ok(()),
                std::cmp::Ordering::Equal => each(row)?,
                std::cmp::Ordering::Less => {}
            }
            self.0.advance()?;
        }
        Ok(())
    }
}

/// One account with everything that belongs to it.
///
/// # Errors
/// That it does not exist, that one of its rows is damaged, or errors of the database.
pub fn one(connection: &Connection, id: &str) -> Result<WholeAccount, StoreError> {
    let mut found = Err(StoreError::NotFound { what: "account" });
    read(connection, [id, id], |account| found = account)?;
    found
}

/// All accounts in the order in which they were made, closed ones too. A damaged one is an error, and the others are
/// still read.
///
/// # Errors
/// Errors of the database.
pub fn each(connection: &Connection, mut each: impl FnMut(Result<WholeAccount, StoreError>)) -> Result<(), StoreError> {
    match connection.engine() {
        Engine::Sqlite => read(connection, [FIRST, LAST], each),
        // Rows come all at once: some accounts at a time.
        Engine::Postgres => {
            let mut from = FIRST.to_owned();
            while let Some(until) = end_of_some(connection, &from)? {
                read(connection, [&from, &until], &mut each)?;
                // Behind this id, and before every other one.
                from = until + " ";
            }
            Ok(())
        }
    }
}

/// The last id of some accounts from an id on.
fn end_of_some(connection: &Connection, from: &str) -> Result<Option<String>, StoreError> {
    const AT_ONCE: i64 = 1000;
    let query = "SELECT MAX(id) FROM (SELECT id FROM account WHERE id >= ?1 ORDER BY id LIMIT ?2) AS some_accounts";
    Ok(connection.prepare_cached(query)?.query_row(params![from, AT_ONCE], |row| row.get(0))?)
}

fn read(
    connection: &Connection,
    range: [&str; 2],
    mut each: impl FnMut(Result<WholeAccount, StoreError>),
) -> Result<(), StoreError> {
    let of = |columns: &str, table: &str, id: &str, order: &str| {
        connection
            .prepare_cached(&format!("SELECT {columns} FROM {table} WHERE {id} >= ?1 AND {id} <= ?2 ORDER BY {order}"))
    };
    let mut of_accounts = of(accounts::COLUMNS, "account", "id", "id")?;
    let mut of_products =
        of("account_id, product, first_grant", "account_product", "account_id", "account_id, product")?;
    let mut of_limits = of(
        "account_id, token_id, period, requests, burst",
        "account_limit",
        "account_id",
        "account_id, token_id, period",
    )?;
    let mut of_tokens = of(&format!("{}, digest", tokens::COLUMNS), "token", "account_id", "account_id, id")?;
    let mut of_covers =
        of("account_id, token_id, product", "token_product", "account_id", "account_id, token_id, product")?;
    let mut of_entries = of(
        "account_id, token_id, kind, value, note",
        "token_entry",
        "account_id",
        "account_id, token_id, kind, value",
    )?;
    let mut sides = Sides {
        products: Side::of(&mut of_products, range)?,
        limits: Side::of(&mut of_limits, range)?,
        tokens: Side::of(&mut of_tokens, range)?,
        covers: Side::of(&mut of_covers, range)?,
        entries: Side::of(&mut of_entries, range)?,
    };
    let mut rows = of_accounts.query(range)?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        each(match accounts::row_of(row) {
            Ok(Ok(account)) => {
                let whole = WholeAccount { account, tokens: Vec::new() };
                sides.complete(whole).map_err(|error| named(error, &id))
            }
            Ok(Err(damaged)) => Err(damaged),
            Err(error) => Err(named(error.into(), &id)),
        });
    }
    Ok(())
}

/// Names the account of an error that comes of a value of the wrong type.
fn named(error: StoreError, id: &str) -> StoreError {
    match error {
        StoreError::Unusable { why } => StoreError::corrupted("account", id, why),
        other => other,
    }
}

/// Everything that belongs to accounts.
struct Sides<'s> {
    products: Side<'s>,
    limits: Side<'s>,
    tokens: Side<'s>,
    covers: Side<'s>,
    entries: Side<'s>,
}

impl Sides<'_> {
    fn complete(&mut self, mut whole: WholeAccount) -> Result<WholeAccount, StoreError> {
        let WholeAccount { account, tokens } = &mut whole;
        let id = account.id.clone();
        self.products.take([&id], |row| {
            account.products.push(accounts::product(row, 1)?);
            Ok(())
        })?;
        // Limits of the account itself come before those of its tokens.
        let mut own = Terms::default();
        self.limits.take([&id, ""], |row| terms::add(row, 2, &mut own.rates, &mut own.quota))?;
        if let AccountTerms::Own(terms) = &mut account.terms {
            (terms.rates, terms.quota) = (own.rates, own.quota);
        }
        let mut damaged = None;
        self.tokens.take([&id], |row| {
            match tokens::row_of(row)? {
                Err(error) => damaged = Some(error),
                Ok(info) => tokens.push(StoredToken {
                    info,
                    digest: Digest::from_bytes(row.get(14)?),
                    networks: Vec::new(),
                    domains: Vec::new(),
                }),
            }
            Ok(())
        })?;
        for StoredToken { info, networks, domains, .. } in tokens {
            let key = [&*id, &*info.id];
            self.covers.take(key, |row| {
                info.products.push(row.get(2)?);
                Ok(())
            })?;
            let mut quota = QuotaLimit::default();
            self.limits.take(key, |row| terms::add(row, 2, &mut info.rates, &mut quota))?;
            info.quota = quota;
            self.entries.take(key, |row| {
                let entry = ListEntry { value: row.get(3)?, note: row.get(4)? };
                match ListKind::from_word(row.text(2)?) {
                    Some(ListKind::Network) => networks.push(entry),
                    Some(ListKind::Domain) => domains.push(entry),
                    None => return Err(sql::Error::Unexpected),
                }
                Ok(())
            })?;
        }
        damaged.map_or(Ok(whole), Err)
    }
}
