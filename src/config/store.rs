//! Where the store is, and how long it keeps what was used and refused: `store`, as it is written, compiled and shown.

use std::time::Duration;

use serde_json::Value;

use super::common::{check_kind, out_of_range};
use super::fill::{duration, fill, section};
use super::postgres::{self, postgres};
use super::source::Source;
use super::tls::in_directory;
use super::units::Text;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::ledger::store::Location;
use crate::ledger::store::upkeep::Kept;
use crate::telemetry::addresses::Addresses;

/// How long usage and refusals are kept, in days, unless it is said otherwise.
const USAGE_DAYS: u64 = 400;
const REFUSAL_DAYS: u64 = 3;

/// The longest that either can be kept, in days.
const MOST_DAYS: u64 = 3660;

const DAY: Duration = Duration::from_secs(86_400);

/// Bytes of the path of the store: far more than file systems take.
const MAX_PATH_BYTES: usize = 4096;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::postgres::written::Postgres;
    use crate::config::units::Text;
    use crate::config::yaml::Written;

    /// The store: accounts, tokens, lists and management keys that change while the gateway runs.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["sqlite"]}, {"required": ["postgres"]}]))]
    pub struct Store {
        /// An SQLite database of its own, its path from this file's directory; it is made when it is not there.
        #[schemars(regex(pattern = r"\S"))]
        pub sqlite: Written<String>,
        /// A PostgreSQL database instead, which several gateways can share.
        pub postgres: Written<Postgres>,
        /// Where accounts come from. Default: both.
        pub accounts: Written<Sources>,
        /// How long what was used and what was refused is kept.
        pub keep: Written<Keep>,
        /// How much of the addresses of refused requests, and of those that tokens are used from, is kept: full, masked
        /// (24 bits of IPv4, 48 of IPv6) or off. Default: full.
        pub addresses: Written<Addresses>,
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

    /// How long what was used and what was refused is kept.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Keep {
        /// Usage by the hour, and when each token was used last. Default: 400d.
        pub usage: Text<Duration>,
        /// Refused requests, with the addresses and hosts that they came from. Default: 3d.
        pub refusals: Text<Duration>,
    }

    /// How much of an address is kept.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Addresses {
        /// All of it.
        Full,
        /// Its network.
        Masked,
        /// Nothing.
        Off,
    }
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub location: Location,
    pub kept: Kept,
    pub addresses: Addresses,
    /// Whether it is counted where tokens are used from: the portal shows it.
    pub counts_sources: bool,
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
pub fn fill_in(store: &mut Value, sources: Sources, settings: &StoreSettings) {
    fill(store, "accounts", sources.word());
    let addresses = match settings.addresses {
        Addresses::Full => "full",
        Addresses::Masked => "masked",
        Addresses::Off => "off",
    };
    fill(store, "addresses", addresses);
    let keep = section(store, "keep");
    fill(keep, "usage", duration(settings.kept.usage));
    fill(keep, "refusals", duration(settings.kept.refusals));
    if let (Location::Postgres(settings), Some(written)) = (&settings.location, store.get_mut("postgres")) {
        postgres::fill_in(written, settings);
    }
}

/// Compiles `store`; there is none unless it is written. Where tokens are used from is counted for a portal.
pub fn store(
    store: Written<written::Store>,
    has_portal: bool,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<StoreSettings> {
    let place = store.place()?.clone();
    let written::Store { sqlite, postgres: database, keep, addresses, accounts: _ } = store.take()?;
    let kept = kept(keep.take().unwrap_or_default(), mistakes);
    let addresses = match addresses.take() {
        None | Some(written::Addresses::Full) => Addresses::Full,
        Some(written::Addresses::Masked) => Addresses::Masked,
        Some(written::Addresses::Off) => Addresses::Off,
    };
    let location = match (sqlite.is_missing(), database.place().cloned()) {
        (_, None) if database.is_missing() => file(sqlite, &place, source, mistakes),
        (true, _) => postgres(database, source, mistakes),
        (false, at) => {
            mistakes.push(at.unwrap_or(place), "is there beside `sqlite`; write one of both");
            None
        }
    };
    Some(StoreSettings { location: location?, kept, addresses, counts_sources: has_portal })
}

fn file(sqlite: Written<String>, place: &Place, source: &Source, mistakes: &mut Mistakes) -> Option<Location> {
    const WANTED: &str = "name the file, as in store: { sqlite: tollgate.db }";
    let at = sqlite.place().cloned().unwrap_or_default();
    let name = sqlite.require(place, "sqlite", WANTED, mistakes)?;
    if name.trim().is_empty() || name.contains('\0') || name.len() > MAX_PATH_BYTES {
        mistakes.push(at.clone(), "is not the name of a file; write one as in tollgate.db");
        return None;
    }
    let path = in_directory(source, name);
    check_kind(&path, &at, mistakes);
    Some(Location::File(path))
}

fn kept(keep: written::Keep, mistakes: &mut Mistakes) -> Kept {
    let mut days = |written: Text<Duration>, default: u64| {
        let place = written.place().cloned();
        let time = written.take().map_or(DAY.saturating_mul(u32::try_from(default).unwrap_or(1)), |time| time.0);
        let fits = (Duration::from_secs(3600)..=Duration::from_secs(MOST_DAYS * 86_400)).contains(&time);
        out_of_range(place, fits, || format!("a duration from 1h to {MOST_DAYS}d"), mistakes);
        time
    };
    Kept { usage: days(keep.usage, USAGE_DAYS), refusals: days(keep.refusals, REFUSAL_DAYS) }
}
