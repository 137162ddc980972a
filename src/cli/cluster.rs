//! `tollgate cluster status`: which gateways share the store, and which of its versions each has in force.

use std::fmt::Write as _;
use std::io::Write;

use clap::{Args, Subcommand};

use super::manage::{Access, show};
use crate::operate::api::client::Asked;
use crate::operate::api::nodes::{Node, Nodes};
use crate::operate::failure::Failure;

/// What is asked of the gateways.
#[derive(Args)]
pub struct Command {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Show which gateways share the store, and which version each has in force.
    Status(Access),
}

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: &Command, out: &mut impl Write) -> Result<(), Failure> {
    let Act::Status(access) = &command.act;
    let found: Nodes = access.open()?.ask(&Asked::get("/nodes"))?;
    show(&found, access.json, text, out)
}

fn text(found: &Nodes) -> String {
    let Nodes { version, there, in_force_on, nodes } = found;
    let mut text = format!("version {version} is in force on {in_force_on} of {there} gateways\n");
    for Node { name, program, started_at, version, quiet_seconds, is_there, .. } in nodes {
        let seen = if *is_there { String::new() } else { format!(", not seen for {quiet_seconds} s") };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<32}version {version}, tollgate {program} since {started_at}{seen}");
    }
    text
}
