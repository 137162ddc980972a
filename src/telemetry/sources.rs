//! Where each token is used from: the addresses of clients and the hosts of pages, added up in memory until they are
//! written to the store. They say whom a change of a token's lists would lock out.
//!
//! A request is counted once its token's lists have let it pass, whatever it is answered with. Each thread has a table
//! of its own, with a limit, as for usage; what is there already is counted without an allocation.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashTable;

use super::addresses::Addresses;
use super::counters::{Count, cell, cells};
use crate::policy::account::{Digest, Principal};
use crate::policy::check::domain::{CameFrom, page};
use crate::policy::check::network::Client;
use crate::policy::http::head::Lines;
use crate::policy::now::Now;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// The value of a network: the client's address is not known.
pub const UNKNOWN: &str = "(unknown)";
/// The value of a domain: there was neither Origin nor Referer.
pub const NOWHERE: &str = "(none)";
/// The value of a domain: an Origin or Referer that names no host, such as `null`.
pub const UNNAMED: &str = "(no host)";

/// Sources of one thread until they are taken.
const MOST_OF_A_THREAD: usize = 4096;

/// Which of a token's lists a source is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// Neither: all requests of the token.
    Use,
    /// Where requests come from.
    Network,
    /// Which pages they come from.
    Domain,
}

impl SourceKind {
    /// Its word in the store.
    pub const fn word(self) -> &'static str {
        match self {
            SourceKind::Use => "use",
            SourceKind::Network => "network",
            SourceKind::Domain => "domain",
        }
    }
}

/// What is counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceKey {
    /// The token's digest.
    pub digest: [u8; 32],
    pub kind: SourceKind,
    /// The beginning of the day, in milliseconds since 1970, UTC.
    pub day: i64,
    /// An address or a network, the entry of a list of domains, or one of the words in parentheses; empty for
    /// [`SourceKind::Use`].
    pub value: Box<str>,
}

/// Requests from one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCount {
    pub requests: u64,
    /// The last of them, in milliseconds since 1970, UTC.
    pub last_at: i64,
}

impl SourceCount {
    fn add(&mut self, other: SourceCount) {
        self.requests = self.requests.saturating_add(other.requests);
        self.last_at = self.last_at.max(other.last_at);
    }
}

/// Sources that are not written yet, in the order of the store's rows.
pub type Sources = BTreeMap<SourceKey, SourceCount>;

/// Adds to what waits, as far as there is room for `most` rows; returns how many requests had none.
pub fn add(sources: &mut Sources, key: SourceKey, count: SourceCount, most: usize) -> u64 {
    let full = sources.len() >= most;
    match sources.get_mut(&key) {
        Some(known) => known.add(count),
        None if full => return count.requests,
        None => drop(sources.insert(key, count)),
    }
    0
}

/// The page of a source in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    Nowhere,
    Unnamed,
    Host(Box<str>),
}

impl Page {
    fn of(from: CameFrom<'_>) -> Page {
        match from {
            CameFrom::Nowhere => Page::Nowhere,
            CameFrom::Unnamed => Page::Unnamed,
            CameFrom::Host(host) => Page::Host(host.into()),
        }
    }

    fn is(&self, from: CameFrom<'_>) -> bool {
        match (self, from) {
            (Page::Nowhere, CameFrom::Nowhere) | (Page::Unnamed, CameFrom::Unnamed) => true,
            (Page::Host(known), CameFrom::Host(host)) => **known == *host,
            _ => false,
        }
    }
}

/// A token, an address and a page on one day: one row for each request, so that one look-up counts it.
#[derive(Debug)]
struct Row {
    hash: u64,
    digest: Digest,
    day: i64,
    /// `None`: the client's address is not known.
    address: Option<IpAddr>,
    page: Page,
    count: SourceCount,
}

/// The counts of all threads.
#[derive(Debug)]
pub struct SourceCounts {
    tables: Box<[Mutex<HashTable<Row>>]>,
    addresses: Addresses,
    /// With a random key, since hosts are what clients write.
    hashing: RandomState,
    left_out: Count,
}

impl SourceCounts {
    /// Nothing is counted yet. Of addresses is kept what the operator wants; there must be something.
    pub fn new(addresses: Addresses) -> SourceCounts {
        SourceCounts { tables: cells(), addresses, hashing: RandomState::new(), left_out: Count::default() }
    }

    /// Counts a request that the token's lists have let pass.
    pub fn count(&self, principal: &Principal<'_>, client: Client, lines: &Lines<'_>, now: Now) {
        let Some(key) = principal.account.keys.get(principal.token_index) else { return };
        let address = match client {
            Client::Address(address) => Some(self.addresses.cut(address)),
            Client::Unknown => None,
        };
        let at = i64::try_from(now.unix_seconds).unwrap_or_default().saturating_mul(1000);
        let mut has_room = true;
        page(lines, |from| has_room = self.add(&key.digest, address, from, at));
        if !has_room {
            self.left_out.add_one();
        }
    }

