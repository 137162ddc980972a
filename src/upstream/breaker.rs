//! The circuit breaker of one upstream: after too many failures it refuses all requests for a while, then lets through
//! one request at a time to try whether the upstream works again.
//!
//! It consists of atomics, since every request uses it, and time is an argument. Failures of only one account open it
//! only for that account, and a failed trial of one account keeps it open for others only until one of them tries: see
//! `blame.rs`. `verdict.rs` defines what a failure is; `upstream.rs` logs the changes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::blame::{Asker, Row, SLOTS, Shut, ShutUntil};
use super::verdict::Verdict;
use crate::policy::now::Now;
use crate::upstream::settings::BreakerRule;

/// The state of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// One request may try.
    HalfOpen,
}

/// A request that was let through; it is passed to `judge` with its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// A normal request. Its verdict counts only until the breaker opens.
    Ordinary { opened: u32 },
    /// The request that tries.
    Trial(u64),
}

/// The effect of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Opened,
    /// Opened only for the account of the request, for the time of the rule.
    OpenedForOne,
    Closed,
}

/// The state of a breaker, and its rule.
#[derive(Debug)]
pub struct Breaker {
    rule: BreakerRule,
    /// [`CLOSED`]; or, even, twice the microsecond until which requests are refused; or, odd, twice the microsecond at
    /// which the trying request began, plus one.
    phase: AtomicU64,
    /// How often it has opened, so that verdicts on earlier requests can be ignored.
    opened: AtomicU32,
    /// The account whose trial failed last; 0 for none.
    tried: AtomicU32,
    /// Failures in a row.
    row: Row,
    recent: Recent,
    /// The account that is shut out while the breaker is closed.
    shut: ShutUntil,
}

const CLOSED: u64 = 0;

impl Breaker {
    /// A closed breaker.
    pub fn new(rule: BreakerRule) -> Breaker {
        Breaker {
            rule,
            phase: AtomicU64::new(CLOSED),
            opened: AtomicU32::new(0),
            tried: AtomicU32::new(0),
            row: Row::default(),
            recent: Recent::new(rule.window),
            shut: ShutUntil::default(),
        }
    }

    /// Its rule.
    pub fn rule(&self) -> &BreakerRule {
        &self.rule
    }

    /// Lets a request through.
    ///
    /// # Errors
    /// How long to wait, if the breaker is open; zero if another request is trying.
    pub fn enter(&self, asker: Asker<'_>, now: Now) -> Result<Pass, Duration> {
        let phase = self.phase.load(Ordering::Acquire);
        if phase == CLOSED {
            let pass = Pass::Ordinary { opened: self.opened.load(Ordering::Acquire) };
            return self.shut.wait(asker, now).map_or(Ok(pass), Err);
        }
        let (until, trying) = (phase / 2, phase % 2 == 1);
        if trying {
            return Err(Duration::ZERO);
        }
        let moment = micros(now.monotonic);
        let tried = self.tried.load(Ordering::Relaxed);
        if moment < until && (tried == 0 || tried == asker.number()) {
            return Err(Duration::from_micros(until - moment));
        }
        let dry_run = trial_at(moment);
        match self.phase.compare_exchange(phase, dry_run, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(Pass::Trial(dry_run)),
            Err(_) => Err(Duration::ZERO),
        }
    }

