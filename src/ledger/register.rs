//! Every licence, found by account and product: there may be millions.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::quota::credits::Licence;

/// All licences, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Register {
    licences: Box<[Arc<Licence>]>,
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
        Register { licences: licences.into(), places, hasher }
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

    /// All of them.
    pub fn all(&self) -> &[Arc<Licence>] {
        &self.licences
    }
}

fn at(licences: &[Arc<Licence>], place: u32) -> Option<&Arc<Licence>> {
    licences.get(usize::try_from(place).ok()?)
}
