//! What becomes of a recorded decision under the candidate.

use std::sync::Arc;

/// Why something cannot be decided: what a journal does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecided {
    /// Bytes that were no head within its limits.
    Head,
    /// A path that the policy then did not serve.
    Path,
    /// A token in a place where none was looked for then.
    TokenPlace,
    /// A token that an identity provider has signed.
    SignedToken,
    /// Addresses were not kept.
    Address,
    /// How much there was to do at that moment.
    Load,
    /// Values of parameters.
    Parameters,
    /// Values of headers.
    Headers,
    Body,
    /// Which keys were used before.
    Key,
    /// What credits an account had.
    Balance,
    /// What the candidate makes of the backend's answer.
    Answer,
    /// How long the backend takes.
    Deadline,
    /// What an answer costs whose content decides it.
    Price,
    /// The line does not say which rules there were then.
    Rules,
}

impl Undecided {
    /// All of them.
    pub const ALL: [Undecided; 15] = [
        Undecided::Head,
        Undecided::Path,
        Undecided::TokenPlace,
        Undecided::SignedToken,
        Undecided::Address,
        Undecided::Load,
        Undecided::Parameters,
        Undecided::Headers,
        Undecided::Body,
        Undecided::Key,
        Undecided::Balance,
        Undecided::Answer,
        Undecided::Deadline,
        Undecided::Price,
        Undecided::Rules,
    ];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Undecided::Head => "head",
            Undecided::Path => "path",
            Undecided::TokenPlace => "token_place",
            Undecided::SignedToken => "signed_token",
            Undecided::Address => "address",
            Undecided::Load => "load",
            Undecided::Parameters => "parameters",
            Undecided::Headers => "headers",
            Undecided::Body => "body",
            Undecided::Key => "key",
            Undecided::Balance => "balance",
            Undecided::Answer => "answer",
            Undecided::Deadline => "deadline",
            Undecided::Price => "price",
            Undecided::Rules => "rules",
        }
    }

    /// What a journal does not have, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Undecided::Head => "bytes that were no head within its limits",
            Undecided::Path => "paths that were not served then",
            Undecided::TokenPlace => "tokens in places where none were looked for then",
            Undecided::SignedToken => "tokens that an identity provider has signed",
            Undecided::Address => "addresses, which were not kept",
            Undecided::Load => "how much there was to do at that moment",
            Undecided::Parameters => "values of parameters, whose rules are others",
            Undecided::Headers => "values of headers, whose rules are others",
            Undecided::Body => "bodies, whose rules are others, or which were not judged then",
            Undecided::Key => "which keys of requests were used before",
            Undecided::Balance => "which credits an account had left",
            Undecided::Answer => "what becomes of the backend's answer, by other rules",
            Undecided::Deadline => "whether the backend answers within another deadline",
            Undecided::Price => "prices that depend on what the answer says",
            Undecided::Rules => "the rules of then, whose line is missing",
        }
    }
}

/// How a request ends under the candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it did then.
    AsThen,
    /// With a problem, by its slug.
    Refused(Arc<str>),
    /// With an answer of the backend.
    Answered,
    /// Not with the problem of then; what comes behind that check was not seen.
    LetFurther,
}

/// What a decision is under the candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Decided { outcome: Outcome, price: Price },
    Undecided(Undecided),
}

/// What a request costs under the candidate, in credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    Known(u32),
    Undecided(Undecided),
}
