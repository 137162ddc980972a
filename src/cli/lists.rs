//! `tollgate lists`: the networks and domains of a token.

use std::io::Write;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::manage::{Access, account, new_key, show, token};
use crate::ledger::store::records::{ListEntry, TokenList};
use crate::operate::api::client::{Asked, Client};
use crate::operate::api::lists::List;
use crate::operate::api::preview::{ListPreview, RefusedSource};
use crate::operate::api::sources::{ShownSource, ShownSources};
use crate::operate::failure::Failure;
use crate::platform::count::counted;

/// What can be done with lists.
#[derive(Subcommand)]
pub enum Command {
    /// Show a list.
    Show(Which),
    /// Show where a token was used from in the last seven days.
    Sources {
        #[command(flatten)]
        access: Access,
        /// The account's name or id.
        account: String,
        /// The token's name or id.
        token: String,
    },
    /// Say what a whole list would change, and whom of the last seven days it would refuse; it is not put.
    Preview(Draft),
    /// Put a whole list in the place of the one that is there.
    Set {
        #[command(flatten)]
        draft: Draft,
        #[command(flatten)]
        trial: Trial,
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
        #[command(flatten)]
        trial: Trial,
    },
    /// Remove an entry.
    Remove {
        #[command(flatten)]
        which: Which,
        /// The network or domain.
        entry: String,
        #[command(flatten)]
        trial: Trial,
    },
    /// Keep a list that is on trial.
    Confirm(Which),
    /// Put the list back that was there before the last change, for 10 minutes after it.
    Undo(Which),
}

/// Whether a change is on trial.
#[derive(Args)]
pub struct Trial {
    /// The list before comes back unless the change is confirmed within this time: 1m to 24h, as in 15m.
    #[arg(long, value_name = "TIME")]
    confirm_within: Option<String>,
}

/// A whole list.
#[derive(Args)]
pub struct Draft {
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
}

impl Draft {
    /// As a body.
    ///
    /// # Errors
    /// That it says something which is not about this list.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mode = match self.mode {
            Mode::Any => "any",
            Mode::Watch => "watch",
            Mode::Enforce => "enforce",
        };
        let entries: Vec<Value> = self.entries.iter().map(|value| json!({ "value": value })).collect();
        let mut body = Map::from_iter([("mode".to_owned(), json!(mode)), ("entries".to_owned(), json!(entries))]);
        match self.which.list {
            Kind::Domains => {
                body.insert("absent".to_owned(), json!(if self.allow_absent { "allow" } else { "deny" }));
            }
            Kind::Networks if self.allow_absent => {
                return Err("--allow-absent is about pages; leave it out for networks".into());
            }
            Kind::Networks => {}
        }
        Ok(body)
    }
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
        let (client, path) = of_token(&self.access, &self.account, &self.token)?;
        let list = match self.list {
            Kind::Networks => "networks",
            Kind::Domains => "domains",
        };
        Ok((client, format!("{path}/{list}")))
    }

    /// Does something to the list that is there, and shows it.
    fn act(&self, deed: &str, out: &mut impl Write) -> Result<(), Failure> {
        let (client, path) = self.open()?;
        let before: List = client.ask(&Asked::get(&*path))?;
        let asked = from(&before, Method::POST, format!("{path}/{deed}"), None).once(new_key());
        tell(self, client.ask(&asked)?, out)
    }
}

