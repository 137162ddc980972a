//! A list of which a changed one shares with the one before all that is the same.

use std::sync::Arc;

/// Things that are copied when one of them changes, and groups of them.
const FAN_OUT: usize = 64;

/// A list that grows and shrinks at its end.
#[derive(Clone, Debug)]
pub struct SharedList<T> {
    blocks: Vec<Arc<Block<T>>>,
    len: usize,
}

/// Leaves, all of them full but the last one of the list.
type Block<T> = Vec<Arc<Leaf<T>>>;

type Leaf<T> = Vec<T>;

impl<T> Default for SharedList<T> {
    fn default() -> SharedList<T> {
        SharedList { blocks: Vec::new(), len: 0 }
    }
}

impl<T> SharedList<T> {
    /// How many things it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The thing at an index.
    pub fn get(&self, index: usize) -> Option<&T> {
        let leaf = index / FAN_OUT;
        self.blocks.get(leaf / FAN_OUT)?.get(leaf % FAN_OUT)?.get(index % FAN_OUT)
    }

    /// All things, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.blocks.iter().flat_map(|block| block.iter().flat_map(|leaf| leaf.iter()))
    }

    /// Things in a row, in order.
    pub fn range(&self, first: usize, count: usize) -> impl Iterator<Item = &T> + Clone {
        (first..first.saturating_add(count)).map_while(|index| self.get(index))
    }

    /// Frees what nobody else shares, and calls `pace` after each thing.
    pub fn free(&mut self, pace: fn()) {
        self.len = 0;
        for block in self.blocks.drain(..) {
            for leaf in Arc::into_inner(block).into_iter().flatten() {
                Arc::into_inner(leaf).into_iter().flatten().for_each(|thing| {
                    drop(thing);
                    pace();
                });
            }
        }
    }
}

impl<T: Clone> SharedList<T> {
    /// The thing at an index, to be changed: it and its neighbours are copied if somebody shares them.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.get(index)?;
        let leaf = index / FAN_OUT;
        let block = Arc::make_mut(self.blocks.get_mut(leaf / FAN_OUT)?);
        Arc::make_mut(block.get_mut(leaf % FAN_OUT)?).get_mut(index % FAN_OUT)
    }

    /// Adds a thing behind all others.
    pub fn push(&mut self, thing: T) {
        if self.len.is_multiple_of(FAN_OUT * FAN_OUT) {
            self.blocks.push(Arc::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            let block = Arc::make_mut(block);
            if self.len.is_multiple_of(FAN_OUT) {
                block.push(Arc::new(Vec::with_capacity(FAN_OUT)));
            }
            if let Some(leaf) = block.last_mut() {
                Arc::make_mut(leaf).push(thing);
                self.len += 1;
            }
        }
    }

    /// Takes the last thing away.
    pub fn pop(&mut self) -> Option<T> {
        let block = Arc::make_mut(self.blocks.last_mut()?);
        let leaf = Arc::make_mut(block.last_mut()?);
        let thing = leaf.pop()?;
        self.len -= 1;
        if leaf.is_empty() {
            block.pop();
        }
        if block.is_empty() {
            self.blocks.pop();
        }
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u32),
        Pop,
        Set(usize, u32),
        /// Keeps the list as it is, to be compared at the end.
        Keep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => any::<u32>().prop_map(Step::Push),
            2 => Just(Step::Pop),
            2 => (any::<usize>(), any::<u32>()).prop_map(|(index, thing)| Step::Set(index, thing)),
            1 => Just(Step::Keep),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// It is what a plain list would be, at the edges of blocks as well, and what was kept stays.
        #[test]
        fn it_is_a_list(first in prop::sample::select(vec![0, 1, 63, 64, 4000, 4095, 4096, 4097]), steps in steps()) {
            let mut plain: Vec<u32> = (0..first).collect();
            let mut list = SharedList::default();
            plain.iter().for_each(|thing| list.push(*thing));
            let mut kept = Vec::new();
            for step in steps {
                match step {
                    Step::Push(thing) => {
                        plain.push(thing);
                        list.push(thing);
                    }
                    Step::Pop => prop_assert_eq!(plain.pop(), list.pop()),
                    Step::Set(index, thing) if !plain.is_empty() => {
                        let index = index % plain.len();
                        plain[index] = thing;
                        *list.get_mut(index).unwrap() = thing;
                    }
                    Step::Set(..) => prop_assert!(list.get_mut(0).is_none()),
                    Step::Keep => kept.push((plain.clone(), list.clone())),
                }
            }
            kept.push((plain, list));
            for (plain, list) in &kept {
                prop_assert_eq!(plain.len(), list.len());
                prop_assert!(plain.iter().eq(list.iter()));
                prop_assert!(plain.get(3..9).unwrap_or_default().iter().eq(list.range(3, 6).filter(|_| plain.len() >= 9)));
                prop_assert_eq!(plain.get(plain.len() / 2), list.get(plain.len() / 2));
                prop_assert_eq!(None, list.get(plain.len()));
            }
        }
    }

    #[test]
    fn a_change_copies_its_neighbours_and_shares_the_rest() {
        let mut list = SharedList::default();
        (0..100_000).for_each(|thing| list.push(Arc::new(thing)));
        let mut changed = list.clone();
        *changed.get_mut(70_000).unwrap() = Arc::new(0);
        let copied = list.iter().filter(|thing| Arc::strong_count(thing) > 1).count();
        assert_eq!(copied, FAN_OUT - 1, "those beside the changed one are in both");
        assert_eq!((**list.get(70_000).unwrap(), **changed.get(70_000).unwrap()), (70_000, 0));
    }
}
