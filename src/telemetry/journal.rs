//! The journal: what every decision was made of, in files that can be judged again under another policy.
//!
//! A request copies what is needed into a queue in memory (`journal/note.rs`), and never waits. A thread that gives way
//! to those of requests makes lines of it (`journal/note_reader.rs`, `journal/line.rs`) and writes them
//! (`journal/writer.rs`, `journal/files.rs`). What does not fit into the queue, or cannot be written, is lost and counted.
//! Files are read in `journal/reading.rs`; judging again is `operate/replay.rs`.

mod bytes;
pub mod files;
pub mod line;
pub mod note;
pub mod note_reader;
pub mod reading;
pub mod redaction;
pub mod rules;
pub mod settings;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{park_timeout, sleep};
use std::time::{Duration, Instant};

use super::counters::Count;
use super::outlet::Outlet;
use super::queue::Waiting;
use crate::platform::priority;
use crate::policy::Frame;
use settings::JournalSettings;
use writer::{Announced, Writer, Written};

/// The most bytes of one thread's notes that may wait: some eight thousand of them.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How long notes are collected before they are told together.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the end of the process waits for the last frame.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// Accepts notes of requests.
#[derive(Debug)]
pub struct Journal {
    outlet: Outlet,
    announced: Announced,
    written: Count,
    /// Frames are to be written at once.
    ends: AtomicBool,
    /// Lines wait for their frame.
    unwritten: AtomicBool,
}

impl Journal {
    /// Starts the thread that writes, which opens its first file with the first frame.
    pub fn start(settings: JournalSettings) -> Arc<Journal> {
        let journal = Arc::new(Journal {
            outlet: Outlet::new(MAX_WAITING_BYTES),
            announced: Announced::default(),
            written: Count::default(),
            ends: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
        });
        let shared = Arc::clone(&journal);
        journal.outlet.taken_by(&std::thread::spawn(move || {
            priority::lower();
            shared.run(Writer::new(settings));
        }));
        journal
    }

    /// Makes a policy known before its first request is noted.
    pub fn announce(&self, frame: &Arc<Frame>) {
        self.announced.add(frame);
    }

    /// Adds a note, or loses and counts it.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outlet.push(write);
    }

    /// Waits until all notes so far are in a file, or for a limited time.
    pub fn flush(&self) {
        self.ends.store(true, Ordering::Release);
        self.outlet.flush();
        let since = Instant::now();
        while self.unwritten.load(Ordering::Acquire) && since.elapsed() < FLUSH_PATIENCE {
            self.outlet.hurry();
            sleep(Duration::from_millis(5));
        }
        self.ends.store(false, Ordering::Release);
    }

    /// Decisions that were written, and those that were lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.written.sum(), self.outlet.dropped())
    }

    /// Writes for as long as the process lives.
    fn run(&self, mut writer: Writer) {
        let mut spare = Waiting::default();
        loop {
            park_timeout(INTERVAL);
            self.outlet.take(&mut spare, |waiting| {
                self.unwritten.store(true, Ordering::Release);
                self.count(writer.add(&waiting.bytes, &self.announced));
            });
            if writer.is_due() || self.ends.load(Ordering::Acquire) {
                self.count(writer.write());
            }
            self.unwritten.store(writer.is_waiting(), Ordering::Release);
        }
    }

    fn count(&self, written: Written) {
        self.written.add(written.lines);
        self.outlet.lose(written.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_lost_and_counted() {
        // Without a thread that takes them, notes wait.
        let journal = Journal {
            outlet: Outlet::new(10),
            announced: Announced::default(),
            written: Count::default(),
            ends: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
        };
        for _ in 0..5 {
            journal.push(|out| out.extend_from_slice(b"1234"));
        }
        assert_eq!(journal.counts(), (0, 2));
        journal.count(Written { lines: 3, lost: 1 });
        assert_eq!(journal.counts(), (3, 3));
    }
}
