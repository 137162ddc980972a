//! A thread that does its work in turns: every so often, and at once when somebody wants all of it to be done. It ends
//! with the last of its handles.

use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Thread, park_timeout};
use std::time::Duration;

use super::pace;

/// How long a flush waits for the thread, which may hang with a disk.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// The handle of the thread.
#[derive(Clone, Debug)]
pub struct Turns {
    flush: Arc<Mutex<Sender<SyncSender<()>>>>,
    thread: Thread,
}

impl Turns {
    /// Starts a thread that takes a turn after each pause, or earlier if it is unparked.
    pub fn start(pause: Duration, turn: impl FnMut() + Send + 'static) -> Turns {
        let (flush, flushes) = channel();
        let running = std::thread::spawn(move || run(pause, turn, &flushes));
        Turns { flush: Arc::new(Mutex::new(flush)), thread: running.thread().clone() }
    }

    /// The thread, to be unparked when there is much to do.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Takes a turn now, and waits for its end, for a limited time.
    pub fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        let sent = self.flush.lock().unwrap_or_else(PoisonError::into_inner).send(done);
        if sent.is_ok() {
            self.thread.unpark();
            let _ = flushed.recv_timeout(FLUSH_PATIENCE);
        }
    }
}

fn run(pause: Duration, mut turn: impl FnMut(), flushes: &Receiver<SyncSender<()>>) {
    loop {
        park_timeout(pause);
        let asked = flushes.try_recv();
        pace::keep();
        turn();
        match asked {
            // Fails if nobody waits any more.
            Ok(done) => drop(done.try_send(())),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_flush_waits_for_a_turn_that_begins_after_it() {
        let (turns, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (of_thread, seen) = (Arc::clone(&turns), Arc::clone(&counted));
        let handle = Turns::start(Duration::from_secs(3600), move || {
            of_thread.fetch_add(1, Ordering::SeqCst);
            counted.store(7, Ordering::SeqCst);
        });
        for turn in 1..4 {
            handle.flush();
            assert!(turns.load(Ordering::SeqCst) >= turn && seen.load(Ordering::SeqCst) == 7);
        }
    }

    #[test]
    fn it_takes_a_last_turn_when_nobody_holds_it_any_more() {
        let (told, ended) = channel();
        let handle = Turns::start(Duration::from_secs(3600), move || told.send(()).unwrap());
        let thread = handle.thread().clone();
        drop(handle);
        thread.unpark();
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(()));
        // The closure, and with it the sender, is gone with the thread.
        assert!(ended.recv_timeout(Duration::from_secs(30)).is_err());
    }
}
