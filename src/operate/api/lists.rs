//! Networks and domains of a token: the whole list, one entry more or one less. What is answered is the form
//! that requests are compared with, and what is refused says how to write it.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};
use super::refusal::{fault as fault_of, refused, refused_as};
use super::route::{Call, NoBody, Reply};
use super::shown::Token;
use crate::ledger::store::lists;
use crate::ledger::store::records::{ListEntry, ListKind, ListMode, TokenInfo, TokenList};
use crate::ledger::store::tokens;
use crate::ledger::store::{Outcome, StoreError, Writing};

/// Bytes of a body with a whole list: 10,000 entries with short notes.
pub const BODY_BYTES: usize = 2 * 1024 * 1024;

/// A list as it is answered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// The list, its entries as requests are compared with them.
    #[serde(flatten)]
    pub list: TokenList,
    /// The token's version, which is what `ETag` says, without the quotes.
    pub version: i64,
}

type Replied = Result<Reply<List>, Problem>;

/// The networks of a token.
pub async fn networks(call: Call<NoBody>) -> Replied {
    get(&call, ListKind::Network).await
}

/// The domains of a token.
pub async fn domains(call: Call<NoBody>) -> Replied {
    get(&call, ListKind::Domain).await
}

/// Puts another list of networks in the place of the one that is there.
pub async fn put_networks(call: Call<TokenList>) -> Replied {
    put(&call, ListKind::Network).await
}

/// Puts another list of domains in the place of the one that is there.
pub async fn put_domains(call: Call<TokenList>) -> Replied {
    put(&call, ListKind::Domain).await
}

/// Adds a network, or gives one that is there another note.
pub async fn add_network(call: Call<ListEntry>) -> Replied {
    add(&call, ListKind::Network).await
}

/// Adds a domain, or gives one that is there another note.
pub async fn add_domain(call: Call<ListEntry>) -> Replied {
    add(&call, ListKind::Domain).await
}

/// Removes a network.
pub async fn remove_network(call: Call<NoBody>) -> Replied {
    remove(&call, ListKind::Network).await
}

/// Removes a domain.
pub async fn remove_domain(call: Call<NoBody>) -> Replied {
    remove(&call, ListKind::Domain).await
}

async fn get(call: &Call<NoBody>, kind: ListKind) -> Replied {
    let (account, token) = (call.value(0).to_owned(), call.value(1).to_owned());
    let found = call.api.store.read(move |connection| {
        let info = tokens::get(connection, &account, &token)?;
        Ok((info.row_version, lists::get(connection, &account, &token, kind)?))
    });
    let (version, list) = found.await.map_err(refused)?;
    Ok(shown(list, version))
}

async fn put(call: &Call<TokenList>, kind: ListKind) -> Replied {
    let list = call.body.clone();
    let faults = faults(kind, &list);
    if !faults.is_empty() {
        return Err(Problem::body(faults));
    }
    change(call, kind, move |_| Ok(list)).await
}

async fn add(call: &Call<ListEntry>, kind: ListKind) -> Replied {
    let entry = call.body.clone();
    let value = match canonical(kind, &entry.value) {
        Ok(value) => value,
        Err(why) => return Err(Problem::body(vec![fault(kind, "/value".to_owned(), &entry.value, &why)])),
    };
    change(call, kind, move |mut list| {
        list.entries.retain(|known| known.value != value);
        list.entries.push(ListEntry { value, note: entry.note });
        Ok(list)
    })
    .await
}

async fn remove(call: &Call<NoBody>, kind: ListKind) -> Replied {
    let Some(written) = call.query.text("value") else {
        let fault = FieldError::new("?value", "is missing", "write the entry that is to be removed");
        return Err(Problem::query(vec![fault]));
    };
    let value = canonical(kind, written)
        .map_err(|why| Problem::query(vec![fault(kind, "?value".to_owned(), written, &why)]))?;
    change(call, kind, move |mut list| {
        let before = list.entries.len();
        list.entries.retain(|known| known.value != value);
        if list.entries.len() == before {
            return Err(StoreError::NotFound { what: "entry" });
        }
        if list.entries.is_empty() && list.mode != ListMode::Any {
            let why = "this is the list's last entry, and a list without entries would let nobody pass; \
                       put the mode any for no restriction, or add another entry first";
            return Err(StoreError::State { why });
        }
        Ok(list)
    })
    .await
}

