//! A draft of a list before it is put: its canonical form, what it changes, and which sources of the last seven days
//! it would refuse, by the gateway's own checks. Nothing is stored.

use std::collections::HashMap;
use std::net::IpAddr;

use httparse::Header;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::drafted;
use super::problem::{Kind, Problem};
use super::refusal::refused;
use super::route::{Call, Reply};
use super::shown::Time;
use crate::config::rows;
use crate::ledger::store::lists;
use crate::ledger::store::records::{Absent, ListEntry, ListKind, ListMode, TokenList};
use crate::ledger::store::sources::{self, Source, TokenSources};
use crate::policy::check::domain::Domains;
use crate::policy::check::network::{Client, Networks};
use crate::policy::check::watch::Watched;
use crate::policy::http::head::Lines;
use crate::telemetry::sources::{NOWHERE, UNKNOWN, UNNAMED};

/// What a draft of a list would do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListPreview {
    /// The draft, in the form that requests are compared with.
    pub draft: TokenList,
    /// The list that is there.
    pub current: TokenList,
    /// Entries that are new, or have another note.
    pub added: Vec<ListEntry>,
    /// Entries that are there and not in the draft.
    pub removed: Vec<ListEntry>,
    /// Sources of the last seven days that the draft would refuse, most requests first.
    pub refused: Vec<RefusedSource>,
    /// With the mode `watch`: those that it would only count.
    pub watched: Vec<RefusedSource>,
    /// Requests of the last seven days that the token's lists have let pass; 0 where sources are not counted.
    pub requests: i64,
    /// How many of them are of sources that the draft would refuse.
    pub refused_requests: i64,
    /// The share of these in all of them, from 0 to 1.
    pub refused_share: f64,
    /// How many of them are of sources that are not kept one by one, so that it is not known whether they would be
    /// refused.
    pub unknown_requests: i64,
}

/// A source that a draft would refuse.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RefusedSource {
    /// As in the sources of a token.
    pub value: String,
    /// How many requests there were.
    pub requests: i64,
    /// The last of them.
    pub last_at: Time,
    /// Their share in all requests of the seven days, from 0 to 1.
    pub share: f64,
    /// Only some of its requests would be refused: of its address only a network is known of which the draft has a part,
    /// or the draft names one of http and https.
    pub partly: bool,
    /// The list that is there refuses it already.
    pub already: bool,
    /// What lets it pass.
    pub fix: String,
}

/// What a list does with the requests of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    Partly,
    Refused,
}

impl Verdict {
    fn of(passes: bool) -> Verdict {
        if passes { Verdict::Passes } else { Verdict::Refused }
    }
}

/// A list as requests are judged by it.
enum Judge {
    /// With its blocks, for sources of which only the network is known; `None` without a list.
    Networks(Networks, Option<Vec<IpNet>>),
    Domains(Domains),
}

impl Judge {
    /// That of a list, in a mode of its own.
    fn of(kind: ListKind, mode: ListMode, list: &TokenList) -> Result<Judge, &'static str> {
        Ok(match kind {
            ListKind::Network => {
                let networks = rows::networks(mode, &list.entries)?;
                let blocks = networks.blocks();
                Judge::Networks(networks, blocks)
            }
            ListKind::Domain => Judge::Domains(rows::domains(mode, &list.entries, list.absent == Some(Absent::Allow))?),
        })
    }

    fn judge(&self, value: &str) -> Verdict {
        match self {
            Judge::Networks(networks, blocks) => of_network(networks, blocks.as_deref(), value),
            Judge::Domains(domains) => of_domain(domains, value),
        }
    }
}

fn of_network(networks: &Networks, blocks: Option<&[IpNet]>, value: &str) -> Verdict {
    let passes = |client| Verdict::of(networks.allow(client, &mut Watched::default()).is_ok());
    if let Ok(address) = value.parse::<IpAddr>() {
        return passes(Client::Address(address));
    }
    match (value.parse::<IpNet>(), blocks) {
        (Ok(network), Some(blocks)) => {
            if blocks.iter().any(|block| block.contains(&network)) {
                Verdict::Passes
            } else if blocks.iter().any(|block| network.contains(block)) {
                Verdict::Partly
            } else {
                Verdict::Refused
            }
        }
        (Ok(_), None) => Verdict::Passes,
        (Err(_), _) => passes(Client::Unknown),
    }
}

fn of_domain(domains: &Domains, value: &str) -> Verdict {
    let passes = |origin: Option<&str>| {
        let fields: Vec<Header<'_>> =
            origin.iter().map(|origin| Header { name: "Origin", value: origin.as_bytes() }).collect();
        let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
        domains.allow(&lines, &mut Watched::default()).is_ok()
    };
    match value {
        NOWHERE => Verdict::of(passes(None)),
        UNNAMED => Verdict::of(passes(Some("null"))),
        of_app if of_app.contains("://") => Verdict::of(passes(Some(of_app))),
        // Sources do not say which of the two it was.
        host => match ["https", "http"].map(|scheme| passes(Some(&format!("{scheme}://{host}")))) {
            [true, true] => Verdict::Passes,
            [false, false] => Verdict::Refused,
            [true, false] | [false, true] => Verdict::Partly,
        },
    }
}

