//! CORS of a product: the request headers that web pages may send, compiled from `cors` and from
//! the headers that the product reads. The allowed Origins follow from its tokens.

use super::units::{AllowedHeader, Parsed};
use crate::config::yaml::{Mistakes, Place};
use crate::policy::check::header::{DeadlineRule, HeaderRule};
use crate::policy::check::token::TokenPlace;

/// The additional headers that web pages may send, each once.
pub fn added_headers(names: Vec<(Parsed<AllowedHeader>, Place)>, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    let mut kept: Vec<Box<str>> = Vec::new();
    for (Parsed(AllowedHeader(name)), place) in names {
        if kept.iter().any(|earlier| earlier.eq_ignore_ascii_case(&name)) {
            mistakes.push(place, "is listed already; remove it");
        } else {
            kept.push(name);
        }
    }
    kept.into()
}

/// Request headers that the gateway itself understands, whichever product they are for.
const ALWAYS_ALLOWED: [&str; 5] = ["Content-Type", "Accept", "traceparent", "tracestate", "Idempotency-Key"];

/// `Access-Control-Allow-Headers`: every header that the product reads, and the additional ones,
/// each once (contract, section 9).
pub fn allowed_headers(
    token_places: &[TokenPlace],
    deadline: Option<&DeadlineRule>,
    key: Option<&str>,
    headers: &[HeaderRule],
    added: &[Box<str>],
) -> String {
    let of_product = token_places
        .iter()
        .filter_map(TokenPlace::header)
        .chain(headers.iter().map(|rule| &*rule.name))
        .chain(deadline.and_then(|deadline| deadline.header.as_deref()))
        .chain(key);
    let mut names: Vec<&str> = Vec::new();
    for name in ALWAYS_ALLOWED.into_iter().chain(of_product).chain(added.iter().map(|name| &**name)) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    names.join(", ")
}
