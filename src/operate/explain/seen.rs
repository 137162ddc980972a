//! What a check looked at, in words: header values, addresses, days, rates.
//!
//! A token is shown as its length and the header that has it, and taken out of every other text.
//! Numbers and other bytes of a body are not shown at all.

use chrono::{DateTime, Days, NaiveDate};

use crate::policy::account::{Account, Expiry};
use crate::policy::check::network::{self, Client};
use crate::policy::http::head::{Field, Lines, One, Peer};
use crate::policy::now::Now;
use crate::policy::rate::RateState;
use crate::policy::{Policy, Product};

/// Characters of a header's value that are shown.
const MAX_SHOWN: usize = 80;

/// What is shown in place of a token.
pub const MASK: &str = "***";

/// A header by its name and value, or that it is not there.
pub fn header(lines: &Lines<'_>, name: &str) -> String {
    match lines.one(name) {
        One::Absent => format!("no {name}"),
        One::Several => format!("several lines of {name}"),
        One::Value(value) => format!("{name}: {}", shown(value)),
    }
}

/// Bytes as they can be printed, cut.
fn shown(value: &[u8]) -> String {
    let text: String = value.utf8_chunks().fold(String::new(), |mut text, chunk| {
        for character in chunk.valid().chars() {
            if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
        }
        text + &chunk.invalid().escape_ascii().to_string()
    });
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), value.len()),
        None => text,
    }
}

/// The header that carries the token, without the token.
pub fn token(headers: &[Box<str>], lines: &Lines<'_>) -> String {
    let found = headers.iter().find_map(|name| {
        let value = lines.values(name).find(|value| !value.is_empty())?;
        Some(format!("{name}: {MASK} ({} bytes)", value.len()))
    });
    found.unwrap_or_else(|| format!("no value in {}", headers.join(" or ")))
}

/// Every value that may be a token: those of all headers for tokens, and of a usual one.
pub fn secrets<'a>(policy: &Policy, lines: &Lines<'a>) -> Vec<&'a [u8]> {
    let names = policy.token_headers.iter().map(|name| &**name).chain(["authorization"]);
    names.flat_map(|name| lines.values(name)).filter(|value| !value.is_empty()).collect()
}

/// Bytes of the shortest text that is taken for a secret, so that words are left as they are.
const SHORTEST_SECRET: usize = 4;

/// A text without secrets.
pub fn without(text: &str, secrets: &[&[u8]]) -> String {
    let long = secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
    let shown_secrets = long.filter_map(|secret| std::str::from_utf8(secret).ok());
    shown_secrets.fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}

/// Whether a token ends, and when, beside the day it is judged on.
pub fn expiry(expiry: Expiry, now: Now) -> (bool, String) {
    match expiry {
        Expiry::Never => (false, "it never expires".to_owned()),
        Expiry::LastDay(day) => {
            let last = NaiveDate::default().checked_add_days(Days::new(u64::from(day)));
            let last = last.map_or_else(|| "beyond the calendar".to_owned(), |day| day.to_string());
            (true, format!("its last day is {last}, and this is {}", day_of(now)))
        }
    }
}

/// A time as people write it, in UTC.
pub fn time(now: Now) -> String {
    let moment = i64::try_from(now.unix_seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(|| "beyond the calendar".to_owned(), |moment| moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn day_of(now: Now) -> String {
    time(now).split('T').next().unwrap_or_default().to_owned()
}

/// The client's address, and who says so.
fn client_address(policy: &Policy, peer: Peer, lines: &Lines<'_>) -> Option<String> {
    match network::client(&policy.trusted_proxies, peer, lines) {
        Client::Address(address) => Some(address.to_string()),
        Client::Unknown => None,
    }
}

/// The same in a sentence.
pub fn client(policy: &Policy, from: Peer, lines: &Lines<'_>) -> String {
    let peer = match from {
        Peer::Address(address) => address.to_canonical().to_string(),
        Peer::Local => "a Unix socket".to_owned(),
    };
    match client_address(policy, from, lines) {
        Some(address) if address == peer => address,
        Some(address) => format!("{address}, which {peer} states in X-Forwarded-For"),
        None => match unreadable(policy, from, lines) {
            Some(entry) => format!("an unknown address behind {peer}: {entry} in X-Forwarded-For is no address"),
            None => format!("an unknown address behind {peer}, which states none in X-Forwarded-For"),
        },
    }
}

/// The entry of X-Forwarded-For that cannot be read: from the right the first with which alone the
/// client would be unknown.
fn unreadable(policy: &Policy, from: Peer, lines: &Lines<'_>) -> Option<String> {
    const NAME: &str = "x-forwarded-for";
    let fields = lines.fields.iter().rev().filter(|field| field.name.eq_ignore_ascii_case(NAME));
    let entry = fields.flat_map(|field| field.value.rsplit(|byte| *byte == b',')).find(|entry| {
        let alone = [Field { name: NAME, value: entry }];
        network::client(&policy.trusted_proxies, from, &Lines { fields: &alone, ..*lines }) == Client::Unknown
    })?;
    Some(format!("\"{}\"", shown(entry.trim_ascii())))
}

/// The page that a browser says it is on.
pub fn page(lines: &Lines<'_>) -> String {
    match lines.one("origin") {
        One::Absent => header(lines, "Referer").replace("no Referer", "neither Origin nor Referer"),
        One::Value(_) | One::Several => header(lines, "Origin"),
    }
}

/// Whether there is a rate, and what is left of it after a first request.
pub fn rate(policy: &Policy, account: &Account, product: Option<&Product>, now: Now) -> (bool, String) {
    let state = match product {
        Some(_) => account.rate.state(now),
        None => Some(policy.account_info.window.state(&account.account_info_rate, now)),
    };
    match state {
        None => (false, "the account's rate is unlimited".to_owned()),
        Some(RateState { allowance, remaining, .. }) => {
            let seconds = allowance.period.as_secs();
            let (limit, burst) = (allowance.limit, allowance.burst);
            (true, format!("{limit} in {seconds} s, {burst} at once; after a first request {remaining} are left"))
        }
    }
}
