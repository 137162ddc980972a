//! Values that are made from files and follow them: remade when the files change, and kept when the
//! new content is broken.
//!
//! Files are compared by their content, since modification times are not reliable and links can be
//! changed. `operate/certificates.rs` triggers the checks.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use super::files::{FileContents, FileFault, Overdue};

/// Settings that name files, and the value that is made from them.
pub trait Files {
    type Made;

    /// All files that are named.
    fn files(&self) -> Vec<&Path>;

    /// Makes the value.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    fn make(&self, snapshot: &FileContents) -> Result<Self::Made, Vec<FileFault>>;

    /// The certificates that have expired or are not valid yet.
    fn overdue(&self, snapshot: &FileContents, now: SystemTime) -> Vec<Overdue>;

    /// When the first of the certificates expires, in seconds since 1970.
    fn end(&self, snapshot: &FileContents) -> Option<u64>;
}

/// A value that is made from files.
pub struct Followed<F: Files> {
    settings: F,
    /// A unique number in this process.
    number: u64,
    current: RwLock<Arc<F::Made>>,
    /// When the first certificate of the value expires, in seconds since 1970; 0 if there is none.
    end: AtomicU64,
    seen: Mutex<Looks>,
}

/// The results of the last checks of the files.
struct Looks {
    /// The digest of the content that the value was made from.
    good: [u8; 32],
    broken: Option<Broken>,
}

/// Content from which no value can be made.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Broken {
    print: [u8; 32],
    told: bool,
}

/// The result of a check of the files.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    NothingNew,
    Renewed,
    /// They have changed, and the new content is broken. This is reported once for each content.
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

    /// The value's number, unique in this process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The current value.
    pub fn current(&self) -> Arc<F::Made> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks the files. A file is often written in several steps, and a certificate before its
    /// key; so broken content is only reported if it is still the same at the next check.
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

    /// When the first certificate in use expires, in seconds since 1970.
    pub fn end(&self) -> Option<u64> {
        Some(self.end.load(Ordering::Relaxed)).filter(|end| *end > 0)
    }

    /// The certificates that have expired or are not valid yet.
    pub fn overdue(&self, now: SystemTime) -> Vec<Overdue> {
        self.settings.overdue(&FileContents::take(self.settings.files()), now)
    }
}

impl<F: Files + PartialEq> PartialEq for Followed<F> {
    /// Equal settings; the content of the files does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl<F: Files + fmt::Debug> fmt::Debug for Followed<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Followed({:?} ***)", self.settings)
    }
}
