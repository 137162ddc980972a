//! Cross-origin requests: preflights, and which Origin an answer is shown to.
//!
//! The rules are those of contract section 9; the protocol is the WHATWG Fetch standard's,
//! section 3.2. Which headers carry the outcome is `respond.rs`.

use crate::policy::http::head::{Head, Lines, One};
use crate::policy::page::ListenerScope;
use crate::policy::problem::{Problem, Row};
use crate::policy::trail::Trail;
use crate::policy::{Handler, Policy, Product};

/// Who answers the request that a preflight is about; `None` if the request is not a preflight.
pub fn preflight<'p>(policy: &'p Policy, head: &Head<'_>, scope: ListenerScope) -> Option<Handler<'p>> {
    if head.lines.method != "OPTIONS" || head.lines.one("origin") == One::Absent {
        return None;
    }
    let One::Value(wanted) = head.lines.one("access-control-request-method") else {
        return None;
    };
    let path = policy.paths.find(head).filter(|path| path.is_behind(scope))?;
    // A path can belong to several products, one for each method. A method that is not served
    // gets the first one's answer, whose Allow-Methods does not name it.
    let endpoint = std::str::from_utf8(wanted).ok().and_then(|method| path.endpoint(method));
    match policy.at(endpoint.or(path.methods.first().map(|(_, endpoint)| *endpoint))?)? {
        // Pages need no preflight.
        Handler::Page(_) => None,
        handler @ (Handler::Lookup(..) | Handler::Credits) => Some(handler),
    }
}

/// Accepts a preflight if some token of the product, or of any where it is about none, may be used from its
/// Origin.
///
/// # Errors
/// `domain-not-allowed`.
pub fn allow_preflight(policy: &Policy, product: Option<&Product>, lines: &Lines<'_>) -> Result<(), Problem> {
    let product = product.map(|product| product.index);
    match lines.one("origin") {
        One::Value(origin) if policy.origins.contain(product, origin) => Ok(()),
        One::Value(_) | One::Absent | One::Several => {
            Err(Problem::new(Row::DomainNotAllowed, "no token may be used there from the Origin"))
        }
    }
}

/// The Origin that an answer is shown to: one that the token may be used from, or, when the token
/// or the product is not known, one that some token of the product, or of any, may be used from.
pub fn shown_to<'a>(policy: &Policy, trail: &Trail<'_>, lines: &Lines<'a>) -> Option<&'a [u8]> {
    let One::Value(origin) = lines.one("origin") else {
        return None;
    };
    let allowed = match (trail.principal, trail.product) {
        (Some(principal), _) => principal.token.domains.contains_origin(origin),
        (None, Some(product)) => policy.origins.contain(Some(product.index), origin),
        (None, None) => policy.origins.contain(None, origin),
    };
    allowed.then_some(origin)
}