    /// Counts the verdict on a request that was let through.
    pub fn judge(&self, pass: Pass, verdict: Verdict, asker: Asker<'_>, now: Now) -> Change {
        match (pass, verdict) {
            (Pass::Ordinary { .. }, Verdict::Unknown) => Change::Nothing,
            (Pass::Ordinary { opened }, Verdict::Sound | Verdict::Unreachable | Verdict::Failed) => {
                let current =
                    self.phase.load(Ordering::Acquire) == CLOSED && self.opened.load(Ordering::Acquire) == opened;
                match if current { self.count(verdict, asker, now) } else { Shut::Nobody } {
                    Shut::Nobody => Change::Nothing,
                    Shut::Asker if self.shut.shut(Shut::Asker, asker, self.rule.open_for, now) => Change::OpenedForOne,
                    Shut::Asker => Change::Nothing,
                    Shut::Everybody => {
                        self.tried.store(0, Ordering::Relaxed);
                        self.open(CLOSED, self.open_until(now))
                    }
                }
            }
            (Pass::Trial(dry_run), Verdict::Sound) => {
                self.row.end();
                self.recent.clear();
                match self.phase.compare_exchange(dry_run, CLOSED, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => Change::Closed,
                    Err(_) => Change::Nothing,
                }
            }
            (Pass::Trial(dry_run), Verdict::Unreachable) => {
                self.tried.store(0, Ordering::Relaxed);
                self.open(dry_run, self.open_until(now));
                Change::Nothing
            }
            (Pass::Trial(dry_run), Verdict::Failed) => {
                // Another account may try at once; if its trial fails as well, nobody may.
                let before = self.tried.load(Ordering::Relaxed);
                let is_second = before != 0 && before != asker.number();
                self.tried.store(if is_second { 0 } else { asker.number() }, Ordering::Relaxed);
                self.open(dry_run, self.open_until(now));
                Change::Nothing
            }
            // The trial was inconclusive; the next request may try.
            (Pass::Trial(dry_run), Verdict::Unknown) => {
                self.open(dry_run, micros(now.monotonic));
                Change::Nothing
            }
        }
    }

    /// Its state at this moment.
    pub fn phase(&self, now: Now) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            CLOSED => Phase::Closed,
            phase if phase % 2 == 1 || phase / 2 <= micros(now.monotonic) => Phase::HalfOpen,
            _ => Phase::Open,
        }
    }

    /// Counts a request; returns who is shut out by it.
    fn count(&self, verdict: Verdict, asker: Asker<'_>, now: Now) -> Shut {
        let BreakerRule { failures, error_percent, min_requests, .. } = self.rule;
        let by_share = error_percent > 0;
        if by_share {
            self.recent.add(verdict, asker, now);
        }
        if verdict == Verdict::Sound {
            self.row.end();
            return Shut::Nobody;
        }
        let shut = self.row.count(verdict, asker, failures);
        if shut == Shut::Everybody || !by_share {
            return shut;
        }
        match self.recent.exceeds(error_percent, min_requests, asker, now) {
            Shut::Nobody => shut,
            by_share => by_share,
        }
    }

    fn open(&self, from: u64, until: u64) -> Change {
        // Zero would mean closed.
        let phase = until.max(1).saturating_mul(2);
        if self.phase.compare_exchange(from, phase, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Change::Nothing;
        }
        self.opened.fetch_add(1, Ordering::AcqRel);
        Change::Opened
    }

    fn open_until(&self, now: Now) -> u64 {
        micros(now.monotonic.saturating_add(self.rule.open_for))
    }
}

const fn trial_at(moment: u64) -> u64 {
    moment.saturating_mul(2) | 1
}

/// Microseconds; doubled, they fit into 64 bits for centuries.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

/// The number of parts of the window in which the share is measured. The window moves on by one part at a time.
const PARTS: u32 = 8;

/// The index of the server's own failures, after those of accounts.
const OF_SERVER: usize = SLOTS;

/// The number of a slot that several accounts share.
const SEVERAL: u32 = u32::MAX;

/// Requests and failures in the window, by account.
#[derive(Debug)]
struct Recent {
    part: Duration,
    /// The number of the part, its requests and its failures, packed into one word: for each slot of accounts, and for
    /// the server itself.
    parts: [[AtomicU64; SLOTS + 1]; PARTS as usize],
    /// The numbers of the accounts in the slots; 0 for none yet.
    accounts: [AtomicU32; SLOTS],
}

/// Requests and failures.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests: u64,
    failures: u64,
}

impl Sums {
    fn exceed(self, percent: u32) -> bool {
        self.failures > 0 && self.failures * 100 >= self.requests * u64::from(percent)
    }

    fn without(self, other: Sums) -> Sums {
        let requests = self.requests.saturating_sub(other.requests);
        Sums { requests, failures: self.failures.saturating_sub(other.failures) }
    }

    fn with(self, other: Sums) -> Sums {
        Sums { requests: self.requests + other.requests, failures: self.failures + other.failures }
    }
}

/// One part of the window, unpacked. Its number wraps around after years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    number: u32,
    requests: u16,
    failures: u16,
}

