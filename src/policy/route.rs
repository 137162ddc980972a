//! A route of a product: a method and a path with named parameters, what its query and its body may be, and what it is
//! for the backend (contract, section 11).
//!
//! Which route a request has is decided in `paths.rs`; a request is read again for each use of its parameters, so that
//! nothing is kept of it.

pub mod rewrite;

use std::borrow::Cow;
use std::sync::Arc;

use rewrite::{Part, Rewrite};

use crate::policy::answers::Answers;
use crate::policy::check::body::BodyRule;
use crate::policy::check::parameter::{ParameterRule, UNKNOWN, Undeclared, encode, member, members, segment, split};
use crate::policy::http::head::Head;
use crate::policy::problem::messages::Names;
use crate::policy::problem::{ParameterFlaw, Problem};
use crate::policy::tariff::Tariff;

/// A method and a path of a product.
#[derive(Debug)]
pub struct Route {
    /// Its place among those of the product.
    pub index: u16,
    pub method: Box<str>,
    pub path: Template,
    /// First those of the path, in the order of its segments, then those of the query.
    pub parameters: Box<[ParameterRule]>,
    pub undeclared: Undeclared,
    /// The path and query for the backend, if they are others than the client's.
    pub rewrite: Option<Rewrite>,
    /// `None`: its requests have no body.
    pub body: Option<BodyRule>,
    /// What lookups cost; `None` if they cost nothing.
    pub tariff: Option<Arc<Tariff>>,
    /// What becomes of the backend's answers: what the product says, and for some statuses what the route says instead.
    pub answers: Arc<Answers>,
    /// What answers are, as pages and OpenAPI tell it. Nothing is checked with it.
    pub answer_schema: Option<Arc<serde_json::Value>>,
    /// What details of its refusals say of it.
    pub names: Names,
}

/// A path whose segments may be parameters.
#[derive(Clone, Debug)]
pub struct Template {
    /// As the configuration has it: `/v1/vat/{number}`.
    pub text: Box<str>,
    segments: Box<[Segment]>,
    /// How many segments are parameters.
    parameters: u16,
}

/// A segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal,
    Parameter,
}

impl Template {
    /// Reads a path, which begins with a slash.
    pub fn new(text: &str) -> Template {
        let segments: Box<[Segment]> = text
            .split('/')
            .skip(1)
            .map(|segment| if parameter_name(segment).is_some() { Segment::Parameter } else { Segment::Literal })
            .collect();
        let parameters = segments.iter().filter(|segment| **segment == Segment::Parameter).count();
        Template { text: text.into(), segments, parameters: u16::try_from(parameters).unwrap_or(u16::MAX) }
    }

    /// The names of its parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter_map(parameter_name)
    }

    /// How many parameters it has.
    pub fn parameters(&self) -> usize {
        usize::from(self.parameters)
    }

    /// The segments of a path that are parameters, as they were sent.
    fn values<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.segments
            .iter()
            .zip(split(path, b'/').skip(1))
            .filter(|(segment, _)| **segment == Segment::Parameter)
            .map(|(_, text)| text)
    }
}

