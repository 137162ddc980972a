//! `credits` of a product: its keys and their compiler.
//!
//! The ledger's keys are in `ledger.rs`, the credits of accounts in `account.rs`; price lines are evaluated in
//! `policy/tariff.rs`.

use serde_json::Value;

use super::charges::{self, Charges};
use super::common::listed;
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::policy::check::body::BodyRule;
use crate::policy::tariff::{Condition, Line, MAX_LINE_CREDITS, MAX_LINES, MAX_TESTS, Step, Tariff, Test, Tests};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::{Listed, Written};

    /// What a product's lookups cost.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["hold", "price"]))]
    pub struct Credits {
        /// The most that a request can cost, held before the request is sent to the backend. No more is charged, so a
        /// `price` that can be higher is a mistake.
        #[schemars(length(min = 1, max = crate::policy::tariff::MAX_LINES))]
        pub hold: Written<Listed<PriceLine>>,
        /// The final price of a delivered 200.
        #[schemars(length(min = 1, max = crate::policy::tariff::MAX_LINES))]
        pub price: Written<Listed<PriceLine>>,
    }

    /// One line of a price.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["add"]}, {"required": ["set"]}]))]
    pub struct PriceLine {
        /// Credits to add.
        #[schemars(range(min = 0, max = crate::policy::tariff::MAX_LINE_CREDITS))]
        pub add: Written<u32>,
        /// The price, whatever was added before; it ends the list.
        #[schemars(range(min = 0, max = crate::policy::tariff::MAX_LINE_CREDITS))]
        pub set: Written<u32>,
        /// When the line applies. Default: always.
        #[serde(rename = "if")]
        pub condition: Written<Condition>,
    }

    /// When a line of a price applies.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["request"]}, {"required": ["answer"]}, {"required": ["all"]}, {"required": ["any"]}, {"required": ["not"]}]))]
    pub struct Condition {
        /// A member of the request's body, by JSON Pointer.
        #[schemars(regex(pattern = "^/"))]
        pub request: Written<String>,
        /// A member of the answer's body, by JSON Pointer.
        #[schemars(regex(pattern = "^/"))]
        pub answer: Written<String>,
        /// The value that it has.
        pub is: Written<serde_json::Value>,
        /// The values that it may have.
        #[schemars(length(min = 1))]
        pub one_of: Written<Listed<serde_json::Value>>,
        /// With `is` or `one_of`: in any case of letters. Default: false.
        pub ignore_case: Written<bool>,
        /// true: it exists and is not null, "", [] or {}; false: the opposite.
        pub filled: Written<bool>,
        /// Conditions that all hold.
        #[schemars(length(min = 1))]
        pub all: Written<Listed<Condition>>,
        /// Conditions of which one holds.
        #[schemars(length(min = 1))]
        pub any: Written<Listed<Condition>>,
        /// A condition that does not hold.
        pub not: Written<Box<Condition>>,
    }
}

/// Compiles the `credits` of a product.
pub fn tariff(credits: Written<written::Credits>, body: Option<&BodyRule>, mistakes: &mut Mistakes) -> Option<Tariff> {
    let place = credits.place()?.clone();
    let credits = credits.take()?;
    let hold_place = credits.hold.place().cloned().unwrap_or_else(|| place.clone());
    let mut lines = Lines { body, asked: Tests::default(), told: Tests::default(), answered: false, mistakes };
    let hold = lines.list(credits.hold, &place, "hold");
    lines.answered = true;
    let price = lines.list(credits.price, &place, "price");
    let (asked, told) = (lines.asked, lines.told);
    let tariff = Tariff::new(hold, price, asked, told);
    if !mistakes.touch(&place) {
        compare(&tariff, hold_place, mistakes);
    }
    Some(tariff)
}

/// Warns of a product whose answers can cost more than it holds.
fn compare(tariff: &Tariff, hold: Place, mistakes: &mut Mistakes) {
    match charges::compare(tariff) {
        Charges::Covered => {}
        Charges::NeverCovered { most_held, most_charged } => mistakes.push(
            hold,
            format!(
                "holds at most {most_held}, but an answer can cost {most_charged}, and no more than what is held is charged; hold {most_charged} where it can cost that much"
            ),
        ),
        Charges::SometimesNot { held, charged } => mistakes.warn(
            hold,
            format!(
                "seems to hold {held} for a request whose answer costs {charged}, but no more than what is held is charged; hold the most that the answer can cost, under the same conditions on the request"
            ),
        ),
        Charges::Unknown => mistakes.warn(
            hold,
            "cannot be compared with `price`, which has too many conditions, but no more than what is held is charged; hold the most that an answer can cost",
        ),
    }
}

/// Price lines as they are gathered.
struct Lines<'a> {
    body: Option<&'a BodyRule>,
    asked: Tests,
    told: Tests,
    /// Whether conditions on the answer are allowed.
    answered: bool,
    mistakes: &'a mut Mistakes,
}

