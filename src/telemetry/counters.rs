//! Counters that every request increments. Each thread has cells of its own, so that no two threads
//! write to the same cache line; reading adds up the cells.
//!
//! What is counted is in `tables.rs`; how it is exported is in `operate/metrics.rs`.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The most threads with cells of their own; further threads share cells.
const MAX_CELLS: usize = 16;

/// The number of cells of a counter: one per core.
static CELLS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_CELLS)));

/// The cell of this thread.
pub(super) fn cell() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static CELL: usize = NEXT.fetch_add(1, Ordering::Relaxed).checked_rem(*CELLS).unwrap_or(0);
    }
    CELL.with(|cell| *cell)
}

/// One value for each cell.
pub(super) fn cells<T: Default>() -> Box<[T]> {
    (0..*CELLS).map(|_| T::default()).collect()
}

/// A counter that only grows.
#[derive(Debug)]
pub struct Count(Box<[Cell]>);

/// A number on a cache line of its own. The alignment is two lines, since processors fetch them in
/// pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

impl Default for Count {
    fn default() -> Count {
        Count(cells())
    }
}

impl Count {
    /// Adds one.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, some: u64) {
        if let Some(Cell(number)) = self.0.get(cell()) {
            number.fetch_add(some, Ordering::Relaxed);
        }
    }

    /// The sum of all cells.
    pub fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, Cell(number)| sum.wrapping_add(number.load(Ordering::Relaxed)))
    }
}

/// The upper bounds of a histogram's buckets, in nanoseconds: from the time of a refusal to the
/// longest deadline that a client may set.
pub const BOUNDS_NANOS: [u64; 18] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    15_000_000_000,
];

/// The number of buckets, including the last one for all longer times.
const BUCKETS: usize = BOUNDS_NANOS.len() + 1;

/// A histogram of durations.
#[derive(Debug)]
pub struct Histogram(Box<[Times]>);

/// The buckets of one cell.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Times {
    counts: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram(cells())
    }
}

impl Histogram {
    /// Adds a duration.
    pub fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        if let Some(times) = self.0.get(cell()) {
            if let Some(count) = times.counts.get(bucket) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            times.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// The counts of the buckets, not cumulative, and the sum of all durations in nanoseconds.
    pub fn sums(&self) -> ([u64; BUCKETS], u64) {
        let mut counts = [0_u64; BUCKETS];
        let mut nanos = 0_u64;
        for times in &self.0 {
            for (sum, count) in counts.iter_mut().zip(&times.counts) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
            nanos = nanos.wrapping_add(times.sum_nanos.load(Ordering::Relaxed));
        }
        (counts, nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_threads_count_is_lost() {
        let (count, histogram) = (Count::default(), Histogram::default());
        std::thread::scope(|scope| {
            for _ in 0..2 * MAX_CELLS {
                scope.spawn(|| {
                    for nanos in 0..1000 {
                        count.add_one();
                        histogram.add(Duration::from_nanos(nanos));
                    }
                });
            }
        });
        assert_eq!(count.sum(), 32_000);
        assert_eq!(histogram.sums().1, 32 * 499_500);
        assert_eq!(histogram.sums().0.iter().sum::<u64>(), 32_000);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_reaches_it() {
        for (nanos, bucket) in [(0, 0), (50_000, 0), (50_001, 1), (15_000_000_000, 17), (15_000_000_001, 18)] {
            let histogram = Histogram::default();
            histogram.add(Duration::from_nanos(nanos));
            assert_eq!(histogram.sums().0.iter().position(|count| *count == 1), Some(bucket), "{nanos}");
        }
        assert!(BOUNDS_NANOS.is_sorted());
    }
}
