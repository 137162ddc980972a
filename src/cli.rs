//! The commands of the command line, one file each.

pub mod accounts;
pub mod audit;
pub mod credits;
pub mod keys;
pub mod lists;
mod manage;
pub mod status;
pub mod tokens;
