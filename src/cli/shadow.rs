//! `tollgate shadow`: a candidate policy beside the one in force, by way of the admin API of a running gateway.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::running::{client, done};
use crate::config::argument::ConfigFile;
use crate::operate::admin::answers::{ShadowStart, Shadowed};
use crate::operate::failure::Failure;
use crate::operate::output::say;
use crate::operate::shadow::{ByAccount, Example, ShadowDocument, Stage};
use crate::platform::count::counted;

/// Accounts and pairs that are shown in text; JSON has all that are counted.
const MOST_SHOWN: usize = 20;

/// Examples below the help.
pub const EXAMPLES: &str = "Examples:
  tollgate shadow start --config candidate.yaml    judge live requests by the candidate as well, without effect
  tollgate shadow status --config gateway.yaml     who would be refused or charged otherwise
  tollgate shadow promote --config gateway.yaml    put the candidate in force
  tollgate shadow drop --config gateway.yaml       let it go";

/// The subcommands of `tollgate shadow`.
#[derive(Subcommand)]
pub enum Command {
    /// Have a candidate judge every request beside the configuration in force. Its file has to be in the directory of that
    /// one; it is checked, and its tests are run.
    Start(ConfigFile),
    /// Show what the candidate has found so far: differences by row, price and account, with examples.
    Status {
        #[command(flatten)]
        file: ConfigFile,
        /// Print one JSON document instead of text, as GET /shadow returns it.
        #[arg(long)]
        json: bool,
    },
    /// Put the candidate in force, in place of the configuration's file. What that file had is kept beside it.
    Promote(ConfigFile),
    /// Let the candidate go. Nothing else changes.
    Drop(ConfigFile),
}

/// Runs a command; its output goes to `out`.
///
/// # Errors
/// Why it was not done.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Start(ConfigFile { config }) => {
            let client = client(&config)?;
            let body = ShadowStart { config: whole(&config).to_string_lossy().into_owned() };
            let Shadowed { detail, .. } = client.post("/shadow/start", None, &body)?;
            say(
                out,
                format!("{}\n\nThe shadow judges; `tollgate shadow status` shows what it finds.\n", detail.trim_end()),
            )
        }
        Command::Status { file, json } => {
            let document: ShadowDocument = client(&file.config)?.get("/shadow")?;
            if json {
                let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
                return say(out, text + "\n");
            }
            say(out, as_text(&document))
        }
        Command::Promote(ConfigFile { config }) => done(&config, "/shadow/promote", out),
        Command::Drop(ConfigFile { config }) => done(&config, "/shadow/drop", out),
    }
}

/// The full path of a file by its own name, whatever a link of that name leads to.
fn whole(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    path.file_name().map_or_else(|| path.to_owned(), |name| parent.join(name))
}

fn as_text(document: &ShadowDocument) -> String {
    let mut text = String::new();
    let (config, began) = (document.config.as_deref().unwrap_or(""), document.began.as_deref().unwrap_or(""));
    // Writing to a string cannot fail, here and below.
    let _ = match document.state {
        Stage::None => {
            return "There is no shadow. Start one with `tollgate shadow start --config candidate.yaml`.\n".to_owned();
        }
        Stage::Judging => writeln!(text, "{config} judges since {began}: {}\n", counted(document.decisions, "request")),
        Stage::Ended => {
            let (ended, why) = (document.ended.as_deref().unwrap_or(""), document.why.as_deref().unwrap_or(""));
            let requests = counted(document.decisions, "request");
            writeln!(text, "{config} judged from {began} to {ended} ({why}): {requests}\n")
        }
    };
    for (count, what) in [
        (document.same, "as they are"),
        (document.refused_otherwise, "refused otherwise"),
        (document.charged_otherwise, "charged otherwise"),
        (document.undecided, "undecided"),
        (document.lost, "lost, since there was no room for them"),
    ] {
        let _ = writeln!(text, "  {count:>12}  {what}");
    }
    let _ =
        writeln!(text, "\nCredits, where they are known: {} then, {} now", document.credits.then, document.credits.now);
    let rows = document.by_row.iter().map(|row| (row.count, format!("{} -> {}", row.then, row.now), &row.examples));
    write_pairs(&mut text, "Refused otherwise, by what was and what would be", rows);
    let prices = document
        .by_price
        .iter()
        .map(|price| (price.count, format!("{} -> {}", price.then, price.now), &price.examples));
    write_pairs(&mut text, "Charged otherwise, by the credits then and now", prices);
    write_accounts(&mut text, &document.by_account);
    text
}

fn write_pairs<'d>(
    text: &mut String,
    title: &str,
    pairs: impl ExactSizeIterator<Item = (u64, String, &'d Vec<Example>)>,
) {
    let more = pairs.len().saturating_sub(MOST_SHOWN);
    for (number, (count, pair, examples)) in pairs.take(MOST_SHOWN).enumerate() {
        if number == 0 {
            let _ = writeln!(text, "\n{title}");
        }
        let _ = writeln!(text, "  {count:>12}  {pair}");
        for Example { transaction_id, time, account } in examples {
            let who = account.as_ref().map_or_else(String::new, |account| format!(", {account}"));
            let _ = writeln!(text, "{:16}{transaction_id} at {time}{who}", "");
        }
    }
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
}

fn write_accounts(text: &mut String, accounts: &[ByAccount]) {
    if accounts.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n{:<24}{:>12}{:>12}{:>12}{:>12}{:>20}",
        "Account", "refused", "let in", "otherwise", "charged", "credits"
    );
    for of in accounts.iter().take(MOST_SHOWN) {
        let ByAccount { account, refused, let_in, otherwise, charged_otherwise, credits } = of;
        let credits = format!("{} -> {}", credits.then, credits.now);
        let _ =
            writeln!(text, "{account:<24}{refused:>12}{let_in:>12}{otherwise:>12}{charged_otherwise:>12}{credits:>20}");
    }
    let more = accounts.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "and {}", counted(more, "more account"));
    }
}
