//! What a check looked at, in words: header values, addresses, days, rates.
//!
//! A token is shown as its length and the header that has it, and taken out of every other text.
//! Numbers and other bytes of a body are not shown at all.

use chrono::{DateTime, Days, NaiveDate};

use crate::platform::count::{counted, either};
use crate::policy::account::{Expiry, Principal};
use crate::policy::check::network::{self, Client};
use crate::policy::check::parameter::{member, members};
use crate::policy::check::token::{AUTHORIZATION, TokenPlace};
use crate::policy::http::head::{Field, Head, Lines, One, Peer};
use crate::policy::limit::{Asker, LimitState};
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

/// The place that carries the token, without the token.
pub fn token(places: &[TokenPlace], head: Option<&Head<'_>>) -> String {
    let found = head.and_then(|head| {
        places.iter().find_map(|place| {
            let mut length = None;
            place.each(head, &mut |token| length = length.or(Some(token.len())));
            Some(format!("{place}: {MASK} ({})", counted(length?, "byte")))
        })
    });
    let names = || places.iter().map(TokenPlace::to_string).collect::<Vec<_>>();
    found.unwrap_or_else(|| format!("no value in {}", names().join(" or ")))
}

/// Every text that may be a token, or a part of one: the values of all headers for tokens, and of a usual one, and the
/// values of all parameters for tokens.
pub fn secrets(policy: &Policy, lines: &Lines<'_>) -> Vec<Vec<u8>> {
    let names = policy.token_headers.iter().map(|name| &**name).chain([AUTHORIZATION]);
    let mut secrets: Vec<Vec<u8>> = names.flat_map(|name| lines.values(name)).map(<[u8]>::to_vec).collect();
    // What follows the scheme of Authorization.
    let parts = secrets.iter().filter_map(|value| Some(value.splitn(2, |byte| *byte == b' ').nth(1)?.to_vec()));
    let parts: Vec<Vec<u8>> = parts.collect();
    secrets.extend(parts);
    let is_token = |name: &[u8]| {
        let mut queries = policy.token_places.iter();
        queries.any(|place| matches!(place, TokenPlace::Query(known) if known.as_bytes() == name))
    };
    let query = lines.target.split_once('?').map_or("", |(_, query)| query);
    for (_, value) in members(query).filter(|(name, _)| is_token(&member(name))) {
        secrets.push(value.unwrap_or_default().as_bytes().to_vec());
        secrets.push(member(value.unwrap_or_default()).into_owned());
    }
    secrets.retain(|secret| !secret.is_empty());
    secrets
}

/// Bytes of the shortest text that is taken for a secret, so that words are left as they are.
const SHORTEST_SECRET: usize = 4;

/// A text without secrets.
pub fn without(text: &str, secrets: &[Vec<u8>]) -> String {
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
        Expiry::Until(end) => {
            let end = Now { unix_seconds: end.into(), ..now };
            (true, format!("another token replaces it, and it ends at {}; this is {}", time(end), time(now)))
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

/// What a list that is only watched makes of what it looked at.
pub fn watched(seen: String, would_refuse: bool) -> String {
    if would_refuse {
        format!("{seen}; the list is only watched, and would refuse this")
    } else {
        format!("{seen}; the list is only watched, and allows this")
    }
}

/// Whether there are rates, and what is left of them after a first request.
pub fn rate(policy: &Policy, principal: Principal<'_>, product: Option<&Product>, now: Now) -> (bool, String) {
    let account = principal.account;
    let state = match (product, &account.meter) {
        (Some(product), Some(_)) => {
            let told: Vec<String> =
                limits(principal, product, now).filter(|state| state.calendar.is_none()).map(limit).collect();
            return match told.is_empty() {
                true => (false, UNLIMITED.to_owned()),
                false => (true, format!("{} after a first request", told.join(", "))),
            };
        }
        (Some(_), None) => account.rate.state(now),
        (None, _) => Some(policy.account_info.window.state(&account.account_info_rate, now)),
    };
    match state {
        None => (false, UNLIMITED.to_owned()),
        Some(RateState { allowance, remaining, .. }) => {
            let seconds = allowance.period.as_secs();
            let (limit, burst, are) = (allowance.limit, allowance.burst, either(&remaining, "is", "are"));
            (true, format!("{limit} in {seconds} s, {burst} at once; after a first request {remaining} {are} left"))
        }
    }
}

const UNLIMITED: &str = "the account's rate is unlimited";

/// Whether there are quotas, and what is left of them after a first request.
pub fn quotas(principal: Principal<'_>, product: &Product, now: Now) -> (bool, String) {
    let told: Vec<String> =
        limits(principal, product, now).filter(|state| state.calendar.is_some()).map(limit).collect();
    if told.is_empty() {
        return (false, "no quota of a day or month".to_owned());
    }
    (true, format!("{} after a first request", told.join(", ")))
}

fn limits(principal: Principal<'_>, product: &Product, now: Now) -> impl Iterator<Item = LimitState> {
    principal.account.limits(Asker { product: Some(&product.name), token: &principal.token.name }, now).into_iter()
}

fn limit(state: LimitState) -> String {
    let LimitState { name, limit, remaining, window_seconds, calendar, .. } = state;
    match calendar {
        Some(calendar) => format!("{name}: {remaining} of {limit} a {} left", calendar.word()),
        None => format!("{name}: {remaining} left, {limit} in {window_seconds} s"),
    }
}
