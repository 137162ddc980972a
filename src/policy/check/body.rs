//! The body of a request: it must be one JSON document that follows the product's JSON Schema.
//!
//! The accepted bytes, without a byte order mark, are forwarded unchanged; the parsed value is only used for checks. A body
//! in another format becomes JSON text first (`format.rs`), which is then what is judged and forwarded. The gateway reads
//! the bytes, and counts them while they arrive.
//!
//! Combinations of schemas are evaluated here, and rules about single values by the `jsonschema` library. The library
//! alone has no limit on its work: a `oneOf` whose branches name the same member takes twice the time and memory for
//! each level of a body, to refuse it and to explain why. Here a body has a budget of steps and of memory in proportion
//! to its bytes ([`Budget`]), and verdicts are remembered where a schema would visit a value again and again, so that
//! real schemas never come near it.

mod compile;
pub mod document;
pub mod evaluate;
mod keywords;
pub mod program;
mod reach;
mod rules;
pub mod shapes;

#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod flaw_tests;
#[cfg(test)]
mod library_tests;
#[cfg(test)]
mod shapes_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

pub use compile::flaw::{Flaw, FlawKind};
pub use document::without_mark;
use evaluate::Judging;
use evaluate::budget::{Budget, Exceeded};
use evaluate::report::Report;
use keywords::{escaped, push};
use program::{InPlace, NodeId, Program, Rest, RuleId};
use shapes::Shapes;

use crate::policy::format::{self, kind::Format};
use crate::policy::problem::{Breach, Broken, Hint, Problem, Row};

/// The most broken rules of one body that are considered for the smallest row; a body can break one for each of its
/// values.
const MAX_BROKEN_RULES: usize = 256;

/// The most fields of one schema that answers can name, those nearest to the top first.
const MAX_FIELDS: usize = 4096;

/// The deepest field that has a name: a schema that refers to itself has no deepest one.
const MAX_FIELD_DEPTH: usize = 16;

/// The largest body in bytes that is judged while other requests of the thread wait: parsing it takes up to 0.4 ms.
const MAX_BYTES_AT_ONCE: usize = 16 * 1024;

/// The most steps for such a body, which take up to 0.5 ms.
const MAX_STEPS_AT_ONCE: u64 = 8 * 1024;

/// The refusal of a body that turns out to be too large while it arrives.
pub const TOO_LARGE: Problem = Problem::new(Row::BodyTooLarge, "the body has more bytes than the route allows");

/// The refusal of a body that exceeds its budget.
pub const TOO_MUCH_WORK: Problem = Problem {
    row: Row::BodyInvalid,
    reason: "judging the body takes more steps than one of its length may",
    hint: Hint::Broken(Broken::TOO_MUCH_WORK),
};

/// The refusal of a body without a byte.
const EMPTY: Problem = Problem::new(Row::BodyEmpty, "the body has no byte");

/// A body that its rule accepted.
#[derive(Debug)]
pub struct Accepted {
    pub value: Value,
    /// Its text, if it was sent in another format than JSON.
    pub json: Option<Vec<u8>>,
}

impl Accepted {
    fn as_sent(value: Value) -> Accepted {
        Accepted { value, json: None }
    }
}

/// A refusal of JSON text that nobody has sent, whose lines mean nothing.
fn without_place(problem: Problem) -> Problem {
    match problem.hint {
        Hint::At { .. } => Problem { hint: Hint::None, ..problem },
        Hint::None
        | Hint::RetryAfter(_)
        | Hint::Allow(_)
        | Hint::Broken(_)
        | Hint::AtByte(_)
        | Hint::Parameter { .. } => problem,
    }
}

/// The rules for the bodies of one product.
#[derive(Clone, Debug)]
pub struct BodyRule {
    pub max_bytes: usize,
    pub schema: Option<Arc<Schema>>,
}

/// A compiled JSON Schema, and which of its broken rules is which problem.
#[derive(Debug)]
pub struct Schema {
    program: Arc<Program>,
    /// The schema in force, for descriptions.
    document: Value,
    /// Every field that the schema names, in JSON Pointer form without array indexes, sorted.
    fields: Box<[Box<str>]>,
    mappings: Box<[Mapping]>,
    /// What it says of each place; made when a format without types needs it.
    shapes: OnceLock<Shapes>,
}

