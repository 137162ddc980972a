//! All accounts of a policy: their order, the look-up of a token by its digest, and which of them the
//! next policy can have as they are.
//!
//! There may be millions. An account that is written as it was is the same value in the policy that
//! comes after, so that a change of one line costs no more memory than that line, and what the account
//! has used goes on being counted in one place. Accounts of files come as a whole, with all others of
//! their configuration; those of the store may change one by one (`directory/change.rs`).

pub mod change;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::in_order::InOrder;
use super::{Account, Digest, Key, Principal};
use crate::policy::sharing::{SharedList, SharedTable, Tagged};

/// All accounts: those of files in the order of the configuration, then those of the store. A clone
/// shares what is not changed in either of both.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The accounts by their slots. One that is gone leaves its slot empty.
    slots: SharedList<Option<Arc<Account>>>,
    /// Empty slots, which are taken before new ones are. Whatever counts by slots belongs to a snapshot, as
    /// these do: a request of a snapshot before finds what had the slot then.
    free: SharedList<u32>,
    /// The first slots have the accounts of files.
    from_files: usize,
    tokens: SharedTable<TokenEntry>,
    names: SharedTable<NameEntry>,
    /// How many tokens the accounts have.
    token_count: usize,
    stretches: Arc<Vec<Stretch>>,
    hasher: RandomState,
    name_hasher: DefaultHashBuilder,
    digests: DigestHasher,
    /// Called between pieces of work that can wait, so that others have the processor in between.
    pace: fn(),
}

/// Where a token is: all of what a look-up needs besides the account itself.
#[derive(Clone, Debug)]
struct TokenEntry {
    account: Arc<Account>,
    /// Half of the digest's hash.
    tag: u32,
    slot: u32,
}

impl Tagged for TokenEntry {
    #[inline]
    fn tag(&self) -> u32 {
        self.tag
    }
}

/// Which slot the account of a name has.
#[derive(Clone, Copy, Debug)]
struct NameEntry {
    /// Half of the name's hash.
    tag: u32,
    slot: u32,
}

impl Tagged for NameEntry {
    fn tag(&self) -> u32 {
        self.tag
    }
}

/// What an account takes in the tables, besides what it and its tokens are.
#[cfg(test)]
pub(super) const ENTRY_BYTES: usize = size_of::<TokenEntry>() + size_of::<NameEntry>();

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

    #[inline]
    fn tag(&self, digest: &Digest) -> u32 {
        let ([a, b, c, d], [key_a, key_b, key_c, key_d]) = (digest.words(), self.0);
        let mixed = folded(a ^ key_a, b ^ key_b) ^ folded(c ^ key_c, d ^ key_d);
        // A factor that is the same for all, and even by chance, would leave bits of the other out.
        upper_half(folded(mixed, ODD))
    }
}

/// Both halves of a product, so that every bit of the factors counts in every bit of the result.
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    let half = |half: u128| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default();
    half(product) ^ half(product >> 64)
}

fn upper_half(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// Some accounts in a row, and a fingerprint of the text that they were made of.
#[derive(Clone, Debug)]
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
    /// Its index among the tokens of its account.
    pub own: usize,
    /// The slot of the account that has the other one.
    pub slot: usize,
    /// The index of the other one among the tokens of that.
    pub first: usize,
}

/// A name that another account has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameTaken {
    /// The slot of that account.
    pub slot: usize,
}

impl Accounts {
    /// None yet. Freeing them takes long where there are many: `pace` is called after each, and may rest.
    pub fn new(pace: fn()) -> Accounts {
        Accounts {
            slots: SharedList::default(),
            free: SharedList::default(),
            from_files: 0,
            tokens: SharedTable::default(),
            names: SharedTable::default(),
            token_count: 0,
            stretches: Arc::default(),
            hasher: RandomState::new(),
            name_hasher: DefaultHashBuilder::default(),
            digests: DigestHasher::new(),
            pace,
        }
    }

