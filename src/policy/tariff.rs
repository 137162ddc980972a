//! What a lookup costs: the prices of a product, as the operator's data.
//!
//! A tariff is two lists of lines, evaluated from top to bottom: what a request must hold before it
//! is sent to the backend, and what its answer costs. A line adds credits or sets the final price,
//! if its condition holds. Conditions look at members of the request or of the answer by JSON
//! Pointer (RFC 6901). Every test has one bit, so that a request and an answer are each read once,
//! and a price is a few comparisons of bits. Reading an answer allocates only for members that a
//! line names. Credits are in `credits.rs`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The most tests of one tariff on requests, and on answers: each has a bit of one word.
pub const MAX_TESTS: usize = 64;

/// The most lines of each list of a tariff.
pub const MAX_LINES: usize = 64;

/// The most credits that one line may add or set; all lines together stay far below what one
/// request can hold.
pub const MAX_LINE_CREDITS: u32 = 10_000;

/// The prices of one product.
#[derive(Debug)]
pub struct Tariff {
    hold: Box<[Line]>,
    price: Box<[Line]>,
    asked: Tests,
    told: Tests,
}

/// One line: what it does if its condition holds.
#[derive(Clone, Debug)]
pub struct Line {
    pub step: Step,
    pub condition: Condition,
}

/// What a line does to the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Add(u32),
    /// The price, whatever was added before; it ends the list.
    Set(u32),
}

/// When a line applies.
#[derive(Clone, Debug)]
pub enum Condition {
    Always,
    /// The test of the request with this number.
    Asked(u8),
    /// The test of the answer with this number.
    Told(u8),
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
    Not(Box<Condition>),
}

/// What one test requires of a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is one of these values.
    OneOf { values: Box<[Value]>, ignore_case: bool },
    /// It exists and is not null, `""`, `[]` or `{}`; or, with `false`, the opposite.
    Filled(bool),
}

/// The tests that passed, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed(u64);

/// An answer that is not one JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

impl Tariff {
    /// A tariff of two lists, whose conditions count the tests of `asked` and `told`.
    pub fn new(hold: Vec<Line>, price: Vec<Line>, asked: Tests, told: Tests) -> Tariff {
        Tariff { hold: hold.into(), price: price.into(), asked, told }
    }

    /// What a request holds, line by line.
    pub fn hold_lines(&self) -> &[Line] {
        &self.hold
    }

    /// What an answer costs, line by line.
    pub fn price_lines(&self) -> &[Line] {
        &self.price
    }

    /// The tests of requests that conditions count: the pointer and the test of each.
    pub fn asked_tests(&self) -> Vec<(u8, String, &Test)> {
        self.asked.all()
    }

    /// The same of answers.
    pub fn told_tests(&self) -> Vec<(u8, String, &Test)> {
        self.told.all()
    }

    /// Runs the tests on a request: its body, or none.
    pub fn look_at(&self, request: Option<&Value>) -> Passed {
        let mut passed = self.asked.root.without_value;
        self.asked.root.judge(request, &mut passed);
        passed
    }

    /// The most that a request can cost, in credits: what it holds.
    pub fn highest(&self, asked: Passed) -> u32 {
        total(&self.hold, asked, Passed::default())
    }

    /// Reads an answer to its end.
    ///
    /// # Errors
    /// That it is not one JSON document.
    pub fn read(&self, answer: &str) -> Result<Passed, NotJson> {
        let mut passed = self.told.root.without_value;
        let mut deserializer = serde_json::Deserializer::from_str(answer);
        Reading { node: &self.told.root, passed: &mut passed }.deserialize(&mut deserializer).map_err(|_| NotJson)?;
        deserializer.end().map_err(|_| NotJson)?;
        Ok(passed)
    }

    /// What an answer costs, in credits.
    pub fn price(&self, asked: Passed, told: Passed) -> u32 {
        total(&self.price, asked, told)
    }
}

fn total(lines: &[Line], asked: Passed, told: Passed) -> u32 {
    let mut total = 0_u32;
    for line in lines.iter().filter(|line| line.condition.holds(asked, told)) {
        match line.step {
            Step::Add(credits) => total = total.saturating_add(credits),
            Step::Set(credits) => return credits,
        }
    }
    total
}

impl Condition {
    fn holds(&self, asked: Passed, told: Passed) -> bool {
        match self {
            Condition::Always => true,
            Condition::Asked(test) => asked.has(*test),
            Condition::Told(test) => told.has(*test),
            Condition::All(conditions) => conditions.iter().all(|condition| condition.holds(asked, told)),
            Condition::Any(conditions) => conditions.iter().any(|condition| condition.holds(asked, told)),
            Condition::Not(condition) => !condition.holds(asked, told),
        }
    }
}

impl Passed {
    /// The tests with these bits.
    pub fn of_bits(bits: u64) -> Passed {
        Passed(bits)
    }

    fn has(self, test: u8) -> bool {
        self.0 >> test & 1 == 1
    }
}

