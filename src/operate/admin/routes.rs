//! The admin API as one table: method, path, parameters, summary, required access, and every
//! answer.
//!
//! The router, the lists in answers 404 and 405, and the OpenAPI document (`openapi.rs`) are made
//! from it, so that they cannot differ. The operations are in `admin.rs`.

use http::StatusCode;
use percent_encoding::percent_decode_str;

/// Methods of operations. GET includes HEAD (RFC 9110, section 9.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    /// The name of the method in HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }

    /// Whether a request with this method asks for the operation.
    fn accepts(self, method: &str) -> bool {
        method == self.name() || (self == Method::Get && method == "HEAD")
    }
}

/// The access that an operation requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody who can connect, with any host name: load balancers and supervisors.
    Anybody,
    /// Everybody who uses a host name of this listener, such as Prometheus.
    OwnName,
    /// Operators: with the token, if the configuration has one, and never a web page.
    Operator,
}

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Health,
    Readiness,
    Metrics,
    Document,
    Upstreams,
    Config,
    Reload,
    Upgrade,
    Shadow,
    StartShadow,
    PromoteShadow,
    DropShadow,
    Stage,
    PromoteStage,
    GoBack,
    Notices,
    Note,
    Maintenance,
    CloseNotice,
    Balances,
    Entries,
    BalancesOfAccount,
    Balance,
    History,
    Grant,
    Adjust,
}

/// The content of an answer, which determines its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Status,
    Readiness,
    /// Prometheus' text format or OpenMetrics.
    Metrics,
    Document,
    Upstreams,
    Config,
    Reloaded,
    Upgraded,
    Shadow,
    Shadowed,
    Stage,
    Staged,
    Notices,
    Notice,
    Balances,
    Balance,
    Entries,
    Corrected,
    Refusal,
}

/// The content of a request's body, which determines its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    ShadowStart,
    Notice,
    /// A grant or an adjustment, with an `Idempotency-Key`.
    Correction,
}

/// The type of a parameter of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Present or not; its value is ignored.
    Flag,
    /// A whole number, not negative.
    Number,
    Text,
    /// A time in the format of RFC 3339.
    Time,
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub about: &'static str,
}

/// One answer of an operation.
pub type Reply = (StatusCode, Content, &'static str);

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub method: Method,
    /// Segments in braces are parameters.
    pub path: &'static str,
    pub operation: Operation,
    pub access: Access,
    pub summary: &'static str,
    pub query: &'static [Parameter],
    pub takes: Takes,
    /// Beside those that every operation has: see [`Route::replies`].
    pub answers: &'static [Reply],
}

const REFUSED: Content = Content::Refusal;

const LIMIT: Parameter =
    Parameter { name: "limit", kind: Kind::Number, about: "The most rows. Default and maximum: 1000." };
const AFTER: Parameter = Parameter { name: "after", kind: Kind::Number, about: "Only rows with a greater id." };

const ACCOUNT: Parameter = Parameter { name: "account", kind: Kind::Text, about: "Only rows of this account." };
const SINCE: Parameter =
    Parameter { name: "since", kind: Kind::Time, about: "Only rows that were written at this time or later." };
const UNTIL: Parameter = Parameter { name: "until", kind: Kind::Time, about: "Only rows that were written before." };
const CONFIG: Parameter = Parameter {
    name: "config",
    kind: Kind::Text,
    about: "The full path of the configuration file: a process with another one refuses.",
};

