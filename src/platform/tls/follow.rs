//! Values that are made of files and follow them: made anew when the files change, and kept as they
//! are when what stands there now is broken.
//!
//! Files are compared by their content, since their times can lie and a link can be turned. Who
//! looks and when is `server.rs`.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use super::files::{FileContents, FileFault, Overdue};

/// Settings that name files, and what can be made of them.
pub trait Files {
    type Made;

    /// All files that are named.
    fn files(&self) -> Vec<&Path>;

    /// Makes the value.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    fn make(&self, snapshot: &FileContents) -> Result<Self::Made, Vec<FileFault>>;

    /// The certificates that are out of their time.
    fn overdue(&self, snapshot: &FileContents, now: SystemTime) -> Vec<Overdue>;

    /// When the first of the certificates ends, in seconds since 1970.
    fn end(&self, snapshot: &FileContents) -> Option<u64>;
}

/// A value made of files.
pub struct Followed<F: Files> {
    settings: F,
    /// No two values of a process have the same.
    number: u64,
    current: RwLock<Arc<F::Made>>,
    /// When the first certificate of the value ends, in seconds since 1970; 0 if there is none.
    end: AtomicU64,
    seen: Mutex<Looks>,
}

/// What the last looks at the files have shown.
struct Looks {
    /// The content that the value was made of.
    good: [u8; 32],
    broken: Option<Broken>,
}

/// A content that nothing can be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Broken {
    print: [u8; 32],
    told: bool,
}

/// What a look at the files has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    NothingNew,
    Renewed,
    /// They have changed for the worse. This is said once for each content.
    Broken(Vec<FileFault>),
}

impl<F: Files> Followed<F> {
    /// Makes the value for the first time.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn new(settings: F) -> Result<Followed<F>, Vec<FileFault>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let snapshot = FileContents::take(settings.files());
        let made = settings.make(&snapshot)?;
        let seen = Looks { good: snapshot.print(), broken: None };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let end = AtomicU64::new(settings.end(&snapshot).unwrap_or(0));
        Ok(Followed { settings, number, current: RwLock::new(Arc::new(made)), end, seen: Mutex::new(seen) })
    }

    pub fn settings(&self) -> &F {
        &self.settings
    }

    /// The value's number, which no other of the process has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The value as it is now.
    pub fn current(&self) -> Arc<F::Made> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files. A file is often written in several steps, and a certificate before its
    /// key: that something is broken is only said when it is still the same at the next look.
    pub fn look(&self) -> Found {
        let snapshot = FileContents::take(self.settings.files());
        let print = snapshot.print();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if print == seen.good {
            seen.broken = None;
            return Found::NothingNew;
        }
        if seen.broken == Some(Broken { print, told: true }) {
            return Found::NothingNew;
        }
        match self.settings.make(&snapshot) {
            Ok(made) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                self.end.store(self.settings.end(&snapshot).unwrap_or(0), Ordering::Relaxed);
                *seen = Looks { good: print, broken: None };
                Found::Renewed
            }
            Err(faults) => {
                let told = seen.broken == Some(Broken { print, told: false });
                seen.broken = Some(Broken { print, told });
                if told { Found::Broken(faults) } else { Found::NothingNew }
            }
        }
    }

    /// When the first certificate that is in use ends, in seconds since 1970.
    pub fn end(&self) -> Option<u64> {
        Some(self.end.load(Ordering::Relaxed)).filter(|end| *end > 0)
    }

    /// The certificates that are out of their time.
    pub fn overdue(&self, now: SystemTime) -> Vec<Overdue> {
        self.settings.overdue(&FileContents::take(self.settings.files()), now)
    }
}

impl<F: Files + PartialEq> PartialEq for Followed<F> {
    /// Equal settings, whatever the files hold at the moment.
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl<F: Files + fmt::Debug> fmt::Debug for Followed<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Followed({:?} ***)", self.settings)
    }
}
