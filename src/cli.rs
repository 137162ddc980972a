//! The commands of the command line, one file each.

pub mod accounts;
mod adopt;
mod alert_settings;
pub mod alerts;
pub mod audit;
pub mod billing;
pub mod cluster;
pub mod credits;
mod export;
mod import;
pub mod init;
pub mod keys;
pub mod lists;
mod manage;
pub mod portal;
mod progress;
pub mod refusals;
mod running;
pub mod secret;
pub mod shadow;
pub mod stage;
pub mod status;
pub mod test;
pub mod tokens;
pub mod usage;