/// The name of a segment that is a parameter: `number` of `{number}`.
pub fn parameter_name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Whether a parameter of a query, decoded, has one of some names.
fn is_one_of(names: &[Box<str>], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

impl Route {
    /// The parameters of its query.
    pub fn query(&self) -> &[ParameterRule] {
        self.parameters.get(self.path.parameters()..).unwrap_or_default()
    }

    /// Judges the parameters of a request, those of the path first. Parameters that carry the token are known.
    ///
    /// # Errors
    /// `parameter-invalid`, or the row that the parameter has.
    #[inline]
    pub fn judge_parameters(&self, head: &Head<'_>, of_token: &[Box<str>]) -> Result<(), Problem> {
        if self.parameters.is_empty() && self.undeclared != Undeclared::Refuse {
            return Ok(());
        }
        self.judge_each(head, of_token)
    }

    fn judge_each(&self, head: &Head<'_>, of_token: &[Box<str>]) -> Result<(), Problem> {
        let numbered = || self.parameters.iter().zip(0_u16..);
        for ((rule, index), text) in numbered().zip(self.path.values(head.path)) {
            rule.judge(&segment(text), index)?;
        }
        let mut seen = 0_u64;
        for (name, value) in members(head.query.unwrap_or_default()) {
            let name = member(name);
            let Some((rule, number, index)) = self.of_query(&name) else {
                match self.undeclared {
                    Undeclared::Refuse if !is_one_of(of_token, &name) => {
                        return Err(UNKNOWN);
                    }
                    Undeclared::Refuse | Undeclared::Pass | Undeclared::Drop => continue,
                }
            };
            let bit = 1_u64 << number;
            if seen & bit != 0 && !rule.may_repeat {
                return Err(rule.problem(index, ParameterFlaw::Repeated));
            }
            seen |= bit;
            rule.judge(&member(value.unwrap_or_default()), index)?;
        }
        for ((rule, index), number) in numbered().skip(self.path.parameters()).zip(0_u32..) {
            if rule.is_required && seen >> number & 1 == 0 {
                return Err(rule.problem(index, ParameterFlaw::Missing));
            }
        }
        Ok(())
    }

    /// The rule of a query's parameter, its number among those, and its index among all.
    fn of_query(&self, name: &[u8]) -> Option<(&ParameterRule, u32, u16)> {
        let number = self.query().iter().position(|rule| rule.name.as_bytes() == name)?;
        let index = number.checked_add(self.path.parameters())?;
        Some((self.parameters.get(index)?, u32::try_from(number).ok()?, u16::try_from(index).ok()?))
    }

    /// The values of the parameter with this index, decoded, in the order in which they were sent.
    pub fn values<'a>(&'a self, index: usize, head: &Head<'a>) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let of_path = index < self.path.parameters();
        let in_path = self.path.values(head.path).skip(index).take(usize::from(of_path)).map(segment);
        let query = if of_path { "" } else { head.query.unwrap_or_default() };
        let name = self.parameters.get(index).map_or("", |rule| &rule.name);
        let in_query = members(query)
            .filter(move |(known, _)| *member(known) == *name.as_bytes())
            .map(|(_, value)| member(value.unwrap_or_default()));
        in_path.chain(in_query)
    }

    /// The index of the parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|rule| *rule.name == *name)
    }

    /// Appends the path and query for the backend, of a request that was judged: parameters in their canonical encoding,
    /// and without those that carry the token.
    pub fn write_target(&self, out: &mut Vec<u8>, head: &Head<'_>, of_token: &[Box<str>]) {
        if let Some(rewrite) = &self.rewrite {
            return self.write_rewritten(out, rewrite, head, of_token);
        }
        if self.path.parameters == 0 {
            out.extend_from_slice(head.path.as_bytes());
        } else {
            let sent = head.path.split('/').skip(1);
            for (kind, text) in self.path.segments.iter().zip(sent) {
                out.push(b'/');
                match kind {
                    Segment::Literal => out.extend_from_slice(text.as_bytes()),
                    Segment::Parameter => encode(out, &segment(text)),
                }
            }
        }
        let Some(query) = head.query else { return };
        if self.query().is_empty() && self.undeclared == Undeclared::Pass && of_token.is_empty() {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
            return;
        }
        self.write_query(out, query, b'?', |name| is_one_of(of_token, name));
    }

    /// Appends the path and query of a rewrite. A parameter that the request does not have is left out of the query with
    /// its name, and one that it has several times is in it as often.
    fn write_rewritten(&self, out: &mut Vec<u8>, rewrite: &Rewrite, head: &Head<'_>, of_token: &[Box<str>]) {
        for part in &rewrite.segments {
            out.push(b'/');
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Parameter(index) => {
                    self.values(*index, head).take(1).for_each(|value| encode(out, &value));
                }
            }
        }
        let mut before = b'?';
        let mut begin = |out: &mut Vec<u8>, name: &str| {
            out.push(before);
            before = b'&';
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
        };
        for (name, part) in &rewrite.query {
            match part {
                Part::Literal(text) => {
                    begin(out, name);
                    out.extend_from_slice(text.as_bytes());
                }
                Part::Parameter(index) => {
                    for value in self.values(*index, head) {
                        begin(out, name);
                        encode(out, &value);
                    }
                }
            }
        }
        let is_left_out = |name: &[u8]| {
            let index = std::str::from_utf8(name).ok().and_then(|name| self.parameter(name));
            index.is_some_and(|index| rewrite.names(index)) || is_one_of(of_token, name)
        };
        self.write_query(out, head.query.unwrap_or_default(), before, is_left_out);
    }

    /// A path and query that the rules accept, for the reference: with the examples of the parameters that must be sent,
    /// and `{name}` for one without an example.
    pub fn example_target(&self) -> String {
        self.target_with(usize::MAX, b"")
    }

    /// The same with one parameter, by its index, that has this value.
    pub fn target_with(&self, changed: usize, value: &[u8]) -> String {
        let mut out = Vec::new();
        let shown = |out: &mut Vec<u8>, index: usize, rule: &ParameterRule| match () {
            () if index == changed => encode(out, value),
            () if rule.example.is_empty() => out.extend_from_slice(format!("{{{}}}", rule.name).as_bytes()),
            () => encode(out, rule.example.as_bytes()),
        };
        let mut of_path = self.parameters.iter().enumerate();
        for segment in self.path.text.split('/').skip(1) {
            out.push(b'/');
            match parameter_name(segment).and_then(|_| of_path.next()) {
                Some((index, rule)) => shown(&mut out, index, rule),
                None => out.extend_from_slice(segment.as_bytes()),
            }
        }
        let mut before = b'?';
        for (index, rule) in self.parameters.iter().enumerate().skip(self.path.parameters()) {
            if rule.is_required || index == changed {
                out.push(before);
                before = b'&';
                encode(&mut out, rule.name.as_bytes());
                out.push(b'=');
                shown(&mut out, index, rule);
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends the members of a query that pass, each in its canonical encoding, but those that are left out.
    fn write_query(&self, out: &mut Vec<u8>, query: &str, mut before: u8, is_left_out: impl Fn(&[u8]) -> bool) {
        for (name, value) in members(query) {
            let name = member(name);
            let passes = self.undeclared == Undeclared::Pass || self.of_query(&name).is_some();
            if !passes || is_left_out(&name) {
                continue;
            }
            out.push(before);
            before = b'&';
            encode(out, &name);
            if let Some(value) = value {
                out.push(b'=');
                encode(out, &member(value));
            }
        }
    }
}
