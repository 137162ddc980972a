//! Reports of broken rules, and rules about counts.

use crate::policy::check::body::program::{Bounds, RuleId};

/// Receives the broken rules.
pub trait Report {
    /// Whether the first broken rule is enough.
    const FIRST_ONLY: bool;
    /// A rule is broken by the value at hand.
    fn broken(&mut self, rule: RuleId);
    /// A rule is broken because a member is missing.
    fn missing(&mut self, name: &str, rule: RuleId);
    /// Enters a member.
    fn enter(&mut self, name: &str);
    /// Enters an element.
    fn enter_element(&mut self, index: usize);
    /// Returns to the parent.
    fn leave(&mut self);
    /// Whether it takes no more.
    fn is_full(&self) -> bool;
}

/// No report: only the verdict is needed.
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

/// Whether the count is within its bounds.
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

/// Whether the length of a text is within its bounds. A character takes one to four bytes, so
/// counting is rarely needed.
pub(super) fn length_fits<R: Report>(text: &str, bounds: &Bounds, report: &mut R) -> bool {
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes <= bounds.most && bytes / 4 >= bounds.least {
        return true;
    }
    count_fits(text.chars().count(), bounds, report)
}
