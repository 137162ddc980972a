//! How many requests an upstream may have in flight, from how long they take.
//!
//! The gradient algorithm, as in the adaptive concurrency filter of Envoy and in concurrency-limits of Netflix: the time
//! that requests take while the upstream is not busy is compared with what they take now. As long as the two are alike the
//! limit grows by up to half of its square root; when they take longer than tolerated, requests queue inside the upstream, and the
//! limit shrinks by the quotient of the two, the gradient. Different here:
//!
//! * It grows by less the nearer requests are to what is tolerated, so that it settles there and does not swing around it.
//! * The time without load is read whenever at most half of the limit is used. A limit that is used up for longer than
//!   [`PROBE_EVERY`] is halved for one measurement, not cut down to three requests as in Envoy. If requests are faster
//!   then than what was taken for the time without load, the limit has been too high, and is halved for good.
//!
//! A measurement is the median of some dozens of requests, so that a few that take very long do not count for much.
//! Nothing here reads a clock: times are arguments.

use std::time::Duration;

use crate::upstream::settings::ConcurrencyLimit;

/// The shortest time that is measured, and the longest: after that, what was measured is too old.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);

/// How long a change may take to show its effect.
const LONGEST_SETTLING: Duration = Duration::from_secs(5);

/// The fewest requests of a measurement, and the most.
const FEWEST: usize = 50;
const MOST: usize = 1000;

/// How long a limit may be used up before the time without load is measured anew.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);

/// After so many measurements in a row at the least limit, the upstream is as fast as it is.
const TIMES_AT_LEAST: u32 = 5;

/// The limit is counted in parts of a request, so that it can grow slowly.
const PARTS: u64 = 1000;

/// An adaptive limit and what it has measured.
#[derive(Debug)]
pub struct Gradient {
    rule: ConcurrencyLimit,
    /// In parts of a request.
    limit: u64,
    /// What a request takes without load, in microseconds; `None` until that is known.
    unloaded: Option<u64>,
    is_probing: bool,
    probe_at: Duration,
    times_at_least: u32,
    /// What is measured counts from this moment on.
    opens: Duration,
    micros: Vec<u64>,
    /// The most requests in flight since then.
    peak: u32,
}

impl Gradient {
    /// One that has measured nothing yet.
    pub fn new(rule: ConcurrencyLimit) -> Gradient {
        Gradient {
            rule,
            limit: u64::from(rule.initial) * PARTS,
            unloaded: None,
            is_probing: false,
            probe_at: PROBE_EVERY,
            times_at_least: 0,
            opens: Duration::ZERO,
            micros: Vec::new(),
            peak: 0,
        }
    }

    /// Goes on by another rule, with what was measured.
    pub fn follow(&mut self, rule: ConcurrencyLimit) {
        self.rule = rule;
        self.limit = self.bounded(self.limit);
    }

    /// The rule.
    pub fn rule(&self) -> &ConcurrencyLimit {
        &self.rule
    }

    /// The limit in force.
    pub fn limit(&self) -> u32 {
        let limit = if self.is_probing { self.halved() } else { self.limit };
        u32::try_from(limit / PARTS).unwrap_or(u32::MAX)
    }

    /// What a request takes without load, if that is known.
    pub fn unloaded(&self) -> Option<Duration> {
        self.unloaded.map(Duration::from_micros)
    }

    /// So many requests are in flight now.
    pub fn sees(&mut self, in_flight: u32) {
        self.peak = self.peak.max(in_flight);
    }

    /// A request was answered after this time. Whether the limit may have changed.
    pub fn answered(&mut self, took: Duration, now: Duration) -> bool {
        if self.rule.min == self.rule.max || now < self.opens {
            return false;
        }
        if self.micros.len() < MOST {
            self.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        }
        let measured = now.saturating_sub(self.opens);
        let wanted = usize::try_from(self.limit()).unwrap_or(MOST).saturating_mul(2).clamp(FEWEST, MOST);
        if measured > LONGEST {
            self.begin(now);
        }
        if measured < SHORTEST || self.micros.len() < wanted {
            return false;
        }
        let Some(median) = median(&mut self.micros) else { return false };
        self.conclude(median, now);
        // Requests that began before the change do not show its effect.
        let settling = Duration::from_micros(median.saturating_mul(2)).min(LONGEST_SETTLING);
        self.begin(now.saturating_add(settling));
        true
    }

