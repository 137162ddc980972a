//! The thread of the journal: it turns notes into lines, and writes them as frames of zstd.
//!
//! A frame has whole lines and a checksum, and is written in one call: a crash loses the lines of the last second, and
//! leaves a file that can be read up to its last whole frame. What cannot be written is lost and counted; the log of the
//! process says once when that begins and ends.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::files::Files;
use super::line::{Beginning, Line, VERSION};
use super::note::notes;
use super::note_reader::{decision, frame_of, rfc3339};
use super::redaction::{Redaction, ValueKey};
use super::rules;
use super::settings::JournalSettings;
use crate::platform::clock::since_1970;
use crate::policy::Frame;

/// Bytes of lines after which a frame is written.
const FRAME_BYTES: usize = 256 * 1024;

/// How long lines wait for others of their frame.
const FRAME_AGE: Duration = Duration::from_secs(1);

/// How much zstd tries: its fastest level of those that are not for speed alone. A higher one takes longer than the rest.
const LEVEL: i32 = 1;

/// Policies that lines can still be of: requests end long before so many others are loaded.
pub const MOST_FRAMES: usize = 8;

/// What the key's own digest is of, by which a reader knows whether it has the same key.
pub const OF_KEY: &[u8] = b"tollgate journal";

/// The policies that lines can be of, the newest last.
#[derive(Debug, Default)]
pub struct Announced(Mutex<Vec<Arc<Frame>>>);

impl Announced {
    /// Adds a policy before its first request.
    pub fn add(&self, frame: &Arc<Frame>) {
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !frames.iter().any(|known| Arc::ptr_eq(known, frame)) {
            if frames.len() >= MOST_FRAMES {
                frames.remove(0);
            }
            frames.push(Arc::clone(frame));
        }
    }

    fn at(&self, address: usize) -> Option<Arc<Frame>> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().find(|known| Arc::as_ptr(known).addr() == address).map(Arc::clone)
    }
}

/// A policy as lines name it.
struct PolicyLine {
    frame: Arc<Frame>,
    version: String,
    /// Its line, with the end.
    line: Vec<u8>,
    /// It is in the file that is written to.
    is_written: bool,
}

/// What became of some lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub lines: u64,
    pub lost: u64,
}

/// Writes lines.
pub struct Writer {
    files: Files,
    redaction: Redaction,
    compressor: Option<Compressor<'static>>,
    policies: Vec<PolicyLine>,
    /// Lines of the next frame.
    lines: Vec<u8>,
    count: u64,
    /// When the first of them came.
    since: Option<Instant>,
    /// Lines are being lost; this is logged once.
    failing: bool,
}

impl Writer {
    /// A writer by these settings.
    pub fn new(settings: JournalSettings) -> Writer {
        let key = settings.key.as_ref().and_then(|key| ValueKey::new(key.as_bytes()));
        let mut compressor = Compressor::new(LEVEL).ok();
        if let Some(compressor) = &mut compressor {
            // Without it damage is still found, only less often.
            let _ = compressor.set_parameter(CParameter::ChecksumFlag(true));
        }
        Writer {
            redaction: Redaction { key, addresses: settings.addresses },
            files: Files::new(settings),
            compressor,
            policies: Vec::new(),
            lines: Vec::with_capacity(FRAME_BYTES),
            count: 0,
            since: None,
            failing: false,
        }
    }

    /// Adds the lines of some notes, and writes every frame that is full.
    pub fn add(&mut self, bytes: &[u8], announced: &Announced) -> Written {
        let mut written = Written::default();
        let now = since_1970();
        for note in notes(bytes) {
            if self.line(note, announced, (now.as_secs(), now.subsec_nanos())).is_none() {
                written.lost += 1;
            }
            if self.lines.len() >= FRAME_BYTES {
                written = written.and(self.write());
            }
        }
        written
    }

