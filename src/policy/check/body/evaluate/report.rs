//! Who is told of broken rules, and rules about how many there are of something.

use crate::policy::check::body::program::{Bounds, RuleId};

/// Who is told of broken rules.
pub trait Report {
    /// Whether the first breach is all that anybody wants to know.
    const FIRST_ONLY: bool;
    /// A rule is broken by the value at hand.
    fn broken(&mut self, rule: RuleId);
    /// A rule is broken by the absence of a member of it.
    fn missing(&mut self, name: &str, rule: RuleId);
    /// Goes on to a member.
    fn enter(&mut self, name: &str);
    /// Goes on to an element.
    fn enter_element(&mut self, place: usize);
    /// Goes back to what it was in.
    fn leave(&mut self);
    /// Whether it takes no more.
    fn is_full(&self) -> bool;
}

/// Nobody: only the verdict counts.
pub struct Verdict;

impl Report for Verdict {
    const FIRST_ONLY: bool = true;
    fn broken(&mut self, _: RuleId) {}
    fn missing(&mut self, _: &str, _: RuleId) {}
    fn enter(&mut self, _: &str) {}
    fn enter_element(&mut self, _: usize) {}
    fn leave(&mut self) {}
    fn is_full(&self) -> bool {
        true
    }
}

/// Whether there are as many as there may be.
pub(super) fn count_fits<R: Report>(count: usize, bounds: &Bounds, report: &mut R) -> bool {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    if count < bounds.least {
        report.broken(bounds.least_rule);
        false
    } else if count > bounds.most {
        report.broken(bounds.most_rule);
        false
    } else {
        true
    }
}

/// Whether a text has as many characters as it may. A character takes one byte to four, which mostly
/// tells without counting.
pub(super) fn length_fits<R: Report>(text: &str, bounds: &Bounds, report: &mut R) -> bool {
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes <= bounds.most && bytes / 4 >= bounds.least {
        return true;
    }
    count_fits(text.chars().count(), bounds, report)
}
