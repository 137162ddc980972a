//! Digests of what files hold, by which it is known whether they have changed.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::lookout::Mark;
use crate::config::{self, Read};
use crate::platform::{files, pace};

/// Bytes of a file that are looked at at once: there may be hundreds of megabytes of accounts.
const PIECE_BYTES: usize = 32 * 1024;

/// A digest of what one file holds, or of why it cannot be read, which loading will tell in words.
pub fn content(path: &Path, mark: Mark) -> [u8; 32] {
    let mut digest = Sha256::new();
    match mark {
        Mark::Absent => return [0; 32],
        Mark::Dangling(_) => digest.update(b"dangling"),
        Mark::Hidden => digest.update(b"hidden"),
        Mark::There(_) => match files::open(path) {
            Ok(file) => {
                let most = file.take(config::MAX_WATCHED_BYTES);
                digest_of(BufReader::with_capacity(PIECE_BYTES, most), &mut digest);
            }
            // Of a directory it matters whether it can be listed.
            Err(why) => digest.update(format!("{why} {}", std::fs::read_dir(path).is_ok())),
        },
    }
    digest.finalize().into()
}

/// A digest of all files that a configuration was read from, with their names.
pub fn of_all(read: &Read) -> [u8; 32] {
    let (mut digest, now) = (Sha256::new(), SystemTime::now());
    for path in read.paths() {
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update(content(&path, Mark::of(&path, now)));
    }
    digest.finalize().into()
}

/// Whether one of the files that a configuration was read from may have changed since a time.
pub fn any_newer(read: &Read, than: SystemTime) -> bool {
    let now = SystemTime::now();
    read.paths().iter().any(|path| Mark::of(path, now).is_newer(than))
}

/// Adds what a file holds, with its length.
fn digest_of(mut file: impl BufRead, digest: &mut Sha256) {
    let mut length = 0;
    while let Ok(piece @ [_, ..]) = file.fill_buf() {
        digest.update(piece);
        let read = piece.len();
        length += read;
        file.consume(read);
        pace::step();
    }
    digest.update(length.to_le_bytes());
}
