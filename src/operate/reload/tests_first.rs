//! The tests of a configuration that is about to come into force: they are run before anything of it is, so that one that
//! fails changes nothing.

use std::sync::Arc;

use super::accounts::AccountSource;
use crate::config::yaml::{Mistakes, Warning};
use crate::config::{Config, Start};
use crate::operate::cases::{self, Surroundings, judge};
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::directory::change::AccountChange;

/// What is wrong with a key that a reload cannot change.
const NEEDS_UPGRADE: &str = "has changed, which needs an upgrade; use `tollgate upgrade`, or set it back";

/// A configuration that may come into force while the process runs: nothing of it can only be set at the start, as `start`
/// is, and its tests pass. `by` is what [`run`] has.
///
/// # Errors
/// What cannot change, or each test that fails.
pub fn pass(
    mut config: Config,
    start: &Start,
    by: (&Policy, Option<&dyn AccountSource>),
    (file, now): (&str, u64),
) -> Result<Config, Mistakes> {
    if let Some(key) = start.difference(&config.start()) {
        return Err(Mistakes::of_key(file, key, NEEDS_UPGRADE));
    }
    config.warnings.extend(run(&config, by, (file, now))?);
    Ok(config)
}

/// Runs the tests of a configuration whose policy has the accounts of files, and of the store those that tests ask for.
/// `before` is what is in force, `now` seconds since 1970. What is worth a warning comes back.
///
/// # Errors
/// Each test that fails, or that the store cannot be read.
fn run(
    config: &Config,
    (before, source): (&Policy, Option<&dyn AccountSource>),
    (file, now): (&str, u64),
) -> Result<Vec<Warning>, Mistakes> {
    let Config { tests, policy, .. } = config;
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let names = asked_for(config, before, now);
    let with_store;
    let policy = match source.filter(|_| policy.has_store && !names.is_empty()) {
        None => policy,
        Some(source) => {
            let found = source.named(policy, &names);
            let found =
                found.map_err(|why| Mistakes::of_key(file, "store", &format!("cannot be read: {why}; mend it")))?;
            let changes: Vec<AccountChange> = found.into_iter().map(AccountChange::Put).collect();
            // What of them could not be in force beside the files is left out here as well.
            (with_store, ..) = policy.with(&changes);
            &with_store
        }
    };
    cases::check(tests, Surroundings { policy, has_read_store: true, now })
}

/// The accounts that tests ask for and files do not have.
fn asked_for(config: &Config, before: &Policy, now: u64) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for case in &config.tests {
        match &case.request.bearer {
            Some(bearer) => names.push(bearer.account.as_str().into()),
            // The tokens of the store are known to the policy in force.
            None => {
                let askers = judge::askers(&judge::asked(&case.request, now), before);
                names.extend(askers.iter().map(|account| Arc::clone(&account.name)));
            }
        }
        pace::step();
    }
    names.retain(|name| config.policy.accounts.by_name(name).is_none());
    names.sort();
    names.dedup();
    names
}
