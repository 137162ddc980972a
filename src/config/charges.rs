//! Checks whether what a product holds covers what its answers can cost.
//!
//! No more than the hold is charged, so if `hold` is too low, lookups are silently too cheap. Both lists are summed for
//! every combination of outcomes that the tests of requests and answers can have. An outcome counts if some value
//! causes it: none, an empty one, one that is written in a condition, or any other. Price lines are evaluated in
//! `policy/tariff.rs`.

use serde_json::{Value, json};

use crate::policy::tariff::{Condition, Line, MAX_QUANTITIES, Passed, Step, Tariff, Test};

/// The most combinations that are checked; more would take too long.
const MAX_OUTCOMES: usize = 1 << 16;

/// More elements than make up for any fixed amount.
const MANY: u32 = 1_000_000;

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charges {
    /// No answer costs more than its request holds.
    Covered,
    /// Some answers cost more than any request can hold.
    NeverCovered { most_held: u32, most_charged: u32 },
    /// Some answers seem to cost more than their requests hold.
    SometimesNot { held: u32, charged: u32 },
    /// The price grows faster with a quantity of the request, by its number, than what is held.
    Outgrown { quantity: u8 },
    /// There are too many conditions to check all combinations.
    Unknown,
}

/// Compares what requests hold with what their answers cost, in credits.
pub fn compare(tariff: &Tariff) -> Charges {
    if always_covers(tariff) {
        return Charges::Covered;
    }
    let (asked, told) = (Subjects::of(tariff.asked_tests()), Subjects::of(tariff.told_tests()));
    let (Some(of_requests), Some(of_answers)) = (asked.outcomes(), told.outcomes()) else { return Charges::Unknown };
    if of_requests.len().saturating_mul(of_answers.len()) > MAX_OUTCOMES {
        return Charges::Unknown;
    }
    let (mut most_held, mut most_charged) = (0, 0);
    let mut worst: Option<(u32, u32)> = None;
    for asked in of_requests {
        let held = tariff.highest(asked);
        most_held = most_held.max(held);
        for told in &of_answers {
            let told = told.with(None, u32::MAX);
            // Amounts are linear in each quantity, so that many of one show whether the price outgrows what is held.
            for index in 0..MAX_QUANTITIES {
                let many = asked.with(Some(index), MANY);
                let grown = tariff.highest_charge(many, told).saturating_sub(tariff.highest_charge(asked, told));
                if grown > tariff.highest(many).saturating_sub(held) {
                    return Charges::Outgrown { quantity: u8::try_from(index).unwrap_or(u8::MAX) };
                }
            }
            let charged = tariff.highest_charge(asked, told);
            most_charged = most_charged.max(charged);
            let given_away = |(held, charged): (u32, u32)| charged.saturating_sub(held);
            if given_away((held, charged)) > worst.map_or(0, given_away) {
                worst = Some((held, charged));
            }
        }
    }
    let certain = asked.are_apart() && told.are_apart();
    match worst {
        None => Charges::Covered,
        Some(_) if certain && most_charged > most_held => Charges::NeverCovered { most_held, most_charged },
        Some((held, charged)) => Charges::SometimesNot { held, charged },
    }
}

/// Whether the least that any request holds covers all that answers can cost together, whatever the conditions are.
fn always_covers(tariff: &Tariff) -> bool {
    let sum = |amounts: &mut dyn Iterator<Item = u32>| amounts.fold(0, u32::saturating_add);
    let fixed = |line: &Line| match line.step {
        Step::Add(credits) if matches!(line.condition, Condition::Always) => Some(credits),
        Step::Add(_) | Step::AddEach { .. } | Step::AddTold { .. } | Step::Set(_) => None,
    };
    let set = |line: &Line| match line.step {
        Step::Set(credits) => Some(credits),
        Step::Add(_) | Step::AddEach { .. } | Step::AddTold { .. } => None,
    };
    let hold = tariff.hold_lines();
    // A line that sets the amount ends the list, wherever it stands.
    let least = hold.iter().filter_map(set).fold(sum(&mut hold.iter().filter_map(fixed)), u32::min);
    let added = |line: &Line| match line.step {
        Step::Add(credits) => Some(credits),
        Step::AddTold { max, .. } => Some(max),
        Step::AddEach { .. } => None,
        Step::Set(_) => Some(0),
    };
    let others = tariff.lines_by_status().map(|(_, lines)| lines);
    std::iter::once(tariff.price_lines()).chain(others).all(|lines| {
        let all: Option<Vec<u32>> = lines.iter().map(added).collect();
        let most = lines.iter().filter_map(set).fold(0, u32::max);
        all.is_some_and(|all| sum(&mut all.into_iter()).max(most) <= least)
    })
}

/// The members that tests read, each with the combined outcomes that its tests can have.
struct Subjects(Vec<(String, Vec<u64>)>);

impl Subjects {
    fn of(tests: Vec<(u8, String, &Test)>) -> Subjects {
        let mut members: Vec<(String, Vec<(u8, &Test)>)> = Vec::new();
        for (number, pointer, test) in tests {
            match members.iter_mut().find(|(known, _)| *known == pointer) {
                Some((_, tests)) => tests.push((number, test)),
                None => members.push((pointer, vec![(number, test)])),
            }
        }
        Subjects(members.into_iter().map(|(pointer, tests)| (pointer, outcomes(&tests))).collect())
    }

    /// Every combination of outcomes of all members; `None` if there are too many.
    fn outcomes(&self) -> Option<Vec<Passed>> {
        let mut all = vec![0_u64];
        for (_, own) in &self.0 {
            if all.len().saturating_mul(own.len()) > MAX_OUTCOMES {
                return None;
            }
            all = all.iter().flat_map(|before| own.iter().map(move |bits| before | bits)).collect();
        }
        Some(all.into_iter().map(Passed::of_bits).collect())
    }

