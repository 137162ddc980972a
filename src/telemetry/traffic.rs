//! The counts of one product's requests for the status page. A request costs one relaxed atomic.
//!
//! The counts have no order among each other, and no request reads them. They are rolled up in
//! `site/status/history.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency::{BUCKETS, Histogram, bucket};
use crate::policy::problem::Row;
use crate::policy::problem::blame::{Blame, Spent, blame};

/// The counts of one product since they were last taken.
#[derive(Debug)]
pub struct Traffic {
    /// Delivered answers, by response time.
    answers: [AtomicU64; BUCKETS],
    /// Requests that failed because of the service.
    failures: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic { answers: [const { AtomicU64::new(0) }; BUCKETS], failures: AtomicU64::new(0) }
    }
}

impl Traffic {
    /// Counts an answer with this response time.
    pub fn answered(&self, took: Duration) {
        if let Some(count) = self.answers.get(bucket(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a refusal, if the service is at fault.
    pub fn refused(&self, row: Row, spent: Spent) {
        match blame(row, spent) {
            Blame::Ours => self.failed(),
            Blame::Clients => {}
        }
    }

    /// Counts a request that failed because of the service.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the counts since the last call. What is counted during the call belongs to this call
    /// or to the next, and only to one of them.
    pub fn take(&self) -> Counted {
        let mut counted = Counted { latency: Histogram::default(), failed: take(&self.failures) };
        for (bucket, count) in self.answers.iter().enumerate() {
            counted.latency.add(bucket, take(count));
        }
        counted
    }
}

/// Only loads if the count is 0: a store to a cache line that all threads write would slow them
/// down.
fn take(count: &AtomicU64) -> u64 {
    if count.load(Ordering::Relaxed) == 0 { 0 } else { count.swap(0, Ordering::Relaxed) }
}

/// The counts of one product in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub latency: Histogram,
    pub failed: u64,
}

impl Counted {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.failed == 0 && self.latency.total() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_once() {
        let traffic = Traffic::default();
        let spent = Spent { in_all: Duration::from_secs(1), on_body: Some(Duration::ZERO) };
        traffic.answered(Duration::from_millis(3));
        traffic.answered(Duration::from_millis(3));
        for row in [Row::UpstreamFailed, Row::Overloaded, Row::RateExceeded, Row::TokenUnknown] {
            traffic.refused(row, spent);
        }
        let counted = traffic.take();
        assert_eq!((counted.latency.total(), counted.failed), (2, 2));
        assert!(traffic.take().is_empty());
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        const EACH: u64 = 20_000;
        let traffic = Traffic::default();
        let taken = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..EACH).for_each(|_| traffic.answered(Duration::from_millis(1))));
            }
            (0..200).map(|_| traffic.take().latency.total()).sum::<u64>()
        });
        assert_eq!(taken + traffic.take().latency.total(), 2 * EACH);
    }
}
