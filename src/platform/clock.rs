//! The clocks of the process, read in one place.
//!
//! Everything that depends on time takes a [`Now`] as an argument; this is where one comes from.

use std::cell::RefCell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::policy::now::Now;

/// The clocks, with the moment from which the monotonic one counts.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Clocks that count from this moment on.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Clocks that have counted since a moment.
    pub fn since(started: Instant) -> Clock {
        Clock(started)
    }

    /// The moment, by both clocks.
    pub fn now(&self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: self.0.elapsed(), unix_seconds: since_1970.as_secs(), unix_nanos: since_1970.subsec_nanos() }
    }
}

/// Whole seconds since 1970; 0 before.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since_1970| since_1970.as_secs())
}

/// The text of a second, made anew only when the second is another one. One for each thread.
#[derive(Debug)]
pub struct TextOfSecond(RefCell<(u64, String)>);

impl TextOfSecond {
    /// One that has no text yet.
    pub const fn new() -> TextOfSecond {
        TextOfSecond(RefCell::new((u64::MAX, String::new())))
    }

    /// Lends the text of a second; `make` makes it.
    pub fn with<T>(&self, second: u64, make: impl FnOnce() -> String, lend: impl FnOnce(&str) -> T) -> T {
        let mut known = self.0.borrow_mut();
        let (known_second, text) = &mut *known;
        if *known_second != second {
            (*known_second, *text) = (second, make());
        }
        lend(text)
    }
}

impl Default for TextOfSecond {
    fn default() -> TextOfSecond {
        TextOfSecond::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_second_is_made_once() {
        let text = TextOfSecond::new();
        let mut made = 0;
        for second in [0, 0, 7, 7, 0] {
            let mut make = || {
                made += 1;
                second.to_string()
            };
            assert_eq!(text.with(second, &mut make, str::to_owned), second.to_string());
        }
        assert_eq!(made, 3);
    }
}
