//! A small ordered table, cheap to copy: the rows of the centre and the leases of a node.

/// Rows by key, in the order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<K, V> {
    rows: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { rows: Vec::new() }
    }
}

impl<K: Ord + Copy, V> Table<K, V> {
    fn index(&self, key: K) -> Result<usize, usize> {
        self.rows.binary_search_by(|(known, _)| known.cmp(&key))
    }

    pub fn get(&self, key: K) -> Option<&V> {
        self.index(key).ok().and_then(|index| self.rows.get(index)).map(|(_, row)| row)
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.index(key).ok().and_then(|index| self.rows.get_mut(index)).map(|(_, row)| row)
    }

    /// Adds a row or replaces it.
    pub fn insert(&mut self, key: K, row: V) {
        match self.index(key) {
            Ok(index) => {
                if let Some(known) = self.rows.get_mut(index) {
                    known.1 = row;
                }
            }
            Err(index) => self.rows.insert(index, (key, row)),
        }
    }

    /// Changes a row, which is first added with its default if it is not there.
    pub fn update(&mut self, key: K, change: impl FnOnce(&mut V))
    where
        V: Default,
    {
        if self.get(key).is_none() {
            self.insert(key, V::default());
        }
        if let Some(row) = self.get_mut(key) {
            change(row);
        }
    }

    pub fn retain(&mut self, mut keep: impl FnMut(K, &V) -> bool) {
        self.rows.retain(|(key, row)| keep(*key, row));
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.rows.iter().map(|(key, row)| (*key, row))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.rows.iter_mut().map(|(key, row)| (*key, row))
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<K: Ord, V> Extend<(K, V)> for Table<K, V> {
    /// Adds rows or replaces them.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, rows: I) {
        self.rows.extend(rows);
        self.rows.sort_by(|one, other| one.0.cmp(&other.0));
        // Of two rows with one key, which are in the order of their coming, the later one stays.
        self.rows.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
    }
}

impl<K, V> FromIterator<(K, V)> for Table<K, V>
where
    K: Ord,
{
    /// A table of rows with different keys.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Table<K, V> {
        let mut rows: Vec<(K, V)> = rows.into_iter().collect();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        Table { rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_in_order_and_replaced() {
        let mut table: Table<u32, char> = [(5, 'e'), (1, 'a')].into_iter().collect();
        table.extend([(3, 'c'), (1, 'b'), (1, 'd')]);
        assert_eq!(table.iter().map(|(key, row)| (key, *row)).collect::<Vec<_>>(), [(1, 'd'), (3, 'c'), (5, 'e')]);
    }
}
