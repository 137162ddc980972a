//! Accounts that come from elsewhere: from files of the configuration, whose tokens are known by their digests, or
//! from an export of a store, which is put back exactly.
//!
//! An account that the store has stays as it is, so that an import which is done again takes nothing back: it only
//! gets tokens that it does not have. Nothing is granted by an import: the ledger gives each first grant once, by the
//! name of the account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts::{self, AccountDraft};
use super::error::StoreError;
use super::lists;
use super::records::{
    AccountProduct, AccountState, AccountTerms, ListKind, QuotaLimit, RateLimit, StoredAccount, TokenList, TokenState,
};
use super::sql::params;
use super::tokens::{self, TokenDraft};
use super::writing::Writing;
use crate::policy::account::Digest;

/// An account from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedAccount {
    pub name: String,
    pub terms: AccountTerms,
    pub products: Vec<AccountProduct>,
    pub tokens: Vec<ImportedToken>,
}

/// A token from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedToken {
    pub name: String,
    pub digest: Digest,
    pub products: Vec<String>,
    pub is_enabled: bool,
    pub last_day: Option<u32>,
    pub rates: Vec<RateLimit>,
    pub quota: QuotaLimit,
    pub networks: Option<TokenList>,
    pub domains: Option<TokenList>,
}

/// What has become of imported accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// Accounts that are new.
    pub created: u64,
    /// Accounts that were there, and have got tokens.
    pub extended: u64,
    /// Accounts that were there with all their tokens.
    pub unchanged: u64,
    /// Tokens that are new.
    pub tokens: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Tally) {
        self.created += other.created;
        self.extended += other.extended;
        self.unchanged += other.unchanged;
        self.tokens += other.tokens;
    }
}

/// Imports one account: all of it, or nothing of it.
///
/// # Errors
/// A value that does not fit, a token that another account has, or those of the database.
pub fn account(writing: &mut Writing<'_>, imported: &ImportedAccount) -> Result<Tally, StoreError> {
    writing.attempt(|writing| {
        let (account, is_new) = match accounts::id_of(writing.database(), &imported.name)? {
            Some(id) => (accounts::get(writing.database(), &id)?, false),
            None => {
                let draft = AccountDraft {
                    name: imported.name.clone(),
                    display: String::new(),
                    terms: imported.terms.clone(),
                    products: imported.products.clone(),
                };
                (accounts::insert(writing, &draft)?, true)
            }
        };
        if account.state == AccountState::Closed {
            return Err(StoreError::State { why: "an account of this name is closed, which is for good" });
        }
        let mut added = 0;
        for token in &imported.tokens {
            added += u64::from(add_token(writing, &account, token)?);
        }
        Ok(match (is_new, added) {
            (true, tokens) => Tally { created: 1, tokens, ..Tally::default() },
            (false, 0) => Tally { unchanged: 1, ..Tally::default() },
            (false, tokens) => Tally { extended: 1, tokens, ..Tally::default() },
        })
    })
}

/// Adds a token that is not there; whether it was added.
fn add_token(writing: &mut Writing<'_>, account: &StoredAccount, token: &ImportedToken) -> Result<bool, StoreError> {
    match tokens::find(writing.database(), &token.digest)? {
        Some((owner, _)) if owner == account.id => return Ok(false),
        Some(_) => {
            let why = "is the digest of a token of another account; make a new token";
            return Err(StoreError::Taken { field: "digest", why });
        }
        None => {}
    }
    let draft = TokenDraft {
        name: free_name(writing, account, &token.name)?,
        products: token.products.clone(),
        last_day: token.last_day,
        rates: token.rates.clone(),
        quota: token.quota,
    };
    let made = tokens::adopt(writing, account, &draft, &token.digest)?;
    let (account_id, id) = (&*made.account_id, &*made.id);
    let mut after = made.clone();
    if !token.is_enabled {
        after.state = TokenState::Disabled;
    }
    for (kind, list) in [(ListKind::Network, &token.networks), (ListKind::Domain, &token.domains)] {
        let Some(list) = list else { continue };
        let entries = lists::preview(kind, list)?;
        lists::write_entries(writing.database(), (account_id, id), kind, true, &entries)?;
        match kind {
            ListKind::Network => after.networks_mode = list.mode,
            ListKind::Domain => {
                after.domains_mode = list.mode;
                after.absent = list.absent.unwrap_or(after.absent);
            }
        }
    }
    if after != made {
        let set = "UPDATE token SET state = ?3, networks_mode = ?4, domains_mode = ?5, absent = ?6 \
                   WHERE account_id = ?1 AND id = ?2";
        writing.database().prepare_cached(set)?.execute(params![
            account_id,
            id,
            after.state.word(),
            after.networks_mode.word(),
            after.domains_mode.word(),
            after.absent.word(),
        ])?;
    }
    Ok(true)
}

/// The name of a token, with a number behind it where the account has it: files may give two tokens one name.
fn free_name(writing: &Writing<'_>, account: &StoredAccount, name: &str) -> Result<String, StoreError> {
    for number in 1..=tokens::MAX_TOKENS {
        let tried = if number == 1 { name.to_owned() } else { format!("{name} ({number})") };
        match tokens::get_named(writing.database(), &account.id, &tried) {
            Err(StoreError::NotFound { .. }) => return Ok(tried),
            Err(other) => return Err(other),
            Ok(_) => {}
        }
    }
    Err(StoreError::Limit { what: "tokens of one name", most: tokens::MAX_TOKENS })
}

/// Notes for the audit what a transaction has imported; nothing, if that is nothing.
///
/// # Errors
/// That it cannot be written.
pub fn note(writing: &mut Writing<'_>, from: &str, tally: Tally) -> Result<(), StoreError> {
    if tally.created == 0 && tally.extended == 0 {
        return Ok(());
    }
    writing.note("accounts.import", None, from, None, Some(&tally))
}