    /// Whether no member is inside another one, so that their values are independent.
    fn are_apart(&self) -> bool {
        let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        !self.0.iter().any(|(inner, _)| self.0.iter().any(|(outer, _)| within(inner, outer)))
    }
}

/// The combined outcomes of the tests of one member, each once.
fn outcomes(tests: &[(u8, &Test)]) -> Vec<u64> {
    let mut values = vec![None, Some(json!("")), Some(json!("\u{1}\u{1}")), Some(json!([1]))];
    for (_, test) in tests {
        let Test::OneOf { values: named, .. } = test else { continue };
        for value in named {
            values.push(Some(value.clone()));
            if let Value::String(text) = value {
                values.extend([text.to_ascii_lowercase(), text.to_ascii_uppercase()].map(|text| Some(text.into())));
            }
        }
    }
    let passed = |value: Option<&Value>| {
        tests.iter().filter(|(_, test)| test.passes(value)).fold(0_u64, |bits, (number, _)| bits | 1 << number)
    };
    let mut outcomes: Vec<u64> = values.iter().map(|value| passed(value.as_ref())).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tariff::Tests;

    /// Tests of the members /a (is x) and /b (is y), of requests and of answers.
    fn tests() -> Tests {
        let mut tests = Tests::default();
        let is = |value: &str| Test::OneOf { values: [json!(value)].into(), ignore_case: false };
        tests.add("/a", is("x")).unwrap();
        tests.add("/b", is("y")).unwrap();
        tests
    }

    fn compared(hold: &[(Step, Condition)], price: &[(Step, Condition)]) -> Charges {
        let lines = |lines: &[(Step, Condition)]| {
            lines.iter().map(|(step, condition)| Line { step: *step, condition: condition.clone() }).collect()
        };
        compare(&Tariff::new(lines(hold), lines(price), tests(), tests()))
    }

    #[test]
    fn what_is_held_is_compared_with_what_can_be_charged() {
        use Charges::{Covered, NeverCovered, SometimesNot};
        use Condition::{All, Always, Asked, Not, Told};
        use Step::{Add, Set};
        type Lines<'a> = &'a [(Step, Condition)];
        let cases: [(Lines<'_>, Lines<'_>, Charges); 9] = [
            (&[(Add(1), Always)], &[(Add(1), Always)], Covered),
            (&[(Add(1), Always)], &[(Add(5), Always)], NeverCovered { most_held: 1, most_charged: 5 }),
            (&[(Add(5), Always)], &[(Add(1), Always), (Add(4), Told(0))], Covered),
            (
                &[(Add(5), Always)],
                &[(Add(5), Told(1)), (Add(4), Told(0))],
                NeverCovered { most_held: 5, most_charged: 9 },
            ),
            // One that is set ends the list.
            (&[(Add(1), Always)], &[(Set(0), Always), (Add(9), Always)], Covered),
            // The same condition on both sides, and the opposite one.
            (&[(Add(1), Always), (Add(4), Asked(0))], &[(Add(1), Always), (Add(4), Asked(0))], Covered),
            (
                &[(Add(1), Always), (Add(4), Asked(0))],
                &[(Add(1), Always), (Add(4), Not(Box::new(Asked(0))))],
                SometimesNot { held: 1, charged: 5 },
            ),
            (&[(Add(4), Asked(0))], &[(Add(4), Asked(1))], SometimesNot { held: 0, charged: 4 }),
            (&[(Add(4), Asked(0))], &[(Add(4), All([Asked(0), Asked(1)].into()))], Covered),
        ];
        for (hold, price, expected) in cases {
            assert_eq!(compared(hold, price), expected, "{hold:?} {price:?}");
        }
    }

    #[test]
    fn values_that_shut_each_other_out_do_not_come_together() {
        let mut told = Tests::default();
        for value in ["x", "y"] {
            told.add("/a", Test::OneOf { values: [json!(value)].into(), ignore_case: false }).unwrap();
        }
        let add = |credits, condition| Line { step: Step::Add(credits), condition };
        let hold = vec![add(3, Condition::Always)];
        let price = vec![add(3, Condition::Told(0)), add(3, Condition::Told(1))];
        assert_eq!(compare(&Tariff::new(hold, price, Tests::default(), told)), Charges::Covered);
    }

    #[test]
    fn members_within_each_other_and_too_many_of_them_are_not_certain() {
        let mut told = Tests::default();
        told.add("/a", Test::Filled(false)).unwrap();
        told.add("/a/b", Test::Filled(true)).unwrap();
        let add = |credits, condition| Line { step: Step::Add(credits), condition };
        let both = vec![add(3, Condition::Told(0)), add(3, Condition::Told(1))];
        let tariff = Tariff::new(vec![add(3, Condition::Always)], both, Tests::default(), told);
        assert_eq!(compare(&tariff), Charges::SometimesNot { held: 3, charged: 6 });
        let mut many = Tests::default();
        for number in 0..40 {
            many.add(&format!("/{number}"), Test::Filled(true)).unwrap();
        }
        let price = || (0..40).map(|number| add(1, Condition::Told(number))).collect();
        let tariff = Tariff::new(vec![add(39, Condition::Always)], price(), Tests::default(), many);
        assert_eq!(compare(&tariff), Charges::Unknown);
        let enough = vec![add(20, Condition::Always), add(20, Condition::Always)];
        assert_eq!(compare(&Tariff::new(enough, price(), Tests::default(), Tests::default())), Charges::Covered);
    }
}