/// A part of the body whose broken rules are a problem of their own.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// A JSON Pointer (RFC 6901); everything below it counts as well.
    pub at: Box<str>,
    pub when: When,
    pub row: Row,
}

/// Which broken rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Any,
    /// The value is absent, null or the empty string.
    Missing,
}

impl BodyRule {
    /// Judges the bytes of a whole body.
    ///
    /// # Errors
    /// `body-empty`, `body-malformed`, a row of the product's own, or `body-invalid`: the
    /// smallest that applies.
    pub fn judge(&self, bytes: &[u8]) -> Result<Value, Problem> {
        self.judge_within(bytes, Budget::of(bytes.len())).unwrap_or(Err(TOO_MUCH_WORK))
    }

    /// The same, but `None` if it would delay other requests of the thread for too long.
    pub fn judge_at_once(&self, bytes: &[u8]) -> Option<Result<Value, Problem>> {
        let whole = Budget::of(bytes.len());
        let budget = Budget { steps: whole.steps.min(MAX_STEPS_AT_ONCE), ..whole };
        if bytes.len() > MAX_BYTES_AT_ONCE {
            return None;
        }
        self.judge_within(bytes, budget).ok()
    }

    /// Judges a body in a format.
    ///
    /// # Errors
    /// As of JSON.
    pub fn judge_as(&self, format: Format, bytes: &[u8]) -> Result<Accepted, Problem> {
        match format {
            Format::Json => self.judge(bytes).map(Accepted::as_sent),
            Format::Xml | Format::MsgPack => {
                let json = self.to_json(format, bytes)?;
                self.judge(&json).map(|value| Accepted { value, json: Some(json) }).map_err(without_place)
            }
        }
    }

    /// The same, but `None` if it would delay other requests of the thread for too long.
    pub fn judge_as_at_once(&self, format: Format, bytes: &[u8]) -> Option<Result<Accepted, Problem>> {
        match format {
            Format::Json => self.judge_at_once(bytes).map(|judged| judged.map(Accepted::as_sent)),
            Format::Xml | Format::MsgPack => {
                if bytes.len() > MAX_BYTES_AT_ONCE {
                    return None;
                }
                let json = match self.to_json(format, bytes) {
                    Ok(json) => json,
                    Err(problem) => return Some(Err(problem)),
                };
                let judged = self.judge_at_once(&json)?;
                Some(judged.map(|value| Accepted { value, json: Some(json) }).map_err(without_place))
            }
        }
    }

    /// The JSON text of a body in another format.
    fn to_json(&self, format: Format, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let nothing_said = Shapes::default();
        let bytes = if format == Format::Xml { without_mark(bytes) } else { bytes };
        if bytes.is_empty() {
            return Err(EMPTY);
        }
        format::to_json(format, bytes, self.schema.as_deref().map_or(&nothing_said, Schema::shapes))
    }

    fn judge_within(&self, bytes: &[u8], budget: Budget) -> Result<Result<Value, Problem>, Exceeded> {
        let bytes = without_mark(bytes);
        if bytes.is_empty() {
            return Ok(Err(EMPTY));
        }
        let value = match document::parse(bytes) {
            Ok(value) => value,
            Err(problem) => return Ok(Err(problem)),
        };
        match &self.schema {
            Some(schema) => Ok(schema.judge(&value, bytes, budget)?.map_or(Ok(value), Err)),
            None => Ok(Ok(value)),
        }
    }
}

/// A rule that a body breaks.
struct BrokenRule {
    pointer: String,
    rule: RuleId,
}

/// Collects broken rules with the places of the values that break them.
#[derive(Default)]
struct Collected {
    pointer: String,
    broken: Vec<BrokenRule>,
}

impl Report for Collected {
    const FIRST_ONLY: bool = false;

    fn broken(&mut self, rule: RuleId) {
        if !self.is_full() {
            self.broken.push(BrokenRule { pointer: self.pointer.clone(), rule });
        }
    }

