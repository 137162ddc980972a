//! A histogram of response times, whose buckets grow with the time.
//!
//! There are four buckets per doubling, so that a percentile is accurate to a quarter of its value,
//! and any number of answers takes the same memory.

use std::time::Duration;

/// Buckets per doubling.
const STEPS: usize = 4;

/// The first bucket begins at 2 to this power of microseconds (64 µs) and includes all shorter
/// times.
const FIRST_POWER: u32 = 6;

/// The number of doublings: up to 67 s. The last bucket includes all longer times.
const DOUBLINGS: usize = 20;

/// The number of buckets.
pub const BUCKETS: usize = STEPS * DOUBLINGS;

/// The bucket of a time.
pub fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1 << FIRST_POWER);
    let power = micros.ilog2();
    // The two bits after the highest one.
    let step = (micros >> power.saturating_sub(2)) & 0b11;
    let doubling = usize::try_from(power.saturating_sub(FIRST_POWER)).unwrap_or(DOUBLINGS);
    let step = usize::try_from(step).unwrap_or(0);
    doubling.saturating_mul(STEPS).saturating_add(step).min(BUCKETS - 1)
}

/// The microsecond at which a bucket begins.
fn beginning(bucket: usize) -> u64 {
    let power = u32::try_from(bucket / STEPS).unwrap_or(0).saturating_add(FIRST_POWER);
    let step = u64::try_from(bucket % STEPS).unwrap_or(0);
    (4 + step) << power.saturating_sub(2)
}

/// The number of answers in each bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram(Box<[u64; BUCKETS]>);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram(Box::new([0; BUCKETS]))
    }
}

impl Histogram {
    /// Adds answers to a bucket; a bucket that does not exist is ignored.
    pub fn add(&mut self, bucket: usize, answers: u64) {
        if let Some(count) = self.0.get_mut(bucket) {
            *count = count.saturating_add(answers);
        }
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, answers) in other.filled() {
            self.add(bucket, answers);
        }
    }

    /// The buckets that are not empty, with their counts.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().copied().enumerate().filter(|(_, answers)| *answers > 0)
    }

    /// The number of answers.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, answers| sum.saturating_add(*answers))
    }

    /// The time within which this percentage of the answers was sent; `None` without answers.
    /// Answers are assumed to be evenly spread within a bucket.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let total = self.total();
        let rank = u128::from(total).saturating_mul(u128::from(percent)).div_ceil(100).max(1);
        let mut before: u128 = 0;
        for (bucket, answers) in self.filled() {
            let answers = u128::from(answers);
            if before + answers >= rank {
                let (from, to) = (beginning(bucket), beginning(bucket + 1));
                let within = u128::from(to - from).saturating_mul(rank - before) / answers;
                let open_ended = bucket == BUCKETS - 1;
                let within = if open_ended { 0 } else { u64::try_from(within).unwrap_or(0) };
                return Some(Duration::from_micros(from.saturating_add(within)));
            }
            before += answers;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_quarters_of_doublings() {
        for (micros, expected) in [
            (0, 0),
            (64, 0),
            (79, 0),
            (80, 1),
            (96, 2),
            (112, 3),
            (127, 3),
            (128, 4),
            (1024, 16),
            (67_000_000, BUCKETS - 1),
            (u64::MAX, BUCKETS - 1),
        ] {
            assert_eq!(bucket(Duration::from_micros(micros)), expected, "{micros} µs");
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn the_last_step_has_no_end() {
        let mut histogram = Histogram::default();
        histogram.add(bucket(Duration::from_secs(3600)), 1);
        assert_eq!(histogram.percentile(95), Some(Duration::from_micros(beginning(BUCKETS - 1))));
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_quarter_of_the_truth(
            mut times in proptest::collection::vec(64_u64..60_000_000, 1..300),
            percent in 1_u64..=100,
        ) {
            let mut histogram = Histogram::default();
            for micros in &times {
                histogram.add(bucket(Duration::from_micros(*micros)), 1);
            }
            times.sort_unstable();
            let rank = (times.len() * usize::try_from(percent).unwrap()).div_ceil(100).max(1);
            let truth = times[rank - 1];
            let found = u64::try_from(histogram.percentile(percent).unwrap().as_micros()).unwrap();
            prop_assert!(found.abs_diff(truth) <= truth.div_ceil(4), "{found} for {truth}");
        }
    }
}
