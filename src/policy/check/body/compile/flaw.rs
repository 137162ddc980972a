//! What can be wrong with a schema.

/// Something that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// A JSON Pointer into the document.
    pub at: String,
    pub kind: FlawKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// What it is, and how to mend it.
    Says(String),
    /// A key that the draft does not know, though it knows these.
    Unknown(Box<str>, Vec<&'static str>),
}
