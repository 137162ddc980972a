//! Counts failures by account: one account must not be able to shut others out of an upstream.
//!
//! A failure before a byte of a request was sent is the server's own, and counts for everybody. Any
//! other may be caused by the request: its input can be slow, or make the server return an invalid
//! answer, or its client can disconnect. Such failures are counted by account, and everybody is
//! shut out only if the rule is met without the account that has the most failures: of the failures
//! in a row that a rule requires, half have to be of other accounts (if it requires one, one more).
//! If the failures of one account alone meet the rule, only that account is shut out. So an
//! upstream with a single customer is protected like any other, and no account can shut out others.
//!
//! Everything here is atomics of a fixed size. `verdict.rs` defines what a failure is; `breaker.rs`
//! and `servers.rs` react to failures.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::verdict::Verdict;
use crate::policy::now::Now;

/// The number of accounts that are distinguished. Accounts that share a slot count as one, so it
/// can only take longer until everybody is shut out.
pub const SLOTS: usize = 16;

/// The bits of an account's number; one pair of accounts in sixteen million has the same number.
const NUMBER_BITS: u32 = 24;

/// The account that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker<'a> {
    /// For the log.
    pub name: &'a str,
    number: u32,
}

impl<'a> Asker<'a> {
    /// No account, for reading the state without sending a request.
    pub const NOBODY: Asker<'static> = Asker { name: "", number: 0 };

    /// The account with a name. If an account's settings change with the configuration, it may
    /// count as another account, without failures.
    pub fn of(name: &'a str) -> Asker<'a> {
        // The name is on the heap once per account, so its address distinguishes accounts without
        // reading it. Fibonacci hashing spreads the addresses.
        let address = u64::try_from(name.as_ptr().addr()).unwrap_or(0);
        let number = (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - NUMBER_BITS)).max(1);
        Asker { name, number: u32::try_from(number).unwrap_or(1) }
    }

    /// An account of a test, with a number of its own.
    #[cfg(test)]
    pub const fn numbered(number: u32) -> Asker<'static> {
        Asker { name: "some account", number }
    }

    /// The slot in which it is counted.
    pub fn slot(self) -> usize {
        usize::try_from(self.number).unwrap_or(0) % SLOTS
    }

    /// Its number, which distinguishes it from other accounts.
    pub const fn number(self) -> u32 {
        self.number
    }
}

/// Who is shut out by the last failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    Nobody,
    /// The account whose failure was counted.
    Asker,
    Everybody,
}

/// Failures in a row.
#[derive(Debug, Default)]
pub struct Row {
    /// Whether there are any, which is all that a success reads.
    any: AtomicBool,
    of_server: AtomicU32,
    /// An account's number and its failures, packed into one word each; 0 for an empty slot.
    of_accounts: [AtomicU64; SLOTS],
}

impl Row {
    /// A success ends the series.
    pub fn end(&self) {
        // Stores only if needed: a store to a cache line that all threads read is more expensive
        // than a load.
        if self.any.load(Ordering::Relaxed) {
            self.any.store(false, Ordering::Relaxed);
            self.of_server.store(0, Ordering::Relaxed);
            self.of_accounts.iter().for_each(|account| account.store(0, Ordering::Relaxed));
        }
    }

    /// Counts a failure and returns who is shut out; `too_many` is the number of failures in a row
    /// that the rule requires, or 0 for no rule.
    pub fn count(&self, verdict: Verdict, asker: Asker<'_>, too_many: u32) -> Shut {
        let own = match verdict {
            Verdict::Sound | Verdict::Unknown => return Shut::Nobody,
            Verdict::Unreachable => {
                self.of_server.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_add(1)).ok();
                0
            }
            Verdict::Failed => self.add(asker),
        };
        self.any.store(true, Ordering::Relaxed);
        let counts = self.of_accounts.iter().map(|account| unpack(account.load(Ordering::Relaxed)).1);
        let (sum, most) = counts.fold((0_u32, 0), |(sum, most), count| (sum.saturating_add(count), count.max(most)));
        let all = sum.saturating_add(self.of_server.load(Ordering::Relaxed));
        if too_many == 0 {
            Shut::Nobody
        } else if all >= too_many && all.saturating_sub(most) >= (too_many / 2).max(1) {
            Shut::Everybody
        } else if own >= too_many {
            Shut::Asker
        } else {
            Shut::Nobody
        }
    }

    /// Counts a failure of an account; returns how many it has, or 0 if it shares its slot.
    fn add(&self, asker: Asker<'_>) -> u32 {
        let around = (0..SLOTS).map(|step| (asker.slot() + step) % SLOTS);
        let is_own = |word: u64| word == 0 || unpack(word).0 == asker.number;
        let free = around.filter_map(|slot| self.of_accounts.get(slot));
        let one_more = |word: u64| {
            let (number, count) = unpack(word);
            pack(if word == 0 { asker.number } else { number }, count.saturating_add(1))
        };
        for slot in free {
            let own_or_free = |word: u64| is_own(word).then(|| one_more(word));
            if let Ok(before) = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, own_or_free) {
                return unpack(before).1.saturating_add(1);
            }
        }
        if let Some(shared) = self.of_accounts.get(asker.slot()) {
            shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(one_more(word))).ok();
        }
        0
    }
}

/// Until when everybody or one account is shut out, in one word.
#[derive(Debug, Default)]
pub struct ShutUntil(AtomicU64);

