//! The tests and quantities of a tariff, by the location of the value that they read: a member of a document, by JSON
//! Pointer (RFC 6901), or a parameter.

use serde_json::Value;

use super::passed::{MAX_QUANTITIES, Passed};

/// The most tests of one tariff on requests, and on answers: each has a bit of one word.
pub const MAX_TESTS: usize = 64;

/// What one test requires of a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is one of these values.
    OneOf { values: Box<[Value]>, ignore_case: bool },
    /// It exists and is not null, `""`, `[]` or `{}`; or, with `false`, the opposite.
    Filled(bool),
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

    /// The parameters that are read, by name.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| &*parameter.name)
    }

    /// The whole document, below which all other locations are.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// What passes of a document in which no member can be found.
    pub(super) fn of_nothing(&self) -> Passed {
        Passed::of_bits(self.root.without_value)
    }

    /// What passes of a document, or of none, beside what is known of parameters.
    pub(super) fn of_document(&self, document: Option<&Value>, parameters: Passed) -> Passed {
        let mut passed = parameters;
        passed.bits |= self.root.without_value;
        self.root.judge(document, &mut passed);
        passed
    }

    /// What passes of parameters, of which `values` hands each value of the one with a name to a function.
    pub(super) fn of_parameters(&self, values: impl Fn(&str, &mut dyn FnMut(&[u8]))) -> Passed {
        let mut passed = Passed::default();
        for parameter in &self.parameters {
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

    /// Every test with its number and what it reads: a JSON Pointer, or the name of a parameter.
    pub(super) fn all(&self) -> Vec<(u8, String, &Test)> {
        let mut found = Vec::new();
        self.root.gather("", &mut found);
        for parameter in &self.parameters {
            found.extend(parameter.tests.iter().map(|(number, test)| (*number, parameter.name.to_string(), test)));
        }
        found
    }

    /// What each quantity counts, by its number: a JSON Pointer, or the name of a parameter.
    pub(super) fn counted(&self) -> Vec<(u8, String)> {
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
pub(super) struct Node {
    pub(super) tests: Vec<(u8, Test)>,
    pub(super) quantities: Vec<u8>,
    pub(super) children: Vec<(Box<str>, Node)>,
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

    pub(super) fn named(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|(known, _)| **known == *name).map(|(_, node)| node)
    }

    /// Resets the tests of a location: of repeated members the last one counts, as in most JSON
    /// parsers.
    pub(super) fn forget(&self, passed: &mut Passed) {
        passed.bits = passed.bits & !self.bits | self.without_value;
        if self.counted != 0 {
            (0..8).filter(|number| self.counted >> number & 1 == 1).for_each(|number| passed.set(number, 0));
        }
    }

    pub(super) fn judge(&self, value: Option<&Value>, passed: &mut Passed) {
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
