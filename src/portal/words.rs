//! How pages say times, numbers and states.

use chrono::DateTime;

use crate::ledger::store::records::{ListMode, Period, QuotaLimit, RateLimit, Role, TokenState};
use crate::operate::api::limits::ShownLimit;
use crate::operate::api::shown::{Time, Token};

/// What templates hand over as a number: whole numbers, times in milliseconds since 1970, and references to them.
pub trait Number {
    /// The number; what is too large is as large as can be.
    fn number(&self) -> i64;
}

impl Number for i64 {
    fn number(&self) -> i64 {
        *self
    }
}

impl Number for u64 {
    fn number(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Number for u32 {
    fn number(&self) -> i64 {
        i64::from(*self)
    }
}

impl Number for usize {
    fn number(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Number for Time {
    fn number(&self) -> i64 {
        self.0
    }
}

impl<N: Number + ?Sized> Number for &N {
    fn number(&self) -> i64 {
        (**self).number()
    }
}

const MINUTE_MS: i64 = 60_000;
/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A day, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A time as `<time>` shows it: UTC, which the script of the pages turns into the viewer's zone.
pub fn time(at: impl Number) -> String {
    let time = DateTime::from_timestamp_millis(at.number()).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A day of a time, in UTC.
pub fn day(at_ms: impl Number) -> String {
    DateTime::from_timestamp_millis(at_ms.number()).unwrap_or_default().format("%Y-%m-%d").to_string()
}

/// The beginning of the day some days ago, today counted, as the API takes it.
pub fn since(now_ms: i64, days: i64) -> String {
    let day = now_ms.div_euclid(DAY_MS) - (days - 1);
    Time(day * DAY_MS).to_string()
}

/// The beginning of the hour before this one, as the API takes it.
pub fn hour_before(now_ms: i64) -> String {
    Time((now_ms.div_euclid(HOUR_MS) - 1) * HOUR_MS).to_string()
}

/// How long ago something was, in one unit.
pub fn ago(at: impl Number, now_ms: impl Number) -> String {
    let passed = now_ms.number().saturating_sub(at.number());
    match passed {
        ..MINUTE_MS => "just now".to_owned(),
        MINUTE_MS..HOUR_MS => counted(passed / MINUTE_MS, "minute") + " ago",
        HOUR_MS..DAY_MS => counted(passed / HOUR_MS, "hour") + " ago",
        DAY_MS.. => counted(passed / DAY_MS, "day") + " ago",
    }
}

/// A number with a noun.
pub fn counted(number: impl Number, noun: &str) -> String {
    let number = number.number();
    let end = if number == 1 { "" } else { "s" };
    format!("{} {noun}{end}", grouped(number))
}

/// A number in groups of three digits.
pub fn grouped(number: impl Number) -> String {
    let number = number.number();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether and how a token may be used, and how that is marked.
pub fn state(token: &Token, now_ms: impl Number) -> (&'static str, &'static str) {
    let now_ms = now_ms.number();
    let has_passed = token.expires.is_some_and(|day| (i64::from(day.0) + 1) * DAY_MS <= now_ms);
    match token.state {
        TokenState::Revoked => ("Revoked", "bad"),
        TokenState::Disabled => ("Disabled", "some"),
        TokenState::Enabled if token.ends_at.is_some_and(|end| end.0 <= now_ms) => ("Ended", "bad"),
        TokenState::Enabled if has_passed => ("Expired", "bad"),
        TokenState::Enabled if token.ends_at.is_some() => ("Ending", "some"),
        TokenState::Enabled => ("Enabled", "good"),
    }
}

/// What a list does, in words.
pub fn mode(mode: &ListMode, one: &str, several: &str) -> String {
    match mode {
        ListMode::Any => format!("any {one}"),
        ListMode::Watch => format!("listed {several}, watched only"),
        ListMode::Enforce => format!("listed {several} only"),
    }
}

/// A text as a value of a query.
pub fn in_query(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A role.
pub const fn role(role: &Role) -> &'static str {
    match role {
        Role::Admin => "Administrator",
        Role::Support => "Support",
        Role::Auditor => "Auditor",
        Role::Owner => "Owner",
        Role::Member => "Member",
        Role::Viewer => "Viewer",
    }
}

/// A rate.
pub fn rate(limit: &RateLimit) -> String {
    let period = match limit.period {
        Period::Second => "second",
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day => "day",
    };
    format!("{} a {period}, at most {} at once", grouped(limit.requests), grouped(limit.burst))
}

/// Quotas.
pub fn quota(quota: &QuotaLimit) -> Vec<String> {
    let of = |requests: Option<u64>, period: &str| {
        requests.map(|requests| format!("{} a calendar {period}", grouped(requests)))
    };
    [of(quota.day, "day"), of(quota.month, "month")].into_iter().flatten().collect()
}

/// What a limit is, in words.
pub fn limit(limit: &ShownLimit) -> String {
    let period = match (&*limit.renewed, limit.period_seconds) {
        ("continuously", 1) => "a second".to_owned(),
        ("continuously", 60) => "a minute".to_owned(),
        ("continuously", 3600) => "an hour".to_owned(),
        ("continuously", 86_400) => "a day".to_owned(),
        ("continuously", seconds) => format!("in {seconds} seconds"),
        (period, _) => format!("a calendar {period} (UTC)"),
    };
    let of = match (&limit.product, &limit.token) {
        (Some(product), _) => format!(" of {product}"),
        (None, Some(token)) => format!(" of the token {token}"),
        (None, None) => String::new(),
    };
    format!("{} requests {period}{of}", grouped(limit.limit))
}

/// What is used of a limit.
pub fn used(limit: &ShownLimit) -> u64 {
    limit.limit.saturating_sub(limit.remaining)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_said_as_people_say_them() {
        for (number, text) in [(0_i64, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (passed, text) in [
            (0, "just now"),
            (59_000, "just now"),
            (MINUTE_MS, "1 minute ago"),
            (HOUR_MS * 3, "3 hours ago"),
            (DAY_MS * 2, "2 days ago"),
        ] {
            assert_eq!(ago(Time(1_000_000_000 - passed), 1_000_000_000_i64), text);
        }
        assert_eq!(time(Time(0)), "1970-01-01 00:00 UTC");
    }
}