impl Part {
    fn unpack(word: u64) -> Part {
        let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
        Part {
            number: u32::from_be_bytes([a, b, c, d]),
            requests: u16::from_be_bytes([e, f]),
            failures: u16::from_be_bytes([g, h]),
        }
    }

    fn pack(self) -> u64 {
        let [a, b, c, d] = self.number.to_be_bytes();
        let ([e, f], [g, h]) = (self.requests.to_be_bytes(), self.failures.to_be_bytes());
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Adds one request. If a count would overflow, all are halved, which keeps the share.
    fn with(self, failed: bool) -> Part {
        let Part { number, requests, failures } = self;
        let (requests, failures) =
            if requests == u16::MAX { (requests / 2, failures / 2) } else { (requests, failures) };
        Part { number, requests: requests + 1, failures: failures + u16::from(failed) }
    }
}

impl Recent {
    fn new(window: Duration) -> Recent {
        let part = (window / PARTS).max(Duration::from_millis(1));
        let parts = [const { [const { AtomicU64::new(0) }; SLOTS + 1] }; PARTS as usize];
        Recent { part, parts, accounts: [const { AtomicU32::new(0) }; SLOTS] }
    }

    fn number(&self, now: Now) -> u32 {
        let number = now.monotonic.as_micros() / self.part.as_micros().max(1);
        // Wraps around instead of saturating: only the difference between two numbers is used.
        u32::try_from(number % (1 << u32::BITS)).unwrap_or(0)
    }

    fn add(&self, verdict: Verdict, asker: Asker<'_>, now: Now) {
        let number = self.number(now);
        let slot = if verdict == Verdict::Unreachable { OF_SERVER } else { asker.slot() };
        if let Some(account) = self.accounts.get(slot) {
            let known = account.load(Ordering::Relaxed);
            if known == 0 {
                account.store(asker.number(), Ordering::Relaxed);
            } else if known != asker.number() && known != SEVERAL {
                account.store(SEVERAL, Ordering::Relaxed);
            }
        }
        let part = usize::try_from(number % PARTS).unwrap_or(0);
        let Some(part) = self.parts.get(part).and_then(|slots| slots.get(slot)) else { return };
        let one_more = |word| {
            let part = Part::unpack(word);
            let part = if part.number == number { part } else { Part { number, requests: 0, failures: 0 } };
            Some(part.with(verdict != Verdict::Sound).pack())
        };
        // The function never returns `None`, so the update cannot fail.
        let _ = part.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    fn sums(&self, slot: usize, now: Now) -> Sums {
        let number = self.number(now);
        let words = self.parts.iter().filter_map(|slots| slots.get(slot));
        let parts = words.map(|word| Part::unpack(word.load(Ordering::Relaxed)));
        parts.filter(|part| number.wrapping_sub(part.number) < PARTS).fold(Sums::default(), |sums, part| {
            sums.with(Sums { requests: part.requests.into(), failures: part.failures.into() })
        })
    }

    /// Who is shut out because of the share of failures: everybody, if it is too large even without the account that
    /// has the most failures; that account, if only its own share is.
    fn exceeds(&self, percent: u32, least: u32, asker: Asker<'_>, now: Now) -> Shut {
        let (mut all, mut worst) = (self.sums(OF_SERVER, now), Sums::default());
        for slot in 0..SLOTS {
            let sums = self.sums(slot, now);
            all = all.with(sums);
            if sums.failures > worst.failures {
                worst = sums;
            }
        }
        let own = self.sums(asker.slot(), now);
        let alone = self.accounts.get(asker.slot()).is_some_and(|one| one.load(Ordering::Relaxed) == asker.number());
        let enough = |sums: Sums| sums.requests >= u64::from(least);
        if enough(all) && all.exceed(percent) && all.without(worst).exceed(percent) {
            Shut::Everybody
        } else if alone && enough(own) && own.exceed(percent) {
            Shut::Asker
        } else {
            Shut::Nobody
        }
    }

    fn clear(&self) {
        self.parts.iter().flatten().for_each(|part| part.store(0, Ordering::Relaxed));
        self.accounts.iter().for_each(|account| account.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
