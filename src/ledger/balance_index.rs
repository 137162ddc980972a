//! Every credit account, found by account and product: there may be millions.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::policy::credits::CreditAccount;

/// All credit accounts, in the order of the configuration, followed by those of earlier configurations: an account that
/// is added again has the balance that requests may still be settling.
#[derive(Debug, Default)]
pub struct BalanceIndex {
    credit_accounts: Box<[Arc<CreditAccount>]>,
    /// The number of those of the configuration.
    current: usize,
    /// Indexes in the list, by account and product.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl BalanceIndex {
    /// An index of credit accounts, each of another account or product.
    pub fn new(credit_accounts: Vec<Arc<CreditAccount>>) -> BalanceIndex {
        let hasher = DefaultHashBuilder::default();
        let hash_of = |place: &u32| {
            at(&credit_accounts, *place).map_or(0, |credit_account| hasher.hash_one(credit_account.key()))
        };
        let mut places = HashTable::with_capacity(credit_accounts.len());
        for place in 0..u32::try_from(credit_accounts.len()).unwrap_or(u32::MAX) {
            places.insert_unique(hash_of(&place), place, hash_of);
        }
        let current = credit_accounts.len();
        BalanceIndex { credit_accounts: credit_accounts.into(), current, places, hasher }
    }

    /// The index for the next configuration, which also keeps all earlier credit accounts. With the same credit
    /// accounts it is this one.
    pub fn renewed<'l>(
        self: &Arc<BalanceIndex>,
        credit_accounts: impl Iterator<Item = &'l Arc<CreditAccount>> + Clone,
    ) -> Arc<BalanceIndex> {
        if credit_accounts.clone().map(Arc::as_ptr).eq(self.all().iter().map(Arc::as_ptr)) {
            return Arc::clone(self);
        }
        let new = BalanceIndex::new(credit_accounts.cloned().collect());
        // Most have the same index as before.
        let is_gone = |(place, known): &(usize, &Arc<CreditAccount>)| {
            let in_place =
                new.credit_accounts.get(*place).is_some_and(|credit_account| Arc::ptr_eq(credit_account, known));
            !in_place && new.find(&known.account, &known.product).is_none()
        };
        let mut gone = self.credit_accounts.iter().enumerate().filter(is_gone).map(|(_, known)| known).peekable();
        if gone.peek().is_none() {
            return Arc::new(new);
        }
        let all = new.credit_accounts.iter().chain(gone).cloned().collect();
        Arc::new(BalanceIndex { current: new.current, ..BalanceIndex::new(all) })
    }

    /// The index of an account's credit account for a product in [`BalanceIndex::all`].
    pub fn place(&self, account: &str, product: &str) -> Option<usize> {
        let key = (account, product);
        let is_equal =
            |place: &u32| at(&self.credit_accounts, *place).is_some_and(|credit_account| credit_account.key() == key);
        self.places.find(self.hasher.hash_one(key), is_equal).and_then(|place| usize::try_from(*place).ok())
    }

    /// The credit account of an account for a product.
    pub fn find(&self, account: &str, product: &str) -> Option<&Arc<CreditAccount>> {
        self.credit_accounts.get(self.place(account, product)?)
    }

    /// Those of the configuration.
    pub fn all(&self) -> &[Arc<CreditAccount>] {
        self.credit_accounts.get(..self.current).unwrap_or(&self.credit_accounts)
    }
}

fn at(credit_accounts: &[Arc<CreditAccount>], place: u32) -> Option<&Arc<CreditAccount>> {
    credit_accounts.get(usize::try_from(place).ok()?)
}
