//! Accounts and tokens, from the configuration itself, from YAML files and from JSON Lines.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::compile::check_name;
use super::products::{known, listed};
use super::units::Parsed;
use super::{Source, file};
use crate::account::{Account, Digest, Expiry, Licences, ProductSet, Token, Tokens};
use crate::check::domain::Domains;
use crate::check::network::Networks;
use crate::policy::Product;
use crate::quota::balance::MAX_CREDITS;
use crate::quota::credits::Licence;
use crate::quota::{Allowance, Arrival, Rate, Window};
use crate::yaml::{self, Entries, Listed, Mistakes, Place, Written};

/// Bytes of one line of a JSON Lines file: one account with all its tokens.
const MAX_LINE_BYTES: u64 = 4 * 1024 * 1024;

/// Mistakes that one JSON Lines file may have before the rest of it is left alone.
const MAX_MISTAKES_PER_FILE: usize = 20;

/// The longest time that a burst may need to be there again; far below what the clock can count.
const LONGEST_REFILL: Duration = Duration::from_secs(366 * 86_400);

/// Accounts and tokens as they are gathered.
pub struct Gathered<'c> {
    products: &'c [Product],
    /// Where the products are written, and what was wrong before any account was read.
    products_place: Place,
    before: Mistakes,
    /// The places in `accounts`, by their names.
    names: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Where each of `accounts` stands.
    account_spots: Vec<Spot>,
    /// Where each of `tokens` stands.
    token_spots: Vec<Spot>,
    /// What accounts may use, each allowance once.
    windows: HashMap<Allowance, Arc<Window>>,
    pub accounts: Vec<Account>,
    pub tokens: Tokens,
}

