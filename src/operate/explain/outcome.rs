//! An explanation as data: what was decided about a request, and what led to it.

use super::answer::Answer;
use super::findings::Finding;

/// A decision, and everything that led to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub findings: Vec<Finding>,
    pub outcome: Outcome,
    /// What the client gets; `None` where that is the backend's to say.
    pub answer: Option<Answer>,
}

/// What the gateway does with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The slug of the problem, and why in the words of the log.
    Refused { problem: String, reason: &'static str },
    /// A browser is told that it may ask.
    Preflight,
    /// The account is told of its credits.
    Told,
    /// A page is read.
    Page,
    /// It goes to the backend.
    Forwarded { upstream: String, deadline_seconds: u64, held: Option<u32> },
}

impl Outcome {
    /// Whether the client is refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Outcome::Refused { .. })
    }
}
