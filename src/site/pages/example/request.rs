//! What an example is: one request, and what it is answered with.

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
    /// What has to be known of it.
    pub remark: Option<&'static str>,
    /// What it is answered with, as far as that depends on it.
    pub hint: Hint,
}

/// What comes behind a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Nothing,
    Text(String),
    /// So many spaces.
    Spaces(usize),
    /// Something for which the service waits so many seconds in vain.
    NeverSent(u64),
}
