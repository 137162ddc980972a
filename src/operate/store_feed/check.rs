//! Whether accounts of the store can be in force by a policy, before anybody puts them in force: a change that could
//! not be is refused, by a gateway and by the command line alike.

use super::compile::compile_all;
use super::conflicts::{Conflicts, ConflictsShown, in_words};
use crate::config::rows::RowCompiler;
use crate::config::store::StoreSettings;
use crate::ledger::store::{Connection, Location, StoreError, accounts, open_to_read, plans, whole};
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;
use crate::policy::account::directory::change::{Clash, Conflict};

/// Says of accounts that a transaction has changed whether they can be in force by a policy. `known` has what is
/// wrong with an account of a name already.
///
/// # Errors
/// What is wrong with one of them.
pub fn check(
    connection: &Connection,
    accounts: &[String],
    policy: &Policy,
    known: &dyn Fn(&str) -> Vec<String>,
) -> Result<(), StoreError> {
    if accounts.is_empty() {
        return Ok(());
    }
    let plans = plans::list(connection)?;
    let no_credits = |_: &str, _: &str| None;
    let mut compiler = RowCompiler::new(policy, &plans, &no_credits);
    for id in accounts {
        let (name, flaws) = flaws_of(connection, id, policy, &mut compiler)?;
        let known = if flaws.is_empty() { Vec::new() } else { known(&name) };
        match flaws.into_iter().find(|flaw| !known.contains(&flaw.text)) {
            None => {}
            Some(Flaw { is_name: true, .. }) => return Err(NAME_IN_FILES),
            Some(Flaw { text, .. }) => return Err(StoreError::invalid("account", text)),
        }
    }
    Ok(())
}

const NAME_IN_FILES: StoreError = StoreError::Taken {
    field: "name",
    why: "is the name of an account in files of the configuration; choose another, or import that one with \
          `tollgate accounts import`",
};

/// Something that keeps an account from being in force as it is written.
struct Flaw {
    text: String,
    /// It is the account's name, which files have.
    is_name: bool,
}

/// The name of an account, and what is wrong with it.
fn flaws_of(
    connection: &Connection,
    id: &str,
    policy: &Policy,
    compiler: &mut RowCompiler<'_>,
) -> Result<(String, Vec<Flaw>), StoreError> {
    let whole = whole::one(connection, id)?;
    let plain = |text: String| Flaw { text, is_name: false };
    let mut flaws: Vec<Flaw> = Vec::new();
    match compiler.compile(&whole) {
        Err(flaw) => flaws.push(plain(flaw)),
        Ok(compiled) => {
            flaws.extend(compiled.flaws.into_iter().map(plain));
            if let Some(account) = &compiled.account {
                let clashes = clashes(account, policy);
                flaws.extend(clashes.map(|with| {
                    let is_name = with == Clash::Name;
                    Flaw { text: in_words(&Conflict { account: account.name.clone(), with }), is_name }
                }));
            }
        }
    }
    Ok((whole.account.name, flaws))
}

/// What files of the configuration have of an account of the store: its name, or the digest of a token.
fn clashes<'a>(account: &'a Account, policy: &'a Policy) -> impl Iterator<Item = Clash> + 'a {
    let known = &policy.accounts;
    let of_name = known.slot_of(&account.name).filter(|slot| !known.is_from_store(*slot)).map(|_| Clash::Name);
    let of_digests = account.keys.iter().enumerate().filter_map(|(token, key)| {
        let other = known.find(&key.digest)?.account;
        (*other.name != *account.name).then(|| Clash::Digest { token, account: other.name.clone() })
    });
    of_name.into_iter().chain(of_digests)
}

/// What is wrong with an account by its id.
///
/// # Errors
/// That it does not exist, that a row is damaged, or errors of the database.
pub fn flaws(connection: &Connection, id: &str, policy: &Policy) -> Result<Vec<String>, StoreError> {
    let plans = plans::list(connection)?;
    let no_credits = |_: &str, _: &str| None;
    let mut compiler = RowCompiler::new(policy, &plans, &no_credits);
    let (_, flaws) = flaws_of(connection, id, policy, &mut compiler)?;
    Ok(flaws.into_iter().map(|flaw| flaw.text).collect())
}

/// What is wrong with an account by its name in a store; nothing where it is not there or cannot be read.
pub fn flaws_in(store: &Location, name: &str, policy: &Policy) -> Vec<String> {
    let find = || -> Result<Option<Vec<String>>, StoreError> {
        let Some(connection) = open_to_read(store)? else { return Ok(None) };
        let Some(id) = accounts::id_of(&connection, name)? else { return Ok(None) };
        flaws(&connection, &id, policy).map(Some)
    };
    find().ok().flatten().unwrap_or_default()
}

/// Adds the store's accounts to a policy that has those of files, for commands where no gateway serves; the file stays
/// as it is, and one that is not there has none.
///
/// # Errors
/// Why it cannot be read, in words for the operator.
pub fn take_in(settings: &StoreSettings, policy: &mut Policy) -> Result<ConflictsShown, String> {
    let told = |error: StoreError| format!("{}: {error}", settings.location);
    if !policy.has_store {
        return Ok(ConflictsShown::default());
    }
    let Some(mut connection) = open_to_read(&settings.location).map_err(told)? else {
        return Ok(ConflictsShown::default());
    };
    let snapshot = connection.transaction().map_err(|error| told(error.into()))?;
    let conflicts = Conflicts::default();
    let accounts = compile_all(&snapshot, policy, &|_, _| None, &conflicts).map_err(told)?;
    conflicts.add(policy.take_in(accounts, pace::step));
    Ok(conflicts.shown())
}

/// Whether a store is there and can be read.
pub fn is_there(settings: &StoreSettings) -> bool {
    open_to_read(&settings.location).is_ok_and(|connection| connection.is_some())
}

/// What of a store could not be in force by a policy that has the accounts of files alone.
///
/// # Errors
/// Errors of the database.
pub fn conflicts_with(connection: &Connection, policy: &Policy) -> Result<ConflictsShown, StoreError> {
    let conflicts = Conflicts::default();
    let compiled = compile_all(connection, policy, &|_, _| None, &conflicts)?;
    let mut accounts = policy.accounts.clone();
    conflicts.add(accounts.take_in(compiled));
    Ok(conflicts.shown())
}
