//! Accounts and tokens, from the configuration itself, from YAML files and from JSON Lines.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::account::{self, AccountContext, Compiled};
use super::common::{check_name, share};
use super::counting::Counting;
use super::following::{Around, Predecessor, Shortcuts};
use super::lines::{self, Lines, Next};
use super::products::Draft;
use super::source::{MAX_FILE_BYTES, MAX_LINES_BYTES, Source, matching, push_unreadable};
use crate::config::yaml::{self, Entries, Listed, Mistakes, Place, Written};
use crate::platform::files::Unreadable;
use crate::platform::pace;
use crate::policy::account::directory::{Accounts, NameTaken, Text, Twice, Unchanged};
use crate::policy::account::{Account, CreditAccounts, Key};
use crate::policy::check::domain::{DomainList, Domains};
use crate::policy::check::network::{Networks, Ranges};
use crate::policy::credits::CreditAccount;
use crate::policy::meter::Meter;
use crate::policy::plan::Plan;
use crate::policy::rate::{Rate, Tat};
use crate::policy::seconds::Seconds;

/// The most mistakes in one JSON Lines file before the rest of it is not read.
const MAX_MISTAKES_PER_FILE: usize = 20;

/// The only key of a YAML file with accounts.
const ACCOUNTS: &str = "accounts";

/// The read buffer of a JSON Lines file in bytes.
const READ_BYTES: usize = 32 * 1024;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::account::written::Account;
    use crate::config::yaml::Entries;

    /// An included YAML file: only accounts.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct AccountsFile {
        /// Customers, each with a name of your choice.
        pub accounts: Entries<Account>,
    }
}

/// Accounts and tokens as they are gathered.
pub struct AccountsBuilder<'c> {
    rules: AccountContext<'c>,
    shortcuts: Option<&'c Shortcuts<'c>>,
    /// Accounts in force, if some of them are the store's.
    from_store: Option<&'c Accounts>,
    /// What texts were made into before, if they would be made into the same now.
    unchanged: Option<Unchanged<'c>>,
    /// The files that spots are in.
    files: Vec<Arc<str>>,
    /// Where each account stands, and which of `token_spots` is its first.
    account_spots: Vec<(ShortPlace, u32)>,
    /// Where each token stands.
    token_spots: Vec<ShortPlace>,
    /// What accounts and tokens may use, each rule once.
    counting: Counting,
    networks: HashSet<Arc<Ranges>>,
    domains: HashSet<Arc<DomainList>>,
    pub accounts: Accounts,
}

/// Of accounts in files where the store alone counts.
const NOT_IN_FORCE: &str = "is not in force, since `store.accounts` is store; remove it when `tollgate accounts import` \
                            has brought it into the store";