impl Test {
    /// Whether a value, or its absence, passes.
    pub fn passes(&self, value: Option<&Value>) -> bool {
        match self {
            Test::Filled(wanted) => value.is_some_and(is_filled) == *wanted,
            Test::OneOf { values, ignore_case } => value.is_some_and(|value| {
                values.iter().any(|wanted| match (wanted, value) {
                    (Value::String(wanted), Value::String(text)) if *ignore_case => wanted.eq_ignore_ascii_case(text),
                    (wanted, value) => wanted == value,
                })
            }),
        }
    }
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Tests by the location of the value that they read.
#[derive(Debug, Default)]
pub struct Tests {
    root: Node,
    count: u8,
}

impl Tests {
    /// Adds a test of the value at a JSON Pointer; returns its number, or `None` if there are too
    /// many.
    pub fn add(&mut self, pointer: &str, test: Test) -> Option<u8> {
        let number = self.count;
        if usize::from(number) >= MAX_TESTS {
            return None;
        }
        self.count += 1;
        let bit = 1 << number;
        let without_value = if test.passes(None) { bit } else { 0 };
        let mut node = &mut self.root;
        node.count(bit, without_value);
        for segment in pointer.split('/').skip(1) {
            node = node.child(&segment.replace("~1", "/").replace("~0", "~"));
            node.count(bit, without_value);
        }
        node.tests.push((number, test));
        Some(number)
    }

    /// Every test with its number and pointer.
    fn all(&self) -> Vec<(u8, String, &Test)> {
        let mut found = Vec::new();
        self.root.gather("", &mut found);
        found
    }
}

/// A location that tests read, or a parent of one.
#[derive(Debug, Default)]
struct Node {
    tests: Vec<(u8, Test)>,
    children: Vec<(Box<str>, Node)>,
    /// The bits of all tests here and below.
    bits: u64,
    /// Those of them that pass when there is no value.
    without_value: Passed,
}

impl Node {
    fn count(&mut self, bit: u64, without_value: u64) {
        self.bits |= bit;
        self.without_value.0 |= without_value;
    }

    fn child(&mut self, name: &str) -> &mut Node {
        let index = match self.children.iter().position(|(known, _)| **known == *name) {
            Some(index) => index,
            None => {
                self.children.push((name.into(), Node::default()));
                self.children.len() - 1
            }
        };
        // The location was found or created above.
        #[allow(clippy::indexing_slicing)]
        &mut self.children[index].1
    }

    fn gather<'n>(&'n self, pointer: &str, found: &mut Vec<(u8, String, &'n Test)>) {
        found.extend(self.tests.iter().map(|(number, test)| (*number, pointer.to_owned(), test)));
        for (name, child) in &self.children {
            child.gather(&format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }
    }

    fn named(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|(known, _)| **known == *name).map(|(_, node)| node)
    }

    /// Resets the tests of a location: of repeated members the last one counts, as in most JSON
    /// parsers.
    fn forget(&self, passed: &mut Passed) {
        passed.0 = passed.0 & !self.bits | self.without_value.0;
    }

