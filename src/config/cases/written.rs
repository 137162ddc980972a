//! The keys of `tests` as they are written.
//!
//! They are checked in `config/cases.rs`.
#![deny(clippy::missing_docs_in_private_items)]

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::units::{Arrival, BackendUse, HeaderText, Method, Parsed, Target, Text};
use crate::config::yaml::{Entries, Listed, Written};
use crate::policy::http::head::Peer;

/// A request and what must come of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "request", "expect"]))]
pub struct Test {
    /// Its name, which messages show. No two tests have the same.
    pub name: Written<String>,
    /// The request, which is judged and never sent.
    pub request: Written<Request>,
    /// The credits that the account has of each product before the request. Default: what the configuration grants
    /// it first.
    #[schemars(range(min = 0, max = crate::policy::credits::balance::MAX_CREDITS))]
    pub credits: Written<u64>,
    /// What the backend would answer. Default: nothing is known of it, and only what the gateway decides before can
    /// be expected.
    pub answer: Written<MadeUpAnswer>,
    /// What must come of it: at least one of these.
    pub expect: Written<Expect>,
}

/// A request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["path"]))]
pub struct Request {
    /// The method. Default: GET, or POST with a body.
    pub method: Text<Method>,
    /// The path and query.
    pub path: Text<Target>,
    /// Headers by name. Nothing but Host and Content-Length is added. Default: none.
    #[schemars(extend("maxProperties" = crate::config::bounds::MAX_TEST_HEADERS))]
    pub headers: Entries<Parsed<HeaderText>>,
    /// The body: a text as it is, or values that are sent as JSON. Default: none.
    pub body: Written<serde_json::Value>,
    /// The account that asks, instead of a header with a token; with `token`. Default: the one that the headers say.
    pub account: Written<String>,
    /// The name of one of the account's tokens. Where the request carries it is the product's matter.
    pub token: Written<String>,
    /// The address that it comes from, or unix for a Unix socket. Default: 127.0.0.1.
    pub from: Text<Peer>,
    /// Whether it is a request of HTTP/2. Default: false.
    pub http2: Written<bool>,
    /// When it comes: a day (its beginning, in UTC) or a time as in RFC 3339. Default: when the tests run.
    pub at: Text<Arrival>,
}

/// A made-up answer of the backend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MadeUpAnswer {
    /// Its status. Default: 200.
    #[schemars(range(min = 200, max = 599))]
    pub status: Written<u16>,
    /// Its headers by name; Content-Length is added. Default: none.
    #[schemars(extend("maxProperties" = crate::config::bounds::MAX_TEST_HEADERS))]
    pub headers: Entries<Parsed<HeaderText>>,
    /// Its body: a text as it is, or values that are written as JSON. Default: none.
    pub body: Written<serde_json::Value>,
    /// No server of the backend can be reached, instead of an answer. Default: false.
    pub unreachable: Written<bool>,
}

/// What must come of a request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Expect {
    /// The status that the client gets.
    #[schemars(range(min = 100, max = 599))]
    pub status: Written<u16>,
    /// The slug of the problem that refuses the request; none if it must not be refused.
    pub problem: Written<String>,
    /// What the request costs, in credits.
    pub price: Written<u32>,
    /// The credits that are held before the backend is asked.
    pub held: Written<u32>,
    /// Headers of the client's answer, each with its exact value.
    #[schemars(extend("maxProperties" = crate::config::bounds::MAX_TEST_HEADERS))]
    pub headers: Entries<Parsed<HeaderText>>,
    /// Names of headers that the client's answer must not have.
    #[schemars(length(min = 1, max = crate::config::bounds::MAX_TEST_HEADERS))]
    pub absent_headers: Written<Listed<String>>,
    /// Whether the request goes to its upstream: asked or never.
    pub upstream: Text<BackendUse>,
}
