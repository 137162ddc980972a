//! What operators see of single requests in the log.
//!
//! A refusal that is the gateway's or an upstream's fault gets one line, unless its cause is logged
//! for all requests together. Nothing of a request's own
//! bytes is logged: no token, number, header value or path; our words and ids alone.

use crate::ledger::CANNOT_BE_USED;
use crate::policy::problem::messages::Words;
use crate::policy::problem::{Fault, Problem};
use crate::policy::respond::Context;

/// Logs a refusal that an operator can do something about.
pub fn refused(context: &Context<'_, '_>, problem: Problem) {
    let words = context.wording().words(problem.row);
    if words.fault == Fault::Client || problem == CANNOT_BE_USED {
        return;
    }
    warn(context, words, problem);
}

/// Logs that a body was refused for the work that it would have been: somebody tries what bodies can cost, or a
/// schema is dearer than its author knows.
pub fn over_budget(context: &Context<'_, '_>, problem: Problem) {
    warn(context, context.wording().words(problem.row), problem);
}

fn warn(context: &Context<'_, '_>, words: &Words, problem: Problem) {
    log::warn!(
        target: "tollgate::request",
        "{} {}: {} (product {}, account {}, token {}, transaction {})",
        words.status.code(),
        words.slug,
        problem.reason,
        context.trail.product.map_or("-", |product| &product.name),
        context.trail.principal.map_or("-", |principal| &principal.account.name),
        context.trail.principal.map_or("-", |principal| &principal.token.name),
        String::from_utf8_lossy(context.transaction.as_bytes()),
    );
}
