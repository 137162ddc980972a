//! The store's accounts: their changes, and what becomes of them when the files change.
//!
//! Both happen on the thread that reloads, one after the other, so that neither loses what the other has
//! done. Accounts are compiled there as well, by the products of the policy that is in force then. While files
//! are loaded, changes of accounts wait.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::gateway::accounts::AccountsChanged;
use crate::gateway::snapshot::Snapshot;
use crate::platform::pace;
use crate::policy::account::Account;
use crate::policy::account::directory::change::{AccountChange, Clash, Conflict};
use crate::policy::{Policy, Product};

/// Orders that come into force with one swap, at the most.
pub const AT_ONCE: usize = 1000;

/// Accounts that are looked for in the store one by one, at the most.
const MOST_GONE: usize = 1000;

/// Compiles changes of accounts by the policy in force.
pub type Compile = Box<dyn FnOnce(&Snapshot) -> Vec<AccountChange> + Send>;

/// Some changes of accounts that somebody has asked for.
pub struct AccountsOrder {
    pub compile: Compile,
    /// Told what could not be, once everything else is in force.
    pub done: oneshot::Sender<Vec<Conflict>>,
}

/// Where the store's accounts come from when all of them have to be compiled anew, since products or plans are others.
pub trait AccountSource: Send {
    /// All accounts that the store has, by the products of a policy that is about to come into force.
    fn compile_all(&self, policy: &Policy) -> Vec<Arc<Account>>;

    /// Accounts that are not in force, since files had their names: those files may be others now. So may be those whose
    /// names were `gone` with the files just now, and that nobody has noticed in the store yet. `None` if these are too
    /// many to be told one by one.
    fn left_out(&self, _policy: &Policy, _gone: &[Arc<str>]) -> Option<Vec<Arc<Account>>> {
        Some(Vec::new())
    }

    /// Accounts of the store by their names, by the products of a policy that is about to come into force. Names that it
    /// does not have are left out, and nothing is noted of the others.
    ///
    /// # Errors
    /// Why the store cannot be read.
    fn named(&self, _policy: &Policy, _names: &[Arc<str>]) -> Result<Vec<Arc<Account>>, String> {
        Ok(Vec::new())
    }

    /// Is told what could not be in force beside the files.
    fn refused(&self, _conflicts: Vec<Conflict>) {}

    /// Is told that none of its accounts is to be in force.
    fn not_used(&self) {}
}

/// Puts changes in force, all of them with one swap, and calls `follow` with them before anybody is told; the snapshot before
/// comes back, if there is another now.
pub fn change(
    gateway: &Gateway,
    orders: Vec<AccountsOrder>,
    follow: impl FnOnce(&[AccountChange]),
) -> Option<Arc<Snapshot>> {
    let snapshot = gateway.snapshot();
    let (mut changes, mut askers) = (Vec::new(), Vec::with_capacity(orders.len()));
    for AccountsOrder { compile, done } in orders {
        let compiled = compile(&snapshot);
        askers.push((compiled.iter().map(|change| Arc::clone(change.name())).collect::<Vec<_>>(), done));
        changes.extend(compiled);
    }
    let AccountsChanged { before, conflicts } = gateway.change_accounts(&changes);
    follow(&changes);
    for (names, done) in askers {
        let own = conflicts.iter().filter(|conflict| names.contains(&conflict.account)).cloned();
        // Whoever has gone does not need to know.
        let _ = done.send(own.collect());
    }
    before
}

/// The accounts that files had before and do not have any more; `None` if these are too many to be told one by one.
fn gone(policy: &Policy, before: &Policy) -> Option<Vec<Arc<str>>> {
    let of_files = before.accounts.by_slot().filter(|(slot, _)| !before.accounts.is_from_store(*slot));
    let of_files = of_files.inspect(|_| pace::step()).map(|(_, account)| &account.name);
    let gone = of_files.filter(|name| policy.accounts.by_name(name).is_none());
    let gone: Vec<Arc<str>> = gone.take(MOST_GONE + 1).map(Arc::clone).collect();
    (gone.len() <= MOST_GONE).then_some(gone)
}

