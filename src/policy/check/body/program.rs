//! A compiled JSON Schema: nodes, what each requires of a value, and the description of each rule.
//!
//! A program is made once (`compile.rs`) and read by every request (`evaluate.rs`). Rules about a single value (a
//! limit, a pattern, an enumeration) are checked by the `jsonschema` library; the combination of schemas is data here,
//! so that the work for a body can be counted and limited.

use jsonschema::Validator;
use serde_json::Value;

/// The most schemas of one document after its references are resolved. A node takes about 300 bytes.
pub const MAX_NODES: usize = 4096;

/// The most rules with descriptions; further ones share the last description.
pub const MAX_RULES: usize = 16 * 1024;

/// The deepest nesting of schemas about the same value (`allOf`, `oneOf`, `$ref` and the like). With `MAX_NESTING` it
/// limits the stack that judging a body needs.
pub const MAX_IN_PLACE: usize = 16;

/// The most rules about single values in a document: each is a validator of the library, of some KiB.
pub const MAX_LEAVES: usize = 4096;

/// The most bytes of a compiled pattern, and of its matching state in each thread.
pub const MAX_PATTERN_BYTES: usize = 64 * 1024;
pub const MAX_PATTERN_CACHE_BYTES: usize = 256 * 1024;

/// The most patterns of a document, which take up to 16 MiB when compiled.
pub const MAX_PATTERNS: usize = 256;

/// The number of visits of one value from which verdicts are cached: below it, caching costs more than it saves.
pub const MAX_UNREMEMBERED_VISITS: u64 = 64;

/// The index of a node in its program.
pub type NodeId = u16;

/// The index of a rule's description in its program.
pub type RuleId = u16;

/// Sets of JSON types, as bits; an integer has two of them.
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
    /// The description of each rule, which follows the name of a member: `must be at most 30`.
    pub rules: Box<[Box<str>]>,
    /// Whether verdicts are cached, since values would be visited too often otherwise.
    pub remembers: bool,
    /// Whether 5.0 is an integer (not in draft 4).
    pub whole_floats: bool,
    /// Whether an element that matches `contains` counts as evaluated (draft 2020-12).
    pub contained_is_evaluated: bool,
}

/// One schema: everything that it requires of a value.
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
    /// The rule for members that nothing above has evaluated.
    pub unevaluated_members: Option<Rest>,
    pub unevaluated_elements: Option<Rest>,
}

/// A rule about a single value, judged by the library.
#[derive(Debug)]
pub struct Leaf {
    /// The types of values to which it applies.
    pub about: u8,
    pub validator: Validator,
    /// The same for integers, if the limit is an integer, as in most schemas.
    pub whole: Option<Whole>,
    pub rule: RuleId,
    pub cost: Cost,
}

/// A limit for integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    AtLeast(i64),
    AtMost(i64),
}

/// The cost of a leaf in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    Fixed(u64),
    /// For each byte of the text.
    Byte(u64),
    /// For each value within.
    Part(u64),
}

/// Limits of a count.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub least: u64,
    pub most: u64,
    pub least_rule: RuleId,
    pub most_rule: RuleId,
}

/// A member, another that it requires, and the rule.
pub type Beside = (Box<str>, Box<str>, RuleId);

#[derive(Debug, Default)]
pub struct ObjectRules {
    pub required: Box<[(Box<str>, RuleId)]>,
    /// Members that other members require.
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

/// The rule for members that no other rule covers.
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
    /// Exactly one; with the rules for none and for several.
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
    /// The node, if there is one.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Rest::Refused(_) => None,
            Rest::Judged(node) => Some(node),
        }
    }
}

impl Node {
    /// Whether judging it is about as cheap as a look-up in the cache.
    pub fn is_plain(&self) -> bool {
        self.in_place.is_empty() && self.object.is_none() && self.list.is_none()
    }
}

impl Program {
    /// The types of a value.
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
