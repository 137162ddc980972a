//! `credits` of a product: its keys and their compiler.
//!
//! The ledger's keys are in `ledger.rs`, the credits of accounts in `account.rs`; price lines are evaluated in
//! `policy/tariff.rs`.

use serde_json::Value;

use super::charges::{self, Charges};
use super::common::listed;
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::policy::check::body::BodyRule;
use crate::policy::route::Route;
use crate::policy::tariff::{
    Condition, Line, MAX_LINE_CREDITS, MAX_LINES, MAX_QUANTITIES, MAX_TESTS, Step, Tariff, Test, Tests,
};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::{Listed, TEXT_OR_KEYS, Written};

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
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["add"]}, {"required": ["set"]}]))]
    pub struct PriceLine {
        /// Credits to add: a number, or a mapping that counts.
        pub add: Written<AnyAmount>,
        /// The price, whatever was added before; it ends the list.
        #[schemars(range(min = 0, max = crate::policy::tariff::MAX_LINE_CREDITS))]
        pub set: Written<u32>,
        /// When the line applies. Default: always.
        #[serde(rename = "if")]
        pub condition: Written<Condition>,
    }

    /// Credits that depend on a quantity: exactly one of `count`, `count_parameter` and `answer`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["count"]}, {"required": ["count_parameter"]}, {"required": ["answer"]}]))]
    pub struct Quantity {
        /// A member of the request's body, by JSON Pointer: the elements of a list, a number itself, rounded up, or 1 for
        /// anything else that is there.
        #[schemars(regex(pattern = "^/"))]
        pub count: Written<String>,
        /// How often the request has a parameter of the query.
        pub count_parameter: Written<String>,
        /// With `count` or `count_parameter`: credits for each. Default: 1.
        #[schemars(range(min = 1, max = crate::policy::tariff::MAX_LINE_CREDITS))]
        pub each: Written<u32>,
        /// A member of the answer's body, by JSON Pointer: the credits that it says, counted in the same way.
        #[schemars(regex(pattern = "^/"))]
        pub answer: Written<String>,
        /// With `answer`: the most that it can add, which `hold` must cover.
        #[schemars(range(min = 1, max = crate::policy::tariff::MAX_LINE_CREDITS))]
        pub max: Written<u32>,
    }

    /// An amount: a number of credits, or a mapping.
    #[derive(Clone, Debug)]
    pub enum AnyAmount {
        /// So many credits.
        Fixed(u32),
        /// As many as a quantity says.
        Counted(Box<Quantity>),
    }

    impl<'de> Deserialize<'de> for AnyAmount {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            /// Reads either form.
            struct AmountVisitor;
            impl<'de> serde::de::Visitor<'de> for AmountVisitor {
                type Value = AnyAmount;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a number of credits, or a mapping")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AnyAmount, E> {
                    let number = text.parse().map(AnyAmount::Fixed);
                    number.map_err(|_| E::custom("is not a whole number of credits from 0 on; write one, or a mapping as in { count: /items }"))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<AnyAmount, A::Error> {
                    let quantity = Quantity::deserialize(serde::de::value::MapAccessDeserializer::new(access))?;
                    Ok(AnyAmount::Counted(Box::new(quantity)))
                }
            }
            let keys = &["count", "count_parameter", "each", "answer", "max"];
            deserializer.deserialize_struct(TEXT_OR_KEYS, keys, AmountVisitor)
        }
    }

    /// When a line of a price applies.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["request"]}, {"required": ["parameter"]}, {"required": ["answer"]}, {"required": ["all"]}, {"required": ["any"]}, {"required": ["not"]}]))]
    pub struct Condition {
        /// A member of the request's body, by JSON Pointer.
        #[schemars(regex(pattern = "^/"))]
        pub request: Written<String>,
        /// A parameter of the request's path or query, by name; its value is a text. One that is sent more than once
        /// passes if any of its values does.
        pub parameter: Written<String>,
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

/// Prices of answers by the backend's status, which are compiled with those of each route.
pub type PricesByStatus = Vec<(u16, Listed<written::PriceLine>, Place)>;

/// What requests can have that prices look at: bodies and parameters of the routes that have these prices.
#[derive(Default)]
pub struct Priced<'r> {
    bodies: Vec<&'r BodyRule>,
    parameters: Vec<&'r str>,
}