/// What lets a source pass.
fn fix(value: &str) -> String {
    match value {
        UNKNOWN => "list the proxy in front of the gateway in its trusted_proxies: no network lets a client pass whose address is not known".to_owned(),
        NOWHERE => "set absent to allow".to_owned(),
        UNNAMED => "let the page say its host in Origin: no domain lets one pass that names none".to_owned(),
        value => format!("add {value}"),
    }
}

/// A part of a whole, from 0 to 1, to four places.
fn share(part: i64, whole: i64) -> f64 {
    const PLACES: f64 = 10_000.0;
    if whole <= 0 { 0.0 } else { (part as f64 / whole as f64 * PLACES).round() / PLACES }
}

/// What a draft of networks would do.
pub async fn networks(call: Call<TokenList>) -> Result<Reply<ListPreview>, Problem> {
    preview(&call, ListKind::Network).await
}

/// What a draft of domains would do.
pub async fn domains(call: Call<TokenList>) -> Result<Reply<ListPreview>, Problem> {
    preview(&call, ListKind::Domain).await
}

async fn preview(call: &Call<TokenList>, kind: ListKind) -> Result<Reply<ListPreview>, Problem> {
    let mut draft = drafted(kind, &call.body, "").map_err(Problem::body)?;
    if kind == ListKind::Domain {
        draft.absent = draft.absent.or(Some(Absent::Deny));
    }
    let (account, token, now) = (call.value(0).to_owned(), call.value(1).to_owned(), call.at_ms);
    let read = call.api.store.read(move |connection| {
        let current = lists::get(connection, &account, &token, kind)?;
        Ok((current, sources::of(connection, (&account, &token), true, now)?))
    });
    let (current, sources) = read.await.map_err(refused)?;
    let preview = compare(kind, draft, current, sources);
    preview.map(Reply::of).map_err(|why| {
        Problem::new(Kind::Conflict, format!("The list that is there cannot be in force: an entry of it {why}."))
    })
}

/// What changes from one list to another, for the sources of a token.
fn compare(
    kind: ListKind,
    draft: TokenList,
    current: TokenList,
    TokenSources { requests, sources }: TokenSources,
) -> Result<ListPreview, &'static str> {
    // What is only watched is judged as if it were enforced.
    let strict = if draft.mode == ListMode::Any { ListMode::Any } else { ListMode::Enforce };
    let now = if current.mode == ListMode::Enforce { ListMode::Enforce } else { ListMode::Any };
    let (by_draft, by_current) = (Judge::of(kind, strict, &draft)?, Judge::of(kind, now, &current)?);
    let of_kind = || sources.iter().filter(|source| source.kind == kind);
    let known = of_kind().fold(0_i64, |sum, source| sum.saturating_add(source.requests));
    let mut found: Vec<RefusedSource> = Vec::new();
    for Source { value, requests: of_source, last_at, .. } in of_kind() {
        let verdict = by_draft.judge(value);
        if verdict != Verdict::Passes {
            found.push(RefusedSource {
                value: value.clone(),
                requests: *of_source,
                last_at: Time(*last_at),
                share: share(*of_source, requests),
                partly: verdict == Verdict::Partly,
                already: by_current.judge(value) == Verdict::Refused,
                fix: fix(value),
            });
        }
    }
    let (refused, watched) = if draft.mode == ListMode::Watch { (Vec::new(), found) } else { (found, Vec::new()) };
    let refused_requests = refused.iter().fold(0_i64, |sum, source| sum.saturating_add(source.requests));
    Ok(ListPreview {
        added: missing_in(&draft, &current, |note, known| note == known),
        removed: missing_in(&current, &draft, |_, _| true),
        refused,
        watched,
        requests,
        refused_requests,
        refused_share: share(refused_requests, requests),
        unknown_requests: if draft.mode == ListMode::Any { 0 } else { requests.saturating_sub(known).max(0) },
        draft,
        current,
    })
}

