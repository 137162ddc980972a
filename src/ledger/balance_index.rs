//! Every credit account, found by account and product: there may be millions.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::policy::credits::CreditAccount;

/// All credit accounts, in the order of the configuration, and behind them those that the process had
/// before: an account that comes back has the balance that requests may still be settling.
#[derive(Debug, Default)]
pub struct Register {
    credit_accounts: Box<[Arc<CreditAccount>]>,
    /// How many of them are those of the configuration.
    current: usize,
    /// Places in the list, by account and product.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Register {
    /// A register of credit accounts, each of another account or product.
    pub fn new(credit_accounts: Vec<Arc<CreditAccount>>) -> Register {
        let hasher = DefaultHashBuilder::default();
        let hash_of = |place: &u32| {
            at(&credit_accounts, *place).map_or(0, |credit_account| hasher.hash_one(credit_account.key()))
        };
        let mut places = HashTable::with_capacity(credit_accounts.len());
        for place in 0..u32::try_from(credit_accounts.len()).unwrap_or(u32::MAX) {
            places.insert_unique(hash_of(&place), place, hash_of);
        }
        let current = credit_accounts.len();
        Register { credit_accounts: credit_accounts.into(), current, places, hasher }
    }

    /// A register of other credit accounts that takes over from this one, and forgets none. With the same
    /// credit accounts it is this one.
    pub fn renewed<'l>(
        self: &Arc<Register>,
        credit_accounts: impl Iterator<Item = &'l Arc<CreditAccount>> + Clone,
    ) -> Arc<Register> {
        if credit_accounts.clone().map(Arc::as_ptr).eq(self.all().iter().map(Arc::as_ptr)) {
            return Arc::clone(self);
        }
        let new = Register::new(credit_accounts.cloned().collect());
        // Most stand where they stood.
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
        Arc::new(Register { current: new.current, ..Register::new(all) })
    }

    /// The place of an account's credit account for a product in [`Register::all`].
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
