//! What accounts use and what they are refused, added up in memory until it is written to the store.
//!
//! Each request is counted once, when its record is dropped. Each thread has a table of its own, whose lock it shares
//! only with the thread that takes the counts. A table has a limit; what does not fit is left out and counted. Nothing
//! here is a token, a body, a path or a query: an account, a token's name, a product and a problem are names of the
//! configuration, and of the request itself only its address and the host of its Origin are kept, for refusals that
//! these explain.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::addresses::Addresses;
use super::counters::{Count, cell, cells};
use super::seen::Seen;
use super::sources::SourceCounts;
use super::tables::Ending;
use crate::platform::clock::unix_milliseconds;
use crate::policy::account::{Digest, Principal};
use crate::policy::check::watch::Watched;
use crate::policy::problem::Row;

/// Milliseconds of an hour, and of a minute.
pub const HOUR_MS: i64 = 3_600_000;
pub const MINUTE_MS: i64 = 60_000;

/// Rows of usage, and of refusals, of one thread until they are taken.
const MOST_ROWS: Limits = Limits { usage: 8192, refusals: 1024 };

/// Where a refused request came from, as far as that says how to mend it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub address: Option<IpAddr>,
    /// The host of its Origin or Referer, as a list of domains has it.
    pub host: Option<String>,
}

/// What one token has used of a product within an hour, with one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The beginning of the hour, in milliseconds since 1970, UTC.
    pub hour: i64,
    pub account: Arc<str>,
    pub token: Box<str>,
    pub digest: Digest,
    /// Empty for requests of an account about itself, which are no usage.
    pub product: Arc<str>,
    /// The slug of the problem; empty for answers.
    pub outcome: Box<str>,
    pub requests: u64,
    pub credits: u64,
    /// How many of them a list would have refused that is only watched, in the order of [`Watched::ROWS`].
    pub watched: [u64; 2],
    /// The last of them, in milliseconds since 1970, UTC.
    pub last_at: i64,
}

/// Refusals of one kind within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// The beginning of the minute, in milliseconds since 1970, UTC.
    pub minute: i64,
    /// Empty for requests without a known token, and so is the token then.
    pub account: Arc<str>,
    pub token: Box<str>,
    pub product: Arc<str>,
    /// The slug of the problem.
    pub problem: Box<str>,
    /// Nothing was refused: a list that is only watched would have.
    pub is_watched: bool,
    pub reason: &'static str,
    pub address: String,
    pub host: String,
    pub requests: u64,
    /// The Transaction-Id of the last of them.
    pub transaction: [u8; 16],
}

/// How many rows there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub usage: usize,
    pub refusals: usize,
}

/// Counts that are not written yet.
#[derive(Default)]
pub struct Tally {
    usage: HashTable<UsageRow>,
    refusals: HashTable<RefusalRow>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tally({}, {})", self.usage.len(), self.refusals.len())
    }
}

