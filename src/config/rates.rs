//! Rates (requests per period): their keys and compiler.

use std::time::Duration;

use serde_json::{Value, json};

use super::units::Parsed;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::policy::rate::Allowance;

/// The longest time in which a burst may refill; far below what the clock can count.
const LONGEST_REFILL: Duration = Duration::from_secs(366 * 86_400);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::num::NonZeroU32;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{PerPeriod, Text};
    use crate::config::yaml::Written;

    /// A rate limit.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("anyOf" = [{"required": ["limit"]}, {"required": ["unlimited"]}]))]
    pub struct Rate {
        /// A number of requests in a period (s, min, h, d), as in 150/min.
        pub limit: Text<PerPeriod>,
        /// The number of requests at once. Default: the limit.
        pub burst: Written<NonZeroU32>,
        /// No limit. Default: false.
        pub unlimited: Written<bool>,
    }
}

const RATE_WANTED: &str = "write { limit: 150/min, burst: 150 }, or { unlimited: true }";

/// What a rate allows; `None` for one without limits, or with a mistake.
pub fn rate_of(rate: written::Rate, place: Place, mistakes: &mut Mistakes) -> Option<Allowance> {
    let burst_place = rate.burst.place().cloned();
    let burst = rate.burst.take();
    match (rate.limit, rate.unlimited) {
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Here(Parsed(limit), _), Written::Missing | Written::Here(false, _)) => {
            let allowance = limit.with_burst(burst);
            if let Some(place) = burst_place
                && allowance.time_to_refill().is_none_or(|time| time > LONGEST_REFILL)
            {
                let what = "takes more than a year to refill at this rate; write a smaller burst";
                mistakes.push(place, what);
            }
            Some(allowance)
        }
        (Written::Missing, Written::Here(true, _)) if burst.is_none() => None,
        (Written::Here(..) | Written::Missing, _) => {
            mistakes.push(place, format!("needs exactly one rate; {RATE_WANTED}"));
            None
        }
    }
}

/// A rate as it is shown.
pub fn shown(allowance: Allowance) -> Value {
    let Allowance { limit, period, burst } = allowance;
    let unit = match period.as_secs() {
        1 => "s",
        60 => "min",
        3600 => "h",
        _ => "d",
    };
    json!({ "limit": format!("{limit}/{unit}"), "burst": burst })
}
