//! Rules about single request headers: a product's own validators, and its deadline.
//!
//! Token headers are in `admit.rs`; media types are in `http/media.rs`.

use std::time::Duration;

use regex::bytes::Regex;

use super::number::NumberRule;
use crate::policy::http::head::{Lines, One, decimal};
use crate::policy::problem::{Problem, Row};

/// A header that a product validates.
#[derive(Clone, Debug)]
pub struct HeaderRule {
    /// The name as it is written in answers.
    pub name: Box<str>,
    pub shape: ValueShape,
    /// Echoed in every response; the Transaction-Id takes its place if it is absent (contract,
    /// section 4).
    pub echo: bool,
    pub row: Row,
}

/// The format of a value.
#[derive(Clone, Debug)]
pub enum ValueShape {
    /// At most this many bytes of text without control characters.
    Any {
        max_bytes: usize,
    },
    /// At most this many bytes that match the anchored expression.
    Pattern {
        expression: Regex,
        max_bytes: usize,
    },
    OneOf {
        values: Box<[Box<str>]>,
        ignore_case: bool,
    },
    Number(NumberRule),
}

/// Why a rule of a header refuses, by which the journal tells it from the checks before it.
pub const BROKEN_HEADER: &str = "the header's value breaks its rule";
pub const SEVERAL_LINES: &str = "several lines of the header";

impl HeaderRule {
    /// Accepts the request if the header is absent or valid.
    ///
    /// # Errors
    /// The rule's own problem.
    pub fn validate(&self, lines: &Lines<'_>) -> Result<(), Problem> {
        match lines.one(&self.name) {
            One::Absent => Ok(()),
            One::Value(value) if self.shape.matches(value) => Ok(()),
            One::Value(_) => Err(Problem::new(self.row, BROKEN_HEADER)),
            One::Several => Err(Problem::new(self.row, SEVERAL_LINES)),
        }
    }

    /// The value to echo: the one that was sent, if it is valid.
    pub fn sound_value<'a>(&self, lines: &Lines<'a>) -> Option<&'a [u8]> {
        match lines.one(&self.name) {
            One::Value(value) if self.shape.matches(value) => Some(value),
            One::Value(_) | One::Absent | One::Several => None,
        }
    }
}

impl ValueShape {
    /// Whether a value has it.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            ValueShape::Any { max_bytes } => {
                let text = std::str::from_utf8(value).ok();
                value.len() <= *max_bytes && text.is_some_and(|text| !text.chars().any(char::is_control))
            }
            ValueShape::Pattern { expression, max_bytes } => value.len() <= *max_bytes && expression.is_match(value),
            ValueShape::OneOf { values, ignore_case: true } => {
                values.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(value))
            }
            ValueShape::OneOf { values, ignore_case: false } => {
                values.iter().any(|allowed| allowed.as_bytes() == value)
            }
            ValueShape::Number(rule) => rule.matches(value),
        }
    }
}

impl ValueShape {
    /// What a value may be, for people: `at most 14 characters that match [A-Z]+`, or the values with a word between them.
    pub fn words(&self, between: &str) -> String {
        match self {
            ValueShape::Any { max_bytes } => format!("text of at most {max_bytes} bytes"),
            ValueShape::Pattern { max_bytes, .. } => match self.pattern() {
                Some(pattern) => format!("at most {max_bytes} characters that match {pattern}"),
                None => format!("at most {max_bytes} characters"),
            },
            ValueShape::OneOf { values, ignore_case } => {
                let case = if *ignore_case { ", in any case of letters" } else { "" };
                format!("{}{case}", values.join(between))
            }
            ValueShape::Number(rule) => rule.words(),
        }
    }

    /// The pattern as the operator wrote it.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            ValueShape::Pattern { expression, .. } => {
                expression.as_str().strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z"))
            }
            ValueShape::Any { .. } | ValueShape::OneOf { .. } | ValueShape::Number(_) => None,
        }
    }
}

/// The deadline of requests, and its header.
#[derive(Clone, Debug)]
pub struct DeadlineRule {
    /// `None`: clients cannot choose it.
    pub header: Option<Box<str>>,
    pub min_seconds: u64,
    pub max_seconds: u64,
    pub default: Duration,
}

