//! Guides of what goes wrong on the way: reading the request, finding who answers, and the answer.

use super::entry::{Change, Guide, Provoke, Retry};

pub const MALFORMED_REQUEST: Guide = Guide {
    meaning: "The request is not a valid HTTP request, or can be understood in more than one way. Such requests are not processed.",
    causes: &[
        "The token is sent twice: in two header lines, or in two headers with different values.",
        "Content-Length and Transfer-Encoding are both sent, or one of them is sent twice.",
        "The path contains dot segments (/../), double slashes, semicolons or encoded slashes.",
        "The URL or the headers are too long, or there are too many headers.",
        "The header with the key of the request, such as Idempotency-Key, is sent twice, or is not 1 to 255 visible characters.",
        "The request was written by hand, with wrong line endings or control characters.",
    ],
    remedy: &[
        "Send the token once, in one header.",
        "Let your HTTP library set Content-Length and Host; do not set them yourself.",
        "Write the path exactly as in the reference.",
        "If you use a proxy, check which headers it adds.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::TokenTwice]),
};

pub const REQUEST_TIMEOUT: Guide = Guide {
    meaning: "The request did not arrive completely in time: its headers or its body were sent too slowly, or not at all. Nothing was charged.",
    causes: &[
        "The program opens the connection before the body is ready.",
        "Content-Length is larger than the body that is sent.",
        "The network is slow or loses packets.",
    ],
    remedy: &[
        "Prepare the whole body before you send the headers.",
        "Let your HTTP library set Content-Length.",
        "Send the request again on a new connection; this one is closed.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::By(&[Change::BodyNeverSent]),
};

pub const OVERLOADED: Guide = Guide {
    meaning: "The service is handling as many requests as it can at the moment. This request was not processed, and nothing was charged.",
    causes: &[
        "Many clients sent requests at the same time.",
        "Your account has many more requests in flight at a time than others.",
        "A client opens a new connection for each request instead of reusing one.",
    ],
    remedy: &[
        "Wait for the number of seconds in the Retry-After header, then send the request again.",
        "Send fewer requests at a time: wait for answers before you send more.",
        "Keep connections open and reuse them.",
        "Spread batch jobs over time.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::While("This request is valid. It is refused only while the service is overloaded."),
};

pub const ENDPOINT_UNKNOWN: Guide = Guide {
    meaning: "There is no endpoint at this path, or not with this method. If the path exists, the Allow header lists its methods.",
    causes: &[
        "The path is misspelt, ends with an extra slash, or has upper-case letters where the reference has lower-case ones.",
        "The method is GET instead of POST, for example after a redirect or in a browser's address bar.",
        "The base URL is that of another version of the API.",
    ],
    remedy: &[
        "Compare the path and the method with the reference.",
        "If the response has an Allow header, use one of its methods.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Target("/no/such/endpoint")]),
};

pub const DEADLINE_EXCEEDED: Guide = Guide {
    meaning: "The lookup took longer than the time limit of the request. It was cancelled, and nothing was charged.",
    causes: &["The lookup depends on networks that respond slowly.", "The time limit of the request is very short."],
    remedy: &[
        "Allow more time, if the product has a header for it, and set your client's own time-out a little longer.",
        "Send the request again.",
        "If it happens often, check the status of the service, and contact support with a Transaction-Id.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::Demo("demo/slow"),
};

pub const UPSTREAM_UNAVAILABLE: Guide = Guide {
    meaning: "The lookup service behind this API is temporarily unavailable. Your request is fine, and nothing was charged.",
    causes: &[
        "A short interruption of the lookup service.",
        "Maintenance.",
        "A temporary overload of the lookup service.",
    ],
    remedy: &[
        "Wait for the number of seconds in the Retry-After header, if there is one, then send the request again.",
        "If it lasts longer than a few minutes, check the status of the service.",
    ],
    retry: Retry::HeaderOrBackoff,
    provoke: Provoke::Demo("demo/unavailable"),
};

pub const UPSTREAM_FAILED: Guide = Guide {
    meaning: "The lookup service returned an invalid response. Your request is fine, and nothing was charged.",
    causes: &["An error in the lookup service."],
    remedy: &[
        "Send the request again, but only a few times.",
        "If the same request keeps failing while others succeed, contact support with its Transaction-Id.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::Demo("demo/failed"),
};

pub const INTERNAL: Guide = Guide {
    meaning: "Something went wrong on our side while processing the request. Nothing was charged.",
    causes: &["An error on our side. Nothing that you send should cause it."],
    remedy: &[
        "Send the request again, but only a few times.",
        "If it happens again, contact support with the Transaction-Id.",
    ],
    retry: Retry::Backoff,
    provoke: Provoke::Never,
};
