//! The ranges of numbers that the types of the configuration state and its compilers hold.

/// More threads than this help nobody.
pub const MAX_WORKERS: usize = 1024;

/// Listeners of one gateway.
pub const MAX_LISTENERS: usize = 64;

/// Bytes of a header's value that may be let pass at most.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The greatest weight of a server, which bounds the length of the plan of turns.
pub const MAX_WEIGHT: u32 = 100;

/// The most requests at a time that a server can be given.
pub const MAX_REQUESTS: u32 = 1_000_000;

/// The most checks or failures in a row that can be waited for.
pub const MAX_IN_A_ROW: u32 = 1000;

/// Names of the admin listener beside its own.
pub const MAX_ADMIN_HOSTS: usize = 100;
