//! Which paths the candidate serves, beside those of then: a journal has paths as the configuration wrote them, without
//! the values of their parameters.

use std::collections::HashMap;

use super::candidate::Candidate;
use crate::policy::route::parameter_name;
use crate::telemetry::journal::line::{Decision, Rules};

/// The most answers that are remembered.
const MOST_REMEMBERED: usize = 4096;

/// The candidate's paths.
#[derive(Debug)]
pub struct Served {
    paths: Vec<Box<str>>,
    /// By the version of the rules of then: whether they have all paths of the candidate.
    within: HashMap<String, bool>,
    /// By that version and the path.
    certain: HashMap<(String, String), bool>,
}

impl Served {
    /// Those of a candidate.
    pub fn of(candidate: &Candidate) -> Served {
        let paths = candidate.rules.paths.iter().map(|path| path.as_str().into()).collect();
        Served { paths, within: HashMap::new(), certain: HashMap::new() }
    }

    /// Whether the candidate serves no path that was not served then, so that what was unknown is unknown.
    pub fn is_within(&mut self, then: &Rules) -> bool {
        if let Some(known) = self.within.get(&then.rules_of) {
            return *known;
        }
        let is_within = self.paths.iter().all(|path| then.paths.binary_search_by(|known| (**known).cmp(path)).is_ok());
        if self.within.len() >= MOST_REMEMBERED {
            self.within.clear();
        }
        self.within.insert(then.rules_of.clone(), is_within);
        is_within
    }

    /// Whether it is certain which of the candidate's paths a request has. One whose path has parameters can have become
    /// another's, if the candidate has a path in which a word stands where the parameter does.
    pub fn is_certain(&mut self, decision: &Decision<'_>, then: &Rules) -> bool {
        let Some(path) = decision.path.as_deref() else { return false };
        if !path.contains('{') {
            return true;
        }
        let key = (then.rules_of.clone(), path.to_owned());
        if let Some(known) = self.certain.get(&key) {
            return *known;
        }
        // What was served then and did not get the request does not get it now either.
        let is_new = |other: &str| then.paths.binary_search_by(|known| (**known).cmp(other)).is_err();
        let is_other = |other: &str| other != path && is_new(other) && can_be(path, other);
        let is_certain = !self.paths.iter().any(|other| is_other(other));
        if self.certain.len() >= MOST_REMEMBERED {
            self.certain.clear();
        }
        self.certain.insert(key, is_certain);
        is_certain
    }
}

/// Whether a request with one path can have another one as well.
fn can_be(path: &str, other: &str) -> bool {
    let (mut own, mut others) = (path.split('/'), other.split('/'));
    loop {
        match (own.next(), others.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) => {
                if one != other && parameter_name(one).is_none() && parameter_name(other).is_none() {
                    return false;
                }
            }
            (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_can_be_any_word() {
        for (path, other, can) in [
            ("/v1/vat/{number}", "/v1/vat/list", true),
            ("/v1/vat/{number}", "/v1/{kind}/list", true),
            ("/v1/vat/{number}", "/v2/vat/list", false),
            ("/v1/vat/{number}", "/v1/vat", false),
            ("/v1/vat/{number}", "/v1/vat/{number}/more", false),
        ] {
            assert_eq!((can_be(path, other), can_be(other, path)), (can, can), "{path} {other}");
        }
    }
}
