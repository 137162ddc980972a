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

/// Who has to fix it.
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
    QuotaExceeded,
    ConcurrencyExceeded,
    AcceptUnsupported,
    ContentTypeUnsupported,
    TimeoutInvalid,
    ParameterInvalid,
    ReferenceIdInvalid,
    AddMetadataInvalid,
    BodyTooLarge,
    BodyEmpty,
    BodyMalformed,
    /// A row that the operator's configuration adds, by its index there. Such rows stand
    /// between the body's syntax and the rest of its schema.
    Own(u16),
    BodyInvalid,
    IdempotencyKeyReused,
    CreditsInsufficient,
    CreditsUnavailable,
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
    /// What was wrong, what to do, and where to go for more. `{…}` is filled in from the product and
    /// from what the configuration says of destinations (`site/destinations.rs`) when the policy is
    /// compiled; `{field}`, `{rules}` and `{position}` when the answer is written.
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
pub const TABLE: [Definition; 31] = [
    closing(client(
        Row::MalformedRequest,
        "malformed-request",
        Status::BadRequest,
        "the head cannot be parsed, its framing is ambiguous, a limit on the target or the headers is passed, or the token is sent twice",
        "The request is not a valid HTTP request. Check the path, the headers and the length of the body, and send the token only once.",
    )),
    closing(client(
        Row::RequestTimeout,
        "request-timeout",
        Status::RequestTimeout,
        "the head or the body did not arrive in its allowance",
        "The request took too long to arrive. Send the whole request without long pauses.",
    )),
    blamed(
        Fault::Gateway,
        client(
            Row::Overloaded,
            "overloaded",
            Status::ServiceUnavailable,
            "the gateway is at its own limit of connections or requests in flight, or its backend is, and the account has the most requests that wait for it",
            "The service is busy. Wait for the number of seconds in the Retry-After header, then send the request again. You can see the state of the service on its status page ({status_page}).",
        ),
    ),
    client(
        Row::EndpointUnknown,
        "endpoint-unknown",
        Status::NotFound,
        "no route has this path and method",
        "There is no such endpoint. Check the path and the method; if the path exists with other methods, the Allow header lists them. If the problem persists, contact support ({support}).",
    ),
    client(
        Row::TokenMissing,
        "token-missing",
        Status::BadRequest,
        "no token in any place where the product takes one",
        "The request has no token. Send your token in {token_places}. You can find your tokens in the Self Service Portal ({portal}).",
    ),
    client(
        Row::TokenUnknown,
        "token-unknown",
        Status::Unauthorized,
        "the token is not one of ours",
        "The token is not valid. Check that it was copied completely and belongs to this API. You can find your tokens in the Self Service Portal ({portal}).",
    ),
    client(
        Row::TokenDisabled,
        "token-disabled",
        Status::Forbidden,
        "the token is switched off",
        "The token is disabled. Use another token, or have this one enabled. You can manage your tokens in the Self Service Portal ({portal}).",
    ),
    client(
        Row::TokenExpired,
        "token-expired",
        Status::Forbidden,
        "the token's last day has passed",
        "The token has expired. Use a newer token. You can manage your tokens in the Self Service Portal ({portal}).",
    ),
    client(
        Row::ProductMismatch,
        "product-mismatch",
        Status::Forbidden,
        "the token belongs to another product",
        "The token is for another product. Use a token for this product. You can see which products a token is for in the Self Service Portal ({portal}).",
    ),
    client(
        Row::IpNotAllowed,
        "ip-not-allowed",
        Status::Forbidden,
        "the client address is outside the token's networks",
        "The token cannot be used from this IP address. Send the request from an allowed address, or have this one added to the token's list. You can change the list in the Self Service Portal ({portal}).",
    ),
    client(
        Row::DomainNotAllowed,
        "domain-not-allowed",
        Status::Forbidden,
        "the Origin, else the Referer, is outside the token's domains",
        "The token cannot be used from this web domain. Send the request from an allowed domain, or have this one added to the token's list. You can change the list in the Self Service Portal ({portal}).",
    ),
    client(
        Row::RateExceeded,
        "rate-exceeded",
        Status::TooManyRequests,
        "a rate of the account, its plan, the token or the product is used up",
        "Too many requests. Wait for the number of seconds in the Retry-After header, then send the request again. For more information, see Rate limiting ({rate_page}).",
    ),
    client(
        Row::QuotaExceeded,
        "quota-exceeded",
        Status::TooManyRequests,
        "the quota of a day or month of the account, the token or the product is used up",
        "The quota of this day or month is used up. It is renewed after the number of seconds in the Retry-After header, at midnight UTC. You can ask for a larger plan in the Self Service Portal ({portal}). For more information, see Rate limiting ({rate_page}).",
    ),
    client(
        Row::ConcurrencyExceeded,
        "concurrency-exceeded",
        Status::TooManyRequests,
        "as many requests of the account are in flight as it may have",
        "Too many requests at the same time. Wait until one of your requests is answered, or for the number of seconds in the Retry-After header, then send the request again. For more information, see Rate limiting ({rate_page}).",
    ),
    client(
        Row::AcceptUnsupported,
        "accept-unsupported",
        Status::NotAcceptable,
        "nothing in Accept can be served",
        "None of the formats in the Accept header is supported. Send Accept: {accept}, or leave the header out. For more information, see Supported data formats ({formats_page}).",
    ),
    client(
        Row::ContentTypeUnsupported,
        "content-type-unsupported",
        Status::UnsupportedMediaType,
        "a missing or another media type, or a content encoding",
        "The format of the body is missing or not supported. Send the header Content-Type: {content_type} and the body in UTF-8, without compression. For more information, see Supported data formats ({formats_page}).",
    ),
    client(
        Row::TimeoutInvalid,
        "timeout-invalid",
        Status::BadRequest,
        "the deadline header is not a whole number of seconds in its range",
        "The header {deadline_header} is not valid. Send a whole number of seconds from {deadline_min} to {deadline_max}, or leave the header out.",
    ),
    client(
        Row::ParameterInvalid,
        "parameter-invalid",
        Status::BadRequest,
        "a path or query parameter is missing, unknown where only known ones may be sent, repeated, or breaks its rule",
        "A parameter in the address of the request is not valid: {parameter}. Correct that and send the request again.",
    ),
    client(
        Row::ReferenceIdInvalid,
        "reference-id-invalid",
        Status::BadRequest,
        "the reference header breaks its pattern",
        "The header Reference-ID is not valid. Use 1 to 256 of these characters: letters without accents, digits, spaces and _-/:.,().",
    ),
    client(
        Row::AddMetadataInvalid,
        "add-metadata-invalid",
        Status::BadRequest,
        "the metadata switch is not a boolean",
        "The header Add-Metadata is not valid. Send true or false, or leave the header out.",
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
        "The body is not valid JSON{position}. Send one JSON document in UTF-8, without duplicate names in an object, nested at most 32 levels deep.",
    ),
    client(
        Row::BodyInvalid,
        "body-invalid",
        Status::BadRequest,
        "the body breaks another rule of the product's schema",
        "The body does not follow the rules of this endpoint: {rules}. Correct that and send it again.",
    ),
    client(
        Row::IdempotencyKeyReused,
        "idempotency-key-reused",
        Status::BadRequest,
        "the key was used for another request of this account",
        "The key of this request was used for another request. Use a new key for each request, and send a key again only with the same request.",
    ),
    client(
        Row::CreditsInsufficient,
        "credits-insufficient",
        Status::Forbidden,
        "the balance cannot cover the highest price of this request",
        "There are not enough credits for this request. Buy more credits, or request fewer extras. You can buy credits in the Self Service Portal ({portal}).",
    ),
    blamed(
        Fault::Gateway,
        client(
            Row::CreditsUnavailable,
            "credits-unavailable",
            Status::ServiceUnavailable,
            "the books that could say what the balance is cannot be reached",
            "The balance of the account cannot be checked at the moment. Try again later; nothing was charged. You can see the state of the service on its status page ({status_page}).",
        ),
    ),
    client(
        Row::DeadlineExceeded,
        "deadline-exceeded",
        Status::RequestTimeout,
        "no answer within the request's own deadline",
        "The lookup took longer than the time allowed. Send the request again, or allow more time with the header {deadline_header}. Nothing was charged.",
    ),
    blamed(
        Fault::Upstream,
        client(
            Row::UpstreamUnavailable,
            "upstream-unavailable",
            Status::ServiceUnavailable,
            "the backend cannot be reached, refuses, or says 502, 503 or 504",
            "The lookup service is temporarily unavailable. Try again later; nothing was charged. You can see the state of the service on its status page ({status_page}).",
        ),
    ),
    blamed(
        Fault::Upstream,
        client(
            Row::UpstreamFailed,
            "upstream-failed",
            Status::InternalServerError,
            "the backend answered something that cannot be passed on",
            "The lookup failed because of an error on our side. Try again later; nothing was charged. If the problem persists, contact support ({support}) and give them the Transaction-Id of this answer.",
        ),
    ),
    closing(blamed(
        Fault::Gateway,
        client(
            Row::Internal,
            "internal",
            Status::InternalServerError,
            "a fault of the gateway's own",
            "Something went wrong on our side. Try again later; nothing was charged. If the problem persists, contact support ({support}) and give them the Transaction-Id of this answer.",
        ),
    )),
];