/// Whether the store's accounts are the same by both.
fn have_same_products(policy: &Policy, before: &Policy) -> bool {
    let of = |product: &Product| {
        (Arc::clone(&product.name), product.index, (product.is_priced, product.balance), product.allowances.clone())
    };
    before.has_store
        && policy.plans == before.plans
        && policy.products.iter().map(of).eq(before.products.iter().map(of))
}

/// Gives a candidate that is made of files the store's accounts of the policy in force, as they are or compiled anew, and
/// those that were left out for accounts of files which the candidate does not have. Nothing is noted anywhere: what cannot be
/// in force beside the candidate's files is left out.
///
/// # Errors
/// Why the store cannot be read.
pub fn beside(candidate: &mut Policy, in_force: &Policy, source: Option<&dyn AccountSource>) -> Result<(), String> {
    if !candidate.has_store {
        return Ok(());
    }
    let of_store = || in_force.accounts.from_store().cloned();
    let (kept, mut names): (Vec<Arc<Account>>, Vec<Arc<str>>) = if have_same_products(candidate, in_force) {
        (of_store().collect(), Vec::new())
    } else {
        (Vec::new(), of_store().map(|account| Arc::clone(&account.name)).collect())
    };
    names.extend(gone(candidate, in_force).unwrap_or_default());
    let read = match source {
        Some(source) if !names.is_empty() => source.named(candidate, &names)?,
        Some(_) | None => Vec::new(),
    };
    let _ = candidate.take_in(kept.into_iter().chain(read), pace::step);
    Ok(())
}

/// What changes of accounts are for a candidate: the same where it has the products and plans of the policy in force, else
/// what the store says of those accounts now.
///
/// # Errors
/// Why the store cannot be read.
pub fn changes_beside<'c>(
    changes: &'c [AccountChange],
    (candidate, in_force): (&Policy, &Policy),
    source: Option<&dyn AccountSource>,
) -> Result<Cow<'c, [AccountChange]>, String> {
    if !candidate.has_store {
        return Ok(Cow::Borrowed(&[]));
    }
    let Some(source) = source.filter(|_| !have_same_products(candidate, in_force)) else {
        return Ok(Cow::Borrowed(changes));
    };
    let names: BTreeSet<Arc<str>> = changes.iter().map(|change| Arc::clone(change.name())).collect();
    let found = source.named(candidate, &names.iter().cloned().collect::<Vec<_>>())?;
    let is_found = |name: &Arc<str>| found.iter().any(|account| account.name == *name);
    let gone: Vec<AccountChange> =
        names.iter().filter(|name| !is_found(name)).map(|name| AccountChange::Remove(Arc::clone(name))).collect();
    Ok(Cow::Owned(gone.into_iter().chain(found.into_iter().map(AccountChange::Put)).collect()))
}

/// Gives a policy that is made of files the store's accounts of the one before: as they are, or compiled anew
/// where that has other products or plans.
pub fn keep(policy: &mut Policy, before: &Policy, source: Option<&dyn AccountSource>) {
    if !policy.has_store {
        source.into_iter().for_each(AccountSource::not_used);
        return;
    }
    if before.accounts.from_store().next().is_none() && source.is_none() {
        return;
    }
    let are_same = have_same_products(policy, before);
    let kept = || before.accounts.from_store().cloned();
    let accounts: Vec<Arc<Account>> = match source {
        None => kept().collect(),
        Some(source) if !are_same => source.compile_all(policy),
        Some(source) => match gone(policy, before).and_then(|gone| source.left_out(policy, &gone)) {
            Some(others) => kept().chain(others).collect(),
            None => source.compile_all(policy),
        },
    };
    let conflicts = policy.take_in(accounts, pace::step);
    for Conflict { account, with } in &conflicts {
        let what = match with {
            Clash::Name => "files have an account of its name",
            Clash::Digest { .. } => "another account has one of its tokens",
        };
        log::warn!(target: "tollgate::reload", "the store's account {account}: {what}");
    }
    source.into_iter().for_each(|source| source.refused(conflicts.clone()));
}
