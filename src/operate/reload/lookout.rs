//! When the configuration is loaded again: what its files were like at each look, and what follows.
//!
//! Nothing is read or loaded here but what the file system says of names, and time is an argument.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the files are looked at. A change is loaded once two looks have seen the same, so that
/// a file is not read while it is written.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// How long two looks that see the same are waited for: a change has to count within its second, also
/// while something else is written all the time. What was read half fails, and is read again.
const LONGEST_WAIT: Duration = Duration::from_millis(600);

/// After what time a load that has failed is tried again, though no file looks different.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest of these times, each of which is twice the one before.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// How many times as long as a load has taken it is at least until the next one that nobody asked for.
const REST_OF_A_LOAD: u32 = 10;

/// How long a change may go unseen because the clock of the file system has not moved on.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// What the file system says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing has this name.
    Absent,
    /// Something has it, and nothing can be reached by it: a link that leads nowhere.
    Dangling(FileState),
    /// What is on the way to it may not be looked at.
    Hidden,
    /// A file, or whatever a link leads to.
    There(FileState),
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    /// In nanoseconds since 1970, as is the next one.
    modified: i64,
    changed: i64,
    /// Whether its last change is so long ago that another one would have another time.
    settled: bool,
}

/// What each file was like.
pub type Marks = BTreeMap<PathBuf, Mark>;

impl Mark {
    /// What is known of a name at a time. Links are followed, so that one that is changed is a change.
    pub fn of(path: &Path, now: SystemTime) -> Mark {
        let now = nanoseconds(now);
        match std::fs::metadata(path) {
            Ok(found) => Mark::There(FileState::of(&found, now)),
            Err(_) => match std::fs::symlink_metadata(path) {
                Ok(link) => Mark::Dangling(FileState::of(&link, now)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Mark::Absent,
                Err(_) => Mark::Hidden,
            },
        }
    }

    /// Whether another change would look different.
    pub fn is_settled(&self) -> bool {
        match self {
            Mark::Absent | Mark::Hidden => true,
            Mark::Dangling(seen) | Mark::There(seen) => seen.settled,
        }
    }

    /// Whether it may have changed since a time.
    pub fn is_newer(&self, than: SystemTime) -> bool {
        match self {
            Mark::Absent | Mark::Hidden => false,
            Mark::Dangling(seen) | Mark::There(seen) => seen.changed >= nanoseconds(than),
        }
    }
}

impl FileState {
    fn of(found: &Metadata, now: i64) -> FileState {
        let time = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
        let changed = time(found.ctime(), found.ctime_nsec());
        FileState {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: time(found.mtime(), found.mtime_nsec()),
            changed,
            settled: i64::try_from(CLOCK_STEP.as_nanos()).is_ok_and(|step| changed.abs_diff(now) > step.unsigned_abs()),
        }
    }
}

/// What is to be done after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Wait,
    /// Files look different: load them if they hold something else than before.
    Compare,
    /// Nothing looks different, and the last load has failed: try again.
    Retry,
}

/// The looks so far, and what came of the last load. Times are since the process started.
#[derive(Debug, Default)]
pub struct Lookout {
    /// What the files were like before they were read last.
    known: Marks,
    /// What has looked different since, and is not loaded yet.
    changed: Option<Changed>,
    failed: Option<Failed>,
    /// Since when the files may say something else than what is in force.
    outdated_since: Option<Duration>,
}

#[derive(Debug)]
struct Changed {
    since: Duration,
    marks: Marks,
}

#[derive(Debug)]
struct Failed {
    retry_at: Duration,
    wait: Duration,
}

impl Lookout {
    /// Files that have been loaded, and what they were like before.
    pub fn new(known: Marks) -> Lookout {
        Lookout { known, ..Lookout::default() }
    }

    /// A look at the files.
    pub fn look(&mut self, marks: Marks, now: Duration) -> Next {
        if marks == self.known {
            self.changed = None;
            if self.failed.is_none() {
                self.outdated_since = None;
            }
            return if self.retries(now) { Next::Retry } else { Next::Wait };
        }
        self.outdated_since.get_or_insert(now);
        let (since, same) = match &self.changed {
            Some(changed) => (changed.since, changed.marks == marks),
            None => (now, false),
        };
        if same || now.saturating_sub(since) >= LONGEST_WAIT {
            (self.known, self.changed) = (marks, None);
            Next::Compare
        } else {
            self.changed = Some(Changed { since, marks });
            Next::Wait
        }
    }

