//! The table in which a token is found by its digest.
//!
//! It is larger than the processor's caches where there are a million tokens, and a look-up waits for
//! each place of memory that it has to see. Here that is one, and the account itself. A general table
//! has its control bytes elsewhere, which is one more.

use std::sync::Arc;

use super::{Account, Digest};

/// Slots that there are at least; a power of two.
const FEWEST: usize = 16;

/// Open addressing with linear probing: a digest stands at the place that its first word names, or
/// behind it, with nothing free in between. At least half of the slots are free, so that most are found
/// at once. Digests are as good as random: nobody can make many that meet, without making as many SHA-256
/// digests as it takes to find them.
#[derive(Debug, Default)]
pub struct Slots {
    /// None, or a power of two.
    slots: Vec<Slot>,
    taken: usize,
}

/// A digest's first word, and the account whose token has the digest.
#[derive(Clone, Debug, Default)]
struct Slot {
    word: u64,
    account: Option<Arc<Account>>,
}

/// What became of a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is in the slot with this number. All numbers change when the table grows.
    New(usize),
    /// Its digest is in this slot already.
    Known(usize),
}

impl Slots {
    /// Room for so many tokens.
    pub fn with_capacity(tokens: usize) -> Slots {
        let mut slots = Slots::default();
        if tokens > 0 {
            slots.slots = vec![Slot::default(); (2 * tokens).next_power_of_two().max(FEWEST)];
        }
        slots
    }

    /// Whether the next token finds room without growing.
    pub fn has_room(&self) -> bool {
        2 * (self.taken + 1) <= self.slots.len()
    }

    /// Doubles the table. `moved` is told of each token's old and new slot.
    pub fn grow(&mut self, mut moved: impl FnMut(usize, usize)) {
        let larger = vec![Slot::default(); (2 * self.slots.len()).max(FEWEST)];
        let smaller = std::mem::replace(&mut self.slots, larger);
        for (old, slot) in smaller.into_iter().enumerate().filter(|(_, slot)| slot.account.is_some()) {
            let free = self.probe(slot.word).find(|place| self.account(*place).is_none());
            if let Some((place, target)) = free.and_then(|place| Some((place, self.slots.get_mut(place)?))) {
                *target = slot;
                moved(old, place);
            }
        }
    }

    /// Enters a token; there has to be room.
    pub fn enter(&mut self, digest: &Digest, account: &Arc<Account>) -> Option<Entered> {
        let word = digest.hash();
        for place in self.probe(word) {
            let slot = self.slots.get_mut(place)?;
            match &slot.account {
                None => {
                    *slot = Slot { word, account: Some(Arc::clone(account)) };
                    self.taken += 1;
                    return Some(Entered::New(place));
                }
                Some(known) if slot.word == word && known.key(digest).is_some() => return Some(Entered::Known(place)),
                Some(_) => {}
            }
        }
        None
    }

    /// The slot of a digest, and the account.
    pub fn find(&self, digest: &Digest) -> Option<(usize, &Arc<Account>)> {
        let word = digest.hash();
        for place in self.probe(word) {
            let slot = self.slots.get(place)?;
            // Behind a free slot there is nothing of this word.
            let account = slot.account.as_ref()?;
            if slot.word == word && account.key(digest).is_some() {
                return Some((place, account));
            }
        }
        None
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    fn account(&self, place: usize) -> Option<&Arc<Account>> {
        self.slots.get(place)?.account.as_ref()
    }

    /// The slots that a word may be in, in their order.
    fn probe(&self, word: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        // The low bits are enough on any machine.
        let first = usize::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
        (0..count).map(move |step| first.wrapping_add(step) & count.wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::{account, key};

    fn digest(number: u32) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    fn holder(digest: Digest) -> Arc<Account> {
        Arc::new(account("a", [key("t", digest)]))
    }

    #[test]
    fn what_was_entered_is_found_however_the_table_grows() {
        for capacity in [0, 1, 5000] {
            let mut slots = Slots::with_capacity(capacity);
            for number in 0..3000 {
                if !slots.has_room() {
                    let before: Vec<_> = (0..number).map(|number| slots.find(&digest(number)).unwrap().0).collect();
                    let mut after = vec![usize::MAX; slots.len()];
                    slots.grow(|old, new| after[old] = new);
                    for number in 0..number {
                        let (place, _) = slots.find(&digest(number)).unwrap();
                        assert_eq!(after[before[number as usize]], place);
                    }
                }
                let account = holder(digest(number));
                let Some(Entered::New(place)) = slots.enter(&digest(number), &account) else { panic!("{number}") };
                assert_eq!(slots.enter(&digest(number), &account), Some(Entered::Known(place)));
            }
            assert!((0..3000).all(|number| slots.find(&digest(number)).is_some()));
            assert!((3000..9000).all(|number| slots.find(&digest(number)).is_none()));
            assert!(slots.len() >= 6000);
        }
    }

    #[test]
    fn digests_that_begin_alike_are_told_apart() {
        let alike = |last: u8| {
            let mut text = format!("sha256:{}", "ff".repeat(32));
            text.replace_range(text.len() - 2.., &format!("{last:02x}"));
            Digest::parse(&text).unwrap()
        };
        let mut slots = Slots::with_capacity(200);
        for last in 0..=99 {
            assert!(matches!(slots.enter(&alike(last), &holder(alike(last))), Some(Entered::New(_))));
        }
        for last in 0..=255 {
            assert_eq!(slots.find(&alike(last)).is_some(), last < 100, "{last}");
        }
    }

    #[test]
    fn an_empty_table_has_nothing() {
        assert!(Slots::default().find(&digest(1)).is_none());
        assert!(!Slots::default().has_room());
    }
}
