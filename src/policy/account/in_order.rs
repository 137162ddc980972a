//! Look-ups in a list by key, optimized for look-ups in the order of the list.

use std::hash::Hash;

use hashbrown::HashMap;

/// Finds items of a list. Look-ups in the order of the list need no table, even for a hundred
/// thousand items.
#[derive(Debug)]
pub struct InOrder<'a, T, K> {
    list: &'a [T],
    key: fn(&'a T) -> K,
    next: usize,
    indexes: Option<HashMap<K, usize>>,
}

impl<'a, T, K: Eq + Hash> InOrder<'a, T, K> {
    /// The items of a list, each of which has a key.
    pub fn of(list: &'a [T], key: fn(&'a T) -> K) -> InOrder<'a, T, K> {
        InOrder { list, key, next: 0, indexes: None }
    }

    /// The item with a key. `is_it` checks an item directly, for the next one in the list.
    pub fn find(&mut self, key: K, is_it: impl Fn(&T) -> bool) -> Option<&'a T> {
        if !self.list.get(self.next).is_some_and(is_it) {
            let (list, key_of) = (self.list, self.key);
            let table = || list.iter().enumerate().map(|(index, thing)| (key_of(thing), index)).collect();
            self.next = *self.indexes.get_or_insert_with(table).get(&key)?;
        }
        let found = self.list.get(self.next);
        self.next += 1;
        found
    }
}
