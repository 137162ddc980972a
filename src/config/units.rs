//! The formats of single values: durations, sizes, rates, routes, days.
//!
//! Each parses from one text, and its error says what to write instead without repeating the text.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::NaiveDate;
use schemars::{Schema, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::config::yaml::{Listed, Written};
use crate::policy::account::{Digest, Expiry};
use crate::policy::check::domain::Pattern;
use crate::policy::check::network::parse_network;
use crate::policy::check::token::{AUTHORIZATION, BasicPart, TokenPlace};
use crate::policy::http::media::{MediaType, is_token};
use crate::policy::problem::Status;
use crate::policy::rate::Allowance;
use crate::policy::route::parameter_name;
use crate::site::colour::Colour;
use crate::site::status::notice::Moment;
use crate::upstream::settings::Address;

/// A value that is parsed from one text.
pub type Text<T> = Written<Parsed<T>>;

/// A list of values, each parsed from one text.
pub type Texts<T> = Written<Listed<Parsed<T>>>;

/// A value that can be parsed from a text.
pub trait FromText: Sized {
    /// Parses the text.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    fn from_text(text: &str) -> Result<Self, &'static str>;

    /// A JSON Schema of its format. It may accept more than `from_text`, never less.
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

/// The schema of a text that matches an expression.
pub fn matching(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern })
}

/// Reads a [`FromText`] from any format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);
        impl<T: FromText> Visitor<'_> for TextVisitor<T> {
            type Value = Parsed<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Parsed<T>, E> {
                T::from_text(text).map(Parsed).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

impl FromText for Duration {
    fn from_text(text: &str) -> Result<Duration, &'static str> {
        const WANTED: &str = "is not a duration; write a whole number and a unit, as in 500ms, 5s, 2m, 1h or 7d";
        let (number, unit) = split_unit(text).ok_or(WANTED)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(WANTED),
        };
        number
            .checked_mul(milliseconds)
            .map(Duration::from_millis)
            .ok_or("is too long; write a duration that a clock can count")
    }

    fn schema() -> Schema {
        matching(r"^[0-9_]+\s*(ms|s|m|h|d)$")
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        match self.0 {
            bytes if bytes >= MIB && bytes.is_multiple_of(MIB) => write!(formatter, "{}MiB", bytes / MIB),
            bytes if bytes >= KIB && bytes.is_multiple_of(KIB) => write!(formatter, "{}KiB", bytes / KIB),
            bytes => write!(formatter, "{bytes}B"),
        }
    }
}

impl FromText for Bytes {
    fn from_text(text: &str) -> Result<Bytes, &'static str> {
        const WANTED: &str = "is not a size; write a whole number and a unit, as in 512B, 16KiB or 1MiB";
        let (number, unit) = split_unit(text).ok_or(WANTED)?;
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1024,
            "MiB" => 1024 * 1024,
            _ => return Err(WANTED),
        };
        number
            .checked_mul(factor)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Bytes)
            .ok_or("is too large; write a size that fits into memory")
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": r"^[0-9_]+\s*(B|KiB|MiB)?$", "minimum": 0 })
    }
}

/// `150/min`: a number of requests and the period they are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerPeriod {
    pub limit: NonZeroU32,
    pub period: Duration,
}

impl FromText for PerPeriod {
    fn from_text(text: &str) -> Result<PerPeriod, &'static str> {
        const WANTED: &str =
            "is not a rate; write a number from 1 on and a period, as in 10/s, 150/min, 5000/h or 100000/d";
        let (number, period) = text.split_once('/').ok_or(WANTED)?;
        let limit = number.trim().replace('_', "").parse().map_err(|_| WANTED)?;
        let seconds = match period.trim() {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 86_400,
            _ => return Err(WANTED),
        };
        Ok(PerPeriod { limit, period: Duration::from_secs(seconds) })
    }

    fn schema() -> Schema {
        matching(r"^\s*\+?[0-9_]*[1-9][0-9_]*\s*/\s*(s|sec|second|m|min|minute|h|hour|d|day)\s*$")
    }
}

/// `99.9`: a number with at most three decimals, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub u32);

