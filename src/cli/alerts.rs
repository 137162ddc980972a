//! `tollgate alerts`: which balances are low and which tokens are about to end, and whether that was told.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::manage::{Access, account, list};
use crate::operate::api::alerts::ShownAlert;
use crate::operate::api::client::Asked;
use crate::operate::failure::Failure;

/// Which alerts.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    access: Access,
    /// Only of the account with this name or id, also of one that is in a file.
    #[arg(long)]
    account: Option<String>,
    /// Only of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only those that still hold, or that are over.
    #[arg(long, value_enum)]
    state: Option<State>,
}

/// What alerts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    LowBalance,
    TokenEnds,
}

/// Whether alerts still hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Open,
    Over,
}

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    let Command { access, account: of, kind, state } = command;
    let client = access.open()?;
    let kind = kind.map(|kind| match kind {
        Kind::LowBalance => "low-balance",
        Kind::TokenEnds => "token-ends",
    });
    let state = state.map(|state| match state {
        State::Open => "open",
        State::Over => "over",
    });
    // One of a file is known to the list of all alone.
    let of_store = of.as_ref().and_then(|of| account(&client, of).ok());
    let asked = match of_store {
        Some(account) => Asked::get(format!("/accounts/{}/alerts", account.id)),
        None => Asked::get("/alerts").with("account", of),
    };
    let asked = asked.with("kind", kind).with("state", state);
    let head = format!("{:<26}{:<24}{:<20}{:<34}{:<26}messages", "told at", "account", "of", "what", "over since");
    list((&client, &asked, access.json), &head, |_| true, columns, out)
}

fn columns(row: &ShownAlert) -> String {
    let ShownAlert { account, product, balance, below, token, last_day, crossed_at, over_at, messages, .. } = row;
    let of = token.as_ref().or(product.as_ref()).cloned().unwrap_or_default();
    let what = match (balance, below, last_day) {
        (Some(balance), Some(below), _) => format!("balance {balance}, below {below}"),
        (_, _, Some(day)) => format!("token ends on {day}"),
        _ => String::new(),
    };
    let over = over_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let told: Vec<String> = messages
        .iter()
        .map(|message| match &message.fault {
            Some(fault) => format!("{} {} ({fault})", message.channel, message.state),
            None => format!("{} {}", message.channel, message.state),
        })
        .collect();
    format!("{:<26}{account:<24}{of:<20}{what:<34}{over:<26}{}", crossed_at.to_string(), told.join(", "))
}
