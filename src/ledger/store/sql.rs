//! What operations need of a database, on SQLite and on PostgreSQL: statements with values, rows, and transactions. It
//! looks like rusqlite, whose statements these are on SQLite.
//!
//! Statements are written once, in what both engines have in common, with `?1` for their values; `dialect.rs` has the
//! few words that differ. On PostgreSQL nothing outlasts a transaction: no statement is prepared by name and nothing is
//! set for a session, so that a pooler may stand between (`link.rs`).

mod connection;
mod dialect;
pub mod error;
mod link;
mod listening;
mod lost;
mod rows;
mod session;
pub mod settings;
mod tls;
pub(crate) mod value;

pub use connection::{Connection, Statement, Transaction};
pub use dialect::Engine;
pub use error::{Error, Result};
pub use listening::Listener;
pub use lost::Mark;
pub use rows::{OptionalExtension, Row, Rows};
pub use settings::PostgresSettings;
pub(crate) use value::params;
pub use value::{AnyValue, ToSql, params_from_iter};