impl FromText for Decimal {
    fn from_text(text: &str) -> Result<Decimal, &'static str> {
        const WANTED: &str = "is not a number; write digits, with at most three decimals, as in 14.4";
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(part) || part.len() > 3 {
            return Err(WANTED);
        }
        let whole: u32 = whole.parse().map_err(|_| WANTED)?;
        let part: u32 = format!("{part:0<3}").parse().map_err(|_| WANTED)?;
        whole.checked_mul(1000).and_then(|whole| whole.checked_add(part)).map(Decimal).ok_or(WANTED)
    }
}

impl FromText for Moment {
    fn from_text(text: &str) -> Result<Moment, &'static str> {
        Moment::parse(text)
    }
}

impl PerPeriod {
    /// The allowance with a burst; without one, the whole limit may come at once.
    pub fn with_burst(self, burst: Option<NonZeroU32>) -> Allowance {
        Allowance { limit: self.limit, period: self.period, burst: burst.unwrap_or(self.limit) }
    }
}

impl FromText for SocketAddr {
    fn from_text(text: &str) -> Result<SocketAddr, &'static str> {
        text.parse()
            .map_err(|_| "is not an address and a port; write one as in 127.0.0.1:8080 or [::1]:8080, not a name")
    }

    fn schema() -> Schema {
        matching(r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$")
    }
}

impl FromText for Address {
    fn from_text(text: &str) -> Result<Address, &'static str> {
        Address::parse(text).ok_or(
            "is not an address or a name with a port; write one as in 127.0.0.1:9001, [::1]:9001 or lookup-1.internal:9001",
        )
    }

    fn schema() -> Schema {
        matching(r"^(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")
    }
}

impl FromText for ipnet::IpNet {
    fn from_text(text: &str) -> Result<ipnet::IpNet, &'static str> {
        parse_network(text)
    }

    fn schema() -> Schema {
        matching(r"^([0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?$")
    }
}

impl FromText for Pattern {
    fn from_text(text: &str) -> Result<Pattern, &'static str> {
        Pattern::parse(text)
    }

    fn schema() -> Schema {
        matching(r"^([A-Za-z][A-Za-z0-9+.-]*://)?((\*\.)?[^\s*%/@?#\\:\[\]]*[^\s*%/@?#\\:\[\].]|\[[0-9A-Fa-f:.]+\])$")
    }
}

impl FromText for MediaType {
    fn from_text(text: &str) -> Result<MediaType, &'static str> {
        MediaType::parse(text)
    }

    fn schema() -> Schema {
        matching(r"^[^\s/*;,]+/[^\s/*;,]+$")
    }
}

impl FromText for Colour {
    fn from_text(text: &str) -> Result<Colour, &'static str> {
        Colour::parse(text).ok_or("is not a colour; write red, green and blue in hexadecimal digits, as in \"#0b57a8\"")
    }
}

impl FromText for Digest {
    fn from_text(text: &str) -> Result<Digest, &'static str> {
        Digest::parse(text)
    }

    fn schema() -> Schema {
        matching("^sha256:[0-9A-Fa-f]{64}$")
    }
}

/// A secret value, or a `${…}` reference to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referred<T> {
    Value(T),
    /// The text, which is not resolved yet.
    Reference(Box<str>),
}

impl<T: FromText> FromText for Referred<T> {
    fn from_text(text: &str) -> Result<Referred<T>, &'static str> {
        if text.starts_with("${") {
            return Ok(Referred::Reference(text.into()));
        }
        T::from_text(text).map(Referred::Value)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [T::schema(), matching(r"^\$\{(env|file):[^}]+\}$")] })
    }
}

impl FromText for Expiry {
    fn from_text(text: &str) -> Result<Expiry, &'static str> {
        const WANTED: &str = "is not a day; write year, month and day, as in 2027-06-30";
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| WANTED)?;
        let since_1970 = day.signed_duration_since(NaiveDate::default()).num_days();
        u32::try_from(since_1970).map(Expiry::LastDay).map_err(|_| "is before 1970; write a later day")
    }

    fn schema() -> Schema {
        matching("^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$")
    }
}

impl FromText for Status {
    fn from_text(text: &str) -> Result<Status, &'static str> {
        text.parse()
            .ok()
            .and_then(Status::from_code)
            .ok_or("is not a status of a problem; use 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503")
    }

    fn schema() -> Schema {
        json_schema!({ "enum": Status::ALL.map(Status::code) })
    }
}

