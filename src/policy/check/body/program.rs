//! A JSON Schema as it is judged with: nodes, what each asks of a value, and the words of each rule.
//!
//! A program is made once (`compile.rs`) and read by every request (`evaluate.rs`). What it asks of a
//! single value (a limit, a pattern, an enumeration) is the `jsonschema` library's to judge; how schemas
//! hang together is data here, so that the work for a body can be counted and bounded.

use jsonschema::Validator;
use serde_json::Value;

/// Schemas that one document may hold once its references are followed. A node takes about 300 bytes.
pub const MAX_NODES: usize = 4096;

/// Rules whose words are kept; further ones share the last one's.
pub const MAX_RULES: usize = 16 * 1024;

/// Schemas about one and the same value within each other (`allOf`, `oneOf`, `$ref` and the like). With
/// `MAX_NESTING` it bounds the stack of who judges a body.
pub const MAX_IN_PLACE: usize = 16;

/// Rules about single values that a document may have: each is a validator of the library's, of some KiB.
pub const MAX_LEAVES: usize = 4096;

/// Bytes of a compiled pattern, and of what matching keeps of it in each thread.
pub const MAX_PATTERN_BYTES: usize = 64 * 1024;
pub const MAX_PATTERN_CACHE_BYTES: usize = 256 * 1024;

/// Patterns that a document may have: 16 MiB of them once they are compiled.
pub const MAX_PATTERNS: usize = 256;

/// Times that one value can be visited without verdicts being remembered: for schemas that stay below it,
/// remembering costs more than it saves.
pub const MAX_UNREMEMBERED_VISITS: u64 = 64;

/// The place of a node in its program.
pub type NodeId = u16;

/// The place of a rule's words in its program.
pub type RuleId = u16;

/// Sets of JSON types, as bits; a whole number is of two of them.
pub mod types {
    pub const NULL: u8 = 1;
    pub const BOOLEAN: u8 = 1 << 1;
    pub const INTEGER: u8 = 1 << 2;
    pub const NUMBER: u8 = 1 << 3;
    pub const STRING: u8 = 1 << 4;
    pub const ARRAY: u8 = 1 << 5;
    pub const OBJECT: u8 = 1 << 6;
    pub const ALL: u8 = 0x7f;
}

/// A compiled schema document.
#[derive(Debug)]
pub struct Program {
    pub nodes: Box<[Node]>,
    pub root: NodeId,
    /// What each rule says, to stand behind the name of a member: `must be at most 30`.
    pub rules: Box<[Box<str>]>,
    /// Whether verdicts are remembered, since values would be visited too often otherwise.
    pub remembers: bool,
    /// Whether 5.0 is an integer (not in draft 4).
    pub whole_floats: bool,
    /// Whether an element that `contains` has found is evaluated (draft 2020-12).
    pub contained_is_evaluated: bool,
}

/// One schema: everything that it asks of a value.
#[derive(Debug, Default)]
pub struct Node {
    /// `false` as a schema.
    pub never: Option<RuleId>,
    /// The types that are allowed, and the rule that says so.
    pub types: Option<(u8, RuleId)>,
    pub leaves: Box<[Leaf]>,
    pub text: Option<Bounds>,
    pub object: Option<Box<ObjectRules>>,
    pub list: Option<Box<ListRules>>,
    pub in_place: Box<[InPlace]>,
    /// Members that nothing above has looked at.
    pub unevaluated_members: Option<Rest>,
    pub unevaluated_elements: Option<Rest>,
}

/// A rule about a single value, judged by the library.
#[derive(Debug)]
pub struct Leaf {
    /// The types of values that it is about.
    pub about: u8,
    pub validator: Validator,
    /// The same for whole numbers, where the limit is one: nearly all of them.
    pub whole: Option<Whole>,
    pub rule: RuleId,
    pub cost: Cost,
}

/// A limit that whole numbers are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    AtLeast(i64),
    AtMost(i64),
}

/// What a leaf costs, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    Fixed(u64),
    /// For each byte of the text.
    Byte(u64),
    /// For each value within.
    Part(u64),
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub least: u64,
    pub most: u64,
    pub least_rule: RuleId,
    pub most_rule: RuleId,
}

/// A member, what must be there beside it, and the rule that says so.
pub type Beside = (Box<str>, Box<str>, RuleId);

#[derive(Debug, Default)]
pub struct ObjectRules {
    pub required: Box<[(Box<str>, RuleId)]>,
    /// What must be there beside a member.
    pub beside: Box<[Beside]>,
    pub count: Option<Bounds>,
    /// Sorted by name.
    pub properties: Box<[(Box<str>, NodeId)]>,
    pub patterns: Box<[(Leaf, NodeId)]>,
    pub additional: Option<Rest>,
    pub names: Option<(NodeId, RuleId)>,
}

#[derive(Debug, Default)]
pub struct ListRules {
    pub count: Option<Bounds>,
    pub prefix: Box<[NodeId]>,
    pub rest: Option<Rest>,
    pub contains: Option<(NodeId, Bounds)>,
}

/// What becomes of those that nothing else is about.
#[derive(Clone, Copy, Debug)]
pub enum Rest {
    Refused(RuleId),
    Judged(NodeId),
}

/// Schemas about the same value.
#[derive(Debug)]
pub enum InPlace {
    All(Box<[NodeId]>),
    Any(Box<[NodeId]>, RuleId),
    /// Exactly one; the rules that none and that several hold.
    One(Box<[NodeId]>, RuleId, RuleId),
    Not(NodeId, RuleId),
    If {
        test: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    /// For objects that have a member.
    Beside(Box<str>, NodeId),
}

impl InPlace {
    /// The nodes that can be judged.
    pub fn nodes(&self) -> Vec<NodeId> {
        match self {
            InPlace::All(nodes) | InPlace::Any(nodes, _) | InPlace::One(nodes, ..) => nodes.to_vec(),
            InPlace::Not(node, _) | InPlace::Beside(_, node) => vec![*node],
            InPlace::If { test, then, otherwise } => [Some(*test), *then, *otherwise].into_iter().flatten().collect(),
        }
    }
}

impl Rest {
    /// The node that judges, if one does.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Rest::Refused(_) => None,
            Rest::Judged(node) => Some(node),
        }
    }
}

impl Node {
    /// Whether judging it is about as cheap as asking whether it was judged before.
    pub fn is_plain(&self) -> bool {
        self.in_place.is_empty() && self.object.is_none() && self.list.is_none()
    }
}

impl Program {
    /// The types that a value is of.
    pub fn types_of(&self, value: &Value) -> u8 {
        match value {
            Value::Null => types::NULL,
            Value::Bool(_) => types::BOOLEAN,
            Value::Number(number) => {
                let whole = number.is_i64()
                    || number.is_u64()
                    || (self.whole_floats && number.as_f64().is_some_and(|number| number.fract() == 0.0));
                if whole { types::NUMBER | types::INTEGER } else { types::NUMBER }
            }
            Value::String(_) => types::STRING,
            Value::Array(_) => types::ARRAY,
            Value::Object(_) => types::OBJECT,
        }
    }
}
