//! Work that takes long and can wait, done in small pieces, so that requests have the processor in between.
//!
//! A thread says at the beginning of such work that it keeps a pace. What it does then calls [`step`] now
//! and then, which costs other threads nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

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
