//! What is known of a shadow while it judges and afterwards: what it has found, and why it has ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::tally::Tally;
use crate::platform::clock::unix_seconds;
use crate::platform::count::counted;
use crate::policy::now::Now;
use crate::policy::seconds::Seconds;
use crate::telemetry::shadow::Queued;

/// How long one judgement may take by the clock, after which the candidate is given up: it may never end.
pub const MOST_STUCK: Duration = Duration::from_secs(10);

/// Why a shadow has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody has dropped it.
    Dropped,
    /// It is the configuration in force now.
    Promoted,
    /// Another candidate has taken its place.
    Replaced,
    /// The configuration in force is another one than it was compared with.
    Changed,
    /// It has panicked.
    Panicked,
    /// It took too long.
    Slow,
}

impl Why {
    /// All of them.
    pub const ALL: [Why; 6] = [Why::Dropped, Why::Promoted, Why::Replaced, Why::Changed, Why::Panicked, Why::Slow];

    /// Its name in JSON and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Dropped => "dropped",
            Why::Promoted => "promoted",
            Why::Replaced => "replaced",
            Why::Changed => "changed",
            Why::Panicked => "panicked",
            Why::Slow => "slow",
        }
    }

    /// The same in words.
    pub const fn words(self) -> &'static str {
        match self {
            Why::Dropped => "it was dropped",
            Why::Promoted => "it is in force now",
            Why::Replaced => "another candidate has taken its place",
            Why::Changed => "the configuration in force has changed",
            Why::Panicked => "it has panicked",
            Why::Slow => "it took too much processor time",
        }
    }
}

/// What is known of a shadow.
#[derive(Debug)]
pub struct State {
    file: Box<str>,
    /// In seconds since 1970.
    began: Seconds,
    started: Instant,
    queued: Arc<Queued>,
    tally: Mutex<Tally>,
    /// Why and when it has ended, in seconds since 1970.
    ended: Mutex<Option<(Why, Seconds)>>,
    /// When the judgement began that is under way, in nanoseconds since `started`; 0 for none.
    busy_since: AtomicU64,
    /// The processor time that its thread has used, in nanoseconds.
    used: AtomicU64,
}

impl State {
    /// That of a candidate which begins now.
    pub fn new(file: &str, queued: Arc<Queued>, now: Now) -> State {
        State {
            file: file.into(),
            began: now.unix_seconds,
            started: Instant::now(),
            queued,
            tally: Mutex::default(),
            ended: Mutex::default(),
            busy_since: AtomicU64::new(0),
            used: AtomicU64::new(0),
        }
    }

    /// The name of the candidate's file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// When it began, in seconds since 1970.
    pub fn began(&self) -> Seconds {
        self.began
    }

    /// Why it has ended and when, in seconds since 1970.
    pub fn ended(&self) -> Option<(Why, Seconds)> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has found so far.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has judged, and what was lost of it.
    pub fn queued(&self) -> &Queued {
        &self.queued
    }

    /// The processor time that its thread has used.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Ends it, unless it has ended already; the log says what it has found. Whether it has ended by this.
    pub fn end(&self, why: Why) -> bool {
        {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if ended.is_some() {
                return false;
            }
            *ended = Some((why, unix_seconds()));
        }
        self.queued.end();
        let found = {
            let tally = self.tally();
            let (refused, charged) = (tally.refused_otherwise, tally.charged_otherwise);
            let lost = self.queued.lost();
            format!(
                "{}, of which {refused} would be refused otherwise and {charged} charged otherwise; {lost} lost",
                counted(tally.decisions, "request")
            )
        };
        let line = format!("the shadow of {} has ended, since {}: {found}", self.file, why.words());
        match why {
            Why::Panicked | Why::Slow => log::warn!(target: "tollgate::shadow", "{line}"),
            Why::Dropped | Why::Promoted | Why::Replaced | Why::Changed => {
                log::info!(target: "tollgate::shadow", "{line}");
            }
        }
        true
    }

    /// A judgement begins.
    pub(super) fn begins(&self, at: Instant) {
        let since = at.saturating_duration_since(self.started).as_nanos();
        self.busy_since.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// No judgement is under way, and its thread has used so much processor time.
    pub(super) fn rests(&self, used: Duration) {
        self.busy_since.store(0, Ordering::Relaxed);
        self.used.store(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Ends it if its thread has judged one item until `now` for longer than any may take.
    pub fn watch(&self, now: Instant) {
        let since = Duration::from_nanos(self.busy_since.load(Ordering::Relaxed));
        let running = now.saturating_duration_since(self.started);
        if !since.is_zero() && running.saturating_sub(since) > MOST_STUCK {
            self.end(Why::Slow);
        }
    }
}
