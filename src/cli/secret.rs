//! New tokens for configurations, and the line that a configuration has for one.

use crate::policy::account::Digest;
use crate::policy::check::token::{PREFIX, sealed};

/// A token of 244 random bits, with a prefix that scanners for leaked secrets can look for, and a checksum.
pub fn new_token() -> String {
    sealed(&format!("{PREFIX}{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
}

/// The line of a token in `tokens` of an account.
pub fn token_line(name: &str, products: &[String], token: &[u8]) -> String {
    let (digest, products) = (Digest::of(token).text(), products.join(", "));
    format!("- {{ name: {name}, hash: \"{digest}\", products: [{products}] }}")
}
