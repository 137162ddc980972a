//! What requests of one product leave behind while they are served: one relaxed atomic each.
//!
//! Nothing here is ordered against anything else, and nothing is read by a request. What becomes of
//! the counts is `history.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency::{BUCKETS, Histogram, bucket};
use crate::policy::problem::Row;
use crate::policy::problem::blame::{Blame, Spent, blame};

/// The counts of one product since they were taken last.
#[derive(Debug)]
pub struct Traffic {
    /// Delivered answers, by how long they took.
    answers: [AtomicU64; BUCKETS],
    /// Requests that failed for reasons of ours.
    failures: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic { answers: [const { AtomicU64::new(0) }; BUCKETS], failures: AtomicU64::new(0) }
    }
}

impl Traffic {
    /// Counts an answer that took so long.
    pub fn answered(&self, took: Duration) {
        if let Some(count) = self.answers.get(bucket(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a refusal, if it is ours.
    pub fn refused(&self, row: Row, spent: Spent) {
        match blame(row, spent) {
            Blame::Ours => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
            Blame::Clients => {}
        }
    }

    /// Takes what was counted since the last time. What requests count meanwhile is part of this
    /// time or of the next, and of one of them only.
    pub fn take(&self) -> Counted {
        let mut counted = Counted { latency: Histogram::default(), failed: take(&self.failures) };
        for (bucket, count) in self.answers.iter().enumerate() {
            counted.latency.add(bucket, take(count));
        }
        counted
    }
}

/// A store to a line that all threads write to would cost them more than this look at it.
fn take(count: &AtomicU64) -> u64 {
    if count.load(Ordering::Relaxed) == 0 { 0 } else { count.swap(0, Ordering::Relaxed) }
}

/// What was counted of one product in some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub latency: Histogram,
    pub failed: u64,
}

impl Counted {
    /// Whether nothing was.
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