impl<'c> Gathered<'c> {
    /// Nothing yet.
    pub fn new(products: &'c [Product], root: &Place, before: Mistakes) -> Gathered<'c> {
        Gathered {
            products,
            products_place: root.key("products"),
            before,
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            account_spots: Vec::new(),
            token_spots: Vec::new(),
            windows: HashMap::new(),
            accounts: Vec::new(),
            tokens: Tokens::default(),
        }
    }

    /// Adds the accounts of a mapping.
    pub fn add_all(&mut self, accounts: Entries<file::Account>, mistakes: &mut Mistakes) {
        for (name, place, account) in accounts.0 {
            let compiled = self.compile(account.rate, account.credits, account.tokens, &place, mistakes);
            self.add(&name, compiled, &place, mistakes);
        }
    }

    /// Adds the accounts of the files that `include` names.
    pub fn include(&mut self, include: Listed<String>, source: &Source, mistakes: &mut Mistakes) {
        for (pattern, place) in include.0 {
            let Source::Directory(directory) = source else {
                mistakes.push(place, "cannot be included here; write the accounts into this file");
                continue;
            };
            match files(directory, &pattern) {
                Ok(files) => files.iter().for_each(|file| self.include_file(file, mistakes)),
                Err(what) => mistakes.push(place, what),
            }
        }
    }

    fn include_file(&mut self, path: &Path, mistakes: &mut Mistakes) {
        let name = path.display().to_string();
        let outcome = match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml" | "json") => super::read_bounded(path).map(|text| {
                if let Some((file, _)) = yaml::read::<file::AccountsFile>(&name, &text, mistakes) {
                    self.add_all(file.accounts, mistakes);
                }
            }),
            Some("jsonl" | "ndjson") => {
                std::fs::File::open(path).and_then(|file| self.add_lines(&name, BufReader::new(file), mistakes))
            }
            _ => {
                mistakes.push(
                    at_line(&name.as_str().into(), 1),
                    "is included, but its name does not tell what it is; end it in .yaml, or in .jsonl for one account a line",
                );
                Ok(())
            }
        };
        if let Err(error) = outcome {
            let what = format!("cannot be read ({error}); mend the file or its rights");
            mistakes.push(at_line(&name.into(), 1), what);
        }
    }

    /// Adds one account a line. A line without mistakes is read by the fast parser; one that has
    /// any is read again by the one that knows places.
    fn add_lines(&mut self, name: &str, mut lines: impl BufRead, mistakes: &mut Mistakes) -> std::io::Result<()> {
        let before = mistakes.len();
        let file = Arc::from(name);
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            if lines.by_ref().take(MAX_LINE_BYTES + 1).read_line(&mut text)? == 0 {
                break;
            }
            let at_line = at_line(&file, number);
            if u64::try_from(text.len()).is_ok_and(|bytes| bytes > MAX_LINE_BYTES) {
                let what = "is longer than 4 MiB, so that this file is read no further; write one account a line";
                mistakes.push(at_line, what);
                break;
            }
            if mistakes.len() - before > MAX_MISTAKES_PER_FILE {
                let what = "comes after so many mistakes that this file is read no further; mend those first";
                mistakes.push(at_line, what);
                break;
            }
            if text.trim().is_empty() {
                continue;
            }
            let mut of_line = Mistakes::default();
            let mut account = serde_json::from_str::<file::AccountLine>(&text)
                .ok()
                .and_then(|line| self.compile_line(line, &at_line, &mut of_line));
            if account.is_none() || !of_line.is_empty() {
                account = self.reread_line(name, &text, number, &at_line, mistakes);
            }
            if let Some((name, compiled)) = account {
                self.add(&name, compiled, &at_line, mistakes);
            }
        }
        Ok(())
    }

    fn reread_line(
        &self,
        name: &str,
        text: &str,
        number: usize,
        at_line: &Place,
        mistakes: &mut Mistakes,
    ) -> Option<(String, Compiled)> {
        let mut of_line = Mistakes::default();
        // Blank lines before it, so that a message that names two lines is right about both.
        let text = "\n".repeat(number.saturating_sub(1)) + text;
        let account = yaml::read::<file::AccountLine>(name, &text, &mut of_line)
            .and_then(|(line, place)| self.compile_line(line, &place, &mut of_line));
        for mistake in of_line.iter() {
            let place = Place { file: at_line.file.clone(), line: number, ..mistake.place.clone() };
            mistakes.push(place, mistake.what.clone());
        }
        account
    }

    fn compile_line(
        &self,
        line: file::AccountLine,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Option<(String, Compiled)> {
        let name = line.name.require(place, "name", "name the account", mistakes);
        let compiled = self.compile(line.rate, line.credits, line.tokens, place, mistakes);
        name.map(|name| (name, compiled))
    }

    fn compile(
        &self,
        rate: Written<file::Rate>,
        credits: Entries<file::Funds>,
        tokens: Written<Listed<file::Token>>,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Compiled {
        let rate = self::rate(rate, place, mistakes);
        let funds = self.funds(credits, mistakes);
        let tokens = tokens.take().unwrap_or_default().0;
        let tokens: Vec<_> =
            tokens.into_iter().filter_map(|(token, place)| self.token(token, place, mistakes)).collect();
        // Whoever forgets the line must not give lookups away.
        for product in self.products.iter().filter(|product| product.tariff.is_some()) {
            let used = tokens.iter().any(|(_, token, _)| token.products.contains(product.place));
            let told = funds.iter().any(|(known, _)| *known == product.place);
            if used && !told && !mistakes.touch(&place.key("credits")) {
                let name = &product.name;
                let what = format!(
                    "says nothing of {name}, whose lookups cost credits; write {{ {name}: 1000 }}, or {{ {name}: unmetered }}"
                );
                mistakes.push(place.key("credits"), what);
            }
        }
        Compiled { rate, funds, tokens }
    }

    /// The products that an account has credits for, or needs none.
    fn funds(&self, credits: Entries<file::Funds>, mistakes: &mut Mistakes) -> Vec<(u8, file::Funds)> {
        let mut compiled = Vec::new();
        for (name, place, funds) in credits.0 {
            match self.products.iter().find(|product| *product.name == *name) {
                None => self.unknown_product(&name, place, mistakes),
                Some(product) if product.tariff.is_none() => {
                    // Prices that could not be read are not missing.
                    if !self.before.touch(&self.products_place.key(&name).key("credits")) {
                        let what = "is a product without prices; give the product `credits`, or remove it here";
                        mistakes.push(place, what);
                    }
                }
                Some(product) => {
                    if matches!(funds, file::Funds::FirstGrant(credits) if credits > MAX_CREDITS) {
                        mistakes.push(place, format!("is too much; write at most {MAX_CREDITS} credits"));
                    }
                    compiled.push((product.place, funds));
                }
            }
        }
        compiled
    }

    fn unknown_product(&self, name: &str, place: Place, mistakes: &mut Mistakes) {
        // One that is there but could not be read is not unknown, and if there is none that is a
        // mistake already.
        if !self.products.is_empty() && !self.before.touch(&self.products_place.key(name)) {
            let known = known(self.products.iter().map(|product| &*product.name));
            mistakes.push(place, format!("names no product; {known}"));
        }
    }

    fn add(&mut self, name: &str, compiled: Compiled, place: &Place, mistakes: &mut Mistakes) {
        check_name(name, place, mistakes);
        let hash = self.hasher.hash_one(name);
        let is_equal = |place: &u32| name_at(&self.accounts, *place) == name;
        let known = self.names.find(hash, is_equal).and_then(|place| usize::try_from(*place).ok());
        if let Some(first) = known.and_then(|place| self.account_spots.get(place)) {
            let what = format!("is an account that is there already ({first}); give each account one entry");
            mistakes.push(place.clone(), what);
            return;
        }
        let Ok(number) = u32::try_from(self.accounts.len()) else {
            return;
        };
        let name: Arc<str> = name.into();
        let licence = |(place, funds): &(u8, file::Funds)| match funds {
            file::Funds::Unmetered => None,
            file::Funds::FirstGrant(credits) => {
                let product = self.products.iter().find(|product| product.place == *place)?;
                let licence = Licence::new(Arc::clone(&name), Arc::clone(&product.name), *credits);
                Some((*place, Arc::new(licence)))
            }
        };
        let licences: Licences = compiled.funds.iter().filter_map(licence).collect::<Vec<_>>().into();
        let rate = compiled.rate.map_or(Rate::Unlimited, |allowance| {
            let window = self.windows.entry(allowance).or_insert_with(|| Arc::new(Window::new(allowance)));
            Rate::within(Arc::clone(window))
        });
        self.accounts.push(Account { name, rate, enquiries: Arrival::default(), licences });
        self.account_spots.push(Spot::of(place));
        let (accounts, hasher) = (&self.accounts, &self.hasher);
        self.names.insert_unique(hash, number, |place| hasher.hash_one(name_at(accounts, *place)));
        for (digest, token, token_place) in compiled.tokens {
            let place = if token_place.line == 0 { place } else { &token_place };
            if let Some(first) = self.tokens.place(&digest).and_then(|place| self.token_spots.get(place)) {
                let what = format!(
                    "has the digest of another token ({first}); remove one, or make a new one with `tollgate token new`"
                );
                mistakes.push(place.clone(), what);
                continue;
            }
            if self.tokens.insert(digest, Token { account: number, ..token }) {
                self.token_spots.push(Spot::of(place));
            }
        }
    }

    fn token(&self, token: file::Token, place: Place, mistakes: &mut Mistakes) -> Option<(Digest, Token, Place)> {
        let name_place = token.name.place().cloned();
        let name = token.name.require(&place, "name", "name the token, for logs and lists", mistakes);
        if let (Some(name), Some(name_place)) = (&name, &name_place) {
            check_name(name, name_place, mistakes);
        }
        let digest = token.hash.require(&place, "hash", "write the digest that `tollgate token hash` prints", mistakes);
        let products = self.products(token.products, &place, mistakes);
        let networks = match token.networks {
            Written::Missing => Networks::Any,
            written @ (Written::Bad | Written::Here(..)) => {
                let networks =
                    listed(written, &place, "networks", "write networks, or remove the key to allow all", mistakes);
                Networks::listed(networks.into_iter().map(|(Parsed(network), _)| network))
            }
        };
        let absent = token.absent;
        let absent_allowed = matches!(absent.get(), Some(file::Absent::Allow));
        let domains = match token.domains {
            Written::Missing => {
                if let Some(place) = absent.place() {
                    mistakes.push(place.clone(), "says nothing without a list of domains; add `domains` or remove it");
                }
                Domains::Any
            }
            written @ (Written::Bad | Written::Here(..)) => {
                let domains =
                    listed(written, &place, "domains", "write hosts, or remove the key to allow all", mistakes);
                Domains::listed(domains.into_iter().map(|(Parsed(domain), _)| domain), absent_allowed)
            }
        };
        let token = Token {
            name: name?.into(),
            account: 0,
            products,
            enabled: !token.disabled.take().unwrap_or(false),
            expiry: token.expires.take().map_or(Expiry::Never, |expiry| expiry.0),
            networks,
            domains,
        };
        Some((digest?.0, token, place))
    }

    fn products(&self, products: Written<Listed<String>>, parent: &Place, mistakes: &mut Mistakes) -> ProductSet {
        let mut set = ProductSet::default();
        for (name, place) in listed(products, parent, "products", "name the products that the token covers", mistakes) {
            match self.products.iter().find(|product| *product.name == *name) {
                Some(product) => set.insert(product.place),
                None => self.unknown_product(&name, place, mistakes),
            }
        }
        set
    }
}

/// Where something stands, as short as a message needs it: there are millions.
struct Spot {
    file: Arc<str>,
    line: usize,
}

impl Spot {
    fn of(place: &Place) -> Spot {
        Spot { file: Arc::clone(&place.file), line: place.line }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

fn at_line(file: &Arc<str>, line: usize) -> Place {
    Place { file: Arc::clone(file), line, column: 1, path: ".".into() }
}

/// The files that a pattern of `include` names, or what is wrong with it.
fn files(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    const WILD: [char; 3] = ['*', '?', '['];
    let whole = directory.join(pattern);
    if !pattern.contains(WILD) {
        return if whole.is_file() {
            Ok(vec![whole])
        } else {
            Err("names a file that is not there; write its path from this file's directory".to_owned())
        };
    }
    let fixed: PathBuf =
        Path::new(pattern).components().take_while(|part| !part.as_os_str().to_string_lossy().contains(WILD)).collect();
    // A pattern may match nothing yet, but a mistyped directory would drop all its accounts.
    if std::fs::read_dir(directory.join(&fixed).join(".")).is_err() {
        return Err("has a directory that is not there or cannot be read; make it, or write its path from this file's directory".to_owned());
    }
    // The directory's own name is no pattern.
    let escaped = if Path::new(pattern).is_absolute() {
        PathBuf::from(pattern)
    } else {
        Path::new(&glob::Pattern::escape(&directory.to_string_lossy())).join(pattern)
    };
    let not_a_pattern = |_| "is not a pattern of file names; write one as in accounts.d/*.yaml".to_owned();
    glob::glob(&escaped.to_string_lossy())
        .map_err(not_a_pattern)?
        .collect::<Result<_, _>>()
        .map_err(|error| format!("matches what cannot be read ({}); mend its rights", error.error()))
}

/// An account before it has its place in the policy.
struct Compiled {
    rate: Option<Allowance>,
    funds: Vec<(u8, file::Funds)>,
    tokens: Vec<(Digest, Token, Place)>,
}

/// The name of the account at a place.
fn name_at(accounts: &[Account], place: u32) -> &str {
    usize::try_from(place).ok().and_then(|place| accounts.get(place)).map_or("", |account| &account.name)
}

fn rate(written: Written<file::Rate>, parent: &Place, mistakes: &mut Mistakes) -> Option<Allowance> {
    let place = written.place().cloned().unwrap_or_default();
    rate_of(written.require(parent, "rate", RATE_WANTED, mistakes)?, place, mistakes)
}

const RATE_WANTED: &str = "write { limit: 150/min, burst: 150 }, or { unlimited: true }";

/// What a rate allows; `None` for one without limits, or with a mistake.
pub fn rate_of(rate: file::Rate, place: Place, mistakes: &mut Mistakes) -> Option<Allowance> {
    let burst_place = rate.burst.place().cloned();
    let burst = rate.burst.take();
    match (rate.limit, rate.unlimited) {
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Here(Parsed(limit), _), Written::Missing | Written::Here(false, _)) => {
            let allowance = limit.with_burst(burst);
            if let Some(place) = burst_place
                && allowance.time_to_refill().is_none_or(|time| time > LONGEST_REFILL)
            {
                let what = "takes more than a year to be there again at this rate; write a smaller burst";
                mistakes.push(place, what);
            }
            Some(allowance)
        }
        (Written::Missing, Written::Here(true, _)) if burst.is_none() => None,
        (Written::Here(..) | Written::Missing, _) => {
            mistakes.push(place, format!("does not say one rate; {RATE_WANTED}"));
            None
        }
    }
}
