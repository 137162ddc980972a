//! How records of requests leave the process: they wait in a queue, which a thread empties at intervals, or earlier
//! when it is woken.
//!
//! The threads are in `access_log.rs` and `otlp.rs`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread, sleep};
use std::time::{Duration, Instant};

use super::queue::{Queue, Waiting};

/// How long the process waits for the last records before it ends.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// Records on their way out.
#[derive(Debug)]
pub struct Outlet {
    queue: Queue,
    /// Everything that was taken from the queue is written or dropped.
    idle: AtomicBool,
    taker: OnceLock<Thread>,
}

impl Outlet {
    /// An outlet with a queue of this many bytes for each thread.
    pub fn new(max_waiting_bytes: usize) -> Outlet {
        Outlet { queue: Queue::new(max_waiting_bytes), idle: AtomicBool::new(true), taker: OnceLock::new() }
    }

    /// Sets the thread that empties the queue.
    pub fn taken_by(&self, taker: &JoinHandle<()>) {
        self.queue.wake(taker.thread());
        // This is called once.
        let _ = self.taker.set(taker.thread().clone());
    }

    /// Adds a record, or drops and counts it.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.queue.push(write);
    }

    /// Empties the queue; only the thread of `taken_by` may call it.
    pub fn take(&self, spare: &mut Waiting, each: impl FnMut(&Waiting)) {
        // Set before the queue is emptied, so that `flush` never sees an empty queue and an idle thread in between.
        self.idle.store(false, Ordering::Release);
        self.queue.take(spare, each);
        self.idle.store(true, Ordering::Release);
    }

    /// Wakes the thread that empties the queue.
    pub fn hurry(&self) {
        if let Some(taker) = self.taker.get() {
            taker.unpark();
        }
    }

    /// Waits until all records so far are written, or for a limited time.
    pub fn flush(&self) {
        let since = Instant::now();
        while since.elapsed() < FLUSH_PATIENCE && !(self.queue.is_empty() && self.idle.load(Ordering::Acquire)) {
            self.hurry();
            sleep(Duration::from_millis(5));
        }
    }

    /// Counts records that were taken from the queue and could not be written.
    pub fn lose(&self, records: u64) {
        self.queue.lose(records);
    }

    /// Records that were dropped because they could not be written fast enough, or at all.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}
