//! What a test expects beside what came, in words. No word of a request is shown: it can have tokens and people's
//! numbers.

use std::cell::Cell;

use super::judge::{Came, Refusal, Unknown};
use crate::config::cases::{Bearer, Expected, NO_PROBLEM, Request, TestCase, unknown_problem};
use crate::config::units::BackendUse;
use crate::operate::explain::answer::Answer;
use crate::platform::count::counted;
use crate::policy::Policy;
use crate::policy::problem::Row;

/// Something that did not come as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub expected: String,
    pub got: String,
}

/// What is said where only the backend knows.
const ADD_ANSWER: &str = "the request goes to the upstream, whose answer is not known; add `answer`";

/// Everything that did not come as a test expects. `is_read` is whether the store, where there is one, could be read.
pub fn differences(case: &TestCase, came: &Came, policy: &Policy, is_read: bool) -> Vec<Difference> {
    let Expected { status, problem, price, held, headers, absent_headers, upstream } = &case.expected;
    let mut found = Vec::new();
    let mut note = |expected: String, got: Option<String>| {
        found.extend(got.map(|got| Difference { expected, got }));
    };
    let is_read = is_read || !policy.has_store;
    let why = came.refusal.as_ref().map(|refusal| why(refusal, case, is_read));
    // It is said once, by whatever is different first.
    let untold = Cell::new(why.as_deref());
    let refused = || untold.take().map(|why| format!(" ({why})")).unwrap_or_default();
    if let Some(problem) = problem {
        let other = other_problem(problem, came, why.as_deref(), policy);
        untold.set(untold.get().filter(|_| other.is_none()));
        note(format!("problem {problem}"), other);
    }
    if let Some(status) = status {
        let got = |answer: &Answer| (answer.status != *status).then(|| format!("{}{}", answer.status, refused()));
        note(format!("status {status}"), of_answer(came, got));
    }
    if let Some(upstream) = upstream {
        let got = (came.upstream != *upstream).then(|| format!("{}{}", came.upstream.word(), refused()));
        note(format!("upstream {}", upstream.word()), got);
    }
    if let Some(held) = held {
        let got = (came.held != *held).then(|| format!("{}{}", came.held, refused()));
        note(format!("{} held", counted(*held, "credit")), got);
    }
    if let Some(price) = price {
        let got = match came.price {
            None => Some(ADD_ANSWER.to_owned()),
            Some(known) => (known != *price).then(|| format!("{known}{}", refused())),
        };
        note(format!("price {price}"), got);
    }
    for (name, value) in headers {
        note(format!("header {name}: {value}"), of_answer(came, |answer| other_header(answer, name, value, case)));
    }
    for name in absent_headers {
        let got = |answer: &Answer| answer.values(name).next().map(|_| "the header".to_owned());
        note(format!("no header {name}"), of_answer(came, got));
    }
    found
}

/// What is wrong with a client's answer, if that is known.
fn of_answer(came: &Came, got: impl FnOnce(&Answer) -> Option<String>) -> Option<String> {
    came.answer.as_ref().map_or_else(|| Some(ADD_ANSWER.to_owned()), got)
}

/// Why a request was refused.
fn why(refusal: &Refusal, case: &TestCase, is_read: bool) -> String {
    let hint = if refusal.row == Row::CreditsInsufficient && case.credits.is_none() {
        "; `credits` can say what the account has"
    } else if refusal.row == Row::TokenUnknown && !is_read {
        "; the accounts of the store are not known here"
    } else {
        ""
    };
    format!("{}: {}{hint}", refusal.problem, refusal.reason)
}

fn other_problem(expected: &str, came: &Came, why: Option<&str>, policy: &Policy) -> Option<String> {
    let got = match (&came.refusal, why) {
        (Some(refusal), _) if refusal.problem == expected => return None,
        (None, _) if expected == NO_PROBLEM => return None,
        (Some(_), Some(why)) => why.to_owned(),
        (Some(_) | None, _) => match (came.upstream, &came.answer) {
            (BackendUse::Asked, None) => "none: the request goes to the upstream".to_owned(),
            (BackendUse::Asked | BackendUse::Never, answer) => {
                let status =
                    answer.as_ref().map_or_else(String::new, |answer| format!(", and status {}", answer.status));
                format!("none{status}")
            }
        },
    };
    let words = policy.products.iter().map(|product| &product.wording).chain([&policy.wording]);
    let slugs: Vec<&str> = words.flat_map(|words| words.iter()).map(|(_, words)| &*words.slug).collect();
    let unknown = unknown_problem(expected, &slugs);
    Some(unknown.map_or(got.clone(), |instead| format!("{got}; no problem has that name, {instead}")))
}

/// Another value of a header, or its absence. What the request itself said is not shown, nor is what could be.
fn other_header(answer: &Answer, name: &str, value: &str, case: &TestCase) -> Option<String> {
    if answer.values(name).any(|known| known == value) {
        return None;
    }
    let Request { headers, .. } = &case.request;
    let is_echoed = headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
    Some(match answer.values(name).next() {
        None => "no such header".to_owned(),
        Some(_) if is_echoed => "another value".to_owned(),
        Some(other) => other.to_owned(),
    })
}

/// What is said of an account or a token that is not there. `is_read` is whether the store, where there is one, could be
/// read.
pub fn nobody(unknown: &Unknown, bearer: &Bearer, policy: &Policy, is_read: bool) -> Difference {
    let Bearer { account, token } = bearer;
    let got = match unknown {
        Unknown::Token => format!("the account {account} has no token of that name"),
        Unknown::Account if !policy.has_store => "no account of that name".to_owned(),
        Unknown::Account if is_read => "no account of that name, neither in files nor in the store".to_owned(),
        Unknown::Account => {
            "no account of that name in files, and the store does not exist yet or cannot be read from here, so that \
             its accounts are not known"
                .to_owned()
        }
    };
    Difference { expected: format!("token {token} of account {account}"), got }
}
