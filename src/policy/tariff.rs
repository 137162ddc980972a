//! What a lookup costs: the prices of a product, as the operator's data.
//!
//! A tariff is two lists of lines, evaluated from top to bottom: what a request must hold before it
//! is sent to the backend, and what its answer costs. A line adds credits or sets the final price,
//! if its condition holds. Conditions look at members of the request or of the answer by JSON
//! Pointer (RFC 6901), or at parameters of the request's path and query; amounts can count elements of a request or be
//! a number of the answer. Every test has one bit, so that a request and an answer are each read once, and a price is a
//! few comparisons of bits. Reading an answer allocates only for members that a line names. Credits are in
//! `credits.rs`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The most tests of one tariff on requests, and on answers: each has a bit of one word.
pub const MAX_TESTS: usize = 64;

/// The most quantities of requests that one tariff counts, and the most of answers.
pub const MAX_QUANTITIES: usize = 4;

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
    /// The prices of answers with other statuses of the backend than 200; what is not here costs nothing.
    by_status: Box<[(u16, Box<[Line]>)]>,
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
    /// The request's quantity with this number, so many credits for each.
    AddEach {
        quantity: u8,
        credits: u32,
    },
    /// The answer's quantity with this number, at most so many credits.
    AddTold {
        quantity: u8,
        max: u32,
    },
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

/// The tests that passed, one bit each, and the quantities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    bits: u64,
    quantities: [u32; MAX_QUANTITIES],
}

/// An answer that is not one JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

impl Tariff {
    /// A tariff of two lists, whose conditions count the tests of `asked` and `told`.
    pub fn new(hold: Vec<Line>, price: Vec<Line>, asked: Tests, told: Tests) -> Tariff {
        Tariff { hold: hold.into(), price: price.into(), by_status: Box::default(), asked, told }
    }

    /// The same with prices of answers that have other statuses than 200, whose conditions count the same tests.
    pub fn with_statuses(self, by_status: Vec<(u16, Vec<Line>)>) -> Tariff {
        Tariff { by_status: by_status.into_iter().map(|(status, lines)| (status, lines.into())).collect(), ..self }
    }

    /// What a request holds, line by line.
    pub fn hold_lines(&self) -> &[Line] {
        &self.hold
    }

    /// What answers with other statuses than 200 cost, line by line.
    pub fn lines_by_status(&self) -> impl Iterator<Item = (u16, &[Line])> {
        self.by_status.iter().map(|(status, lines)| (*status, &**lines))
    }

    /// What an answer costs, line by line.
    pub fn price_lines(&self) -> &[Line] {
        &self.price
    }

    /// The tests of requests that conditions count, each with the pointer or the parameter that it reads.
    pub fn asked_tests(&self) -> Vec<(u8, String, &Test)> {
        self.asked.all()
    }

    /// What the quantities of requests count, by number.
    pub fn asked_quantities(&self) -> Vec<(u8, String)> {
        self.asked.counted()
    }

    /// The same of answers.
    pub fn told_quantities(&self) -> Vec<(u8, String)> {
        self.told.counted()
    }

    /// The tests of answers that conditions count.
    pub fn told_tests(&self) -> Vec<(u8, String, &Test)> {
        self.told.all()
    }

    /// The parameters that the tests and quantities of requests read, by name.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.asked.parameters.iter().map(|parameter| &*parameter.name)
    }

    /// Runs the tests on the parameters of a request. `values` hands each value of the parameter with a name to a
    /// function.
    pub fn look_at_parameters(&self, values: impl Fn(&str, &mut dyn FnMut(&[u8]))) -> Passed {
        let mut passed = Passed::default();
        for parameter in &self.asked.parameters {
            let (mut bits, mut count) = (0_u64, 0_u32);
            values(&parameter.name, &mut |value| {
                let value = Value::String(String::from_utf8_lossy(value).into_owned());
                bits |= parameter.passed(Some(&value));
                count = count.saturating_add(1);
            });
            passed.bits |= if count == 0 { parameter.passed(None) } else { bits };
            parameter.quantities.iter().for_each(|quantity| passed.set(*quantity, count));
        }
        passed
    }

    /// Runs the tests on the body of a request, or on none, beside what is known of its parameters.
    pub fn look_at(&self, request: Option<&Value>, parameters: Passed) -> Passed {
        let mut passed = Passed { bits: parameters.bits | self.asked.root.without_value, ..parameters };
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
        let mut passed = Passed::of_bits(self.told.root.without_value);
        let mut deserializer = serde_json::Deserializer::from_str(answer);
        Reading { node: &self.told.root, passed: &mut passed }.deserialize(&mut deserializer).map_err(|_| NotJson)?;
        deserializer.end().map_err(|_| NotJson)?;
        Ok(passed)
    }

    /// The most that an answer of any status costs, in credits.
    pub fn highest_charge(&self, asked: Passed, told: Passed) -> u32 {
        let others = self.by_status.iter().map(|(_, lines)| total(lines, asked, told));
        others.fold(total(&self.price, asked, told), u32::max)
    }

    /// What an answer with a status of the backend costs, in credits.
    pub fn price(&self, status: u16, asked: Passed, told: Passed) -> u32 {
        if status == 200 {
            return total(&self.price, asked, told);
        }
        let lines = self.by_status.iter().find(|(known, _)| *known == status);
        lines.map_or(0, |(_, lines)| total(lines, asked, told))
    }

    /// What is known of an answer in which no member can be found.
    pub fn nothing_told(&self) -> Passed {
        Passed::of_bits(self.told.root.without_value)
    }
}

