//! `tollgate tokens`: the tokens of an account of the store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::manage::{Access, account, list, new_key, show, token};
use crate::ledger::store::records::TokenState;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::{NewToken, Token};
use crate::operate::api::token_test::{TestOutcome, TestRefusal, TestedCheck};
use crate::operate::failure::Failure;

/// What can be done with tokens.
#[derive(Subcommand)]
pub enum Command {
    /// List the tokens of an account.
    List {
        #[command(flatten)]
        access: Access,
        /// The account's name or id.
        account: String,
        /// Revoked ones too.
        #[arg(long)]
        all: bool,
    },
    /// Make a token, and print it: it is shown this once.
    Create(Create),
    /// Make a token that takes another one's place, and print it; the old one ends after an overlap.
    Rotate {
        #[command(flatten)]
        one: One,
        /// How long the old one goes on: 0, or a number and s, m, h or d.
        #[arg(long, default_value = "24h")]
        overlap: String,
    },
    /// Let a token be used again.
    Enable(One),
    /// Refuse a token until it is enabled again.
    Disable(One),
    /// Revoke a token for good.
    Revoke(One),
    /// Judge a request that is not sent as if it came with the token, with other lists if some are given.
    #[command(after_help = TEST_HELP)]
    Test(Test),
}

const TEST_HELP: &str = "Examples:
  tollgate tokens test acme web --from 203.0.113.9 --origin https://app.example.com
  tollgate tokens test acme web --from 203.0.113.9 --network 203.0.113.0/24 --network 2001:db8::/32

The exit status is 0 if the request would pass, 3 if it would be refused, and 1 if it could not be judged. Without -H and
-d, what is judged is what a token decides: product, networks, domains, rates and quotas.";

/// One token.
#[derive(Args)]
pub struct One {
    #[command(flatten)]
    access: Access,
    /// The account's name or id.
    account: String,
    /// The token's name or id.
    token: String,
}

/// A request that is not sent.
#[derive(Args)]
pub struct Test {
    #[command(flatten)]
    one: One,
    /// The address that it comes from.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: String,
    /// Its method. Default: that of the route.
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// Its path and query. Default: the token's first route.
    #[arg(long)]
    path: Option<String>,
    /// What a browser says in Origin.
    #[arg(long)]
    origin: Option<String>,
    /// What a browser says in Referer.
    #[arg(long)]
    referer: Option<String>,
    /// Another header, as often as there are some.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The body.
    #[arg(short = 'd', long = "data", value_name = "BODY")]
    body: Option<String>,
    /// When it comes, as in 2027-06-30T23:59:59Z. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// A network of a draft, in place of the token's list; once for each.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// A domain of a draft, in place of the token's list; once for each.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// With a draft of domains: let requests without Origin and Referer pass.
    #[arg(long, requires = "domains")]
    allow_absent: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write a name, a colon and a value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A new token.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    access: Access,
    /// The account's name or id.
    account: String,
    /// What the token is called in logs.
    name: String,
    /// A product that it covers; once for each.
    #[arg(long = "product", value_name = "NAME")]
    products: Vec<String>,
    /// Its last day in UTC, as in 2027-06-30.
    #[arg(long, value_name = "DAY")]
    expires: Option<String>,
    /// A network that requests may come from; once for each. Default: any.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// A domain whose pages may use it; once for each. Default: any.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
}

/// Carries a command out; its output goes to `out`. Returns whether a request that was tried out would be refused.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<bool, Failure> {
    match command {
        Command::Test(test) => try_out(test, out),
        other => change_or_show(other, out).map(|()| false),
    }
}

fn change_or_show(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Test(_) => Ok(()),
        Command::List { access, account: named, all } => {
            let client = access.open()?;
            let path = format!("/accounts/{}/tokens", account(&client, &named)?.id);
            let asked = Asked::get(path).with("limit", Some("200"));
            let head = format!(
                "{:<24}{:<12}{:<20}{:<26}{:<26}{:<26}id",
                "token", "hint", "state", "products", "ends", "used last"
            );
            let wanted = |token: &Token| all || token.state != TokenState::Revoked;
            list((&client, &asked, access.json), &head, wanted, columns, out)
        }
        Command::Create(create) => make(create, out),
        Command::Rotate { one, overlap } => {
            let body = json!({ "overlap": overlap });
            let made: NewToken = ask(&one, "rotate", Some(body))?;
            tell(&made, one.access.json, out)
        }
        Command::Enable(one) => change(&one, "enable", out),
        Command::Disable(one) => change(&one, "disable", out),
        Command::Revoke(one) => change(&one, "revoke", out),
    }
}

