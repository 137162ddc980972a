//! All accounts of a policy: their order, the look-up of a token by its digest, and which of them the
//! next policy can have as they are.
//!
//! There may be millions. An account that is written as it was is the same value in the policy that
//! comes after, so that a change of one line costs no more memory than that line, and what the account
//! has used goes on being counted in one place.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use super::in_order::InOrder;
use super::{Account, Digest, Key, Principal};

/// Accounts in the order of the configuration, and their tokens by digest.
#[derive(Debug)]
pub struct Accounts {
    accounts: Vec<Arc<Account>>,
    tokens: HashTable<Entry>,
    /// How many tokens the accounts have.
    token_count: usize,
    stretches: Vec<Stretch>,
    hasher: RandomState,
    digests: DigestHasher,
    /// Called between pieces of work that can wait, so that others have the processor in between.
    pace: fn(),
}

/// Where a token is: all of what a look-up needs besides the account itself.
#[derive(Debug)]
struct Entry {
    /// The digest's hash.
    hash: u64,
    account: Arc<Account>,
    account_place: u32,
    token_place: u32,
}

/// What a token takes in the table.
#[cfg(test)]
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

/// Hashes of digests. Those of tokens are as good as random, but nothing makes sure that what a file has
/// is the digest of anything: without a key that nobody knows, a hundred thousand of them could be made to
/// have one hash.
#[derive(Clone, Copy, Debug)]
struct DigestHasher([u64; 4]);

/// Half of its bits are set, without an order.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl DigestHasher {
    /// One with a key of its own.
    fn new() -> DigestHasher {
        let random = RandomState::new();
        DigestHasher([0_u8, 1, 2, 3].map(|number| random.hash_one(number)))
    }

    fn hash(&self, digest: &Digest) -> u64 {
        let ([a, b, c, d], [key_a, key_b, key_c, key_d]) = (digest.words(), self.0);
        let mixed = folded(a ^ key_a, b ^ key_b) ^ folded(c ^ key_c, d ^ key_d);
        // A factor that is the same for all, and even by chance, would leave bits of the other out.
        folded(mixed, ODD)
    }
}

/// Both halves of a product, so that every bit of the factors counts in every bit of the result.
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    let half = |half: u128| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default();
    half(product) ^ half(product >> 64)
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
    /// None yet. Freeing them takes long where there are many: `pace` is called after each, and may rest.
    pub fn new(pace: fn()) -> Accounts {
        Accounts {
            accounts: Vec::new(),
            tokens: HashTable::new(),
            token_count: 0,
            stretches: Vec::new(),
            hasher: RandomState::new(),
            digests: DigestHasher::new(),
            pace,
        }
    }

    /// Makes room for as many as others have, and gives texts the same fingerprints as they do.
    pub fn following(before: &Accounts) -> Accounts {
        Accounts {
            accounts: Vec::with_capacity(before.len()),
            tokens: HashTable::with_capacity(before.tokens.len()),
            token_count: 0,
            stretches: Vec::with_capacity(before.stretches.len()),
            hasher: before.hasher.clone(),
            digests: before.digests,
            pace: before.pace,
        }
    }

    /// Adds an account with its tokens, and says which of them have a digest that is there already:
    /// those cannot be found.
    pub fn push(&mut self, account: Arc<Account>) -> Vec<Twice> {
        let mut twice = Vec::new();
        let account_place = short(self.accounts.len());
        for (own, Key { digest, .. }) in account.keys.iter().enumerate() {
            let hash = self.digests.hash(digest);
            match self.tokens.entry(hash, |entry| entry.is(hash, digest), |entry| entry.hash) {
                Slot::Occupied(known) => twice.push(Twice { own, first: place(known.get().token_place) }),
                Slot::Vacant(free) => {
                    let token_place = short(self.token_count + own);
                    let account = Arc::clone(&account);
                    free.insert(Entry { hash, account, account_place, token_place });
                }
            }
        }
        self.token_count += account.keys.len();
        self.accounts.push(account);
        twice
    }

    /// Who has the token with this digest. Equal digests alone are compared, so the time tells nothing
    /// of a token that was nearly guessed.
    pub fn find(&self, digest: &Digest) -> Option<Principal<'_>> {
        let hash = self.digests.hash(digest);
        let entry = self.tokens.find(hash, |entry| entry.is(hash, digest))?;
        let key = entry.account.key(digest)?;
        Some(Principal {
            token: &key.token,
            token_place: place(entry.token_place),
            account: &entry.account,
            account_place: place(entry.account_place),
        })
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

    /// Every token, in the order of the accounts.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.accounts.iter().flat_map(|account| &account.keys)
    }

    /// How many tokens they have.
    pub fn tokens(&self) -> usize {
        self.token_count
    }

    fn of(&self, stretch: &Stretch) -> Option<&[Arc<Account>]> {
        self.accounts.get(place(stretch.first)..)?.get(..place(stretch.count))
    }
}

