//! `tollgate accounts import`: accounts of files and of exports into the store, whether a gateway runs or not.
//!
//! The store's file is written directly, a thousand accounts a transaction, so that a gateway beside it goes on changing
//! accounts. What is done again takes nothing back. A dry run does the same in a copy that is gone afterwards, so that
//! it finds whatever the import would.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::adopt::{self, Emptied};
use super::progress::Progress;
use crate::config::argument::ConfigFile;
use crate::config::{self, Config, rows};
use crate::ledger::store::import::Tally;
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::writing::transact;
use crate::ledger::store::{Act, Connection, StoreError, Via, copy_of, open};
use crate::operate::failure::Failure;
use crate::operate::importing::{Imported, Item, Told, Unfit};
use crate::operate::output::say;
use crate::platform::clock::unix_milliseconds;
use crate::platform::count::{counted, either};
use crate::policy::Policy;

/// Accounts of one transaction.
const BATCH: usize = 1000;

/// Bytes of one line of an export: far more than an account with all that it can have.
const MAX_LINE_BYTES: u64 = 1 << 30;

/// What is imported.
#[derive(Args)]
pub struct Import {
    #[command(flatten)]
    file: ConfigFile,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take the accounts out of the files that are named, once all of them are in the store, so that those of the store
    /// count: a file is emptied, and what it had is kept beside it as FILE.adopted. A gateway that runs follows in one
    /// step.
    #[arg(long, requires = "files")]
    adopt: bool,
    /// Print what was done as a JSON document.
    #[arg(long)]
    json: bool,
    /// Exports of a store, and files of accounts as `include` takes them. Default: every account that the files of the
    /// configuration have.
    files: Vec<PathBuf>,
}

/// What has become of an import.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    dry_run: bool,
    #[serde(flatten)]
    imported: Imported,
    /// Files were to be emptied, and are not.
    #[serde(skip)]
    is_kept: bool,
    /// Files that were emptied, or would be.
    emptied: Vec<String>,
}

/// Imports; its output goes to `out`.
///
/// # Errors
/// Why it was not done; that some accounts were refused.
pub fn run(import: Import, out: &mut impl Write) -> Result<(), Failure> {
    let Import { file: ConfigFile { config: path }, dry_run, adopt, json, files } = import;
    let config = config::load(&path)?;
    let store = config.store.as_ref().ok_or_else(|| no_store(&path))?;
    if adopt && !config.policy.has_store {
        return Err("nobody would be in force: `store.accounts` is files; set it to both or to store first".into());
    }
    let told = |error: StoreError| Failure::from(format!("{}: {error}", store.location));
    let connection = if dry_run { copy_of(&store.location) } else { open(&store.location) }.map_err(told)?;
    let mut importer = Importer {
        connection,
        policy: &config.policy,
        waiting: Vec::with_capacity(BATCH),
        from: String::new(),
        names: Vec::new(),
        outcome: Outcome { dry_run, ..Outcome::default() },
    };
    let (exports, others) = sorted(files.clone())?;
    if files.is_empty() || !others.is_empty() {
        importer.accounts(&path, &others)?;
    }
    for export in exports {
        importer.lines(&export)?;
    }
    let mut outcome = importer.outcome;
    match adopt {
        true if outcome.imported.is_whole() => outcome.adopt(&path, &others, &importer.names)?,
        kept => outcome.is_kept = kept,
    }
    let text = if json { format!("{:#}\n", json!(outcome)) } else { in_words(&outcome) };
    say(out, text)?;
    if outcome.imported.refused == 0 { Ok(()) } else { Err(Failure::Printed) }
}

/// That a configuration has no store.
pub fn no_store(path: &Path) -> Failure {
    format!("{} has no store; add one, as in store: {{ sqlite: tollgate.db }}", path.display()).into()
}

struct Importer<'p> {
    connection: Connection,
    /// What judges requests, with the accounts of files.
    policy: &'p Policy,
    waiting: Vec<Item>,
    /// What the audit says that it comes from.
    from: String,
    /// The accounts of files.
    names: Vec<String>,
    outcome: Outcome,
}

