//! Prices and the ledger, compiled from the configuration.
//!
//! What a price line means is `tariff.rs`; which account has which credits is `accounts.rs`.

use serde_json::Value;

use super::units::Bytes;
use super::{Source, file};
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::ledger::{Durability, LedgerSettings, Storage as Books};
use crate::policy::check::body::BodyRule;
use crate::policy::tariff::{Condition, Line, MAX_LINE_CREDITS, MAX_LINES, MAX_TESTS, Step, Tariff, Test, Tests};

/// Bytes of the path of the ledger: far more than file systems take.
const MAX_PATH: Bytes = Bytes(4096);

/// Compiles the `credits` of a product.
pub fn tariff(credits: Written<file::Credits>, body: Option<&BodyRule>, mistakes: &mut Mistakes) -> Option<Tariff> {
    let place = credits.place()?.clone();
    let credits = credits.take()?;
    let mut lines = Lines { body, asked: Tests::default(), told: Tests::default(), answered: false, mistakes };
    let hold = lines.list(credits.hold, &place, "hold");
    lines.answered = true;
    let price = lines.list(credits.price, &place, "price");
    let (asked, told) = (lines.asked, lines.told);
    Some(Tariff::new(hold, price, asked, told))
}

/// Price lines as they are gathered.
struct Lines<'a> {
    body: Option<&'a BodyRule>,
    asked: Tests,
    told: Tests,
    /// Whether there is an answer to look at.
    answered: bool,
    mistakes: &'a mut Mistakes,
}

impl Lines<'_> {
    fn list(&mut self, list: Written<Listed<file::PriceLine>>, parent: &Place, key: &str) -> Vec<Line> {
        let instead = format!("write at least one line, as in {key}: [{{ add: 1 }}]");
        let lines = super::products::listed(list, parent, key, &instead, self.mistakes);
        if let Some((_, place)) = lines.get(MAX_LINES) {
            self.mistakes.push(place.clone(), format!("is one line too many; {MAX_LINES} fit into one list"));
        }
        lines.into_iter().filter_map(|(line, place)| self.line(line, &place)).collect()
    }

    fn line(&mut self, line: file::PriceLine, place: &Place) -> Option<Line> {
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
                self.mistakes.push(place.clone(), "does not say one amount; write either add or set");
                return None;
            }
        };
        Some(Line { step, condition: condition? })
    }

    /// Compiles one condition: a test of a member, or a combination of conditions.
    fn condition(&mut self, condition: file::Condition, place: &Place) -> Option<Condition> {
        let file::Condition { request, answer, is, one_of, ignore_case, filled, all, any, not } = condition;
        let subjects =
            [!request.is_missing(), !answer.is_missing(), !all.is_missing(), !any.is_missing(), !not.is_missing()];
        if subjects.into_iter().filter(|there| *there).count() != 1 {
            self.mistakes
                .push(place.clone(), "is no condition; write exactly one of request, answer, all, any and not");
            return None;
        }
        let combined = subjects.into_iter().skip(2).any(|there| there);
        let tested = [is.place(), filled.place(), ignore_case.place(), one_of.place()].into_iter().flatten().next();
        if combined && let Some(place) = tested.cloned() {
            self.mistakes.push(place, "says nothing beside a combination; write it into one of its conditions");
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
        list: Written<Listed<file::Condition>>,
        parent: &Place,
        key: &str,
    ) -> Option<Box<[Condition]>> {
        let conditions = super::products::listed(list, parent, key, "write at least one condition", self.mistakes);
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
                let values =
                    super::products::listed(one_of, place, "one_of", "write at least one value", self.mistakes);
                Test::OneOf { values: values.into_iter().map(|(value, _)| value).collect(), ignore_case }
            }
            (Written::Missing, Written::Missing, Written::Here(wanted, _)) => Test::Filled(wanted),
            (Written::Bad, _, _) | (_, Written::Bad, _) | (_, _, Written::Bad) => return None,
            (Written::Here(..) | Written::Missing, ..) => {
                self.mistakes.push(place.clone(), "does not say one test; write exactly one of is, one_of and filled");
                return None;
            }
        };
        let of_text = matches!(&test, Test::OneOf { values, .. } if of_texts(values));
        if let Some(place) = case_place
            && !of_text
        {
            self.mistakes.push(place, "says nothing without a text to compare with; remove it");
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
            self.mistakes.push(place, "is a place that the body's schema does not name; write one of its members");
            return None;
        }
        if !of_request && !self.answered {
            self.mistakes.push(place, "cannot be known before the answer is there; look at the request here");
            return None;
        }
        let (tests, numbered): (_, fn(u8) -> Condition) =
            if of_request { (&mut self.asked, Condition::Asked) } else { (&mut self.told, Condition::Told) };
        let number = tests.add(&pointer, test?);
        if number.is_none() {
            self.mistakes.push(place, format!("is one test too many; {MAX_TESTS} fit into one product"));
        }
        number.map(numbered)
    }

    /// Whether requests can have a member; anything can stand in a body without a schema.
    fn names(&self, pointer: &str) -> bool {
        self.body.is_some_and(|body| body.schema.as_ref().is_none_or(|schema| schema.names(pointer)))
    }
}

/// Whether a text is a JSON Pointer to a member (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    let mut after_tilde = text.split('~').skip(1);
    text.starts_with('/') && after_tilde.all(|rest| rest.starts_with(['0', '1']))
}

/// Compiles `ledger`: needed as soon as somebody pays.
pub fn ledger(
    ledger: Written<file::Ledger>,
    somebody_pays: bool,
    root: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<LedgerSettings> {
    const WANTED: &str = "name the file that credits are written to, as in ledger: { file: ledger.db }";
    if ledger.is_missing() && somebody_pays {
        mistakes.push(root.key("ledger"), format!("is missing, and accounts have credits; {WANTED}"));
    }
    let place = ledger.place().cloned().unwrap_or_default();
    let ledger = ledger.take()?;
    let durability = match ledger.durability.take() {
        None | Some(file::Durability::Batch) => Durability::Batch,
        Some(file::Durability::Each) => Durability::Each,
    };
    let volatile = ledger.volatile.take().unwrap_or(false);
    let books = match (ledger.file, volatile) {
        (Written::Here(_, place), true) => {
            mistakes.push(place, "says nothing beside volatile: true, which keeps credits in memory; remove one");
            Books::Memory
        }
        (Written::Missing | Written::Bad, true) => Books::Memory,
        (Written::Here(name, place), false) => {
            if name.trim().is_empty() || name.len() > MAX_PATH.0 {
                mistakes.push(place, "is not the name of a file; write one as in ledger.db");
            }
            Books::File(match source {
                Source::Directory(directory) => directory.path.join(name),
                Source::Embedded(_) => name.into(),
            })
        }
        (Written::Missing, false) => {
            mistakes.push(place.key("file"), format!("is missing; {WANTED}, or say volatile: true"));
            Books::Memory
        }
        (Written::Bad, false) => Books::Memory,
    };
    Some(LedgerSettings { place: books, durability })
}
