//! Takes accounts that were imported out of the files that they came from, so that those of the store count.
//!
//! A file is emptied, not removed, since `include` may name it; what it had stays beside it. If the configuration has
//! mistakes afterwards, every file is put back. A gateway that watches its files takes the accounts of the store in the
//! place of those of the files with one reload, in one step.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::config::{self, Config};
use crate::operate::failure::Failure;

/// What the name of a file gets that keeps what was in another one.
const KEPT: &str = "adopted";

/// Files of one name that are kept at the most.
const MOST_KEPT: usize = 100;

/// A file that was emptied, and where what it had is.
#[derive(Debug)]
pub struct Emptied {
    pub file: PathBuf,
    pub kept: PathBuf,
}

/// Empties files of accounts, and returns the configuration that there is without them.
///
/// # Errors
/// Why that cannot be; every file is as it was then.
pub fn empty(main: &Path, files: &[PathBuf]) -> Result<(Vec<Emptied>, Config), Failure> {
    let mut emptied = Vec::new();
    for file in files {
        match empty_one(file) {
            Ok(one) => emptied.push(one),
            Err(error) => {
                put_back(&emptied);
                let name = file.display();
                let why = format!(
                    "the accounts are in the store, but {name} cannot be emptied ({error}), so that it counts as before; let this user write it, and do it again"
                );
                return Err(why.into());
            }
        }
    }
    match config::load(main) {
        Ok(config) => Ok((emptied, config)),
        Err(mistakes) => {
            put_back(&emptied);
            let why = format!(
                "the accounts are in the store, but without those of the files the configuration has mistakes, so that \
                 these are as they were:\n{mistakes}"
            );
            Err(why.into())
        }
    }
}

/// Keeps a copy of a file, and puts an empty one in its place with one rename.
fn empty_one(file: &Path) -> std::io::Result<Emptied> {
    let found = fs::metadata(file)?;
    let kept = free_name(file)?;
    fs::copy(file, &kept)?;
    let new = beside(file, "new");
    let replaced = write_new(&new, nothing(file), &found).and_then(|()| fs::rename(&new, file));
    if let Err(error) = replaced {
        // What was made is of no use; the file is as it was.
        let _ = fs::remove_file(&new);
        let _ = fs::remove_file(&kept);
        return Err(error);
    }
    Ok(Emptied { file: file.to_owned(), kept })
}

/// Writes a file with the permissions and the owner of another one.
fn write_new(new: &Path, text: &str, like: &fs::Metadata) -> std::io::Result<()> {
    let mut out = fs::File::create(new)?;
    out.set_permissions(like.permissions())?;
    let made = out.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        chown(new, Some(like.uid()), Some(like.gid()))?;
    }
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

/// What a file without accounts has, by its format.
fn nothing(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => "",
        _ => "{ \"accounts\": {} }\n",
    }
}

/// The name of a file with something behind it.
fn beside(file: &Path, word: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{word}"));
    name.into()
}

/// A name that nothing has, for what a file had.
fn free_name(file: &Path) -> std::io::Result<PathBuf> {
    let names = (1..=MOST_KEPT).map(|number| match number {
        1 => beside(file, KEPT),
        _ => beside(file, &format!("{KEPT}-{number}")),
    });
    for name in names {
        if !name.try_exists()? {
            return Ok(name);
        }
    }
    Err(std::io::Error::other("too many files of its name are kept beside it"))
}

fn put_back(emptied: &[Emptied]) {
    for Emptied { file, kept } in emptied {
        if let Err(error) = fs::rename(kept, file) {
            let (file, kept) = (file.display(), kept.display());
            log::error!("{file} could not be restored ({error}); its content is in {kept}, copy it back by hand");
        }
    }
}
