//! Networks and domains of a token: the whole list, one entry more or one less, undone, or on trial until it is confirmed.
//! What is answered is the form that requests are compared with, and what is refused says how to write it.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};
use super::refusal::{fault as fault_of, refused, refused_as};
use super::route::{Call, NoBody, Reply};
use super::shown::{Time, Token};
use super::span;
use crate::ledger::store::list_before::{self, CONFIRM_MS, ListOf, Waiting};
use crate::ledger::store::records::{Absent, ListEntry, ListKind, ListMode, TokenInfo, TokenList};
use crate::ledger::store::{Outcome, StoreError, Writing, lists, tokens};

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
    /// When the list before comes back, unless this one is confirmed; null where nothing waits for that.
    #[serde(default)]
    pub goes_back_at: Option<Time>,
    /// Until when the last change can be undone; null where there is none to undo.
    #[serde(default)]
    pub can_undo_until: Option<Time>,
}

/// A list that is to be put.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListChange {
    /// What it does.
    pub mode: ListMode,
    /// What it has.
    pub entries: Vec<ListEntry>,
    /// Only for domains: requests without Origin and Referer. Default: they are refused.
    #[serde(default)]
    pub absent: Option<Absent>,
    /// The list before comes back unless the change is confirmed within this time: 1m to 24h, as in 15m.
    #[serde(default)]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,6}[smhd]$"))]
    pub confirm_within: Option<String>,
}

/// An entry that is to be added.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryChange {
    /// The network or the domain.
    pub value: String,
    /// A note.
    #[serde(default)]
    pub note: String,
    /// The list before comes back unless the change is confirmed within this time: 1m to 24h, as in 15m.
    #[serde(default)]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,6}[smhd]$"))]
    pub confirm_within: Option<String>,
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
pub async fn put_networks(call: Call<ListChange>) -> Replied {
    put(&call, ListKind::Network).await
}

/// Puts another list of domains in the place of the one that is there.
pub async fn put_domains(call: Call<ListChange>) -> Replied {
    put(&call, ListKind::Domain).await
}

/// Adds a network, or gives one that is there another note.
pub async fn add_network(call: Call<EntryChange>) -> Replied {
    add(&call, ListKind::Network).await
}

/// Adds a domain, or gives one that is there another note.
pub async fn add_domain(call: Call<EntryChange>) -> Replied {
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

/// Keeps networks that are on trial.
pub async fn confirm_networks(call: Call<NoBody>) -> Replied {
    act(&call, ListKind::Network, lists::confirm).await
}

/// Keeps domains that are on trial.
pub async fn confirm_domains(call: Call<NoBody>) -> Replied {
    act(&call, ListKind::Domain, lists::confirm).await
}

/// Puts the networks back that were there before the last change.
pub async fn undo_networks(call: Call<NoBody>) -> Replied {
    act(&call, ListKind::Network, lists::undo).await
}

/// Puts the domains back that were there before the last change.
pub async fn undo_domains(call: Call<NoBody>) -> Replied {
    act(&call, ListKind::Domain, lists::undo).await
}

async fn get(call: &Call<NoBody>, kind: ListKind) -> Replied {
    let (account, token, now) = (call.value(0).to_owned(), call.value(1).to_owned(), call.at_ms);
    let found = call.api.store.read(move |connection| {
        let info = tokens::get(connection, &account, &token)?;
        let of = ListOf { account_id: &account, token_id: &token, kind };
        let waiting = list_before::waiting(connection, of, now)?;
        Ok((info.row_version, lists::get(connection, &account, &token, kind)?, waiting))
    });
    let (version, list, waiting) = found.await.map_err(refused)?;
    Ok(shown(list, version, waiting))
}

async fn put(call: &Call<ListChange>, kind: ListKind) -> Replied {
    let ListChange { mode, entries, absent, confirm_within } = call.body.clone();
    let list = TokenList { mode, entries, absent };
    let mut faults = faults(kind, &list);
    let confirm_within =
        time_to_confirm(confirm_within.as_deref(), "/confirm_within").map_err(|fault| faults.push(fault));
    match confirm_within {
        Ok(time) if faults.is_empty() => change(call, kind, time, move |_| Ok(list.clone())).await,
        Ok(_) | Err(()) => Err(Problem::body(faults)),
    }
}

async fn add(call: &Call<EntryChange>, kind: ListKind) -> Replied {
    let EntryChange { value: written, note, confirm_within } = call.body.clone();
    let time = time_to_confirm(confirm_within.as_deref(), "/confirm_within");
    let time = time.map_err(|fault| Problem::body(vec![fault]))?;
    let value = match canonical(kind, &written) {
        Ok(value) => value,
        Err(why) => return Err(Problem::body(vec![fault(kind, "/value".to_owned(), &written, &why)])),
    };
    change(call, kind, time, move |mut list| {
        list.entries.retain(|known| known.value != value);
        list.entries.push(ListEntry { value: value.clone(), note: note.clone() });
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
    let time = time_to_confirm(call.query.text("confirm_within"), "?confirm_within");
    let time = time.map_err(|fault| Problem::query(vec![fault]))?;
    change(call, kind, time, move |mut list| {
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

/// The time within which a change has to be confirmed, in milliseconds; `None` for one that stays.
///
/// # Errors
/// That it is out of range, at the place where it stands.
fn time_to_confirm(written: Option<&str>, at: &str) -> Result<Option<i64>, FieldError> {
    let Some(written) = written else { return Ok(None) };
    match span::milliseconds(written).filter(|time| CONFIRM_MS.contains(time)) {
        Some(time) => Ok(Some(time)),
        None => Err(FieldError::new(at, "is no time from 1m to 24h", "write one as in 15m")),
    }
}

/// Reads a list, changes it, and puts it in its place, all in one transaction.
async fn change<B>(
    call: &Call<B>,
    kind: ListKind,
    confirm_within_ms: Option<i64>,
    mut edit: impl FnMut(TokenList) -> Result<TokenList, StoreError> + Send + 'static,
) -> Replied {
    act(call, kind, move |writing, of, version| {
        let before = lists::get(writing.database(), of.account_id, of.token_id, kind)?;
        lists::change(writing, of, version, &edit(before)?, confirm_within_ms)
    })
    .await
}

/// Does something to a list in one transaction.
async fn act<B>(
    call: &Call<B>,
    kind: ListKind,
    mut deed: impl FnMut(&mut Writing<'_>, ListOf<'_>, Option<i64>) -> Result<(TokenInfo, TokenList), StoreError>
    + Send
    + 'static,
) -> Replied {
    let (account, token, version, now) =
        (call.value(0).to_owned(), call.value(1).to_owned(), call.version(), call.at_ms);
    let operation = move |writing: &mut Writing<'_>| {
        deed(writing, ListOf { account_id: &account, token_id: &token, kind }, version)
    };
    let Outcome { value: (info, list), replayed, .. } =
        call.write(operation).await.map_err(refused_as::<TokenInfo, Token>)?;
    // That it is shown is no reason to say that the change has failed.
    let (account, token) = (info.account_id, info.id);
    let waiting = call.api.store.read(move |connection| {
        list_before::waiting(connection, ListOf { account_id: &account, token_id: &token, kind }, now)
    });
    Ok(shown(list, info.row_version, waiting.await.unwrap_or_default()).again(replayed))
}

fn shown(list: TokenList, version: i64, waiting: Waiting) -> Reply<List> {
    let (goes_back_at, can_undo_until) = (waiting.goes_back_at.map(Time), waiting.can_undo_until.map(Time));
    Reply::versioned(List { list, version, goes_back_at, can_undo_until }, version)
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
