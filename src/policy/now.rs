//! The time at which a request is judged, which is passed as an argument.

use std::time::Duration;

/// The time at which a request is judged. Everything that depends on time takes it as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the process started, by the monotonic clock: clock jumps do not move it.
    pub monotonic: Duration,
    /// Seconds since 1970-01-01 UTC, for expiry days and for the times clients read.
    pub unix_seconds: u64,
    /// Nanoseconds since that second began: what is rounded to whole seconds needs them.
    pub unix_nanos: u32,
}
