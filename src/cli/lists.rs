//! `tollgate lists`: the networks and domains of a token.

use std::io::Write;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::manage::{Access, account, new_key, show, token};
use crate::operate::api::client::{Asked, Client};
use crate::operate::api::lists::List;
use crate::operate::failure::Failure;

/// What can be done with lists.
#[derive(Subcommand)]
pub enum Command {
    /// Show a list.
    Show(Which),
    /// Put a whole list in the place of the one that is there.
    Set {
        #[command(flatten)]
        which: Which,
        /// Whether it refuses what it does not have, counts that alone, or restricts nothing.
        #[arg(long, value_enum, default_value_t = Mode::Enforce)]
        mode: Mode,
        /// Of domains: let requests without Origin and Referer pass.
        #[arg(long)]
        allow_absent: bool,
        /// Its entries.
        entries: Vec<String>,
    },
    /// Add an entry, or give one that is there another note.
    Add {
        #[command(flatten)]
        which: Which,
        /// The network or domain.
        entry: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Remove an entry.
    Remove {
        #[command(flatten)]
        which: Which,
        /// The network or domain.
        entry: String,
    },
}

/// One list.
#[derive(Args)]
pub struct Which {
    #[command(flatten)]
    access: Access,
    /// The account's name or id.
    account: String,
    /// The token's name or id.
    token: String,
    /// Which of its lists.
    #[arg(value_enum)]
    list: Kind,
}

/// A list of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Where requests may come from.
    Networks,
    /// Which pages may use it.
    Domains,
}

/// What a list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Nothing, whatever is in it.
    Any,
    /// It counts what it does not have, and lets it pass.
    Watch,
    /// It refuses what it does not have.
    Enforce,
}

impl Which {
    fn open(&self) -> Result<(Client, String), Failure> {
        let client = self.access.open()?;
        let account = account(&client, &self.account)?;
        let token = token(&client, &account, &self.token)?;
        let list = match self.list {
            Kind::Networks => "networks",
            Kind::Domains => "domains",
        };
        Ok((client, format!("/accounts/{}/tokens/{}/{list}", account.id, token.id)))
    }
}

/// Carries a command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Show(which) => {
            let (client, path) = which.open()?;
            tell(&which, client.ask(&Asked::get(path))?, out)
        }
        Command::Set { which, mode, allow_absent, entries } => {
            let mode = match mode {
                Mode::Any => "any",
                Mode::Watch => "watch",
                Mode::Enforce => "enforce",
            };
            let entries: Vec<Value> = entries.into_iter().map(|value| json!({ "value": value })).collect();
            let mut body = json!({ "mode": mode, "entries": entries });
            match (which.list, body.as_object_mut()) {
                (Kind::Domains, Some(body)) => {
                    body.insert("absent".to_owned(), json!(if allow_absent { "allow" } else { "deny" }));
                }
                (Kind::Networks, _) if allow_absent => {
                    return Err("--allow-absent is about pages; leave it out for networks".into());
                }
                (Kind::Networks | Kind::Domains, _) => {}
            }
            let (client, path) = which.open()?;
            let before: List = client.ask(&Asked::get(&*path))?;
            tell(&which, client.ask(&from(&before, Method::PUT, path, Some(body)))?, out)
        }
        Command::Add { which, entry, note } => {
            let (client, path) = which.open()?;
            let before: List = client.ask(&Asked::get(&*path))?;
            let body = json!({ "value": entry, "note": note });
            let asked = from(&before, Method::POST, format!("{path}/entries"), Some(body)).once(new_key());
            tell(&which, client.ask(&asked)?, out)
        }
        Command::Remove { which, entry } => {
            let (client, path) = which.open()?;
            let before: List = client.ask(&Asked::get(&*path))?;
            let asked = from(&before, Method::DELETE, format!("{path}/entries"), None).with("value", Some(entry));
            tell(&which, client.ask(&asked)?, out)
        }
    }
}

/// A change from the state that was read a moment ago.
fn from(before: &List, method: Method, path: String, body: Option<Value>) -> Asked {
    Asked::change(method, path, format!("\"{}\"", before.version), body)
}

fn tell(which: &Which, list: List, out: &mut impl Write) -> Result<(), Failure> {
    let text = |list: &List| {
        let absent =
            list.list.absent.map_or_else(String::new, |absent| format!(", without a domain: {}", absent.word()));
        let head = format!("mode: {}{absent}\n", list.list.mode.word());
        list.list
            .entries
            .iter()
            .fold(head, |text, entry| text + format!("{:<44}{}", entry.value, entry.note).trim_end() + "\n")
    };
    show(&list, which.access.json, text, out)
}