const NO_ACCOUNT: Reply = (StatusCode::NOT_FOUND, REFUSED, "No account of this name has credits for it.");
const NO_LEDGER: Reply = (StatusCode::SERVICE_UNAVAILABLE, REFUSED, "The ledger cannot be used at the moment.");
const BAD_QUERY: Reply = (StatusCode::BAD_REQUEST, REFUSED, "A parameter of the query is not understood.");
const CORRECTED: &[Reply] = &[
    (StatusCode::CREATED, Content::Corrected, "It was written."),
    (StatusCode::OK, Content::Corrected, "It existed already, from an earlier request with this key."),
    (StatusCode::BAD_REQUEST, REFUSED, "The key or the body is missing or not understood."),
    NO_ACCOUNT,
    (StatusCode::CONFLICT, REFUSED, "The balance would be below zero, or more than can be counted."),
    (StatusCode::PAYLOAD_TOO_LARGE, REFUSED, "The body is over 64 KiB."),
    (StatusCode::UNPROCESSABLE_ENTITY, REFUSED, "The key belongs to another correction."),
    NO_LEDGER,
];

const NOTED: &[Reply] = &[
    (StatusCode::CREATED, Content::Notice, "It is on the page."),
    (StatusCode::BAD_REQUEST, REFUSED, "The body is not understood."),
    (StatusCode::CONFLICT, REFUSED, "As many notices are open as allowed."),
    (StatusCode::PAYLOAD_TOO_LARGE, REFUSED, "The body is over 64 KiB."),
    (StatusCode::UNPROCESSABLE_ENTITY, REFUSED, "No product has this name."),
    NO_LEDGER,
];

const NO_SHADOW: Reply = (
    StatusCode::CONFLICT,
    REFUSED,
    "Nothing was done: there is no candidate, its file is elsewhere or has changed, or the configuration is part of the program.",
);
const NOT_STAGED: Reply =
    (StatusCode::CONFLICT, REFUSED, "Nothing was done: no configuration is staged, or it is part of the program.");
const NO_TOKEN: Reply = (StatusCode::UNAUTHORIZED, REFUSED, "The admin token is missing or wrong.");
const NOT_ALLOWED: Reply = (
    StatusCode::FORBIDDEN,
    REFUSED,
    "The request comes from a web page, or other machines can reach this listener and it has no token.",
);
const FOREIGN_NAME: Reply = (
    StatusCode::MISDIRECTED_REQUEST,
    REFUSED,
    "The Host is not a name of this listener; `admin_hosts` lists further ones.",
);
const UNREADABLE: Reply = (StatusCode::BAD_REQUEST, REFUSED, "The request is malformed.");

