//! Paces long background work: it is done in small pieces, with pauses in which requests have the processor.
//!
//! A thread calls [`keep`] before such work. The code that it runs calls [`step`] at intervals, which does nothing on
//! other threads. Work on files of unknown size also has an [`Allowance`] of processor time, and ends when that is used
//! up.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The time between pauses at first: much less than a request takes, so that a small change does not delay requests.
const SHORT: Duration = Duration::from_micros(50);

/// The longest time between pauses, so that a change of a hundred thousand lines ends in reasonable time.
const LONG: Duration = Duration::from_micros(250);

/// The time between pauses grows by the work so far divided by this; it reaches [`LONG`] after some 40 ms.
const GROWTH: u32 = 200;

/// The length of a pause: enough for the requests that have arrived in the meantime.
const REST: Duration = Duration::from_micros(50);

#[derive(Clone, Copy)]
struct Pace {
    /// When the last pause ended.
    begun: Instant,
    /// The work done before that.
    worked: Duration,
}

thread_local! {
    /// The pace of this thread, if it has one.
    static PACE: Cell<Option<Pace>> = const { Cell::new(None) };
}

/// Paces this thread from now on; called before some work begins.
pub fn keep() {
    PACE.set(Some(Pace { begun: Instant::now(), worked: Duration::ZERO }));
}

/// Pauses if it is time to; called after each piece of work of some microseconds or more.
pub fn step() {
    let Some(Pace { begun, worked }) = PACE.get() else { return };
    let stretch = begun.elapsed();
    if stretch >= (SHORT + worked / GROWTH).min(LONG) {
        std::thread::sleep(REST);
        PACE.set(Some(Pace { begun: Instant::now(), worked: worked.saturating_add(stretch) }));
    }
}

/// The number of calls of [`is_spent`] between two readings of the clock, each of which is a system call.
const ASKED_PER_LOOK: u32 = 256;

#[derive(Clone, Copy)]
struct Limit {
    /// The processor time of the thread at which its allowance ends.
    until: Duration,
    asked: u32,
    spent: bool,
}

thread_local! {
    /// The limit of this thread, if it has one.
    static LIMIT: Cell<Option<Limit>> = const { Cell::new(None) };
}

/// Limits the processor time of this thread until this is dropped.
#[derive(Debug)]
pub struct Allowance(());

impl Allowance {
    /// Lets this thread use `most` from now on.
    pub fn new(most: Duration) -> Allowance {
        LIMIT.set(Some(Limit { until: used().saturating_add(most), asked: 0, spent: false }));
        Allowance(())
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        LIMIT.set(None);
    }
}

/// Whether this thread has an allowance and has used it up. Called for each piece of work of some microseconds.
pub fn is_spent() -> bool {
    let Some(Limit { until, asked, spent }) = LIMIT.get() else { return false };
    let spent = spent || (asked.is_multiple_of(ASKED_PER_LOOK) && used() > until);
    LIMIT.set(Some(Limit { until, asked: asked.wrapping_add(1), spent }));
    spent
}

/// The processor time that this thread has used.
pub fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, rest) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_spent_by_work_and_not_by_time() {
        assert!(!is_spent(), "without one");
        let allowance = Allowance::new(Duration::from_secs(3600));
        assert!((0..1000).all(|_| !is_spent()));
        drop(allowance);
        let allowance = Allowance::new(Duration::from_millis(5));
        let begun = Instant::now();
        while !is_spent() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is never spent");
        }
        assert!(is_spent(), "and stays so");
        drop(allowance);
        assert!(!is_spent());
    }
}