impl Lines<'_> {
    fn list(&mut self, list: Written<Listed<written::PriceLine>>, parent: &Place, key: &str) -> Vec<Line> {
        let instead = format!("write at least one line, as in {key}: [{{ add: 1 }}]");
        let lines = listed(list, parent, key, &instead, self.mistakes);
        if let Some((_, place)) = lines.get(MAX_LINES) {
            self.mistakes.push(place.clone(), format!("is one line too many; write at most {MAX_LINES} in one list"));
        }
        lines.into_iter().filter_map(|(line, place)| self.line(line, &place)).collect()
    }

    fn line(&mut self, line: written::PriceLine, place: &Place) -> Option<Line> {
        let condition = match line.condition {
            Written::Missing => Some(Condition::Always),
            Written::Bad => None,
            Written::Here(condition, place) => self.condition(condition, &place),
        };
        for amount in [&line.add, &line.set] {
            if let Written::Here(credits, place) = amount
                && *credits > MAX_LINE_CREDITS
            {
                self.mistakes.push(place.clone(), format!("is too much; write at most {MAX_LINE_CREDITS}"));
            }
        }
        let step = match (line.add, line.set) {
            (Written::Here(credits, _), Written::Missing) => Step::Add(credits),
            (Written::Missing, Written::Here(credits, _)) => Step::Set(credits),
            (Written::Bad, _) | (_, Written::Bad) => return None,
            (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
                self.mistakes.push(place.clone(), "needs exactly one amount; write either add or set");
                return None;
            }
        };
        Some(Line { step, condition: condition? })
    }

    /// Compiles one condition: a test of a member, or a combination of conditions.
    fn condition(&mut self, condition: written::Condition, place: &Place) -> Option<Condition> {
        let written::Condition { request, answer, is, one_of, ignore_case, filled, all, any, not } = condition;
        let subjects =
            [!request.is_missing(), !answer.is_missing(), !all.is_missing(), !any.is_missing(), !not.is_missing()];
        if subjects.into_iter().filter(|there| *there).count() != 1 {
            self.mistakes
                .push(place.clone(), "is not a condition; write exactly one of request, answer, all, any and not");
            return None;
        }
        let combined = subjects.into_iter().skip(2).any(|there| there);
        let tested = [is.place(), filled.place(), ignore_case.place(), one_of.place()].into_iter().flatten().next();
        if combined && let Some(place) = tested.cloned() {
            self.mistakes.push(place, "has no effect beside a combination; move it into one of its conditions");
        }
        if !all.is_missing() {
            return self.combination(all, place, "all").map(Condition::All);
        }
        if !any.is_missing() {
            return self.combination(any, place, "any").map(Condition::Any);
        }
        if let Written::Here(inner, place) = not {
            return self.condition(*inner, &place).map(|inner| Condition::Not(Box::new(inner)));
        }
        let test = self.test(is, one_of, ignore_case, filled, place);
        self.member(request, answer, test)
    }

    fn combination(
        &mut self,
        list: Written<Listed<written::Condition>>,
        parent: &Place,
        key: &str,
    ) -> Option<Box<[Condition]>> {
        let conditions = listed(list, parent, key, "write at least one condition", self.mistakes);
        conditions.into_iter().map(|(condition, place)| self.condition(condition, &place)).collect()
    }

    fn test(
        &mut self,
        is: Written<Value>,
        one_of: Written<Listed<Value>>,
        ignore_case: Written<bool>,
        filled: Written<bool>,
        place: &Place,
    ) -> Option<Test> {
        let case_place = ignore_case.place().cloned();
        let ignore_case = ignore_case.take().unwrap_or(false);
        let of_texts = |values: &[Value]| values.iter().any(Value::is_string);
        let test = match (is, one_of, filled) {
            (Written::Here(value, _), Written::Missing, Written::Missing) => {
                Test::OneOf { values: [value].into(), ignore_case }
            }
            (Written::Missing, one_of @ Written::Here(..), Written::Missing) => {
                let values = listed(one_of, place, "one_of", "write at least one value", self.mistakes);
                Test::OneOf { values: values.into_iter().map(|(value, _)| value).collect(), ignore_case }
            }
            (Written::Missing, Written::Missing, Written::Here(wanted, _)) => Test::Filled(wanted),
            (Written::Bad, _, _) | (_, Written::Bad, _) | (_, _, Written::Bad) => return None,
            (Written::Here(..) | Written::Missing, ..) => {
                self.mistakes.push(place.clone(), "needs exactly one test; write one of is, one_of and filled");
                return None;
            }
        };
        let of_text = matches!(&test, Test::OneOf { values, .. } if of_texts(values));
        if let Some(place) = case_place
            && !of_text
        {
            self.mistakes.push(place, "has no effect without a text to compare with; remove it");
        }
        Some(test)
    }

    /// Gives a test of a member its number.
    fn member(&mut self, request: Written<String>, answer: Written<String>, test: Option<Test>) -> Option<Condition> {
        let (pointer, of_request) = match (request, answer) {
            (pointer @ Written::Here(..), _) => (pointer, true),
            (_, pointer) => (pointer, false),
        };
        let Written::Here(pointer, place) = pointer else { return None };
        if !is_pointer(&pointer) {
            self.mistakes.push(place, "is not a JSON Pointer; write one as in /result/phone_type");
            return None;
        }
        if of_request && !self.names(&pointer) {
            self.mistakes.push(place, "is not a member in the body's schema; write one of its members");
            return None;
        }
        if !of_request && !self.answered {
            self.mistakes.push(place, "is not known before the answer; use a member of the request here");
            return None;
        }
        let (tests, numbered): (_, fn(u8) -> Condition) =
            if of_request { (&mut self.asked, Condition::Asked) } else { (&mut self.told, Condition::Told) };
        let number = tests.add(&pointer, test?);
        if number.is_none() {
            self.mistakes.push(place, format!("is one test too many; write at most {MAX_TESTS} for one product"));
        }
        number.map(numbered)
    }

    /// Whether requests can have a member; a body without a schema can have any member.
    fn names(&self, pointer: &str) -> bool {
        self.body.is_some_and(|body| body.schema.as_ref().is_none_or(|schema| schema.names(pointer)))
    }
}

/// Whether a text is a JSON Pointer to a member (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    let mut after_tilde = text.split('~').skip(1);
    text.starts_with('/') && after_tilde.all(|rest| rest.starts_with(['0', '1']))
}
