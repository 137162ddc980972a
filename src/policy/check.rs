//! The checks: each a value that was parsed at start-up and cannot be wrong, with one method that
//! passes or returns a problem. None depends on the order of the checks, which is in `admit.rs`.

pub mod body;
pub mod domain;
pub mod header;
pub mod jwt;
pub mod network;
pub mod number;
pub mod parameter;
pub mod token;
pub mod watch;
