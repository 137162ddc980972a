//! Rate windows and credits: the mutable state of an account, in atomics.
//!
//! The arithmetic of the rate (GCRA) is `governor`'s; this file gives it its time as an argument
//! and keeps the one number it needs, so that an account costs eight bytes of state and a test
//! owns the clock. Credits are `quota/balance.rs` and `quota/credits.rs`. None of it knows tokens,
//! requests or headers.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::policy::problem::{Hint, Problem, Row};

/// The moment a request is judged at. Everything that depends on time takes it as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the process started, by the monotonic clock: clock jumps do not move it.
    pub monotonic: Duration,
    /// Seconds since 1970-01-01 UTC, for expiry days and for the times clients read.
    pub unix_seconds: u64,
}

/// What an account may use: so many requests in a period, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Allowance {
    pub limit: NonZeroU32,
    pub period: Duration,
    pub burst: NonZeroU32,
}

impl Allowance {
    /// How long a burst that is used up needs to be whole again; `None` if no clock can count it.
    pub fn time_to_refill(&self) -> Option<Duration> {
        (self.period / self.limit.get()).checked_mul(self.burst.get())
    }
}

/// An allowance, ready to be counted with. It has no state of its own, so that accounts can share it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    allowance: Allowance,
    quota: Quota,
}

/// The theoretical arrival time of the next request, in nanoseconds of `Now::monotonic`: all that
/// is kept of what was counted.
#[derive(Debug, Default)]
pub struct Tat(AtomicU64);

