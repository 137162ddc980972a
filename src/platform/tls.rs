//! Certificates, keys and authorities: from the operator's files to what handshakes need.
//!
//! `files.rs` reads PEM and says what is wrong with it, `server.rs` and `client.rs` put together
//! what clients are met with and what backends are, and `follow.rs` keeps up with files that change.
//! No connection is made here: handshakes with clients are `arrival.rs`, with backends `contact.rs`.

pub mod client;
mod files;
pub mod follow;
mod provider;
pub mod server;
pub(crate) mod stream;

pub use files::{FileFault, Overdue, Pair};
