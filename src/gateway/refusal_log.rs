//! Log lines about single requests in the process log.
//!
//! A refusal that is the gateway's or an upstream's fault gets a line, unless its cause is logged for all requests
//! together. There is at most one line per row and second, with a count of those left out, since refused clients can
//! retry at any rate. Nothing of a request's own bytes is logged: no token, number, header value or path, only the
//! gateway's own texts and ids.

use serde_json::Value;

use crate::ledger::CANNOT_BE_USED;
use crate::platform::logging::{self, OnceASecond};
use crate::policy::problem::messages::Words;
use crate::policy::problem::{Fault, Problem, TABLE};
use crate::policy::respond::Context;

/// The log target of the lines.
const TARGET: &str = "tollgate::request";

/// A limit for each row of the table, and one for all rows that a configuration adds.
static REFUSALS: [OnceASecond; TABLE.len() + 1] = [const { OnceASecond::new() }; TABLE.len() + 1];

/// Logs a refusal that an operator can do something about. `upstream_status` is the status of the upstream's answer; 0
/// without an answer.
pub fn refused(context: &Context<'_, '_>, problem: Problem, upstream_status: u16) {
    let words = context.wording().words(problem.row);
    if words.fault == Fault::Client || problem == CANNOT_BE_USED {
        return;
    }
    warn(context, words, problem, upstream_status);
}

/// Logs that a body was refused because judging it took too many steps: either it is an attack, or the schema is more
/// expensive than its author expects.
pub fn over_budget(context: &Context<'_, '_>, problem: Problem) {
    warn(context, context.wording().words(problem.row), problem, 0);
}

/// Writes the line, unless there was one for its row in this second.
fn warn(context: &Context<'_, '_>, words: &Words, problem: Problem, upstream_status: u16) {
    let row = TABLE.iter().position(|definition| definition.row == problem.row).unwrap_or(TABLE.len());
    let Some(left_out) = REFUSALS.get(row).and_then(|kind| kind.admit(context.now.unix_seconds)) else {
        return;
    };
    let principal = context.trail.principal;
    let name = |name: Option<&str>| name.map_or(Value::Null, Value::from);
    let fields = [
        ("status", words.status.code().into()),
        ("problem", (*words.slug).into()),
        ("product", name(context.trail.product.map(|product| &*product.name))),
        ("account", name(principal.map(|principal| &*principal.account.name))),
        ("token", name(principal.map(|principal| &*principal.token.name))),
        ("upstream_status", Some(upstream_status).filter(|status| *status > 0).map_or(Value::Null, Value::from)),
        ("transaction_id", name(std::str::from_utf8(context.transaction.as_bytes()).ok())),
        ("left_out", left_out.into()),
    ];
    logging::warn(TARGET, problem.reason, &fields);
}

/// Logs how many refusals before a second were left out and not reported yet.
pub fn say_left_out(second: u64) {
    for (kind, definition) in REFUSALS.iter().zip(TABLE.iter().map(|definition| definition.slug).chain(["own"])) {
        let left_out = kind.take_left_out(second);
        if left_out > 0 {
            let fields = [("problem", definition.into()), ("left_out", left_out.into())];
            logging::warn(TARGET, "refusals without a line of their own", &fields);
        }
    }
}
