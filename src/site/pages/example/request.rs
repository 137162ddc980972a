//! One example: a request and its answer.

use crate::policy::problem::Hint;

/// One request.
#[derive(Clone, Debug)]
pub struct Example {
    pub method: Box<str>,
    pub path: Box<str>,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// How often it is sent.
    pub times: u8,
    /// A remark that readers need.
    pub remark: Option<&'static str>,
    /// The part of the answer that depends on the request.
    pub hint: Hint,
}

/// What follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Nothing,
    Text(String),
    /// So many spaces.
    Spaces(usize),
    /// A body that is announced and never sent; the service waits for it for this many seconds.
    NeverSent(u64),
}
