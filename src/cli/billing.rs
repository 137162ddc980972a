//! `tollgate billing`: how far usage was sent for billing.

use std::io::Write;

use clap::Args;

use super::manage::{Access, show};
use crate::operate::api::billing::Billing;
use crate::operate::api::client::Asked;
use crate::operate::failure::Failure;
use crate::platform::count::{counted, either};

/// Where the API is, and how the answer is printed.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    access: Access,
}

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: &Command, out: &mut impl Write) -> Result<(), Failure> {
    let found: Billing = command.access.open()?.ask(&Asked::get("/billing"))?;
    show(&found, command.access.json, text, out)
}

fn text(found: &Billing) -> String {
    let Billing { closed_until, waiting, oldest_waiting, sent, lost, accepted_at, failed_at, fault } = found;
    let (accepted, waits) = (either(sent, "was", "were"), either(waiting, "waits", "wait"));
    let events = counted(*sent, "event");
    let mut text = format!("complete until {closed_until}; {events} {accepted} accepted, {waiting} {waits}");
    if let Some(oldest) = oldest_waiting {
        text += &format!(", the oldest from {oldest}");
    }
    if *lost > 0 {
        let (were, they_were) = (either(lost, "was", "were"), either(lost, "it was", "they were"));
        text += &format!("; {lost} {were} removed before {they_were} accepted");
    }
    if let Some(at) = accepted_at {
        text += &format!("\nlast accepted at {at}");
    }
    if let (Some(at), Some(fault)) = (failed_at, fault) {
        text += &format!("\nlast tried in vain at {at}: {fault}");
    }
    text + "\n"
}
