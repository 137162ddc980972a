//! Guides of what goes wrong on the way: reading the request, finding who answers, and the answer.

use super::{Change, Guide, Provoke, Retry};

pub const MALFORMED_REQUEST: Guide = Guide {
    meaning: "What arrived could not be read as one HTTP request without doubt, so nothing of it was looked at. Requests that two programs could read differently are never passed on.",
    causes: &[
        "The token is sent twice: in two lines, or in two headers with different values.",
        "Content-Length and Transfer-Encoding stand together, or one of them stands twice.",
        "The path has dot segments, double slashes, semicolons or encoded slashes in it.",
        "The target or the headers are longer than what is taken, or there are too many headers.",
        "A program wrote the request by hand, with bare line feeds or control characters in it.",
    ],
    remedy: &[
        "Send the token in one header, once.",
        "Let your HTTP library set Content-Length and Host; do not set them yourself.",
        "Write the path exactly as the reference has it.",
        "If a proxy of your own stands between, look at what it adds.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::TokenTwice]),
};

pub const REQUEST_TIMEOUT: Guide = Guide {
    meaning: "The request began to arrive and then did not go on: its headers or its body were not there in the time that they may take. Nothing was charged.",
    causes: &[
        "The program opens the connection first and puts the body together afterwards.",
        "Content-Length is larger than the body that is sent.",
        "The network between is slow or loses packets.",
    ],
    remedy: &[
        "Have the whole body ready before you send the headers.",
        "Let your HTTP library count the bytes.",
        "Send the request again over a new connection; this one is closed.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::By(&[Change::BodyNeverSent]),
};

pub const OVERLOADED: Guide = Guide {
    meaning: "The service has as many connections or requests as it takes at a time. The request was not looked at, and nothing was charged.",
    causes: &[
        "Many clients came at the same moment.",
        "A client opens a new connection for each request instead of keeping one.",
    ],
    remedy: &[
        "Wait as long as Retry-After says, then send the request again.",
        "Keep connections open and use them for many requests.",
        "Spread batches over time.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::WhileFull,
};

pub const ENDPOINT_UNKNOWN: Guide = Guide {
    meaning: "Nothing is served at this path, or not with this method. If the path is right, the Allow header names the methods that it has.",
    causes: &[
        "A typing error in the path, a slash too many at its end, or another case of letters.",
        "GET instead of POST, for example after a redirect or in a browser's address bar.",
        "The base address of another version of the service.",
    ],
    remedy: &[
        "Compare path and method with the reference.",
        "If there is an Allow header in the answer, use one of its methods.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Target("/no/such/endpoint")]),
};

pub const DEADLINE_EXCEEDED: Guide = Guide {
    meaning: "There was no answer within the time that the request may take. The lookup was given up, and nothing was charged.",
    causes: &["The lookup asks networks that answer slowly.", "The request allows very little time."],
    remedy: &[
        "Allow more time, if the product has a header for that, and let your own client wait a little longer than that.",
        "Send the request again.",
        "If it happens often, look at the status of the service, and tell support with a Transaction-Id.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::Demo("demo/slow"),
};

pub const UPSTREAM_UNAVAILABLE: Guide = Guide {
    meaning: "The lookup service behind this API cannot be reached at the moment, or takes no more requests. Nothing is wrong with your request, and nothing was charged.",
    causes: &["A short interruption of the lookup service.", "Maintenance.", "More load than it takes at the moment."],
    remedy: &[
        "Send the request again, after the seconds of Retry-After where that is there.",
        "If it lasts for more than a few minutes, look at the status of the service.",
    ],
    retry: Retry::HeaderOrBackoff,
    provoke: Provoke::Demo("demo/unavailable"),
};

pub const UPSTREAM_FAILED: Guide = Guide {
    meaning: "The lookup service gave an answer that cannot be passed on, because it was broken, cut short or no answer at all. Nothing is wrong with your request, and nothing was charged.",
    causes: &["A fault of the lookup service, for this request or for all."],
    remedy: &[
        "Send the request again, a few times at most.",
        "If the same request fails again and again while others work, tell support with its Transaction-Id.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::Demo("demo/failed"),
};

pub const INTERNAL: Guide = Guide {
    meaning: "Something went wrong on our side while the request was served. Nothing was charged.",
    causes: &["A fault of ours. Nothing that you send should cause it."],
    remedy: &[
        "Send the request again, a few times at most.",
        "Tell support with the Transaction-Id if it happens again.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::Never,
};
