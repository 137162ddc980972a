//! `tollgate keys`: keys of the management API.

use std::io::Write;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::manage::{Access, account, list, new_key, show};
use crate::operate::api::caller::{SCOPES, Scope};
use crate::operate::api::client::{Asked, Client};
use crate::operate::api::shown::{Key, NewKey};
use crate::operate::failure::Failure;

/// What can be done with management keys.
#[derive(Subcommand)]
pub enum Command {
    /// List the keys of operators, or of an account.
    List {
        #[command(flatten)]
        access: Access,
        /// The account's name or id.
        #[arg(long)]
        account: Option<String>,
    },
    /// Make a key, and print it: it is shown this once. The first one of an operator is made on the machine
    /// that has the store.
    Create(Create),
    /// Revoke a key for good.
    Revoke {
        #[command(flatten)]
        access: Access,
        /// The account's name or id, of a key of an account.
        #[arg(long)]
        account: Option<String>,
        /// The key's id.
        key: String,
    },
}

/// A new key.
#[derive(Args)]
#[group(id = "whose", required = true, multiple = false, args = ["operator", "account"])]
pub struct Create {
    #[command(flatten)]
    access: Access,
    /// How people call it.
    name: String,
    /// Of an operator with this role.
    #[arg(long, value_enum, value_name = "ROLE")]
    operator: Option<OperatorRole>,
    /// Of the account with this name or id.
    #[arg(long)]
    account: Option<String>,
    /// The role in the account.
    #[arg(long, value_enum, requires = "account", default_value_t = AccountRole::Member)]
    role: AccountRole,
    /// What it may be used for; once for each. Default: everything that the role may do.
    #[arg(long = "scope", value_enum)]
    scopes: Vec<Scope>,
    /// When it ends, as in 2027-06-30T00:00:00Z. Default: it does not.
    #[arg(long, value_name = "TIME")]
    ends_at: Option<String>,
}

/// The roles of operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OperatorRole {
    /// May do everything.
    Admin,
    /// May do everything but grant credits and make keys.
    Support,
    /// Reads everything.
    Auditor,
}

/// The roles in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccountRole {
    /// Tokens, lists, keys and members of the account.
    Owner,
    /// Tokens and lists.
    Member,
    /// Reads.
    Viewer,
}

/// Carries a command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::List { access, account: named } => {
            let client = access.open()?;
            let asked = Asked::get(path(&client, named.as_deref())?).with("limit", Some("200"));
            let head =
                format!("{:<24}{:<14}{:<10}{:<10}{:<50}{:<26}id", "key", "hint", "role", "state", "scopes", "ends");
            list((&client, &asked, access.json), &head, |_| true, columns, out)
        }
        Command::Create(create) => make(create, out),
        Command::Revoke { access, account: named, key } => {
            let client = access.open()?;
            let path = format!("{}/{key}", path(&client, named.as_deref())?);
            let before: Key = client.ask(&Asked::get(&*path))?;
            let asked = Asked::change(Method::POST, format!("{path}/revoke"), format!("\"{}\"", before.version), None);
            let after: Key = client.ask(&asked.once(new_key()))?;
            show(&after, access.json, |after| format!("key {} is {}\n", after.name, after.state.word()), out)
        }
    }
}

/// Where keys are: those of operators, or of an account.
fn path(client: &Client, named: Option<&str>) -> Result<String, Failure> {
    match named {
        Some(named) => Ok(format!("/accounts/{}/keys", account(client, named)?.id)),
        None => Ok("/keys".to_owned()),
    }
}

fn make(create: Create, out: &mut impl Write) -> Result<(), Failure> {
    use Scope::{Accounts, Alerts, Lists, Read, Tokens};
    let Create { access, name, operator, account: named, role, scopes, ends_at } = create;
    let (role, may): (&str, &[Scope]) = match (operator, role) {
        (Some(OperatorRole::Admin), _) => ("admin", &SCOPES),
        (Some(OperatorRole::Support), _) => ("support", &[Read, Accounts, Tokens, Lists, Alerts]),
        (Some(OperatorRole::Auditor), _) => ("auditor", &[Read]),
        (None, AccountRole::Owner) => ("owner", &[Read, Tokens, Lists, Alerts, Scope::Keys, Scope::Members]),
        (None, AccountRole::Member) => ("member", &[Read, Tokens, Lists, Alerts]),
        (None, AccountRole::Viewer) => ("viewer", &[Read]),
    };
    let scopes: &[Scope] = if scopes.is_empty() { may } else { &scopes };
    let client = access.open()?;
    let path = path(&client, named.as_deref())?;
    let body = json!({ "name": name, "role": role, "scopes": scopes, "ends_at": ends_at });
    let made: NewKey = client.ask(&Asked::make(path, new_key(), Some(body)))?;
    let text = |made: &NewKey| {
        let secret = made.secret.as_deref().unwrap_or("(was shown before)");
        format!("key: {secret}\nIt is shown this once; {} is its name, and {} its id.\n", made.key.name, made.key.id)
    };
    show(&made, access.json, text, out)
}

fn columns(key: &Key) -> String {
    let Key { id, name, hint, role, scopes, state, ends_at, .. } = key;
    let ends = ends_at.map_or_else(|| "-".to_owned(), |time| time.to_string());
    format!("{name:<24}{hint:<14}{:<10}{:<10}{:<50}{ends:<26}{id}", role.word(), state.word(), scopes.join(","))
}
