//! Tollgate, an edge gateway for metered lookup APIs, built on Pingora.
//!
//! It runs in front of a lookup backend and forwards a request only if its token, product, IP network, domain, rate,
//! headers and body are right. Whatever goes wrong, the client gets one error object with one of a closed set of
//! statuses (`docs/contract.md`).
//!
//! Each module of this crate is one room, and imports only rooms that are below it here; `tests/shape.rs` checks the
//! imports.
//!
//! | room | what it is responsible for |
//! |---|---|
//! | [`cli`] | the commands that do something themselves: credits, status |
//! | [`portal`] | customers and operators in a browser: pages over the management API, who people are |
//! | [`operate`] | the process: start, signals, reload, upgrade, the admin API, `explain`, tests of the configuration, the demo |
//! | [`config`] | the operator's YAML to a [`config::Config`], all mistakes at once |
//! | [`downstream`] | clients: listeners, HTTP/1, HTTP/2 and its abuse limits |
//! | [`gateway`] | one request's story: admit, body, hold, exchange, respond, settle; the snapshot it sees |
//! | [`site`] | what everybody may read: pages and the status, rendering and arithmetic only |
//! | [`upstream`] | backends: servers, health, breaker, connections, the request that is built, the answer that is read |
//! | [`ledger`] | credits written down: holds, charges, the thread that writes, the hand-over to a successor; `store`: accounts that change while it runs; `lease`: how several nodes will share credits |
//! | [`telemetry`] | counters, the access log, spans, the record of a request |
//! | [`platform`] | TLS, descriptors, files of operators, the process log, the clock, pacing |
//! | [`policy`] | the decision, pure: heads, problems, checks, accounts, rates, credits, prices, response bytes |
//!
//! **Which check, in which order, which answer**: [`policy::admit`] is the order, one line a check;
//! [`policy::problem`] is the table of answers, one row a refusal, in the same order.
//!
//! **Where a new one goes**
//!
//! * a check: a file in `policy/check/`, a line in [`policy::admit`], its name and rows in [`policy::observer`], a row in
//!   [`policy::problem`], and in `operate/explain/facts.rs` what it looked at;
//! * a problem: a row in [`policy::problem`] and its guide in `policy/problem/guide/`;
//! * a configuration key: a field of `written` in its topic's file of `config/`, its compiler and what is shown of it
//!   beside it, and an explained line in `config/gateway.yaml`;
//! * a page: a file in `site/pages/` and a template that extends `templates/base.html`;
//! * a command: a file in `cli/` (or in `operate/`, if it is about the running process) and a line in `main.rs`;
//! * an operation of the admin API: a row in `operate/admin/routes.rs`; of the management API: one in
//!   `operate/api/routes.rs`, whose handler's types are those of the document;
//! * a metric: `operate/metrics.rs`, or beside what it counts, and a line in `docs/observability.md`.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod downstream;
pub mod gateway;
pub mod ledger;
pub mod operate;
pub mod platform;
pub mod policy;
pub mod portal;
pub mod site;
pub mod telemetry;
pub mod upstream;