/// `0660`: the mode of a file, in octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl FromText for Mode {
    fn from_text(text: &str) -> Result<Mode, &'static str> {
        const WANTED: &str = "is not a mode; write three octal digits, as in \"0660\"";
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let digits = digits.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(digits);
        if digits.len() != 3 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')) {
            return Err(WANTED);
        }
        u32::from_str_radix(digits, 8).map(Mode).map_err(|_| WANTED)
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "^(0o)?0?[0-7]{3}$" })
    }
}

/// `POST /path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteText {
    pub method: Box<str>,
    pub path: Box<str>,
}

impl FromText for RouteText {
    fn from_text(text: &str) -> Result<RouteText, &'static str> {
        const WANTED: &str = "is not a route; write a method and a path, as in POST /v1/lookup";
        let (method, path) = text.split_once(' ').ok_or(WANTED)?;
        // HEAD and CONNECT would need different framing of answers; OPTIONS is for preflights.
        if !matches!(method, "GET" | "POST" | "PUT" | "PATCH" | "DELETE") {
            return Err("has a method that cannot be routed; use GET, POST, PUT, PATCH or DELETE");
        }
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains(['?', '#']) {
            return Err(WANTED);
        }
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        for segment in path.split('/').filter(|segment| segment.contains(['*', '{', '}'])) {
            if !parameter_name(segment).is_some_and(is_name) {
                return Err(
                    "has a *, { or } in its path that is not a whole segment {name}; write a parameter as in /v1/vat/{number}, or encode them (%2A, %7B, %7D) if they are literal",
                );
            }
        }
        let mut names: Vec<&str> = path.split('/').filter_map(parameter_name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err("has two parameters with one name in its path; give each a name of its own");
        }
        crate::policy::http::head::check_path(path).map_err(
            |_| "has a path that no request can have; leave out dot segments, empty segments, ; and encoded slashes",
        )?;
        Ok(RouteText { method: method.into(), path: path.into() })
    }

    fn schema() -> Schema {
        matching(r"^(GET|POST|PUT|PATCH|DELETE) /(([^?#;*{}\\\s/]+|\{[A-Za-z0-9_-]+\})(/|$))*$")
    }
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(pub Box<str>);

impl FromText for TokenPlace {
    fn from_text(text: &str) -> Result<TokenPlace, &'static str> {
        const WANTED: &str =
            "is not a place for tokens; write header NAME, bearer, basic user, basic password or query NAME";
        let (kind, rest) = text.split_once(' ').map_or((text, ""), |(kind, rest)| (kind, rest.trim()));
        match (kind, rest) {
            ("bearer", "") => Ok(TokenPlace::Bearer),
            ("basic", "user") => Ok(TokenPlace::Basic(BasicPart::User)),
            ("basic", "password") => Ok(TokenPlace::Basic(BasicPart::Password)),
            ("header", name) if name.eq_ignore_ascii_case(AUTHORIZATION) => Err(IS_AUTHORIZATION),
            ("header", name) if !name.is_empty() => {
                HeaderName::from_text(name).map(|HeaderName(name)| TokenPlace::Header(name))
            }
            ("query", name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(TokenPlace::Query(name.into()))
            }
            _ => Err(WANTED),
        }
    }

    fn schema() -> Schema {
        matching(r"^(header\s+\S+|bearer|basic\s+(user|password)|query\s+\S+)$")
    }
}

/// The mistake of a token header whose value has a scheme first.
pub const IS_AUTHORIZATION: &str =
    "has a scheme before the token; write token_in: [bearer], or basic user or basic password";

/// A host without a port: a name, or an address without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub Box<str>);

impl FromText for HostName {
    fn from_text(text: &str) -> Result<HostName, &'static str> {
        const WANTED: &str = "is not a host; write a name without a port, as in tollgate.internal, or an address";
        let is_address = text.parse::<std::net::IpAddr>().is_ok();
        let is_name = !text.contains(':') && crate::policy::http::head::is_authority(text.as_bytes());
        if is_address || is_name { Ok(HostName(text.to_ascii_lowercase().into())) } else { Err(WANTED) }
    }

    fn schema() -> Schema {
        matching(r"^[0-9A-Za-z._:-]+$")
    }
}

