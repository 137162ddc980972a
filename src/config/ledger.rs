//! Where credits are written down: `ledger`, as it is written, compiled and shown.

use serde_json::Value;

use super::fill::fill;
use super::source::Source;
use super::units::Bytes;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::ledger::{Durability, LedgerSettings, Storage as Books};

/// Bytes of the path of the ledger: far more than file systems take.
const MAX_PATH: Bytes = Bytes(4096);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::Written;

    /// Where and how credits are written down.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("anyOf" = [{"required": ["file"]}, {"required": ["volatile"]}]))]
    pub struct Ledger {
        /// An SQLite database, its path from this file's directory; it is made when it is not there.
        #[schemars(regex(pattern = r"\S"))]
        pub file: Written<String>,
        /// batch: charges are written together within 50 ms, and a crash loses those. each: every answer
        /// waits until its charge is on the disk. Default: batch.
        pub durability: Written<Durability>,
        /// Keep credits in memory instead of in a file, for trying things out. Default: false.
        pub volatile: Written<bool>,
    }

    /// How sure a charge is when its answer goes out.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Durability {
        /// Charges are written together.
        Batch,
        /// Every answer waits for its charge.
        Each,
    }
}

/// Compiles `ledger`: needed as soon as somebody pays.
pub fn ledger(
    ledger: Written<written::Ledger>,
    somebody_pays: bool,
    root: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<LedgerSettings> {
    const WANTED: &str = "name the file that credits are written to, as in ledger: { file: ledger.db }";
    if ledger.is_missing() && somebody_pays {
        mistakes.push(root.key("ledger"), format!("is missing, and accounts have credits; {WANTED}"));
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
            mistakes.push(place, "says nothing beside volatile: true, which keeps credits in memory; remove one");
            Books::Memory
        }
        (Written::Missing | Written::Bad, true) => Books::Memory,
        (Written::Here(name, place), false) => {
            if name.trim().is_empty() || name.len() > MAX_PATH.0 {
                mistakes.push(place, "is not the name of a file; write one as in ledger.db");
            }
            Books::File(match source {
                Source::Directory(directory) => directory.path.join(name),
                Source::Embedded(_) => name.into(),
            })
        }
        (Written::Missing, false) => {
            mistakes.push(place.key("file"), format!("is missing; {WANTED}, or say volatile: true"));
            Books::Memory
        }
        (Written::Bad, false) => Books::Memory,
    };
    Some(LedgerSettings { place: books, durability })
}

/// Shows what is not written.
pub fn fill_in(ledger: &mut Value, settings: &LedgerSettings) {
    fill(ledger, "volatile", settings.place == Books::Memory);
    fill(
        ledger,
        "durability",
        match settings.durability {
            Durability::Batch => "batch",
            Durability::Each => "each",
        },
    );
}