/// A list that is enforced; null where it has no entries.
fn listed(values: Vec<String>) -> Value {
    let entries: Vec<Value> = values.into_iter().map(|value| json!({ "value": value })).collect();
    if entries.is_empty() { Value::Null } else { json!({ "mode": "enforce", "entries": entries }) }
}

fn make(create: Create, out: &mut impl Write) -> Result<(), Failure> {
    let Create { access, account: named, name, products, expires, networks, domains } = create;
    let body = json!({
        "name": name,
        "products": products,
        "expires": expires,
        "networks": listed(networks),
        "domains": listed(domains),
    });
    let client = access.open()?;
    let path = format!("/accounts/{}/tokens", account(&client, &named)?.id);
    let made: NewToken = client.ask(&Asked::make(path, new_key(), Some(body)))?;
    tell(&made, access.json, out)
}

fn try_out(test: Test, out: &mut impl Write) -> Result<bool, Failure> {
    let Test { one, from, method, path, origin, referer, headers, body, at, networks, domains, allow_absent } = test;
    let headers = (!headers.is_empty()).then(|| headers.into_iter().collect::<BTreeMap<_, _>>());
    let mut domains = listed(domains);
    if let (true, Some(domains)) = (allow_absent, domains.as_object_mut()) {
        domains.insert("absent".to_owned(), json!("allow"));
    }
    let asked = json!({
        "address": from,
        "headers": headers,
        "method": method,
        "path": path,
        "origin": origin,
        "referer": referer,
        "body": body,
        "at": at,
        "networks": listed(networks),
        "domains": domains,
    });
    let client = one.access.open()?;
    let account = account(&client, &one.account)?;
    let token = token(&client, &account, &one.token)?;
    let path = format!("/accounts/{}/tokens/{}/test", account.id, token.id);
    let outcome: TestOutcome = client.ask(&Asked::try_out(path, asked))?;
    show(&outcome, one.access.json, verdict, out)?;
    Ok(outcome.refusal.is_some())
}

/// What became of a request that was tried out, as lines.
fn verdict(outcome: &TestOutcome) -> String {
    let TestOutcome { refusal, checks, networks_watched, domains_watched, networks, domains, conflicts } = outcome;
    let mut text = String::new();
    for TestedCheck { problem, verdict, seen } in checks {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", format!("  {problem:<24}{verdict:<16}{seen}").trim_end());
    }
    for (what, list) in [("networks", networks), ("domains", domains)] {
        for entry in list.iter().flat_map(|list| &list.entries) {
            let _ = writeln!(text, "draft of {what}: {}", entry.value);
        }
    }
    for (what, is_watched) in [("networks", networks_watched), ("domains", domains_watched)] {
        if *is_watched {
            let _ = writeln!(text, "its {what} are only watched, and would refuse this");
        }
    }
    for conflict in conflicts {
        let _ = writeln!(text, "the account is not in force as it is written: it {conflict}");
    }
    text + &match refusal {
        None => "The token lets the request pass.\n".to_owned(),
        Some(TestRefusal { problem, status, reason }) => {
            format!("The request is refused with {status} {problem}: {reason}.\n")
        }
    }
}

fn change(one: &One, what: &str, out: &mut impl Write) -> Result<(), Failure> {
    let after: Token = ask(one, what, None)?;
    show(&after, one.access.json, |after| format!("token {} is {}\n", after.name, after.state.word()), out)
}

/// Does something to a token, from the state that was read a moment ago.
fn ask<T: serde::de::DeserializeOwned>(one: &One, what: &str, body: Option<Value>) -> Result<T, Failure> {
    let client = one.access.open()?;
    let account = account(&client, &one.account)?;
    let before = token(&client, &account, &one.token)?;
    let path = format!("/accounts/{}/tokens/{}/{what}", account.id, before.id);
    let asked = Asked::change(Method::POST, path, format!("\"{}\"", before.version), body);
    Ok(client.ask(&asked.once(new_key()))?)
}

/// Shows a token that was just made.
fn tell(made: &NewToken, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let text = |made: &NewToken| {
        let secret = made.secret.as_deref().unwrap_or("(was shown before)");
        format!(
            "token: {secret}\nIt is shown this once; {} is its name, and {} its id.\n",
            made.token.name, made.token.id
        )
    };
    show(made, json, text, out)
}

fn columns(token: &Token) -> String {
    let Token { id, name, hint, state, products, expires, ends_at, last_used_at, .. } = token;
    let used = last_used_at.map_or_else(|| "-".to_owned(), |used| used.to_string());
    let ends = match (ends_at, expires) {
        (Some(time), _) => time.to_string(),
        (None, Some(day)) => day.to_string(),
        (None, None) => "-".to_owned(),
    };
    format!("{name:<24}{hint:<12}{:<20}{:<26}{ends:<26}{used:<26}{id}", state.word(), products.join(","))
}
