//! `ledger`, where credits are recorded: its keys and compiler.

use serde_json::Value;

use super::common::check_kind;
use super::fill::fill;
use super::source::Source;
use super::tls::in_directory;
use super::units::Bytes;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::ledger::{Durability, LedgerSettings, Storage as Books};

/// The longest path of the ledger in bytes: far more than file systems allow.
const MAX_PATH: Bytes = Bytes(4096);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::Written;

    /// Where and how credits are recorded.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("anyOf" = [{"required": ["file"]}, {"required": ["volatile"]}]))]
    pub struct Ledger {
        /// The path of an SQLite database, relative to this file's directory; it is created if it does not exist.
        #[schemars(regex(pattern = r"\S"))]
        pub file: Written<String>,
        /// batch: charges are written together within 50 ms, and a crash loses those. each: every answer
        /// waits until its charge is on the disk. Default: batch.
        pub durability: Written<Durability>,
        /// Keep credits in memory instead of in a file, for trials. Default: false.
        pub volatile: Written<bool>,
    }

    /// Whether a charge is on the disk before its answer is sent.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Durability {
        /// Charges are written together.
        Batch,
        /// Every answer waits for its charge.
        Each,
    }
}

/// What there is to be written down.
pub struct Needs {
    /// Somebody pays.
    pub credits: bool,
    /// Somebody has a quota.
    pub quotas: bool,
    /// There is a store, whose accounts can have either.
    pub store: bool,
}

/// Compiles `ledger`, which is required as soon as an account has credits.
pub fn ledger(
    ledger: Written<written::Ledger>,
    needs: Needs,
    root: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<LedgerSettings> {
    const WANTED: &str = "name the file that credits are written to, as in ledger: { file: ledger.db }";
    const WANTED_OF_QUOTAS: &str =
        "name the file that keeps how much of them was used, as in ledger: { file: ledger.db }";
    if ledger.is_missing() && needs.credits {
        mistakes.push(root.key("ledger"), format!("is missing, and accounts have credits; {WANTED}"));
    } else if ledger.is_missing() && needs.quotas {
        mistakes.push(root.key("ledger"), format!("is missing, and accounts have quotas; {WANTED_OF_QUOTAS}"));
    }
    if ledger.is_missing() && needs.store && !needs.credits && !needs.quotas {
        let what = "is missing, and accounts of the store can have credits and quotas";
        mistakes.push(root.key("ledger"), format!("{what}; {WANTED}"));
    }
    let place = ledger.place().cloned().unwrap_or_default();
    let ledger = ledger.take()?;
    let durability = match ledger.durability.take() {
        None | Some(written::Durability::Batch) => Durability::Batch,
        Some(written::Durability::Each) => Durability::Each,
    };
    let volatile = ledger.volatile.take().unwrap_or(false);
    let books = match (ledger.file, volatile) {
        (Written::Here(_, place), true) => {
            mistakes.push(place, "has no effect with volatile: true, which keeps credits in memory; remove one");
            Books::Memory
        }
        (Written::Missing | Written::Bad, true) => Books::Memory,
        (Written::Here(name, place), false) => {
            let is_name = !name.trim().is_empty() && name.len() <= MAX_PATH.0;
            let path = in_directory(source, name);
            if is_name {
                check_kind(&path, &place, mistakes);
            } else {
                mistakes.push(place, "is not the name of a file; write one as in ledger.db");
            }
            Books::File(path)
        }
        (Written::Missing, false) => {
            mistakes.push(place.key("file"), format!("is missing; {WANTED}, or set volatile: true"));
            Books::Memory
        }
        (Written::Bad, false) => Books::Memory,
    };
    Some(LedgerSettings { storage: books, durability, cluster: None })
}

/// Shows what is not written.
pub fn fill_in(ledger: &mut Value, settings: &LedgerSettings) {
    fill(ledger, "volatile", settings.storage == Books::Memory);
    fill(
        ledger,
        "durability",
        match settings.durability {
            Durability::Batch => "batch",
            Durability::Each => "each",
        },
    );
}
