//! The atomics that a balance is made of; the model checker puts its own in their place.

pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicU64, Ordering};
