//! `tollgate tokens`: the tokens of an account of the store.

use std::io::Write;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::manage::{Access, account, list, new_key, show, token};
use crate::ledger::store::records::TokenState;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::{NewToken, Token};
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
}

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

/// Carries a command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::List { access, account: named, all } => {
            let client = access.open()?;
            let path = format!("/accounts/{}/tokens", account(&client, &named)?.id);
            let asked = Asked::get(path).with("limit", Some("200"));
            let head = format!("{:<24}{:<12}{:<20}{:<26}{:<26}id", "token", "hint", "state", "products", "ends");
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

fn make(create: Create, out: &mut impl Write) -> Result<(), Failure> {
    let Create { access, account: named, name, products, expires, networks, domains } = create;
    let listed = |values: Vec<String>| {
        let entries: Vec<Value> = values.into_iter().map(|value| json!({ "value": value })).collect();
        if entries.is_empty() { Value::Null } else { json!({ "mode": "enforce", "entries": entries }) }
    };
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
    let Token { id, name, hint, state, products, expires, ends_at, .. } = token;
    let ends = match (ends_at, expires) {
        (Some(time), _) => time.to_string(),
        (None, Some(day)) => day.to_string(),
        (None, None) => "-".to_owned(),
    };
    format!("{name:<24}{hint:<12}{:<20}{:<26}{ends:<26}{id}", state.word(), products.join(","))
}
