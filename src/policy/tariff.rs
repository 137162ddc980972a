//! What a lookup costs: the prices of a product, as the operator's data.
//!
//! A tariff is two lists of lines, evaluated from top to bottom: what a request must hold before it
//! is sent to the backend, and what its answer costs. A line adds credits or sets the final price,
//! if its condition holds. Conditions look at members of the request or of the answer by JSON
//! Pointer (RFC 6901), or at parameters of the request's path and query; amounts can count elements of a request or be
//! a number of the answer. Every test has one bit, so that a request and an answer are each read once, and a price is a
//! few comparisons of bits. Reading an answer allocates only for members that a line names. Credits are in
//! `credits.rs`.

mod passed;
mod reading;
mod tested;

use serde::de::DeserializeSeed;
use serde_json::Value;

pub use passed::{MAX_QUANTITIES, Passed};
use reading::Reading;
pub use tested::{MAX_TESTS, Test, Tests};

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
        self.asked.parameters()
    }

    /// Runs the tests on the parameters of a request. `values` hands each value of the parameter with a name to a
    /// function.
    pub fn look_at_parameters(&self, values: impl Fn(&str, &mut dyn FnMut(&[u8]))) -> Passed {
        self.asked.of_parameters(values)
    }

    /// Runs the tests on the body of a request, or on none, beside what is known of its parameters.
    pub fn look_at(&self, request: Option<&Value>, parameters: Passed) -> Passed {
        self.asked.of_document(request, parameters)
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
        let mut passed = self.told.of_nothing();
        let mut deserializer = serde_json::Deserializer::from_str(answer);
        Reading { node: self.told.root(), passed: &mut passed }.deserialize(&mut deserializer).map_err(|_| NotJson)?;
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
        self.told.of_nothing()
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

#[cfg(test)]
#[path = "tariff_tests.rs"]
mod tests;