    /// None yet, with room for as many as others have; texts have the same fingerprints as there.
    pub fn following(before: &Accounts) -> Accounts {
        Accounts {
            slots: SharedList::default(),
            free: SharedList::default(),
            from_files: 0,
            tokens: SharedTable::with_capacity(before.tokens.len()),
            names: SharedTable::with_capacity(before.names.len()),
            token_count: 0,
            stretches: Arc::new(Vec::with_capacity(before.stretches.len())),
            hasher: before.hasher.clone(),
            name_hasher: before.name_hasher.clone(),
            digests: before.digests,
            pace: before.pace,
        }
    }

    /// Copies of all accounts, those of files and those of the store as they are here.
    pub fn copied(&self, copy: impl Fn(&Account) -> Account) -> Accounts {
        let mut copies = Accounts::following(self);
        for (slot, account) in self.by_slot() {
            let account = Arc::new(copy(account));
            // Nothing conflicts that has not before, and what did is left out again.
            if self.is_from_store(slot) {
                let _ = copies.take_in([account]);
            } else {
                (self.pace)();
                let _ = copies.push(account);
            }
        }
        copies
    }

    /// Adds an account of a file with its tokens, behind those that are there, and says which of the tokens
    /// have a digest that is there already: those cannot be found.
    ///
    /// # Errors
    /// Another account has the name, and nothing was added.
    pub fn push(&mut self, account: Arc<Account>) -> Result<Vec<Twice>, NameTaken> {
        if let Some(slot) = self.slot_of(&account.name) {
            return Err(NameTaken { slot });
        }
        let slot = self.slots.len();
        let twice = self.enter(account, slot);
        self.from_files = self.slots.len();
        Ok(twice)
    }

    /// Puts an account whose name nobody has into an empty slot, or behind the last.
    fn enter(&mut self, account: Arc<Account>, slot: usize) -> Vec<Twice> {
        self.names.insert(NameEntry { tag: self.name_tag(&account.name), slot: short(slot) });
        match self.slots.get_mut(slot) {
            Some(empty) => *empty = Some(Arc::clone(&account)),
            None => self.slots.push(Some(Arc::clone(&account))),
        }
        self.enter_tokens(&account, slot)
    }

    fn enter_tokens(&mut self, account: &Arc<Account>, slot: usize) -> Vec<Twice> {
        let mut twice = Vec::new();
        for (own, key) in account.keys.iter().enumerate() {
            let tag = self.digests.tag(&key.digest);
            match self.entry(tag, &key.digest).map(|known| (index(known.slot), known.account.key(&key.digest))) {
                Some((slot, known)) => twice.push(Twice { own, slot, first: known.map_or(0, |(first, _)| first) }),
                None => self.tokens.insert(TokenEntry { account: Arc::clone(account), tag, slot: short(slot) }),
            }
        }
        self.token_count += account.keys.len();
        twice
    }

    #[inline]
    fn entry(&self, tag: u32, digest: &Digest) -> Option<&TokenEntry> {
        self.tokens.find(tag, |entry| entry.account.key(digest).is_some())
    }