/// What only this very answer knows, beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    None,
    /// Whole seconds for `Retry-After` (RFC 9110, section 10.2.3), never 0.
    RetryAfter(u32),
    /// The path is known with other methods: the index of the path in the policy.
    Allow(u16),
    /// The rules that the body breaks, for `{rules}`, and for `{field}` the field of the first.
    Broken(Broken),
    /// What is wrong with a parameter, for `{parameter}`: the parameter's place among those of the route.
    Parameter {
        index: u16,
        flaw: ParameterFlaw,
    },
    /// Where the body stops being a document in a format without lines, for `{position}`: the byte, from 1.
    AtByte(u32),
    /// Where the body stops being a document, for `{position}`: line and column, from 1.
    At {
        line: u32,
        column: u32,
    },
}

/// What is wrong with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterFlaw {
    Missing,
    Repeated,
    /// Its value breaks its rule.
    Invalid,
    /// The route has no such parameter.
    Unknown,
}

/// A rule that a field of the body breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Its index in the product's list of fields; `None` is the body as a whole.
    pub field: Option<u16>,
    /// The index of the rule in the product's list of rules.
    pub rule: u16,
}

/// Broken rules that an answer names at most.
pub const MAX_BREACHES: usize = 8;

/// What is wrong with a body, in the order of its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    breaches: [Option<Breach>; MAX_BREACHES],
    /// Whether there were more.
    more: bool,
}

impl Broken {
    /// A body that was too much work to be judged, so that nothing can be named.
    pub const TOO_MUCH_WORK: Broken = Broken { breaches: [None; MAX_BREACHES], more: true };

    /// Adds a broken rule, once.
    pub fn push(&mut self, breach: Breach) {
        if self.iter().any(|known| known == breach) {
            return;
        }
        match self.breaches.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(breach),
            None => self.more = true,
        }
    }

    /// Those that are named.
    pub fn iter(&self) -> impl Iterator<Item = Breach> {
        self.breaches.iter().flatten().copied()
    }

    /// Whether there were more than are named.
    pub fn has_more(&self) -> bool {
        self.more
    }
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

/// The position of the operator's own rows in the table.
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

/// The table as Markdown, as docs/contract.md has it.
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
