//! The log: one JSON object a line on standard error, written by a thread of its own.
//!
//! A slow reader of the log must not slow down a request, so lines wait in a bounded queue, and
//! those that find it full are dropped and counted. What is logged of a request is `telemetry.rs`.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use log::LevelFilter;

/// Lines that may wait to be written.
const MAX_WAITING_LINES: usize = 4096;

/// Starts the log, and lets a panic be one line of it without its message, which could repeat
/// bytes of a request.
///
/// Pingora's own lines can do that as well, so of those only the ones about services and listeners
/// are shown.
pub fn start() {
    let (lines, waiting) = sync_channel(MAX_WAITING_LINES);
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Queue { lines, dropped: Arc::clone(&dropped) };
    std::thread::spawn(move || write_out(&waiting, &dropped));
    env_logger::Builder::new()
        .filter_level(LevelFilter::Off)
        .filter_module("tollgate", LevelFilter::Info)
        .filter_module("pingora_core::services", LevelFilter::Error)
        .filter_module("pingora_core::listeners", LevelFilter::Warn)
        .format(|out, record| {
            writeln!(out, "{}", line(record.level().as_str(), record.target(), &record.args().to_string()))
        })
        .target(env_logger::Target::Pipe(Box::new(queue)))
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        log::error!(target: "tollgate::panic", "a panic at {place}");
    }));
}

fn line(level: &str, target: &str, message: &str) -> String {
    let seconds = UNIX_EPOCH.elapsed().map_or(0, |since_1970| since_1970.as_secs());
    serde_json::json!({ "time": seconds, "level": level, "target": target, "message": message }).to_string()
}

/// Waits until the lines logged so far are written, or a little while: the process is about to end.
pub fn flush() {
    const PATIENCE: u8 = 50;
    for _ in 0..PATIENCE {
        if WAITING.load(Ordering::Acquire) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lines that are not written yet.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The queue's end that never blocks.
struct Queue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WAITING.fetch_add(1, Ordering::AcqRel);
        if self.lines.try_send(bytes.to_vec()).is_err() {
            WAITING.fetch_sub(1, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_out(waiting: &Receiver<Vec<u8>>, dropped: &AtomicU64) {
    let mut out = io::stderr();
    for bytes in waiting {
        let lost = dropped.swap(0, Ordering::Relaxed);
        // A standard error that is closed is an operator's choice; the gateway goes on.
        if lost > 0 {
            let _ = writeln!(out, "{}", line("WARN", "tollgate::logging", &format!("{lost} lines were dropped")));
        }
        let _ = out.write_all(&bytes);
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}
