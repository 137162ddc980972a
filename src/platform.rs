//! What the process stands on: TLS, file descriptors, the line to another process, the supervisor, the process log,
//! clocks, and pacing of work that can wait. Nothing here knows of requests, products or accounts.

pub(crate) mod channel;
pub mod clock;
pub mod descriptors;
pub mod files;
pub mod logging;
pub(crate) mod pace;
pub(crate) mod supervisor;
pub mod tls;
