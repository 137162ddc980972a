//! What the commands about accounts, tokens, lists, keys and the audit have in common: where the API is, which
//! account and token somebody means, and how pages of rows are written.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::config;
use crate::config::argument::ConfigFile;
use crate::ledger::store::Store;
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::records::TokenState;
use crate::operate::api::access::Api;
use crate::operate::api::client::{Asked, Client, KEY_VARIABLE, roots};
use crate::operate::api::in_force::{self, InForce};
use crate::operate::api::shown::{Account, Page, Token};
use crate::operate::failure::Failure;
use crate::operate::output::say;

/// Where the API is, and how answers are printed.
#[derive(Args, Clone, Debug)]
pub struct Access {
    #[command(flatten)]
    file: ConfigFile,
    /// The management API to ask, as in `https://tollgate.internal:9091`, with a key in TOLLGATE_API_KEY.
    /// Default: that of the configuration if there is a key, and otherwise the store's file on this machine,
    /// whether a gateway runs or not.
    #[arg(long, env = "TOLLGATE_API_URL", value_name = "URL")]
    api: Option<String>,
    /// A PEM file of authorities that the API's certificate may come from, beside those of this machine.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print JSON as the API answers it; of lists, one object a line.
    #[arg(long)]
    pub json: bool,
}

impl Access {
    /// The API.
    ///
    /// # Errors
    /// What the operator can do about it.
    pub fn open(&self) -> Result<Client, Failure> {
        Ok(self.find()?)
    }

    /// The URL of the portal, by the configuration.
    ///
    /// # Errors
    /// What is wrong with the configuration, or that it has no portal.
    pub fn portal_url(&self) -> Result<Box<str>, Failure> {
        let config = config::load(&self.file.config).map_err(|mistakes| mistakes.to_string())?;
        let none = || {
            let file = self.file.config.display();
            format!("{file} has no portal, so that nobody could accept an invitation; add one, as in portal: {{}}")
        };
        Ok(config.portal.map(|portal| portal.public_url).ok_or_else(none)?)
    }

    fn find(&self) -> Result<Client, String> {
        let key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        match (&self.api, key) {
            (Some(url), Some(key)) => Client::there(url, key, roots(self.ca.as_deref())?),
            (Some(_), None) => Err(format!("put a management key into {KEY_VARIABLE} to ask an API")),
            (None, key) => {
                let config = config::load(&self.file.config).map_err(|mistakes| mistakes.to_string())?;
                if let (Some(key), Some(api)) = (key, &config.api) {
                    return Client::there(&api.url(), key, roots(self.ca.as_deref())?);
                }
                let Some(store) = &config.store else {
                    return Err(format!(
                        "{} has no store, so that its accounts are in files alone; add one, as in store: {{ sqlite: \
                         tollgate.db }}, or name an API with --api",
                        self.file.config.display()
                    ));
                };
                let opened = Store::open(&store.location, Box::new(SystemRandomness));
                let opened = opened.map_err(|error| format!("{}: {error}", store.location))?;
                let policy = Arc::new(config.policy);
                opened.set_check(in_force::check(Arc::clone(&policy), &store.location));
                let in_force = InForce::Configuration(policy);
                let actor = std::env::var("USER").ok().filter(|user| !user.is_empty());
                let actor = actor.unwrap_or_else(|| "operator".to_owned());
                let (store, patience) = (Arc::new(opened), Duration::ZERO);
                Client::here(
                    &Arc::new(Api { store, ledger: None, recorder: None, reloader: None, in_force, patience }),
                    actor,
                )
            }
        }
    }
}

/// A word that this request alone has.
pub fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Whether a text is an id: 32 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The account with a name or an id.
///
/// # Errors
/// That there is none, or what the API says.
pub fn account(client: &Client, named: &str) -> Result<Account, Failure> {
    let asked = Asked::get("/accounts").with("name", Some(named)).with("limit", Some("1"));
    let found: Page<Account> = client.ask(&asked)?;
    // Names are in order, and the shortest that begins with a name is itself.
    if let Some(account) = found.items.into_iter().find(|account| account.name == named) {
        return Ok(account);
    }
    if is_id(named) {
        return Ok(client.ask(&Asked::get(format!("/accounts/{named}")))?);
    }
    Err(format!("there is no account {named} in the store; `tollgate accounts list` shows those that there are").into())
}

/// The token of an account with a name or an id. Of several with a name, the one that counts.
///
/// # Errors
/// That there is none, or what the API says.
pub fn token(client: &Client, account: &Account, named: &str) -> Result<Token, Failure> {
    let path = format!("/accounts/{}/tokens", account.id);
    if is_id(named) {
        return Ok(client.ask(&Asked::get(format!("{path}/{named}")))?);
    }
    let mut found = None;
    each::<Token>(client, &Asked::get(path).with("name", Some(named)), |token| {
        let counts = token.state != TokenState::Revoked && token.ends_at.is_none();
        if token.name == named && counts {
            found = Some(token);
        }
        Ok(())
    })?;
    found.ok_or_else(|| {
        format!("{} has no token {named}; `tollgate tokens list` shows those that it has", account.name).into()
    })
}

/// Hands over every row of a list, a page at a time.
///
/// # Errors
/// What the API says, or whoever takes the rows.
pub fn each<T: DeserializeOwned>(
    client: &Client,
    asked: &Asked,
    mut take: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    loop {
        let page: Page<T> = client.ask(&asked.clone().with("after", after.as_deref()))?;
        page.items.into_iter().try_for_each(&mut take)?;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Writes the rows of a list that are wanted: JSON, one a line, or columns below a head.
///
/// # Errors
/// What the API says, or why it could not be written.
pub fn list<T: DeserializeOwned + Serialize>(
    (client, asked, json): (&Client, &Asked, bool),
    head: &str,
    wanted: impl Fn(&T) -> bool,
    columns: impl Fn(&T) -> String,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if !json {
        say(out, format!("{head}\n"))?;
    }
    each::<T>(client, asked, |row| {
        if !wanted(&row) {
            return Ok(());
        }
        let line = if json { json!(row).to_string() } else { columns(&row).trim_end().to_owned() };
        say(out, line + "\n")
    })
}

/// Writes one answer: JSON, or a text.
///
/// # Errors
/// Why it could not be written.
pub fn show<T: Serialize>(
    answer: &T,
    json: bool,
    text: impl FnOnce(&T) -> String,
    out: &mut impl Write,
) -> Result<(), Failure> {
    say(out, if json { format!("{:#}\n", json!(answer)) } else { text(answer) })
}
