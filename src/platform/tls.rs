//! Certificates, keys and authorities: from the operator's files to the configurations of
//! handshakes.
//!
//! `files.rs` reads PEM files and says what is wrong with them, `server.rs` and `client.rs` make
//! the configurations for clients and for backends, and `follow.rs` follows files that change. No
//! connection is made here: handshakes with clients are in `downstream/accept.rs`, those with
//! backends in `upstream/connector.rs`.

pub mod client;
mod files;
pub mod follow;
mod provider;
pub mod server;
pub(crate) mod stream;

pub use files::{FileFault, Overdue, Pair};
pub use provider::provider;
