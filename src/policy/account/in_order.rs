//! Things of a list that are asked for by a key, mostly in the order they stand in.

use std::hash::Hash;

use hashbrown::HashMap;

/// Finds things of a list. Whoever asks for them in their order needs no table, also where there are a
/// hundred thousand of them.
#[derive(Debug)]
pub struct InOrder<'a, T, K> {
    list: &'a [T],
    key: fn(&'a T) -> K,
    next: usize,
    places: Option<HashMap<K, usize>>,
}

impl<'a, T, K: Eq + Hash> InOrder<'a, T, K> {
    /// The things of a list, each of which has a key.
    pub fn of(list: &'a [T], key: fn(&'a T) -> K) -> InOrder<'a, T, K> {
        InOrder { list, key, next: 0, places: None }
    }

    /// The thing with a key. `is_it` tells it by itself, for the one that stands next.
    pub fn find(&mut self, key: K, is_it: impl Fn(&T) -> bool) -> Option<&'a T> {
        if !self.list.get(self.next).is_some_and(is_it) {
            let (list, key_of) = (self.list, self.key);
            let table = || list.iter().enumerate().map(|(place, thing)| (key_of(thing), place)).collect();
            self.next = *self.places.get_or_insert_with(table).get(&key)?;
        }
        let found = self.list.get(self.next);
        self.next += 1;
        found
    }
}
