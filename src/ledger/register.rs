//! Every licence, found by account and product: there may be millions.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::policy::credits::Licence;

/// All licences, in the order of the configuration, and behind them those that the process had
/// before: an account that comes back has the balance that requests may still be settling.
#[derive(Debug, Default)]
pub struct Register {
    licences: Box<[Arc<Licence>]>,
    /// How many of them are those of the configuration.
    current: usize,
    /// Places in the list, by account and product.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Register {
    /// A register of licences, each of another account or product.
    pub fn new(licences: Vec<Arc<Licence>>) -> Register {
        let hasher = DefaultHashBuilder::default();
        let hash_of = |place: &u32| at(&licences, *place).map_or(0, |licence| hasher.hash_one(licence.key()));
        let mut places = HashTable::with_capacity(licences.len());
        for place in 0..u32::try_from(licences.len()).unwrap_or(u32::MAX) {
            places.insert_unique(hash_of(&place), place, hash_of);
        }
        let current = licences.len();
        Register { licences: licences.into(), current, places, hasher }
    }

    /// A register of other licences that takes over from this one, and forgets none. With the same
    /// licences it is this one.
    pub fn renewed<'l>(
        self: &Arc<Register>,
        licences: impl Iterator<Item = &'l Arc<Licence>> + Clone,
    ) -> Arc<Register> {
        if licences.clone().map(Arc::as_ptr).eq(self.all().iter().map(Arc::as_ptr)) {
            return Arc::clone(self);
        }
        let new = Register::new(licences.cloned().collect());
        // Most stand where they stood.
        let is_gone = |(place, known): &(usize, &Arc<Licence>)| {
            let in_place = new.licences.get(*place).is_some_and(|licence| Arc::ptr_eq(licence, known));
            !in_place && new.find(&known.account, &known.product).is_none()
        };
        let mut gone = self.licences.iter().enumerate().filter(is_gone).map(|(_, known)| known).peekable();
        if gone.peek().is_none() {
            return Arc::new(new);
        }
        let all = new.licences.iter().chain(gone).cloned().collect();
        Arc::new(Register { current: new.current, ..Register::new(all) })
    }

    /// The place of an account's licence for a product in [`Register::all`].
    pub fn place(&self, account: &str, product: &str) -> Option<usize> {
        let key = (account, product);
        let is_equal = |place: &u32| at(&self.licences, *place).is_some_and(|licence| licence.key() == key);
        self.places.find(self.hasher.hash_one(key), is_equal).and_then(|place| usize::try_from(*place).ok())
    }

    /// The licence of an account for a product.
    pub fn find(&self, account: &str, product: &str) -> Option<&Arc<Licence>> {
        self.licences.get(self.place(account, product)?)
    }

    /// Those of the configuration.
    pub fn all(&self) -> &[Arc<Licence>] {
        self.licences.get(..self.current).unwrap_or(&self.licences)
    }
}

fn at(licences: &[Arc<Licence>], place: u32) -> Option<&Arc<Licence>> {
    licences.get(usize::try_from(place).ok()?)
}
