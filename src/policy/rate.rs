//! Rate limits of accounts, whose state is atomic.
//!
//! The arithmetic of the rate (GCRA) is `governor`'s; here it gets the time as an argument, and the
//! one number that it needs is stored, so an account has eight bytes of state and tests control the
//! clock. Credits are in `credits.rs` and `credits/balance.rs`. Nothing here knows about tokens,
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

use crate::policy::now::Now;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::weight::Weight;

/// An allowance: a number of requests in a period, and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Allowance {
    pub limit: NonZeroU32,
    pub period: Duration,
    pub burst: NonZeroU32,
}

impl Allowance {
    /// How long a used up burst takes to refill; `None` if it is too long for the clock.
    pub fn time_to_refill(&self) -> Option<Duration> {
        (self.period / self.limit.get()).checked_mul(self.burst.get())
    }
}

/// A prepared allowance. It has no state, so that accounts can share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The name of the plan that it is from.
    plan: Option<Arc<str>>,
    weight: Weight,
    allowance: Allowance,
    quota: Quota,
}

/// The theoretical arrival time of the next request, in nanoseconds of `Now::monotonic`: this is
/// the only state of a rate.
#[derive(Debug, Default)]
pub struct Tat(AtomicU64);

impl Tat {
    /// When the whole burst is available again, by `Now::monotonic`.
    pub fn full_at(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Counts at least as much that the burst is full only at a time, by `Now::monotonic`.
    pub fn raise(&self, full_at: Duration) {
        self.0.fetch_max(u64::try_from(full_at.as_nanos()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

/// The rate of one account, shared by all its tokens (contract, section 7).
#[derive(Debug)]
pub enum Rate {
    /// There is no limit and there are no rate headers.
    Unlimited,
    /// Accounts with the same allowance share its window.
    Limited(Arc<Window>, Tat),
}

/// The values of the rate headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    pub allowance: Allowance,
    /// Requests that would be accepted at this moment.
    pub remaining: u32,
    /// Seconds until the whole burst is available again, rounded up.
    pub reset_after_seconds: u64,
    /// The same as a time: seconds since 1970-01-01 UTC, rounded up by the clock, so that a request
    /// at that time is accepted (contract, section 7).
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
        Window { plan: None, weight: Weight::default(), allowance, quota }
    }

    /// The same as a plan's.
    pub fn of_plan(plan: Option<Arc<str>>, weight: Weight, allowance: Allowance) -> Window {
        Window { plan, weight, ..Window::new(allowance) }
    }

    /// The weight of the accounts that have it.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// The name of the plan that it is from.
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// Counts one request, or refuses it.
    ///
    /// # Errors
    /// `rate-exceeded`, with the whole seconds after which a request will pass.
    pub fn take(&self, arrival: &Tat, now: Now) -> Result<(), Problem> {
        decide(self.quota, State { arrival, counts: true }, now).map(|_remaining| ()).map_err(|wait| {
            Problem::new(Row::RateExceeded, "the account's rate is used up").with(Hint::RetryAfter(whole_seconds(wait)))
        })
    }

    /// Whether one request would pass at this moment; nothing is counted.
    ///
    /// # Errors
    /// How long it would have to wait.
    pub fn look(&self, arrival: &Tat, now: Now) -> Result<(), Duration> {
        decide(self.quota, State { arrival, counts: false }, now).map(|_remaining| ())
    }

    /// What it allows.
    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// How long one request of the burst takes to refill.
    pub fn interval(&self) -> Duration {
        self.quota.replenish_interval()
    }

    /// How long the burst of this window needs to be whole again for as many requests as leave `left`
    /// in a window of another interval: what was used stays used, in requests, but no more than the
    /// burst. The one rule for changes of an allowance, while the process runs and over a restart.
    pub fn carried(&self, left: Duration, interval: Duration) -> Duration {
        let one = self.interval().as_nanos();
        let whole = one.saturating_mul(u128::from(self.allowance.burst.get()));
        let same = self.interval() == interval;
        let used = if same { left.as_nanos() } else { scaled(left.as_nanos(), one, interval.as_nanos()) };
        Duration::from_nanos(u64::try_from(used.min(whole)).unwrap_or(u64::MAX))
    }

    /// Counts in `arrival` what an earlier process has counted, after which the burst is whole again in
    /// `left`. Requests that have come before that was known are counted beside it.
    pub fn restore(&self, arrival: &Tat, left: Duration, now: Duration) {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let most = nanoseconds(now.saturating_add(self.carried(Duration::MAX, self.interval())));
        let (left, now) = (nanoseconds(left), nanoseconds(now));
        let together = |full_at: u64| Some(full_at.max(now).saturating_add(left).min(most));
        // The function never returns `None`, so the update cannot fail.
        let _ = arrival.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, together);
    }

    /// Counts in `arrival` what was used of a window before this one.
    pub fn inherit(&self, arrival: &Tat, before: &Window, arrival_before: &Tat, now: Now) {
        let left = arrival_before.full_at().saturating_sub(now.monotonic);
        if !left.is_zero() {
            arrival.raise(now.monotonic.saturating_add(self.carried(left, before.interval())));
        }
    }

    /// The state of the window at this moment.
    pub fn state(&self, arrival: &Tat, now: Now) -> RateState {
        let Window { allowance, quota, .. } = *self;
        // Decides about one more request without counting it: what would remain after it, and the
        // request itself, remain now.
        let remaining =
            decide(quota, State { arrival, counts: false }, now).map_or(0, |after_it| after_it.saturating_add(1));
        let until_full = arrival.full_at().saturating_sub(now.monotonic);
        // A window that is full already is full in this second.
        let of_this_second = if until_full.is_zero() { 0 } else { now.unix_nanos };
        let by_the_clock = until_full.saturating_add(Duration::from_nanos(u64::from(of_this_second)));
        RateState {
            allowance,
            remaining,
            reset_after_seconds: u64::from(whole_seconds_or_zero(until_full)),
            reset_unix_seconds: now.unix_seconds.saturating_add(u64::from(whole_seconds_or_zero(by_the_clock))),
        }
    }
}

impl Rate {
    /// A rate with its own state in a shared window.
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

    /// Goes on with what the same account has used before, also when its allowance is another one
    /// ([`Window::carried`]). What was counted is never counted less.
    pub fn inherit(&self, before: &Rate, now: Now) {
        if let (Rate::Limited(window, arrival), Rate::Limited(window_before, arrival_before)) = (self, before) {
            window.inherit(arrival, window_before, arrival_before, now);
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
fn decide(quota: Quota, state: State<'_>, now: Now) -> Result<u32, Duration> {
    let limiter = RateLimiter::<_, _, _, StateInformationMiddleware>::new(quota, state, GivenTime::default());
    let moment = Nanos::from(now.monotonic);
    limiter.clock().0.set(moment);
    match limiter.check() {
        Ok(snapshot) => Ok(snapshot.remaining_burst_capacity()),
        Err(not_until) => Err(not_until.wait_time_from(moment)),
    }
}

/// A clock that shows the time that the caller has set; a new one shows the start of the process.
#[derive(Clone, Default)]
struct GivenTime(Cell<Nanos>);

impl Clock for GivenTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get()
    }
}

/// An arrival as `governor` keeps its state: a decision is counted, or only looked at.
struct State<'a> {
    arrival: &'a Tat,
    counts: bool,
}

impl StateStore for State<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut seen = self.arrival.0.load(Ordering::Acquire);
        loop {
            let (outcome, next) = decide(Some(Nanos::new(seen)))?;
            if !self.counts {
                return Ok(outcome);
            }
            match self.arrival.0.compare_exchange_weak(seen, next.as_u64(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(outcome),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// `number * to / from`, rounded up.
const fn scaled(number: u128, to: u128, from: u128) -> u128 {
    match number.checked_mul(to) {
        Some(product) if from > 0 => product.div_ceil(from),
        _ => u128::MAX,
    }
}

/// Rounded up, never 0: a client that is told to wait 0 seconds would retry at once.
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
        by_clocks(milliseconds, milliseconds)
    }

    /// The monotonic clock, and one that shows seconds since 1970-01-01, which stood at `1_700_000_000`
    /// when it began.
    fn by_clocks(monotonic_milliseconds: u64, unix_milliseconds: u64) -> Now {
        let unix = Duration::from_millis(unix_milliseconds);
        Now {
            monotonic: Duration::from_millis(monotonic_milliseconds),
            unix_seconds: 1_700_000_000 + unix.as_secs(),
            unix_nanos: unix.subsec_nanos(),
        }
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
    fn whoever_waits_until_the_reset_is_let_through() {
        for (limit, period_seconds, burst) in [(1, 1, 1), (2, 1, 2), (3, 7, 3), (150, 60, 1), (1, 10, 1)] {
            for fraction in [0, 1, 250, 500, 750, 999] {
                let rate = rate(limit, period_seconds, burst);
                // The clock of the wall and the monotonic one began at different moments.
                let asked = by_clocks(10_300, 4000 + fraction);
                for _ in 0..burst {
                    rate.take(asked).unwrap();
                }
                let state = rate.state(asked).unwrap();
                let reset = (state.reset_unix_seconds - 1_700_000_000) * 1000;
                let shown = format!("{limit}/{period_seconds} s at .{fraction:03}: {state:?}");
                // Not later than it must be: a second before, something is still missing.
                let a_second_before = by_clocks(10_300 + reset - 1000 - 4000 - fraction, reset - 1000);
                assert!(rate.state(a_second_before).unwrap().remaining < burst, "{shown}");
                let at_the_reset = by_clocks(10_300 + reset - 4000 - fraction, reset);
                for _ in 0..burst {
                    assert!(rate.take(at_the_reset).is_ok(), "{shown}");
                }
            }
        }
        // A window of which nothing is used is whole now.
        let state = rate(1, 60, 1).state(by_clocks(0, 900)).unwrap();
        assert_eq!((state.reset_after_seconds, state.reset_unix_seconds), (0, 1_700_000_000));
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

    #[test]
    fn what_was_used_stays_used_in_requests_whatever_becomes_of_the_allowance() {
        const DAY: u64 = 86_400;
        // The allowance and what is used of it, the next one, and what is left of that.
        for ((limit, period, burst, used), (next, next_period, next_burst), remaining) in [
            ((10, DAY, 10, 10), (1000, DAY, 1000), 990),
            ((10, DAY, 10, 10), (1000, 3600, 1000), 990),
            ((1000, DAY, 1000, 500), (10, DAY, 10), 0),
            ((1000, DAY, 1000, 4), (10, DAY, 10), 6),
            ((10, DAY, 10, 3), (10, DAY, 20), 17),
            ((10, DAY, 20, 15), (10, DAY, 10), 0),
            ((10, DAY, 10, 0), (5, DAY, 5), 5),
            ((1_000_000, 1, 1_000_000, 7), (2, DAY, 8), 1),
        ] {
            let before = rate(limit, period, burst);
            (0..used).for_each(|_| before.take(at(5)).unwrap());
            let after = rate(next, next_period, next_burst);
            after.inherit(&before, at(5));
            let words = format!("{limit}/{period} s, {used} used, then {next}/{next_period} s");
            assert_eq!(after.state(at(5)).unwrap().remaining, remaining, "{words}");
            // What has passed meanwhile is counted once more, and nothing twice.
            after.inherit(&before, at(5));
            assert_eq!(after.state(at(5)).unwrap().remaining, remaining, "{words}");
        }
    }

    #[test]
    fn what_an_earlier_process_has_counted_is_counted_beside_what_came_before_that_was_known() {
        for (here, before, remaining) in [(0, 3, 7), (1, 3, 6), (1, 10, 0), (10, 10, 0)] {
            let rate = rate(10, 86_400, 10);
            (0..here).for_each(|_| rate.take(at(5)).unwrap());
            let Rate::Limited(window, arrival) = &rate else { panic!("a limited rate") };
            window.restore(arrival, window.interval() * before, at(5).monotonic);
            assert_eq!(rate.state(at(5)).unwrap().remaining, remaining, "{here} and {before}");
        }
    }

    #[test]
    fn who_has_used_everything_waits_for_the_next_request_of_the_new_allowance() {
        let before = rate(10, 86_400, 10);
        (0..10).for_each(|_| before.take(at(0)).unwrap());
        let after = rate(2, 60, 2);
        after.inherit(&before, at(0));
        assert_eq!(after.take(at(0)).unwrap_err().hint, Hint::RetryAfter(30));
        assert!(after.take(at(30_000)).is_ok());
    }
}
