//! `tollgate accounts`: the accounts of the store.

use std::fmt::Write as _;
use std::io::Write;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::alert_settings::{self, Alerts};
use super::export::{self, Export};
use super::import::{self, Import};
use super::manage::{Access, account, list, new_key, show};
use crate::ledger::store::records::{AccountTerms, ProductFunds, RateLimit};
use crate::operate::api::client::Asked;
use crate::operate::api::shown::Account;
use crate::operate::failure::Failure;
use crate::operate::store_feed::{AccountConflict, ConflictsShown};
use crate::platform::count::counted;

/// What can be done with accounts.
#[derive(Subcommand)]
pub enum Command {
    /// List the accounts of the store, by name.
    List {
        #[command(flatten)]
        access: Access,
        /// Only those whose name begins with this.
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state: active, suspended or closed.
        #[arg(long)]
        state: Option<String>,
        /// Only those with this plan.
        #[arg(long)]
        plan: Option<String>,
    },
    /// Show one account.
    Show(One),
    /// Make an account.
    Create(Create),
    /// Refuse all tokens of an account until it is resumed.
    Suspend(One),
    /// End a suspension.
    Resume(One),
    /// Close an account for good: its tokens and keys are revoked, and its name stays taken.
    Close(One),
    /// Show what an account wants to be told of its balances and tokens, or change it.
    Alerts(Alerts),
    /// Bring accounts of files and of exports into the store, whether a gateway runs or not. What is there already stays
    /// as it is, so that an import can be done again.
    Import(Import),
    /// Write all plans and accounts of the store as lines of JSON, which an import puts back exactly. Tokens are in it as
    /// digests, so that they go on; management keys and the audit are not.
    Export(Export),
    /// List what of the store is not in force, and why: accounts that files have as well, products and plans that the
    /// configuration does not have.
    Conflicts {
        #[command(flatten)]
        access: Access,
    },
}

/// One account.
#[derive(Args)]
pub struct One {
    #[command(flatten)]
    access: Access,
    /// Its name or its id.
    account: String,
}

/// A new account.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    access: Access,
    /// Its name, which never changes.
    name: String,
    /// What it is called in lists.
    #[arg(long, default_value = "")]
    display: String,
    /// The plan that says what it may use.
    #[arg(long, conflicts_with_all = ["rates", "unlimited"])]
    plan: Option<String>,
    /// Requests in a period, as in 600/min, and how many at once, as in 10/s:20; once for each of s, min, h and d.
    #[arg(long = "rate", value_name = "RATE", value_parser = rate)]
    rates: Vec<Rate>,
    /// Neither a plan nor rates.
    #[arg(long, conflicts_with = "rates")]
    unlimited: bool,
    /// What it has of a product with prices: plate=1000 for so many credits to begin with, or plate=unmetered.
    #[arg(long = "product", value_name = "NAME=CREDITS")]
    products: Vec<String>,
}

/// A rate of the command line, as the API takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate(Value);

/// Reads `600/min` or `10/s:20`.
fn rate(text: &str) -> Result<Rate, String> {
    const WANTED: &str = "write a rate as in 600/min, or 10/s:20 for 20 at once";
    let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
    let (requests, period) = rate.split_once('/').ok_or(WANTED)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0).ok_or(WANTED);
    let requests = number(requests)?;
    let burst = burst.map(number).transpose()?.unwrap_or(requests);
    let period = match period {
        "s" | "second" => "second",
        "min" | "m" | "minute" => "minute",
        "h" | "hour" => "hour",
        "d" | "day" => "day",
        _ => return Err(WANTED.to_owned()),
    };
    Ok(Rate(json!({ "period": period, "requests": requests, "burst": burst })))
}

/// Carries a command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::List { access, name, state, plan } => {
            let client = access.open()?;
            let asked = Asked::get("/accounts").with("name", name).with("state", state).with("plan", plan);
            let asked = asked.with("limit", Some("200"));
            let head = format!("{:<32}{:<11}{:<24}{:<34}display", "account", "state", "may use", "id");
            list((&client, &asked, access.json), &head, |_| true, columns, out)
        }
        Command::Show(One { access, account: named }) => {
            let client = access.open()?;
            show(&account(&client, &named)?, access.json, as_text, out)
        }
        Command::Create(create) => make(create, out),
        Command::Suspend(one) => change(&one, "suspend", out),
        Command::Resume(one) => change(&one, "resume", out),
        Command::Close(one) => change(&one, "close", out),
        Command::Alerts(alerts) => alert_settings::run(&alerts, out),
        Command::Import(import) => import::run(import, out),
        Command::Export(export) => export::run(export, out),
        Command::Conflicts { access } => {
            let found: ConflictsShown = access.open()?.ask(&Asked::get("/conflicts"))?;
            show(&found, access.json, conflicts, out)
        }
    }
}

