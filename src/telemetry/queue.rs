//! A bounded queue of records for one consuming thread. Adding a record never waits for a file or a
//! network.
//!
//! Each thread has a buffer of its own, whose lock it shares only with the consumer, which holds it
//! just long enough to swap the buffer. The consumer is not woken for each record: it polls at
//! intervals, and is woken early only when a buffer fills up.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use super::counters::{Count, cell, cells};

/// Waiting records.
#[derive(Debug, Default)]
pub struct Waiting {
    pub bytes: Vec<u8>,
    /// The number of records.
    pub records: u64,
}

impl Waiting {
    /// Removes all records, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
    }
}

/// The buffers.
#[derive(Debug)]
pub struct Queue {
    buffers: Box<[Mutex<Waiting>]>,
    /// The size of a buffer in bytes, beyond which further records are dropped.
    max_bytes: usize,
    dropped: Count,
    taker: OnceLock<Thread>,
}

impl Queue {
    /// A queue with this many bytes for each thread.
    pub fn new(max_bytes: usize) -> Queue {
        Queue { buffers: cells(), max_bytes, dropped: Count::default(), taker: OnceLock::new() }
    }

    /// Sets the thread to wake when a buffer fills up.
    pub fn wake(&self, taker: &Thread) {
        // There is only one consumer.
        let _ = self.taker.set(taker.clone());
    }

    /// Adds a record, or drops and counts it.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(buffer) = self.buffers.get(cell()) else { return };
        let mut waiting = lock(buffer);
        let before = waiting.bytes.len();
        if before >= self.max_bytes {
            drop(waiting);
            self.dropped.add_one();
            return;
        }
        write(&mut waiting.bytes);
        waiting.records += 1;
        let after = waiting.bytes.len();
        drop(waiting);
        let half = self.max_bytes / 2;
        if (before..after).contains(&half)
            && let Some(taker) = self.taker.get()
        {
            taker.unpark();
        }
    }

    /// Takes the records of each thread in turn, and swaps in `spare`, which is empty.
    pub fn take(&self, spare: &mut Waiting, mut each: impl FnMut(&Waiting)) {
        for buffer in &self.buffers {
            spare.clear();
            std::mem::swap(&mut *lock(buffer), spare);
            if spare.records > 0 {
                each(spare);
            }
        }
        spare.clear();
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.buffers.iter().all(|buffer| lock(buffer).records == 0)
    }

    /// Counts records that were taken and could not be used.
    pub fn lose(&self, records: u64) {
        self.dropped.add(records);
    }

    /// How many records were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.sum()
    }
}

/// A thread that panicked while it held the lock has left whole records, or the start of one at the
/// end.
fn lock(buffer: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = Queue::new(10);
        for _ in 0..5 {
            queue.push(|out| out.extend_from_slice(b"1234\n"));
        }
        assert_eq!(queue.dropped(), 3);
        let mut taken = Vec::new();
        let mut spare = Waiting::default();
        queue.take(&mut spare, |waiting| taken.push((waiting.bytes.clone(), waiting.records)));
        assert_eq!(taken, [(b"1234\n1234\n".to_vec(), 2)]);
        assert!(queue.is_empty());
        queue.push(|out| out.push(b'5'));
        assert!(!queue.is_empty());
        queue.take(&mut spare, |waiting| assert_eq!(waiting.bytes, b"5"));
        assert_eq!(queue.dropped(), 3);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let queue = Queue::new(1 << 20);
        let mut taken = 0;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10_000).for_each(|_| queue.push(|out| out.push(b'a'))))).collect();
            let mut spare = Waiting::default();
            while threads.iter().any(|thread| !thread.is_finished()) {
                queue.take(&mut spare, |waiting| taken += waiting.records);
            }
            queue.take(&mut spare, |waiting| taken += waiting.records);
        });
        assert_eq!(taken + queue.dropped(), 40_000);
    }
}