fn total(lines: &[Line], asked: Passed, told: Passed) -> u32 {
    let mut total = 0_u32;
    for line in lines.iter().filter(|line| line.condition.holds(asked, told)) {
        let more = match line.step {
            Step::Add(credits) => credits,
            Step::AddEach { quantity, credits } => asked.quantity(quantity).saturating_mul(credits),
            Step::AddTold { quantity, max } => told.quantity(quantity).min(max),
            Step::Set(credits) => return credits,
        };
        total = total.saturating_add(more);
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
        Passed { bits, quantities: [0; MAX_QUANTITIES] }
    }

    /// The same with every quantity, or with one of them.
    pub fn with(mut self, quantity: Option<usize>, number: u32) -> Passed {
        for (index, known) in self.quantities.iter_mut().enumerate() {
            if quantity.is_none_or(|wanted| wanted == index) {
                *known = number;
            }
        }
        self
    }

    fn has(self, test: u8) -> bool {
        self.bits >> test & 1 == 1
    }

    fn quantity(self, quantity: u8) -> u32 {
        self.quantities.get(usize::from(quantity)).copied().unwrap_or(0)
    }

    fn set(&mut self, quantity: u8, number: u32) {
        if let Some(known) = self.quantities.get_mut(usize::from(quantity)) {
            *known = number;
        }
    }
}

/// The quantity of a value: a list's elements, a number itself, rounded up, and one of anything else that there is.
fn quantity(value: Option<&Value>) -> u32 {
    match value {
        None | Some(Value::Null) => 0,
        Some(Value::Array(items)) => u32::try_from(items.len()).unwrap_or(u32::MAX),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(whole) => u32::try_from(whole).unwrap_or(u32::MAX),
            // Negative numbers are nothing, and what is larger than can be counted is the most that can be.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            None => number.as_f64().map_or(0, |number| number.ceil() as u32),
        },
        Some(Value::Bool(_) | Value::String(_) | Value::Object(_)) => 1,
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
    quantities: u8,
    parameters: Vec<Parameter>,
}

/// The tests and quantities of a parameter.
#[derive(Debug)]
struct Parameter {
    name: Box<str>,
    tests: Vec<(u8, Test)>,
    quantities: Vec<u8>,
}

impl Parameter {
    fn passed(&self, value: Option<&Value>) -> u64 {
        self.tests.iter().filter(|(_, test)| test.passes(value)).fold(0, |bits, (number, _)| bits | 1 << number)
    }
}

impl Tests {
    /// Adds a test of the value at a JSON Pointer; returns its number, or `None` if there are too
    /// many.
    pub fn add(&mut self, pointer: &str, test: Test) -> Option<u8> {
        let number = self.next_test()?;
        let bit = 1 << number;
        let without_value = if test.passes(None) { bit } else { 0 };
        self.root.at(pointer, |node| node.count(bit, without_value)).tests.push((number, test));
        Some(number)
    }

    /// Adds a test of the parameter with a name; it passes if any of its values does.
    pub fn add_parameter(&mut self, name: &str, test: Test) -> Option<u8> {
        let number = self.next_test()?;
        self.parameter(name).tests.push((number, test));
        Some(number)
    }

    /// Counts the value at a JSON Pointer; returns the quantity's number, or `None` if there are too many.
    pub fn count(&mut self, pointer: &str) -> Option<u8> {
        if let Some((known, _)) = self.counted().into_iter().find(|(_, counted)| *counted == pointer) {
            return Some(known);
        }
        let number = self.next_quantity()?;
        let bits = 1 << number;
        self.root.at(pointer, |node| node.counted |= bits).quantities.push(number);
        Some(number)
    }

