//! `tollgate status`: commands of operators for notices on the status page.
//!
//! While a gateway runs, every command goes through its admin API, so that the pages change at
//! once; otherwise notices are written to the ledger, where the next start finds them.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config;
use crate::config::argument::ConfigFile;
use crate::ledger::{Ledger, opening};
use crate::operate::admin::answers::Notices;
use crate::operate::admin::client::Client;
use crate::operate::failure::Failure;
use crate::operate::output;
use crate::operate::status_recorder::Refused;
use crate::operate::status_store::{Changes, StatusStore};
use crate::platform::clock::unix_seconds;
use crate::platform::count::counted;
use crate::policy::Policy;
use crate::policy::seconds::Seconds;
use crate::site::status::StatusSettings;
use crate::site::status::book::Book;
use crate::site::status::notice::{MAX_NOTICES, Moment, NoticeBody, Shown, Stage, Wanted, notice};
use crate::site::status::{example, publish};

/// The subcommands of `tollgate status`.
#[derive(Subcommand)]
pub enum Command {
    /// Show a note on the status page until it is closed.
    Note {
        #[command(flatten)]
        said: Statement,
    },
    /// Announce maintenance.
    Maintenance {
        #[command(flatten)]
        said: Statement,
        /// When it begins, as in 2026-11-25T22:00:00Z.
        #[arg(long, value_parser = Moment::parse)]
        from: Moment,
        /// When it ends.
        #[arg(long, value_parser = Moment::parse)]
        to: Moment,
    },
    /// Show all notes and maintenance with their numbers.
    List {
        #[command(flatten)]
        common: Common,
        /// Print one JSON document instead of columns, as GET /status/notices returns it.
        #[arg(long)]
        json: bool,
    },
    /// Close a note, or end or cancel maintenance.
    Close {
        #[command(flatten)]
        common: Common,
        /// Its number.
        id: i64,
    },
    /// Fill the ledger of a gateway that is not running, and that has no history yet, with a
    /// made-up one, to try out the pages.
    #[command(hide = true)]
    Example {
        #[command(flatten)]
        common: Common,
        /// The end of the history. Default: now.
        #[arg(long, value_parser = Moment::parse)]
        until: Option<Moment>,
    },
}

/// Arguments that every command has.
#[derive(Args)]
pub struct Common {
    #[command(flatten)]
    file: ConfigFile,
}

/// The text of a notice.
#[derive(Args)]
pub struct Statement {
    #[command(flatten)]
    common: Common,
    /// What clients should know, in one line.
    text: String,
    /// The product it is about. Default: all of them.
    #[arg(long)]
    product: Option<String>,
    /// The author; the pages do not show it.
    #[arg(long, env = "USER", default_value = "operator")]
    by: String,
}

/// Runs a command; its output goes to `out`.
///
/// # Errors
/// Why it was not done.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    let text = match command {
        Command::Note { said } => say(said, Wanted::Note, None)?,
        Command::Maintenance { said, from, to } => say(said, Wanted::Maintenance, Some((from, to)))?,
        Command::List { common, json } => list(&common.file.config, json)?,
        Command::Close { common, id } => close(&common.file.config, id)?,
        Command::Example { common, until } => made_up(&common.file.config, until)?,
    };
    output::say(out, text)
}

/// Where notices are stored at the moment.
enum Board {
    Here(Arc<Policy>, StatusSettings, Arc<Ledger>),
    /// In a running gateway.
    There(Client),
}

impl Drop for Board {
    fn drop(&mut self) {
        match self {
            Board::Here(_, _, ledger) => ledger.close(),
            Board::There(_) => {}
        }
    }
}

const NO_NOTICE: &str = "no open notice has this number; `tollgate status list` shows them";

impl Board {
    fn open(path: &Path) -> Result<Board, Failure> {
        let config = config::load(path)?;
        if let Some(client) = Client::of_ledger(&config, NO_NOTICE) {
            return Ok(Board::There(client));
        }
        let policy = Arc::new(config.policy);
        let ledger = opening::start_without_leases(config.ledger, &policy, Instant::now());
        Ok(Board::Here(policy, config.settings.status, ledger))
    }
}

