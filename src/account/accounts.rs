//! All accounts of a policy: their order, the look-up of a token by its digest, and which of them the
//! next policy can have as they are.
//!
//! There may be millions. An account that is written as it was is the same value in the policy that
//! comes after, so that a change of one line costs no more memory than that line, and what the account
//! has used goes on being counted in one place.

use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashMap;

use super::slots::{Entered, Slots};
use super::{Account, Digest, Key, Principal};

/// Accounts in the order of the configuration, and their tokens by digest.
#[derive(Debug, Default)]
pub struct Accounts {
    accounts: Vec<Arc<Account>>,
    tokens: Slots,
    /// Which account and which token each of the slots has.
    places: Vec<Places>,
    /// How many tokens the accounts have.
    token_count: usize,
    stretches: Vec<Stretch>,
    hasher: RandomState,
}

/// The places of a token and its account, among all tokens and all accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    token: u32,
    account: u32,
}

impl Places {
    /// The token's place among all tokens.
    pub fn token(self) -> usize {
        long(self.token)
    }

    /// The account's place among all accounts.
    pub fn account(self) -> usize {
        long(self.account)
    }
}

/// Some accounts in a row, and a fingerprint of the text that they were made of.
#[derive(Debug)]
struct Stretch {
    fingerprint: u64,
    first: u32,
    count: u32,
}

/// What kind of text accounts are made of.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Text {
    /// One line of JSON Lines.
    Line,
    /// Entries of a YAML file, below its key.
    Entries,
    /// A whole YAML file.
    File,
}

/// A token whose digest another one has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twice {
    /// Its place among the tokens of its account.
    pub own: usize,
    /// The place of the other one among all tokens.
    pub first: usize,
}

impl Accounts {
    /// Makes room for as many as others have, and gives texts the same fingerprints as they do.
    pub fn following(before: &Accounts) -> Accounts {
        Accounts {
            accounts: Vec::with_capacity(before.len()),
            tokens: Slots::with_capacity(before.token_count),
            places: Vec::new(),
            token_count: 0,
            stretches: Vec::with_capacity(before.stretches.len()),
            hasher: before.hasher.clone(),
        }
    }

    /// Adds an account with its tokens, and says which of them have a digest that is there already:
    /// those cannot be found.
    pub fn push(&mut self, account: Arc<Account>) -> Vec<Twice> {
        let mut twice = Vec::new();
        let account_place = short(self.accounts.len());
        for (own, Key { digest, .. }) in account.keys.iter().enumerate() {
            if !self.tokens.has_room() {
                self.grow();
            }
            match self.tokens.enter(digest, &account) {
                Some(Entered::Known(slot)) => twice.push(Twice { own, first: self.places(slot).token() }),
                Some(Entered::New(slot)) => {
                    let places = Places { token: short(self.token_count + own), account: account_place };
                    self.places.resize(self.tokens.len(), Places::default());
                    self.places.get_mut(slot).into_iter().for_each(|known| *known = places);
                }
                None => {}
            }
        }
        self.token_count += account.keys.len();
        self.accounts.push(account);
        twice
    }

    fn grow(&mut self) {
        let before = std::mem::take(&mut self.places);
        let mut moved = Vec::new();
        self.tokens.grow(|old, new| moved.push((old, new)));
        self.places.resize(self.tokens.len(), Places::default());
        for (old, new) in moved {
            if let (Some(known), Some(places)) = (self.places.get_mut(new), before.get(old)) {
                *known = *places;
            }
        }
    }

    /// Who has the token with this digest. Equal digests alone are compared, so the time tells nothing
    /// of a token that was nearly guessed.
    pub fn find(&self, digest: &Digest) -> Option<Principal<'_>> {
        let (slot, account) = self.tokens.find(digest)?;
        let key = account.key(digest)?;
        Some(Principal { token: &key.token, account, slot })
    }

    /// The places of what was found in a slot.
    pub fn places(&self, slot: usize) -> Places {
        self.places.get(slot).copied().unwrap_or_default()
    }

    /// A fingerprint of a text: equal texts have equal ones, as long as one is made from the other by
    /// [`Accounts::following`].
    pub fn fingerprint(&self, kind: Text, text: &str) -> u64 {
        self.hasher.hash_one((kind, text))
    }

    /// Notes that the accounts from `first` on are all that a text says.
    pub fn note(&mut self, fingerprint: u64, first: usize) {
        let count = short(self.accounts.len().saturating_sub(first));
        self.stretches.push(Stretch { fingerprint, first: short(first), count });
    }

    /// Every account, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Account>> {
        self.accounts.iter()
    }

    /// Every token, in the order of the accounts.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.accounts.iter().flat_map(|account| &account.keys)
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// How many tokens they have.
    pub fn tokens(&self) -> usize {
        self.token_count
    }

    /// The account at a place.
    pub fn get(&self, place: usize) -> Option<&Arc<Account>> {
        self.accounts.get(place)
    }

    fn of(&self, stretch: &Stretch) -> Option<&[Arc<Account>]> {
        self.accounts.get(long(stretch.first)..)?.get(..long(stretch.count))
    }
}

