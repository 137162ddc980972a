//! `concurrency_limit` of an upstream: how many requests it gets at a time, and who waits; its keys and compiler.

use serde_json::Value;

use super::bounds::MAX_REQUESTS;
use super::common::{number, time};
use super::fill::{duration, fill};
use crate::config::yaml::{Mistakes, Written};
use crate::upstream::settings::{ConcurrencyLimit, Upstream};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::Written;

    /// How many requests an upstream gets at a time: by how long they take, from `min` to `max`, or always as many if
    /// these are equal. Others wait, and accounts take turns by their weights.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct ConcurrencyLimit {
        /// The least that the limit can become. Default: 5, or `max` if that is less.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_REQUESTS))]
        pub min: Written<u32>,
        /// The most that it can become; it should be no more than `max_requests` of all servers together. Default: 1000,
        /// or `min` if that is more.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_REQUESTS))]
        pub max: Written<u32>,
        /// What it is at the start. Default: 20, or what is nearest to that from `min` to `max`.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_REQUESTS))]
        pub initial: Written<u32>,
        /// How much longer than without load half of the requests may take, before the limit shrinks. Default: 10.
        #[schemars(range(min = 1, max = 1000))]
        pub tolerance_percent: Written<u32>,
        /// Requests that wait at a time, of all accounts together. If as many wait, one of the account with the most of
        /// them by its weight is refused as overloaded. Default: 1000.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_REQUESTS))]
        pub max_queue: Written<u32>,
        /// How long a request waits before it is refused as overloaded. Default: 1s.
        pub max_wait: Text<Duration>,
    }
}

const MIN: u32 = 5;
const MAX: u32 = 1000;
const INITIAL: u32 = 20;
const TOLERANCE_PERCENT: u32 = 10;
const MAX_TOLERANCE_PERCENT: u32 = 1000;
const MAX_QUEUE: u32 = 1000;

/// Compiles `concurrency_limit`; without this key there is none.
pub fn compile(written: Written<written::ConcurrencyLimit>, mistakes: &mut Mistakes) -> Option<ConcurrencyLimit> {
    let written = written.take()?;
    let place = written.min.place().or(written.max.place()).cloned();
    let (given_min, given_max) = (written.min.get().copied(), written.max.get().copied());
    let min = number(written.min, given_max.map_or(MIN, |max| max.min(MIN)), 1..=MAX_REQUESTS, mistakes);
    let max = number(written.max, given_min.map_or(MAX, |min| min.max(MAX)), 1..=MAX_REQUESTS, mistakes);
    let tolerance_percent = number(written.tolerance_percent, TOLERANCE_PERCENT, 1..=MAX_TOLERANCE_PERCENT, mistakes);
    let (initial_place, given_initial) = (written.initial.place().cloned(), written.initial.take());
    if let Some(place) = place
        && min > max
    {
        mistakes.push(place, "is more than `max`; write a smaller number, or a larger one there");
    } else if let Some(place) = initial_place
        && given_initial.is_some_and(|initial| !(min..=max).contains(&initial))
    {
        mistakes.push(place, format!("is out of range; write a number from `min` ({min}) to `max` ({max})"));
    }
    Some(ConcurrencyLimit {
        min,
        max,
        initial: given_initial.unwrap_or(INITIAL).min(max).max(min),
        tolerance_percent,
        max_queue: number(written.max_queue, MAX_QUEUE, 1..=MAX_REQUESTS, mistakes),
        max_wait: time(written.max_wait, 1, mistakes),
    })
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, upstream: &Upstream) {
    let (Some(limit), Some(shown)) = (upstream.concurrency_limit, shown.get_mut("concurrency_limit")) else { return };
    let ConcurrencyLimit { min, max, initial, tolerance_percent, max_queue, max_wait } = limit;
    fill(shown, "min", min);
    fill(shown, "max", max);
    fill(shown, "initial", initial);
    fill(shown, "tolerance_percent", tolerance_percent);
    fill(shown, "max_queue", max_queue);
    fill(shown, "max_wait", duration(max_wait));
}
