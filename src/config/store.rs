//! Where the store is: `store`, as it is written, compiled and shown.

use std::path::PathBuf;

use super::common::check_kind;
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
    }
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub path: PathBuf,
}

/// Compiles `store`; there is none unless it is written.
pub fn store(store: Written<written::Store>, source: &Source, mistakes: &mut Mistakes) -> Option<StoreSettings> {
    const WANTED: &str = "name the file, as in store: { sqlite: tollgate.db }";
    let place = store.place()?.clone();
    let written::Store { sqlite } = store.take()?;
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
