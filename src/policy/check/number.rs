//! Numbers as texts, with rules for them.
//!
//! The texts are JSON's numbers (RFC 8259, section 6), so that no two programs read one differently: no sign but a minus, no
//! zero before other digits, nothing left out beside a point. They are compared as they are written, digit by digit, so that
//! no number is rounded, and none is too large or too small.

use std::cmp::Ordering;
use std::fmt;

/// The longest number, in bytes.
const MAX_BYTES: usize = 64;

/// A number as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Box<str>);

/// A rule for numbers: their kind, and bounds that are allowed themselves.
#[derive(Clone, Debug)]
pub struct NumberRule {
    /// Only whole numbers, without a point and an exponent.
    pub is_whole: bool,
    pub least: Option<Number>,
    pub most: Option<Number>,
}

/// A number in its parts: digits before the point, digits behind it, and the power of ten they are multiplied with.
#[derive(Clone, Copy)]
struct Parts<'t> {
    is_negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
    exponent: i64,
}

impl Number {
    /// Reads a number; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Number> {
        Parts::of(text.as_bytes()).map(|_| Number(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is written without a point and an exponent.
    pub fn is_whole(&self) -> bool {
        self.parts().is_some_and(|parts| parts.is_plain(self.0.as_bytes()))
    }

    /// Whether its value is larger than that of another one.
    pub fn is_more_than(&self, other: &Number) -> bool {
        self.parts().zip(other.parts()).is_some_and(|(one, other)| one.compare(&other) == Ordering::Greater)
    }

    fn parts(&self) -> Option<Parts<'_>> {
        Parts::of(self.0.as_bytes())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl NumberRule {
    /// Whether a text is such a number.
    pub fn matches(&self, text: &[u8]) -> bool {
        let Some(number) = Parts::of(text).filter(|parts| !self.is_whole || parts.is_plain(text)) else { return false };
        let compared = |bound: &Option<Number>| Some(number.compare(&bound.as_ref()?.parts()?));
        compared(&self.least) != Some(Ordering::Less) && compared(&self.most) != Some(Ordering::Greater)
    }

    /// What a value is, for people: `a whole number from 1 to 100`.
    pub fn words(&self) -> String {
        let kind = if self.is_whole { "a whole number" } else { "a number" };
        match (&self.least, &self.most) {
            (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
            (Some(least), None) => format!("{kind} of at least {least}"),
            (None, Some(most)) => format!("{kind} of at most {most}"),
            (None, None) => kind.to_owned(),
        }
    }
}

impl<'t> Parts<'t> {
    fn of(text: &'t [u8]) -> Option<Parts<'t>> {
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let (whole, rest) = digits(unsigned)?;
        if text.len() > MAX_BYTES || (whole.len() > 1 && whole.starts_with(b"0")) {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => digits(rest)?,
            None => (rest.get(..0)?, rest),
        };
        let (exponent, rest) = match rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
            Some(rest) => {
                let (digits, after) =
                    digits(rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b"+")).unwrap_or(rest))?;
                let size = digits.iter().fold(0_i64, |size, digit| {
                    size.saturating_mul(10).saturating_add(i64::from(digit.saturating_sub(b'0')))
                });
                (if rest.starts_with(b"-") { size.saturating_neg() } else { size }, after)
            }
            None => (0, rest),
        };
        let parts = Parts { is_negative: text.starts_with(b"-"), whole, fraction, exponent };
        rest.is_empty().then_some(parts)
    }

    /// Whether its text has neither a point nor an exponent.
    fn is_plain(&self, text: &[u8]) -> bool {
        text.len() == self.whole.len().saturating_add(usize::from(self.is_negative))
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'t> {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// The place of its first digit that is no zero, counted from the point, and all digits from that on; `None` for zero.
    fn significant(&self) -> Option<(i64, impl Iterator<Item = u8> + use<'t>)> {
        let zeros = self.digits().position(|digit| digit != b'0')?;
        let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let place = length(self.whole.len()).saturating_sub(length(zeros)).saturating_add(self.exponent);
        Some((place, self.digits().skip(zeros)))
    }

    /// Which of two is larger, exactly.
    fn compare(&self, other: &Parts<'_>) -> Ordering {
        match (self.significant(), other.significant()) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) if other.is_negative => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) if self.is_negative => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(_), Some(_)) if self.is_negative != other.is_negative => other.is_negative.cmp(&self.is_negative),
            (Some((place, digits)), Some((other_place, others))) => {
                // Zeros behind the last digit say nothing.
                let zeros = || std::iter::repeat(b'0');
                let by_digits = digits.chain(zeros()).take(MAX_BYTES).cmp(others.chain(zeros()).take(MAX_BYTES));
                let larger = place.cmp(&other_place).then(by_digits);
                if self.is_negative { larger.reverse() } else { larger }
            }
        }
    }
}

