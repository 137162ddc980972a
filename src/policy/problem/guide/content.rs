//! Guides of what a request says: its headers and its body.

use super::entry::{Change, Guide, Provoke, Retry};

pub const ACCEPT_UNSUPPORTED: Guide = Guide {
    meaning: "The Accept header does not include a format that this API can return.",
    causes: &["A browser or library asks only for HTML or XML.", "The supported format is excluded with q=0."],
    remedy: &["Send Accept: application/json, or leave the header out."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Header("Accept", "text/html")]),
};

pub const CONTENT_TYPE_UNSUPPORTED: Guide = Guide {
    meaning: "The body is in a format that is not supported, in a character set other than UTF-8, or compressed.",
    causes: &[
        "The Content-Type header is missing, or the program sent its default, such as application/x-www-form-urlencoded.",
        "The charset is not UTF-8.",
        "The body is compressed (Content-Encoding).",
    ],
    remedy: &["Send Content-Type: application/json, and the body in UTF-8 without compression."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::ContentType("text/plain")]),
};

pub const TIMEOUT_INVALID: Guide = Guide {
    meaning: "The header that sets the time limit of the request has a value that is not valid.",
    causes: &[
        "The number is out of range, or has a fraction, a sign or a unit.",
        "The header is sent twice.",
        "The value is in milliseconds instead of seconds.",
    ],
    remedy: &["Send a whole number of seconds in the range that the detail gives, or leave the header out."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::DeadlineTooLong]),
};

pub const PARAMETER_INVALID: Guide = Guide {
    meaning: "A parameter in the path or in the query of the request is missing, has a value that is not allowed, is sent more than once, or is not known.",
    causes: &[
        "The variable that holds the value is empty.",
        "The value is not percent-encoded, so that it ends early.",
        "A number is out of range, or has a sign, a fraction or leading zeros that are not allowed.",
        "The name of a parameter is misspelt.",
        "The same parameter is added twice.",
    ],
    remedy: &[
        "Correct the parameter that the detail names; the reference has its rule.",
        "Percent-encode values before they become a part of the address.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

pub const REFERENCE_ID_INVALID: Guide = Guide {
    meaning: "The header with your own reference has a value that is not allowed.",
    causes: &[
        "It contains characters that are not allowed, such as semicolons, quotes or accented letters.",
        "It is empty or too long.",
        "It is sent twice.",
    ],
    remedy: &[
        "Use only the characters that the detail lists.",
        "Or leave the header out; a reference is then generated for you.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

pub const ADD_METADATA_INVALID: Guide = Guide {
    meaning: "The header that asks for metadata has a value other than true or false.",
    causes: &["Its value is empty, or 1, yes or on.", "It is sent twice."],
    remedy: &["Send true or false, or leave the header out."],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

pub const BODY_TOO_LARGE: Guide = Guide {
    meaning: "The body is larger than this endpoint accepts.",
    causes: &["The body contains several lookups.", "A file was sent instead of a JSON document."],
    remedy: &["Send one lookup per request.", "Leave out fields that are not in the reference."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::BodyTooLarge]),
};

pub const BODY_EMPTY: Guide = Guide {
    meaning: "The request has no body, but this endpoint needs one.",
    causes: &["The body was not passed to the HTTP library.", "A redirect removed the body."],
    remedy: &["Send one JSON document as the body."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Body("")]),
};

pub const BODY_MALFORMED: Guide = Guide {
    meaning: "The body is not a valid JSON document.",
    causes: &[
        "A quote, comma or bracket is missing, or there is one too many.",
        "The JSON was built by joining strings, and a value contains a quote.",
        "The encoding is not UTF-8, or there is other text before or after the document.",
        "An object contains the same name twice.",
        "Lists or objects are nested more than 32 levels deep.",
    ],
    remedy: &["Use a JSON library to write the body.", "Check the exact bytes that you send with a JSON validator."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Body("{\"")]),
};

pub const BODY_INVALID: Guide = Guide {
    meaning: "The body is valid JSON, but does not match what this endpoint expects. The detail names the fields that break a rule, and the rule of each.",
    causes: &[
        "A value has the wrong type, such as a number in quotes.",
        "A text is too long, or a number is out of range.",
        "A required field is missing.",
        "The body is so complex that checking it would take more work than is allowed for its size.",
    ],
    remedy: &["Compare the fields that the detail names with the reference, and correct them."],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};

pub const IDEMPOTENCY_KEY_REUSED: Guide = Guide {
    meaning: "The key of this request was used for another request of your account, whose answer is still kept or on its way. Nothing was looked up, and nothing was charged.",
    causes: &[
        "The key is made of something that several requests have in common, such as an order with several numbers.",
        "A counter or a random generator began anew, and makes the same keys again.",
        "The request was changed before it was sent again: its path, its query, its body or its Accept header.",
    ],
    remedy: &[
        "Make a new key for each lookup, for example a random UUID.",
        "Send a request again just as it was, byte for byte, if you send it with the same key.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::KeyReused,
};

/// What a row of the operator's own has where the configuration says no more.
pub const OWN: Guide = Guide {
    meaning: "The request does not follow one of the rules of this product. The detail says which, and what to send instead.",
    causes: &["The field or header that the detail names is missing, or its value is not allowed."],
    remedy: &["Correct what the detail names, and send the request again."],
    retry: Retry::AfterChange,
    provoke: Provoke::BreakingRule,
};
