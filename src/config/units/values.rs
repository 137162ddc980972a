//! Durations, sizes, rates, numbers, days, moments, modes and colours.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::NaiveDate;
use schemars::{Schema, json_schema};

use super::text::{FromText, matching};
use crate::policy::account::Expiry;
use crate::policy::check::number::Number;
use crate::policy::rate::Allowance;
use crate::site::colour::Colour;
use crate::site::status::notice::Moment;

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

impl PerPeriod {
    /// The allowance with a burst; without one, the whole limit may come at once.
    pub fn with_burst(self, burst: Option<NonZeroU32>) -> Allowance {
        Allowance { limit: self.limit, period: self.period, burst: burst.unwrap_or(self.limit) }
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

impl FromText for Number {
    fn from_text(text: &str) -> Result<Number, &'static str> {
        const WANTED: &str = "is not a number; write one as in 1, -2.5 or 1e6";
        // Documents of the gateway have it as a number of JSON, which other programs read as floating point.
        let is_finite = text.parse().is_ok_and(f64::is_finite);
        Number::parse(text).filter(|_| is_finite).ok_or(WANTED)
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["number", "string"], "pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$" })
    }
}

impl FromText for Moment {
    fn from_text(text: &str) -> Result<Moment, &'static str> {
        Moment::parse(text)
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

impl FromText for Colour {
    fn from_text(text: &str) -> Result<Colour, &'static str> {
        Colour::parse(text).ok_or("is not a colour; write red, green and blue in hexadecimal digits, as in \"#0b57a8\"")
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
}
