//! `answers` of a product or a route: what becomes of the backend's answers by their statuses, and which headers pass.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::common::listed;
use super::credits::PricesByStatus;
use super::problems::Rows;
use super::units::{AnswerHeader, Parsed, Texts};
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::policy::answers::{Answers, PassedStatus, Passing, Treatment};
use crate::policy::http::media::Media;

/// The most headers of answers that can pass.
const MAX_ANSWER_HEADERS: usize = 16;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::credits::written::PriceLine;
    use crate::config::yaml::{Listed, Written};

    /// What becomes of the backend's answers with one status.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Answer {
        /// The status that clients see with the answer's body: 200, 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503.
        /// Default: the backend's own, or 200 for another status of success.
        pub status: Written<u16>,
        /// What clients get in place of the backend's body; necessary for 204 and 205, which have none.
        /// Default: the backend's body.
        pub body: Written<serde_json::Value>,
        /// Clients get this problem instead: a slug, built-in or from `problems`.
        pub problem: Written<String>,
        /// What the answer costs, as in `price` of `credits`. Default: nothing.
        #[schemars(length(min = 1, max = crate::policy::tariff::MAX_LINES))]
        pub price: Written<Listed<PriceLine>>,
        /// Whether it counts against the availability of the product on the status page, and as a failure of its server.
        /// Default: false.
        pub failure: Written<bool>,
    }
}

/// Compiles `answers` and `answer_headers` of a product; the prices are handed on.
pub fn compile(
    answers: Entries<written::Answer>,
    headers: Texts<AnswerHeader>,
    media: &Media,
    parent: &Place,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> (Answers, PricesByStatus) {
    let (by_status, prices) = by_status(answers, rows, mistakes);
    let has_types = media.served.iter().any(|kind| !media.is_rendered(kind));
    (Answers::new(by_status, names(headers, parent, mistakes), has_types), prices)
}

/// Compiles `answers` of a route, which replace those of its product for their statuses, with their prices.
pub fn of_route<'p>(
    answers: Entries<written::Answer>,
    of_product: (&Arc<Answers>, &'p PricesByStatus),
    has_credits: bool,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> (Arc<Answers>, Cow<'p, PricesByStatus>) {
    let (known, prices) = of_product;
    if answers.0.is_empty() {
        return (Arc::clone(known), Cow::Borrowed(prices));
    }
    let (own, own_prices) = by_status(answers, rows, mistakes);
    let (replaced, kept): (PricesByStatus, PricesByStatus) =
        prices.iter().cloned().partition(|(status, ..)| own.iter().any(|(known, _)| known == status));
    if !has_credits {
        let what = "needs `credits` beside it, whose `hold` says what is held for it; add them to the route";
        own_prices.iter().for_each(|(_, _, place)| mistakes.push(place.clone(), what));
        let what = "has a price that a route without `credits` of its own says nothing of; add `credits` to each route whose `answers` name this status";
        replaced.iter().for_each(|(_, _, place)| mistakes.push(place.clone(), what));
    }
    (Arc::new(known.with(own)), Cow::Owned(kept.into_iter().chain(own_prices).collect()))
}

fn by_status(
    answers: Entries<written::Answer>,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> (Vec<(u16, Treatment)>, PricesByStatus) {
    let (mut by_status, mut prices) = (Vec::new(), Vec::new());
    for (key, place, answer) in answers.0 {
        let Some(status) = backend_status(&key) else {
            let what = "is not a status of a backend; write one from 200 to 299 or from 400 to 599";
            mistakes.push(place, what);
            continue;
        };
        let written::Answer { status: seen, body, problem, price, failure } = answer;
        if let Written::Here(list, place) = price {
            if status == 200 {
                mistakes.push(place, "is what `credits` says of a 200; write it there");
            } else if !problem.is_missing() {
                mistakes.push(place, "has no effect with `problem`, since refusals cost nothing; remove one of them");
            } else {
                prices.push((status, list, place));
            }
        }
        let is_failure = failure.take().unwrap_or(false);
        let treatment = match problem {
            Written::Missing => passing(status, seen, body, is_failure, &place, mistakes).map(Treatment::Pass),
            problem => {
                for place in [seen.place(), body.place()].into_iter().flatten() {
                    mistakes.push(place.clone(), "has no effect with `problem`; remove one of them");
                }
                rows.row_of_answer(problem, &place, mistakes).map(|row| Treatment::Refuse(row, is_failure))
            }
        };
        by_status.extend(treatment.map(|treatment| (status, treatment)));
    }
    (by_status, prices)
}

/// The status that a key says. Interim answers and redirects are never passed on.
fn backend_status(key: &str) -> Option<u16> {
    let status: u16 = key.parse().ok().filter(|_| key.len() == 3)?;
    matches!(status, 200..=299 | 400..=599).then_some(status)
}

fn passing(
    status: u16,
    seen: Written<u16>,
    body: Written<Value>,
    is_failure: bool,
    place: &Place,
    mistakes: &mut Mistakes,
) -> Option<Passing> {
    const WANTED: &str = "write 200, 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503";
    let seen = match seen {
        Written::Bad => return None,
        Written::Here(code, place) => PassedStatus::from_code(code).or_else(|| {
            mistakes.push(place, format!("is not a status that clients can see; {WANTED}"));
            None
        })?,
        Written::Missing => {
            let own =
                if (201..=299).contains(&status) { Some(PassedStatus::Ok) } else { PassedStatus::from_code(status) };
            own.or_else(|| {
                mistakes.push(place.key("status"), format!("is missing, and clients cannot see {status}; {WANTED}"));
                None
            })?
        }
    };
    if matches!(status, 204 | 205) && body.is_missing() {
        let what = format!("is missing, and a {status} has none (RFC 9110, section 15.3); write what clients get");
        mistakes.push(place.key("body"), what);
    }
    let body = body.take().map(|body| Arc::from(body.to_string().into_bytes()));
    Some(Passing { status: seen, body, is_failure })
}

fn names(headers: Texts<AnswerHeader>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    if headers.is_missing() {
        return Box::default();
    }
    let headers = listed(headers, parent, "answer_headers", "write names, as in [ETag, Link]", mistakes);
    let mut kept: Vec<Box<str>> = Vec::new();
    for (Parsed(AnswerHeader(name)), place) in headers {
        if kept.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            mistakes.push(place, "is listed already; remove it");
        } else if kept.len() == MAX_ANSWER_HEADERS {
            mistakes.push(place, format!("is one header too many; write at most {MAX_ANSWER_HEADERS}"));
        } else {
            kept.push(name);
        }
    }
    kept.into()
}