    /// A request was given up after this time, which says something only if it has taken long.
    pub fn given_up(&mut self, after: Duration, now: Duration) -> bool {
        let is_long = self.unloaded.is_some_and(|unloaded| after > Duration::from_micros(self.tolerated(unloaded)));
        is_long && self.answered(after, now)
    }

    fn begin(&mut self, opens: Duration) {
        self.opens = opens;
        self.micros.clear();
        self.peak = 0;
    }

    /// Changes the limit by one measurement.
    fn conclude(&mut self, median: u64, now: Duration) {
        let Some(unloaded) = self.unloaded else {
            self.unloaded = Some(median);
            // What is known may have been measured under load.
            return self.probe();
        };
        if self.is_probing {
            return self.probed(unloaded, median, now);
        }
        let limit = self.limit();
        if self.peak <= limit / 2 {
            self.unloaded = Some((unloaded.saturating_mul(3).saturating_add(median)) / 4);
            self.probe_at = now.saturating_add(PROBE_EVERY);
        } else if self.peak >= limit {
            self.adapt(unloaded, median);
            if now >= self.probe_at {
                self.probe();
            }
        }
    }

    /// The limit was used up: it grows as long as requests are fast, and shrinks when they are not.
    fn adapt(&mut self, unloaded: u64, median: u64) {
        let unloaded = unloaded.min(median);
        self.unloaded = Some(unloaded);
        let tolerated = self.tolerated(unloaded);
        if median > tolerated {
            let shrunk = self.limit.saturating_mul(tolerated).checked_div(median).unwrap_or(self.limit);
            self.limit = self.bounded(shrunk.max(self.limit / 2));
        } else {
            let room = tolerated.saturating_sub(median);
            let whole = tolerated.saturating_sub(unloaded).max(1);
            let step = (self.limit.saturating_mul(PARTS).isqrt() / 2).saturating_mul(room) / whole;
            self.limit = self.bounded(self.limit.saturating_add(step));
        }
        if self.limit > u64::from(self.rule.min) * PARTS {
            self.times_at_least = 0;
            return;
        }
        self.times_at_least += 1;
        if self.times_at_least >= TIMES_AT_LEAST {
            self.unloaded = Some(median);
            self.times_at_least = 0;
        }
    }

    /// Half of the limit is in force for one measurement, if that is less than the limit.
    fn probe(&mut self) {
        self.is_probing = self.halved() / PARTS < self.limit / PARTS;
    }

    fn probed(&mut self, before: u64, median: u64, now: Duration) {
        self.is_probing = false;
        self.probe_at = now.saturating_add(PROBE_EVERY);
        if median > self.tolerated(before) {
            // Slow even so: as slow as at any other time.
            return self.adapt(before, median);
        }
        self.unloaded = Some(median);
        if self.tolerated(median) < before {
            self.limit = self.halved();
            self.probe();
        }
    }

    fn tolerated(&self, unloaded: u64) -> u64 {
        unloaded.saturating_mul(u64::from(self.rule.tolerance_percent).saturating_add(100)) / 100
    }

    fn halved(&self) -> u64 {
        self.bounded(self.limit / 2)
    }

    fn bounded(&self, limit: u64) -> u64 {
        limit.clamp(u64::from(self.rule.min) * PARTS, u64::from(self.rule.max) * PARTS)
    }
}

/// The middle one of some times; `None` if there are none.
fn median(micros: &mut [u64]) -> Option<u64> {
    let middle = micros.len() / 2;
    (middle < micros.len()).then(|| *micros.select_nth_unstable(middle).1)
}

#[cfg(test)]
#[path = "gradient_tests.rs"]
mod tests;
