//! Accounts and tokens, from the configuration itself, from YAML files and from JSON Lines.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use super::Source;
use super::file;
use super::products::listed;
use super::units::Parsed;
use crate::account::{Account, Digest, Expiry, ProductSet, Token, Tokens};
use crate::check::domain::Domains;
use crate::check::network::Networks;
use crate::policy::Product;
use crate::quota::Rate;
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
    names: HashSet<Box<str>>,
    pub accounts: Vec<Account>,
    pub tokens: Tokens,
}

impl<'c> Gathered<'c> {
    /// Nothing yet.
    pub fn new(products: &'c [Product]) -> Gathered<'c> {
        Gathered {
            products,
            names: HashSet::new(),
            accounts: Vec::new(),
            tokens: Tokens::default(),
        }
    }

    /// Adds the accounts of a mapping.
    pub fn add_all(&mut self, accounts: Entries<file::Account>, mistakes: &mut Mistakes) {
        for (name, place, account) in accounts.0 {
            let compiled = self.compile(account.rate, account.tokens, &place, mistakes);
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
            let full = directory.join(&pattern);
            let is_pattern = pattern.contains(['*', '?', '[']);
            let Ok(found) = glob::glob(&full.to_string_lossy()) else {
                mistakes.push(
                    place,
                    "is not a pattern of file names; write one as in accounts.d/*.yaml",
                );
                continue;
            };
            let files: Vec<_> = found.flatten().collect();
            if files.is_empty() && !is_pattern {
                mistakes.push(
                    place.clone(),
                    "names a file that is not there; write its path from this file's directory",
                );
            }
            for file in files {
                self.include_file(&file, &place, mistakes);
            }
        }
    }

    fn include_file(&mut self, path: &Path, named_at: &Place, mistakes: &mut Mistakes) {
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
                    named_at.clone(),
                    "names a file of another kind; use .yaml, or .jsonl with one account a line",
                );
                Ok(())
            }
        };
        if let Err(error) = outcome {
            let place = Place {
                file: name.into(),
                line: 1,
                column: 1,
                path: ".".into(),
            };
            mistakes.push(place, format!("cannot be read ({error}); mend the file or its rights"));
        }
    }

    /// Adds one account a line. A line without mistakes is read by the fast parser; one that has
    /// any is read again by the one that knows places.
    fn add_lines(&mut self, name: &str, mut lines: impl BufRead, mistakes: &mut Mistakes) -> std::io::Result<()> {
        let before = mistakes.len();
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            if lines.by_ref().take(MAX_LINE_BYTES).read_line(&mut text)? == 0
                || mistakes.len() - before > MAX_MISTAKES_PER_FILE
            {
                break;
            }
            if text.trim().is_empty() {
                continue;
            }
            let at_line = Place {
                file: name.into(),
                line: number,
                column: 1,
                path: ".".into(),
            };
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
        let account = yaml::read::<file::AccountLine>(name, text, &mut of_line)
            .and_then(|(line, place)| self.compile_line(line, &place, &mut of_line));
        for mistake in of_line.iter() {
            let place = Place {
                file: at_line.file.clone(),
                line: number,
                ..mistake.place.clone()
            };
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
        let compiled = self.compile(line.rate, line.tokens, place, mistakes);
        name.map(|name| (name, compiled))
    }

    fn compile(
        &self,
        rate: Written<file::Rate>,
        tokens: Written<Listed<file::Token>>,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Compiled {
        let rate = self::rate(rate, place, mistakes);
        let tokens = tokens.take().unwrap_or_default().0;
        let tokens = tokens
            .into_iter()
            .filter_map(|(token, place)| self.token(token, place, mistakes))
            .collect();
        Compiled { rate, tokens }
    }

    fn add(&mut self, name: &str, compiled: Compiled, place: &Place, mistakes: &mut Mistakes) {
        if !self.names.insert(name.into()) {
            mistakes.push(
                place.clone(),
                "is an account that is there already; give each account one entry",
            );
            return;
        }
        let Ok(number) = u32::try_from(self.accounts.len()) else {
            return;
        };
        self.accounts.push(Account {
            name: name.into(),
            rate: compiled.rate,
        });
        for (digest, token, token_place) in compiled.tokens {
            if !self.tokens.insert(
                digest,
                Token {
                    account: number,
                    ..token
                },
            ) {
                let place = if token_place.line == 0 {
                    place.clone()
                } else {
                    token_place
                };
                mistakes.push(
                    place,
                    "has the digest of another token; make a new one with `tollgate token new`",
                );
            }
        }
    }

    fn token(&self, token: file::Token, place: Place, mistakes: &mut Mistakes) -> Option<(Digest, Token, Place)> {
        let name = token
            .name
            .require(&place, "name", "name the token, for logs and lists", mistakes);
        let digest = token.hash.require(
            &place,
            "hash",
            "write the digest that `tollgate token hash` prints",
            mistakes,
        );
        let products = self.products(token.products, &place, mistakes);
        let networks = match token.networks {
            Written::Missing => Networks::Any,
            written @ (Written::Bad | Written::Here(..)) => {
                let networks = listed(
                    written,
                    &place,
                    "networks",
                    "write networks, or remove the key to allow all",
                    mistakes,
                );
                Networks::listed(networks.into_iter().map(|(Parsed(network), _)| network))
            }
        };
        let absent = token.absent;
        let absent_allowed = matches!(absent.get(), Some(file::Absent::Allow));
        let domains = match token.domains {
            Written::Missing => {
                if let Some(place) = absent.place() {
                    mistakes.push(
                        place.clone(),
                        "says nothing without a list of domains; add `domains` or remove it",
                    );
                }
                Domains::Any
            }
            written @ (Written::Bad | Written::Here(..)) => {
                let domains = listed(
                    written,
                    &place,
                    "domains",
                    "write hosts, or remove the key to allow all",
                    mistakes,
                );
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
        for (name, place) in listed(
            products,
            parent,
            "products",
            "name the products that the token covers",
            mistakes,
        ) {
            match self.products.iter().find(|product| *product.name == *name) {
                Some(product) => set.insert(product.place),
                None => {
                    let known: Vec<_> = self.products.iter().map(|product| &*product.name).collect();
                    mistakes.push(
                        place,
                        format!("names no product; the products are {}", known.join(", ")),
                    );
                }
            }
        }
        set
    }
}

/// An account before it has its place in the policy.
struct Compiled {
    rate: Rate,
    tokens: Vec<(Digest, Token, Place)>,
}

fn rate(written: Written<file::Rate>, parent: &Place, mistakes: &mut Mistakes) -> Rate {
    const WANTED: &str = "write { limit: 150/min, burst: 150 }, or { unlimited: true }";
    let place = written.place().cloned().unwrap_or_default();
    let Some(rate) = written.require(parent, "rate", WANTED, mistakes) else {
        return Rate::Unlimited;
    };
    let burst = rate.burst.take();
    match (rate.limit, rate.unlimited.take()) {
        (Written::Here(Parsed(limit), place), None | Some(false)) => {
            let allowance = limit.with_burst(burst);
            if allowance.time_to_refill().is_none_or(|time| time > LONGEST_REFILL) {
                mistakes.push(
                    place,
                    "takes more than a year to refill its burst; write a smaller burst",
                );
            }
            Rate::limited(allowance)
        }
        (Written::Missing, Some(true)) if burst.is_none() => Rate::Unlimited,
        (Written::Bad, _) => Rate::Unlimited,
        (Written::Here(..) | Written::Missing, _) => {
            mistakes.push(place, format!("does not say one rate; {WANTED}"));
            Rate::Unlimited
        }
    }
}
