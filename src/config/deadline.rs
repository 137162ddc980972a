//! `deadline` of a product, the time limit of requests: its keys and their compiler.

use std::time::Duration;

use serde_json::Value;

use super::fill::{duration, fill};
use super::headers::IS_TOKEN_HEADER;
use super::product_context::ProductContext;
use super::units::{HeaderName, Parsed, Text};
use crate::config::yaml::{Mistakes, Written};
use crate::policy::check::header::DeadlineRule;

/// The longest deadline; it also limits `slow_after`.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{HeaderName, Text};

    /// The time a request may take.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Deadline {
        /// The header with which clients choose a deadline. Default: they cannot.
        pub header: Text<HeaderName>,
        /// The shortest that they may choose, in whole seconds. Default: 2s.
        pub min: Text<Duration>,
        /// The longest. Default: 15s.
        pub max: Text<Duration>,
        /// The deadline without the header. Default: 15s.
        pub default: Text<Duration>,
    }
}

/// Compiles `deadline`.
pub fn compile(
    deadline: Written<written::Deadline>,
    around: &ProductContext<'_>,
    mistakes: &mut Mistakes,
) -> DeadlineRule {
    let place = deadline.place().cloned();
    let deadline = deadline.take().unwrap_or_default();
    if let Written::Here(Parsed(HeaderName(name)), place) = &deadline.header
        && around.token_headers.contains(&name.to_ascii_lowercase())
    {
        mistakes.push(place.clone(), IS_TOKEN_HEADER);
    }
    let mut seconds = |written: Text<Duration>, otherwise: Duration| {
        let place = written.place().cloned();
        let duration = written.take().map_or(otherwise, |duration| duration.0);
        if let Some(place) = place
            && (duration.subsec_nanos() != 0 || duration.is_zero() || duration > MAX_DEADLINE)
        {
            mistakes.push(place, "is not a deadline; write whole seconds from 1s to 600s");
        }
        duration
    };
    let default = seconds(deadline.default, Duration::from_secs(15));
    // Without a header, clients cannot choose, so default bounds do not apply.
    let (lowest, highest) = match deadline.header {
        Written::Missing => (default, default),
        Written::Bad | Written::Here(..) => (Duration::from_secs(2), Duration::from_secs(15)),
    };
    let (min, max) = (seconds(deadline.min, lowest), seconds(deadline.max, highest));
    if let Some(place) = place
        && (min > max || default < min || default > max)
        && !mistakes.touch(&place)
    {
        mistakes.push(
            place,
            "is not in order; write min, default and max in ascending order (unwritten they are 2s, 15s and 15s)",
        );
    }
    DeadlineRule {
        header: deadline.header.take().map(|name| name.0.0),
        min_seconds: min.as_secs(),
        max_seconds: max.as_secs(),
        default,
    }
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, deadline: &DeadlineRule) {
    fill(shown, "min", duration(Duration::from_secs(deadline.min_seconds)));
    fill(shown, "max", duration(Duration::from_secs(deadline.max_seconds)));
    fill(shown, "default", duration(deadline.default));
}
