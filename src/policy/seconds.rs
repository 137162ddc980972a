//! Times in whole seconds, for days, notices and histories.

/// Seconds since 1970.
pub type Seconds = u64;
