//! Where the store is: `store`, as it is written, compiled and shown.

use std::path::PathBuf;

use serde_json::Value;

use super::common::check_kind;
use super::fill::fill;
use super::source::Source;
use super::tls::in_directory;
use crate::config::yaml::{Mistakes, Written};

/// Bytes of the path of the store: far more than file systems take.
const MAX_PATH_BYTES: usize = 4096;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::Written;

    /// The store: accounts, tokens, lists and management keys that change while the gateway runs.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["sqlite"]))]
    pub struct Store {
        /// An SQLite database of its own, its path from this file's directory; it is made when it is not there.
        #[schemars(regex(pattern = r"\S"))]
        pub sqlite: Written<String>,
        /// Where accounts come from. Default: both.
        pub accounts: Written<Sources>,
    }

    /// Where accounts come from.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Sources {
        /// From files alone: those of the store are not in force.
        Files,
        /// From the store alone: those of files are not in force.
        Store,
        /// From both: of two with one name, the one in files is in force.
        Both,
    }
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub path: PathBuf,
}

/// Where accounts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    pub files: bool,
    pub store: bool,
}

impl Sources {
    /// Files alone, as without a store.
    pub const FILES: Sources = Sources { files: true, store: false };

    const fn word(self) -> &'static str {
        match self {
            Sources { files: true, store: true } => "both",
            Sources { files: false, .. } => "store",
            Sources { files: true, store: false } => "files",
        }
    }
}

/// Where accounts come from, by what is written.
pub fn sources(store: &Written<written::Store>) -> Sources {
    let Written::Here(store, _) = store else { return Sources::FILES };
    match &store.accounts {
        Written::Here(written::Sources::Files, _) => Sources::FILES,
        Written::Here(written::Sources::Store, _) => Sources { files: false, store: true },
        Written::Here(written::Sources::Both, _) | Written::Missing | Written::Bad => {
            Sources { files: true, store: true }
        }
    }
}

/// Shows what is not written.
pub fn fill_in(store: &mut Value, sources: Sources) {
    fill(store, "accounts", sources.word());
}

/// Compiles `store`; there is none unless it is written.
pub fn store(store: Written<written::Store>, source: &Source, mistakes: &mut Mistakes) -> Option<StoreSettings> {
    const WANTED: &str = "name the file, as in store: { sqlite: tollgate.db }";
    let place = store.place()?.clone();
    let written::Store { sqlite, accounts: _ } = store.take()?;
    let at = sqlite.place().cloned().unwrap_or_default();
    let name = sqlite.require(&place, "sqlite", WANTED, mistakes)?;
    if name.trim().is_empty() || name.contains('\0') || name.len() > MAX_PATH_BYTES {
        mistakes.push(at.clone(), "is not the name of a file; write one as in tollgate.db");
        return None;
    }
    let path = in_directory(source, name);
    check_kind(&path, &at, mistakes);
    Some(StoreSettings { path })
}