    /// Whether a load that has failed is to be tried again.
    pub fn retries(&self, now: Duration) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.retry_at <= now)
    }

    /// The files hold what they held when they were read last.
    pub fn unchanged(&mut self) {
        if self.failed.is_none() {
            self.outdated_since = None;
        }
    }

    /// The files are about to be read: what changes from here on is another change.
    pub fn loading(&mut self, marks: Marks, now: Duration) {
        if marks != self.known {
            self.outdated_since.get_or_insert(now);
        }
        (self.known, self.changed) = (marks, None);
    }

    /// What the files were like before they were read last.
    pub fn known(&self) -> &Marks {
        &self.known
    }

    /// Other files were read than before.
    pub fn follow(&mut self, known: Marks) {
        self.known = known;
    }

    /// A load has come into force.
    pub fn succeeded(&mut self) {
        (self.failed, self.outdated_since) = (None, None);
    }

    /// What was loaded has gone back to what was before it: the files say something else, and are not loaded again until they
    /// change.
    pub fn went_back(&mut self, now: Duration) {
        self.outdated_since.get_or_insert(now);
        self.failed = Some(Failed { retry_at: Duration::MAX, wait: LAST_RETRY });
    }

    /// A load that began at one time and ended at another has changed nothing. One that was only tried
    /// again is tried later each time.
    pub fn failed(&mut self, again: bool, began: Duration, ended: Duration) {
        self.outdated_since.get_or_insert(began);
        let wait = match &self.failed {
            Some(before) if again => before.wait.saturating_mul(2).min(LAST_RETRY),
            Some(_) | None => FIRST_RETRY,
        };
        let rest = ended.saturating_sub(began).saturating_mul(REST_OF_A_LOAD);
        self.failed = Some(Failed { retry_at: ended.saturating_add(wait.max(rest)), wait });
    }

    /// Since when the files may say something else than what is in force.
    pub fn outdated_since(&self) -> Option<Duration> {
        self.outdated_since
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(size: u64) -> Marks {
        let seen = FileState { device: 1, inode: 1, size, modified: 0, changed: 0, settled: true };
        BTreeMap::from([(PathBuf::from("a"), Mark::There(seen))])
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_change_counts_once_two_looks_see_the_same() {
        let mut lookout = Lookout::new(marks(1));
        for (time, size, expected) in
            [(0, 1, Next::Wait), (200, 2, Next::Wait), (400, 2, Next::Compare), (600, 2, Next::Wait)]
        {
            assert_eq!(lookout.look(marks(size), at(time)), expected, "at {time} ms");
        }
        assert_eq!(lookout.outdated_since(), None, "nothing has failed");
    }

    #[test]
    fn a_change_counts_within_its_second_whatever_else_is_written() {
        let mut lookout = Lookout::new(marks(0));
        let mut compared = Vec::new();
        for look in 1..=20 {
            if lookout.look(marks(look), at(200 * look)) == Next::Compare {
                compared.push(200 * look);
            }
        }
        assert_eq!(compared, [800, 1600, 2400, 3200, 4000]);
    }

    #[test]
    fn a_change_that_is_taken_back_is_none() {
        let mut lookout = Lookout::new(marks(1));
        assert_eq!(lookout.look(marks(2), at(200)), Next::Wait);
        assert_eq!(lookout.outdated_since(), Some(at(200)));
        assert_eq!(lookout.look(marks(1), at(400)), Next::Wait);
        assert_eq!(lookout.outdated_since(), None);
    }

    #[test]
    fn a_load_that_has_failed_is_tried_again_later_each_time() {
        let mut lookout = Lookout::new(marks(1));
        assert_eq!(lookout.look(marks(2), at(200)), Next::Wait);
        assert_eq!(lookout.look(marks(2), at(400)), Next::Compare);
        lookout.failed(false, at(400), at(410));
        let mut tried = Vec::new();
        for look in 3..1000 {
            let now = at(200 * look);
            match lookout.look(marks(2), now) {
                Next::Retry => {
                    tried.push(now.as_secs());
                    lookout.failed(true, now, now);
                }
                Next::Wait => {}
                Next::Compare => panic!("nothing looks different"),
            }
        }
        assert_eq!(tried, [1, 3, 7, 15, 31, 61, 91, 121, 151, 181]);
        assert_eq!(lookout.outdated_since(), Some(at(200)), "since the files are different");
        lookout.succeeded();
        assert_eq!((lookout.outdated_since(), lookout.look(marks(2), at(300_000))), (None, Next::Wait));
    }

    #[test]
    fn a_load_that_takes_long_is_tried_again_the_later() {
        let mut lookout = Lookout::new(marks(1));
        lookout.failed(false, at(0), at(5000));
        assert_eq!(lookout.look(marks(1), at(54_000)), Next::Wait);
        assert_eq!(lookout.look(marks(1), at(55_000)), Next::Retry);
    }

    #[test]
    fn another_change_begins_the_retries_anew_and_a_touch_ends_nothing() {
        let mut lookout = Lookout::new(marks(1));
        lookout.failed(false, at(0), at(0));
        lookout.failed(true, at(1000), at(1000));
        lookout.failed(true, at(3000), at(3000));
        assert!(!lookout.retries(at(6900)) && lookout.retries(at(7000)));
        lookout.unchanged();
        assert_eq!(lookout.outdated_since(), Some(at(0)), "what has failed has failed");
        lookout.failed(false, at(5000), at(5000));
        assert!(!lookout.retries(at(5900)) && lookout.retries(at(6000)));
    }

    #[test]
    fn what_cannot_be_opened_is_not_what_is_not_there() {
        let directory = std::env::temp_dir().join(format!("tollgate-lookout-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("link");
        let now = SystemTime::now() + Duration::from_secs(1);
        assert_eq!(Mark::of(&path, now), Mark::Absent);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let dangling = Mark::of(&path, now);
        assert!(matches!(dangling, Mark::Dangling(_)), "{dangling:?}");
        std::fs::write(directory.join("nowhere"), "x").unwrap();
        let there = Mark::of(&path, now);
        assert!(matches!(there, Mark::There(FileState { size: 1, settled: true, .. })), "{there:?}");
        let earlier = SystemTime::now();
        std::fs::write(directory.join("nowhere"), "y").unwrap();
        // The same size, and perhaps the same time: it is not sure yet that this was the last change.
        let just_now = Mark::of(&path, SystemTime::now());
        assert!(matches!(just_now, Mark::There(FileState { settled: false, .. })), "{just_now:?}");
        assert!(just_now.is_newer(earlier - Duration::from_secs(1)) && !just_now.is_newer(now));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
