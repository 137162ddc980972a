//! The process log: one JSON object per line on standard error, written by a separate thread.
//!
//! A slow reader of the log must not slow down a request, so lines wait in a bounded queue; if it
//! is full, they are dropped and counted. The access log is in `telemetry/`.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use log::{Level, LevelFilter};
use serde_json::Value;

use crate::platform::clock::unix_seconds;

/// The most lines that may wait to be written.
const MAX_WAITING_LINES: usize = 4096;

/// Starts the log. A panic is logged as one line, without its message, which could contain bytes of
/// a request.
///
/// Pingora's own lines can contain them as well, so only those about services and listeners are
/// shown.
pub fn start() {
    let (lines, waiting) = sync_channel(MAX_WAITING_LINES);
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Queue { lines, dropped: Arc::clone(&dropped) };
    // This is called once.
    let _ = QUEUE.set(queue.clone());
    std::thread::spawn(move || write_out(&waiting, &dropped));
    env_logger::Builder::new()
        .filter_level(LevelFilter::Off)
        .filter_module("tollgate", LevelFilter::Info)
        .filter_module("pingora_core::services", LevelFilter::Error)
        .filter_module("pingora_core::listeners", LevelFilter::Warn)
        .format(|out, record| {
            let message = record.args().to_string();
            writeln!(out, "{}", line(SystemTime::now(), record.level(), record.target(), &message, &[]))
        })
        .target(env_logger::Target::Pipe(Box::new(queue)))
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        log::error!(target: "tollgate::panic", "a panic at {place}");
    }));
}

/// One line: the time (RFC 3339), the level, the part of the program, the message, and further
/// members; those that are null are left out.
fn line(now: SystemTime, level: Level, target: &str, message: &str, fields: &[Field<'_>]) -> String {
    let mut line = serde_json::Map::new();
    let first = [("time", rfc3339(now)), ("level", level.to_string()), ("target", target.to_owned())];
    line.extend(first.map(|(name, value)| (name.to_owned(), Value::from(value))));
    line.insert("message".to_owned(), message.into());
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        line.entry(*name).or_insert_with(|| value.clone());
    }
    Value::Object(line).to_string()
}

/// A further member of a line; `null` if it is not known.
pub type Field<'f> = (&'f str, Value);

/// Writes a warning with further members. Lines of the `log` crate have only a message.
pub fn warn(target: &str, message: &str, fields: &[Field<'_>]) {
    if let Some(queue) = QUEUE.get() {
        queue.push(format!("{}\n", line(SystemTime::now(), Level::Warn, target, message, fields)).into_bytes());
    }
}

/// The queue, once the log was started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// A time in UTC, with milliseconds.
fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Limits lines of one kind to one per second and counts the others: a client that can cause such
/// lines by sending requests could fill the disk otherwise.
#[derive(Debug, Default)]
pub struct OnceASecond {
    /// The second after that of the last line; 0 before the first.
    next: AtomicU64,
    left_out: AtomicU64,
}

impl OnceASecond {
    /// A limit that has not been used yet.
    pub const fn new() -> OnceASecond {
        OnceASecond { next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// If a line may be written in this second, returns how many were left out since the last one.
    /// Otherwise counts this one as left out and returns `None`.
    pub fn admit(&self, second: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let first = second >= next
            && self.next.compare_exchange(next, second.saturating_add(1), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// How many were left out and not yet reported, once their second is over.
    pub fn take_left_out(&self, second: u64) -> u64 {
        if second < self.next.load(Ordering::Relaxed) { 0 } else { self.left_out.swap(0, Ordering::Relaxed) }
    }
}

/// Sets a function that is called once per second, with the second, to report what was left out.
pub fn each_second(say: fn(u64)) {
    // A process has only one gateway.
    let _ = EACH_SECOND.set(say);
}

static EACH_SECOND: OnceLock<fn(u64)> = OnceLock::new();

/// Waits until all lines so far are written, or for a limited time, before the process ends.
pub fn flush() {
    const PATIENCE: u8 = 50;
    for _ in 0..PATIENCE {
        if WAITING.load(Ordering::Acquire) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The number of lines that are not written yet.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The sending end of the queue, which never blocks.
#[derive(Clone, Debug)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Adds a line, or drops and counts it.
    fn push(&self, line: Vec<u8>) {
        WAITING.fetch_add(1, Ordering::AcqRel);
        if self.lines.try_send(line).is_err() {
            WAITING.fetch_sub(1, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_out(waiting: &Receiver<Vec<u8>>, dropped: &AtomicU64) {
    const SECOND: Duration = Duration::from_secs(1);
    let mut out = io::stderr();
    let mut looked = Instant::now();
    loop {
        if looked.elapsed() >= SECOND {
            looked = Instant::now();
            if let Some(say) = EACH_SECOND.get() {
                say(unix_seconds());
            }
        }
        let bytes = match waiting.recv_timeout(SECOND) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        // An operator may have closed standard error; the gateway continues without it.
        if lost > 0 {
            let told = "lines were dropped, because they could not be written fast enough";
            let fields = [("dropped", lost.into())];
            let _ = writeln!(out, "{}", line(SystemTime::now(), Level::Warn, "tollgate::logging", told, &fields));
        }
        let _ = out.write_all(&bytes);
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_line_has_its_time_as_rfc_3339_and_its_fields_as_members() {
        let fields =
            [("product", "plate".into()), ("status", 503.into()), ("account", Value::Null), ("time", "no".into())];
        let now = UNIX_EPOCH + Duration::from_millis(951_782_400_007);
        let text = line(now, Level::Warn, "tollgate::request", "no \"server\"\n7", &fields);
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            serde_json::json!({
                "time": "2000-02-29T00:00:00.007Z",
                "level": "WARN",
                "target": "tollgate::request",
                "message": "no \"server\"\n7",
                "product": "plate",
                "status": 503,
            })
        );
    }

    #[test]
    fn one_line_a_second_is_written_and_the_others_are_counted() {
        let kind = OnceASecond::new();
        assert_eq!(kind.admit(10), Some(0));
        assert_eq!((0..1000).filter_map(|_| kind.admit(10)).count(), 0);
        assert_eq!(kind.take_left_out(10), 0, "the second is not over");
        assert_eq!(kind.admit(11), Some(1000));
        assert_eq!(kind.admit(11), None);
        assert_eq!((kind.take_left_out(12), kind.take_left_out(12)), (1, 0));
        // After the clock was set back, nothing is written until it has caught up.
        assert_eq!((kind.admit(5), kind.admit(12)), (None, Some(1)));
    }
}