impl<'c> AccountsBuilder<'c> {
    /// Nothing yet. Tokens are judged by the time, in seconds of Unix time.
    pub fn new(
        products: &'c [Draft],
        plans: &'c [Arc<Plan>],
        root: &Place,
        before: Mistakes,
        around: Around<'c>,
        shortcuts: Option<&'c Shortcuts<'c>>,
    ) -> AccountsBuilder<'c> {
        const DAY: Seconds = 86_400;
        let predecessor = shortcuts.and_then(|shortcuts| shortcuts.predecessor);
        let known = predecessor.map(|predecessor| &predecessor.policy.accounts);
        // What accounts are made into depends on their text and on this.
        let same_terms = |predecessor: &Predecessor<'_>| {
            let before = predecessor.policy.products.iter();
            let before =
                before.map(|known| (&*known.name, known.index, (known.is_priced, known.balance), &known.allowances));
            let drafts = products.iter();
            before
                .eq(drafts
                    .map(|draft| (&*draft.name, draft.index, (draft.is_priced, draft.balance), &draft.allowances)))
                && *predecessor.policy.plans == *plans
        };
        AccountsBuilder {
            rules: AccountContext {
                products,
                source: around.source,
                today: u32::try_from(around.now / DAY).unwrap_or(u32::MAX),
                plans,
                products_place: root.key("products"),
                plans_place: root.key("plans"),
                before,
            },
            shortcuts,
            from_store: around.from_store.filter(|known| known.from_store().next().is_some()),
            unchanged: known.filter(|_| predecessor.is_some_and(same_terms)).map(Unchanged::of),
            files: Vec::new(),
            account_spots: Vec::with_capacity(known.map_or(0, Accounts::len)),
            token_spots: Vec::with_capacity(known.map_or(0, Accounts::tokens)),
            counting: Counting::default(),
            networks: HashSet::new(),
            domains: HashSet::new(),
            accounts: known.map_or_else(|| Accounts::new(pace::step), Accounts::following),
        }
    }

    /// All accounts that a configuration has: those of the mapping and of the files that `include` names, if accounts of
    /// files are in force; or those of other files, for an import.
    pub fn gather(
        mut self,
        accounts: Entries<account::written::Account>,
        include: Written<Listed<String>>,
        are_in_force: bool,
        around: Around<'_>,
        mistakes: &mut Mistakes,
    ) -> Accounts {
        match around.instead {
            Some(files @ [_, ..]) => files.iter().for_each(|file| self.include_file(file, mistakes)),
            None if !are_in_force => {
                let first = accounts.0.into_iter().map(|(_, place, _)| place).next();
                for place in first.into_iter().chain(include.place().cloned()) {
                    mistakes.warn(place, NOT_IN_FORCE);
                }
            }
            Some([]) | None => {
                self.add_all(accounts, mistakes);
                self.include(include.take().unwrap_or_default(), around.source, mistakes);
            }
        }
        self.accounts
    }

    /// Adds the accounts of a mapping.
    pub fn add_all(&mut self, accounts: Entries<account::written::Account>, mistakes: &mut Mistakes) {
        for (name, place, account) in accounts.0 {
            let compiled = self.rules.compile(account, &place, mistakes);
            self.add_compiled(&name, compiled, &place, mistakes);
        }
    }

    /// Adds the accounts of the files that `include` names.
    pub fn include(&mut self, include: Listed<String>, source: &Source, mistakes: &mut Mistakes) {
        for (pattern, place) in include.0 {
            let Source::Directory(directory) = source else {
                mistakes.push(place, "cannot be included here; write the accounts into this file");
                continue;
            };
            if pattern.contains(WILD) {
                directory.note_pattern(&whole_pattern(&directory.path, &pattern));
                // When its directory is created, that is a change.
                directory.note(&directory.path.join(fixed_part(&pattern)));
            } else {
                directory.note(&directory.path.join(&pattern));
            }
            match files(&directory.path, &pattern) {
                Ok(files) => {
                    for file in files {
                        directory.note(&file);
                        self.include_file(&file, mistakes);
                    }
                }
                Err(what) => mistakes.push(place, what),
            }
        }
    }

    fn include_file(&mut self, path: &Path, mistakes: &mut Mistakes) {
        let name = path.display().to_string();
        let outcome = match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml" | "json") => {
                crate::platform::files::text(path, MAX_FILE_BYTES).map(|text| self.add_file(&name, &text, mistakes))
            }
            Some("jsonl" | "ndjson") => crate::platform::files::open(path).and_then(|file| {
                let file = BufReader::with_capacity(READ_BYTES, file);
                self.add_lines(&name, file, mistakes)
            }),
            _ => {
                mistakes.push(
                    at_line(&name.as_str().into(), 1),
                    "is included, but its name does not end in its format; use .yaml, or .jsonl for one account per line",
                );
                Ok(())
            }
        };
        if let Err(why) = outcome {
            push_unreadable(&name, &why, "fix the file, its permissions or its link, or remove it", mistakes);
        }
    }

    /// Adds the accounts of a YAML file: entry by entry, if it can be split, or as a whole.
    fn add_file(&mut self, name: &str, text: &str, mistakes: &mut Mistakes) {
        let place = at_line(&name.into(), 1);
        let parts = self.shortcuts.and_then(|_| yaml::entries(text, ACCOUNTS));
        let Some(parts) = parts.filter(|parts| parts.len() > 1) else {
            self.add_text(name, 0, text, Text::File, &place, mistakes);
            return;
        };
        self.take_shortcut();
        let mut with_key = String::new();
        // Each part is read below a line with the key.
        let of_parts: usize = parts.iter().map(|part| lines_in(part)).sum();
        let mut lines_before = lines_in(text).saturating_sub(of_parts).saturating_sub(1);
        for part in parts {
            pace::step();
            with_key.clear();
            with_key.extend([ACCOUNTS, ":\n", part]);
            self.add_text(name, lines_before, &with_key, Text::Entries, &place, mistakes);
            if !mistakes.is_empty() {
                return;
            }
            lines_before = lines_before.saturating_add(lines_in(part));
        }
    }

    /// Adds the accounts of a text of YAML that stands behind so many lines of its file. One that is as it
    /// was is what it was, and says nothing again of what it was warned of.
    fn add_text(
        &mut self,
        name: &str,
        lines_before: usize,
        text: &str,
        kind: Text,
        place: &Place,
        mistakes: &mut Mistakes,
    ) {
        let fingerprint = self.accounts.fingerprint(kind, text);
        if self.keep(fingerprint, place, mistakes) {
            return;
        }
        let first = self.accounts.len();
        if let Some((file, _)) = yaml::read_after::<written::AccountsFile>(name, lines_before, text, mistakes) {
            self.add_all(file.accounts, mistakes);
        }
        self.accounts.note(fingerprint, first);
    }

    /// Adds the accounts that a text was made into before, if it was there; whether it was.
    fn keep(&mut self, fingerprint: u64, place: &Place, mistakes: &mut Mistakes) -> bool {
        let Some(accounts) = self.unchanged.as_mut().and_then(|unchanged| unchanged.find(fingerprint)) else {
            return false;
        };
        self.take_shortcut();
        let first = self.accounts.len();
        for account in accounts {
            self.add(Arc::clone(account), &[], place, mistakes);
        }
        self.accounts.note(fingerprint, first);
        true
    }

    fn take_shortcut(&self) {
        self.shortcuts.iter().for_each(|shortcuts| shortcuts.taken.set(true));
    }

    /// Adds one account a line. A line that is as it was is what it was.
    fn add_lines(&mut self, name: &str, from: impl BufRead, mistakes: &mut Mistakes) -> Result<(), Unreadable> {
        let before = mistakes.len();
        let mut place = at_line(&name.into(), 0);
        let mut lines = Lines::new(from, MAX_LINES_BYTES);
        loop {
            let (number, text) = match lines.next()? {
                Next::Line(number, text) => (number, text),
                Next::TooLong(number) => {
                    let what = "is longer than 4 MiB, so the rest of this file is not read; write one account per line";
                    mistakes.push(Place { line: number, ..place }, what);
                    return Ok(());
                }
                Next::NotUtf8(spot) => {
                    let (line, column) = (spot.line, spot.column);
                    mistakes.push(Place { line, column, ..place }, spot.to_string());
                    return Ok(());
                }
                Next::OtherEncoding(why) => return Err(why),
                Next::TooLarge => {
                    let what = "is beyond 4 GiB of the file, the rest of which is not read; split the file";
                    mistakes.push(Place { line: place.line.saturating_add(1), ..place }, what);
                    return Ok(());
                }
                Next::End => return Ok(()),
            };
            place.line = number;
            if mistakes.len() - before > MAX_MISTAKES_PER_FILE {
                let what = "comes after so many mistakes that the rest of this file is not read; fix those first";
                mistakes.push(place, what);
                return Ok(());
            }
            pace::step();
            if pace::is_spent() {
                mistakes.push(place, yaml::TOO_LONG);
                return Ok(());
            }
            let fingerprint = self.accounts.fingerprint(Text::Line, text);
            if self.keep(fingerprint, &place, mistakes) {
                continue;
            }
            let first = self.accounts.len();
            if let Some((name, compiled)) = lines::compile(&self.rules, text, &place, mistakes) {
                self.add_compiled(&name, compiled, &place, mistakes);
                self.accounts.note(fingerprint, first);
            }
        }
    }

    fn add_compiled(&mut self, name: &str, compiled: Compiled, place: &Place, mistakes: &mut Mistakes) {
        check_name(name, place, mistakes);
        let predecessor = self.shortcuts.and_then(|shortcuts| shortcuts.predecessor);
        let name: Arc<str> = name.into();
        let credit_account = |(place, funds): &(u8, account::written::Funds)| match funds {
            account::written::Funds::Unmetered => None,
            account::written::Funds::FirstGrant(credits) => {
                let product = self.rules.products.iter().find(|product| product.index == *place)?;
                let known = predecessor.and_then(|before| (before.credit_account)(&name, &product.name));
                let new = || Arc::new(CreditAccount::new(Arc::clone(&name), Arc::clone(&product.name), *credits));
                Some((*place, known.unwrap_or_else(new)))
            }
        };
        let credit_accounts: CreditAccounts =
            compiled.funds.iter().filter_map(credit_account).collect::<Vec<_>>().into();
        let (rate, meter) = self.limits(&name, &compiled);
        let (mut keys, places): (_, Vec<Place>) = compiled.tokens.into_iter().unzip();
        for Key { token, .. } in AsMut::<[Key]>::as_mut(&mut keys) {
            if let Networks::Listed(list) = &mut token.networks {
                share(&mut self.networks, list);
            }
            if let Domains::Listed(list) = &mut token.domains {
                share(&mut self.domains, list);
            }
        }
        let account = Account { name, rate, meter, account_info_rate: Tat::default(), credit_accounts, keys };
        self.add(Arc::new(account), &places, place, mistakes);
    }

    /// What an account is counted in, with the limits of its products and tokens.
    fn limits(&mut self, name: &Arc<str>, compiled: &Compiled) -> (Rate, Option<Arc<Meter>>) {
        let Compiled { terms, plan, of_tokens, tokens, .. } = compiled;
        let plan = plan.as_ref().map(|plan| Arc::clone(&plan.name));
        let covered = tokens.iter().map(|(key, _)| key.token.products).collect();
        let products = self.rules.products.iter().map(|draft| (&draft.name, draft.index, &draft.allowances));
        self.counting.of(name, (terms, plan), covered, products, of_tokens.iter().cloned())
    }

    /// Adds an account and where its tokens stand, unless they stand where it does.
    fn add(&mut self, account: Arc<Account>, token_places: &[Place], place: &Place, mistakes: &mut Mistakes) {
        self.compare_with_store(&account, token_places, place, mistakes);
        let tokens = account.keys.len();
        let twice = match self.accounts.push(account) {
            Ok(twice) => twice,
            Err(NameTaken { slot }) => {
                let first = self.account_spots.get(slot).map(|(spot, _)| self.told(spot)).unwrap_or_default();
                let what = format!("is an account that exists already ({first}); give each account one entry");
                mistakes.push(place.clone(), what);
                return;
            }
        };
        let place_of = |own: usize| token_places.get(own).filter(|token| token.line > 0).unwrap_or(place);
        let first_token = u32::try_from(self.token_spots.len()).unwrap_or(u32::MAX);
        for own in 0..tokens {
            let spot = self.spot(place_of(own));
            self.token_spots.push(spot);
        }
        let spot = self.spot(place);
        self.account_spots.push((spot, first_token));
        for twice in twice {
            let first = self.token_spot(&twice).map(|spot| self.told(spot)).unwrap_or_default();
            let what = format!(
                "has the digest of another token ({first}); remove one, or make a new one with `tollgate token new`"
            );
            mistakes.push(place_of(twice.own).clone(), what);
        }
    }

    /// Names and digests are unique over files and the store, and what the store has was there first.
    fn compare_with_store(&self, account: &Account, token_places: &[Place], place: &Place, mistakes: &mut Mistakes) {
        let Some(known) = self.from_store else { return };
        if known.slot_of(&account.name).is_some_and(|slot| known.is_from_store(slot)) {
            mistakes
                .push(place.clone(), "is an account that the store has; take it out of this file, or out of the store");
        }
        for (own, key) in account.keys.iter().enumerate() {
            let found = known.find(&key.digest).filter(|found| known.is_from_store(found.account_index));
            if let Some(found) = found.filter(|found| found.account.name != account.name) {
                let place = token_places.get(own).filter(|token| token.line > 0).unwrap_or(place);
                let name = &found.account.name;
                let what = format!(
                    "has the digest of a token that the store has (of the account {name}); remove it, or make a new one with `tollgate token new`"
                );
                mistakes.push(place.clone(), what);
            }
        }
    }

    /// Where the token stands that had a digest first.
    fn token_spot(&self, twice: &Twice) -> Option<&ShortPlace> {
        let (_, first) = self.account_spots.get(twice.slot)?;
        self.token_spots.get(usize::try_from(*first).ok()?.checked_add(twice.first)?)
    }

    fn spot(&mut self, place: &Place) -> ShortPlace {
        if self.files.last().is_none_or(|last| !Arc::ptr_eq(last, &place.file) && *last != place.file) {
            self.files.push(Arc::clone(&place.file));
        }
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ShortPlace { file: short(self.files.len() - 1), line: short(place.line) }
    }

    /// A spot as messages tell it.
    fn told(&self, spot: &ShortPlace) -> String {
        let file = usize::try_from(spot.file).ok().and_then(|file| self.files.get(file));
        format!("{}:{}", file.map_or("", |file| file), spot.line)
    }
}

