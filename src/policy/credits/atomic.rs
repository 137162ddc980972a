//! The atomics of a balance; the model checker replaces them with its own.

pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicU64, Ordering};
