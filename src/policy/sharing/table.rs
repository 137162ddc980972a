//! A table of which a changed one shares with the one before all that is the same.

use std::sync::Arc;

use hashbrown::HashTable;

/// Leaves of a block.
const LEAVES: usize = 64;

/// Things of a leaf at the most, on average: then there are twice as many leaves. So many fit into 128 places.
const MOST_OF_A_LEAF: usize = 112;

/// What a thing is found by: half of a hash that nobody can foresee.
pub trait Tagged {
    /// Its hash.
    fn tag(&self) -> u32;
}

/// A table of things by their tags. How many leaves it has goes with how many things it has had.
#[derive(Clone, Debug)]
pub struct SharedTable<T> {
    /// Blocks of [`LEAVES`] leaves each, or one of fewer. There is a power of two of leaves.
    blocks: Vec<Arc<[Arc<Leaf<T>>]>>,
    len: usize,
    /// The number of leaves less one.
    mask: usize,
}

type Leaf<T> = HashTable<T>;

/// Half of its bits are set, without an order.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A whole hash of a tag. The table of a leaf takes the lowest bits and the highest seven; those between
/// choose the leaf.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(ODD)
}

impl<T> Default for SharedTable<T> {
    fn default() -> SharedTable<T> {
        SharedTable::with_leaves(1, 0)
    }
}

impl<T> SharedTable<T> {
    /// One that is made for so many things.
    pub fn with_capacity(things: usize) -> SharedTable<T> {
        let leaves = things.div_ceil(MOST_OF_A_LEAF).next_power_of_two();
        SharedTable::with_leaves(leaves, things / leaves)
    }

    fn with_leaves(leaves: usize, of_a_leaf: usize) -> SharedTable<T> {
        let leaf = |_| Arc::new(HashTable::with_capacity(of_a_leaf));
        let block = |_| (0..leaves.min(LEAVES)).map(leaf).collect();
        SharedTable { blocks: (0..leaves.div_ceil(LEAVES)).map(block).collect(), len: 0, mask: leaves - 1 }
    }

    /// How many things it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index of the leaf for a whole hash.
    #[inline]
    fn leaf(&self, hash: u64) -> usize {
        // Less than 2^32, and cut to the number of leaves.
        usize::try_from(hash >> 32).unwrap_or_default() & self.mask
    }

    /// All things, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.iter().flat_map(|leaf| leaf.iter()))
    }

    /// Frees what nobody else shares, and calls `pace` after each thing.
    pub fn free(&mut self, pace: fn()) {
        self.len = 0;
        for mut block in self.blocks.drain(..) {
            let leaves = Arc::get_mut(&mut block).into_iter().flatten();
            for thing in leaves.filter_map(Arc::get_mut).flat_map(HashTable::drain) {
                drop(thing);
                pace();
            }
        }
    }
}

impl<T: Tagged> SharedTable<T> {
    /// The thing with a tag for which `is_it` holds.
    #[inline]
    pub fn find(&self, tag: u32, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let hash = spread(tag);
        let leaf = self.leaf(hash);
        let leaf = self.blocks.get(leaf / LEAVES)?.get(leaf % LEAVES)?;
        leaf.find(hash, |thing| thing.tag() == tag && is_it(thing))
    }
}

impl<T: Tagged + Clone> SharedTable<T> {
    /// The leaf for a whole hash, to be changed: it is copied if somebody shares it.
    fn leaf_mut(&mut self, hash: u64) -> Option<&mut Leaf<T>> {
        let leaf = self.leaf(hash);
        let block = Arc::make_mut(self.blocks.get_mut(leaf / LEAVES)?);
        block.get_mut(leaf % LEAVES).map(Arc::make_mut)
    }

    /// The same as [`SharedTable::find`], to be changed; its tag has to stay.
    pub fn find_mut(&mut self, tag: u32, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.find(tag, &is_it)?;
        let hash = spread(tag);
        self.leaf_mut(hash)?.find_mut(hash, |thing| thing.tag() == tag && is_it(thing))
    }

    /// Adds a thing that is not there yet.
    pub fn insert(&mut self, thing: T) {
        if self.len >= (self.mask + 1) * MOST_OF_A_LEAF {
            self.grow();
        }
        let hash = spread(thing.tag());
        if let Some(leaf) = self.leaf_mut(hash) {
            leaf.insert_unique(hash, thing, |known| spread(known.tag()));
            self.len += 1;
        }
    }

