//! Finding accounts by what an operator has at hand: a name, a domain, an address, the characters that a token is shown
//! with, or a token itself, which is compared by its digest and kept nowhere.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::StoreError;
use super::records::ListKind;
use super::sql::{Connection, ToSql, params, params_from_iter};
use crate::policy::account::Digest;

/// Accounts that are found at the most.
pub const MAX_FOUND: usize = 50;

/// How an account was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Its name or its display name has the text.
    Name,
    /// It has this very token.
    Token,
    /// It has a token whose first and last characters these are.
    Hint,
    /// A token of its may be used from pages of this domain.
    Domain,
    /// A token of its may be used from this address.
    Address,
}

impl FoundBy {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            FoundBy::Name => "name",
            FoundBy::Token => "token",
            FoundBy::Hint => "hint",
            FoundBy::Domain => "domain",
            FoundBy::Address => "address",
        }
    }
}

/// An account that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub account_id: String,
    pub name: String,
    pub display: String,
    pub by: FoundBy,
    /// The token that it was found by, with its name.
    pub token: Option<(String, String)>,
}

/// Finds accounts, the surest first, each once for each way.
///
/// # Errors
/// Errors of the database.
pub fn find(connection: &Connection, text: &str) -> Result<Vec<Found>, StoreError> {
    let mut found = by_digest(connection, text)?;
    found.extend(by_name(connection, text)?);
    found.extend(by_hint(connection, text)?);
    found.extend(match text.parse::<IpAddr>() {
        Ok(address) => by_entry(connection, ListKind::Network, &networks_with(address.to_canonical()))?,
        Err(_) => by_entry(connection, ListKind::Domain, &domains_with(text))?,
    });
    found.truncate(MAX_FOUND);
    Ok(found)
}

const OF_TOKEN: &str = "SELECT account.id, account.name, account.display, token.id, token.name \
                        FROM token JOIN account ON account.id = token.account_id";

fn of_tokens(
    connection: &Connection,
    (condition, values): (&str, &[&dyn ToSql]),
    by: FoundBy,
) -> Result<Vec<Found>, StoreError> {
    let query = format!("{OF_TOKEN} WHERE {condition} ORDER BY account.name, token.id LIMIT {MAX_FOUND}");
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map(values, |row| {
        let token = Some((row.get(3)?, row.get(4)?));
        Ok(Found { account_id: row.get(0)?, name: row.get(1)?, display: row.get(2)?, by, token })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn by_digest(connection: &Connection, text: &str) -> Result<Vec<Found>, StoreError> {
    let digest = Digest::of(text.as_bytes());
    of_tokens(connection, ("token.digest = ?1", &[&digest.bytes().as_slice()]), FoundBy::Token)
}

/// A text in which nothing stands for anything else in LIKE.
fn literally(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn by_name(connection: &Connection, text: &str) -> Result<Vec<Found>, StoreError> {
    let query = format!(
        "SELECT id, name, display FROM account \
         WHERE name LIKE ?1 ESCAPE '\\' OR display LIKE ?1 ESCAPE '\\' ORDER BY name LIMIT {MAX_FOUND}"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(params![format!("%{}%", literally(text))], |row| {
        let (account_id, name, display) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Found { account_id, name, display, by: FoundBy::Name, token: None })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// By what a list shows of a token, `tg_abc…wxyz`, or by its beginning alone.
fn by_hint(connection: &Connection, text: &str) -> Result<Vec<Found>, StoreError> {
    if text.chars().count() < 6 {
        return Ok(Vec::new());
    }
    let pattern = match text.split_once('…').or_else(|| text.split_once("...")) {
        Some((begin, end)) => format!("{}…{}", literally(begin), literally(end)),
        None => format!("{}…%", literally(text)),
    };
    of_tokens(connection, ("token.hint LIKE ?1 ESCAPE '\\'", &[&pattern]), FoundBy::Hint)
}

/// Every network that an address is in, and itself, as lists have them.
fn networks_with(address: IpAddr) -> Vec<String> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let networks = (0..=longest).filter_map(|length| IpNet::new(address, length).ok());
    networks.map(|network| network.trunc().to_string()).chain([address.to_string()]).collect()
}

/// A domain, and every wildcard that it is below.
fn domains_with(text: &str) -> Vec<String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let above = name.match_indices('.').filter_map(|(dot, _)| Some(format!("*{}", name.get(dot..)?)));
    above.chain([name.clone()]).collect()
}

fn by_entry(connection: &Connection, kind: ListKind, values: &[String]) -> Result<Vec<Found>, StoreError> {
    let holders = vec!["?"; values.len()].join(", ");
    let query = format!(
        "SELECT DISTINCT account.id, account.name, account.display, token.id, token.name FROM token_entry \
         JOIN token ON token.account_id = token_entry.account_id AND token.id = token_entry.token_id \
         JOIN account ON account.id = token.account_id \
         WHERE token_entry.value IN ({holders}) AND token_entry.kind = '{}' ORDER BY account.name LIMIT {MAX_FOUND}",
        kind.word()
    );
    let by = if kind == ListKind::Network { FoundBy::Address } else { FoundBy::Domain };
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let token = Some((row.get(3)?, row.get(4)?));
        Ok(Found { account_id: row.get(0)?, name: row.get(1)?, display: row.get(2)?, by, token })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_networks_and_a_domain_below_wildcards() {
        let networks = networks_with("203.0.113.9".parse().unwrap());
        assert!(
            ["0.0.0.0/0", "203.0.113.0/24", "203.0.113.9/32", "203.0.113.9"]
                .iter()
                .all(|one| networks.contains(&(*one).to_owned()))
        );
        assert_eq!(networks.len(), 34);
        assert_eq!(networks_with("2001:db8::1".parse().unwrap()).len(), 130);
        assert_eq!(domains_with("App.Example.com."), ["*.example.com", "*.com", "app.example.com"]);
        assert_eq!(literally("50%_\\"), "50\\%\\_\\\\");
    }
}
