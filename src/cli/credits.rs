//! `tollgate credits`: commands of operators for credits.
//!
//! While a gateway has the ledger open, every command goes through its admin API, since its
//! balances in memory are authoritative; otherwise the ledger is opened here, with the same code.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::argument::ConfigFile;
use crate::config::{self, Config};
use crate::ledger::entry::{Entry, Kind, Statement};
use crate::ledger::file::MAX_PAGE_ROWS;
use crate::ledger::{Corrected, Ledger, Page, Storage, opening};
use crate::operate::admin::answers::{Balances, Entries};
use crate::operate::admin::client::{Client, encoded};
use crate::operate::admin::correction::{self, CorrectionBody};
use crate::operate::failure::Failure;
use crate::operate::output::say;
use crate::operate::store_feed;
use crate::platform::count::counted;
use crate::policy::credits::CreditAccount;
use crate::site::status::notice::Moment;

/// The subcommands of `tollgate credits`.
#[derive(Subcommand)]
pub enum Command {
    /// Grant an account credits for a product.
    Grant(CorrectionArguments),
    /// Adjust an account's credits up or down; a balance cannot become negative.
    Adjust(CorrectionArguments),
    /// Show the balances of all accounts, or of one.
    Show {
        #[command(flatten)]
        common: Common,
        /// The account.
        account: Option<String>,
        /// Print one JSON document instead of columns, as GET /credits returns it.
        #[arg(long)]
        json: bool,
    },
    /// Show every row of the ledger for an account and a product, the oldest first.
    History {
        #[command(flatten)]
        common: Common,
        /// The account.
        account: String,
        /// The product.
        product: String,
        #[command(flatten)]
        rows: Rows,
        /// Print one JSON object per line instead of columns.
        #[arg(long)]
        json: bool,
    },
    /// Write every row of the ledger to standard output, the oldest first.
    Export {
        #[command(flatten)]
        common: Common,
        /// Only rows of this account.
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        rows: Rows,
        /// The format.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
    },
}

/// Arguments that every command has.
#[derive(Args)]
pub struct Common {
    #[command(flatten)]
    file: ConfigFile,
}

/// Which rows to include.
#[derive(Args, Clone, Copy)]
pub struct Rows {
    /// Only rows with a higher number than this.
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// Only rows written at this time or later, as in 2026-11-01T00:00:00Z.
    #[arg(long, value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Only rows written before this time.
    #[arg(long, value_parser = Moment::parse)]
    until: Option<Moment>,
}

/// A grant or an adjustment.
#[derive(Args)]
pub struct CorrectionArguments {
    #[command(flatten)]
    common: Common,
    /// The account.
    account: String,
    /// The product.
    product: String,
    /// Whole credits; an adjustment may be negative.
    #[arg(allow_hyphen_values = true)]
    amount: i64,
    /// A unique key for this change: if it is sent again with the same key, it is applied only
    /// once. Default: a random key, which is printed.
    #[arg(long)]
    key: Option<String>,
    /// The reason.
    #[arg(long, default_value = "")]
    why: String,
    /// Who makes the change.
    #[arg(long, env = "USER", default_value = "operator")]
    by: String,
}

/// The format of an export.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Csv,
    Jsonl,
}

/// Runs a command; its output goes to `out`.
///
/// # Errors
/// Why it was not done.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Grant(arguments) => correct(arguments, Kind::Grant, out),
        Command::Adjust(arguments) => correct(arguments, Kind::Adjustment, out),
        Command::Show { common, account, json } => show(&common, account.as_deref(), json, out),
        Command::History { common, account, product, rows, json: true } => {
            export(&common, &Selection { account: Some(account), product: Some(product), rows }, Format::Jsonl, out)
        }
        Command::History { common, account, product, rows, json: false } => {
            history(&common, &Selection { account: Some(account), product: Some(product), rows }, out)
        }
        Command::Export { common, account, rows, format } => {
            export(&common, &Selection { account, product: None, rows }, format, out)
        }
    }
}

fn correct(arguments: CorrectionArguments, kind: Kind, out: &mut impl Write) -> Result<(), Failure> {
    let CorrectionArguments { common, account, product, amount, key, why, by } = arguments;
    let books = Books::open(&common.file.config, Purpose::Write)?;
    let key = key.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let body = CorrectionBody { amount, by: Some(by), why };
    let Corrected { entry, again, balance } = books.correct(&account, &product, kind, &key, body)?;
    let done = if again { "existed already" } else { "was written" };
    let text = format!(
        "row {} {done}: {} of {} of {product} for {account}, key {key}\nbalance: {balance}\n",
        entry.id,
        entry.kind.word(),
        counted(entry.amount, "credit"),
    );
    say(out, &text)
}