impl Importer<'_> {
    /// Imports accounts of files as the configuration reads them; of its own files if there are no others.
    fn accounts(&mut self, main: &Path, files: &[PathBuf]) -> Result<(), Failure> {
        let Config { policy, .. } = config::load_accounts(main, files)?;
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.from = if names.is_empty() { main.display().to_string() } else { names.join(", ") };
        let mut progress = Progress::new("imported", "accounts", policy.accounts.len());
        for account in policy.accounts.iter() {
            self.names.push(account.name.to_string());
            match rows::imported(account, &policy) {
                Ok(imported) => self.add(Item::Account(Box::new(imported)))?,
                Err(why) => {
                    let told = Told { at: account.name.to_string(), why: format!("it {why}") };
                    self.outcome.imported.refuse(told);
                }
            }
            progress.step(1);
        }
        self.commit()
    }

    /// Imports the lines of an export.
    fn lines(&mut self, path: &Path) -> Result<(), Failure> {
        let name = path.display().to_string();
        self.from.clone_from(&name);
        let unreadable = || Failure::system(format!("cannot read {name}"));
        let file = File::open(path).map_err(unreadable())?;
        let length = file.metadata().map_or(0, |found| found.len());
        let mut progress = Progress::of_bytes("imported", "accounts", length);
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut text = Vec::new();
        for number in 1_usize.. {
            text.clear();
            let read = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut text).map_err(unreadable())?;
            if read == 0 {
                break;
            }
            progress.read(read);
            if text.trim_ascii().is_empty() {
                continue;
            }
            let at = format!("{name}:{number}");
            match Item::line(at, &text) {
                Ok(line) => self.add(line)?,
                Err(told) => self.outcome.imported.refuse(told),
            }
            progress.step(1);
        }
        self.commit()
    }

    fn add(&mut self, item: Item) -> Result<(), Failure> {
        self.waiting.push(item);
        if self.waiting.len() < BATCH { Ok(()) } else { self.commit() }
    }

    /// Writes what waits in one transaction.
    fn commit(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() {
            return Ok(());
        }
        let actor = std::env::var("USER").ok().filter(|user| !user.is_empty());
        let act = Act {
            actor: actor.unwrap_or_else(|| "operator".to_owned()),
            via: Via::CommandLine,
            address: String::new(),
            at_ms: unix_milliseconds(),
            idempotency: None,
        };
        let Importer { connection, policy, from, outcome, .. } = self;
        let mut imported = outcome.imported.clone();
        let done = transact(connection, act, &mut SystemRandomness, None, |writing| {
            imported.add(writing, &batch, from, (policy, Unfit::IsKept))
        });
        done.map_err(|error| Failure::from(format!("the import has stopped: {error}")))?;
        outcome.imported = imported;
        Ok(())
    }
}

impl Outcome {
    /// Takes accounts out of their files, and counts those that other files still have.
    fn adopt(&mut self, main: &Path, files: &[PathBuf], names: &[String]) -> Result<(), Failure> {
        if self.dry_run {
            self.emptied = files.iter().map(|file| file.display().to_string()).collect();
            return Ok(());
        }
        let (emptied, config) = adopt::empty(main, files)?;
        self.imported.in_files = names.iter().filter(|name| config.policy.accounts.slot_of(name).is_some()).count();
        let said =
            |Emptied { file, kept }: Emptied| format!("{} (what it had is in {})", file.display(), kept.display());
        self.emptied = emptied.into_iter().map(said).collect();
        Ok(())
    }
}

/// Which files are exports, and which are accounts as the configuration reads them, with their whole paths.
fn sorted(files: Vec<PathBuf>) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    let (mut exports, mut others) = (Vec::new(), Vec::new());
    for path in files {
        let whole = path.canonicalize().map_err(Failure::system(format!("cannot find {}", path.display())))?;
        let is_export = is_export(&whole).map_err(Failure::system(format!("cannot read {}", path.display())))?;
        if is_export { exports.push(whole) } else { others.push(whole) }
    }
    Ok((exports, others))
}

/// Whether the first line of a file is one of an export.
fn is_export(path: &Path) -> std::io::Result<bool> {
    const BEGINNINGS: [&[u8]; 2] = [b"{\"plan\":", b"{\"account\":"];
    let mut beginning = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut beginning)?;
    let beginning = beginning.trim_ascii_start();
    Ok(BEGINNINGS.iter().any(|known| beginning.starts_with(known)))
}

fn in_words(outcome: &Outcome) -> String {
    let Outcome { dry_run, imported, is_kept, emptied } = outcome;
    let Imported { tally, refused, in_files, not_in_force, told } = imported;
    let Tally { created, extended, unchanged, tokens } = tally;
    let would = if *dry_run { "dry run, nothing was changed: " } else { "" };
    let mut text = format!(
        "{would}{} {} new, {extended} {} got tokens, {unchanged} {}, {refused} {} refused; {} {} new\n",
        counted(*created, "account"),
        either(created, "is", "are"),
        either(extended, "has", "have"),
        either(unchanged, "is as it was", "are as they were"),
        either(refused, "was", "were"),
        counted(*tokens, "token"),
        either(tokens, "is", "are"),
    );
    // Writing into a string cannot fail.
    for Told { at, why } in told {
        let _ = writeln!(text, "  {at}: {why}");
    }
    if *not_in_force > 0 {
        let they_are = either(not_in_force, "it is", "they are");
        let _ = writeln!(text, "{} cannot be in force as {they_are} written", counted(*not_in_force, "account"));
    }
    if *is_kept {
        text += "no file is emptied, since not all that they have can be in force from the store\n";
    }
    for file in emptied {
        let _ = writeln!(text, "{} emptied: {file}", if *dry_run { "would be" } else { "was" });
    }
    // Those of a dry run would be taken out.
    if *in_files > 0 && (emptied.is_empty() || !*dry_run) {
        let (are, count) = (either(in_files, "is", "are"), either(in_files, "counts", "count"));
        let it = either(in_files, "it", "them");
        let accounts = counted(*in_files, "account");
        let _ = writeln!(
            text,
            "{accounts} {are} in files of the configuration as well, which {count}: set `store.accounts` to store, or \
             take {it} out of the files (`--adopt` does that)"
        );
    }
    text
}
