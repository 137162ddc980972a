//! Who people are.

pub mod session;

use super::router::Page;

/// The pages of signing in.
pub fn pages() -> Vec<Page> {
    Vec::new()
}
