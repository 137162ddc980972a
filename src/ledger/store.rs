//! The store: accounts, tokens, lists, plans, management keys and the people of the portal, which change while the gateway
//! runs, an audit of their changes, and the change log from which the policy in force is updated.
//!
//! An operation is a function on a [`Writing`], one transaction that ends by incrementing the version: it writes the
//! rows, a mark in the change log and a row of the audit, or nothing at all. [`Store`] runs operations on one thread
//! and reads on another, so that neither waits for the other, and nothing here touches the ledger's file. Time and
//! randomness are arguments. The SQL is what SQLite and PostgreSQL have in common, by way of `sql`; the store is one or
//! the other, and several gateways may share one of PostgreSQL's.
//!
//! What a row means for requests is decided by the configuration's compiler.

pub mod accounts;
pub mod act;
pub mod alert_settings;
pub mod alerts;
pub mod attempts;
pub mod audit;
pub mod billing;
pub mod change_mail;
pub mod changes;
pub mod error;
pub mod export;
mod fields;
pub mod find;
pub mod handle;
pub mod import;
pub mod kept_answers;
pub mod keys;
pub mod list_before;
pub mod lists;
pub mod location;
pub mod memberships;
mod migrations;
pub mod nodes;
mod open;
pub mod people;
pub mod plans;
pub mod randomness;
pub mod records;
pub mod refusals;
pub mod sessions;
pub mod sources;
pub(crate) mod sql;
mod terms;
#[cfg(test)]
pub(super) mod tests;
pub mod tickets;
pub mod tokens;
pub mod upkeep;
pub mod usage;
pub mod users;
pub mod whole;
pub mod writing;

pub use act::{Act, Idempotency, Via};
pub use error::StoreError;
pub use handle::Store;
pub use location::Location;
pub use open::{copy_of, open, open_to_read};
pub use sql::Connection;
pub use sql::settings::{Encryption, PostgresHost, PostgresPassword, PostgresSettings};
pub use writing::{Outcome, Writing};