fn show(common: &Common, account: Option<&str>, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let books = Books::open(&common.file.config, Purpose::Read)?;
    if json {
        let mut balances = Vec::new();
        books.statements(account, |statements| {
            balances.extend(statements);
            Ok(())
        })?;
        return say(out, format!("{:#}\n", serde_json::json!(Balances { balances })));
    }
    say(
        out,
        format!("{:<32}{:<16}{:>14}{:>10}{:>14}{:>14}\n", "account", "product", "balance", "held", "spent", "granted"),
    )?;
    books.statements(account, |statements| {
        let mut text = String::new();
        for Statement { account, product, balance, held, spent, granted } in statements {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{account:<32}{product:<16}{balance:>14}{held:>10}{spent:>14}{granted:>14}");
        }
        say(out, &text)
    })
}

fn history(common: &Common, selection: &Selection, out: &mut impl Write) -> Result<(), Failure> {
    let books = Books::open(&common.file.config, Purpose::Read)?;
    say(
        out,
        format!(
            "{:<10}{:<26}{:<12}{:>12}{:>10}  {:<38}{:<16}why\n",
            "row", "at", "kind", "credits", "lookups", "reference", "by"
        ),
    )?;
    books.entries(selection, |entries| {
        let mut text = String::new();
        for Entry { id, at, kind, amount, lookups, reference, by, why, .. } in entries {
            let kind = kind.word();
            let _ = writeln!(text, "{id:<10}{at:<26}{kind:<12}{amount:>12}{lookups:>10}  {reference:<38}{by:<16}{why}");
        }
        say(out, &text)
    })
}

/// The columns of an export: the members of a row, in their order.
const COLUMNS: [&str; 11] =
    ["id", "at", "account", "product", "kind", "amount", "lookups", "reference", "key", "by", "why"];

fn export(common: &Common, selection: &Selection, format: Format, out: &mut impl Write) -> Result<(), Failure> {
    let books = Books::open(&common.file.config, Purpose::Read)?;
    if let Format::Csv = format {
        // Also without any rows.
        say(out, format!("{}\n", COLUMNS.join(",")))?;
    }
    books.entries(selection, |entries| {
        let mut text = Vec::new();
        let written: Result<(), Failure> = match format {
            Format::Csv => {
                let mut rows = csv::WriterBuilder::new().has_headers(false).from_writer(&mut text);
                entries.iter().try_for_each(|entry| rows.serialize(entry)).map_err(|error| error.to_string().into())
            }
            Format::Jsonl => entries.iter().try_for_each(|entry| {
                serde_json::to_writer(&mut text, entry).map_err(|error| error.to_string())?;
                text.push(b'\n');
                Ok(())
            }),
        };
        written?;
        say(out, &text)
    })
}

/// The purpose for which the ledger is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
}

/// The ledger, wherever it is open at the moment.
enum Books {
    Here(Arc<Ledger>),
    /// A gateway has it open.
    There(Client),
}

impl Drop for Books {
    fn drop(&mut self) {
        match self {
            Books::Here(ledger) => ledger.close(),
            Books::There(_) => {}
        }
    }
}

impl Books {
    fn open(path: &Path, purpose: Purpose) -> Result<Books, Failure> {
        let mut config = config::load(path)?;
        let nobody_pays = |config: &Config| config.policy.credit_accounts().next().is_none();
        if config.store.is_none() && nobody_pays(&config) {
            return Err("no account of this configuration has credits; give one `credits`".into());
        }
        if let Some(client) = Client::of_ledger(&config, NO_CREDIT_ACCOUNT) {
            return Ok(Books::There(client));
        }
        if let Some(store) = &config.store {
            // What of it cannot be in force has no balance either.
            let _ = store_feed::take_in(store, &mut config.policy)?;
        }
        if nobody_pays(&config) {
            return Err("no account of this configuration or of its store has credits; give one some".into());
        }
        if purpose == Purpose::Read
            && let Some(Storage::File(file)) = config.ledger.as_ref().map(|settings| &settings.storage)
            && !file.exists()
        {
            return Err(format!(
                "the ledger {} does not exist yet; the gateway creates it when it starts, or the first grant does",
                file.display()
            )
            .into());
        }
        let ledger = opening::start(config.ledger, &Arc::new(config.policy), Instant::now(), None);
        Ok(Books::Here(ledger))
    }