impl DeadlineRule {
    /// The time the request may take, counted from the moment its head was read.
    ///
    /// # Errors
    /// `timeout-invalid` unless the header is absent or one line with only digits, in range.
    pub fn read(&self, lines: &Lines<'_>) -> Result<Duration, Problem> {
        let refused = |reason| Err(Problem::new(Row::TimeoutInvalid, reason));
        let Some(header) = &self.header else {
            return Ok(self.default);
        };
        match lines.one(header) {
            One::Absent => Ok(self.default),
            One::Several => refused("several lines of the deadline header"),
            One::Value(value) => match decimal(value) {
                Some(seconds) if (self.min_seconds..=self.max_seconds).contains(&seconds) => {
                    Ok(Duration::from_secs(seconds))
                }
                Some(_) => refused("the deadline is out of its range"),
                None => refused("the deadline is not a whole number"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(values: &[&[u8]], judge: impl FnOnce(&Lines<'_>) -> T) -> T {
        let fields: Vec<_> = values.iter().map(|value| httparse::Header { name: "X", value }).collect();
        judge(&Lines { fields: &fields, ..Lines::UNREADABLE })
    }

    fn rule(shape: ValueShape) -> HeaderRule {
        HeaderRule { name: "x".into(), shape, echo: true, row: Row::ReferenceIdInvalid }
    }

    #[test]
    fn a_reference_follows_its_pattern() {
        let expression = Regex::new(r"\A(?:[A-Za-z0-9_\-/:.,() ]+)\z").unwrap();
        let rule = rule(ValueShape::Pattern { expression, max_bytes: 256 });
        let longest = [b'a'; 256];
        let too_long = [b'a'; 257];
        for (values, sound) in [
            (vec![], true),
            (vec![b"a".as_slice()], true),
            (vec![b"Az09_-/:.,() x"], true),
            (vec![&longest], true),
            (vec![&too_long], false),
            (vec![b""], false),
            (vec![b"a;b"], false),
            (vec![b"a\xc3\xa9"], false),
            (vec![b"a", b"a"], false),
        ] {
            assert_eq!(with(&values, |lines| rule.validate(lines).is_ok()), sound, "{values:?}");
            let echoed = with(&values, |lines| rule.sound_value(lines).is_some());
            assert_eq!(echoed, sound && !values.is_empty(), "{values:?}");
        }
    }

    #[test]
    fn a_switch_is_one_of_its_values() {
        let values: Box<[Box<str>]> = vec!["true".into(), "false".into()].into();
        let any_case = rule(ValueShape::OneOf { values: values.clone(), ignore_case: true });
        let this_case = rule(ValueShape::OneOf { values, ignore_case: false });
        for (value, any, this) in [
            ("true", true, true),
            ("False", true, false),
            ("TRUE", true, false),
            ("yes", false, false),
            ("", false, false),
        ] {
            assert_eq!(with(&[value.as_bytes()], |lines| any_case.validate(lines).is_ok()), any, "{value}");
            assert_eq!(with(&[value.as_bytes()], |lines| this_case.validate(lines).is_ok()), this, "{value}");
        }
    }

    #[test]
    fn a_deadline_is_a_whole_number_in_range() {
        let rule = DeadlineRule {
            header: Some("x".into()),
            min_seconds: 2,
            max_seconds: 15,
            default: Duration::from_secs(15),
        };
        for (values, seconds) in [
            (vec![], Some(15)),
            (vec!["2"], Some(2)),
            (vec!["15"], Some(15)),
            (vec!["0003"], Some(3)),
            (vec!["1"], None),
            (vec!["16"], None),
            (vec!["5.0"], None),
            (vec!["+5"], None),
            (vec!["-5"], None),
            (vec!["5s"], None),
            (vec![""], None),
            (vec!["99999999999999999999"], None),
            (vec!["5", "5"], None),
        ] {
            let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(with(&bytes, |lines| rule.read(lines).ok()), seconds.map(Duration::from_secs), "{values:?}");
        }
    }
}