/// The API, and the path of a token.
fn of_token(access: &Access, named: &str, token_named: &str) -> Result<(Client, String), Failure> {
    let client = access.open()?;
    let account = account(&client, named)?;
    let token = token(&client, &account, token_named)?;
    Ok((client, format!("/accounts/{}/tokens/{}", account.id, token.id)))
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
        Command::Sources { access, account, token } => {
            let (client, path) = of_token(&access, &account, &token)?;
            let sources: ShownSources = client.ask(&Asked::get(format!("{path}/sources")))?;
            show(&sources, access.json, sources_as_text, out)
        }
        Command::Preview(draft) => {
            let body = draft.body()?;
            let (client, path) = draft.which.open()?;
            let told: ListPreview = client.ask(&Asked::try_out(format!("{path}/preview"), Value::Object(body)))?;
            show(&told, draft.which.access.json, preview_as_text, out)
        }
        Command::Set { draft, trial } => {
            let body = trial.added_to(draft.body()?);
            let (client, path) = draft.which.open()?;
            let before: List = client.ask(&Asked::get(&*path))?;
            tell(&draft.which, client.ask(&from(&before, Method::PUT, path, Some(body)))?, out)
        }
        Command::Add { which, entry, note, trial } => {
            let (client, path) = which.open()?;
            let before: List = client.ask(&Asked::get(&*path))?;
            let body =
                trial.added_to(Map::from_iter([("value".to_owned(), json!(entry)), ("note".to_owned(), json!(note))]));
            let asked = from(&before, Method::POST, format!("{path}/entries"), Some(body)).once(new_key());
            tell(&which, client.ask(&asked)?, out)
        }
        Command::Remove { which, entry, trial } => {
            let (client, path) = which.open()?;
            let before: List = client.ask(&Asked::get(&*path))?;
            let asked = from(&before, Method::DELETE, format!("{path}/entries"), None).with("value", Some(entry));
            tell(&which, client.ask(&asked.with("confirm_within", trial.confirm_within))?, out)
        }
        Command::Confirm(which) => which.act("confirm", out),
        Command::Undo(which) => which.act("undo", out),
    }
}

impl Trial {
    /// A body that says it.
    fn added_to(self, mut body: Map<String, Value>) -> Value {
        if let Some(time) = self.confirm_within {
            body.insert("confirm_within".to_owned(), json!(time));
        }
        Value::Object(body)
    }
}

/// A change from the state that was read a moment ago.
fn from(before: &List, method: Method, path: String, body: Option<Value>) -> Asked {
    Asked::change(method, path, format!("\"{}\"", before.version), body)
}

fn tell(which: &Which, list: List, out: &mut impl Write) -> Result<(), Failure> {
    let text = |list: &List| {
        let mut text = list_as_text(&list.list);
        if let Some(at) = list.goes_back_at {
            text += &format!("on trial: the list before comes back at {at} unless this one is confirmed\n");
        }
        if let Some(until) = list.can_undo_until {
            text += &format!("the last change can be undone until {until}\n");
        }
        text
    };
    show(&list, which.access.json, text, out)
}

fn list_as_text(list: &TokenList) -> String {
    let absent = list.absent.map_or_else(String::new, |absent| format!(", without a domain: {}", absent.word()));
    let head = format!("mode: {}{absent}\n", list.mode.word());
    let line = |entry: &ListEntry| format!("{:<44}{}", entry.value, entry.note).trim_end().to_owned() + "\n";
    list.entries.iter().fold(head, |text, entry| text + &line(entry))
}

fn sources_as_text(sources: &ShownSources) -> String {
    let head = format!("{:<10}{:<44}{:>10}  last\n", "kind", "from", "requests");
    sources.items.iter().fold(head, |text, ShownSource { kind, value, requests, last_at }| {
        text + &format!("{:<10}{value:<44}{requests:>10}  {last_at}\n", kind.word())
    })
}

fn preview_as_text(told: &ListPreview) -> String {
    let mut text = list_as_text(&told.draft);
    for (entries, sign) in [(&told.added, '+'), (&told.removed, '-')] {
        text.extend(entries.iter().map(|entry| format!("{sign} {}\n", entry.value)));
    }
    for (sources, verb) in [(&told.refused, "refuses"), (&told.watched, "would refuse")] {
        for RefusedSource { value, requests, last_at, partly, already, fix, .. } in sources {
            let some = if *partly { "some of " } else { "" };
            let already = if *already { ", as the list that is there" } else { "" };
            let of = counted(u64::try_from(*requests).unwrap_or_default(), "request");
            text += &format!("{verb} {some}{value}: {of}, the last at {last_at}{already}; {fix}\n");
        }
    }
    match told.requests {
        0 => text + "it is not known where the token was used from in the last seven days\n",
        all => {
            let percent = told.refused_share * 100.0;
            text + &format!(
                "refuses {} of {all} requests of the last seven days ({percent:.1} %)\n",
                told.refused_requests
            )
        }
    }
}
