//! `journal`, the files with every decision: its keys and compiler.

use std::time::Duration;

use serde_json::Value;

use super::common::out_of_range;
use super::fill::{fill, hide, size};
use super::source::Source;
use super::tls::in_directory;
use super::units::{Bytes, Parsed};
use super::upstreams::plain_value;
use crate::config::yaml::{Mistakes, Written};
use crate::telemetry::journal::settings::JournalSettings;

/// Bytes that a key for digests must have, so that it cannot be guessed.
const MIN_KEY_BYTES: usize = 16;

/// Bytes of the smallest and of the largest file.
const LEAST_FILE: usize = 64 * 1024;
const LARGEST_FILE: usize = 1024 * 1024 * 1024;

/// Bytes that can be kept: 16 TiB.
const MOST_KEPT: usize = 16 * 1024 * 1024 * 1024 * 1024;

/// How long files can be kept: files end after an hour, and nobody needs them for ten years.
const SHORTEST: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(3660 * 86_400);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{Bytes, Text};
    use crate::config::yaml::Written;

    /// Files with every decision.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["directory"]))]
    pub struct Journal {
        /// The directory of the files, relative to this file's directory; it is created if it does not exist.
        #[schemars(regex(pattern = r"\S"))]
        pub directory: Written<String>,
        /// The size of all files together, compressed, beyond which the oldest are deleted. Default: 4096MiB.
        pub keep: Text<Bytes>,
        /// The size of a file after which the next one begins, at most half of keep; one that is an hour old ends as
        /// well. Default: 64MiB.
        pub file: Text<Bytes>,
        /// How long files are kept that have room: from 1h to 3660d. Default: as long as there is room.
        pub keep_for: Text<Duration>,
        /// The key of the HMAC-SHA-256 that stands for values of parameters and headers that are clients' own; ${env:NAME}
        /// and ${file:PATH} work as in add_headers. Default: these values are left out.
        pub key: Written<String>,
        /// Keep the addresses of clients. Without them no list of networks can be judged again. Default: true.
        pub addresses: Written<bool>,
    }
}

/// Compiles where decisions are kept; `None` without the key.
pub fn journal(
    journal: Written<written::Journal>,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<JournalSettings> {
    let place = journal.place()?.clone();
    let written::Journal { directory, keep, file, keep_for, key, addresses } = journal.take()?;
    let directory = directory.require(&place, "directory", "write the directory of the files", mistakes);
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (keep_place, file_place) = (keep.place().cloned(), file.place().cloned());
    let keep = keep.take().map_or(bytes(JournalSettings::KEEP_BYTES), |Parsed(Bytes(keep))| keep);
    let default = bytes(JournalSettings::FILE_BYTES).min(keep / 2);
    let file = file.take().map_or(default, |Parsed(Bytes(file))| file);
    let range = || format!("a size from {} to {}", Bytes(2 * LEAST_FILE), Bytes(MOST_KEPT));
    out_of_range(keep_place, (2 * LEAST_FILE..=MOST_KEPT).contains(&keep), range, mistakes);
    let largest = LARGEST_FILE.min(keep / 2).max(LEAST_FILE);
    let range = || format!("a size from {} to {}, which is at most half of keep", Bytes(LEAST_FILE), Bytes(largest));
    out_of_range(file_place, (LEAST_FILE..=largest).contains(&file), range, mistakes);
    let keep_for_place = keep_for.place().cloned();
    let keep_for = keep_for.take().map(|Parsed(keep_for)| keep_for);
    let fits = keep_for.is_none_or(|keep_for| (SHORTEST..=LONGEST).contains(&keep_for));
    out_of_range(keep_for_place, fits, || "a duration from 1h to 3660d".to_owned(), mistakes);
    let key = secret(key, mistakes);
    let directory = directory?;
    if directory.trim().is_empty() {
        mistakes.push(place.key("directory"), "is not the name of a directory; write one as in journal");
    }
    Some(JournalSettings {
        directory: in_directory(source, directory),
        keep_bytes: u64::try_from(keep).unwrap_or(u64::MAX),
        file_bytes: u64::try_from(file).unwrap_or(u64::MAX),
        keep_for,
        key,
        addresses: addresses.take().unwrap_or(true),
    })
}

fn secret(key: Written<String>, mistakes: &mut Mistakes) -> Option<Box<str>> {
    let place = key.place().cloned().unwrap_or_default();
    let what = match plain_value(&key.take()?) {
        Ok(key) if key.len() >= MIN_KEY_BYTES => return Some(key),
        Ok(_) => {
            format!("can be guessed; write at least {MIN_KEY_BYTES} characters, as `openssl rand -hex 32` prints them")
        }
        Err(what) => what,
    };
    mistakes.push(place, what);
    None
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(shown: &mut Value, settings: &JournalSettings) {
    let bytes = |bytes: u64| size(usize::try_from(bytes).unwrap_or(usize::MAX));
    fill(shown, "keep", bytes(settings.keep_bytes));
    fill(shown, "file", bytes(settings.file_bytes));
    fill(shown, "addresses", settings.addresses);
    if let (true, Some(key)) = (settings.key.is_some(), shown.get_mut("key")) {
        hide(key, &["journal", "key"]);
    }
}
