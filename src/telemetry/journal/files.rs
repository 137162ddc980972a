//! The files of the journal: their names, when the next one begins, and which are deleted.
//!
//! A process writes files of its own, of which each begins when the one before it is full or an hour old. Their names
//! are in the order of time. What is in a file is the writer's (`writer.rs`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::settings::JournalSettings;
use chrono::DateTime;

/// What the names of all files begin and end with.
pub const PREFIX: &str = "decisions-";
pub const SUFFIX: &str = ".jsonl.zst";

/// How long a file is written to, so that whole files can be deleted by their age.
const LONGEST: Duration = Duration::from_secs(3600);

/// The pause before the next attempt after one that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The modes of a file and of the directory, if it has to be made: they tell what customers do.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The most files that are looked at in the directory.
const MOST_FILES: usize = 1_000_000;

/// The files of one process.
#[derive(Debug)]
pub struct Files {
    settings: JournalSettings,
    current: Option<Current>,
    /// The last attempt that failed.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    bytes: u64,
    begun: Instant,
}

impl Files {
    /// Files by these settings; none is open yet.
    pub fn new(settings: JournalSettings) -> Files {
        Files { settings, current: None, failed: None }
    }

    /// Makes a file ready for a frame, now, since 1970; returns whether it is a new one.
    ///
    /// # Errors
    /// That none can be opened, also shortly after an attempt that failed.
    pub fn ready(&mut self, now: Duration) -> io::Result<bool> {
        let limit = self.settings.file_bytes;
        let goes_on =
            self.current.as_ref().is_some_and(|current| current.bytes < limit && current.begun.elapsed() < LONGEST);
        if goes_on {
            return Ok(false);
        }
        if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return Err(io::Error::new(ErrorKind::NotConnected, "no file of the journal is open"));
        }
        self.current = None;
        let opened = self.open(now);
        self.failed = opened.is_err().then(Instant::now);
        self.current = Some(opened?);
        self.prune();
        Ok(true)
    }

    fn open(&self, now: Duration) -> io::Result<Current> {
        let directory = &self.settings.directory;
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
        let moment = DateTime::from_timestamp(seconds, now.subsec_nanos()).unwrap_or_default();
        let name = format!("{PREFIX}{}-{}{SUFFIX}", moment.format("%Y%m%dT%H%M%S%.6fZ"), std::process::id());
        let path = directory.join(name);
        let file = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(&path)?;
        Ok(Current { file, path, bytes: 0, begun: Instant::now() })
    }

    /// Writes a whole frame.
    ///
    /// # Errors
    /// Those of the system. What was written of the frame is removed, and the next frame begins a new file.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Err(io::Error::new(ErrorKind::NotConnected, "no file of the journal is open"));
        };
        match current.file.write_all(frame) {
            Ok(()) => {
                current.bytes = current.bytes.saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
                Ok(())
            }
            Err(error) => {
                // Where this fails as well, readers pass over the part of a frame.
                let _ = current.file.set_len(current.bytes);
                if current.bytes == 0 {
                    let _ = fs::remove_file(&current.path);
                }
                self.current = None;
                self.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Deletes the oldest files, so that the others have room beside a whole one, and those that are too old.
    fn prune(&self) {
        let JournalSettings { directory, keep_bytes, file_bytes, keep_for, .. } = &self.settings;
        let Ok(mut files) = list(directory) else { return };
        let own = self.current.as_ref().map(|current| &current.path);
        files.retain(|file| Some(file) != own);
        let sized: Vec<(PathBuf, u64, Option<SystemTime>)> = files
            .into_iter()
            .filter_map(|file| fs::metadata(&file).ok().map(|about| (file, about.len(), about.modified().ok())))
            .collect();
        let mut all: u64 = sized.iter().map(|(_, bytes, _)| bytes).sum();
        let room = keep_bytes.saturating_sub(*file_bytes);
        for (file, bytes, modified) in sized {
            let age = modified.and_then(|modified| modified.elapsed().ok());
            let is_old = keep_for.zip(age).is_some_and(|(longest, age)| age > longest);
            if (all > room || is_old) && fs::remove_file(&file).is_ok() {
                all = all.saturating_sub(bytes);
            }
        }
    }
}

/// The files of a journal in a directory, the oldest first.
///
/// # Errors
/// That the directory cannot be read.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
    };
    let entries = fs::read_dir(directory)?.take(MOST_FILES);
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_one).collect();
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn settings(directory: &Path) -> JournalSettings {
        JournalSettings {
            directory: directory.to_owned(),
            keep_bytes: 300,
            file_bytes: 100,
            keep_for: None,
            key: None,
            addresses: true,
        }
    }

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("tollgate-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_and_the_oldest_goes() {
        let directory = scratch("rotation");
        let mut files = Files::new(settings(&directory));
        for frame in 0_u64..40 {
            let now = Duration::from_secs(1000 + frame);
            let is_new = files.ready(now).unwrap();
            assert_eq!(is_new, frame % 4 == 0, "{frame}");
            files.write(&[b'a'; 30]).unwrap();
            let known = list(&directory).unwrap();
            let bytes: u64 = known.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
            assert!(bytes <= 320 && known.len() <= 3, "{bytes} bytes in {} files", known.len());
        }
        let known = list(&directory).unwrap();
        assert!(known.last().unwrap().to_string_lossy().contains("19700101T001716.000000Z"), "{known:?}");
        assert_eq!(fs::metadata(&known[0]).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(directory.join("other.txt"), "stays").unwrap();
        let mut old = Files::new(JournalSettings { keep_for: Some(Duration::ZERO), ..settings(&directory) });
        std::thread::sleep(Duration::from_millis(10));
        assert!(old.ready(Duration::from_secs(5000)).unwrap());
        assert_eq!(list(&directory).unwrap().len(), 1);
        assert!(directory.join("other.txt").exists());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_is_tried_again_later() {
        let directory = scratch("file");
        fs::write(&directory, "a file in the place of the directory").unwrap();
        let mut files = Files::new(settings(&directory));
        assert!(files.ready(Duration::from_secs(1)).is_err());
        assert_eq!(files.ready(Duration::from_secs(1)).unwrap_err().kind(), ErrorKind::NotConnected);
        assert!(files.write(b"a").is_err());
        fs::remove_file(&directory).unwrap();
        files.failed = None;
        assert!(files.ready(Duration::from_secs(1)).unwrap());
        fs::remove_dir_all(&directory).unwrap();
    }
}
