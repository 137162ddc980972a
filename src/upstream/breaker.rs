//! The circuit breaker of one upstream: after too many failures nothing is let through for a while,
//! then one request at a time tries whether it works again.
//!
//! It is atomics alone, since every request passes it, and it takes its time as an argument. What a
//! failure is, is `verdict.rs`; who is told of an open breaker is `upstream.rs`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::verdict::Verdict;
use crate::policy::rate::Now;
use crate::upstream::settings::BreakerRule;

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests pass.
    Closed,
    /// None passes.
    Open,
    /// One may try.
    HalfOpen,
}

/// A request that was let through, whose verdict has to come back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// One of many. Its verdict counts only until the breaker opens.
    Ordinary { opened: u32 },
    /// The one that tries.
    Trial(u64),
}

/// What a verdict has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Opened,
    Closed,
}

/// The state of a breaker, and its rule.
#[derive(Debug)]
pub struct Breaker {
    rule: BreakerRule,
    /// [`CLOSED`]; or twice the microsecond until which nothing passes; or, odd, twice the
    /// microsecond at which the request began that tries, and one.
    phase: AtomicU64,
    /// How often it has opened: a verdict on a request from before says nothing of now.
    opened: AtomicU32,
    /// Failures in a row.
    failures: AtomicU32,
    recent: Recent,
}

const CLOSED: u64 = 0;

impl Breaker {
    /// A closed breaker.
    pub fn new(rule: BreakerRule) -> Breaker {
        Breaker {
            rule,
            phase: AtomicU64::new(CLOSED),
            opened: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            recent: Recent::new(rule.window),
        }
    }

    /// Its rule.
    pub fn rule(&self) -> &BreakerRule {
        &self.rule
    }

    /// Lets a request through.
    ///
    /// # Errors
    /// How long to wait, if the breaker is open; nothing, if another request is trying.
    pub fn enter(&self, now: Now) -> Result<Pass, Duration> {
        let phase = self.phase.load(Ordering::Acquire);
        if phase == CLOSED {
            return Ok(Pass::Ordinary { opened: self.opened.load(Ordering::Acquire) });
        }
        let (until, trying) = (phase / 2, phase % 2 == 1);
        if trying {
            return Err(Duration::ZERO);
        }
        let moment = micros(now.monotonic);
        if moment < until {
            return Err(Duration::from_micros(until - moment));
        }
        let dry_run = trial_at(moment);
        match self.phase.compare_exchange(phase, dry_run, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(Pass::Trial(dry_run)),
            Err(_) => Err(Duration::ZERO),
        }
    }

    /// Takes the verdict on a request that was let through.
    pub fn judge(&self, pass: Pass, verdict: Verdict, now: Now) -> Change {
        match (pass, verdict) {
            (Pass::Ordinary { .. }, Verdict::Unknown) => Change::Nothing,
            (Pass::Ordinary { opened }, Verdict::Sound | Verdict::Failed) => {
                let current =
                    self.phase.load(Ordering::Acquire) == CLOSED && self.opened.load(Ordering::Acquire) == opened;
                if current && self.count(verdict == Verdict::Failed, now) {
                    self.open(CLOSED, self.open_until(now))
                } else {
                    Change::Nothing
                }
            }
            (Pass::Trial(dry_run), Verdict::Sound) => {
                self.failures.store(0, Ordering::Relaxed);
                self.recent.clear();
                match self.phase.compare_exchange(dry_run, CLOSED, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => Change::Closed,
                    Err(_) => Change::Nothing,
                }
            }
            (Pass::Trial(dry_run), Verdict::Failed) => {
                self.open(dry_run, self.open_until(now));
                Change::Nothing
            }
            // It has not found out; the next one may.
            (Pass::Trial(dry_run), Verdict::Unknown) => {
                self.open(dry_run, micros(now.monotonic));
                Change::Nothing
            }
        }
    }

    /// How it stands at this moment.
    pub fn phase(&self, now: Now) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            CLOSED => Phase::Closed,
            phase if phase % 2 == 1 || phase / 2 <= micros(now.monotonic) => Phase::HalfOpen,
            _ => Phase::Open,
        }
    }

    /// Counts a request; true if that is too much.
    fn count(&self, failed: bool, now: Now) -> bool {
        let BreakerRule { failures, error_percent, min_requests, .. } = self.rule;
        let by_share = error_percent > 0;
        if by_share {
            self.recent.add(failed, now);
        }
        if !failed {
            // A store to a line that all threads read would cost more than the look at it.
            if self.failures.load(Ordering::Relaxed) != 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
            return false;
        }
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let too_many_in_a_row = failures > 0 && in_a_row >= failures;
        too_many_in_a_row || (by_share && self.recent.exceeds(error_percent, min_requests, now))
    }

    fn open(&self, from: u64, until: u64) -> Change {
        // Zero would be closed.
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

/// Microseconds: 64 bits of them, doubled, are centuries.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

/// Parts that the window of a share is made of. With each, a part of it is forgotten.
const PARTS: u32 = 8;

/// Requests and failures of the last while.
#[derive(Debug)]
struct Recent {
    part: Duration,
    /// The number of the part, its requests and its failures, packed into one word.
    parts: [AtomicU64; PARTS as usize],
}

/// One part of the window, unpacked. A number that comes round again does so after years.
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

    /// The part with one more request. Counts that are full are halved, which keeps their share.
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
        Recent { part, parts: [const { AtomicU64::new(0) }; PARTS as usize] }
    }

    fn number(&self, now: Now) -> u32 {
        let number = now.monotonic.as_micros() / self.part.as_micros().max(1);
        // Wrapped, not cut: only the distance between two numbers is looked at.
        u32::try_from(number % (1 << u32::BITS)).unwrap_or(0)
    }

    fn add(&self, failed: bool, now: Now) {
        let number = self.number(now);
        let place = usize::try_from(number % PARTS).unwrap_or(0);
        let Some(part) = self.parts.get(place) else { return };
        let one_more = |word| {
            let part = Part::unpack(word);
            let part = if part.number == number { part } else { Part { number, requests: 0, failures: 0 } };
            Some(part.with(failed).pack())
        };
        // The function never gives up, and so neither does the update.
        let _ = part.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    fn exceeds(&self, percent: u32, least: u32, now: Now) -> bool {
        let number = self.number(now);
        let (mut requests, mut failures) = (0_u64, 0_u64);
        for part in &self.parts {
            let part = Part::unpack(part.load(Ordering::Relaxed));
            if number.wrapping_sub(part.number) < PARTS {
                requests += u64::from(part.requests);
                failures += u64::from(part.failures);
            }
        }
        requests >= u64::from(least) && failures * 100 >= requests * u64::from(percent)
    }

    fn clear(&self) {
        for part in &self.parts {
            part.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
