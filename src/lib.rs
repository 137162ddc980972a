//! Tollgate, an edge gateway for metered lookup APIs, built on Pingora.
//!
//! It stands in front of a lookup backend and lets a request through only when its token, product,
//! IP network, domain, rate, headers and body are right. Whatever goes wrong, the client gets one
//! error object with one of a closed set of statuses.
//!
//! The modules in reading order: [`problem`] is the table of refusals, [`admit`] the order of the
//! checks, [`head`] and [`check`] what is checked, [`account`] and [`quota`] who is asking and what
//! they have used, [`policy`] everything compiled, [`config`] where it comes from; [`upstream`] which
//! server a request may have; [`gateway`] is one request's story, which `http1`, `http2`,
//! [`exchange`], `translate` and [`respond`] carry out.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod downstream;
pub mod gateway;
pub mod ledger;
pub mod operate;
pub mod platform;
pub mod policy;
pub mod site;
pub mod telemetry;
pub mod upstream;