fn say(said: Statement, wanted: Wanted, times: Option<(Moment, Moment)>) -> Result<String, Failure> {
    let Statement { common, text, product, by } = said;
    let (from, to) = times.unzip();
    let body = NoticeBody { text, product, from, to, by: Some(by) };
    let now = unix_seconds();
    let shown: Shown = match &Board::open(&common.file.config)? {
        Board::There(client) => {
            let path = match wanted {
                Wanted::Note => "/status/notes",
                Wanted::Maintenance => "/status/maintenance",
            };
            client.post(path, None, &body)?
        }
        Board::Here(policy, _, ledger) => {
            let notice = notice(wanted, body, now)?;
            if notice.product.as_ref().is_some_and(|product| !publish::names(policy).contains(product)) {
                return Err(Refused::NoProduct.into());
            }
            let known = ledger.status_store(now).wait_here().map_err(Failure::NotDone)?;
            if known.notices.iter().filter(|known| known.stage(now) != Stage::Past).count() >= MAX_NOTICES {
                return Err(Refused::TooMany.into());
            }
            Shown::of(&ledger.add_notice(notice).wait_here().map_err(Failure::NotDone)?, now)
        }
    };
    Ok(format!("{} {} was written\n", shown.kind, shown.id.unwrap_or_default()))
}

fn list(config: &Path, as_json: bool) -> Result<String, Failure> {
    let now = unix_seconds();
    let notices = match &Board::open(config)? {
        Board::There(client) => client.get::<Notices>("/status/notices")?.notices,
        Board::Here(_, status, ledger) => {
            let known = ledger.status_store(now).wait_here()?.notices;
            status.notices.iter().chain(&known).map(|notice| Shown::of(notice, now)).collect()
        }
    };
    if as_json {
        return Ok(format!("{:#}\n", json!(Notices { notices })));
    }
    let mut text =
        format!("{:<8}{:<13}{:<9}{:<22}{:<22}{:<12}text\n", "number", "kind", "stage", "from", "to", "product");
    for Shown { id, kind, stage, product, from, to, text: said, by: _ } in notices {
        let id = id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let to = to.map_or_else(|| "-".to_owned(), Moment::text);
        let product = product.unwrap_or_else(|| "(all)".to_owned());
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{id:<8}{kind:<13}{stage:<9}{:<22}{to:<22}{product:<12}{said}", from.text());
    }
    Ok(text)
}

fn close(config: &Path, id: i64) -> Result<String, Failure> {
    let now = unix_seconds();
    let shown = match &Board::open(config)? {
        Board::There(client) => client.post::<Shown>(&format!("/status/notices/{id}/close"), None, &json!({}))?,
        Board::Here(_, _, ledger) => {
            let closed = ledger.close_notice(id, now).wait_here().map_err(Failure::NotDone)?;
            Shown::of(&closed.ok_or(NO_NOTICE)?, now)
        }
    };
    Ok(format!("{} {id} was closed\n", shown.kind))
}

fn made_up(config: &Path, until: Option<Moment>) -> Result<String, Failure> {
    let now: Seconds = until.map_or_else(unix_seconds, |until| until.0);
    let board = Board::open(config)?;
    let Board::Here(policy, status, ledger) = &board else {
        return Err("a gateway has the ledger open, or there is no file for one; name a file of its own".into());
    };
    let StatusStore { entries, incidents, notices } = ledger.status_store(now).wait_here().map_err(Failure::NotDone)?;
    if !(entries.is_empty() && incidents.is_empty() && notices.is_empty()) {
        return Err("the ledger has a history already, and the made-up one must not be mixed with it".into());
    }
    let names = publish::names(policy);
    let mut book = Book::new(status.clone());
    example::fill(&mut book, &names, now);
    let (entries, incidents) = book.unsaved();
    let count = incidents.len();
    let changes = Changes { entries, incidents, now, step: book.history().step() };
    ledger.write_annals(changes).wait_here().map_err(Failure::NotDone)?;
    for notice in example::notices(&names, now) {
        ledger.add_notice(notice).wait_here().map_err(Failure::NotDone)?;
    }
    Ok(format!(
        "a made-up history of {} with {} was written\n",
        counted(names.len(), "product"),
        counted(count, "incident")
    ))
}