impl Tat {
    /// When the whole burst is there again, by `Now::monotonic`.
    pub fn full_at(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Takes over what another one has counted, unless more is counted here already.
    pub fn inherit(&self, before: &Tat) {
        self.0.fetch_max(before.0.load(Ordering::Acquire), Ordering::AcqRel);
    }

    /// Sets it, before anybody counts.
    pub fn restore(&self, full_at: Duration) {
        self.0.store(u64::try_from(full_at.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The rate of one account, shared by all its tokens (contract, section 7).
#[derive(Debug)]
pub enum Rate {
    /// Nothing is counted and no rate headers are sent.
    Unlimited,
    /// Accounts with the same allowance share its window.
    Limited(Arc<Window>, Tat),
}

/// What the rate headers say after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    pub allowance: Allowance,
    /// Requests that would pass at this moment.
    pub remaining: u32,
    /// Seconds until the whole burst is there again, rounded up.
    pub reset_after_seconds: u64,
    /// The same as a time: seconds since 1970-01-01 UTC.
    pub reset_unix_seconds: u64,
}

impl Window {
    /// `limit` requests in `period`, `burst` of them at once.
    pub fn new(allowance: Allowance) -> Window {
        let one = allowance.period / allowance.limit.get();
        // A period of zero cannot be written: the configuration has only s, min, h and d, and
        // `limit` is at most 2^32, so that one request takes at least a fraction of a nanosecond.
        let quota = Quota::with_period(one.max(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(allowance.limit))
            .allow_burst(allowance.burst);
        Window { allowance, quota }
    }

    /// Counts one request, or refuses it.
    ///
    /// # Errors
    /// `rate-exceeded`, with the whole seconds after which a request will pass.
    pub fn take(&self, arrival: &Tat, now: Now) -> Result<(), Problem> {
        decide(self.quota, Taking(&arrival.0), now).map(|_remaining| ()).map_err(|wait| {
            Problem::new(Row::RateExceeded, "the account's rate is used up").with(Hint::RetryAfter(whole_seconds(wait)))
        })
    }

    /// What it allows.
    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// How long a burst that is used up needs to be whole again.
    pub fn time_to_refill(&self) -> Duration {
        self.allowance.time_to_refill().unwrap_or(Duration::MAX)
    }

    /// How much of the window is left at this moment.
    pub fn state(&self, arrival: &Tat, now: Now) -> RateState {
        let Window { allowance, quota } = *self;
        // Looking asks for one more request without counting it: what would remain after it,
        // and the request itself, remain now.
        let remaining = decide(quota, Looking(&arrival.0), now).map_or(0, |after_it| after_it.saturating_add(1));
        let reset_after_seconds = u64::from(whole_seconds_or_zero(arrival.full_at().saturating_sub(now.monotonic)));
        RateState {
            allowance,
            remaining,
            reset_after_seconds,
            reset_unix_seconds: now.unix_seconds.saturating_add(reset_after_seconds),
        }
    }
}

impl Rate {
    /// A rate of its own in a window that others have as well.
    pub fn within(window: Arc<Window>) -> Rate {
        Rate::Limited(window, Tat::default())
    }

    /// Counts one request, or refuses it.
    ///
    /// # Errors
    /// `rate-exceeded`, with the whole seconds after which a request will pass.
    pub fn take(&self, now: Now) -> Result<(), Problem> {
        match self {
            Rate::Unlimited => Ok(()),
            Rate::Limited(window, arrival) => window.take(arrival, now),
        }
    }

    /// Goes on where the same account's rate was before, if it is the same rate. What was counted is
    /// never counted less.
    pub fn inherit(&self, before: &Rate) {
        if let (Rate::Limited(window, arrival), Rate::Limited(window_before, arrival_before)) = (self, before)
            && window.allowance == window_before.allowance
        {
            arrival.inherit(arrival_before);
        }
    }

    /// What the rate headers say at this moment; `None` for an unlimited account.
    pub fn state(&self, now: Now) -> Option<RateState> {
        match self {
            Rate::Unlimited => None,
            Rate::Limited(window, arrival) => Some(window.state(arrival, now)),
        }
    }
}

/// One decision of `governor` at a given time: what remains after it, or how long to wait.
fn decide<S: StateStore<Key = NotKeyed>>(quota: Quota, store: S, now: Now) -> Result<u32, Duration> {
    let limiter = RateLimiter::<_, _, _, StateInformationMiddleware>::new(quota, store, GivenTime::default());
    let moment = Nanos::from(now.monotonic);
    limiter.clock().0.set(moment);
    match limiter.check() {
        Ok(snapshot) => Ok(snapshot.remaining_burst_capacity()),
        Err(not_until) => Err(not_until.wait_time_from(moment)),
    }
}

/// A clock that stands where the caller put it; a new one stands at the start of the process.
#[derive(Clone, Default)]
struct GivenTime(Cell<Nanos>);

impl Clock for GivenTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get()
    }
}

/// State that a decision changes.
struct Taking<'a>(&'a AtomicU64);

impl StateStore for Taking<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let (outcome, next) = decide(Some(Nanos::new(seen)))?;
            match self.0.compare_exchange_weak(seen, next.as_u64(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(outcome),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// The same state, left as it is.
struct Looking<'a>(&'a AtomicU64);

impl StateStore for Looking<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        decide(Some(Nanos::new(self.0.load(Ordering::Acquire)))).map(|(outcome, _next)| outcome)
    }
}

/// Rounded up, never 0: a client told to wait 0 seconds comes back at once.
pub fn whole_seconds(wait: Duration) -> u32 {
    whole_seconds_or_zero(wait).max(1)
}

fn whole_seconds_or_zero(wait: Duration) -> u32 {
    let rounded_up = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    u32::try_from(rounded_up).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Now {
        Now { monotonic: Duration::from_millis(milliseconds), unix_seconds: 1_700_000_000 + milliseconds / 1000 }
    }

    fn rate(limit: u32, seconds: u64, burst: u32) -> Rate {
        Rate::within(Arc::new(Window::new(Allowance {
            limit: NonZeroU32::new(limit).unwrap(),
            period: Duration::from_secs(seconds),
            burst: NonZeroU32::new(burst).unwrap(),
        })))
    }

    #[test]
    fn a_burst_passes_then_one_per_interval() {
        let rate = rate(2, 60, 2);
        assert!(rate.take(at(1000)).is_ok());
        assert!(rate.take(at(1000)).is_ok());
        let refused = rate.take(at(1000)).unwrap_err();
        assert_eq!((refused.row, refused.hint), (Row::RateExceeded, Hint::RetryAfter(30)));
        assert_eq!(rate.take(at(1001)).unwrap_err().hint, Hint::RetryAfter(30), "29.999 s is rounded up");
        assert_eq!(rate.take(at(30_999)).unwrap_err().hint, Hint::RetryAfter(1), "never 0");
        assert!(rate.take(at(31_000)).is_ok());
        assert!(rate.take(at(31_000)).is_err());
    }

    #[test]
    fn looking_counts_nothing() {
        let rate = rate(150, 60, 150);
        for _ in 0..1000 {
            assert_eq!(rate.state(at(5)).unwrap().remaining, 150);
        }
        rate.take(at(5)).unwrap();
        let state = rate.state(at(5)).unwrap();
        assert_eq!((state.remaining, state.reset_after_seconds, state.reset_unix_seconds), (149, 1, 1_700_000_001));
    }

    #[test]
    fn a_used_up_rate_has_nothing_left_and_says_when_it_is_whole_again() {
        let rate = rate(2, 60, 2);
        rate.take(at(0)).unwrap();
        rate.take(at(0)).unwrap();
        let state = rate.state(at(0)).unwrap();
        assert_eq!((state.remaining, state.reset_after_seconds), (0, 60));
    }

    #[test]
    fn parallel_requests_never_pass_more_than_the_burst() {
        let rate = rate(100, 3600, 100);
        let passed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if rate.take(at(7)).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 100);
    }

    #[test]
    fn a_million_a_second_is_a_rate_too() {
        let rate = rate(1_000_000, 1, 1_000_000);
        for _ in 0..1_000_000 {
            rate.take(at(9)).unwrap();
        }
        assert!(rate.take(at(9)).is_err());
    }
}