    fn judge(&self, value: Option<&Value>, passed: &mut Passed) {
        for (number, test) in &self.tests {
            if test.passes(value) {
                passed.0 |= 1 << number;
            } else {
                passed.0 &= !(1 << number);
            }
        }
        for (name, child) in &self.children {
            child.judge(value.and_then(|value| member(value, name)), passed);
        }
    }
}

fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Reads one value of an answer, and skips whatever no test reads.
struct Reading<'a> {
    node: &'a Node,
    passed: &'a mut Passed,
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.node.forget(self.passed);
        if !self.node.tests.is_empty() {
            let value = serde::Deserialize::deserialize(deserializer)?;
            self.node.judge(Some(&value), self.passed);
            Ok(())
        } else if self.node.children.is_empty() {
            serde::Deserialize::deserialize(deserializer).map(|IgnoredAny| ())
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(node) = members.next_key_seed(Name(self.node))? {
            match node {
                Some(node) => members.next_value_seed(Reading { node, passed: self.passed })?,
                None => members.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let item = match self.node.named(&index.to_string()) {
                Some(node) => items.next_element_seed(Reading { node, passed: self.passed })?,
                None => items.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    // A scalar has no members to read.

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Reads the name of a member; returns its location, if a test needs it.
struct Name<'a>(&'a Node);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one_of(values: Value, ignore_case: bool) -> Test {
        Test::OneOf { values: values.as_array().unwrap().as_slice().into(), ignore_case }
    }

    /// What passes of some tests when an answer is read, and when the same value is looked at.
    fn passed(tests: &[(&str, Test)], text: &str) -> Vec<bool> {
        let collect = || {
            let mut collected = Tests::default();
            for (pointer, test) in tests {
                collected.add(pointer, test.clone()).unwrap();
            }
            collected
        };
        let tariff = Tariff::new(Vec::new(), Vec::new(), collect(), collect());
        let read = tariff.read(text).unwrap();
        let looked_at = tariff.look_at(serde_json::from_str(text).ok().as_ref());
        assert_eq!(read, looked_at, "{text}");
        (0..tests.len()).map(|test| read.has(u8::try_from(test).unwrap())).collect()
    }

    #[test]
    fn members_are_found_by_json_pointer() {
        for (pointer, text, there) in [
            ("/a", r#"{"a":1}"#, true),
            ("/a", r#"{"b":1}"#, false),
            ("/a/b", r#"{"a":{"b":"x"},"c":{"b":1}}"#, true),
            ("/a/b", r#"{"a":[{"b":1}]}"#, false),
            ("/a/b", r#"{"a":"b"}"#, false),
            ("/a/1/b", r#"{"a":[{"b":1},{"b":2}]}"#, true),
            ("/a/2/b", r#"{"a":[{"b":1},{"b":2}]}"#, false),
            ("/a~1b/~0", r#"{"a/b":{"~":true}}"#, true),
            ("/a", r#"{"\u0061":1}"#, true),
            ("", "[1]", true),
            ("/a", "null", false),
            ("/a", "7", false),
            ("/a", "[]", false),
        ] {
            assert_eq!(passed(&[(pointer, Test::Filled(true))], text), [there], "{pointer} of {text}");
            assert_eq!(passed(&[(pointer, Test::Filled(false))], text), [!there], "{pointer} of {text}");
        }
    }

    #[test]
    fn filled_is_what_is_neither_null_nor_empty() {
        for (value, filled) in [
            ("null", false),
            (r#""""#, false),
            ("[]", false),
            ("{}", false),
            ("false", true),
            ("0", true),
            (r#"" ""#, true),
            ("[null]", true),
            (r#"{"x":1}"#, true),
        ] {
            assert_eq!(passed(&[("/a", Test::Filled(true))], &format!(r#"{{"a":{value}}}"#)), [filled], "{value}");
        }
    }

    #[test]
    fn values_are_compared_as_they_are_or_in_any_case_of_letters() {
        let tests =
            [("/a", one_of(json!(["Bad format", true, 3]), false)), ("/a", one_of(json!(["Bad format"]), true))];
        for (value, expected) in [
            (r#""Bad format""#, [true, true]),
            (r#""BAD FORMAT""#, [false, true]),
            (r#""Bad\u0020format""#, [true, true]),
            ("true", [true, false]),
            ("3", [true, false]),
            (r#""3""#, [false, false]),
            ("null", [false, false]),
        ] {
            assert_eq!(passed(&tests, &format!(r#"{{"a":{value}}}"#)), expected, "{value}");
        }
    }

    #[test]
    fn of_repeated_members_the_last_one_counts() {
        let tests = [("/a/b", Test::Filled(true)), ("/a/c", Test::Filled(true)), ("/a", Test::Filled(true))];
        for (text, expected) in [
            (r#"{"a":{"b":1},"a":{"c":1}}"#, [false, true, true]),
            (r#"{"a":{"b":1,"b":null}}"#, [false, false, true]),
            (r#"{"a":{"b":1},"a":null}"#, [false, false, false]),
        ] {
            assert_eq!(passed(&tests, text), expected, "{text}");
            assert_eq!(passed(&tests[..2], text), expected[..2], "{text}");
        }
    }

    #[test]
    fn what_is_not_one_json_document_is_no_answer() {
        let mut told = Tests::default();
        told.add("/result/phone_type", Test::Filled(true));
        let tariff = Tariff::new(Vec::new(), Vec::new(), Tests::default(), told);
        for text in ["", "{", "{}{}", "<html>", r#"{"result":{"phone_type":}}"#, r#"{"result":{"phone_type":"x"}"#] {
            assert_eq!(tariff.read(text), Err(NotJson), "{text}");
        }
    }

    #[test]
    fn lines_add_up_until_one_sets_the_price() {
        let mut told = Tests::default();
        let a = told.add("/a", Test::Filled(true)).unwrap();
        let b = told.add("/b", Test::Filled(true)).unwrap();
        let line = |step, condition| Line { step, condition };
        let lines = vec![
            line(Step::Add(1), Condition::Always),
            line(Step::Set(7), Condition::All([Condition::Told(a), Condition::Told(b)].into())),
            line(Step::Add(2), Condition::Any([Condition::Told(a), Condition::Told(b)].into())),
            line(Step::Add(4), Condition::Not(Box::new(Condition::Told(a)))),
        ];
        let tariff = Tariff::new(Vec::new(), lines, Tests::default(), told);
        for (text, price) in [("{}", 5), (r#"{"a":1}"#, 3), (r#"{"b":1}"#, 7), (r#"{"a":1,"b":1}"#, 7), ("[]", 5)] {
            let told = tariff.read(text).unwrap();
            assert_eq!(tariff.price(Passed::default(), told), price, "{text}");
        }
    }

    #[test]
    fn there_are_as_many_tests_as_bits_and_no_more() {
        let mut tests = Tests::default();
        for number in 0..MAX_TESTS {
            assert!(tests.add(&format!("/{number}"), Test::Filled(true)).is_some());
        }
        assert_eq!(tests.add("/one_more", Test::Filled(true)), None);
    }
}