/// Reads a list, changes it, and puts it in its place, all in one transaction.
async fn change<B>(
    call: &Call<B>,
    kind: ListKind,
    edit: impl FnOnce(TokenList) -> Result<TokenList, StoreError> + Send + 'static,
) -> Replied {
    let (account, token, version) = (call.value(0).to_owned(), call.value(1).to_owned(), call.version());
    let operation = move |writing: &mut Writing<'_>| {
        let before = lists::get(writing.database(), &account, &token, kind)?;
        lists::set(writing, &account, &token, kind, version, &edit(before)?)
    };
    let Outcome { value: (info, list), replayed, .. } =
        call.write(operation).await.map_err(refused_as::<TokenInfo, Token>)?;
    Ok(shown(list, info.row_version).again(replayed))
}

fn shown(list: TokenList, version: i64) -> Reply<List> {
    Reply::versioned(List { list, version }, version)
}

/// An entry as requests are compared with it.
///
/// # Errors
/// What is wrong with it, and what to write instead.
fn canonical(kind: ListKind, value: &str) -> Result<String, String> {
    let entries = vec![ListEntry { value: value.to_owned(), note: String::new() }];
    let alone = TokenList { mode: ListMode::Any, entries, absent: None };
    match lists::preview(kind, &alone) {
        Ok(entries) => Ok(entries.into_iter().next().map(|entry| entry.value).unwrap_or_default()),
        Err(StoreError::Invalid { why, .. }) => Err(why),
        Err(other) => Err(other.to_string()),
    }
}

/// Every entry of a list that does not fit, with how to write it.
pub fn faults(kind: ListKind, list: &TokenList) -> Vec<FieldError> {
    const MOST: usize = 50;
    let wrong = |(number, entry): (usize, &ListEntry)| {
        let why = canonical(kind, &entry.value).err()?;
        Some(fault(kind, format!("/entries/{number}/value"), &entry.value, &why))
    };
    list.entries.iter().enumerate().filter_map(wrong).take(MOST).collect()
}

/// A list that is not stored, in the form that requests are compared with.
///
/// # Errors
/// Everything that is wrong with it, below the place where it stands.
pub fn drafted(kind: ListKind, list: &TokenList, at: &str) -> Result<TokenList, Vec<FieldError>> {
    let below = |fault: FieldError| FieldError { at: format!("{at}{}", fault.at), ..fault };
    let wrong: Vec<FieldError> = faults(kind, list).into_iter().map(below).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    match lists::preview(kind, list) {
        Ok(entries) => Ok(TokenList { entries, ..list.clone() }),
        Err(StoreError::Invalid { field, why }) => Err(vec![below(fault_of(&field, &why))]),
        Err(other) => Err(vec![FieldError::new(at, other.to_string(), "write a shorter list")]),
    }
}

/// What is wrong with an entry, and what to write: of a network with bits behind its prefix, the very network.
fn fault(kind: ListKind, at: String, written: &str, why: &str) -> FieldError {
    let (problem, fix) = why.split_once("; ").unwrap_or((why, "see the OpenAPI document"));
    let network = match kind {
        ListKind::Network => written.trim().parse::<IpNet>().ok().filter(|network| network.trunc() != *network),
        ListKind::Domain => None,
    };
    match network {
        Some(network) => FieldError::new(at, problem, format!("write {}", network.trunc())),
        None => FieldError::new(at, problem, fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_that_does_not_fit_is_told_with_how_to_write_it() {
        let entry = |value: &str| ListEntry { value: value.to_owned(), note: String::new() };
        let list = |values: &[&str]| TokenList {
            mode: ListMode::Enforce,
            entries: values.iter().map(|value| entry(value)).collect(),
            absent: None,
        };
        let of = |kind, values: &[&str]| {
            let told = faults(kind, &list(values)).into_iter();
            told.map(|fault| (fault.at, fault.fix)).collect::<Vec<_>>()
        };
        assert_eq!(of(ListKind::Network, &["203.0.113.0/24", "2001:db8::/32", " 198.51.100.7 "]), []);
        assert_eq!(
            of(ListKind::Network, &["203.0.113.5/24", "10.0.0.1", "2001:db8::1/32"]),
            [
                ("/entries/0/value".to_owned(), "write 203.0.113.0/24".to_owned()),
                ("/entries/2/value".to_owned(), "write 2001:db8::/32".to_owned()),
            ]
        );
        let told = of(ListKind::Domain, &["app.example.com", "*.co.uk", "https://app.example.com/path"]);
        assert_eq!(told.len(), 2);
        assert!(
            told[0].1.starts_with("write a domain of your own") && told[1].1.starts_with("write one as in"),
            "{told:?}"
        );
    }
}
