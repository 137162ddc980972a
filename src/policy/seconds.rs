//! Times as whole seconds, which is how days, notices and histories count them.

/// Seconds since 1970.
pub type Seconds = u64;
