//! Work that takes long and can wait, done in small pieces, so that requests have the processor in between.
//!
//! A thread says at the beginning of such work that it keeps a pace. What it does then calls [`step`] now
//! and then, which costs other threads nothing. Work on files of unknown size has an [`Allowance`] of
//! processor time besides, and ends when that is spent.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long it works at a stretch at first: much less than a request takes, so that a change of some
/// lines is not noticed.
const SHORT: Duration = Duration::from_micros(50);

/// How long it works at a stretch at last: a change of a hundred thousand lines has to come to an end.
const LONG: Duration = Duration::from_micros(250);

/// By what part of the work done so far stretches grow: they are long after 40 ms.
const GROWTH: u32 = 200;

/// How long it rests then: enough for the requests that have come meanwhile.
const REST: Duration = Duration::from_micros(50);

#[derive(Clone, Copy)]
struct Pace {
    /// When this stretch began.
    begun: Instant,
    /// What was worked before it.
    worked: Duration,
}

thread_local! {
    /// The pace of a thread that keeps one.
    static PACE: Cell<Option<Pace>> = const { Cell::new(None) };
}

/// Lets this thread keep a pace from now on, at the beginning of some work.
pub fn keep() {
    PACE.set(Some(Pace { begun: Instant::now(), worked: Duration::ZERO }));
}

/// A piece of work is done, some microseconds long or more; rests if it is time to.
pub fn step() {
    let Some(Pace { begun, worked }) = PACE.get() else { return };
    let stretch = begun.elapsed();
    if stretch >= (SHORT + worked / GROWTH).min(LONG) {
        std::thread::sleep(REST);
        PACE.set(Some(Pace { begun: Instant::now(), worked: worked.saturating_add(stretch) }));
    }
}

/// How many times [`is_spent`] is asked between two looks at the clock, which cost a system call each.
const ASKED_PER_LOOK: u32 = 256;

#[derive(Clone, Copy)]
struct Limit {
    /// Processor time of the thread.
    until: Duration,
    asked: u32,
    spent: bool,
}

thread_local! {
    /// What this thread may still use, if that is limited.
    static LIMIT: Cell<Option<Limit>> = const { Cell::new(None) };
}

/// A limit to the processor time of this thread, as long as this is kept.
#[derive(Debug)]
pub struct Allowance(());

impl Allowance {
    /// Lets this thread use so much more.
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

/// Whether the allowance of this thread is spent, if it has one. Asked for each piece of work, some
/// microseconds long.
pub fn is_spent() -> bool {
    let Some(Limit { until, asked, spent }) = LIMIT.get() else { return false };
    let spent = spent || (asked.is_multiple_of(ASKED_PER_LOOK) && used() > until);
    LIMIT.set(Some(Limit { until, asked: asked.wrapping_add(1), spent }));
    spent
}

/// The processor time that this thread has used.
fn used() -> Duration {
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
