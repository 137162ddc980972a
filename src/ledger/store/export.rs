//! The whole of a store's accounts and plans as lines of JSON, which an import puts back exactly, and whose digests
//! let every token go on. Neither management keys nor the audit are part of it: those are in a copy of the file.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::accounts;
use super::error::StoreError;
use super::import::Tally;
use super::lists;
use super::plans::{self, PlanDraft};
use super::records::{
    ListEntry, ListKind, StoredAccount, StoredPlan, StoredToken, TokenInfo, TokenState, WholeAccount,
};
use super::sql::{Connection, params};
use super::tokens;
use super::whole;
use super::writing::Writing;
use crate::policy::account::Digest;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ExportLine {
    /// A plan. They come first.
    Plan {
        /// The plan.
        plan: StoredPlan,
    },
    /// An account with everything that belongs to it.
    Account {
        /// The account.
        account: StoredAccount,
        /// Its tokens, revoked ones too.
        tokens: Vec<ExportedToken>,
    },
}

/// A token with its digest and its lists.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportedToken {
    /// What is shown of it.
    #[serde(flatten)]
    info: TokenInfo,
    /// `sha256:` and 64 hexadecimal digits.
    hash: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    networks: Vec<ListEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    domains: Vec<ListEntry>,
}

/// Why an export has ended.
#[derive(Debug)]
pub enum ExportFault {
    /// The store.
    Store(StoreError),
    /// Where it was written to.
    Output(std::io::Error),
}

impl From<StoreError> for ExportFault {
    fn from(error: StoreError) -> ExportFault {
        ExportFault::Store(error)
    }
}

/// Writes all plans and accounts, and returns how many accounts; `each` is called after each of these. The connection
/// must be in a transaction, so that all is from one moment.
///
/// # Errors
/// A damaged row, those of the database, or of the output.
pub fn write(connection: &Connection, out: &mut impl Write, mut each: impl FnMut()) -> Result<u64, ExportFault> {
    let put = |line: &ExportLine, out: &mut dyn Write| {
        let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")
    };
    for plan in plans::list(connection)? {
        put(&ExportLine::Plan { plan }, out).map_err(ExportFault::Output)?;
    }
    let (mut count, mut fault) = (0, None);
    whole::each(connection, |found| {
        if fault.is_some() {
            return;
        }
        match found {
            Err(error) => fault = Some(ExportFault::Store(error)),
            Ok(WholeAccount { account, tokens }) => {
                let tokens = tokens.into_iter().map(exported).collect();
                fault = put(&ExportLine::Account { account, tokens }, out).err().map(ExportFault::Output);
                count += 1;
                each();
            }
        }
    })?;
    fault.map_or(Ok(count), Err)
}

fn exported(token: StoredToken) -> ExportedToken {
    let StoredToken { info, digest, networks, domains } = token;
    ExportedToken { info, hash: digest.text(), networks, domains }
}

/// Puts a line of an export back as it was: all of it, or nothing. What is there already stays as it is.
///
/// # Errors
/// A value that does not fit, something else with its name or its digest, or those of the database.
pub fn put_back(writing: &mut Writing<'_>, line: &ExportLine) -> Result<Tally, StoreError> {
    writing.attempt(|writing| match line {
        ExportLine::Plan { plan } => put_plan(writing, plan),
        ExportLine::Account { account, tokens } => put_account(writing, account, tokens),
    })
}

/// Puts all plans and accounts of one store back into another.
///
/// # Errors
/// Errors of the databases, or a damaged account.
pub(super) fn copy(from: &Connection, writing: &mut Writing<'_>) -> Result<(), StoreError> {
    for plan in plans::list(from)? {
        put_plan(writing, &plan)?;
    }
    let mut copied = Ok(());
    whole::each(from, |found| {
        if copied.is_ok() {
            copied = found.and_then(|WholeAccount { account, tokens }| {
                let tokens: Vec<ExportedToken> = tokens.into_iter().map(exported).collect();
                put_account(writing, &account, &tokens).map(drop)
            });
        }
    })?;
    copied
}

fn put_plan(writing: &mut Writing<'_>, plan: &StoredPlan) -> Result<Tally, StoreError> {
    match plans::get(writing.database(), &plan.name) {
        Err(StoreError::NotFound { .. }) => {}
        Ok(_) => return Ok(Tally::default()),
        Err(other) => return Err(other),
    }
    plans::create(writing, &plan.name, &PlanDraft { terms: plan.terms.clone(), products: plan.products.clone() })?;
    let exact = "UPDATE plan SET row_version = ?2, created_at = ?3 WHERE name = ?1";
    let values = params![plan.name, plan.row_version, plan.created_at];
    writing.database().prepare_cached(exact)?.execute(values)?;
    Ok(Tally::default())
}

fn put_account(
    writing: &mut Writing<'_>,
    account: &StoredAccount,
    tokens: &[ExportedToken],
) -> Result<Tally, StoreError> {
    if accounts::id_of(writing.database(), &account.name)?.is_some() {
        return Ok(Tally { unchanged: 1, ..Tally::default() });
    }
    accounts::check(account)?;
    match accounts::get(writing.database(), &account.id) {
        Err(StoreError::NotFound { .. }) => {}
        Ok(_) => return Err(StoreError::Taken { field: "id", why: "is the id of an account of another name" }),
        Err(other) => return Err(other),
    }
    accounts::write_new(writing, account)?;
    for token in tokens {
        let ExportedToken { info, hash, networks, domains } = token;
        let digest = Digest::parse(hash).map_err(|why| StoreError::invalid("hash", why))?;
        if info.account_id != account.id {
            return Err(StoreError::invalid("account_id", "is another account's; write the line as it was exported"));
        }
        if tokens::find(writing.database(), &digest)?.is_some() {
            let why = "is the digest of a token of another account; make a new token";
            return Err(StoreError::Taken { field: "hash", why });
        }
        tokens::check(info)?;
        tokens::write_new(writing, info, &digest)?;
        for (kind, mode, entries) in
            [(ListKind::Network, info.networks_mode, networks), (ListKind::Domain, info.domains_mode, domains)]
        {
            let entries = lists::canonical(kind, mode, entries)?;
            lists::write_entries(writing.database(), (&account.id, &info.id), kind, true, &entries)?;
        }
    }
    let count = tokens.iter().filter(|token| token.info.state != TokenState::Revoked).count();
    Ok(Tally { created: 1, tokens: u64::try_from(count).unwrap_or(u64::MAX), ..Tally::default() })
}
