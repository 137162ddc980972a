//! Work that takes long and can wait, done in small pieces, so that requests have the processor in between.
//!
//! A thread says once that it keeps a pace. What it does then calls [`step`] now and then, which costs
//! other threads nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long it works at a stretch: less than a request takes.
const WORK: Duration = Duration::from_micros(250);

/// How long it rests then: enough for the requests that have come meanwhile.
const REST: Duration = Duration::from_micros(100);

thread_local! {
    /// Since when a thread that keeps a pace has worked.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Lets this thread keep a pace from now on.
pub fn keep() {
    BEGUN.set(Some(Instant::now()));
}

/// A piece of work is done, some microseconds long or more; rests if it is time to.
pub fn step() {
    if BEGUN.get().is_some_and(|begun| begun.elapsed() >= WORK) {
        std::thread::sleep(REST);
        keep();
    }
}
