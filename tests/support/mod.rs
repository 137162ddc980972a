//! What the tests share: the gateway as a process, clients for both versions of HTTP, mock
//! backends, and the checks that every response has to pass.

pub mod api;
mod backend;
pub mod calls;
pub mod changes;
mod client;
#[path = "../../src/ledger/store/tests/cluster.rs"]
pub mod cluster;
mod configuration;
pub mod frames;
mod gateway;
mod http2;
pub mod in_process;
pub mod mail;
mod paying;
mod response;
mod tls;
mod wire;

pub use backend::{ANSWER, After, Backend, DRIP, Peer};
pub use client::{Client, Request, VERSIONS, Version};
pub use configuration::{Configuration, token};
pub use gateway::{Gateway, closed_port, directory, send_signal};
pub use http2::Http2;
pub use paying::{Scratch, paying};
pub use response::Response;
pub use tls::{Authority, Issued, TlsBackend, TlsSettings};
pub use wire::Wire;

/// A word that is part of every token, number and reference of the tests, and that must not be in
/// anything the program writes about them.
pub const CANARY: &str = "c4n4ry";

/// Waits until a condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// How long a test waits for something that has to happen, before it fails.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
