//! The commands of the command line, one file each.

pub mod credits;
pub mod status;
