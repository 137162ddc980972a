//! Every credit account, found by account and product: there may be millions.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use crate::policy::account::directory::change::Changed;
use crate::policy::credits::CreditAccount;
use crate::policy::sharing::{SharedList, SharedTable, Tagged};

/// All credit accounts of the policy in force, and beside them those that the process had before: an account
/// that comes back has the balance that requests may still be settling. A clone shares what is not changed in
/// either of both.
#[derive(Clone, Debug, Default)]
pub struct BalanceIndex {
    /// Those in force: first in the order of the configuration, then as they came.
    list: SharedList<Option<Arc<CreditAccount>>>,
    /// Places of the list that are empty.
    free: SharedList<u32>,
    /// Places in the list, by account and product.
    indexes: SharedTable<IndexEntry>,
    /// Those that are not in force any more.
    retired: SharedTable<Retired>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Copy, Debug)]
struct IndexEntry {
    tag: u32,
    index: u32,
}

impl Tagged for IndexEntry {
    fn tag(&self) -> u32 {
        self.tag
    }
}

#[derive(Clone, Debug)]
struct Retired {
    tag: u32,
    credit_account: Arc<CreditAccount>,
}

impl Tagged for Retired {
    fn tag(&self) -> u32 {
        self.tag
    }
}

/// An account and a product.
type Key<'k> = (&'k str, &'k str);

impl BalanceIndex {
    /// A register of credit accounts, each of another account or product.
    pub fn new(credit_accounts: Vec<Arc<CreditAccount>>) -> BalanceIndex {
        let indexes = SharedTable::with_capacity(credit_accounts.len());
        let mut index = BalanceIndex { indexes, ..BalanceIndex::default() };
        credit_accounts.into_iter().for_each(|credit_account| index.upsert(credit_account));
        index
    }

    /// A register of other credit accounts that takes over from this one, and forgets none. With the same
    /// credit accounts it is this one.
    pub fn renewed<'l>(
        self: &Arc<BalanceIndex>,
        credit_accounts: impl Iterator<Item = &'l Arc<CreditAccount>> + Clone,
    ) -> Arc<BalanceIndex> {
        if credit_accounts.clone().map(Arc::as_ptr).eq(self.all().map(Arc::as_ptr)) {
            return Arc::clone(self);
        }
        let mut new = BalanceIndex::new(credit_accounts.cloned().collect());
        for known in self.all().chain(self.retired.iter().map(|retired| &retired.credit_account)) {
            if new.index(&known.account, &known.product).is_none() {
                new.keep(Arc::clone(known));
            }
        }
        Arc::new(new)
    }

    /// The register after changes of some accounts, and the credit accounts that it did not know.
    pub fn with(&self, changed: &[Changed]) -> (BalanceIndex, Vec<Arc<CreditAccount>>) {
        let (mut index, mut new) = (self.clone(), Vec::new());
        for one in changed {
            let [before, after] = [&one.before, &one.after]
                .map(|account| account.iter().flat_map(|account| account.credit_accounts.iter()));
            let stays = |known: &Arc<CreditAccount>| after.clone().any(|after| Arc::ptr_eq(after, known));
            before.clone().filter(|known| !stays(known)).for_each(|known| index.retire(known.key()));
            for after in after.clone().filter(|after| !before.clone().any(|known| Arc::ptr_eq(known, after))) {
                let (account, product) = after.key();
                if !self.find(account, product).is_some_and(|known| Arc::ptr_eq(known, after)) {
                    new.push(Arc::clone(after));
                }
                index.upsert(Arc::clone(after));
            }
        }
        (index, new)
    }

    /// Adds a credit account, also one that was there before.
    fn upsert(&mut self, credit_account: Arc<CreditAccount>) {
        let key = credit_account.key();
        let tag = self.tag(key);
        self.retired.remove(tag, |retired| retired.credit_account.key() == key);
        if let Some(known) = self.index(key.0, key.1) {
            if let Some(known) = self.list.get_mut(known) {
                *known = Some(credit_account);
            }
            return;
        }
        let free = self.free.pop();
        let index = free.map_or(self.list.len(), as_index);
        self.indexes.insert(IndexEntry { tag, index: u32::try_from(index).unwrap_or(u32::MAX) });
        match self.list.get_mut(index) {
            Some(empty) => *empty = Some(credit_account),
            None => self.list.push(Some(credit_account)),
        }
    }

    /// Takes a credit account out of force; it is found as before.
    fn retire(&mut self, key: Key<'_>) {
        let Some(index) = self.index(key.0, key.1) else { return };
        if let Some(credit_account) = self.list.get_mut(index).and_then(Option::take) {
            self.indexes.remove(self.tag(key), |entry| as_index(entry.index) == index);
            self.free.push(u32::try_from(index).unwrap_or(u32::MAX));
            self.keep(credit_account);
        }
    }

    fn keep(&mut self, credit_account: Arc<CreditAccount>) {
        let tag = self.tag(credit_account.key());
        self.retired.insert(Retired { tag, credit_account });
    }

    fn tag(&self, key: Key<'_>) -> u32 {
        u32::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default()
    }

    /// The index of an account's credit account for a product, if it is in force: less than
    /// [`BalanceIndex::indexes`].
    pub fn index(&self, account: &str, product: &str) -> Option<usize> {
        let key = (account, product);
        let is_equal = |entry: &IndexEntry| self.at(as_index(entry.index)).is_some_and(|known| known.key() == key);
        self.indexes.find(self.tag(key), is_equal).map(|entry| as_index(entry.index))
    }

    /// How many indexes there are; some may be empty.
    pub fn indexes(&self) -> usize {
        self.list.len()
    }

    /// The credit account at an index.
    pub fn at(&self, index: usize) -> Option<&Arc<CreditAccount>> {
        self.list.get(index)?.as_ref()
    }

    /// The credit account of an account for a product, in force or not.
    pub fn find(&self, account: &str, product: &str) -> Option<&Arc<CreditAccount>> {
        let key = (account, product);
        let retired = || self.retired.find(self.tag(key), |retired| retired.credit_account.key() == key);
        let in_force = self.index(account, product).and_then(|index| self.at(index));
        in_force.or_else(|| retired().map(|retired| &retired.credit_account))
    }

    /// Those in force.
    pub fn all(&self) -> impl Iterator<Item = &Arc<CreditAccount>> + Clone {
        self.list.iter().flatten()
    }
}

