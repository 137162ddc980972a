//! The answers that are kept, within limits for each account and in all. Time is an argument.
//!
//! Those that end first go first: with one time for all these are the oldest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::kept_answer::KeptAnswer;
use crate::policy::idempotency::{AnswerLimits, Fingerprint};

/// What an answer needs beside its own bytes, in bytes: its places in four tables, and its digests.
const ENTRY_BYTES: usize = 512;

/// Whose an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub account: Arc<str>,
    pub product: Arc<str>,
}

/// When an answer ends, and a number that no other one has.
type End = (Duration, u64);

/// An answer with what it is known by.
#[derive(Clone, Debug)]
pub struct Entry {
    pub owner: Owner,
    /// The request that it belongs to.
    pub request: Fingerprint,
    pub answer: Arc<KeptAnswer>,
    /// The credits that whoever gets it first has to pay; 0 once it was paid.
    pub due: u32,
    /// When it ends, by the clock of the process.
    pub ends: Duration,
}

/// Why an answer is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Ended,
    /// Its account has as many as it may.
    OfAccount,
    /// All accounts together have.
    OfAll,
}

/// All answers.
#[derive(Debug, Default)]
pub struct AnswerTable {
    entries: HashMap<Fingerprint, (Entry, u64)>,
    ends: BTreeMap<End, Fingerprint>,
    shares: HashMap<Owner, Share>,
    bytes: usize,
    next: u64,
}

/// Those of an account for a product.
#[derive(Debug, Default)]
struct Share {
    ends: BTreeMap<End, Fingerprint>,
    bytes: usize,
}

impl AnswerTable {
    /// The answer of a key, if it has not ended.
    pub fn find(&self, key: &Fingerprint, now: Duration) -> Option<&Entry> {
        self.entries.get(key).map(|(entry, _)| entry).filter(|entry| entry.ends > now)
    }

    /// Marks an answer as paid; false if it is not there any more.
    pub fn paid(&mut self, key: &Fingerprint) -> bool {
        self.entries.get_mut(key).map(|(entry, _)| entry.due = 0).is_some()
    }

    /// Keeps an answer, in place of another one with its key. `gone` is called for each answer that has to go, which
    /// may be this one.
    pub fn put(
        &mut self,
        key: Fingerprint,
        entry: Entry,
        limits: AnswerLimits,
        most_bytes: usize,
        mut gone: impl FnMut(Fingerprint, Gone),
    ) {
        self.remove(&key);
        let bytes = size(&entry);
        let (owner, end) = (entry.owner.clone(), (entry.ends, self.next));
        self.next = self.next.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        let share = self.shares.entry(owner.clone()).or_default();
        share.bytes = share.bytes.saturating_add(bytes);
        share.ends.insert(end, key);
        self.ends.insert(end, key);
        self.entries.insert(key, (entry, end.1));
        while let Some(first) = self.shares.get(&owner).and_then(|share| share.excess(limits)) {
            self.remove(&first);
            gone(first, Gone::OfAccount);
        }
        while let Some(first) = self.ends.first_key_value().map(|(_, key)| *key).filter(|_| self.bytes > most_bytes) {
            self.remove(&first);
            gone(first, Gone::OfAll);
        }
    }

    /// Removes answers that have ended, at most so many.
    pub fn sweep(&mut self, now: Duration, most: usize, mut gone: impl FnMut(Fingerprint, Gone)) {
        for _ in 0..most {
            let first = self.ends.first_key_value().filter(|((ends, _), _)| *ends <= now);
            let Some(key) = first.map(|(_, key)| *key) else { return };
            self.remove(&key);
            gone(key, Gone::Ended);
        }
    }

    /// How many answers there are, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn remove(&mut self, key: &Fingerprint) {
        let Some((entry, number)) = self.entries.remove(key) else { return };
        let (bytes, end) = (size(&entry), (entry.ends, number));
        self.bytes = self.bytes.saturating_sub(bytes);
        self.ends.remove(&end);
        if let Some(share) = self.shares.get_mut(&entry.owner) {
            share.bytes = share.bytes.saturating_sub(bytes);
            share.ends.remove(&end);
            if share.ends.is_empty() {
                self.shares.remove(&entry.owner);
            }
        }
    }
}

impl Share {
    /// The answer that has to go, if there are more than there may be.
    fn excess(&self, limits: AnswerLimits) -> Option<Fingerprint> {
        let is_full = self.ends.len() > limits.answers || self.bytes > limits.bytes;
        self.ends.first_key_value().map(|(_, key)| *key).filter(|_| is_full)
    }
}