impl<'r> Priced<'r> {
    /// What requests of some routes can have.
    pub fn of(routes: impl Iterator<Item = &'r Route>) -> Priced<'r> {
        let mut priced = Priced::default();
        for route in routes {
            priced.bodies.extend(&route.body);
            priced.parameters.extend(route.parameters.iter().map(|rule| &*rule.name));
        }
        priced
    }
}

/// Compiles the `credits` of a product or of a route.
pub fn tariff(
    credits: Written<written::Credits>,
    prices: &PricesByStatus,
    priced: &Priced<'_>,
    mistakes: &mut Mistakes,
) -> Option<Tariff> {
    let place = credits.place()?.clone();
    let credits = credits.take()?;
    let hold_place = credits.hold.place().cloned().unwrap_or_else(|| place.clone());
    let mut lines = Lines { priced, asked: Tests::default(), told: Tests::default(), answered: false, mistakes };
    let hold = lines.list(credits.hold, &place, "hold");
    lines.answered = true;
    let price = lines.list(credits.price, &place, "price");
    let mut by_status = Vec::new();
    for (status, list, place) in prices {
        by_status.push((*status, lines.list(Written::Here(list.clone(), place.clone()), place, "price")));
    }
    let (asked, told) = (lines.asked, lines.told);
    let tariff = Tariff::new(hold, price, asked, told).with_statuses(by_status);
    if !mistakes.touch(&place) {
        compare(&tariff, hold_place, mistakes);
    }
    Some(tariff)
}

/// Refuses prices that what is held does not cover, or that cannot be shown to be covered.
fn compare(tariff: &Tariff, hold: Place, mistakes: &mut Mistakes) {
    match charges::compare(tariff) {
        Charges::Covered => {}
        Charges::NeverCovered { most_held, most_charged } => mistakes.push(
            hold,
            format!(
                "holds at most {most_held}, but an answer can cost {most_charged}, and no more than what is held is charged; hold {most_charged} where it can cost that much"
            ),
        ),
        Charges::SometimesNot { held, charged } => mistakes.push(
            hold,
            format!(
                "is not shown to cover `price`: it seems to hold {held} for a request whose answer costs {charged}, and no more than what is held is charged; hold the most that the answer can cost, under the same conditions on the request"
            ),
        ),
        Charges::Outgrown { quantity } => {
            let counted = tariff.asked_quantities().into_iter().find(|(number, _)| *number == quantity);
            let counted = counted.map_or_else(String::new, |(_, name)| format!(" of {name}"));
            mistakes.push(
                hold,
                format!("holds less for each element{counted} than an answer costs for it; count them here as well"),
            );
        }
        Charges::Unknown => mistakes.push(
            hold,
            "is not shown to cover `price`, which has too many conditions to try all of them; hold without a condition what all its lines cost together",
        ),
    }
}

/// Price lines as they are gathered.
struct Lines<'a> {
    priced: &'a Priced<'a>,
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
        let step = match (line.add, line.set) {
            (Written::Here(amount, place), Written::Missing) => self.amount(amount, &place),
            (Written::Missing, Written::Here(credits, place)) => {
                self.check_amount(credits, &place);
                Some(Step::Set(credits))
            }
            (Written::Bad, _) | (_, Written::Bad) => return None,
            (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
                self.mistakes.push(place.clone(), "needs exactly one amount; write either add or set");
                return None;
            }
        }?;
        Some(Line { step, condition: condition? })
    }

    fn check_amount(&mut self, credits: u32, place: &Place) {
        if credits > MAX_LINE_CREDITS {
            self.mistakes.push(place.clone(), format!("is too much; write at most {MAX_LINE_CREDITS}"));
        }
    }

    /// Compiles what a line adds.
    fn amount(&mut self, amount: written::AnyAmount, place: &Place) -> Option<Step> {
        let quantity = match amount {
            written::AnyAmount::Fixed(credits) => {
                self.check_amount(credits, place);
                return Some(Step::Add(credits));
            }
            written::AnyAmount::Counted(quantity) => *quantity,
        };
        let written::Quantity { count, count_parameter, each, answer, max } = quantity;
        for (written, of) in [(&each, &answer), (&max, &count), (&max, &count_parameter)] {
            if let (Some(place), false) = (written.place(), of.is_missing()) {
                self.mistakes
                    .push(place.clone(), "has no effect here; `each` goes with a count, and `max` with `answer`");
            }
        }
        for amount in [&each, &max] {
            if let Written::Here(credits, place) = amount {
                self.check_amount(*credits, place);
            }
        }
        let credits = each.take().unwrap_or(1);
        let step = match (count, count_parameter, answer) {
            (Written::Here(pointer, place), Written::Missing, Written::Missing) => {
                self.check_member(&pointer, &place)?;
                self.asked.count(&pointer).map(|quantity| Step::AddEach { quantity, credits })
            }
            (Written::Missing, Written::Here(name, place), Written::Missing) => {
                self.check_parameter(&name, &place)?;
                self.asked.count_parameter(&name).map(|quantity| Step::AddEach { quantity, credits })
            }
            (Written::Missing, Written::Missing, Written::Here(pointer, answer_place)) => {
                self.check_answer(&pointer, &answer_place)?;
                let max = max.require(place, "max", "write the most that it can add, as in max: 5", self.mistakes)?;
                self.told.count(&pointer).map(|quantity| Step::AddTold { quantity, max })
            }
            (Written::Bad, ..) | (_, Written::Bad, _) | (_, _, Written::Bad) => return None,
            _ => {
                let what = "is not an amount; write a number, or exactly one of count, count_parameter and answer";
                self.mistakes.push(place.clone(), what);
                return None;
            }
        };
        if step.is_none() {
            let what = format!("is one quantity too many; write at most {MAX_QUANTITIES} of requests and of answers");
            self.mistakes.push(place.clone(), what);
        }
        step
    }

    /// Compiles one condition: a test of a member, or a combination of conditions.
    fn condition(&mut self, condition: written::Condition, place: &Place) -> Option<Condition> {
        let written::Condition { request, parameter, answer, is, one_of, ignore_case, filled, all, any, not } =
            condition;
        let subjects = [&request, &parameter, &answer].map(|subject| !subject.is_missing()).into_iter().chain([
            !all.is_missing(),
            !any.is_missing(),
            !not.is_missing(),
        ]);
        let subjects: Vec<bool> = subjects.collect();
        if subjects.iter().filter(|there| **there).count() != 1 {
            self.mistakes.push(
                place.clone(),
                "is not a condition; write exactly one of request, parameter, answer, all, any and not",
            );
            return None;
        }
        let combined = subjects.into_iter().skip(3).any(|there| there);
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
        self.member(request, parameter, answer, test)
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

    /// Gives a test its number, by what it reads: one of a member of the request, a parameter and a member of the answer.
    fn member(
        &mut self,
        request: Written<String>,
        parameter: Written<String>,
        answer: Written<String>,
        test: Option<Test>,
    ) -> Option<Condition> {
        let (number, place) = match (request, parameter, answer) {
            (Written::Here(pointer, place), _, _) => {
                self.check_member(&pointer, &place)?;
                (self.asked.add(&pointer, test?).map(Condition::Asked), place)
            }
            (_, Written::Here(name, place), _) => {
                self.check_parameter(&name, &place)?;
                (self.asked.add_parameter(&name, as_texts(test?)).map(Condition::Asked), place)
            }
            (_, _, Written::Here(pointer, place)) => {
                self.check_answer(&pointer, &place)?;
                (self.told.add(&pointer, test?).map(Condition::Told), place)
            }
            _ => return None,
        };
        if number.is_none() {
            self.mistakes.push(place, format!("is one test too many; write at most {MAX_TESTS} for one product"));
        }
        number
    }

    /// Reports a member that requests cannot have.
    fn check_member(&mut self, pointer: &str, place: &Place) -> Option<()> {
        self.check_pointer(pointer, place)?;
        let is_named =
            self.priced.bodies.iter().any(|body| body.schema.as_ref().is_none_or(|schema| schema.names(pointer)));
        if !is_named {
            self.mistakes.push(place.clone(), "is not a member in the body's schema; write one of its members");
        }
        is_named.then_some(())
    }

    /// Reports a parameter that requests cannot have.
    fn check_parameter(&mut self, name: &str, place: &Place) -> Option<()> {
        let is_named = self.priced.parameters.contains(&name);
        if !is_named {
            self.mistakes
                .push(place.clone(), "is not a parameter with a rule; add it to `parameters` or `query` of a route");
        }
        is_named.then_some(())
    }

    /// Reports a member of the answer before there is one.
    fn check_answer(&mut self, pointer: &str, place: &Place) -> Option<()> {
        self.check_pointer(pointer, place)?;
        if !self.answered {
            self.mistakes.push(place.clone(), "is not known before the answer; use a member of the request here");
        }
        self.answered.then_some(())
    }

    fn check_pointer(&mut self, pointer: &str, place: &Place) -> Option<()> {
        if !is_pointer(pointer) {
            self.mistakes.push(place.clone(), "is not a JSON Pointer; write one as in /result/type");
        }
        is_pointer(pointer).then_some(())
    }
}

/// A test of a parameter, whose value is a text: numbers and booleans are compared as they are written.
fn as_texts(test: Test) -> Test {
    let text = |value: Value| match value {
        Value::Number(_) | Value::Bool(_) => Value::String(value.to_string()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => value,
    };
    match test {
        Test::OneOf { values, ignore_case } => {
            Test::OneOf { values: values.into_iter().map(text).collect(), ignore_case }
        }
        Test::Filled(wanted) => Test::Filled(wanted),
    }
}

/// Whether a text is a JSON Pointer to a member (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    let mut after_tilde = text.split('~').skip(1);
    text.starts_with('/') && after_tilde.all(|rest| rest.starts_with(['0', '1']))
}