fn as_index(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::account::samples::account;
    use crate::policy::account::{Account, CreditAccounts};

    fn paying(name: &str, credit_accounts: &[&Arc<CreditAccount>]) -> Arc<Account> {
        let credit_accounts = credit_accounts.iter().map(|one| (0, Arc::clone(one))).collect::<Vec<_>>();
        Arc::new(Account { credit_accounts: CreditAccounts::from(credit_accounts), ..account(name, []) })
    }

    fn change(before: Option<&Arc<Account>>, after: Option<&Arc<Account>>) -> [Changed; 1] {
        [Changed { slot: 0, before: before.cloned(), after: after.cloned() }]
    }

    /// Whoever comes back while requests settle what it had goes on with the same balance, and is not read again.
    #[test]
    fn an_account_that_comes_back_has_the_balance_that_it_had() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Arc::new(CreditAccount::new(name.into(), "p".into(), 5)));
        let index = Arc::new(BalanceIndex::new(vec![Arc::clone(&a), Arc::clone(&b)]));
        let one = paying("b", &[&b]);
        let (gone, new) = index.with(&change(Some(&one), None));
        assert_eq!((new.len(), gone.all().count(), gone.index("b", "p")), (0, 1, None));
        assert!(Arc::ptr_eq(gone.find("b", "p").unwrap(), &b), "what was taken of it is still settled");
        assert_eq!(index.all().count(), 2, "the one before is as it was");

        let (other, new) = gone.with(&change(None, Some(&paying("c", &[&c]))));
        assert!(matches!(&*new, [new] if Arc::ptr_eq(new, &c)));
        assert_eq!((other.index("c", "p"), other.indexes()), (Some(1), 2), "the empty place is used again");

        let (back, new) = other.with(&change(None, Some(&one)));
        assert_eq!((new.len(), back.all().count()), (0, 3), "it is known");
        assert!(back.retired.is_empty() && Arc::ptr_eq(back.find("b", "p").unwrap(), &b));

        let same = back.with(&change(Some(&one), Some(&paying("b", &[&b]))));
        assert_eq!((same.1.len(), same.0.all().count()), (0, 3), "an account that stays has what it had");

        // A reload forgets none either.
        let renewed = Arc::new(gone).renewed([&c].into_iter());
        for (name, known) in [("a", &a), ("b", &b), ("c", &c)] {
            assert!(Arc::ptr_eq(renewed.find(name, "p").unwrap(), known), "{name}");
        }
        assert!(Arc::ptr_eq(&renewed.renewed([&c].into_iter()), &renewed));
    }
}
