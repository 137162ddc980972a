//! The clocks of the process, which are read only here.
//!
//! Everything that depends on time takes a [`Now`] as an argument, made here.

use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::policy::now::Now;
use crate::policy::seconds::Seconds;

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
        let since_1970 = since_1970();
        Now { monotonic: self.0.elapsed(), unix_seconds: since_1970.as_secs(), unix_nanos: since_1970.subsec_nanos() }
    }
}

/// The time by the system's clock, since 1970; 0 before.
pub fn since_1970() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// The same in whole milliseconds, as databases keep it.
pub fn unix_milliseconds() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

/// The same in whole seconds.
pub fn unix_seconds() -> Seconds {
    since_1970().as_secs()
}

/// Milliseconds since this machine started, with those that it was suspended (`CLOCK_BOOTTIME`): it never goes back.
pub fn boot_milliseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let whole = |number: i64| u64::try_from(number).unwrap_or_default();
    whole(time.tv_sec) * 1_000 + whole(time.tv_nsec) / 1_000_000
}
