//! `cluster`: credits that several gateways share, as it is written, compiled and shown.

use std::time::Duration;

use serde_json::Value;

use super::common::out_of_range;
use super::fill::{duration, fill};
use super::store::StoreSettings;
use super::units::Text;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::ledger::leases::ClusterSettings;
use crate::ledger::store::Location;
use crate::ledger::{LedgerSettings, Storage};

/// How long a gateway sells without hearing of the database.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);
const USUAL: Duration = Duration::from_secs(120);

/// How far a standby may lag behind.
const MOST_LAG: Duration = Duration::from_secs(600);
const USUAL_LAG: Duration = Duration::from_secs(10);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;

    /// Several gateways that share the credits of accounts: each sells what it has on lease from the store's database.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Cluster {
        /// For how long this gateway sells what it has on lease without hearing from the database, from 10s to 1h. For as
        /// long, and a minute more, credits of a gateway that is lost cannot be sold by the others. Default: 2m.
        pub time_to_live: Text<Duration>,
        /// The most by which a standby lags behind that may become the primary, from 0s to 10m: for as long, a gateway that
        /// has started sells nothing. 0s where commits wait for the standby. Default: 10s.
        pub replica_lag: Text<Duration>,
    }
}

/// Compiles `cluster`: the ledger's file becomes the journal of what is on lease.
pub fn cluster(
    cluster: Written<written::Cluster>,
    (store, ledger): (Option<&StoreSettings>, Option<&mut LedgerSettings>),
    root: &Place,
    mistakes: &mut Mistakes,
) {
    let Some(place) = cluster.place().cloned() else { return };
    let Some(written::Cluster { time_to_live, replica_lag }) = cluster.take() else { return };
    let mut time = |written: Text<Duration>, usual, shortest, longest, words: &str| {
        let place = written.place().cloned();
        let time = written.take().map_or(usual, |time| time.0);
        out_of_range(place, (shortest..=longest).contains(&time), || words.to_owned(), mistakes);
        time
    };
    let time_to_live = time(time_to_live, USUAL, SHORTEST, LONGEST, "a duration from 10s to 1h");
    let replica_lag = time(replica_lag, USUAL_LAG, Duration::ZERO, MOST_LAG, "a duration from 0s to 10m");
    let location = store.map(|store| store.location.clone());
    let Some(location @ Location::Postgres(_)) = location else {
        let what = "needs a database that gateways share; write it as `store: { postgres: … }`, or remove `cluster`";
        return mistakes.push(place, what);
    };
    match ledger {
        None => {
            let what = "is missing, and a gateway of a cluster writes down in it what it has on lease; name a file of its own \
                        on a disk of its own, as in ledger: { file: ledger.db }";
            mistakes.push(root.key("ledger"), what);
        }
        Some(ledger) if ledger.storage == Storage::Memory => {
            let what =
                "needs a ledger in a file, which knows after a crash what is on lease; remove `volatile` from `ledger`";
            mistakes.push(place, what);
        }
        Some(ledger) => ledger.cluster = Some(ClusterSettings { location, time_to_live, replica_lag }),
    }
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, settings: &ClusterSettings) {
    fill(shown, "time_to_live", duration(settings.time_to_live));
    fill(shown, "replica_lag", duration(settings.replica_lag));
}
