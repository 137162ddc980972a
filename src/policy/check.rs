//! The checks: each a value that was parsed at start-up and cannot be wrong, with one method that
//! passes or returns a problem. None knows the order in which they are asked (`admit.rs` does).

pub mod body;
pub mod domain;
pub mod header;
pub mod network;