/// Frees one after the other, since a thread that keeps a pace must not free a hundred thousand at once.
impl Drop for Accounts {
    fn drop(&mut self) {
        let pace = self.pace;
        let tokens = self.tokens.drain().map(|entry| drop(entry.account));
        tokens.chain(self.accounts.drain(..).map(drop)).for_each(|()| pace());
    }
}

/// Every account, in order.
impl Deref for Accounts {
    type Target = [Arc<Account>];

    fn deref(&self) -> &[Arc<Account>] {
        &self.accounts
    }
}

impl Entry {
    fn is(&self, hash: u64, digest: &Digest) -> bool {
        self.hash == hash && self.account.key(digest).is_some()
    }
}

/// A place as it is kept. More accounts than this do not fit any machine.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn place(short: u32) -> usize {
    usize::try_from(short).unwrap_or(usize::MAX)
}

/// The accounts that texts were made into before.
#[derive(Debug)]
pub struct Unchanged<'a> {
    before: &'a Accounts,
    stretches: InOrder<'a, Stretch, u64>,
}

impl<'a> Unchanged<'a> {
    /// Those of a policy that is in force.
    pub fn of(before: &'a Accounts) -> Unchanged<'a> {
        Unchanged { before, stretches: InOrder::of(&before.stretches, |stretch| stretch.fingerprint) }
    }

    /// The accounts that a text with this fingerprint was made into; `None` if there was no such text.
    pub fn find(&mut self, fingerprint: u64) -> Option<&'a [Arc<Account>]> {
        let stretch = self.stretches.find(fingerprint, |stretch| stretch.fingerprint == fingerprint)?;
        self.before.of(stretch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::account::samples::{account, key};

    fn digest(number: u32) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn a_token_is_found_by_its_digest_alone() {
        let mut accounts = Accounts::new(|| {});
        for number in 0..1000 {
            let name = number.to_string();
            let keys = [key(&name, digest(2 * number)), key(&name, digest(2 * number + 1))];
            assert_eq!(accounts.push(Arc::new(account(&name, keys))), []);
        }
        assert_eq!((accounts.len(), accounts.tokens()), (1000, 2000));
        let found = accounts.find(&digest(1999)).unwrap();
        assert_eq!((&*found.account.name, found.account_place, found.token_place), ("999", 999, 1999));
        assert!(accounts.find(&digest(2000)).is_none());
    }

    /// Digests that are made up can have any bytes in common.
    #[test]
    fn digests_have_different_hashes_whatever_they_have_in_common() {
        let hasher = DigestHasher::new();
        for varied in [[0, 1, 2], [8, 9, 10], [16, 17, 18], [24, 25, 26], [29, 30, 31], [0, 8, 16], [7, 15, 31]] {
            let (mut low, mut high) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            for number in 0..4096_u32 {
                let mut bytes = [0x5a; 32];
                for (place, byte) in varied.into_iter().zip(number.to_le_bytes()) {
                    bytes[place] = byte;
                }
                let hash = hasher.hash(&Digest(bytes));
                low.insert(hash & 0xffff);
                high.insert(hash >> 48);
            }
            // Of 4096 in 65536 places, about 120 share one by chance.
            assert!(low.len() > 3700 && high.len() > 3700, "{varied:?}: {} and {}", low.len(), high.len());
        }
    }

    #[test]
    fn a_digest_that_is_there_already_is_told_and_belongs_to_the_first() {
        let mut accounts = Accounts::new(|| {});
        assert_eq!(accounts.push(Arc::new(account("a", [key("one", digest(1))]))), []);
        let again = account("b", [key("two", digest(2)), key("three", digest(1)), key("four", digest(2))]);
        let expected = [Twice { own: 1, first: 0 }, Twice { own: 2, first: 1 }];
        assert_eq!(accounts.push(Arc::new(again)), expected);
        assert_eq!(&*accounts.find(&digest(1)).unwrap().account.name, "a");
    }

    #[test]
    fn what_a_text_was_made_into_is_found_in_any_order() {
        let mut before = Accounts::new(|| {});
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
