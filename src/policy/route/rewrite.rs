//! Another path and query for the backend than the client's, made of the parameters of a request.

/// A path and a query with parameters.
#[derive(Clone, Debug)]
pub struct Rewrite {
    pub segments: Box<[Part]>,
    /// Members that stand first in the query; those that a client has sent and that are not named here follow.
    pub query: Box<[(Box<str>, Part)]>,
}

/// A segment of a path, or a value of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is sent.
    Literal(Box<str>),
    /// The value of the route's parameter with this index.
    Parameter(usize),
}

impl Rewrite {
    /// Whether it names a parameter.
    pub fn names(&self, index: usize) -> bool {
        let parts = self.segments.iter().chain(self.query.iter().map(|(_, part)| part));
        parts.into_iter().any(|part| *part == Part::Parameter(index))
    }
}
