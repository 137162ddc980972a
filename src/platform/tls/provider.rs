//! The versions and algorithms of TLS, for clients and backends.

use std::sync::{Arc, LazyLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};

/// The supported versions; rustls has no older ones.
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The algorithms.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// The algorithms, shared by all users.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
