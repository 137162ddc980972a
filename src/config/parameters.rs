//! The rules for parameters of a route: segments of its path and members of its query.

use std::mem::take;

use serde_json::Value;

use super::fill::fill;
use super::headers::{check_max, shape};
use super::problems::Rows;
use super::units::{Parsed, Text};
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::policy::check::header::ValueShape;
use crate::policy::check::number::{Number, NumberRule};
use crate::policy::check::parameter::{DEFAULT_MAX_BYTES, MAX_PATH_PARAMETERS, MAX_QUERY_PARAMETERS, ParameterRule};
use crate::policy::problem::Row;
use crate::policy::route::Template;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Listed, Written};
    use crate::policy::check::number::Number;
    use crate::policy::check::parameter::Undeclared as PolicyUndeclared;

    /// The rule for a parameter. It is judged after percent-decoding.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Parameter {
        /// A regular expression that the whole value must match. Default: any text without control characters.
        pub pattern: Written<String>,
        /// Its longest value in bytes. Default: 256.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_HEADER_BYTES))]
        pub max: Written<usize>,
        /// The values that it may have.
        #[schemars(length(min = 1))]
        pub one_of: Written<Listed<String>>,
        /// It is a whole number, within bounds where it has any: digits, and a minus before them.
        pub integer: Written<Bounds>,
        /// It is a number as JSON writes one, within bounds where it has any; compared exactly.
        pub number: Written<Bounds>,
        /// With `one_of`: whether upper and lower case are the same. Default: false.
        pub ignore_case: Written<bool>,
        /// Of a query: requests without it, or with an empty value, are refused. Default: false.
        pub required: Written<bool>,
        /// Of a query: it may be sent more than once. Default: false.
        pub repeat: Written<bool>,
        /// The slug of the problem for a wrong value, built-in or from `problems`. Default: parameter-invalid.
        pub problem: Written<String>,
        /// What it means, for the reference and OpenAPI. Default: nothing.
        pub description: Written<String>,
        /// A value for the reference and OpenAPI. Default: one that fits, if that is easily found.
        pub example: Written<String>,
    }

    /// The bounds of a number, which are allowed themselves.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Bounds {
        /// The least that it may be. Default: no bound.
        pub min: Text<Number>,
        /// The most that it may be. Default: no bound.
        pub max: Text<Number>,
    }

    /// What becomes of parameters of a query that have no rule.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Undeclared {
        /// They are forwarded.
        Pass,
        /// They are left out.
        Drop,
        /// They are refused with parameter-invalid.
        Refuse,
    }

    impl From<Undeclared> for PolicyUndeclared {
        fn from(written: Undeclared) -> PolicyUndeclared {
            match written {
                Undeclared::Pass => PolicyUndeclared::Pass,
                Undeclared::Drop => PolicyUndeclared::Drop,
                Undeclared::Refuse => PolicyUndeclared::Refuse,
            }
        }
    }
}

