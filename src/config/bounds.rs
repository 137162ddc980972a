//! Ranges of numbers, for the types of the configuration and for its compilers.

/// The most threads.
pub const MAX_WORKERS: usize = 1024;

/// The most listeners of one gateway.
pub const MAX_LISTENERS: usize = 64;

/// The largest possible limit of a header's value in bytes.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The greatest weight of a server, which bounds the length of the plan of turns.
pub const MAX_WEIGHT: u32 = 100;

/// The most requests at a time that a server can be given.
pub const MAX_REQUESTS: u32 = 1_000_000;

/// The most checks or failures in a row that can be waited for.
pub const MAX_IN_A_ROW: u32 = 1000;

/// The most further names of the admin listener.
pub const MAX_ADMIN_HOSTS: usize = 100;

/// The most tests of a configuration.
pub const MAX_TESTS: usize = 1000;

/// The most headers of the request of a test, of its answer, or of what it expects.
pub const MAX_TEST_HEADERS: usize = 64;
