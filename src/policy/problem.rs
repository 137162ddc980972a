//! The table of problems: every refusal a client can get is one row here.
//!
//! A row says which slug, status and words a refusal has, whose fault it is and whether the
//! connection can live on. The order of [`Row`]'s variants is the order of precedence: when
//! several rows apply, the smallest wins. This file does not decide when a row applies
//! (`admit.rs`, `translate.rs`) and does not write responses (`respond.rs`).

pub mod blame;
pub mod guide;
pub mod messages;

use std::fmt;

/// The statuses a refusal can have: the closed set without its successes, so that a problem
/// cannot be a success by mistake (contract, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    NotAcceptable,
    RequestTimeout,
    UnsupportedMediaType,
    TooManyRequests,
    InternalServerError,
    ServiceUnavailable,
}

impl Status {
    /// Every status, in ascending order of its code.
    pub const ALL: [Status; 10] = [
        Status::BadRequest,
        Status::Unauthorized,
        Status::Forbidden,
        Status::NotFound,
        Status::NotAcceptable,
        Status::RequestTimeout,
        Status::UnsupportedMediaType,
        Status::TooManyRequests,
        Status::InternalServerError,
        Status::ServiceUnavailable,
    ];

    /// The three digits on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Status::BadRequest => 400,
            Status::Unauthorized => 401,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::NotAcceptable => 406,
            Status::RequestTimeout => 408,
            Status::UnsupportedMediaType => 415,
            Status::TooManyRequests => 429,
            Status::InternalServerError => 500,
            Status::ServiceUnavailable => 503,
        }
    }

    /// The standard reason phrase (RFC 9110, section 15); also the `title` of a problem.
    pub const fn phrase(self) -> &'static str {
        match self {
            Status::BadRequest => "Bad Request",
            Status::Unauthorized => "Unauthorized",
            Status::Forbidden => "Forbidden",
            Status::NotFound => "Not Found",
            Status::NotAcceptable => "Not Acceptable",
            Status::RequestTimeout => "Request Timeout",
            Status::UnsupportedMediaType => "Unsupported Media Type",
            Status::TooManyRequests => "Too Many Requests",
            Status::InternalServerError => "Internal Server Error",
            Status::ServiceUnavailable => "Service Unavailable",
        }
    }

    /// The status with this code, if it is one a refusal can have.
    pub fn from_code(code: u16) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// Who has to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Client,
    Gateway,
    Upstream,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Fault::Client => "client",
            Fault::Gateway => "gateway",
            Fault::Upstream => "upstream",
        })
    }
}

/// Which row of the table a refusal is. The derived order is the order of precedence
/// (contract, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    MalformedRequest,
    RequestTimeout,
    Overloaded,
    EndpointUnknown,
    TokenMissing,
    TokenUnknown,
    TokenDisabled,
    TokenExpired,
    ProductMismatch,
    IpNotAllowed,
    DomainNotAllowed,
    RateExceeded,
    AcceptUnsupported,
    ContentTypeUnsupported,
    TimeoutInvalid,
    ReferenceIdInvalid,
    AddMetadataInvalid,
    BodyTooLarge,
    BodyEmpty,
    BodyMalformed,
    /// A row that the operator's configuration adds, by its place there. Such rows stand
    /// between the body's syntax and the rest of its schema.
    Own(u16),
    BodyInvalid,
    CreditsInsufficient,
    DeadlineExceeded,
    UpstreamUnavailable,
    UpstreamFailed,
    Internal,
}

/// What a row says, before an operator's own words replace it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub row: Row,
    /// The public code: ends the `type` link, labels logs; never changes its meaning.
    pub slug: &'static str,
    pub status: Status,
    pub fault: Fault,
    /// Whether the connection ends after this answer even when its framing is intact.
    pub closes: bool,
    /// When the row applies, for the table that operators and developers read.
    pub when: &'static str,
    /// What was wrong and what to do. `{…}` is filled in from the product when the policy is
    /// compiled, `{field}` when the answer is written.
    pub detail: &'static str,
}

const fn client(row: Row, slug: &'static str, status: Status, when: &'static str, detail: &'static str) -> Definition {
    Definition { row, slug, status, fault: Fault::Client, closes: false, when, detail }
}

const fn closing(definition: Definition) -> Definition {
    Definition { closes: true, ..definition }
}

const fn blamed(fault: Fault, definition: Definition) -> Definition {
    Definition { fault, ..definition }
}