impl FromText for HeaderName {
    fn from_text(text: &str) -> Result<HeaderName, &'static str> {
        // Headers for framing and routing, those that the gateway itself reads, and those of its answers.
        const TAKEN: [&str; 29] = [
            "accept",
            "accept-encoding",
            "allow",
            "cache-control",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "date",
            "expect",
            "forwarded",
            "host",
            "keep-alive",
            "origin",
            "proxy-connection",
            "ratelimit",
            "ratelimit-policy",
            "referer",
            "retry-after",
            "te",
            "traceparent",
            "tracestate",
            "trailer",
            "transaction-id",
            "transfer-encoding",
            "upgrade",
            "vary",
            "via",
            "x-forwarded-for",
        ];
        const TAKEN_FAMILIES: [&str; 2] = ["access-control-", "x-rate-limit-"];
        if !is_token(text.as_bytes()) || text.contains('_') {
            return Err("is not a header's name; use letters, digits and hyphens, as in Auth-Token");
        }
        let lower_case = text.to_ascii_lowercase();
        if TAKEN.contains(&&*lower_case) || TAKEN_FAMILIES.iter().any(|family| lower_case.starts_with(family)) {
            return Err("is a header with a fixed meaning in HTTP or in the gateway; choose another one");
        }
        Ok(HeaderName(text.into()))
    }

    fn schema() -> Schema {
        matching(r"^[!#$%&'*+.^`|~0-9A-Za-z-]+$")
    }
}

/// The name of a header that web pages may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHeader(pub Box<str>);

impl FromText for AllowedHeader {
    fn from_text(text: &str) -> Result<AllowedHeader, &'static str> {
        if !is_token(text.as_bytes()) || text.contains(['_', '*']) {
            return Err("is not a header's name; use letters, digits and hyphens, as in X-App-Version");
        }
        Ok(AllowedHeader(text.into()))
    }

    fn schema() -> Schema {
        matching(r"^[!#$%&'+.^`|~0-9A-Za-z-]+$")
    }
}

/// The name of a header of answers that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHeader(pub Box<str>);

impl FromText for AnswerHeader {
    fn from_text(text: &str) -> Result<AnswerHeader, &'static str> {
        // Framing and connections, what the gateway itself says, and what would be about another origin than its own.
        const NEVER: [&str; 21] = [
            "alt-svc",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "date",
            "keep-alive",
            "proxy-authenticate",
            "proxy-connection",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "set-cookie",
            "strict-transport-security",
            "te",
            "trailer",
            "transaction-id",
            "transfer-encoding",
            "upgrade",
            "vary",
            "www-authenticate",
        ];
        const PREFIXES: [&str; 3] = ["access-control-", "x-rate-limit-", "x-credits-"];
        if !is_token(text.as_bytes()) {
            return Err("is not a header's name; use letters, digits and hyphens, as in ETag");
        }
        let lower = text.to_ascii_lowercase();
        if NEVER.contains(&&*lower) || PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err("is a header of answers that the gateway writes itself or never passes on; remove it");
        }
        Ok(AnswerHeader(text.into()))
    }

    fn schema() -> Schema {
        matching(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    }
}

/// `https://api.example.com`: the base URL of links to problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(pub Box<str>);

impl FromText for PublicUrl {
    fn from_text(text: &str) -> Result<PublicUrl, &'static str> {
        const WANTED: &str = "is not a public URL; write scheme and host, as in https://api.example.com";
        let url = url::Url::parse(text).map_err(|_| WANTED)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(WANTED);
        }
        Ok(PublicUrl(url.as_str().trim_end_matches('/').into()))
    }

    fn schema() -> Schema {
        matching(r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s?#@]+$")
    }
}

/// A link to an external web page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebLink(pub Box<str>);

