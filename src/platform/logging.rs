//! The log: one JSON object a line on standard error, written by a thread of its own.
//!
//! A slow reader of the log must not slow down a request, so lines wait in a bounded queue, and
//! those that find it full are dropped and counted. What is logged of a request is `telemetry.rs`.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use log::{Level, LevelFilter};
use serde_json::Value;

use crate::platform::clock::unix_seconds;

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
    // The log is started once.
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

/// One line: the time as RFC 3339 has it, the level, the part of the program, the message, and
/// whatever else is known as members of their own; what is not known has none.
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

/// A member of a line beside its message; `null` if it is not known.
pub type Field<'f> = (&'f str, Value);

/// Writes a warning with members of its own. Lines of `log` have a message alone.
pub fn warn(target: &str, message: &str, fields: &[Field<'_>]) {
    if let Some(queue) = QUEUE.get() {
        queue.push(format!("{}\n", line(SystemTime::now(), Level::Warn, target, message, fields)).into_bytes());
    }
}

/// Where lines wait, once the log was started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// A moment in UTC, with milliseconds.
fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Lines of one kind, of which one a second is written and the others are counted: whoever can cause
/// them as fast as they can send would fill the disk otherwise.
#[derive(Debug, Default)]
pub struct OnceASecond {
    /// The second after the one in which a line was written last; 0 before the first.
    next: AtomicU64,
    left_out: AtomicU64,
}

impl OnceASecond {
    /// One of which nothing was written yet.
    pub const fn new() -> OnceASecond {
        OnceASecond { next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Whether a line may be written in this second, and how many were left out since the last one.
    /// If not, this one is counted as left out.
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

    /// How many were left out and not told of, once the second is over in which they were.
    pub fn take_left_out(&self, second: u64) -> u64 {
        if second < self.next.load(Ordering::Relaxed) { 0 } else { self.left_out.swap(0, Ordering::Relaxed) }
    }
}

/// Says once a second what was left out; it is called with the second.
pub fn each_second(say: fn(u64)) {
    // One process has one gateway.
    let _ = EACH_SECOND.set(say);
}

static EACH_SECOND: OnceLock<fn(u64)> = OnceLock::new();

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
                say(unix_seconds(SystemTime::now()));
            }
        }
        let bytes = match waiting.recv_timeout(SECOND) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        // A standard error that is closed is an operator's choice; the gateway goes on.
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
            [("product", "phone".into()), ("status", 503.into()), ("account", Value::Null), ("time", "no".into())];
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
                "product": "phone",
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
        // A clock that is set back writes nothing until it has caught up.
        assert_eq!((kind.admit(5), kind.admit(12)), (None, Some(1)));
    }
}