/// The built-in rows in order of precedence. Rows of the operator's own come between
/// `body-malformed` and `body-invalid`.
pub const TABLE: [Definition; 26] = [
    closing(client(
        Row::MalformedRequest,
        "malformed-request",
        Status::BadRequest,
        "the head cannot be parsed, its framing is ambiguous, a limit on the target or the headers is passed, or the token is sent twice",
        "The request could not be read as one well-formed HTTP request. Check the request line, the headers and the framing of the body, and send it again.",
    )),
    closing(client(
        Row::RequestTimeout,
        "request-timeout",
        Status::RequestTimeout,
        "the head or the body did not arrive in its allowance",
        "The request did not arrive in time. Send the whole request without long pauses.",
    )),
    blamed(
        Fault::Gateway,
        client(
            Row::Overloaded,
            "overloaded",
            Status::ServiceUnavailable,
            "the gateway is at its own limit of connections or requests in flight",
            "The service is busy. Send the request again after the number of seconds in the Retry-After header.",
        ),
    ),
    client(
        Row::EndpointUnknown,
        "endpoint-unknown",
        Status::NotFound,
        "no route has this path and method",
        "There is no such endpoint. Check the path and the method; if the path exists with another method, the Allow header names it.",
    ),
    client(
        Row::TokenMissing,
        "token-missing",
        Status::BadRequest,
        "no token in any header the product accepts",
        "The request has no token. Send your token in the header {token_headers}.",
    ),
    client(
        Row::TokenUnknown,
        "token-unknown",
        Status::Unauthorized,
        "the token is not one of ours",
        "The token is not known. Check that it was copied whole and belongs to this service.",
    ),
    client(
        Row::TokenDisabled,
        "token-disabled",
        Status::Forbidden,
        "the token is switched off",
        "The token is switched off. Use another token, or ask for this one to be switched on.",
    ),
    client(
        Row::TokenExpired,
        "token-expired",
        Status::Forbidden,
        "the token's last day has passed",
        "The token has expired. Use a newer token.",
    ),
    client(
        Row::ProductMismatch,
        "product-mismatch",
        Status::Forbidden,
        "the token belongs to another product",
        "The token does not cover this product. Use a token of this product.",
    ),
    client(
        Row::IpNotAllowed,
        "ip-not-allowed",
        Status::Forbidden,
        "the client address is outside the token's networks",
        "The token may not be used from this network address. Send the request from an allowed network, or have the token's list changed.",
    ),
    client(
        Row::DomainNotAllowed,
        "domain-not-allowed",
        Status::Forbidden,
        "the Origin, else the Referer, is outside the token's domains",
        "The token may not be used from this web domain. Send the request from an allowed domain, or have the token's list changed.",
    ),
    client(
        Row::RateExceeded,
        "rate-exceeded",
        Status::TooManyRequests,
        "the account's rate is used up",
        "Too many requests. Send the request again after the number of seconds in the Retry-After header.",
    ),
    client(
        Row::AcceptUnsupported,
        "accept-unsupported",
        Status::NotAcceptable,
        "nothing in Accept can be served",
        "The Accept header allows nothing that can be served here. Accept {accept}.",
    ),
    client(
        Row::ContentTypeUnsupported,
        "content-type-unsupported",
        Status::UnsupportedMediaType,
        "a missing or another media type, or a content encoding",
        "The body's media type is not supported. Send it as {content_type} in UTF-8, without a Content-Encoding.",
    ),
    client(
        Row::TimeoutInvalid,
        "timeout-invalid",
        Status::BadRequest,
        "the deadline header is not a whole number of seconds in its range",
        "The header {deadline_header} is not valid. Send one whole number of seconds from {deadline_min} to {deadline_max}.",
    ),
    client(
        Row::ReferenceIdInvalid,
        "reference-id-invalid",
        Status::BadRequest,
        "the reference header breaks its pattern",
        "The header Reference-ID is too long, is empty or has a character that is not allowed. Use 1 to 256 letters, digits, spaces or any of _-/:.,().",
    ),
    client(
        Row::AddMetadataInvalid,
        "add-metadata-invalid",
        Status::BadRequest,
        "the metadata switch is not a boolean",
        "The header Add-Metadata is not valid. Send true or false.",
    ),
    client(
        Row::BodyTooLarge,
        "body-too-large",
        Status::BadRequest,
        "more bytes than the route allows",
        "The body is too large. Send at most {body_max} bytes.",
    ),
    client(
        Row::BodyEmpty,
        "body-empty",
        Status::BadRequest,
        "no body",
        "The request has no body. Send one JSON document.",
    ),
    client(
        Row::BodyMalformed,
        "body-malformed",
        Status::BadRequest,
        "not one JSON document: syntax, UTF-8, a repeated key at any depth, too much nesting",
        "The body is not one well-formed JSON document. Check its syntax, its UTF-8 encoding, and that no key stands twice in one object.",
    ),
    client(
        Row::BodyInvalid,
        "body-invalid",
        Status::BadRequest,
        "the body breaks another rule of the product's schema",
        "The body breaks the rules of this endpoint at {field}. Check the type, the length and the allowed values there.",
    ),
    client(
        Row::CreditsInsufficient,
        "credits-insufficient",
        Status::Forbidden,
        "the balance cannot cover the highest price of this request",
        "There are not enough credits left for this request. Buy more credits, or ask for less in one request.",
    ),
    client(
        Row::DeadlineExceeded,
        "deadline-exceeded",
        Status::RequestTimeout,
        "no answer within the request's own deadline",
        "There was no answer within the time allowed. Send the request again, or allow more time with the header {deadline_header}.",
    ),
    blamed(
        Fault::Upstream,
        client(
            Row::UpstreamUnavailable,
            "upstream-unavailable",
            Status::ServiceUnavailable,
            "the backend cannot be reached, refuses, or says 502, 503 or 504",
            "The lookup service is not available at the moment. Send the request again later; nothing was charged.",
        ),
    ),
    blamed(
        Fault::Upstream,
        client(
            Row::UpstreamFailed,
            "upstream-failed",
            Status::InternalServerError,
            "the backend answered something that cannot be passed on",
            "The lookup service gave no usable answer. Send the request again later; nothing was charged.",
        ),
    ),
    closing(blamed(
        Fault::Gateway,
        client(
            Row::Internal,
            "internal",
            Status::InternalServerError,
            "a fault of the gateway's own",
            "Something went wrong on our side. Send the request again later; nothing was charged.",
        ),
    )),
];