/// The digits that a text begins with, at least one, and the rest.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(is_whole: bool, least: &str, most: &str) -> NumberRule {
        NumberRule { is_whole, least: Number::parse(least), most: Number::parse(most) }
    }

    #[test]
    fn a_number_is_one_of_json() {
        let long = "1".repeat(MAX_BYTES);
        for (text, is_number, is_whole) in [
            ("0", true, true),
            ("-0", true, true),
            ("42", true, true),
            ("-7", true, true),
            ("1.5", true, false),
            ("1.0", true, false),
            ("-0.25", true, false),
            ("1e3", true, false),
            ("1E+3", true, false),
            ("2.5e-7", true, false),
            (&long, true, true),
            (&format!("{long}1"), false, false),
            ("", false, false),
            ("-", false, false),
            ("+1", false, false),
            ("007", false, false),
            ("-01", false, false),
            (".5", false, false),
            ("5.", false, false),
            ("1e", false, false),
            ("1e+", false, false),
            ("1e1.5", false, false),
            ("0x10", false, false),
            ("1_000", false, false),
            ("1,5", false, false),
            (" 1", false, false),
            ("1 ", false, false),
            ("--1", false, false),
            ("NaN", false, false),
            ("Infinity", false, false),
            ("\u{664}", false, false),
        ] {
            assert_eq!(rule(false, "", "").matches(text.as_bytes()), is_number, "{text}");
            assert_eq!(rule(true, "", "").matches(text.as_bytes()), is_whole, "{text}");
            assert_eq!(Number::parse(text).is_some_and(|number| number.is_whole()), is_whole, "{text}");
        }
        assert!(!rule(false, "", "").matches(b"1\xff"));
    }

    #[test]
    fn bounds_are_exact_and_allowed_themselves() {
        for (is_whole, least, most, text, expected) in [
            (true, "1", "100", "1", true),
            (true, "1", "100", "100", true),
            (true, "1", "100", "0", false),
            (true, "1", "100", "101", false),
            (true, "1", "100", "-1", false),
            (true, "1", "100", "1000", false),
            (true, "-5", "-2", "-5", true),
            (true, "-5", "-2", "-1", false),
            (true, "-5", "-2", "-6", false),
            (true, "-5", "", "-0", true),
            (true, "0", "", "-0", true),
            (true, "", "9007199254740993", "9007199254740993", true),
            (true, "", "9007199254740993", "9007199254740994", false),
            (true, "", "18446744073709551616", "18446744073709551617", false),
            (false, "0.1", "0.3", "0.1", true),
            (false, "0.1", "0.3", "0.10000000000000000000000001", true),
            (false, "0.1", "0.3", "0.09999999999999999999999999", false),
            (false, "0.1", "0.3", "0.30000000000000000000000001", false),
            (false, "0.1", "0.3", "0.3000", true),
            (false, "1", "1000", "1e3", true),
            (false, "1", "1000", "1001e-3", true),
            (false, "1", "1000", "10e2", true),
            (false, "1", "1000", "1e4", false),
            (false, "1", "1000", "1e99999999999999999999999", false),
            (false, "0", "", "1e-99999999999999999999999", true),
            (false, "0", "", "-1e-99999999999999999999999", false),
            (false, "0", "0", "0e99999999999999999999999", true),
            (false, "0", "0", "0.000", true),
        ] {
            assert_eq!(rule(is_whole, least, most).matches(text.as_bytes()), expected, "{text} from {least} to {most}");
        }
    }

    #[test]
    fn a_rule_is_told_in_words() {
        for (is_whole, least, most, words) in [
            (true, "1", "100", "a whole number from 1 to 100"),
            (true, "1", "", "a whole number of at least 1"),
            (false, "", "0.5", "a number of at most 0.5"),
            (false, "", "", "a number"),
        ] {
            assert_eq!(rule(is_whole, least, most).words(), words);
        }
    }

    proptest! {
        /// Against whole numbers that are compared by the processor: the same number of digits behind the point.
        #[test]
        fn the_order_is_that_of_numbers(one in -100_000_i64..100_000, other in -100_000_i64..100_000, places in 0_u32..6, shift in -3_i32..4) {
            let written = |number: i64, exponent: i32| {
                let scale = 10_u64.pow(places);
                let (whole, part) = (number.unsigned_abs() / scale, number.unsigned_abs() % scale);
                let sign = if number < 0 { "-" } else { "" };
                let point = if places == 0 { String::new() } else { format!(".{part:0width$}", width = places as usize) };
                Number::parse(&format!("{sign}{whole}{point}e{exponent}")).unwrap()
            };
            let (left, right) = (written(one, shift), written(other, shift));
            prop_assert_eq!((left.is_more_than(&right), right.is_more_than(&left)), (one > other, other > one));
            let tenfold = written(other.saturating_mul(10), shift - 1);
            prop_assert_eq!((left.is_more_than(&tenfold), tenfold.is_more_than(&left)), (one > other, other > one));
        }
    }
}
