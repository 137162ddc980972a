//! Where records of requests leave the process: they wait in a queue, and a thread takes them away every
//! now and then, sooner where it is woken.
//!
//! What the thread does with them is `access.rs` and `export.rs`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread, sleep};
use std::time::{Duration, Instant};

use super::queue::{Queue, Waiting};

/// How long the end of the process waits for the last records.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// Records on their way out.
#[derive(Debug)]
pub struct Outlet {
    queue: Queue,
    /// Everything that was taken from the queue has gone out or is lost.
    idle: AtomicBool,
    taker: OnceLock<Thread>,
}

impl Outlet {
    /// One in which so many bytes of each thread may wait.
    pub fn new(max_waiting_bytes: usize) -> Outlet {
        Outlet { queue: Queue::new(max_waiting_bytes), idle: AtomicBool::new(true), taker: OnceLock::new() }
    }

    /// Says which thread takes records away.
    pub fn taken_by(&self, taker: &JoinHandle<()>) {
        self.queue.wake(taker.thread());
        // There is one.
        let _ = self.taker.set(taker.thread().clone());
    }

    /// Adds a record, or drops and counts it.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.queue.push(write);
    }

    /// Takes everything away that waits; for the one thread that does so.
    pub fn take(&self, spare: &mut Waiting, each: impl FnMut(&Waiting)) {
        // Said before the queue is looked at, so that nobody finds both empty meanwhile.
        self.idle.store(false, Ordering::Release);
        self.queue.take(spare, each);
        self.idle.store(true, Ordering::Release);
    }

    /// Wakes the thread that takes records away.
    pub fn hurry(&self) {
        if let Some(taker) = self.taker.get() {
            taker.unpark();
        }
    }

    /// Waits until the records so far have gone out, or a little while.
    pub fn flush(&self) {
        let since = Instant::now();
        while since.elapsed() < FLUSH_PATIENCE && !(self.queue.is_empty() && self.idle.load(Ordering::Acquire)) {
            self.hurry();
            sleep(Duration::from_millis(5));
        }
    }

    /// Counts records that were taken and could not go out.
    pub fn lose(&self, records: u64) {
        self.queue.lose(records);
    }

    /// Records that were dropped because they could not go out fast enough, or at all.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}