    /// Takes a thing away.
    pub fn remove(&mut self, tag: u32, is_it: impl Fn(&T) -> bool) -> Option<T> {
        self.find(tag, &is_it)?;
        let hash = spread(tag);
        let found = self.leaf_mut(hash)?.find_entry(hash, |thing| thing.tag() == tag && is_it(thing)).ok()?;
        let (thing, _) = found.remove();
        self.len -= 1;
        Some(thing)
    }

    /// Has twice as many leaves from now on, which costs a step for each thing, once for as many as come
    /// until the next time.
    fn grow(&mut self) {
        let leaves = (self.mask + 1) * 2;
        let before = std::mem::replace(self, SharedTable::with_leaves(leaves, self.len / leaves));
        let mut put = |thing: T| {
            let hash = spread(thing.tag());
            if let Some(leaf) = self.leaf_mut(hash) {
                leaf.insert_unique(hash, thing, |known| spread(known.tag()));
                self.len += 1;
            }
        };
        for mut block in before.blocks {
            match Arc::get_mut(&mut block) {
                Some(leaves) => leaves.iter_mut().map(std::mem::take).flat_map(Arc::unwrap_or_clone).for_each(&mut put),
                None => block.iter().flat_map(|leaf| leaf.iter()).cloned().for_each(&mut put),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A tag, a name that is compared, and a value.
    #[derive(Clone, Debug, PartialEq)]
    struct Thing(u32, u32, Arc<u32>);

    impl Tagged for Thing {
        fn tag(&self) -> u32 {
            self.0
        }
    }

    /// Few names, some of which have a tag in common.
    fn tag(name: u32) -> u32 {
        (name / 2).wrapping_mul(0x85eb_ca6b)
    }

    fn find(table: &SharedTable<Thing>, name: u32) -> Option<u32> {
        table.find(tag(name), |thing| thing.1 == name).map(|thing| *thing.2)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u32, u32),
        Remove(u32),
        Keep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..3000_u32, any::<u32>()).prop_map(|(name, value)| Step::Put(name, value)),
            3 => (0..3000_u32).prop_map(Step::Remove),
            1 => Just(Step::Keep),
        ];
        prop::collection::vec(step, 0..1500)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// It is what a plain map would be while it grows, and what was kept stays as it was.
        #[test]
        fn it_is_a_map(capacity in prop::sample::select(vec![0_usize, 100, 20_000]), steps in steps()) {
            let mut plain = BTreeMap::new();
            let mut table: SharedTable<Thing> = SharedTable::with_capacity(capacity);
            let mut kept = Vec::new();
            for step in steps {
                match step {
                    Step::Put(name, value) => match table.find_mut(tag(name), |thing| thing.1 == name) {
                        Some(known) => {
                            known.2 = Arc::new(value);
                            prop_assert!(plain.insert(name, value).is_some());
                        }
                        None => {
                            table.insert(Thing(tag(name), name, Arc::new(value)));
                            prop_assert!(plain.insert(name, value).is_none());
                        }
                    },
                    Step::Remove(name) => {
                        let removed = table.remove(tag(name), |thing| thing.1 == name);
                        prop_assert_eq!(plain.remove(&name), removed.map(|thing| *thing.2));
                    }
                    Step::Keep => kept.push((plain.clone(), table.clone())),
                }
            }
            kept.push((plain, table));
            for (plain, table) in &kept {
                prop_assert_eq!(plain.len(), table.len());
                prop_assert_eq!(plain.len(), table.iter().count());
                for name in 0..3000 {
                    prop_assert_eq!(plain.get(&name).copied(), find(table, name));
                }
            }
        }
    }

    #[test]
    fn it_grows_evenly_and_a_change_copies_one_leaf() {
        let mut table = SharedTable::default();
        for name in 0..100_000 {
            table.insert(Thing(tag(2 * name), 2 * name, Arc::new(name)));
        }
        let sizes: Vec<usize> = table.blocks.iter().flat_map(|block| block.iter().map(|leaf| leaf.len())).collect();
        assert_eq!(sizes.len(), 1024);
        assert!(*sizes.iter().max().unwrap() <= 2 * MOST_OF_A_LEAF, "{sizes:?}");
        let mut changed = table.clone();
        assert!(changed.remove(tag(7000), |thing| thing.1 == 7000).is_some());
        assert_eq!((find(&table, 7000), find(&changed, 7000)), (Some(3500), None));
        let in_both = table.iter().filter(|thing| Arc::strong_count(&thing.2) > 1).count();
        assert!(in_both < 2 * MOST_OF_A_LEAF, "{in_both} were copied");
    }
}