/// The first bytes of a digest are as random as a hash.
fn hash_of(digest: &Digest, product: &str, outcome: &str) -> u64 {
    let [first, ..] = digest.bytes().as_chunks::<8>().0 else { return 0 };
    let more = (product.len() as u64) << 32 | outcome.len() as u64;
    u64::from_le_bytes(*first) ^ more.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_of_refusal(row: &RefusalRow) -> u64 {
    // FNV-1a: the rows are few, and limited in number.
    let texts = [&*row.account, &row.token, &row.problem, &row.address, &row.host];
    let bytes = texts.into_iter().flat_map(str::bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl UsageRow {
    fn hash(&self) -> u64 {
        hash_of(&self.digest, &self.product, &self.outcome)
    }

    fn add(&mut self, other: &UsageRow) {
        self.requests = self.requests.saturating_add(other.requests);
        self.credits = self.credits.saturating_add(other.credits);
        for (count, more) in self.watched.iter_mut().zip(other.watched) {
            *count = count.saturating_add(more);
        }
        self.last_at = self.last_at.max(other.last_at);
    }

    fn is_same(&self, other: &UsageRow) -> bool {
        self.digest == other.digest
            && self.hour == other.hour
            && self.outcome == other.outcome
            && self.product == other.product
            && self.account == other.account
            && self.token == other.token
    }
}

impl RefusalRow {
    fn is_same(&self, other: &RefusalRow) -> bool {
        self.minute == other.minute
            && self.account == other.account
            && self.token == other.token
            && self.product == other.product
            && self.problem == other.problem
            && self.is_watched == other.is_watched
            && self.reason == other.reason
            && self.address == other.address
            && self.host == other.host
    }
}

impl Tally {
    /// Adds usage; false if there is no room for it.
    pub fn add_usage(&mut self, row: UsageRow, limits: Limits) -> bool {
        let full = self.usage.len() >= limits.usage;
        match self.usage.entry(row.hash(), |known| known.is_same(&row), UsageRow::hash) {
            Entry::Occupied(mut known) => known.get_mut().add(&row),
            Entry::Vacant(_) if full => return false,
            Entry::Vacant(place) => drop(place.insert(row)),
        }
        true
    }

    /// Adds a refusal; false if there is no room for it.
    pub fn add_refusal(&mut self, row: RefusalRow, limits: Limits) -> bool {
        let full = self.refusals.len() >= limits.refusals;
        match self.refusals.entry(hash_of_refusal(&row), |known| known.is_same(&row), hash_of_refusal) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.requests = known.requests.saturating_add(row.requests);
                known.transaction = row.transaction;
            }
            Entry::Vacant(_) if full => return false,
            Entry::Vacant(place) => drop(place.insert(row)),
        }
        true
    }

    /// Adds all of another tally; returns how many requests had no room.
    pub fn add_all(&mut self, other: Tally, limits: Limits) -> u64 {
        self.add_rows(other.usage, other.refusals, limits)
    }

    /// Adds rows; returns how many requests had no room.
    pub fn add_rows(
        &mut self,
        usage: impl IntoIterator<Item = UsageRow>,
        refusals: impl IntoIterator<Item = RefusalRow>,
        limits: Limits,
    ) -> u64 {
        let mut left_out: u64 = 0;
        for row in usage {
            let requests = row.requests;
            left_out += if self.add_usage(row, limits) { 0 } else { requests };
        }
        for row in refusals {
            let requests = row.requests;
            left_out += if self.add_refusal(row, limits) { 0 } else { requests };
        }
        left_out
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.usage.is_empty() && self.refusals.is_empty()
    }

    /// How many rows wait.
    pub fn len(&self) -> usize {
        self.usage.len().saturating_add(self.refusals.len())
    }

    /// The rows, in an order of no meaning.
    pub fn rows(self) -> (Vec<UsageRow>, Vec<RefusalRow>) {
        (self.usage.into_iter().collect(), self.refusals.into_iter().collect())
    }
}

/// The counts of all threads.
#[derive(Debug)]
pub struct Usage {
    tallies: Box<[Mutex<Tally>]>,
    addresses: Addresses,
    /// Requests for which there was no room.
    left_out: Count,
    taker: OnceLock<Thread>,
    /// Where tokens are used from, if that is counted.
    sources: Option<SourceCounts>,
}

impl Usage {
    /// Nothing is counted yet. Where tokens are used from is counted with `counts_sources`, unless nothing of addresses
    /// may be kept.
    pub fn new(addresses: Addresses, counts_sources: bool) -> Usage {
        let sources = (counts_sources && addresses != Addresses::Off).then(|| SourceCounts::new(addresses));
        Usage { tallies: cells(), addresses, left_out: Count::default(), taker: OnceLock::new(), sources }
    }

    /// Where tokens are used from, if that is counted.
    pub fn sources(&self) -> Option<&SourceCounts> {
        self.sources.as_ref()
    }

    /// Sets the thread to wake when a table fills up.
    pub fn taken_by(&self, taker: &Thread) {
        // There is only one.
        let _ = self.taker.set(taker.clone());
    }

    /// Requests that were left out, for want of room.
    pub fn left_out(&self) -> u64 {
        self.left_out.sum()
    }

    /// Counts requests as left out.
    pub fn leave_out(&self, requests: u64) {
        self.left_out.add(requests);
    }

    /// Takes everything that was counted since the last call.
    pub fn take(&self) -> Vec<Tally> {
        self.tallies.iter().map(|tally| std::mem::take(&mut *lock(tally))).filter(|tally| !tally.is_empty()).collect()
    }

    /// Counts a request that is over.
    pub(super) fn count(&self, seen: &Seen<'_>, credits: u32, origin: Option<&Origin>) {
        let at = unix_milliseconds();
        let (Some(product), Some(tally)) = (seen.trail.product, self.tallies.get(cell())) else {
            return self.count_enquiry(seen, at);
        };
        let (refused, outcome) = match seen.ending {
            Ending::Preflight => return,
            Ending::Answered | Ending::Passed(_) => (None, ""),
            Ending::Gone => (None, seen.problem().map_or("", |(slug, ..)| slug)),
            Ending::Refused(problem) => (Some(problem), seen.problem().map_or("", |(slug, ..)| slug)),
        };
        let mut tally = lock(tally);
        let before = tally.len();
        let mut has_room = true;
        if let Some(principal) = seen.trail.principal {
            has_room &= tally.count(&principal, &product.name, outcome, seen.trail.watched, (credits, at));
        }
        let refusal = |row: Row, reason, is_watched| {
            // An address or a host is kept only where that says how to mend it.
            let wants_address = seen.trail.principal.is_none() || row == Row::IpNotAllowed;
            let address = origin.and_then(|origin| origin.address).filter(|_| wants_address);
            let host = origin.and_then(|origin| origin.host.as_ref()).filter(|_| row == Row::DomainNotAllowed);
            RefusalRow {
                minute: at - at.rem_euclid(MINUTE_MS),
                account: seen.trail.principal.map_or_else(|| "".into(), |who| Arc::clone(&who.account.name)),
                token: seen.trail.principal.map_or_else(Box::default, |who| who.token.name.clone()),
                product: Arc::clone(&product.name),
                problem: seen.wording().words(row).slug.clone(),
                is_watched,
                reason,
                address: address.map_or_else(String::new, |address| self.addresses.kept(address)),
                host: host.cloned().unwrap_or_default(),
                requests: 1,
                transaction: seen.id,
            }
        };
        if let Some(problem) = refused {
            has_room &= tally.add_refusal(refusal(problem.row, problem.reason, false), MOST_ROWS);
        }
        for row in seen.trail.watched.rows() {
            let reason = "a list that is only watched would have refused it";
            has_room &= tally.add_refusal(refusal(row, reason, true), MOST_ROWS);
        }
        let after = tally.len();
        drop(tally);
        if !has_room {
            self.left_out.add_one();
        }
        let half = MOST_ROWS.usage / 2;
        if before < half
            && after >= half
            && let Some(taker) = self.taker.get()
        {
            taker.unpark();
        }
    }

    /// Requests without a product are no usage, but their token was used.
    #[cold]
    fn count_enquiry(&self, seen: &Seen<'_>, at: i64) {
        let (Some(principal), Some(tally)) = (seen.trail.principal, self.tallies.get(cell())) else { return };
        if !lock(tally).count(&principal, &"".into(), "", Watched::default(), (0, at)) {
            self.left_out.add_one();
        }
    }
}

impl Tally {
    /// Counts one request; false if there is no room for it. What is counted already is found without a copy.
    fn count(
        &mut self,
        principal: &Principal<'_>,
        product: &Arc<str>,
        outcome: &str,
        watched: Watched,
        (credits, at): (u32, i64),
    ) -> bool {
        let Some(digest) = principal.account.keys.get(principal.token_index).map(|key| key.digest) else {
            return true;
        };
        let (hour, account, token) = (at - at.rem_euclid(HOUR_MS), &principal.account.name, &principal.token.name);
        let is_it = |known: &UsageRow| {
            known.digest == digest
                && known.hour == hour
                && *known.outcome == *outcome
                && known.product == *product
                && known.account == *account
                && known.token == *token
        };
        let watched = watched.flags().map(u64::from);
        let hash = hash_of(&digest, product, outcome);
        if let Some(known) = self.usage.find_mut(hash, is_it) {
            known.requests = known.requests.saturating_add(1);
            known.credits = known.credits.saturating_add(u64::from(credits));
            known.watched.iter_mut().zip(watched).for_each(|(count, more)| *count = count.saturating_add(more));
            known.last_at = known.last_at.max(at);
            return true;
        }
        let row = UsageRow {
            hour,
            account: Arc::clone(account),
            token: token.clone(),
            digest,
            product: Arc::clone(product),
            outcome: outcome.into(),
            requests: 1,
            credits: u64::from(credits),
            watched,
            last_at: at,
        };
        self.add_usage(row, MOST_ROWS)
    }
}

/// A thread that panicked while it held the lock has left whole rows.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_798_761_600_000;

    fn used(token: &str, outcome: &str, requests: u64) -> UsageRow {
        UsageRow {
            hour: NOW,
            account: "acme".into(),
            token: token.into(),
            digest: Digest::of(token.as_bytes()),
            product: "plate".into(),
            outcome: outcome.into(),
            requests,
            credits: 2 * requests,
            watched: [requests, 0],
            last_at: NOW + 5,
        }
    }

    fn refused(address: &str) -> RefusalRow {
        RefusalRow {
            minute: NOW,
            account: "acme".into(),
            token: "web".into(),
            product: "plate".into(),
            problem: "ip-not-allowed".into(),
            is_watched: false,
            reason: "the client address is in none of the token's networks",
            address: address.to_owned(),
            host: String::new(),
            requests: 1,
            transaction: [7; 16],
        }
    }

    #[test]
    fn what_is_alike_is_one_row_and_what_does_not_fit_is_left_out() {
        let limits = Limits { usage: 3, refusals: 2 };
        let mut tally = Tally::default();
        for (row, fits) in [
            (used("web", "", 1), true),
            (used("web", "", 4), true),
            (used("web", "rate-exceeded", 1), true),
            (used("app", "", 1), true),
            (used("more", "", 1), false),
            (UsageRow { hour: NOW + HOUR_MS, ..used("web", "", 1) }, false),
            (used("app", "", 1), true),
        ] {
            assert_eq!(tally.add_usage(row.clone(), limits), fits, "{row:?}");
        }
        for (address, fits) in [("192.0.2.1", true), ("192.0.2.2", true), ("192.0.2.3", false), ("192.0.2.1", true)] {
            assert_eq!(tally.add_refusal(refused(address), limits), fits, "{address}");
        }
        let mut more = Tally::default();
        for row in [used("web", "", 10), used("fourth", "", 7)] {
            assert!(more.add_usage(row, MOST_ROWS));
        }
        assert_eq!(tally.add_all(more, limits), 7, "requests that have no room");
        let (mut usage, mut refusals) = tally.rows();
        usage.sort_by(|one, other| (&one.token, &one.outcome).cmp(&(&other.token, &other.outcome)));
        refusals.sort_by(|one, other| one.address.cmp(&other.address));
        let counts: Vec<_> = usage.iter().map(|row| (&*row.token, &*row.outcome, row.requests, row.credits)).collect();
        assert_eq!(counts, [("app", "", 2, 4), ("web", "", 15, 30), ("web", "rate-exceeded", 1, 2)]);
        let counts: Vec<_> = refusals.iter().map(|row| (&*row.address, row.requests)).collect();
        assert_eq!(counts, [("192.0.2.1", 2), ("192.0.2.2", 1)]);
    }
}