    /// Who has the token with this digest. Equal digests alone are compared, so the time tells nothing
    /// of a token that was nearly guessed.
    pub fn find(&self, digest: &Digest) -> Option<Principal<'_>> {
        let entry = self.entry(self.digests.tag(digest), digest)?;
        let (token_index, key) = entry.account.key(digest)?;
        Some(Principal { token: &key.token, token_index, account: &entry.account, account_index: index(entry.slot) })
    }

    /// Who has the token of this name in the account of that name.
    pub fn named(&self, account: &str, token: &str) -> Option<Principal<'_>> {
        let slot = self.slot_of(account)?;
        let account = self.at(slot)?;
        let (token_index, key) = account.keys.iter().enumerate().find(|(_, key)| *key.token.name == *token)?;
        Some(Principal { token: &key.token, token_index, account, account_index: slot })
    }

    fn name_tag(&self, name: &str) -> u32 {
        upper_half(self.name_hasher.hash_one(name))
    }

    /// The slot of the account of a name.
    pub fn slot_of(&self, name: &str) -> Option<usize> {
        let is_it = |entry: &NameEntry| self.at(index(entry.slot)).is_some_and(|account| *account.name == *name);
        self.names.find(self.name_tag(name), is_it).map(|entry| index(entry.slot))
    }

    /// The account of a name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Account>> {
        self.at(self.slot_of(name)?)
    }

    /// The account that has a slot.
    pub fn at(&self, slot: usize) -> Option<&Arc<Account>> {
        self.slots.get(slot)?.as_ref()
    }

    /// How many slots there are; some may be empty.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Every account by its slot: those of files in the order of the configuration, then those of the store.
    pub fn by_slot(&self) -> impl Iterator<Item = (usize, &Arc<Account>)> + Clone {
        self.slots.iter().enumerate().filter_map(|(slot, account)| Some((slot, account.as_ref()?)))
    }

    /// Every account in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> + Clone {
        self.slots.iter().flatten()
    }

    /// So many accounts as they are listed: those of files in the order of the configuration, then those of
    /// the store by their names, so that it does not tell who came first.
    pub fn listed(&self, most: usize) -> Vec<&Arc<Account>> {
        let mut listed: Vec<_> = self.slots.range(0, self.from_files.min(most)).flatten().collect();
        let left = most - listed.len();
        if left > 0 {
            let mut others: Vec<_> = self.from_store().collect();
            if others.len() > left {
                others.select_nth_unstable_by(left, |one, other| one.name.cmp(&other.name));
                others.truncate(left);
            }
            others.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            listed.append(&mut others);
        }
        listed
    }

    /// Whether the account of a slot is the store's.
    pub fn is_from_store(&self, slot: usize) -> bool {
        slot >= self.from_files
    }

    /// The accounts of the store.
    pub fn from_store(&self) -> impl Iterator<Item = &Arc<Account>> + Clone {
        let behind = self.slots.len() - self.from_files;
        self.slots.range(self.from_files, behind).flatten()
    }

    /// Every token, in the order of the accounts.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.iter().flat_map(|account| &account.keys)
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many tokens they have.
    pub fn tokens(&self) -> usize {
        self.token_count
    }

    /// A fingerprint of a text: equal texts have equal ones, as long as one is made from the other by
    /// [`Accounts::following`].
    pub fn fingerprint(&self, kind: Text, text: &str) -> u64 {
        self.hasher.hash_one((kind, text))
    }

    /// Notes that the accounts of files from `first` on are all that a text says.
    pub fn note(&mut self, fingerprint: u64, first: usize) {
        let count = short(self.from_files.saturating_sub(first));
        Arc::make_mut(&mut self.stretches).push(Stretch { fingerprint, first: short(first), count });
    }

    fn of(&self, stretch: &Stretch) -> impl Iterator<Item = &Arc<Account>> + Clone {
        self.slots.range(index(stretch.first), index(stretch.count)).flatten()
    }
}

/// Frees one after the other, since a thread that keeps a pace must not free a hundred thousand at once.
impl Drop for Accounts {
    fn drop(&mut self) {
        self.tokens.free(self.pace);
        self.slots.free(self.pace);
    }
}

/// A slot as it is kept. More accounts than this do not fit any machine.
fn short(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn index(short: u32) -> usize {
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
    pub fn find(&mut self, fingerprint: u64) -> Option<impl Iterator<Item = &'a Arc<Account>> + Clone + use<'a>> {
        let stretch = self.stretches.find(fingerprint, |stretch| stretch.fingerprint == fingerprint)?;
        Some(self.before.of(stretch))
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