/// Every operation, in the order of the document.
pub const ROUTES: [Route; 26] = [
    Route {
        method: Method::Get,
        path: "/healthz",
        operation: Operation::Health,
        access: Access::Anybody,
        summary: "Whether the process is alive",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Status, "The process is alive.")],
    },
    Route {
        method: Method::Get,
        path: "/readyz",
        operation: Operation::Readiness,
        access: Access::Anybody,
        summary: "Whether clients should be sent here",
        query: &[Parameter { name: "verbose", kind: Kind::Flag, about: "Include all checks; for operators." }],
        takes: Takes::Nothing,
        answers: &[
            (StatusCode::OK, Content::Readiness, "The process is ready."),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                Content::Readiness,
                "Not ready: the process is about to end, or every request would be refused.",
            ),
            NO_TOKEN,
            NOT_ALLOWED,
            FOREIGN_NAME,
        ],
    },
    Route {
        method: Method::Get,
        path: "/metrics",
        operation: Operation::Metrics,
        access: Access::OwnName,
        summary: "Metrics for Prometheus",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Metrics, "All metrics.")],
    },
    Route {
        method: Method::Get,
        path: "/openapi.json",
        operation: Operation::Document,
        access: Access::OwnName,
        summary: "This document",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Document, "An OpenAPI 3.1 document of the admin API.")],
    },
    Route {
        method: Method::Get,
        path: "/upstreams",
        operation: Operation::Upstreams,
        access: Access::Operator,
        summary: "The state of every upstream and server",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Upstreams, "Upstreams with their servers.")],
    },
    Route {
        method: Method::Get,
        path: "/config",
        operation: Operation::Config,
        access: Access::Operator,
        summary: "The configuration in force, without its secrets",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Config, "The configuration with its defaults.")],
    },
    Route {
        method: Method::Post,
        path: "/reload",
        operation: Operation::Reload,
        access: Access::Operator,
        summary: "Reload the configuration, and reopen the access log",
        query: &[CONFIG],
        takes: Takes::Nothing,
        answers: &[
            (StatusCode::OK, Content::Reloaded, "The configuration is in force."),
            (
                StatusCode::CONFLICT,
                REFUSED,
                "The configuration is part of the program, or this process has another one.",
            ),
            (StatusCode::UNPROCESSABLE_ENTITY, REFUSED, "The configuration has mistakes; nothing was changed."),
        ],
    },
    Route {
        method: Method::Post,
        path: "/upgrade",
        operation: Operation::Upgrade,
        access: Access::Operator,
        summary: "Hand over to a new process of the program",
        query: &[CONFIG],
        takes: Takes::Nothing,
        answers: &[
            (StatusCode::OK, Content::Upgraded, "The new process serves."),
            (StatusCode::CONFLICT, REFUSED, "The new process does not serve; nothing was changed."),
        ],
    },
    Route {
        method: Method::Get,
        path: "/shadow",
        operation: Operation::Shadow,
        access: Access::Operator,
        summary: "What the candidate has found that judges beside the configuration in force",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Shadow, "The candidate that judges, or the last that did.")],
    },
    Route {
        method: Method::Post,
        path: "/shadow/start",
        operation: Operation::StartShadow,
        access: Access::Operator,
        summary: "Have a candidate judge requests beside the configuration in force, without effect",
        query: &[],
        takes: Takes::ShadowStart,
        answers: &[
            (StatusCode::OK, Content::Shadowed, "It judges from now on."),
            (StatusCode::BAD_REQUEST, REFUSED, "The body is not understood."),
            NO_SHADOW,
            (StatusCode::PAYLOAD_TOO_LARGE, REFUSED, "The body is over 64 KiB."),
            (StatusCode::UNPROCESSABLE_ENTITY, REFUSED, "The candidate has mistakes; nothing was started."),
        ],
    },
    Route {
        method: Method::Post,
        path: "/shadow/promote",
        operation: Operation::PromoteShadow,
        access: Access::Operator,
        summary: "Put the candidate in force, in place of the configuration's file",
        query: &[],
        takes: Takes::Nothing,
        answers: &[
            (StatusCode::OK, Content::Shadowed, "It is in force."),
            NO_SHADOW,
            (StatusCode::UNPROCESSABLE_ENTITY, REFUSED, "The candidate has mistakes; nothing was changed."),
        ],
    },
    Route {
        method: Method::Post,
        path: "/shadow/drop",
        operation: Operation::DropShadow,
        access: Access::Operator,
        summary: "Let the candidate go",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Shadowed, "It judges no more."), NO_SHADOW],
    },
    Route {
        method: Method::Get,
        path: "/stage",
        operation: Operation::Stage,
        access: Access::Operator,
        summary: "What has come of the configuration that is in force for a share of the accounts",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Stage, "The one that is staged, or the last that was.")],
    },
    Route {
        method: Method::Post,
        path: "/stage/promote",
        operation: Operation::PromoteStage,
        access: Access::Operator,
        summary: "Put the staged configuration in force for all accounts",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Staged, "It is in force for all."), NOT_STAGED],
    },
    Route {
        method: Method::Post,
        path: "/stage/back",
        operation: Operation::GoBack,
        access: Access::Operator,
        summary: "Put the configuration before in force for all accounts again",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Staged, "It is in force for all."), NOT_STAGED],
    },
    Route {
        method: Method::Get,
        path: "/status/notices",
        operation: Operation::Notices,
        access: Access::Operator,
        summary: "The notes and the maintenance of the status page",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Notices, "All of them, with their numbers."), NO_LEDGER],
    },
    Route {
        method: Method::Post,
        path: "/status/notes",
        operation: Operation::Note,
        access: Access::Operator,
        summary: "Put a note on the status page",
        query: &[],
        takes: Takes::Notice,
        answers: NOTED,
    },
    Route {
        method: Method::Post,
        path: "/status/maintenance",
        operation: Operation::Maintenance,
        access: Access::Operator,
        summary: "Announce maintenance on the status page",
        query: &[],
        takes: Takes::Notice,
        answers: NOTED,
    },
    Route {
        method: Method::Post,
        path: "/status/notices/{notice}/close",
        operation: Operation::CloseNotice,
        access: Access::Operator,
        summary: "Close a note, or end or cancel maintenance",
        query: &[],
        takes: Takes::Nothing,
        answers: &[
            (StatusCode::OK, Content::Notice, "It is closed."),
            (StatusCode::NOT_FOUND, REFUSED, "No open notice has this number."),
            NO_LEDGER,
        ],
    },
    Route {
        method: Method::Get,
        path: "/credits",
        operation: Operation::Balances,
        access: Access::Operator,
        summary: "The balances of all accounts",
        query: &[
            Parameter { name: "skip", kind: Kind::Number, about: "Rows to leave out at the start. Default: 0." },
            LIMIT,
        ],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Balances, "Balances in a fixed order."), BAD_QUERY],
    },
    Route {
        method: Method::Get,
        path: "/credits/entries",
        operation: Operation::Entries,
        access: Access::Operator,
        summary: "The rows of the ledger, the oldest first",
        query: &[AFTER, LIMIT, ACCOUNT, SINCE, UNTIL],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Entries, "Rows; an empty list after the last."), BAD_QUERY, NO_LEDGER],
    },
    Route {
        method: Method::Get,
        path: "/accounts/{account}/credits",
        operation: Operation::BalancesOfAccount,
        access: Access::Operator,
        summary: "The balances of an account",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Balances, "One balance for each product."), NO_ACCOUNT],
    },
    Route {
        method: Method::Get,
        path: "/accounts/{account}/credits/{product}",
        operation: Operation::Balance,
        access: Access::Operator,
        summary: "The balance of an account for a product",
        query: &[],
        takes: Takes::Nothing,
        answers: &[(StatusCode::OK, Content::Balance, "The balance."), NO_ACCOUNT],
    },
    Route {
        method: Method::Get,
        path: "/accounts/{account}/credits/{product}/history",
        operation: Operation::History,
        access: Access::Operator,
        summary: "The rows of an account's product, the oldest first",
        query: &[AFTER, LIMIT, SINCE, UNTIL],
        takes: Takes::Nothing,
        answers: &[
            (StatusCode::OK, Content::Entries, "Rows; an empty list after the last."),
            BAD_QUERY,
            NO_ACCOUNT,
            NO_LEDGER,
        ],
    },
    Route {
        method: Method::Post,
        path: "/accounts/{account}/credits/{product}/grants",
        operation: Operation::Grant,
        access: Access::Operator,
        summary: "Grant an account credits",
        query: &[],
        takes: Takes::Correction,
        answers: CORRECTED,
    },
    Route {
        method: Method::Post,
        path: "/accounts/{account}/credits/{product}/adjustments",
        operation: Operation::Adjust,
        access: Access::Operator,
        summary: "Adjust an account's credits up or down",
        query: &[],
        takes: Takes::Correction,
        answers: CORRECTED,
    },
];

