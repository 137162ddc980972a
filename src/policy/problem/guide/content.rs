//! Guides of what a request says: its headers and its body.

use super::{Change, Guide, Provoke, Retry};

pub const ACCEPT_UNSUPPORTED: Guide = Guide {
    meaning: "The Accept header allows no format in which there is an answer.",
    causes: &["A browser or a library asks for HTML or XML alone.", "The format has the weight 0 (q=0)."],
    remedy: &["Send Accept: application/json, or leave the header out."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Header("Accept", "text/html")]),
};

pub const CONTENT_TYPE_UNSUPPORTED: Guide = Guide {
    meaning: "The body is not of a type that is taken here, is in another character set than UTF-8, or is compressed.",
    causes: &[
        "Content-Type was left out. Many programs send forms (application/x-www-form-urlencoded) then.",
        "The charset is not UTF-8.",
        "The body is compressed, with a Content-Encoding.",
    ],
    remedy: &["Send Content-Type: application/json, and the body in UTF-8 as it is."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::ContentType("text/plain")]),
};

pub const TIMEOUT_INVALID: Guide = Guide {
    meaning: "The header that says how long the request may take has no value that can be used.",
    causes: &[
        "The number is out of its range, or has a fraction, a sign or a unit.",
        "The header stands twice.",
        "The value is in milliseconds.",
    ],
    remedy: &["Send one whole number of seconds in the range that the detail names, or leave the header out."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::DeadlineTooLong]),
};

pub const REFERENCE_ID_INVALID: Guide = Guide {
    meaning: "The header with your own reference has a value that cannot be repeated in the answer.",
    causes: &[
        "It has characters that are not allowed, such as semicolons, quotes or letters with accents.",
        "It is empty, or too long.",
        "It stands twice.",
    ],
    remedy: &[
        "Use letters, digits and the few signs that the detail names.",
        "Or leave the header out: then a reference is made for you.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

pub const ADD_METADATA_INVALID: Guide = Guide {
    meaning: "The header that asks for metadata says neither yes nor no.",
    causes: &["It has 1, yes or on for a value, or none.", "It stands twice."],
    remedy: &["Send true or false, or leave the header out."],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

pub const BODY_TOO_LARGE: Guide = Guide {
    meaning: "The body has more bytes than are taken here.",
    causes: &["Several lookups were put into one body.", "A file was sent in place of the JSON document."],
    remedy: &["Send one lookup in each request.", "Leave out members that are not in the reference."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::BodyTooLarge]),
};

pub const BODY_EMPTY: Guide = Guide {
    meaning: "The request has no body, and needs one.",
    causes: &["The body was not given to the HTTP library.", "A redirect turned the request into one without a body."],
    remedy: &["Send one JSON document as the body."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Body("")]),
};

pub const BODY_MALFORMED: Guide = Guide {
    meaning: "The body is not one JSON document that everybody reads in the same way.",
    causes: &[
        "A quote, a comma or a bracket is missing or too many.",
        "The text was put together by hand, and a value has a quote in it.",
        "The encoding is not UTF-8, or there are bytes in front of or behind the document; a byte order mark may be in front.",
        "The same name stands twice in one object.",
    ],
    remedy: &["Let a JSON library write the body.", "Try the very bytes that you send in a JSON checker."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Body("{\"")]),
};

pub const BODY_INVALID: Guide = Guide {
    meaning: "The body is JSON, but not what this endpoint takes. The detail names the fields that break a rule, and the rule of each.",
    causes: &[
        "A value has another type than the reference says, such as a number in quotes.",
        "A text is too long, or a number is out of its range.",
        "A field that must be there is missing.",
        "The body is so intricate that judging it would take more work than one of its length may.",
    ],
    remedy: &["Compare the fields that the detail names with the reference, and send them as it says there."],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

/// What a row of the operator's own has where the configuration says no more.
pub const OWN: Guide = Guide {
    meaning: "The request breaks a rule of this product that has a problem of its own. The detail says which, and what to send instead.",
    causes: &["A field or a header that this rule is about is missing, or has a value that is not taken."],
    remedy: &["Change what the detail names, and send the request again."],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};
