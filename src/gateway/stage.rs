//! A configuration that is in force for a share of the accounts first, while the one before judges the lookups of all others.
//!
//! What is not a lookup by a known account, such as a page or a request without a token, is judged by the new configuration.
//! So is every lookup of an account that has itself changed: nobody goes on with a right that was taken away. When a stage
//! begins and ends is `operate/reload/staged.rs`; which accounts are in a share is `policy/staging.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::account::{Account, Key};
use crate::policy::http::head::Head;
use crate::policy::now::Now;
use crate::policy::page::ListenerScope;
use crate::policy::product_set::ProductSet;
use crate::telemetry::staging::{Accounts, StagingCounts};

/// What is beside a configuration that is not yet for all accounts; `S` is a configuration in force.
#[derive(Debug)]
pub struct Stage<S> {
    /// The configuration before.
    before: Arc<S>,
    /// The accounts that one of the configurations does not have, or has otherwise.
    changed: Arc<HashSet<Arc<str>>>,
    counts: Arc<StagingCounts>,
}

impl<S> Stage<S> {
    /// One beside a configuration before, by the policies of both, with counts for the one that is about to come into force.
    pub fn new(before: Arc<S>, (policy_before, policy): (&Policy, &Policy), counts: Arc<StagingCounts>) -> Stage<S> {
        Stage { before, changed: Arc::new(changed(policy_before, policy)), counts }
    }

    /// The configuration before.
    pub fn before(&self) -> &Arc<S> {
        &self.before
    }

    /// Where the ends of requests are counted.
    pub fn counts(&self) -> &StagingCounts {
        &self.counts
    }

    /// The same with another configuration before, which has changes of the store's accounts.
    #[must_use]
    pub fn beside(&self, before: S) -> Stage<S> {
        Stage { before: Arc::new(before), changed: Arc::clone(&self.changed), counts: Arc::clone(&self.counts) }
    }

    /// The same where some more accounts are judged by the new configuration alone.
    #[must_use]
    pub fn without(&self, names: impl Iterator<Item = Arc<str>>) -> Stage<S> {
        let changed = self.changed.iter().cloned().chain(names).collect();
        Stage { before: Arc::clone(&self.before), changed: Arc::new(changed), counts: Arc::clone(&self.counts) }
    }

    /// The accounts for which the new configuration is in force whatever the share is.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// The accounts that a request is one of, by the policies before and after; `None`: the new configuration judges it
    /// whatever the share is, and it tells nothing of a difference.
    pub fn accounts(
        &self,
        (before, after): (&Policy, &Policy),
        head: &Head<'_>,
        scope: ListenerScope,
        now: Now,
    ) -> Option<Accounts> {
        let name = &before.asker(head, scope, now)?.account.name;
        let is_in_both = !self.changed.contains(name) && after.accounts.by_name(name).is_some();
        is_in_both.then(|| self.counts.accounts_of(name))
    }
}

/// The accounts that a policy has and another one has not, or otherwise.
fn changed(before: &Policy, after: &Policy) -> HashSet<Arc<str>> {
    let is_other = |account: &&Arc<Account>| {
        pace::step();
        match after.accounts.by_name(&account.name) {
            None => true,
            Some(known) => !Arc::ptr_eq(account, known) && !is_alike((account, before), (known, after)),
        }
    };
    before.accounts.iter().filter(is_other).map(|account| Arc::clone(&account.name)).collect()
}

/// Whether two accounts, each with the policy that it is of, have the same tokens with the same rights, and the same limits
/// or the same plan.
fn is_alike((account, policy): (&Account, &Policy), (other, others): (&Account, &Policy)) -> bool {
    let have_same_limits = match (account.plan(), other.plan()) {
        (Some(plan), Some(of_other)) => plan == of_other,
        (None, None) => account.has_same_limits(other),
        (Some(_), None) | (None, Some(_)) => false,
    };
    let are_alike = |(one, two): (&Key, &Key)| {
        let (a, b) = (&one.token, &two.token);
        one.digest == two.digest
            && (a.enabled, a.expiry, &a.name) == (b.enabled, b.expiry, &b.name)
            && names(a.products, policy) == names(b.products, others)
            && a.networks == b.networks
            && a.domains == b.domains
    };
    have_same_limits && account.keys.len() == other.keys.len() && account.keys.iter().zip(&other.keys).all(are_alike)
}

/// The names of products, in the order of the names.
fn names(products: ProductSet, policy: &Policy) -> Vec<&str> {
    let mut names: Vec<&str> = products
        .iter()
        .filter_map(|index| policy.products.get(usize::from(index)))
        .map(|product| &*product.name)
        .collect();
    names.sort_unstable();
    names
}
