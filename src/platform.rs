//! Building blocks of the process: TLS, file descriptors, operators' files, the channel to another process, the
//! supervisor, the process log, clocks, threads that work in turns, and pacing of background work. Nothing here knows
//! about requests, products or accounts.

pub mod answer_key;
pub(crate) mod channel;
pub mod clock;
pub mod constant_time;
pub mod count;
pub mod descriptors;
pub mod files;
pub mod logging;
pub mod machine;
pub mod mail;
pub(crate) mod pace;
pub mod password;
pub mod portal_key;
pub(crate) mod post;
pub(crate) mod priority;
pub(crate) mod sheet;
pub(crate) mod supervisor;
pub mod tls;
pub mod totp;
pub(crate) mod turns;
pub mod webhook;
