//! `idempotency` of a product: which header has the key of a request, and how much is kept for how long.

use std::time::Duration;

use serde_json::Value;

use super::common::out_of_range;
use super::fill::{duration, fill, size};
use super::headers::IS_TOKEN_HEADER;
use super::product_context::ProductContext;
use super::units::{Bytes, HeaderName, Parsed, Text};
use crate::config::yaml::{Mistakes, Written};
use crate::policy::check::header::{DeadlineRule, HeaderRule};
use crate::policy::idempotency::{AnswerLimits, IdempotencyRule};

/// The header of `draft-ietf-httpapi-idempotency-key-header`.
const HEADER: &str = "Idempotency-Key";

const DAY: u64 = 86_400;

/// How long answers can be kept.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(7 * DAY);

/// The most answers of an account.
const MOST_ANSWERS: u32 = 100_000;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{Bytes, HeaderName, Text};
    use crate::config::yaml::Written;

    /// Lookups that are safe to send again: within a time, a request with the same key of the same account gets the same
    /// answer, and is charged once.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Idempotency {
        /// The header with the key of a request. One of `headers`, as Reference-ID, has keys by its own rule; any other
        /// has 1 to 255 visible characters, bare or in quotes. Default: Idempotency-Key.
        pub header: Text<HeaderName>,
        /// For how long an answer is kept, from 1s to 7d. Default: 24h.
        pub keep: Text<Duration>,
        /// The most answers that are kept of each account; those that end first go first. Default: 1000.
        #[schemars(range(min = 1, max = 100_000))]
        pub answers: Written<u32>,
        /// The most memory of the answers of each account, from 1KiB to 64MiB. Default: 1MiB.
        pub bytes: Text<Bytes>,
        /// The largest answer that is kept, from 1KiB to 16MiB. A larger one is not kept: if its request is sent again, that
        /// is another lookup. Default: 64KiB.
        pub answer_bytes: Text<Bytes>,
    }
}

/// Compiles `idempotency`; there is none unless it is written.
pub fn compile(
    idempotency: Written<written::Idempotency>,
    deadline: &DeadlineRule,
    headers: &[HeaderRule],
    around: &ProductContext<'_>,
    mistakes: &mut Mistakes,
) -> Option<IdempotencyRule> {
    let written::Idempotency { header, keep, answers, bytes, answer_bytes } = idempotency.take()?;
    let place = header.place().cloned().unwrap_or_default();
    let header = header.take().map_or_else(|| HEADER.into(), |Parsed(HeaderName(name))| name);
    if around.token_headers.contains(&header.to_ascii_lowercase()) {
        mistakes.push(place, IS_TOKEN_HEADER);
    } else if deadline.header.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&header)) {
        mistakes.push(place, "is the header of the deadline; choose another header for the key of a request");
    }
    let place = keep.place().cloned();
    let keep = keep.take().map_or(Duration::from_secs(DAY), |Parsed(keep)| keep);
    out_of_range(place, (SHORTEST..=LONGEST).contains(&keep), || "a duration from 1s to 7d".to_owned(), mistakes);
    let answers = super::common::number(answers, 1000, 1..=MOST_ANSWERS, mistakes);
    let mut within = |written: Text<Bytes>, default: usize, most: usize| {
        let place = written.place().cloned();
        let bytes = written.take().map_or(default, |Parsed(Bytes(bytes))| bytes);
        let range = || format!("a size from {} to {}", Bytes(KIB), Bytes(most));
        out_of_range(place, (KIB..=most).contains(&bytes), range, mistakes);
        bytes
    };
    let answer_place = answer_bytes.place().cloned();
    let limits = AnswerLimits {
        answers: usize::try_from(answers).unwrap_or(usize::MAX),
        bytes: within(bytes, MIB, 64 * MIB),
        answer_bytes: within(answer_bytes, 64 * KIB, 16 * MIB),
    };
    if let Some(place) = answer_place
        && limits.answer_bytes > limits.bytes
        && !mistakes.touch(&place)
    {
        mistakes.push(
            place,
            "is more than `bytes`, into which all answers of an account have to fit; make it smaller, or that larger",
        );
    }
    let is_ruled = headers.iter().any(|rule| rule.name.eq_ignore_ascii_case(&header));
    Some(IdempotencyRule { header, is_ruled, keep, limits })
}

/// Shows what is not written.
pub fn fill_in(idempotency: &mut Value, rule: &IdempotencyRule) {
    fill(idempotency, "header", &*rule.header);
    fill(idempotency, "keep", duration(rule.keep));
    fill(idempotency, "answers", rule.limits.answers);
    fill(idempotency, "bytes", size(rule.limits.bytes));
    fill(idempotency, "answer_bytes", size(rule.limits.answer_bytes));
}
