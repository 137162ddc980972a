//! `staged_reload`: how a changed configuration comes into force, first for a share of the accounts.

use std::time::Duration;

use serde_json::Value;

use super::common::{number, out_of_range};
use super::fill::{self, fill};
use crate::config::yaml::{Mistakes, Written};
use crate::policy::staging::{AccountShare, StagingRules};

/// How long a configuration can be for a share alone.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(86_400);

/// How long it is so by default.
const USUAL: Duration = Duration::from_secs(600);

/// The most requests that are waited for.
const MAX_LEAST_REQUESTS: u32 = 1_000_000;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::Written;

    /// How a changed configuration comes into force.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct StagedReload {
        /// The percentage of the accounts for which it is in force first, chosen by a hash of their names, so that they are
        /// the same each time. Default: 10.
        #[schemars(range(min = 1, max = 99))]
        pub share_percent: Written<u32>,
        /// For how long, from 10s to 1d; then it is for all accounts. Default: 10m.
        pub duration: Text<Duration>,
        /// The most percentage points by which refusals (4xx) of these accounts may rise, against the same time before
        /// and beyond what they rise for all others; if they rise more, the configuration goes back. Default: 5.
        #[schemars(range(min = 0, max = 100))]
        pub max_refused_rise: Written<u32>,
        /// The same for failures (5xx). Default: 1.
        #[schemars(range(min = 0, max = 100))]
        pub max_failed_rise: Written<u32>,
        /// The requests of these accounts that are waited for before they are compared. Default: 100.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub min_requests: Written<u32>,
    }
}

/// Compiles how the configuration is staged; `None` without the key.
pub fn staging(staged: Written<written::StagedReload>, mistakes: &mut Mistakes) -> Option<StagingRules> {
    let written::StagedReload { share_percent, duration, max_refused_rise, max_failed_rise, min_requests } =
        staged.take()?;
    let place = duration.place().cloned();
    let lasts = duration.take().map_or(USUAL, |duration| duration.0);
    out_of_range(place, (SHORTEST..=LONGEST).contains(&lasts), || "a duration from 10s to 1d".to_owned(), mistakes);
    Some(StagingRules {
        share: AccountShare(number(share_percent, 10, 1..=99, mistakes)),
        lasts,
        refusals: number(max_refused_rise, 5, 0..=100, mistakes),
        failures: number(max_failed_rise, 1, 0..=100, mistakes),
        least_requests: number(min_requests, 100, 1..=MAX_LEAST_REQUESTS, mistakes).into(),
    })
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, rules: &StagingRules) {
    fill(shown, "share_percent", rules.share.0);
    fill(shown, "duration", fill::duration(rules.lasts));
    fill(shown, "max_refused_rise", rules.refusals);
    fill(shown, "max_failed_rise", rules.failures);
    fill(shown, "min_requests", rules.least_requests);
}