    /// Counts one request in this thread's table; false if there is no room for it.
    fn add(&self, digest: &Digest, address: Option<IpAddr>, from: CameFrom<'_>, at: i64) -> bool {
        let day = at - at.rem_euclid(DAY_MS);
        let host = match from {
            CameFrom::Nowhere => NOWHERE,
            CameFrom::Unnamed => UNNAMED,
            CameFrom::Host(host) => host,
        };
        let hash = self.hashing.hash_one((digest.bytes(), address, host));
        let Some(table) = self.tables.get(cell()) else { return true };
        // A thread that panicked while it held the lock has left whole rows.
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |row: &Row| row.digest == *digest && row.day == day && row.address == address && row.page.is(from);
        let count = SourceCount { requests: 1, last_at: at };
        if let Some(known) = table.find_mut(hash, is_it) {
            known.count.add(count);
            return true;
        }
        if table.len() >= MOST_OF_A_THREAD {
            return false;
        }
        let row = Row { hash, digest: *digest, day, address, page: Page::of(from), count };
        table.insert_unique(hash, row, |row| row.hash);
        true
    }

    /// Adds everything that was counted since the last call to what waits, of which there are at most `most` rows.
    pub fn take(&self, waiting: &mut Sources, most: usize) {
        for table in &self.tables {
            let rows = std::mem::take(&mut *table.lock().unwrap_or_else(PoisonError::into_inner));
            for Row { digest, day, address, page, count, .. } in rows {
                let network = address.map_or_else(|| UNKNOWN.to_owned(), |address| self.addresses.kept(address));
                let domain = match page {
                    Page::Nowhere => NOWHERE.into(),
                    Page::Unnamed => UNNAMED.into(),
                    Page::Host(host) => host,
                };
                let key = |kind, value| SourceKey { digest: *digest.bytes(), kind, day, value };
                let kinds =
                    [(SourceKind::Use, "".into()), (SourceKind::Network, network.into()), (SourceKind::Domain, domain)];
                let left_out = kinds.map(|(kind, value)| add(waiting, key(kind, value), count, most));
                self.left_out.add(left_out.into_iter().max().unwrap_or_default());
            }
        }
    }

    /// Requests that are in no source, for want of room.
    pub fn left_out(&self) -> u64 {
        self.left_out.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const AT: i64 = 1_798_761_600_000;

    fn told(waiting: &Sources) -> Vec<(&'static str, &str, u64, i64)> {
        waiting.iter().map(|(key, count)| (key.kind.word(), &*key.value, count.requests, count.last_at - AT)).collect()
    }

    #[test]
    fn a_request_counts_for_its_token_its_address_and_its_page() {
        let counts = SourceCounts::new(Addresses::Full);
        let digest = Digest::of(b"web");
        let address = |last| Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)));
        for (from, page, at) in [
            (address(9), CameFrom::Host("app.example.com"), 0),
            (address(9), CameFrom::Host("app.example.com"), 1000),
            (address(9), CameFrom::Nowhere, 2000),
            (address(7), CameFrom::Host("app.example.com"), 3000),
            (None, CameFrom::Unnamed, 4000),
        ] {
            assert!(counts.add(&digest, from, page, AT + at));
        }
        let mut waiting = Sources::new();
        counts.take(&mut waiting, 100);
        let wanted = [
            ("use", "", 5, 4000),
            ("network", "(unknown)", 1, 4000),
            ("network", "203.0.113.7", 1, 3000),
            ("network", "203.0.113.9", 3, 2000),
            ("domain", "(no host)", 1, 4000),
            ("domain", "(none)", 1, 2000),
            ("domain", "app.example.com", 3, 3000),
        ];
        assert_eq!(told(&waiting), wanted);
        counts.take(&mut waiting, 100);
        assert_eq!(told(&waiting), wanted, "what was taken is not taken twice");
        // Another day, and another token, are other rows.
        assert!(counts.add(&digest, address(9), CameFrom::Nowhere, AT + DAY_MS));
        assert!(counts.add(&Digest::of(b"app"), address(9), CameFrom::Nowhere, AT));
        counts.take(&mut waiting, 100);
        assert_eq!((waiting.len(), counts.left_out()), (7 + 6, 0));
    }

    #[test]
    fn what_has_no_room_is_left_out_and_counted() {
        let counts = SourceCounts::new(Addresses::Masked);
        let digest = Digest::of(b"web");
        for number in 0..u32::try_from(MOST_OF_A_THREAD).unwrap() + 10 {
            let address = Addresses::Full.cut(IpAddr::V4(Ipv4Addr::from_bits(number << 8)));
            let fits = counts.add(&digest, Some(address), CameFrom::Nowhere, AT);
            assert_eq!(fits, number < u32::try_from(MOST_OF_A_THREAD).unwrap());
        }
        let mut waiting = Sources::new();
        counts.take(&mut waiting, 3);
        assert_eq!(waiting.len(), 3);
        let networks = waiting.iter().find(|(key, _)| key.kind == SourceKind::Network).unwrap();
        assert!(networks.0.value.ends_with(".0/24"), "{networks:?}");
        assert_eq!(waiting.values().map(|count| count.requests).max(), Some(4096), "all requests are still counted");
    }
}
