//! The rules for parameters of a route: segments of its path and members of its query.

use serde_json::Value;

use super::fill::fill;
use super::headers::shape;
use super::problems::Rows;
use crate::config::yaml::{Entries, Mistakes, Place};
use crate::policy::check::header::Shape;
use crate::policy::check::parameter::{DEFAULT_MAX_BYTES, MAX_PATH_PARAMETERS, MAX_QUERY_PARAMETERS, ParameterRule};
use crate::policy::problem::Row;
use crate::policy::route::Template;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::{Listed, Written};
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
    parameter: written::Parameter,
    is_segment: bool,
    place: &Place,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> Option<ParameterRule> {
    let written::Parameter { pattern, max, one_of, ignore_case, required, repeat, problem, description, example } =
        parameter;
    let row = match problem.is_missing() {
        true => Some(Row::ParameterInvalid),
        false => rows.row(problem, place, mistakes),
    };
    let has_shape = !pattern.is_missing() || !one_of.is_missing();
    let max_place = max.place().cloned();
    let shape = if has_shape {
        shape(pattern, max, one_of, ignore_case, place, mistakes)
    } else {
        if let Some(place) = ignore_case.place() {
            mistakes.push(place.clone(), "has no effect without `one_of`; remove it");
        }
        let max_bytes = max.take().unwrap_or(DEFAULT_MAX_BYTES);
        super::headers::check_max(max_place, max_bytes, mistakes);
        Some(Shape::Any { max_bytes })
    }?;
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

/// A value that a rule accepts, if one of some simple ones does.
fn example_of(rule: &ParameterRule) -> String {
    if let Shape::OneOf { values, .. } = &rule.shape
        && let Some(first) = values.first()
    {
        return first.to_string();
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
            Shape::Any { max_bytes } | Shape::Pattern { max_bytes, .. } => fill(shown, "max", *max_bytes),
            Shape::OneOf { ignore_case, .. } => fill(shown, "ignore_case", *ignore_case),
        }
        if section_name == "query" {
            fill(shown, "required", rule.is_required);
            fill(shown, "repeat", rule.may_repeat);
        }
    }
}
