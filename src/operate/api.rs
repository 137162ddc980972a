//! The management API: what operators, customers and their programs change while the gateway runs.
//!
//! It is a listener of its own, with TLS if wanted, and takes management keys alone, never tokens of
//! lookups. Which operations there are, who may ask for them, and what each takes and answers is one table
//! (`routes.rs`), from which the router, the OpenAPI document and the test that walks through all of them
//! are made. What an operation does to the store is the store's.

pub mod access;
pub mod accounts;
pub mod alerts;
pub mod audit;
pub mod billing;
pub mod body;
pub mod caller;
pub mod client;
pub mod conflicts;
pub mod connection;
pub mod credits;
pub mod find;
pub mod import;
#[cfg(test)]
mod import_tests;
pub mod in_force;
pub mod keys;
pub mod limits;
#[cfg(test)]
mod list_tests;
pub mod lists;
pub mod members;
pub mod nodes;
pub mod notices;
pub mod openapi;
pub mod people;
pub mod plans;
pub mod preview;
pub mod problem;
pub mod query;
pub mod refusal;
pub mod route;
pub mod router;
pub mod routes;
pub mod shadow;
pub mod shown;
pub mod sources;
pub mod span;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod token_test;
pub mod tokens;
pub mod usage;
pub mod users;
#[cfg(test)]
mod walk_tests;
