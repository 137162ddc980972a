//! Certificates, keys and authorities: from the operator's files to what handshakes need.
//!
//! `files.rs` reads PEM and says what is wrong with it, `server.rs` and `client.rs` put together
//! what clients are met with and what backends are, and `follow.rs` keeps up with files that change.
//! No connection is made here: handshakes with clients are `arrival.rs`, with backends `contact.rs`.

pub mod client;
mod files;
pub mod follow;
pub mod server;
pub(crate) mod stream;

use std::sync::{Arc, LazyLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};

pub use files::{FileFault, Overdue, Pair};

/// The versions that are spoken, on both sides; rustls knows no older ones.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The algorithms.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