/// What only this very answer knows, beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    None,
    /// Whole seconds for `Retry-After` (RFC 9110, section 10.2.3), never 0.
    RetryAfter(u32),
    /// The path is known with other methods: the place of the path in the policy.
    Allow(u16),
    /// The field of the body that `{field}` names: its place in the product's list of fields.
    Field(u16),
}

/// One refusal: its row, why it applied (for the log alone, never from the request's own
/// bytes) and what the answer must carry beside the row.
///
/// There is deliberately no conversion into Pingora's error: no `?` can lose a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    pub row: Row,
    pub reason: &'static str,
    pub hint: Hint,
}

impl Problem {
    /// A problem that says no more than its row; `reason` is for the log.
    pub const fn new(row: Row, reason: &'static str) -> Problem {
        Problem { row, reason, hint: Hint::None }
    }

    /// The same problem with what this answer must carry.
    pub const fn with(self, hint: Hint) -> Problem {
        Problem { hint, ..self }
    }
}

impl Row {
    /// The built-in definition; `None` for a row of the operator's own.
    pub fn definition(self) -> Option<&'static Definition> {
        TABLE.iter().find(|definition| definition.row == self)
    }

    /// Whether the connection ends after this answer even when its framing is intact. Rows of the
    /// operator's own never end it.
    pub fn closes(self) -> bool {
        self.definition().is_some_and(|definition| definition.closes)
    }

    /// The built-in row with this slug.
    pub fn from_slug(slug: &str) -> Option<Row> {
        TABLE.iter().find(|definition| definition.slug == slug).map(|definition| definition.row)
    }
}

/// Where a configuration's own rows stand in the table.
const OWN_ROWS: [&str; 4] = [
    "(a product's own)",
    "any",
    "client",
    "a rule of the product's schema that the configuration gives a row of its own",
];

/// The table for a terminal.
pub fn table_as_text() -> String {
    lines().iter().fold(String::new(), |text, [slug, status, fault, when]| {
        text + &format!("{slug:<26}{status:<8}{fault:<10}{when}\n")
    })
}

/// The table as Markdown, as the README has it.
pub fn table_as_markdown() -> String {
    let head = "| problem | status | at fault | when |\n|---|---|---|---|\n".to_owned();
    lines()
        .iter()
        .skip(1)
        .fold(head, |text, [slug, status, fault, when]| text + &format!("| {slug} | {status} | {fault} | {when} |\n"))
}

/// The table as a JSON document.
pub fn table_as_json() -> String {
    let row = |[problem, status, fault, when]: &[String; 4]| serde_json::json!({ "problem": problem, "status": status, "fault": fault, "when": when });
    let rows: Vec<_> = lines().iter().skip(1).map(row).collect();
    format!("{:#}\n", serde_json::json!({ "problems": rows }))
}

/// The heads of the columns, then a row for each problem.
fn lines() -> Vec<[String; 4]> {
    let mut lines = vec![["problem", "status", "at fault", "when"].map(str::to_owned)];
    for definition in &TABLE {
        if definition.row == Row::BodyInvalid {
            lines.push(OWN_ROWS.map(str::to_owned));
        }
        let status = definition.status.code().to_string();
        lines.push([definition.slug.to_owned(), status, definition.fault.to_string(), definition.when.to_owned()]);
    }
    lines
}
