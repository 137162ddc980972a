//! Requests in flight, which count among those of their account until the time at which they ended then.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::policy::admit::Admission;

/// The most requests that are in flight at a time; of more, the first end early.
const MOST: usize = 100_000;

/// Requests that have not ended yet, by when they do.
#[derive(Default)]
pub struct InFlight<'c>(BinaryHeap<Reverse<Begun<'c>>>);

struct Begun<'c> {
    ends: Duration,
    /// Gives its place back when it is dropped.
    _admission: Admission<'c>,
}

impl<'c> InFlight<'c> {
    /// Adds a request that ends at a moment.
    pub fn add(&mut self, ends: Duration, admission: Admission<'c>) {
        self.0.push(Reverse(Begun { ends, _admission: admission }));
    }

    /// Gives back the places of requests that have ended by a moment.
    pub fn end_until(&mut self, moment: Duration) {
        while self.0.peek().is_some_and(|Reverse(first)| first.ends <= moment) || self.0.len() > MOST {
            self.0.pop();
        }
    }
}

impl PartialEq for Begun<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends
    }
}

impl Eq for Begun<'_> {}

impl PartialOrd for Begun<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Begun<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ends.cmp(&other.ends)
    }
}
