//! `tollgate audit`: who has changed what in the store.

use std::io::Write;

use clap::{Args, Subcommand};

use super::manage::{Access, account, list, show};
use crate::operate::api::audit::ChainCheck;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::Audited;
use crate::operate::failure::Failure;
use crate::platform::count::counted;

/// What can be done with the audit.
#[derive(Subcommand)]
pub enum Command {
    /// List what was done, the newest first.
    List(List),
    /// Check that no row of the audit was changed or removed; it fails where one was.
    Check {
        #[command(flatten)]
        access: Access,
    },
}

/// Which rows.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    access: Access,
    /// Only what was done to the account with this name or id.
    #[arg(long)]
    account: Option<String>,
    /// Only actions that begin with this, as in token.rotate.
    #[arg(long)]
    action: Option<String>,
    /// Only what this one has done: a name, or key: and the id of a key.
    #[arg(long)]
    actor: Option<String>,
    /// Only rows of this time or later, as in 2026-11-01T00:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Only rows before this time.
    #[arg(long)]
    until: Option<String>,
}

/// Carries a command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator; that the audit is not as it was written.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::List(List { access, account: named, action, actor, since, until }) => {
            let client = access.open()?;
            let path = match named {
                Some(named) => format!("/accounts/{}/audit", account(&client, &named)?.id),
                None => "/audit".to_owned(),
            };
            let asked = Asked::get(path).with("action", action).with("actor", actor).with("since", since);
            let asked = asked.with("until", until).with("limit", Some("200"));
            let head = format!("{:<8}{:<26}{:<38}{:<9}{:<17}{:<20}to", "row", "at", "who", "how", "from", "action");
            list((&client, &asked, access.json), &head, |_| true, columns, out)
        }
        Command::Check { access } => {
            let found: ChainCheck = access.open()?.ask(&Asked::get("/audit/check"))?;
            let text = |found: &ChainCheck| match found.broken_at {
                None => format!("{}, each as it was written\n", counted(found.rows, "row")),
                Some(row) => format!("row {row} is not as it was written, or is missing\n"),
            };
            show(&found, access.json, text, out)?;
            if found.whole { Ok(()) } else { Err("the audit was changed".into()) }
        }
    }
}

fn columns(row: &Audited) -> String {
    let Audited { id, at, actor, via, address, action, subject, .. } = row;
    let at = at.to_string();
    format!("{id:<8}{at:<26}{actor:<38}{via:<9}{address:<17}{action:<20}{subject}")
}
