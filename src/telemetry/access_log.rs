//! The access log: one line per request, written by a separate thread.
//!
//! No request waits for it. If the file cannot be written, the disk is full or a pipe's reader is
//! stuck, lines are dropped and counted, and nothing else is affected; the log of the process says
//! when that begins and ends. The content of a line is in `access_line.rs`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use super::access_line::Key;
use super::names::{Names, Naming};
use super::outlet::Outlet;
use super::queue::Waiting;

/// The most bytes of one thread that may wait to be written: about two thousand lines.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// How long lines are collected before they are written together.
const INTERVAL: Duration = Duration::from_millis(100);

/// The pause before the next attempt to open a file that could not be opened.
const OPENING_PAUSE: Duration = Duration::from_secs(1);

/// The pause before the next attempt to write to a full pipe.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(20);

/// The mode of the file. Not everybody may read it, since it shows what customers do.
const MODE: u32 = 0o640;

/// Where lines go.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    Stdout,
    File(PathBuf),
}

/// Where lines go, and the key with which references are hashed.
#[derive(Clone, PartialEq)]
pub struct AccessLogSettings {
    pub destination: Destination,
    pub names: Naming,
    /// `None`: a random key, different in each process.
    pub reference_key: Option<Box<str>>,
}

impl std::fmt::Debug for AccessLogSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Settings({:?}, {:?}, ***)", self.destination, self.names)
    }
}

/// Accepts lines.
#[derive(Debug)]
pub struct AccessLog {
    outlet: Outlet,
    key: Key,
    names: &'static Names,
    destination: Destination,
    reopen: AtomicBool,
}

impl AccessLog {
    /// Starts the writing thread, which opens the file.
    pub fn start(settings: AccessLogSettings) -> Arc<AccessLog> {
        let AccessLogSettings { destination, names, reference_key } = settings;
        let given = reference_key.and_then(|key| Key::new(key.as_bytes()));
        let log = Arc::new(AccessLog {
            outlet: Outlet::new(MAX_WAITING_BYTES),
            key: given.unwrap_or_else(Key::random),
            names: names.names(),
            destination,
            reopen: AtomicBool::new(false),
        });
        let shared = Arc::clone(&log);
        log.outlet.taken_by(&std::thread::spawn(move || Writer::new(&shared).run()));
        log
    }

    /// Adds a line, or drops and counts it.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outlet.push(write);
    }

    /// The names of the members.
    pub fn names(&self) -> &'static Names {
        self.names
    }

    /// The key with which references are hashed.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Reopens the file before the next line.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.outlet.hurry();
    }

    /// Waits until all lines so far are written, or for a limited time.
    pub fn flush(&self) {
        self.outlet.flush();
    }

    /// Lines that were dropped because they could not be written fast enough, or at all.
    pub fn dropped(&self) -> u64 {
        self.outlet.dropped()
    }
}

/// The writing thread.
struct Writer<'l> {
    log: &'l AccessLog,
    file: Option<File>,
    /// The time of the last failed attempt to open the file.
    tried: Option<Instant>,
    /// The last line in the file is incomplete.
    torn: bool,
    /// Lines are being dropped; this is logged once.
    failing: bool,
}

impl<'l> Writer<'l> {
    fn new(log: &'l AccessLog) -> Writer<'l> {
        Writer { log, file: None, tried: None, torn: false, failing: false }
    }

    /// Writes for as long as the process lives.
    fn run(mut self) {
        let mut spare = Waiting::default();
        // Opened at the start, so that the file exists or the log says why it does not.
        self.open();
        loop {
            park_timeout(INTERVAL);
            if self.log.reopen.swap(false, Ordering::AcqRel) {
                (self.file, self.tried) = (None, None);
                // After a rotation the file exists even if nothing is written for a while.
                self.open();
            }
            let log = self.log;
            log.outlet.take(&mut spare, |waiting| self.write(waiting));
        }
    }

    fn write(&mut self, waiting: &Waiting) {
        self.open();
        match self.write_out(&waiting.bytes) {
            Ok(()) => self.works(),
            Err((written, error)) => {
                let rest = waiting.bytes.get(written..).unwrap_or_default();
                let lost = memchr::memchr_iter(b'\n', rest).count();
                self.log.outlet.lose(u64::try_from(lost).unwrap_or(u64::MAX));
                self.torn |= written > 0 && waiting.bytes.get(written.wrapping_sub(1)) != Some(&b'\n');
                self.fails(&error);
            }
        }
    }

    /// Writes all bytes. On failure, returns how many were written and the error.
    fn write_out(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(file) = &mut self.file else {
            return Err((0, io::Error::other("the file is not open")));
        };
        if self.torn {
            file.write_all(b"\n").map_err(|error| (0, error))?;
            self.torn = false;
        }
        let mut written = 0;
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            match file.write(rest) {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The pipe is full because its reader is slow. Waiting for it keeps lines whole;
                // meanwhile the queue fills up and drops new lines. After a rotation there is no
                // waiting for the old file.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.log.reopen.load(Ordering::Acquire) {
                        return Err((written, error));
                    }
                    park_timeout(FULL_PIPE_PAUSE);
                }
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    /// Opens the file if it is not open, unless the last attempt was very recent.
    fn open(&mut self) {
        if self.file.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < OPENING_PAUSE) {
            return;
        }
        let opened = match &self.log.destination {
            Destination::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            // Non-blocking, so that this does not wait for a pipe without a reader, or for a full
            // one.
            Destination::File(path) => {
                OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK).open(path)
            }
        };
        match opened {
            Ok(file) => (self.file, self.torn) = (Some(file), false),
            Err(error) => {
                self.tried = Some(Instant::now());
                self.fails(&error);
            }
        }
    }

    fn fails(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            log::error!(target: "tollgate::access_log", "lines are dropped: cannot write the access log ({error})");
        }
    }

    fn works(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            log::info!(target: "tollgate::access_log", "the access log can be written again");
        }
    }
}