    /// Appends the line of a note; `None` if it cannot be written.
    fn line(&mut self, note: &[u8], announced: &Announced, ended: (u64, u32)) -> Option<()> {
        let (address, rest) = frame_of(note)?;
        let index = self.policy(address, announced)?;
        let policy = self.policies.get(index)?;
        let told = decision(rest, &policy.frame, &policy.version, &self.redaction, ended)?;
        let before = self.lines.len();
        if Line::Decision(Box::new(told)).write(&mut self.lines).is_err() {
            self.lines.truncate(before);
            return None;
        }
        self.count += 1;
        self.since.get_or_insert_with(Instant::now);
        // Before the next frame of a new policy, so that readers know its rules.
        if !policy.is_written {
            let line = policy.line.clone();
            self.lines.splice(0..0, line);
            if let Some(policy) = self.policies.get_mut(index) {
                policy.is_written = true;
            }
        }
        Some(())
    }

    fn policy(&mut self, address: usize, announced: &Announced) -> Option<usize> {
        if let Some(index) = self.policies.iter().position(|policy| Arc::as_ptr(&policy.frame).addr() == address) {
            return Some(index);
        }
        let frame = announced.at(address)?;
        let rules = rules::of(&frame);
        let version = rules.rules_of.clone();
        let mut line = Vec::new();
        Line::Rules(Box::new(rules)).write(&mut line).ok()?;
        if self.policies.len() >= MOST_FRAMES {
            self.policies.remove(0);
        }
        self.policies.push(PolicyLine { frame, version, line, is_written: false });
        self.policies.len().checked_sub(1)
    }

    /// Whether lines wait that are to be written now.
    pub fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= FRAME_AGE)
    }

    /// Whether lines wait.
    pub fn is_waiting(&self) -> bool {
        self.count > 0
    }

    /// Writes the lines so far as a frame.
    pub fn write(&mut self) -> Written {
        let count = std::mem::take(&mut self.count);
        self.since = None;
        if count == 0 {
            return Written::default();
        }
        let outcome = self.write_frame();
        self.lines.clear();
        match outcome {
            Ok(()) => {
                if std::mem::replace(&mut self.failing, false) {
                    log::info!(target: "tollgate::journal", "the journal can be written again");
                }
                Written { lines: count, lost: 0 }
            }
            Err(error) => {
                // What was in the frame has to be written again.
                self.policies.iter_mut().for_each(|policy| policy.is_written = false);
                if !std::mem::replace(&mut self.failing, true) {
                    log::error!(target: "tollgate::journal", "decisions are lost: cannot write the journal ({error})");
                }
                Written { lines: 0, lost: count }
            }
        }
    }

    fn write_frame(&mut self) -> io::Result<()> {
        let now = since_1970();
        if self.files.ready(now)? {
            let begins = self.beginning((now.as_secs(), now.subsec_nanos()))?;
            self.lines.splice(0..0, begins);
        }
        let compressor = self.compressor.as_mut().ok_or_else(|| io::Error::other("zstd cannot be used"))?;
        let frame = compressor.compress(&self.lines)?;
        self.files.write(&frame)
    }

    /// The first lines of a file: with the rules of the policies that the frame may be of, which stand in it already if
    /// they are new.
    fn beginning(&mut self, now: (u64, u32)) -> io::Result<Vec<u8>> {
        let mut lines = Vec::new();
        let beginning = Beginning {
            journal: VERSION,
            program: format!("tollgate {}", env!("CARGO_PKG_VERSION")),
            begun: rfc3339(now),
            addresses: self.redaction.addresses,
            key: self.redaction.key.as_ref().map(|key| key.digest(OF_KEY)),
        };
        Line::Beginning(beginning).write(&mut lines)?;
        for policy in &mut self.policies {
            if !self.lines.starts_with(&policy.line) {
                lines.extend_from_slice(&policy.line);
            }
            policy.is_written = true;
        }
        Ok(lines)
    }
}

impl Written {
    fn and(self, more: Written) -> Written {
        Written { lines: self.lines + more.lines, lost: self.lost + more.lost }
    }
}
