//! Work that takes long and can wait, done in small pieces, so that requests have the processor in between.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long it works at a stretch: less than a request takes.
const WORK: Duration = Duration::from_micros(250);

/// How long it rests then: enough for the requests that have come meanwhile.
const REST: Duration = Duration::from_micros(100);

/// Steps between two looks at the clock.
const STEPS: u32 = 16;

/// Counts the work of one thread.
#[derive(Debug)]
pub struct Pace {
    begun: Cell<Instant>,
    steps: Cell<u32>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { begun: Cell::new(Instant::now()), steps: Cell::new(0) }
    }
}

impl Pace {
    /// One small step is done, some microseconds long; rests if it is time to.
    pub fn step(&self) {
        let steps = self.steps.get() + 1;
        self.steps.set(steps % STEPS);
        if steps == STEPS {
            self.stretch();
        }
    }

    /// A longer piece of work is done; rests if it is time to.
    pub fn stretch(&self) {
        if self.begun.get().elapsed() >= WORK {
            std::thread::sleep(REST);
            self.begun.set(Instant::now());
        }
    }
}
