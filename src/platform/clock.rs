//! The clocks of the process, which are read only here.
//!
//! Everything that depends on time takes a [`Now`] as an argument, made here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::policy::now::Now;

/// The clocks, with the start of the monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Clocks that start now.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Clocks that started at a moment.
    pub fn since(started: Instant) -> Clock {
        Clock(started)
    }

    /// The current time of both clocks.
    pub fn now(&self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: self.0.elapsed(), unix_seconds: since_1970.as_secs(), unix_nanos: since_1970.subsec_nanos() }
    }
}

/// Whole seconds since 1970; 0 for earlier times.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since_1970| since_1970.as_secs())
}