    fn missing(&mut self, name: &str, rule: RuleId) {
        self.enter(name);
        self.broken(rule);
        self.leave();
    }

    fn enter(&mut self, name: &str) {
        push(&mut self.pointer, name);
    }

    fn enter_element(&mut self, index: usize) {
        // Writing to a string cannot fail.
        let _ = write!(self.pointer, "/{index}");
    }

    fn leave(&mut self) {
        self.pointer.truncate(self.pointer.rfind('/').unwrap_or(0));
    }

    fn is_full(&self) -> bool {
        self.broken.len() >= MAX_BROKEN_RULES
    }
}

impl Schema {
    /// Compiles a schema. With `strict`, members that an object schema does not name are refused wherever
    /// it does not say otherwise itself. What is compiled in one of the `known` already is not compiled again.
    /// `step` is called after each piece of the work.
    ///
    /// # Errors
    /// Everything that is wrong with the schema.
    pub fn compile<'k>(
        mut schema: Value,
        strict: bool,
        mappings: Vec<Mapping>,
        known: impl IntoIterator<Item = &'k Schema>,
        step: fn(),
    ) -> Result<Schema, Vec<Flaw>> {
        if strict {
            refuse_unknown_members(&mut schema);
        }
        let program = match known.into_iter().find(|known| known.document == schema) {
            Some(known) => Arc::clone(&known.program),
            None => Arc::new(compile::compile(&schema, step)?),
        };
        let fields = fields(&program);
        Ok(Schema { program, document: schema, fields, mappings: mappings.into(), shapes: OnceLock::new() })
    }

    /// The schema in force.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Every field that the schema names, as a JSON Pointer without array indexes.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &**field)
    }

    /// What it says of each place in a document.
    pub fn shapes(&self) -> &Shapes {
        self.shapes.get_or_init(|| Shapes::of(&self.program))
    }

    /// Which broken rules are problems of their own.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The fields that `Breach::field` counts, as answers name them.
    pub fn field_names(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|pointer| pointer.trim_start_matches('/').replace('/', "."))
    }

    /// The words of the rules that `Breach::rule` counts: `must be at most 30`.
    pub fn rule_words(&self) -> impl Iterator<Item = &str> {
        self.program.rules.iter().map(|words| &**words)
    }

    /// The product's own rows that bodies can break, each once, in order of precedence.
    pub fn own_rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.mappings.iter().map(|mapping| mapping.row).collect();
        rows.retain(|row| *row != Row::BodyInvalid);
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Whether the schema, or a place above it, names this place.
    pub fn names(&self, pointer: &str) -> bool {
        let pointer = without_array_places(pointer);
        self.fields.binary_search_by(|field| (**field).cmp(&pointer)).is_ok()
    }

    /// The refusal of a document, if it breaks a rule.
    fn judge(&self, value: &Value, bytes: &[u8], budget: Budget) -> Result<Option<Problem>, Exceeded> {
        let mut judging = Judging::new(&self.program, budget);
        if judging.is_valid(value)? {
            return Ok(None);
        }
        let mut collected = Collected::default();
        let complete = judging.report(value, &mut collected);
        if collected.broken.is_empty() {
            complete?;
        }
        Ok(Some(self.problem_of(&collected.broken, value, bytes)))
    }

    /// The smallest row among the broken rules, with its rules in the order of the body.
    fn problem_of(&self, broken: &[BrokenRule], body: &Value, bytes: &[u8]) -> Problem {
        let rows: Vec<Row> = broken.iter().map(|broken| self.row_of(&broken.pointer, body)).collect();
        let row = rows.iter().copied().min().unwrap_or(Row::BodyInvalid);
        let mut told: Vec<&BrokenRule> =
            broken.iter().zip(&rows).filter(|(_, of)| **of == row).map(|(broken, _)| broken).collect();
        if told.len() > 1 {
            let mut indexes = BTreeMap::new();
            for broken in &told {
                let parent = broken.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                indexes.insert(parent.to_owned(), usize::MAX);
                indexes.insert(broken.pointer.clone(), usize::MAX);
            }
            document::order(bytes, &mut indexes);
            told.sort_by_key(|broken| indexes.get(&broken.pointer).copied());
        }
        let mut list = Broken::default();
        for broken in told {
            list.push(Breach { field: self.field_at(&broken.pointer), rule: broken.rule });
        }
        Problem::new(row, "the body breaks a rule of the product's schema").with(Hint::Broken(list))
    }

    fn row_of(&self, pointer: &str, body: &Value) -> Row {
        let mapping = self.mappings.iter().find(|mapping| mapping.covers(pointer, body));
        mapping.map_or(Row::BodyInvalid, |mapping| mapping.row)
    }

    /// The index in the list of fields of the field at a pointer, or of the nearest one above. A member that the schema
    /// does not name is the client's own text and is never repeated.
    fn field_at(&self, pointer: &str) -> Option<u16> {
        let pointer = without_array_places(pointer);
        let mut pointer = pointer.as_str();
        while !pointer.is_empty() {
            if let Ok(index) = self.fields.binary_search_by(|field| (**field).cmp(pointer)) {
                return u16::try_from(index).ok();
            }
            pointer = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        None
    }
}

