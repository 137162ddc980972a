//! `tollgate cluster status`: which gateways share the store, and which of its versions each has in force.

use std::fmt::Write as _;
use std::io::Write;

use clap::{Args, Subcommand};

use super::manage::{Access, show};
use crate::operate::api::client::Asked;
use crate::operate::api::nodes::{LeaseHolder, Node, Nodes, SharedCredits};
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
    let Nodes { version, there, in_force_on, nodes, credits } = found;
    let mut text = format!("version {version} is in force on {in_force_on} of {there} gateways\n");
    for Node { name, program, started_at, version, quiet_seconds, is_there, .. } in nodes {
        let seen = if *is_there { String::new() } else { format!(", not seen for {quiet_seconds} s") };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<32}version {version}, tollgate {program} since {started_at}{seen}");
    }
    if let Some(credits) = credits {
        text += &of_credits(credits);
    }
    text
}

fn of_credits(credits: &SharedCredits) -> String {
    let SharedCredits { epoch, open, unpaid, deficit, leases } = credits;
    let open = if *open { "leases can be taken" } else { "closed until all gateways were heard, or have ended" };
    let mut text = format!("\ncredits: epoch {epoch}, {open}; {unpaid} unpaid, {deficit} beyond what was granted\n");
    for LeaseHolder { id, name, state, declared, quiet_seconds, on_lease } in leases {
        let not_yet = if *declared { "" } else { ", not in this epoch yet" };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<32}{state:<10}{on_lease} on lease, heard {quiet_seconds} s ago{not_yet}, {id}");
    }
    text
}