/// Where something stands, as short as a message needs it: there are millions.
struct ShortPlace {
    /// The place in the list of files.
    file: u32,
    line: u32,
}

fn lines_in(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

fn at_line(file: &Arc<str>, line: usize) -> Place {
    Place { file: Arc::clone(file), line, column: 1, path: ".".into() }
}

/// What makes a name a pattern.
const WILD: [char; 3] = ['*', '?', '['];

/// The part of a pattern before whatever is not fixed.
fn fixed_part(pattern: &str) -> PathBuf {
    Path::new(pattern).components().take_while(|part| !part.as_os_str().to_string_lossy().contains(WILD)).collect()
}

/// A pattern with its directory, whose own name is no pattern.
fn whole_pattern(directory: &Path, pattern: &str) -> String {
    let escaped = glob::Pattern::escape(&directory.to_string_lossy());
    // An absolute pattern stands for itself.
    Path::new(&escaped).join(pattern).to_string_lossy().into_owned()
}

/// The files that a pattern of `include` names, or what is wrong with it.
fn files(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !pattern.contains(WILD) {
        let whole = directory.join(pattern);
        // Whatever else is wrong with it is told where it is read.
        return match std::fs::symlink_metadata(&whole) {
            Ok(_) => Ok(vec![whole]),
            Err(_) => Err(format!(
                "names a file that does not exist ({}); write its path from this file's directory",
                whole.display()
            )),
        };
    }
    // A pattern may match nothing yet, but a mistyped directory would drop all its accounts.
    let fixed = directory.join(fixed_part(pattern));
    if let Err(error) = std::fs::read_dir(fixed.join(".")) {
        let why = Unreadable::from(error);
        let is_forbidden = matches!(why, Unreadable::Forbidden);
        let instead =
            if is_forbidden { "fix its permissions" } else { "make it, or write its path from this file's directory" };
        return Err(format!("has a directory ({}) that {why}; {instead}", fixed.display()));
    }
    let not_a_pattern = |_| "is not a pattern of file names; write one as in accounts.d/*.yaml".to_owned();
    matching(&whole_pattern(directory, pattern)).map_err(not_a_pattern)?.collect::<Result<_, _>>().map_err(|error| {
        let path = error.path().display().to_string();
        format!("matches {path}, which {}; fix its permissions", Unreadable::from(std::io::Error::from(error)))
    })
}
