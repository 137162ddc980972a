//! `headers` of a product, which are validated: their keys and compiler.

use std::collections::BTreeSet;

use regex::bytes::RegexBuilder;
use serde_json::Value;

use super::bounds::MAX_HEADER_BYTES;
use super::common::{listed, out_of_range};
use super::fill::{fill, section};
use super::problems::Rows;
use super::units::{FromText, HeaderName};
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::policy::check::header::{HeaderRule, ValueShape};
use crate::policy::check::parameter::DEFAULT_MAX_BYTES;
use crate::upstream::settings::AddedHeaders;

/// The most bytes of the compiled pattern of a header.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The mistake of a header that carries tokens for some product.
pub const IS_TOKEN_HEADER: &str = "carries tokens, which must not be forwarded or repeated; choose another header";

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::{Listed, Written};

    /// The rule for a header.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["problem"], "oneOf" = [{"required": ["pattern"]}, {"required": ["one_of"]}]))]
    pub struct HeaderRule {
        /// A regular expression that the whole value must match.
        pub pattern: Written<String>,
        /// With `pattern`: its longest value in bytes. Default: 256.
        #[schemars(range(min = 1, max = crate::config::bounds::MAX_HEADER_BYTES))]
        pub max: Written<usize>,
        /// The values that it may have.
        #[schemars(length(min = 1))]
        pub one_of: Written<Listed<String>>,
        /// With `one_of`: whether upper and lower case are the same. Default: false.
        pub ignore_case: Written<bool>,
        /// Repeat it on every response; if it is absent, generate one. Default: false.
        pub echo: Written<bool>,
        /// The slug of the problem for a wrong value, built-in or from `problems`.
        pub problem: Written<String>,
    }
}

/// Headers for which there can be no further rule.
pub struct ReservedHeaders<'c> {
    pub token_headers: &'c BTreeSet<String>,
    /// The headers that are added to requests of the product's upstream.
    pub added: Option<&'c AddedHeaders>,
    /// In lower case.
    pub seen: Vec<String>,
}

impl ReservedHeaders<'_> {
    /// Reports a header that is taken, and takes it.
    pub fn check(&mut self, name: &str, place: &Place, mistakes: &mut Mistakes) {
        let name = name.to_ascii_lowercase();
        if self.token_headers.contains(&name) {
            // Its value would be repeated to the backend, and with `echo` to the client.
            mistakes.push(place.clone(), IS_TOKEN_HEADER);
        } else if self.seen.contains(&name) {
            let what = "is a header that the product reads already; give each header one rule";
            mistakes.push(place.clone(), what);
        } else if self.added.is_some_and(|added| added.has(&name)) {
            let what = "is in `add_headers` of the product's upstream; remove it here or there";
            mistakes.push(place.clone(), what);
        }
        self.seen.push(name);
    }
}

/// Compiles one rule.
pub fn compile(
    (name, place, rule): (String, Place, written::HeaderRule),
    taken: &mut ReservedHeaders<'_>,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> Option<HeaderRule> {
    let name = match HeaderName::from_text(&name) {
        Ok(HeaderName(name)) => {
            taken.check(&name, &place, mistakes);
            Some(name)
        }
        Err(what) => {
            mistakes.push(place.clone(), what);
            None
        }
    };
    let row = rows.row(rule.problem, &place, mistakes);
    let shape = shape(rule.pattern, rule.max, rule.one_of, rule.ignore_case, &place, mistakes);
    Some(HeaderRule { name: name?, shape: shape?, echo: rule.echo.take().unwrap_or(false), row: row? })
}

/// Reports a longest value that no header or parameter can have.
pub fn check_max(place: Option<Place>, max_bytes: usize, mistakes: &mut Mistakes) {
    let range = || format!("a number from 1 to {MAX_HEADER_BYTES}");
    out_of_range(place, (1..=MAX_HEADER_BYTES).contains(&max_bytes), range, mistakes);
}

/// The format of a header or a parameter, by exactly one of `pattern` and `one_of`.
pub fn shape(
    pattern: Written<String>,
    max: Written<usize>,
    one_of: Written<Listed<String>>,
    ignore_case: Written<bool>,
    place: &Place,
    mistakes: &mut Mistakes,
) -> Option<ValueShape> {
    let (max_place, ignore_case_place) = (max.place().cloned(), ignore_case.place().cloned());
    let max_bytes = max.take().unwrap_or(DEFAULT_MAX_BYTES);
    let ignore_case = ignore_case.take().unwrap_or(false);
    match (pattern, one_of) {
        (Written::Here(pattern, place), Written::Missing) => {
            check_max(max_place, max_bytes, mistakes);
            if let Some(place) = ignore_case_place {
                let what = "has no effect with `pattern`; remove it, or begin the pattern with (?i)";
                mistakes.push(place, what);
            }
            pattern_shape(&pattern, place, max_bytes, mistakes)
        }
        (Written::Missing, one_of @ Written::Here(..)) => {
            if let Some(place) = max_place {
                mistakes.push(place, "has no effect with `one_of`; remove it");
            }
            let values = listed(one_of, place, "one_of", "write the values that may be sent", mistakes);
            Some(ValueShape::OneOf { values: values.into_iter().map(|(value, _)| value.into()).collect(), ignore_case })
        }
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
            mistakes.push(place.clone(), "has no rule; write one of `pattern` and `one_of`");
            None
        }
    }
}

fn pattern_shape(pattern: &str, place: Place, max_bytes: usize, mistakes: &mut Mistakes) -> Option<ValueShape> {
    // Anchored at both ends, so that the whole value must match.
    let build = |text: &str| RegexBuilder::new(text).unicode(false).size_limit(MAX_PATTERN_BYTES).build();
    // It must also compile by itself: unbalanced brackets could close the anchored group.
    let anchored = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z")));
    match anchored {
        Ok(expression) => Some(ValueShape::Pattern { expression, max_bytes }),
        Err(_) => {
            mistakes.push(
                place,
                "is not a regular expression that can be used; write one as in '[A-Za-z0-9-]+', without look-around, back-references and \\p",
            );
            None
        }
    }
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, rules: &[HeaderRule]) {
    for rule in rules {
        let shown = section(section(shown, "headers"), &rule.name);
        match &rule.shape {
            ValueShape::Any { max_bytes } | ValueShape::Pattern { max_bytes, .. } => fill(shown, "max", *max_bytes),
            ValueShape::OneOf { ignore_case, .. } => fill(shown, "ignore_case", *ignore_case),
            ValueShape::Number(_) => {}
        }
        fill(shown, "echo", rule.echo);
    }
}
