//! The rules that are judged beside the chain: those of parameters, headers, bodies and answers, whose values a journal
//! does not have.
//!
//! What is in clear is judged as the gateway judges it. For the rest a rule that is the same as then decides the same;
//! everything else is undecided.

use std::collections::BTreeMap;

use super::candidate::TakenRoute;
use crate::policy::check::header::{HeaderRule, ValueShape};
use crate::policy::check::parameter::{ParameterRule, Undeclared};
use crate::policy::problem::Row;
use crate::telemetry::journal::line::{Decision, Member, Step};

/// What some rules decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    Pass,
    Refuse(Row),
    /// The same as then.
    AsThen,
    Unknown,
}

/// What the rules of headers or parameters were, by their names, then and now.
pub struct Digests<'d> {
    pub then: Option<&'d BTreeMap<String, String>>,
    pub now: &'d BTreeMap<String, String>,
}

impl Digests<'_> {
    fn is_same(&self, name: &str) -> bool {
        self.now.get(name).is_some_and(|now| self.then.and_then(|then| then.get(name)) == Some(now))
    }

    fn are_same(&self) -> bool {
        self.then == Some(self.now)
    }

    fn had(&self, name: &str) -> bool {
        self.then.is_some_and(|then| then.contains_key(name))
    }
}

/// What a set of rules decides that has, or has not, let the request pass as a whole.
fn as_a_whole(decision: &Decision<'_>, step: Step, are_same: bool) -> Option<Beside> {
    match decision.step {
        then if are_same && then > step => Some(Beside::Pass),
        then if are_same && then == step => Some(Beside::AsThen),
        _ => None,
    }
}

/// Judges the parameters of a route.
pub fn parameters(decision: &Decision<'_>, taken: &TakenRoute, digests: &Digests<'_>) -> Beside {
    let refuses_others = taken.undeclared == Undeclared::Refuse;
    if taken.parameters.is_empty() && !refuses_others {
        return Beside::Pass;
    }
    if !refuses_others && let Some(known) = as_a_whole(decision, Step::Parameters, digests.are_same()) {
        return known;
    }
    if refuses_others && decision.undeclared > 0 {
        return Beside::Refuse(Row::ParameterInvalid);
    }
    let mut unknown = false;
    for (rule, index) in taken.parameters.iter().zip(0..) {
        let values: Vec<&Member> = decision.parameters.iter().filter(|member| *member.name == *rule.name).collect();
        match parameter(decision, rule, index < taken.of_path, &values, digests) {
            Beside::Pass => {}
            Beside::Unknown | Beside::AsThen => unknown = true,
            // The first that refuses is only known if nothing before it could.
            refused @ Beside::Refuse(_) if !unknown => return refused,
            Beside::Refuse(_) => return Beside::Unknown,
        }
    }
    if unknown { Beside::Unknown } else { Beside::Pass }
}

fn parameter(
    decision: &Decision<'_>,
    rule: &ParameterRule,
    is_of_path: bool,
    values: &[&Member],
    digests: &Digests<'_>,
) -> Beside {
    // What had no rule then was only counted, and another path has other parameters.
    if values.is_empty()
        && (is_of_path || digests.then.is_none() || (!digests.had(&rule.name) && decision.undeclared > 0))
    {
        return Beside::Unknown;
    }
    if values.is_empty() {
        return if rule.is_required { Beside::Refuse(rule.row) } else { Beside::Pass };
    }
    if values.len() > 1 && !rule.may_repeat && !is_of_path {
        return Beside::Refuse(rule.row);
    }
    let has_passed = decision.step > Step::Parameters;
    let judge = |member: &&Member| match &member.value {
        Some(value) => Some(rule.judge(value.as_bytes(), 0).is_ok()),
        None => hidden(&rule.shape, digests.is_same(&rule.name), has_passed),
    };
    all(values.iter().map(judge), rule.row)
}

/// Judges the headers that have rules of their own.
pub fn headers(decision: &Decision<'_>, rules: &[HeaderRule], digests: &Digests<'_>) -> Beside {
    if rules.is_empty() {
        return Beside::Pass;
    }
    if let Some(known) = as_a_whole(decision, Step::Headers, digests.are_same()) {
        return known;
    }
    let mut unknown = false;
    for rule in rules {
        let name = rule.name.to_ascii_lowercase();
        let values: Vec<&Member> = decision.headers.iter().filter(|member| member.name == name).collect();
        let has_passed = decision.step > Step::Headers;
        let judged = match values[..] {
            _ if !digests.had(&name) => Beside::Unknown,
            [] => Beside::Pass,
            [one] => {
                let passes = match &one.value {
                    Some(value) => Some(rule.shape.matches(value.as_bytes())),
                    None => hidden(&rule.shape, digests.is_same(&name), has_passed),
                };
                all([passes].into_iter(), rule.row)
            }
            [_, _, ..] => Beside::Refuse(rule.row),
        };
        match judged {
            Beside::Pass => {}
            Beside::Unknown | Beside::AsThen => unknown = true,
            refused @ Beside::Refuse(_) if !unknown => return refused,
            Beside::Refuse(_) => return Beside::Unknown,
        }
    }
    if unknown { Beside::Unknown } else { Beside::Pass }
}

/// Whether a value passes that the journal does not have. One that the same rule lists would be there.
fn hidden(shape: &ValueShape, is_same: bool, has_passed: bool) -> Option<bool> {
    match shape {
        ValueShape::OneOf { .. } if is_same => Some(false),
        ValueShape::OneOf { .. } | ValueShape::Any { .. } | ValueShape::Pattern { .. } | ValueShape::Number(_) => {
            (is_same && has_passed).then_some(true)
        }
    }
}

fn all(judged: impl Iterator<Item = Option<bool>>, row: Row) -> Beside {
    judged.fold(Beside::Pass, |so_far, one| match (so_far, one) {
        (Beside::Refuse(row), _) => Beside::Refuse(row),
        (Beside::Unknown, _) | (_, None) => Beside::Unknown,
        (_, Some(false)) => Beside::Refuse(row),
        (so_far, Some(true)) => so_far,
    })
}

/// Judges a single rule of which the journal has the digest alone, such as that of a body.
pub fn single(decision: &Decision<'_>, step: Step, then: Option<&String>, now: Option<&String>) -> Beside {
    match now {
        None => Beside::Pass,
        Some(_) => as_a_whole(decision, step, then == now).unwrap_or(Beside::Unknown),
    }
}