/// The memory of an answer in bytes.
fn size(entry: &Entry) -> usize {
    entry.answer.bytes().saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::super::kept_answer::sample;
    use super::*;

    const LIMITS: AnswerLimits = AnswerLimits { answers: 3, bytes: 1 << 20, answer_bytes: 1 << 20 };

    fn key(number: u64) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Fingerprint::from_bytes(bytes)
    }

    fn entry(account: &str, bytes: usize, ends: u64) -> Entry {
        Entry {
            owner: Owner { account: account.into(), product: "vat".into() },
            request: key(7),
            answer: Arc::new(sample(&vec![0; bytes])),
            due: 1,
            ends: Duration::from_secs(ends),
        }
    }

    /// Keeps an answer; the numbers of those that had to go for it, each with why.
    fn put(table: &mut AnswerTable, number: u64, entry: Entry, limits: AnswerLimits, most: usize) -> Vec<(u64, Gone)> {
        let mut all = Vec::new();
        table.put(key(number), entry, limits, most, |key, why| {
            all.push((u64::from_be_bytes(*key.bytes().first_chunk().unwrap()), why));
        });
        all
    }

    #[test]
    fn an_answer_is_there_until_its_end_and_then_it_is_not() {
        let mut table = AnswerTable::default();
        put(&mut table, 1, entry("a", 10, 60), LIMITS, usize::MAX);
        for (second, there) in [(0, true), (59, true), (60, false), (61, false)] {
            assert_eq!(table.find(&key(1), Duration::from_secs(second)).is_some(), there, "{second}");
        }
        assert_eq!(table.size(), (1, 10 + ENTRY_BYTES), "it waits to be swept");
        let mut swept = Vec::new();
        table.sweep(Duration::from_secs(59), 10, |key, why| swept.push((key, why)));
        assert_eq!(swept, []);
        table.sweep(Duration::from_secs(60), 10, |key, why| swept.push((key, why)));
        assert_eq!(swept, [(key(1), Gone::Ended)]);
        assert_eq!((table.size(), table.shares.len(), table.ends.len()), ((0, 0), 0, 0), "nothing is left of it");
    }

    #[test]
    fn an_account_has_so_many_and_those_that_end_first_go() {
        let mut table = AnswerTable::default();
        for number in 1..=3 {
            assert_eq!(put(&mut table, number, entry("a", 10, 60 + number), LIMITS, usize::MAX), []);
        }
        assert_eq!(put(&mut table, 4, entry("b", 10, 1), LIMITS, usize::MAX), [], "another account has its own");
        assert_eq!(put(&mut table, 5, entry("a", 10, 100), LIMITS, usize::MAX), [(1, Gone::OfAccount)]);
        // One that ends sooner than all others of its account goes itself.
        assert_eq!(put(&mut table, 6, entry("a", 10, 2), LIMITS, usize::MAX), [(6, Gone::OfAccount)]);
        // The same key is replaced, and nothing has to go for it.
        assert_eq!(put(&mut table, 5, entry("a", 20, 200), LIMITS, usize::MAX), []);
        let few = AnswerLimits { bytes: 2 * (10 + ENTRY_BYTES), ..LIMITS };
        let gone = put(&mut table, 7, entry("a", 10, 300), few, usize::MAX);
        assert_eq!(gone, [(2, Gone::OfAccount), (3, Gone::OfAccount), (5, Gone::OfAccount)]);
        assert_eq!(table.size(), (2, 2 * (10 + ENTRY_BYTES)));
    }

    #[test]
    fn all_accounts_together_have_so_many_bytes() {
        let mut table = AnswerTable::default();
        let most = 5 * ENTRY_BYTES;
        for number in 0..100_u64 {
            let account = format!("account-{}", number % 10);
            put(&mut table, number, entry(&account, 0, 1000 + number), LIMITS, most);
            assert!(table.size().1 <= most);
        }
        assert_eq!(table.size(), (5, most));
        let left: Vec<u64> = (0..100).filter(|number| table.find(&key(*number), Duration::ZERO).is_some()).collect();
        assert_eq!(left, [95, 96, 97, 98, 99]);
        assert_eq!(table.shares.values().map(|share| share.bytes).sum::<usize>(), most);
        assert!(table.paid(&key(99)) && !table.paid(&key(1)));
        assert_eq!(table.find(&key(99), Duration::ZERO).map(|entry| entry.due), Some(0));
    }
}
