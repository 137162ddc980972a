//! The store's accounts as they are in force by a policy.

use std::sync::Arc;

use super::conflicts::Conflicts;
use crate::config::rows::{KnownCredits, RowCompiler};
use crate::ledger::store::records::WholeAccount;
use crate::ledger::store::{Connection, StoreError, plans, whole};
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::Account;

/// Compiles every account of the store; what cannot be is told to `conflicts`.
///
/// # Errors
/// That the store cannot be read.
pub fn compile_all(
    connection: &Connection,
    policy: &Policy,
    credit_account: KnownCredits<'_>,
    conflicts: &Conflicts,
) -> Result<Vec<Arc<Account>>, StoreError> {
    let plans = plans::list(connection)?;
    let mut compiler = RowCompiler::new(policy, &plans, credit_account);
    let mut accounts = Vec::new();
    conflicts.clear();
    whole::each(connection, |found| {
        pace::step();
        match found {
            Err(error) => conflicts.damaged(&error),
            Ok(whole) => accounts.extend(compiled(&mut compiler, &whole, conflicts)),
        }
    })?;
    Ok(accounts)
}

/// Compiles one account, and tells what is wrong with it.
pub fn compiled(compiler: &mut RowCompiler<'_>, whole: &WholeAccount, conflicts: &Conflicts) -> Option<Arc<Account>> {
    let name = &whole.account.name;
    match compiler.compile(whole) {
        Ok(compiled) => {
            conflicts.set(name, compiled.flaws);
            compiled.account
        }
        Err(flaw) => {
            conflicts.set(name, vec![flaw]);
            None
        }
    }
}