    fn correct(
        &self,
        account: &str,
        product: &str,
        kind: Kind,
        key: &str,
        body: CorrectionBody,
    ) -> Result<Corrected, Failure> {
        match self {
            Books::Here(ledger) => {
                let correction =
                    correction::correction(credit_account(ledger, account, product)?, kind, Some(key), body)?;
                ledger.correct(correction).wait_here().map_err(Failure::NotDone)
            }
            Books::There(client) => {
                let end = match kind {
                    Kind::Adjustment => "adjustments",
                    Kind::Grant | Kind::Charge | Kind::Refund => "grants",
                };
                let path = format!("/accounts/{}/credits/{}/{end}", encoded(account), encoded(product));
                Ok(client.post(&path, Some(key), &body)?)
            }
        }
    }

    /// Passes all statements, or those of one account, to `each`, a page at a time.
    fn statements(
        &self,
        account: Option<&str>,
        mut each: impl FnMut(Vec<Statement>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match (self, account) {
            (Books::Here(ledger), account) => {
                usable(ledger)?;
                let wanted = |credit_account: &&Arc<CreditAccount>| {
                    account.is_none_or(|account| *credit_account.account == *account)
                };
                let register = ledger.register_of_licences();
                let found: Vec<Arc<CreditAccount>> = register.all().filter(wanted).map(Arc::clone).collect();
                ledger.known_here(found.clone())?;
                let found: Vec<Statement> = found.iter().map(Statement::of).collect();
                if found.is_empty() { Err(NO_CREDIT_ACCOUNT.into()) } else { each(found) }
            }
            (Books::There(client), Some(account)) => {
                let Balances { balances } = client.get(&format!("/accounts/{}/credits", encoded(account)))?;
                each(balances)
            }
            (Books::There(client), None) => {
                let mut skip = 0;
                loop {
                    let Balances { balances } = client.get(&format!("/credits?skip={skip}"))?;
                    if balances.is_empty() {
                        return Ok(());
                    }
                    skip += balances.len();
                    each(balances)?;
                }
            }
        }
    }

    /// Passes the rows of a selection to `each`, a page at a time; at least one page, even if it
    /// has no rows.
    fn entries(
        &self,
        selection: &Selection,
        mut each: impl FnMut(Vec<Entry>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut after = selection.rows.after;
        loop {
            let entries = match self {
                Books::Here(ledger) => ledger.page(selection.page(ledger, after)?).wait_here()?,
                Books::There(client) => client.get::<Entries>(&selection.path(after))?.entries,
            };
            let last = entries.last().map(|entry| entry.id);
            each(entries)?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }
}

/// Which rows are shown or exported.
struct Selection {
    account: Option<String>,
    /// Only together with an account.
    product: Option<String>,
    rows: Rows,
}

impl Selection {
    fn page(&self, ledger: &Ledger, after: i64) -> Result<Page, Failure> {
        let Rows { since, until, .. } = self.rows;
        let credit_account = match (&self.account, &self.product) {
            (Some(account), Some(product)) => Some(credit_account(ledger, account, product)?),
            (Some(_), None) | (None, _) => None,
        };
        let account = self.account.as_deref().filter(|_| credit_account.is_none()).map(Into::into);
        Ok(Page {
            credit_account,
            account,
            since: since.map(|since| since.0),
            until: until.map(|until| until.0),
            after,
            rows: MAX_PAGE_ROWS,
        })
    }

    /// The path of the request to a gateway that has the ledger open.
    fn path(&self, after: i64) -> String {
        let Rows { since, until, .. } = self.rows;
        let mut path = match (&self.account, &self.product) {
            (Some(account), Some(product)) => {
                format!("/accounts/{}/credits/{}/history?after={after}", encoded(account), encoded(product))
            }
            (Some(account), None) => format!("/credits/entries?after={after}&account={}", encoded(account)),
            (None, _) => format!("/credits/entries?after={after}"),
        };
        for (name, time) in [("since", since), ("until", until)] {
            if let Some(time) = time {
                // Writing into a string cannot fail.
                let _ = write!(path, "&{name}={}", time.text());
            }
        }
        path
    }
}

const NO_CREDIT_ACCOUNT: &str =
    "no account of this name has credits for it; `tollgate credits show` lists those that have";

fn credit_account(ledger: &Ledger, account: &str, product: &str) -> Result<Arc<CreditAccount>, Failure> {
    ledger.credit_account(account, product).ok_or(NO_CREDIT_ACCOUNT.into())
}

/// Fails if the ledger cannot be used, since its balances are not known then.
fn usable(ledger: &Ledger) -> Result<(), Failure> {
    ledger.page(Page { after: i64::MAX, rows: 1, ..Page::default() }).wait_here()?;
    Ok(())
}