    /// Counts how often a parameter is sent.
    pub fn count_parameter(&mut self, name: &str) -> Option<u8> {
        if let Some(known) = self.parameter(name).quantities.first() {
            return Some(*known);
        }
        let number = self.next_quantity()?;
        self.parameter(name).quantities.push(number);
        Some(number)
    }

    fn next_test(&mut self) -> Option<u8> {
        let number = self.count;
        self.count = number.checked_add(1).filter(|count| usize::from(*count) <= MAX_TESTS)?;
        Some(number)
    }

    fn next_quantity(&mut self) -> Option<u8> {
        let number = self.quantities;
        self.quantities = number.checked_add(1).filter(|count| usize::from(*count) <= MAX_QUANTITIES)?;
        Some(number)
    }

    fn parameter(&mut self, name: &str) -> &mut Parameter {
        let index = match self.parameters.iter().position(|known| *known.name == *name) {
            Some(index) => index,
            None => {
                self.parameters.push(Parameter { name: name.into(), tests: Vec::new(), quantities: Vec::new() });
                self.parameters.len() - 1
            }
        };
        // It was found or created above.
        #[allow(clippy::indexing_slicing)]
        &mut self.parameters[index]
    }

    /// Every test with its number and what it reads: a JSON Pointer, or the name of a parameter.
    fn all(&self) -> Vec<(u8, String, &Test)> {
        let mut found = Vec::new();
        self.root.gather("", &mut found);
        for parameter in &self.parameters {
            found.extend(parameter.tests.iter().map(|(number, test)| (*number, parameter.name.to_string(), test)));
        }
        found
    }

    /// What each quantity counts, by its number: a JSON Pointer, or the name of a parameter.
    fn counted(&self) -> Vec<(u8, String)> {
        let mut found = Vec::new();
        self.root.gather_counted("", &mut found);
        for parameter in &self.parameters {
            found.extend(parameter.quantities.iter().map(|number| (*number, parameter.name.to_string())));
        }
        found
    }
}

/// A location that tests read, or a parent of one.
#[derive(Debug, Default)]
struct Node {
    tests: Vec<(u8, Test)>,
    quantities: Vec<u8>,
    children: Vec<(Box<str>, Node)>,
    /// The bits of all tests here and below.
    bits: u64,
    /// Those of them that pass when there is no value.
    without_value: u64,
    /// The bits of all quantities here and below.
    counted: u8,
}

impl Node {
    fn count(&mut self, bit: u64, without_value: u64) {
        self.bits |= bit;
        self.without_value |= without_value;
    }

    /// The location at a JSON Pointer; `visit` sees it and all above it.
    fn at(&mut self, pointer: &str, mut visit: impl FnMut(&mut Node)) -> &mut Node {
        let mut node = self;
        visit(node);
        for segment in pointer.split('/').skip(1) {
            node = node.child(&segment.replace("~1", "/").replace("~0", "~"));
            visit(node);
        }
        node
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
            child.gather(&below(pointer, name), found);
        }
    }

    fn gather_counted(&self, pointer: &str, found: &mut Vec<(u8, String)>) {
        found.extend(self.quantities.iter().map(|number| (*number, pointer.to_owned())));
        for (name, child) in &self.children {
            child.gather_counted(&below(pointer, name), found);
        }
    }

    fn named(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|(known, _)| **known == *name).map(|(_, node)| node)
    }

    /// Resets the tests of a location: of repeated members the last one counts, as in most JSON
    /// parsers.
    fn forget(&self, passed: &mut Passed) {
        passed.bits = passed.bits & !self.bits | self.without_value;
        if self.counted != 0 {
            (0..8).filter(|number| self.counted >> number & 1 == 1).for_each(|number| passed.set(number, 0));
        }
    }

    fn judge(&self, value: Option<&Value>, passed: &mut Passed) {
        for (number, test) in &self.tests {
            if test.passes(value) {
                passed.bits |= 1 << number;
            } else {
                passed.bits &= !(1 << number);
            }
        }
        for number in &self.quantities {
            passed.set(*number, quantity(value));
        }
        for (name, child) in &self.children {
            child.judge(value.and_then(|value| member(value, name)), passed);
        }
    }
}

/// The JSON Pointer of a member.
fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
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
        if !self.node.tests.is_empty() || !self.node.quantities.is_empty() {
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
        let looked_at = tariff.look_at(serde_json::from_str(text).ok().as_ref(), Passed::default());
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
        told.add("/result/plate_type", Test::Filled(true));
        let tariff = Tariff::new(Vec::new(), Vec::new(), Tests::default(), told);
        for text in ["", "{", "{}{}", "<html>", r#"{"result":{"plate_type":}}"#, r#"{"result":{"plate_type":"x"}"#] {
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
            assert_eq!(tariff.price(200, Passed::default(), told), price, "{text}");
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