fn make(create: Create, out: &mut impl Write) -> Result<(), Failure> {
    let Create { access, name, display, plan, rates, unlimited, products } = create;
    let terms = match (plan, rates.is_empty(), unlimited) {
        (Some(plan), ..) => json!({ "plan": plan }),
        (None, false, _) | (None, _, true) => {
            json!({ "own": { "rates": rates.into_iter().map(|Rate(rate)| rate).collect::<Vec<_>>() } })
        }
        (None, true, false) => {
            return Err("say what the account may use: --plan NAME, --rate 600/min, or --unlimited".into());
        }
    };
    let products = products.iter().map(|product| funds(product)).collect::<Result<Vec<_>, _>>()?;
    let body = json!({ "name": name, "display": display, "terms": terms, "products": products });
    let client = access.open()?;
    let made: Account = client.ask(&Asked::make("/accounts", new_key(), Some(body)))?;
    show(&made, access.json, as_text, out)
}

fn funds(text: &str) -> Result<Value, String> {
    const WANTED: &str = "write a product and its credits, as in plate=1000, or plate=unmetered";
    let (product, funds) = text.split_once('=').ok_or(WANTED)?;
    let funds = match funds {
        "unmetered" => json!("unmetered"),
        credits => json!({ "credits": { "first_grant": credits.parse::<u64>().map_err(|_| WANTED)? } }),
    };
    Ok(json!({ "product": product, "funds": funds }))
}

fn change(one: &One, what: &str, out: &mut impl Write) -> Result<(), Failure> {
    let One { access, account: named } = one;
    let client = access.open()?;
    let before = account(&client, named)?;
    // From the state that was read a moment ago.
    let asked =
        Asked::change(Method::POST, format!("/accounts/{}/{what}", before.id), format!("\"{}\"", before.version), None);
    let after: Account = client.ask(&asked.once(new_key()))?;
    show(&after, access.json, |after| format!("account {} is {}\n", after.name, after.state.word()), out)
}

/// What is not in force, one account a line.
fn conflicts(found: &ConflictsShown) -> String {
    if found.count == 0 {
        return "everything in the store is in force\n".to_owned();
    }
    let mut text = format!("{:<32}why\n", "account");
    for AccountConflict { account, why } in &found.accounts {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{account:<32}it {}", why.join("; it "));
    }
    let more = found.count.saturating_sub(found.accounts.len());
    if more > 0 {
        let _ = writeln!(text, "and {}", counted(more, "more account"));
    }
    text
}

fn columns(account: &Account) -> String {
    let Account { name, state, terms, id, display, .. } = account;
    format!("{name:<32}{:<11}{:<24}{id:<34}{display}", state.word(), in_words(terms))
}

/// What an account may use, in a few words.
fn in_words(terms: &AccountTerms) -> String {
    match terms {
        AccountTerms::Plan(plan) => format!("plan {plan}"),
        AccountTerms::Own(own) if own.rates.is_empty() => "unlimited".to_owned(),
        AccountTerms::Own(own) => own.rates.iter().map(rate_in_words).collect::<Vec<_>>().join(", "),
    }
}

/// A rate as it is written on the command line.
pub fn rate_in_words(rate: &RateLimit) -> String {
    let RateLimit { period, requests, burst } = rate;
    let period = period.word();
    if requests == burst { format!("{requests}/{period}") } else { format!("{requests}/{period}:{burst}") }
}

fn as_text(account: &Account) -> String {
    let Account { id, name, display, state, terms, products, version, created_at } = account;
    let mut text = format!(
        "account  {name}\nid       {id}\ndisplay  {display}\nstate    {}\nmay use  {}\nversion  {version}\nmade     {created_at}\n",
        state.word(),
        in_words(terms)
    );
    for product in products {
        let funds = match product.funds {
            ProductFunds::Credits { first_grant } => format!("credits, {first_grant} to begin with"),
            ProductFunds::Unmetered => "unmetered".to_owned(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "product  {}: {funds}", product.product);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_credits_are_read_as_they_are_written() {
        let good = |period: &str, requests: u32, burst: u32| {
            Ok(Rate(json!({ "period": period, "requests": requests, "burst": burst })))
        };
        for (text, expected) in [
            ("600/min", good("minute", 600, 600)),
            ("10/s:20", good("second", 10, 20)),
            ("5/day", good("day", 5, 5)),
            ("0/s", Err(())),
            ("10", Err(())),
            ("10/week", Err(())),
            ("10/s:0", Err(())),
        ] {
            assert_eq!(rate(text).map_err(drop), expected, "{text}");
        }
        assert_eq!(funds("plate=7").unwrap()["funds"]["credits"]["first_grant"], 7);
        assert_eq!(funds("plate=unmetered").unwrap()["funds"], "unmetered");
        assert!(funds("plate").is_err() && funds("plate=-1").is_err());
    }
}
