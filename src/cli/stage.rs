//! `tollgate stage`: a configuration that is in force for a share of the accounts first, by way of the admin API of a running
//! gateway.

use std::io::Write;

use clap::Subcommand;

use super::running::{client, done};
use crate::config::argument::ConfigFile;
use crate::operate::failure::Failure;
use crate::operate::output::say;
use crate::operate::stage::{EndsDocument, StageDocument, StageState};
use crate::platform::count::counted;

/// Examples below the help.
pub const EXAMPLES: &str = "Examples:
  tollgate stage status --config gateway.yaml     what has come of it so far
  tollgate stage promote --config gateway.yaml    put it in force for all accounts now
  tollgate stage back --config gateway.yaml       go back to the configuration before";

/// The subcommands of `tollgate stage`.
#[derive(Subcommand)]
pub enum Command {
    /// Show how requests have ended of the accounts for which the staged configuration is in force, and of all others.
    Status {
        #[command(flatten)]
        file: ConfigFile,
        /// Print one JSON document instead of text, as GET /stage returns it.
        #[arg(long)]
        json: bool,
    },
    /// Put the staged configuration in force for all accounts now.
    Promote(ConfigFile),
    /// Put the configuration before in force for all accounts again. The files stay as they are: mend them before the next
    /// start.
    Back(ConfigFile),
}

/// Runs a command; its output goes to `out`.
///
/// # Errors
/// Why it was not done.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Status { file, json } => {
            let document: StageDocument = client(&file.config)?.get("/stage")?;
            if json {
                let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
                return say(out, text + "\n");
            }
            say(out, as_text(&document))
        }
        Command::Promote(ConfigFile { config }) => done(&config, "/stage/promote", out),
        Command::Back(ConfigFile { config }) => done(&config, "/stage/back", out),
    }
}

fn as_text(document: &StageDocument) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (began, ends) = (text(&document.began), text(&document.ends));
    let percent = document.share_percent.unwrap_or_default();
    let first = match document.state {
        StageState::None => return "No configuration was staged since the gateway was started.\n".to_owned(),
        StageState::Staged => format!(
            "Since {began} the configuration is in force for {percent} % of the accounts; for all from {ends} on, unless \
             refusals or failures rise."
        ),
        StageState::Ended => format!(
            "From {began} to {ends} the configuration was in force for {percent} % of the accounts: {}.",
            text(&document.outcome)
        ),
    };
    let rows = [
        ("the share, before", document.share.before),
        ("the share, since", document.share.now),
        ("the others, before", document.others.before),
        ("the others, since", document.others.now),
    ];
    let head = format!("{:<20}{:>12}{:>12}{:>12}\n", "", "requests", "4xx", "5xx");
    let table = rows.iter().fold(head, |text, (name, EndsDocument { requests, refused, failed })| {
        text + &format!("{name:<20}{requests:>12}{refused:>12}{failed:>12}\n")
    });
    let changed = match document.changed_accounts {
        0 => String::new(),
        count => format!(
            "\nIt is in force in any case for {} that changed.\n",
            counted(u64::try_from(count).unwrap_or(u64::MAX), "account")
        ),
    };
    format!("{first}\n\n{table}{changed}")
}
