//! What each header of an answer means: one list for problem pages, the reference and OpenAPI.

use crate::policy::Policy;

/// A header of answers, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    pub name: &'static str,
    pub says: &'static str,
    /// Whether its value is a whole number.
    pub number: bool,
}

const fn text(name: &'static str, says: &'static str) -> Meaning {
    Meaning { name, says, number: false }
}

const fn number(name: &'static str, says: &'static str) -> Meaning {
    Meaning { name, says, number: true }
}

/// Who an answer belongs to; on every one.
pub const TRANSACTION: Meaning =
    text("Transaction-Id", "The identity of this very exchange, a UUID. Log it: support finds the request by it.");

/// The headers of a product's rate, on every answer once the token is known.
pub const RATE: [Meaning; 5] = [
    number("X-Rate-Limit-Limit", "How many requests the account may send in its period."),
    number("X-Rate-Limit-Remaining", "How many of them are left at this moment."),
    number("X-Rate-Limit-Reset", "When all of them will be there again, in seconds since 1970-01-01 UTC."),
    text("RateLimit-Policy", "The same limit in the form of the IETF draft: q requests in a window of w seconds."),
    text("RateLimit", "The same state in the form of the IETF draft: r requests left, all back in t seconds."),
];

/// What a lookup has cost.
pub const CREDITS: [Meaning; 2] = [
    number("X-Credits-Charged", "The credits that this answer has cost."),
    number("X-Credits-Remaining", "The credits that are left and not set aside for requests under way."),
];

/// How long to wait.
pub const RETRY_AFTER: Meaning =
    number("Retry-After", "Whole seconds to wait before the request is sent again; never 0.");

/// Which methods a path has.
pub const ALLOW: Meaning = text("Allow", "The methods that this path has, if it is one that is served.");

/// What any answer can have.
const COMMON: [Meaning; 9] = [
    text("Content-Type", "The format of the body."),
    number("Content-Length", "The bytes of the body."),
    text("Date", "When the answer was made."),
    text("Cache-Control", "Nobody keeps a copy of answers (no-store)."),
    text("Vary", "Caches tell apart what was asked for from different web pages."),
    text("Connection", "With close: the connection ends with this answer."),
    text("Access-Control-Allow-Origin", "The web page that may read this answer."),
    text("Access-Control-Expose-Headers", "The headers that scripts of that page may read."),
    TRANSACTION,
];

/// What an answer's header says.
pub fn meaning(policy: &Policy, name: &str) -> &'static str {
    let known = COMMON.iter().chain(&RATE).chain(&CREDITS).chain([&RETRY_AFTER, &ALLOW]);
    let found = known.into_iter().find(|meaning| meaning.name.eq_ignore_ascii_case(name));
    match found {
        Some(meaning) => meaning.says,
        None if policy.echoed.iter().any(|rule| rule.name.eq_ignore_ascii_case(name)) => ECHOED,
        None => "",
    }
}

/// What an echoed header says.
pub const ECHOED: &str = "Your own reference, repeated; one is made where the request had none that can be repeated.";
