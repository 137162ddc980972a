//! Prices as text.

use serde_json::Value;

use crate::policy::tariff::{Condition, Line, Step, Tariff, Test};

/// The prices of a product as sentences: the credits that are held for a request, and what its
/// answer costs.
#[derive(Debug)]
pub struct Prices {
    pub hold: Vec<String>,
    pub price: Vec<String>,
    /// What answers cost that the backend gave another status than 200.
    pub others: Vec<String>,
}

/// Describes a tariff.
pub fn of(tariff: &Tariff) -> Prices {
    let words = Words {
        asked: tariff.asked_tests(),
        told: tariff.told_tests(),
        asked_quantities: tariff.asked_quantities(),
        told_quantities: tariff.told_quantities(),
    };
    let lines = |lines: &[Line]| lines.iter().map(|line| words.line(line)).collect();
    let others =
        tariff.lines_by_status().flat_map(|(status, of_status)| of_status.iter().map(move |line| (status, line)));
    let others = others.map(|(status, line)| format!("If the lookup ends with {status}: {}", words.line(line)));
    Prices { hold: lines(tariff.hold_lines()), price: lines(tariff.price_lines()), others: others.collect() }
}

/// The tests that conditions refer to by number, with their fields.
struct Words<'t> {
    asked: Vec<(u8, String, &'t Test)>,
    told: Vec<(u8, String, &'t Test)>,
    asked_quantities: Vec<(u8, String)>,
    told_quantities: Vec<(u8, String)>,
}

impl Words<'_> {
    fn line(&self, line: &Line) -> String {
        let credits = |count: u32| if count == 1 { "1 credit".to_owned() } else { format!("{count} credits") };
        let step = match line.step {
            Step::Add(count) => format!("{} more", credits(count)),
            Step::AddEach { quantity, credits: each } => {
                let what = counted(&self.asked_quantities, quantity);
                format!("{} more for each of {what} of the request", credits(each))
            }
            Step::AddTold { quantity, max } => {
                let what = counted(&self.told_quantities, quantity);
                format!("As many more as {what} of the answer says, at most {}", credits(max))
            }
            Step::Set(0) => "Nothing at all".to_owned(),
            Step::Set(count) => format!("{} in all", credits(count)),
        };
        match self.condition(&line.condition, false) {
            Some(condition) => format!("{step}, if {condition}."),
            None => format!("{step}."),
        }
    }

    /// Describes a condition; one inside another condition with several parts is put in brackets.
    fn condition(&self, condition: &Condition, within: bool) -> Option<String> {
        let joined = |conditions: &[Condition], with: &str| {
            let parts: Vec<String> =
                conditions.iter().filter_map(|part| self.condition(part, conditions.len() > 1)).collect();
            let text = parts.join(with);
            if within && parts.len() > 1 { format!("({text})") } else { text }
        };
        match condition {
            Condition::Always => None,
            Condition::Asked(number) => test(&self.asked, *number, "the request"),
            Condition::Told(number) => test(&self.told, *number, "the answer"),
            Condition::All(conditions) => Some(joined(conditions, " and ")),
            Condition::Any(conditions) => Some(joined(conditions, " or ")),
            Condition::Not(condition) => Some(format!("not ({})", self.condition(condition, false)?)),
        }
    }
}

/// What a quantity counts, as fields are named.
fn counted(quantities: &[(u8, String)], number: u8) -> String {
    let known = quantities.iter().find(|(known, _)| *known == number);
    known.map_or_else(String::new, |(_, pointer)| field_name(pointer))
}

fn field_name(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn test(tests: &[(u8, String, &Test)], number: u8, whose: &str) -> Option<String> {
    let (_, pointer, test) = tests.iter().find(|(known, ..)| *known == number)?;
    let field = field_name(pointer);
    Some(match test {
        Test::Filled(true) => format!("{field} of {whose} has a value"),
        Test::Filled(false) => format!("{field} of {whose} has no value"),
        Test::OneOf { values, .. } => {
            let values: Vec<String> = values.iter().map(shown).collect();
            match values.as_slice() {
                [only] => format!("{field} of {whose} is {only}"),
                several => format!("{field} of {whose} is one of {}", several.join(", ")),
            }
        }
    })
}

/// A value as it is written in a sentence.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("“{text}”"))
}