impl ShutUntil {
    /// How long an account still has to wait; `None` if it is not shut out.
    pub fn wait(&self, asker: Asker<'_>, now: Now) -> Option<Duration> {
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 {
            return None;
        }
        let (until, number) = (until_of(word), number_of(word));
        let concerned = number == 0 || number == asker.number;
        concerned.then(|| until.saturating_sub(now.monotonic)).filter(|left| !left.is_zero())
    }

    /// Shuts out for a time, unless somebody is shut out already; returns whether it did. Shutting
    /// out everybody replaces shutting out one account.
    pub fn shut(&self, who: Shut, asker: Asker<'_>, time: Duration, now: Now) -> bool {
        let number = match who {
            Shut::Nobody => return false,
            Shut::Asker => asker.number,
            Shut::Everybody => 0,
        };
        let until = now.monotonic.saturating_add(time).max(Duration::from_micros(1));
        let next = |word: u64| {
            let is_over = word == 0 || until_of(word) <= now.monotonic;
            let is_wider = number == 0 && number_of(word) != 0;
            (is_over || is_wider).then(|| pack_until(until, number))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Whether the time has ended since the last call.
    pub fn has_ended(&self, now: Now) -> bool {
        let over = |word: u64| (word != 0 && until_of(word) <= now.monotonic).then_some(0);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, over).is_ok()
    }
}

fn pack(number: u32, count: u32) -> u64 {
    (u64::from(number) << u32::BITS) | u64::from(count)
}

fn unpack(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Packs milliseconds, rounded up, into 40 bits (34 years).
fn pack_until(until: Duration, number: u32) -> u64 {
    let milliseconds = u64::try_from(until.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    (milliseconds.min((1 << (u64::BITS - NUMBER_BITS)) - 1) << NUMBER_BITS) | u64::from(number)
}

const fn until_of(word: u64) -> Duration {
    Duration::from_millis(word >> NUMBER_BITS)
}

fn number_of(word: u64) -> u32 {
    u32::try_from(word & ((1 << NUMBER_BITS) - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use Verdict::{Failed, Unreachable};

    use super::*;

    fn asker(number: u32) -> Asker<'static> {
        Asker::numbered(number)
    }

    #[test]
    fn one_account_alone_shuts_nobody_else_out() {
        // Failures in order: a digit is an account, S is the server's own.
        for (too_many, failures, shut) in [
            (3, "111", Shut::Asker),
            (3, "11111111111111111111", Shut::Asker),
            (3, "112", Shut::Everybody),
            (3, "121", Shut::Everybody),
            (3, "SSS", Shut::Everybody),
            (3, "11S", Shut::Everybody),
            (5, "11111111111111111112", Shut::Nobody),
            (5, "111111111111111111122", Shut::Everybody),
            (5, "1111S", Shut::Nobody),
            (5, "11112", Shut::Nobody),
            (5, "11122", Shut::Everybody),
            (5, "12345", Shut::Everybody),
            (1, "1", Shut::Asker),
            (1, "12", Shut::Everybody),
            (1, "S", Shut::Everybody),
            (0, "12S", Shut::Nobody),
        ] {
            let row = Row::default();
            let count = |who: char| match who.to_digit(10) {
                Some(number) => row.count(Failed, asker(number), too_many),
                None => row.count(Unreachable, asker(1), too_many),
            };
            assert_eq!(failures.chars().map(count).last(), Some(shut), "{failures} of {too_many}");
            row.end();
            let first = row.count(Failed, asker(9), too_many.max(2));
            assert_eq!(first, Shut::Nobody, "a success ends the row");
        }
    }

    #[test]
    fn more_accounts_than_places_are_still_all_counted() {
        let row = Row::default();
        let shut: Vec<Shut> = (1..=100).map(|number| row.count(Failed, asker(number), 100)).collect();
        assert_eq!(shut.last(), Some(&Shut::Everybody));
        assert!(shut.iter().take(99).all(|shut| *shut == Shut::Nobody));
        // An account that shares a slot is never shut out for failures of others.
        let row = Row::default();
        (1..=16).for_each(|number| {
            row.count(Failed, asker(number), 1000);
        });
        assert!((0..500).all(|_| row.count(Failed, asker(99), 1000) == Shut::Nobody));
    }

    #[test]
    fn somebody_is_shut_out_until_it_ends_and_everybody_goes_before_one() {
        let at = |ms| Now { monotonic: Duration::from_millis(ms), unix_seconds: 0, unix_nanos: 0 };
        let second = Duration::from_secs(1);
        let until = ShutUntil::default();
        assert!(until.shut(Shut::Asker, asker(1), second, at(10)));
        assert!(!until.shut(Shut::Asker, asker(2), second, at(500)), "one at a time");
        assert_eq!(until.wait(asker(1), at(10)), Some(second));
        assert_eq!((until.wait(asker(2), at(10)), until.wait(Asker::NOBODY, at(10))), (None, None));
        assert!(until.shut(Shut::Everybody, asker(2), second, at(500)));
        assert_eq!(until.wait(asker(3), at(1499)), Some(Duration::from_millis(1)));
        assert!(!until.shut(Shut::Everybody, asker(2), second, at(1499)));
        assert_eq!((until.wait(asker(1), at(1500)), until.has_ended(at(1499))), (None, false));
        assert!(until.has_ended(at(1500)) && !until.has_ended(at(1500)), "told once");
    }

    #[test]
    fn accounts_are_told_apart_by_their_names_places() {
        let names: Vec<std::sync::Arc<str>> = (0..1000).map(|number| format!("account-{number}").into()).collect();
        let mut numbers: Vec<u32> = names.iter().map(|name| Asker::of(name).number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() >= 998 && !numbers.contains(&0), "{}", numbers.len());
    }
}