impl Mapping {
    fn covers(&self, pointer: &str, body: &Value) -> bool {
        let Some(rest) = pointer.strip_prefix(&*self.at) else {
            return false;
        };
        match self.when {
            When::Any => rest.is_empty() || rest.starts_with('/'),
            When::Missing => {
                rest.is_empty()
                    && match body.pointer(&self.at) {
                        None | Some(Value::Null) => true,
                        Some(Value::String(text)) => text.is_empty(),
                        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
                    }
            }
        }
    }
}

/// A pointer without its array indexes: `/a/0/b` is `/a/b`.
fn without_array_places(pointer: &str) -> String {
    let is_index = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    pointer
        .split('/')
        .skip(1)
        .filter(|segment| !is_index(segment))
        .fold(String::new(), |path, segment| path + "/" + segment)
}

/// Every member that a program has a name for, nearest to the top first and then sorted.
fn fields(program: &Program) -> Box<[Box<str>]> {
    let mut fields: BTreeSet<Box<str>> = BTreeSet::new();
    let mut seen: BTreeSet<(NodeId, String)> = BTreeSet::new();
    let mut waiting = VecDeque::from([(program.root, String::new(), 0_usize)]);
    while let Some((id, pointer, depth)) = waiting.pop_front() {
        if fields.len() >= MAX_FIELDS || seen.len() >= 4 * MAX_FIELDS || !seen.insert((id, pointer.clone())) {
            continue;
        }
        let Some(node) = program.nodes.get(usize::from(id)) else { continue };
        let required = node.object.iter().flat_map(|rules| {
            rules.required.iter().map(|(name, _)| name).chain(rules.beside.iter().map(|(_, name, _)| name))
        });
        fields.extend(required.map(|name| format!("{pointer}/{}", escaped(name)).into()));
        let properties = node.object.iter().flat_map(|rules| &rules.properties);
        for (name, below) in properties.filter(|_| depth < MAX_FIELD_DEPTH) {
            let pointer = format!("{pointer}/{}", escaped(name));
            fields.insert(pointer.as_str().into());
            waiting.push_back((*below, pointer, depth.saturating_add(1)));
        }
        let elements =
            node.list.iter().flat_map(|rules| rules.prefix.iter().copied().chain(rules.rest.and_then(Rest::node)));
        let in_place = node.in_place.iter().filter(|step| !matches!(step, InPlace::Not(..))).flat_map(InPlace::nodes);
        waiting.extend(elements.chain(in_place).map(|below| (below, pointer.clone(), depth)));
    }
    fields.into_iter().collect()
}

fn refuse_unknown_members(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let closable = members.get("properties").is_some_and(Value::is_object)
                && !members.contains_key("additionalProperties")
                && !members.contains_key("unevaluatedProperties");
            if closable {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            members.values_mut().for_each(refuse_unknown_members);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_unknown_members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