impl FromText for WebLink {
    fn from_text(text: &str) -> Result<WebLink, &'static str> {
        const WANTED: &str = "is not a link; write a full URL, as in https://portal.example.com/tokens";
        let url = url::Url::parse(text).map_err(|_| WANTED)?;
        let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if !plain || text.contains(char::is_whitespace) {
            return Err(WANTED);
        }
        Ok(WebLink(url.as_str().into()))
    }

    fn schema() -> Schema {
        matching(r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@]+([/?#]\S*)?$")
    }
}

/// Splits a whole number from its unit; underscores may group the digits.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_rates_have_units() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("5s", Some(5000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5 s", Some(5000)),
            ("", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(Duration::from_text(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
        }
        for (text, bytes) in [
            ("16KiB", Some(16_384)),
            ("1MiB", Some(1_048_576)),
            ("512", Some(512)),
            ("512B", Some(512)),
            ("1KB", None),
            ("KiB", None),
        ] {
            assert_eq!(Bytes::from_text(text).ok(), bytes.map(Bytes), "{text}");
        }
        for (text, rate) in [
            ("150/min", Some((150, 60))),
            ("1_000_000/s", Some((1_000_000, 1))),
            ("0/s", None),
            ("5", None),
            ("5/week", None),
        ] {
            let read = PerPeriod::from_text(text).ok().map(|rate| (rate.limit.get(), rate.period.as_secs()));
            assert_eq!(read, rate, "{text}");
        }
    }

    #[test]
    fn decimals_have_at_most_three_digits_behind_the_point() {
        for (text, expected) in [
            ("99.9", Some(99_900)),
            ("14.4", Some(14_400)),
            ("6", Some(6_000)),
            ("0.001", Some(1)),
            ("99.9999", None),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("1e3", None),
            ("4294968", None),
            ("", None),
        ] {
            assert_eq!(Decimal::from_text(text).ok(), expected.map(Decimal), "{text}");
        }
    }

    #[test]
    fn modes_are_three_octal_digits() {
        for (text, mode) in [
            ("0660", Some(0o660)),
            ("660", Some(0o660)),
            ("0o600", Some(0o600)),
            ("000", Some(0)),
            ("0888", None),
            ("66", None),
            ("4755", None),
            ("rw", None),
            ("", None),
            ("+60", None),
        ] {
            assert_eq!(Mode::from_text(text).ok(), mode.map(Mode), "{text}");
        }
    }

    #[test]
    fn a_day_is_a_day_of_the_calendar() {
        for (text, day) in [
            ("1970-01-01", Some(0)),
            ("2027-06-30", Some(20_999)),
            ("2027-02-29", None),
            ("1969-12-31", None),
            ("tomorrow", None),
        ] {
            assert_eq!(Expiry::from_text(text).ok(), day.map(Expiry::LastDay), "{text}");
        }
    }

    #[test]
    fn routes_and_headers_are_ones_that_a_request_can_have() {
        for text in ["POST /a/b", "GET /"] {
            assert!(RouteText::from_text(text).is_ok(), "{text}");
        }
        for text in [
            "/a",
            "POST",
            "POST a",
            "POST /a/*",
            "POST /a/{id",
            "POST /a/{id}.json",
            "POST /a/{}",
            "POST /{a}/{a}",
            "CONNECT /a",
            "post /a",
            "POST /a//b",
            "POST /a/../b",
            "POST /a?b",
            "POST /a b",
        ] {
            assert!(RouteText::from_text(text).is_err(), "{text}");
        }
        for (text, sound) in [
            ("Auth-Token", true),
            ("auth_token", false),
            ("Host", false),
            ("X-Forwarded-For", false),
            ("Traceparent", false),
            ("x-rate-limit-limit", false),
            ("Access-Control-Allow-Origin", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(HeaderName::from_text(text).is_ok(), sound, "{text}");
        }
    }

    #[test]
    fn a_link_is_a_whole_url() {
        for (text, url) in [
            ("https://portal.example.com", Some("https://portal.example.com/")),
            ("https://portal.example.com/#/tokens", Some("https://portal.example.com/#/tokens")),
            ("http://a/b?c=d", Some("http://a/b?c=d")),
            ("https://a/\"<>", Some("https://a/%22%3C%3E")),
            ("javascript:alert(1)", None),
            ("mailto:a@example.com", None),
            ("https://u@a", None),
            ("https://a/b c", None),
            ("portal.example.com", None),
            ("", None),
        ] {
            assert_eq!(WebLink::from_text(text).ok().as_ref().map(|url| &*url.0), url, "{text}");
        }
    }

    #[test]
    fn a_public_url_has_no_slash_at_its_end() {
        for (text, url) in [
            ("https://api.example.com", Some("https://api.example.com")),
            ("https://api.example.com/v1/", Some("https://api.example.com/v1")),
            ("ftp://a", None),
            ("https://u@a", None),
            ("https://a?b", None),
            ("api.example.com", None),
        ] {
            assert_eq!(PublicUrl::from_text(text).ok().as_ref().map(|url| &*url.0), url, "{text}");
        }
    }
}
