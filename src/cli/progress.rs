//! How far a long command is, on the standard error output: one line that is written over on a terminal, and a line now
//! and then elsewhere. What is done soon says nothing.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often a line for a terminal is written over.
const REDRAWN: Duration = Duration::from_millis(200);

/// How often a line is written where nothing is written over.
const REPEATED: Duration = Duration::from_secs(5);

/// Steps between looks at the clock.
const STEPS: u64 = 64;

/// How far something is.
#[derive(Debug)]
pub struct Progress {
    done: &'static str,
    what: &'static str,
    /// How many there are; unknown where bytes are counted.
    of: Option<u64>,
    steps: u64,
    bytes: Option<(u64, u64)>,
    began: Instant,
    told: Instant,
    is_terminal: bool,
    has_told: bool,
}

impl Progress {
    /// Of so many things.
    pub fn new(done: &'static str, what: &'static str, of: usize) -> Progress {
        let now = Instant::now();
        Progress {
            done,
            what,
            of: u64::try_from(of).ok(),
            steps: 0,
            bytes: None,
            began: now,
            told: now,
            is_terminal: stderr().is_terminal(),
            has_told: false,
        }
    }

    /// Of things that are read from a file of so many bytes.
    pub fn of_bytes(done: &'static str, what: &'static str, length: u64) -> Progress {
        Progress { of: None, bytes: Some((0, length)), ..Progress::new(done, what, 0) }
    }

    /// So many bytes more were read.
    pub fn read(&mut self, count: usize) {
        if let Some((read, _)) = &mut self.bytes {
            *read = read.saturating_add(u64::try_from(count).unwrap_or_default());
        }
    }

    /// So many things more are done.
    pub fn step(&mut self, count: u64) {
        let before = self.steps;
        self.steps = self.steps.saturating_add(count);
        if before / STEPS == self.steps / STEPS {
            return;
        }
        let interval = if self.is_terminal { REDRAWN } else { REPEATED };
        if self.told.elapsed() >= interval {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        self.has_told = true;
        let line = line(self, self.began.elapsed());
        let (begin, end) = if self.is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Nobody can be told that nobody reads it.
        let _ = write!(stderr(), "{begin}{line}{end}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.has_told {
            self.tell();
            if self.is_terminal {
                let _ = writeln!(stderr());
            }
        }
    }
}

/// One line, after some time.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let Progress { done, what, of, steps, bytes, .. } = progress;
    let percent = |part: u64, whole: u64| part.saturating_mul(100).checked_div(whole).unwrap_or(100).min(100);
    let far = match (of, bytes) {
        (Some(of), _) => format!("{done} {steps} of {of} {what} ({} %)", percent(*steps, *of)),
        (None, Some((read, length))) => format!("{done} {steps} {what} ({} %)", percent(*read, *length)),
        (None, None) => format!("{done} {steps} {what}"),
    };
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let a_second = steps.saturating_mul(1000).checked_div(milliseconds).unwrap_or_default();
    format!("{far}, {a_second} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let mut known = Progress::new("imported", "accounts", 1_000_000);
        known.steps = 250_000;
        assert_eq!(line(&known, Duration::from_secs(10)), "imported 250000 of 1000000 accounts (25 %), 25000 a second");
        let mut of_file = Progress::of_bytes("imported", "accounts", 400);
        of_file.read(100);
        of_file.steps = 3;
        assert_eq!(line(&of_file, Duration::from_millis(1500)), "imported 3 accounts (25 %), 2 a second");
        assert_eq!(line(&Progress::of_bytes("a", "b", 0), Duration::ZERO), "a 0 b (100 %), 0 a second");
    }
}