/// A place as it is kept. More accounts than this do not fit any machine.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn long(short: u32) -> usize {
    usize::try_from(short).unwrap_or(usize::MAX)
}

/// The accounts that texts were made into before. They are mostly asked for in their order, and then a
/// hundred thousand of them need no table.
#[derive(Debug)]
pub struct Unchanged<'a> {
    before: &'a Accounts,
    next: usize,
    places: OnceCell<HashMap<u64, usize>>,
}

impl<'a> Unchanged<'a> {
    /// Those of a policy that is in force.
    pub fn of(before: &'a Accounts) -> Unchanged<'a> {
        Unchanged { before, next: 0, places: OnceCell::new() }
    }

    /// The accounts that a text with this fingerprint was made into; `None` if there was no such text.
    pub fn find(&mut self, fingerprint: u64) -> Option<&'a [Arc<Account>]> {
        let stretches = &self.before.stretches;
        if stretches.get(self.next).is_none_or(|stretch| stretch.fingerprint != fingerprint) {
            let table = || stretches.iter().enumerate().map(|(place, stretch)| (stretch.fingerprint, place)).collect();
            self.next = *self.places.get_or_init(table).get(&fingerprint)?;
        }
        let found = stretches.get(self.next).and_then(|stretch| self.before.of(stretch));
        self.next += 1;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::{account, key};

    fn digest(number: u32) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn a_token_is_found_by_its_digest_alone() {
        let mut accounts = Accounts::default();
        for number in 0..1000 {
            let name = number.to_string();
            let keys = [key(&name, digest(2 * number)), key(&name, digest(2 * number + 1))];
            assert_eq!(accounts.push(Arc::new(account(&name, keys))), []);
        }
        assert_eq!((accounts.len(), accounts.tokens()), (1000, 2000));
        let found = accounts.find(&digest(1999)).unwrap();
        let places = accounts.places(found.slot);
        assert_eq!((&*found.account.name, places.account(), places.token()), ("999", 999, 1999));
        assert!(accounts.find(&digest(2000)).is_none());
    }

    #[test]
    fn a_digest_that_is_there_already_is_told_and_belongs_to_the_first() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.push(Arc::new(account("a", [key("one", digest(1))]))), []);
        let again = account("b", [key("two", digest(2)), key("three", digest(1)), key("four", digest(2))]);
        let expected = [Twice { own: 1, first: 0 }, Twice { own: 2, first: 1 }];
        assert_eq!(accounts.push(Arc::new(again)), expected);
        assert_eq!(&*accounts.find(&digest(1)).unwrap().account.name, "a");
    }

    #[test]
    fn what_a_text_was_made_into_is_found_in_any_order() {
        let mut before = Accounts::default();
        let texts = ["", "one", "two\nthree", "four"];
        for text in texts {
            let first = before.len();
            for name in text.lines() {
                assert_eq!(before.push(Arc::new(account(name, []))), []);
            }
            before.note(before.fingerprint(Text::Line, text), first);
        }
        let after = Accounts::following(&before);
        let mut unchanged = Unchanged::of(&before);
        for (text, known) in [
            ("one", true),
            ("two\nthree", true),
            ("five", false),
            ("", true),
            ("one", true),
            ("four", true),
            ("six", false),
            ("four", true),
        ] {
            let names = unchanged
                .find(after.fingerprint(Text::Line, text))
                .map(|accounts| accounts.iter().map(|account| &*account.name).collect::<Vec<_>>());
            assert_eq!(names, known.then(|| text.lines().collect()), "{text:?}");
        }
        assert!(unchanged.find(after.fingerprint(Text::File, "one")).is_none(), "another kind of text");
    }
}
