//! `tollgate refusals`: which requests were refused in the last days, and what mends it.

use std::io::Write;

use clap::Args;

use super::manage::{Access, list};
use super::usage::Selection;
use crate::operate::api::usage::ShownRefusal;
use crate::operate::failure::Failure;

/// Which refusals.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    selection: Selection,
    /// Only those with this problem, as in ip-not-allowed.
    #[arg(long)]
    problem: Option<String>,
}

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    let Command { access, selection, problem } = command;
    let client = access.open()?;
    let asked = selection.asked(&client, "refusals")?.with("problem", problem);
    let head = format!(
        "{:<20}{:<24}{:<20}{:<16}{:<26}{:>9}  {:<42}{:<38}why",
        "at", "account", "token", "product", "problem", "requests", "from", "last transaction"
    );
    list((&client, &asked, access.json), &head, |_| true, columns, out)
}

fn columns(row: &ShownRefusal) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let (at, account, token) = (row.at.to_string().replace(":00.000Z", "Z"), name(&row.account), name(&row.token));
    let from = [&row.address, &row.host].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
    let ShownRefusal { product, problem, requests, transaction_id, reason, .. } = row;
    format!(
        "{at:<20}{account:<24}{token:<20}{product:<16}{problem:<26}{requests:>9}  {from:<42}{transaction_id:<38}{reason}"
    )
}
