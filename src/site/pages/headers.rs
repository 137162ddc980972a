//! What each header of an answer means: one list for problem pages, the reference and OpenAPI.

use crate::policy::check::header::HeaderRule;
use crate::policy::problem::Row;
use crate::policy::{Policy, Product};

/// A header of answers and its meaning.
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

/// The ID of a request; on every answer.
pub const TRANSACTION: Meaning = text(
    "Transaction-Id",
    "The unique ID of this request and response, a UUID. Log it; support needs it to find the request.",
);

/// The headers of a product's rate, on every answer once the token is known.
pub const RATE: [Meaning; 5] = [
    number(
        "X-Rate-Limit-Limit",
        "How many requests the account can send in a period. If several limits apply, the one that is nearest to its end.",
    ),
    number("X-Rate-Limit-Remaining", "How many of them are left now."),
    number("X-Rate-Limit-Reset", "When all of them are available again, in seconds since 1970-01-01 UTC."),
    text(
        "RateLimit-Policy",
        "All limits and quotas in the format of the IETF draft: of each q requests in a window of w seconds.",
    ),
    text(
        "RateLimit",
        "The state of each of them in the format of the IETF draft: r requests left, all available again in t seconds.",
    ),
];

/// The cost of a lookup.
pub const CREDITS: [Meaning; 2] = [
    number("X-Credits-Charged", "The credits that this result cost."),
    number("X-Credits-Remaining", "The credits that are left and not reserved for requests in progress."),
];

/// A lookup that was sent again.
pub const REPLAYED: Meaning = text(
    "Idempotency-Replayed",
    "With true: the answer is that of an earlier request with the same key. If it was charged then, this one costs nothing.",
);

/// How long to wait.
pub const RETRY_AFTER: Meaning =
    number("Retry-After", "The number of seconds to wait before sending the request again; never 0.");

/// The methods of a path.
pub const ALLOW: Meaning = text("Allow", "The methods of this path, if it exists.");

/// Headers that any answer can have.
const COMMON: [Meaning; 9] = [
    text("Content-Type", "The format of the body."),
    number("Content-Length", "The bytes of the body."),
    text("Date", "When the response was created."),
    text("Cache-Control", "Responses are not cached (no-store)."),
    text("Vary", "Responses differ by the web page that the request came from."),
    text("Connection", "With close: the connection is closed after this response."),
    text("Access-Control-Allow-Origin", "The web page that can read this response."),
    text("Access-Control-Expose-Headers", "The response headers that scripts of that page can read."),
    TRANSACTION,
];

/// The meaning of a header of an answer.
pub fn meaning(policy: &Policy, name: &str) -> &'static str {
    let known = COMMON.iter().chain(&RATE).chain(&CREDITS).chain([&REPLAYED, &RETRY_AFTER, &ALLOW]);
    let found = known.into_iter().find(|meaning| meaning.name.eq_ignore_ascii_case(name));
    match found {
        Some(meaning) => meaning.says,
        None if policy.echoed.iter().any(|rule| rule.name.eq_ignore_ascii_case(name)) => ECHOED,
        None => "",
    }
}

/// The meaning of the header with the key of a request.
pub const KEY: &str = "A word of your own that this request alone has, such as a random UUID. If you send the request again with it, you get the same answer, and pay once.";

/// The meaning of an echoed header that is the key of a request as well.
const ECHOED_KEY: &str = "Your own reference, returned unchanged; generated if the request has no valid one. If you send the same request again with it, you get the same answer, and pay once.";

/// The meaning of a header of requests that a product has a rule for; empty if nothing is known of it.
pub fn says(product: &Product, rule: &HeaderRule) -> &'static str {
    let is_key = |key: &str| key.eq_ignore_ascii_case(&rule.name);
    match (product.idempotency.as_ref().is_some_and(|of| is_key(&of.header)), rule.echo) {
        (true, true) => ECHOED_KEY,
        (true, false) => KEY,
        (false, true) => ECHOED,
        (false, false) if rule.row == Row::AddMetadataInvalid => {
            "Whether the response contains metadata. Default: false."
        }
        (false, false) => "",
    }
}

/// The meaning of an echoed header.
pub const ECHOED: &str = "Your own reference, returned unchanged; generated if the request has no valid one.";