/// The entries of a list that another one does not have with a note that is as good.
fn missing_in(list: &TokenList, other: &TokenList, is_as_good: impl Fn(&str, &str) -> bool) -> Vec<ListEntry> {
    let known: HashMap<&str, &str> = other.entries.iter().map(|entry| (&*entry.value, &*entry.note)).collect();
    let is_there = |entry: &ListEntry| known.get(&*entry.value).is_some_and(|note| is_as_good(&entry.note, note));
    list.entries.iter().filter(|entry| !is_there(entry)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(mode: ListMode, values: &[&str], absent: Option<Absent>) -> TokenList {
        let entry = |value: &&str| ListEntry { value: (*value).to_owned(), note: String::new() };
        TokenList { mode, entries: values.iter().map(entry).collect(), absent }
    }

    fn seen(kind: ListKind, values: &[(&str, i64)]) -> TokenSources {
        let source = |(value, requests): &(&str, i64)| Source {
            kind,
            value: (*value).to_owned(),
            requests: *requests,
            last_at: 7,
        };
        let sources: Vec<Source> = values.iter().map(source).collect();
        TokenSources { requests: 1000, sources }
    }

    /// What would be refused of some sources: value, whether only partly, and whether it is refused already.
    fn refused(kind: ListKind, draft: TokenList, current: TokenList, of: &[(&str, i64)]) -> Vec<(String, bool, bool)> {
        let told = compare(kind, draft, current, seen(kind, of)).unwrap().refused;
        told.into_iter().map(|source| (source.value, source.partly, source.already)).collect()
    }

    #[test]
    fn a_draft_of_networks_refuses_whom_it_does_not_have() {
        let of = [("203.0.113.9", 600), ("198.51.100.7", 200), ("2001:db8::7", 100), ("(unknown)", 50)];
        let any = || list(ListMode::Any, &[], None);
        let draft = list(ListMode::Enforce, &["203.0.113.0/24", "2001:db8::/32"], None);
        let told = compare(ListKind::Network, draft.clone(), any(), seen(ListKind::Network, &of)).unwrap();
        let values: Vec<(&str, i64, f64)> =
            told.refused.iter().map(|source| (&*source.value, source.requests, source.share)).collect();
        assert_eq!(values, [("198.51.100.7", 200, 0.2), ("(unknown)", 50, 0.05)]);
        assert_eq!((told.requests, told.refused_requests, told.refused_share), (1000, 250, 0.25));
        assert_eq!((told.unknown_requests, &*told.refused[0].fix), (50, "add 198.51.100.7"));
        assert_eq!(told.added.len(), 2);
        // Without a restriction nobody is refused; what is only watched is told apart.
        assert_eq!(refused(ListKind::Network, any(), draft.clone(), &of), []);
        let watch = TokenList { mode: ListMode::Watch, ..draft.clone() };
        let told = compare(ListKind::Network, watch, draft.clone(), seen(ListKind::Network, &of)).unwrap();
        assert_eq!((told.refused.len(), told.watched.len(), told.refused_requests), (0, 2, 0));
        assert!(told.watched.iter().all(|source| source.already));
        let less = list(ListMode::Enforce, &["2001:db8::/32"], None);
        let told = compare(ListKind::Network, less, draft, seen(ListKind::Network, &of)).unwrap();
        assert_eq!(told.removed[0].value, "203.0.113.0/24");
        let already: Vec<bool> = told.refused.iter().map(|source| source.already).collect();
        assert_eq!(already, [false, true, true]);
    }

    #[test]
    fn of_a_masked_address_a_draft_may_have_a_part() {
        let of = [("203.0.113.0/24", 1), ("198.51.100.0/24", 1), ("192.0.2.0/24", 1), ("2001:db8:1::/48", 1)];
        let draft = list(ListMode::Enforce, &["203.0.112.0/23", "198.51.100.7", "2001:db8:1:2::/64"], None);
        let any = list(ListMode::Any, &[], None);
        let wanted = [("198.51.100.0/24", true), ("192.0.2.0/24", false), ("2001:db8:1::/48", true)];
        let wanted = wanted.map(|(value, partly)| (value.to_owned(), partly, false));
        assert_eq!(refused(ListKind::Network, draft, any, &of), wanted);
    }

    #[test]
    fn a_draft_of_domains_refuses_pages_and_requests_without_one() {
        let of = [
            ("app.example.com", 1),
            ("example.org", 1),
            ("a.shop.example.com", 1),
            ("capacitor://localhost", 1),
            ("(none)", 1),
            ("(no host)", 1),
        ];
        let any = || list(ListMode::Any, &[], None);
        let told = |values: &[&str], absent| {
            let told = refused(ListKind::Domain, list(ListMode::Enforce, values, absent), any(), &of);
            told.into_iter().map(|(value, partly, _)| (value, partly)).collect::<Vec<_>>()
        };
        let all = |values: &[&str]| values.iter().map(|value| ((*value).to_owned(), false)).collect::<Vec<_>>();
        let listed = ["app.example.com", "*.shop.example.com", "capacitor://localhost"];
        assert_eq!(told(&listed, Some(Absent::Allow)), all(&["example.org", "(no host)"]));
        assert_eq!(told(&listed, Some(Absent::Deny)), all(&["example.org", "(none)", "(no host)"]));
        let of_https = told(&["https://app.example.com", "example.org"], Some(Absent::Allow));
        assert_eq!(of_https[0], ("app.example.com".to_owned(), true), "http is not in the draft");
        assert_eq!(of_https.len(), 4);
    }
}