/// The result of routing a request.
#[derive(Debug)]
pub enum Found {
    /// The operation, and the values of its path's parameters in their order.
    Route(&'static Route, Vec<String>),
    /// The path has other methods: the value of `Allow`.
    OtherMethod(String),
    Nothing,
}

/// Finds the operation of a request; `path` has no query.
pub fn find(method: &str, path: &str) -> Found {
    let mut allowed: Vec<&str> = Vec::new();
    for route in &ROUTES {
        let Some(values) = route.matches(path) else { continue };
        if route.method.accepts(method) {
            return Found::Route(route, values);
        }
        allowed.extend([route.method.name()].into_iter().chain((route.method == Method::Get).then_some("HEAD")));
    }
    if allowed.is_empty() { Found::Nothing } else { Found::OtherMethod(allowed.join(", ")) }
}

/// Every path once.
pub fn paths() -> impl Iterator<Item = &'static str> {
    let is_first = |number: usize, path: &str| ROUTES.iter().take(number).all(|route| route.path != path);
    ROUTES.iter().enumerate().filter(move |(number, route)| is_first(*number, route.path)).map(|(_, route)| route.path)
}

impl Route {
    /// The values of the parameters, if the path is one of this route.
    fn matches(&self, path: &str) -> Option<Vec<String>> {
        let mut values = Vec::new();
        let mut segments = path.split('/');
        for wanted in self.path.split('/') {
            let segment = segments.next()?;
            if wanted.starts_with('{') {
                values
                    .push(percent_decode_str(segment).decode_utf8().ok().filter(|text| !text.is_empty())?.into_owned());
            } else if wanted != segment {
                return None;
            }
        }
        segments.next().is_none().then_some(values)
    }

