//! `tollgate usage`: what accounts have used, by the hour or by the day.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::manage::{Access, account, each, list};
use crate::operate::api::client::{Asked, Client};
use crate::operate::api::usage::{Used, csv};
use crate::operate::failure::Failure;
use crate::operate::output::say;

/// Which usage, and how it is shown.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    selection: Selection,
    /// Only requests that were refused with this problem, or `answered`.
    #[arg(long, value_name = "PROBLEM")]
    outcome: Option<String>,
    /// What is added up.
    #[arg(long, value_enum, default_value_t = Span::Hour)]
    by: Span,
    /// Print CSV, with a line of names first; cells that a spreadsheet would run as formulas begin with an apostrophe.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Of whom, of what, and of which time.
#[derive(Args)]
pub struct Selection {
    /// Only of the account with this name or id, also of one that is in a file.
    #[arg(long)]
    account: Option<String>,
    /// Only of the token with this name.
    #[arg(long)]
    token: Option<String>,
    /// Only of this product.
    #[arg(long)]
    product: Option<String>,
    /// Only of this time or later, as in 2026-11-01T00:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Only before this time.
    #[arg(long)]
    until: Option<String>,
}

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Span {
    /// Each hour.
    Hour,
    /// Each day in UTC.
    Day,
}

impl Selection {
    /// What to ask for, with `what` as the last part of the path.
    ///
    /// # Errors
    /// What the API says.
    pub fn asked(self, client: &Client, what: &str) -> Result<Asked, Failure> {
        let Selection { account: named, token, product, since, until } = self;
        let asked = match named {
            None => Asked::get(format!("/{what}")),
            Some(named) => match account(client, &named) {
                Ok(known) => Asked::get(format!("/accounts/{}/{what}", known.id)),
                // Accounts of files have usage as well.
                Err(_) => Asked::get(format!("/{what}")).with("account", Some(named)),
            },
        };
        let asked = asked.with("token", token).with("product", product);
        Ok(asked.with("since", since).with("until", until).with("limit", Some("200")))
    }
}

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    let Command { access, selection, outcome, by, csv: as_csv } = command;
    let client = access.open()?;
    let by = match by {
        Span::Hour => "hour",
        Span::Day => "day",
    };
    let asked = selection.asked(&client, "usage")?.with("outcome", outcome).with("by", Some(by));
    if as_csv {
        return sheet(&client, &asked, out);
    }
    let head = format!(
        "{:<22}{:<24}{:<20}{:<16}{:<28}{:>10}{:>10}{:>10}",
        by, "account", "token", "product", "outcome", "requests", "credits", "watched"
    );
    list((&client, &asked, access.json), &head, |_| true, columns, out)
}

fn sheet(client: &Client, asked: &Asked, out: &mut impl Write) -> Result<(), Failure> {
    // The names of the columns are there even if nothing else is.
    let mut text = |rows: &[Used], with_names: bool| -> Result<(), Failure> {
        let text = csv(rows).map_err(|error| error.to_string())?;
        let names = if with_names { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
        say(out, text.get(names..).unwrap_or_default())
    };
    text(&[], true)?;
    each::<Used>(client, asked, |row| text(&[row], false))
}

fn columns(row: &Used) -> String {
    let Used { at, account, token, product, outcome, requests, credits, watched_networks, watched_domains } = row;
    let at = at.to_string().replace(":00.000Z", "Z");
    let outcome = outcome.as_deref().unwrap_or("answered");
    let watched = watched_networks.saturating_add(*watched_domains);
    format!("{at:<22}{account:<24}{token:<20}{product:<16}{outcome:<28}{requests:>10}{credits:>10}{watched:>10}")
}