/// Compiles the rules of a route, first those of its path in the order of the segments. A segment without a rule takes
/// any text.
pub fn compile(
    template: &Template,
    of_path: Entries<written::Parameter>,
    of_query: Entries<written::Parameter>,
    place: &Place,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> Vec<ParameterRule> {
    let mut written: Vec<_> = of_path.0;
    let mut rules = Vec::new();
    for name in template.names() {
        let rule = match written.iter().position(|(known, ..)| known == name) {
            Some(index) => {
                let (_, place, parameter) = written.remove(index);
                for (key, place) in [("required", parameter.required.place()), ("repeat", parameter.repeat.place())] {
                    if let Some(place) = place {
                        mistakes.push(place.clone(), format!("is for a query; a segment of a path has no `{key}`"));
                    }
                }
                rule(name, parameter, true, &place, rows, mistakes)
            }
            None => rule(name, written::Parameter::default(), true, place, rows, mistakes),
        };
        rules.extend(rule);
    }
    for (_, place, _) in written {
        mistakes.push(place, "is not a parameter of the path; write it there in braces, as in /v1/vat/{number}");
    }
    if template.parameters() > MAX_PATH_PARAMETERS {
        let what = format!("has too many parameters in its path; write at most {MAX_PATH_PARAMETERS}");
        mistakes.push(place.clone(), what);
    }
    for (number, (name, place, parameter)) in of_query.0.into_iter().enumerate() {
        if number == MAX_QUERY_PARAMETERS {
            let what = format!("is one parameter too many; write at most {MAX_QUERY_PARAMETERS} in one query");
            mistakes.push(place.clone(), what);
        }
        if name.is_empty() {
            mistakes.push(place.clone(), "is not a name; write the parameter's name");
        }
        if template.names().any(|known| known == name) {
            mistakes.push(place.clone(), "is a parameter of the path as well; give one of them another name");
        }
        rules.extend(rule(&name, parameter, false, &place, rows, mistakes));
    }
    rules
}

fn rule(
    name: &str,
    mut parameter: written::Parameter,
    is_segment: bool,
    place: &Place,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> Option<ParameterRule> {
    let written::Parameter { required, repeat, problem, description, example, .. } = &mut parameter;
    let (required, repeat, problem) = (take(required), take(repeat), take(problem));
    let (description, example) = (take(description), take(example));
    let row = match problem.is_missing() {
        true => Some(Row::ParameterInvalid),
        false => rows.row(problem, place, mistakes),
    };
    let shape = shape_of(parameter, place, mistakes)?;
    let example_place = example.place().cloned();
    let mut rule = ParameterRule {
        name: name.into(),
        shape,
        is_required: is_segment || required.take().unwrap_or(false),
        may_repeat: repeat.take().unwrap_or(false),
        is_segment,
        row: row?,
        description: description.take().unwrap_or_default().into(),
        example: "".into(),
    };
    rule.example = match example.take() {
        Some(example) => {
            if rule.judge(example.as_bytes(), 0).is_err() {
                let place = example_place.unwrap_or_else(|| place.clone());
                mistakes.push(place, "is refused by the parameter's own rule; write a value that it accepts");
            }
            example.into()
        }
        None => example_of(&rule).into(),
    };
    Some(rule)
}

/// The format of a value, by one of `pattern`, `one_of`, `integer` and `number` at the most.
fn shape_of(parameter: written::Parameter, place: &Place, mistakes: &mut Mistakes) -> Option<ValueShape> {
    let written::Parameter { pattern, max, one_of, integer, number, ignore_case, .. } = parameter;
    let written = [pattern.is_missing(), one_of.is_missing(), integer.is_missing(), number.is_missing()];
    match written.iter().filter(|is_missing| !**is_missing).count() {
        0 => {
            if let Some(place) = ignore_case.place() {
                mistakes.push(place.clone(), "has no effect without `one_of`; remove it");
            }
            let max_place = max.place().cloned();
            let max_bytes = max.take().unwrap_or(DEFAULT_MAX_BYTES);
            check_max(max_place, max_bytes, mistakes);
            Some(ValueShape::Any { max_bytes })
        }
        1 if integer.is_missing() && number.is_missing() => shape(pattern, max, one_of, ignore_case, place, mistakes),
        1 => {
            for place in [max.place(), ignore_case.place()].into_iter().flatten() {
                mistakes.push(place.clone(), "has no effect on a number; write its bounds below `integer` or `number`");
            }
            let is_whole = !integer.is_missing();
            number_rule(if is_whole { integer } else { number }, is_whole, mistakes).map(ValueShape::Number)
        }
        _ => {
            let what = "has several rules; write one of `pattern`, `one_of`, `integer` and `number`";
            mistakes.push(place.clone(), what);
            None
        }
    }
}

fn number_rule(written: Written<written::Bounds>, is_whole: bool, mistakes: &mut Mistakes) -> Option<NumberRule> {
    let written::Bounds { min, max } = written.take()?;
    let mut bound = |written: Text<Number>| {
        let Written::Here(Parsed(number), place) = written else { return None };
        if is_whole && !number.is_whole() {
            let what = "is not a whole number; write one, or `number` in place of `integer`";
            mistakes.push(place.clone(), what);
        }
        Some((number, place))
    };
    let (min, max) = (bound(min), bound(max));
    if let (Some((least, _)), Some((most, place))) = (&min, &max)
        && least.is_more_than(most)
    {
        mistakes.push(place.clone(), "is less than `min`, so that no value fits; exchange the two");
    }
    Some(NumberRule { is_whole, least: min.map(|(least, _)| least), most: max.map(|(most, _)| most) })
}

/// A value that a rule accepts, if one of some simple ones does.
fn example_of(rule: &ParameterRule) -> String {
    if let ValueShape::OneOf { values, .. } = &rule.shape
        && let Some(first) = values.first()
    {
        return first.to_string();
    }
    if let ValueShape::Number(number) = &rule.shape {
        let bounds = [&number.least, &number.most].into_iter().flatten().map(ToString::to_string);
        let fits = |candidate: &String| rule.judge(candidate.as_bytes(), 0).is_ok();
        return bounds.chain(["1".to_owned(), "0".to_owned()]).find(fits).unwrap_or_default();
    }
    let candidates =
        ["example", "1", "12345678", "EXAMPLE", "AA", "2026-01-31", "true", "AA123456789", "a@example.com"];
    let fits = |candidate: &&str| rule.judge(candidate.as_bytes(), 0).is_ok();
    candidates.into_iter().find(fits).unwrap_or_default().to_owned()
}

/// Shows what is not written of the rules of a route.
pub fn fill_in(shown: &mut Value, rules: &[ParameterRule]) {
    for rule in rules {
        let section_name = if rule.is_segment { "parameters" } else { "query" };
        let Some(shown) = shown.get_mut(section_name).and_then(|section| section.get_mut(&*rule.name)) else {
            continue;
        };
        match &rule.shape {
            ValueShape::Any { max_bytes } | ValueShape::Pattern { max_bytes, .. } => fill(shown, "max", *max_bytes),
            ValueShape::OneOf { ignore_case, .. } => fill(shown, "ignore_case", *ignore_case),
            ValueShape::Number(rule) => show_bounds(shown, rule),
        }
        if section_name == "query" {
            fill(shown, "required", rule.is_required);
            fill(shown, "repeat", rule.may_repeat);
        }
    }
}

/// Shows bounds as they are written: JSON would round some of them.
fn show_bounds(shown: &mut Value, rule: &NumberRule) {
    let Some(shown) = shown.get_mut(if rule.is_whole { "integer" } else { "number" }) else { return };
    for (key, bound) in [("min", &rule.least), ("max", &rule.most)] {
        let Some((bound, shown)) = bound.as_ref().zip(shown.get_mut(key)) else { continue };
        let text = bound.as_str();
        let number: Option<serde_json::Number> = serde_json::from_str(text).ok();
        let exact = number.filter(|number| number.to_string() == text);
        *shown = exact.map_or_else(|| text.into(), Value::Number);
    }
}