    /// The names of the path's parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// All answers: those of the operation, and those of its access and parameters.
    pub fn replies(&self) -> impl Iterator<Item = Reply> {
        let of_access: &[Reply] = match self.access {
            Access::Anybody => &[],
            Access::OwnName => &[FOREIGN_NAME],
            Access::Operator => &[NO_TOKEN, NOT_ALLOWED, FOREIGN_NAME],
        };
        self.answers
            .iter()
            .chain(of_access)
            .chain([&UNREADABLE].into_iter().filter(|(status, ..)| self.lacks(*status)))
            .copied()
    }

    fn lacks(&self, status: StatusCode) -> bool {
        self.answers.iter().all(|(known, ..)| *known != status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_its_operation() {
        for (method, path, expected) in [
            ("GET", "/healthz", "Health"),
            ("HEAD", "/healthz", "Health"),
            ("POST", "/healthz", "405 GET, HEAD"),
            ("GET", "/reload", "405 POST"),
            ("HEAD", "/reload", "405 POST"),
            ("GET", "/nothing", "404"),
            ("GET", "/", "404"),
            ("GET", "/healthz/", "404"),
            ("GET", "//healthz", "404"),
            ("GET", "/credits", "Balances"),
            ("GET", "/credits/entries", "Entries"),
            ("GET", "/accounts/a%2Fb%20c/credits", "BalancesOfAccount a/b c"),
            ("GET", "/accounts//credits", "404"),
            ("GET", "/accounts/%ff/credits", "404"),
            ("GET", "/accounts/a/credits/plate", "Balance a plate"),
            ("POST", "/accounts/a/credits/plate/grants", "Grant a plate"),
            ("PUT", "/accounts/a/credits/plate/grants", "405 POST"),
            ("POST", "/status/notices/7/close", "CloseNotice 7"),
        ] {
            let found = match find(method, path) {
                Found::Route(route, values) => {
                    values.iter().fold(format!("{:?}", route.operation), |text, value| format!("{text} {value}"))
                }
                Found::OtherMethod(allowed) => format!("405 {allowed}"),
                Found::Nothing => "404".to_owned(),
            };
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn every_row_is_the_only_one_of_its_method_path_and_operation() {
        for (number, route) in ROUTES.iter().enumerate() {
            for other in ROUTES.iter().skip(number + 1) {
                assert!((route.method, route.path) != (other.method, other.path), "{}", route.path);
                assert!(route.operation != other.operation, "{:?}", route.operation);
            }
        }
        assert_eq!(paths().count(), ROUTES.len(), "no path has two methods yet");
    }
}
