//! What a schema says of each place in a document, for formats whose texts have no types.
//!
//! A place is reached on several ways at once, by `allOf`, `oneOf` and the like; what any of them says counts, since nothing
//! is judged by it. It is made once, when it is first needed, and read by requests.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{InPlace, Node, NodeId, Program, Rest};

/// The most places that are told apart. What is beyond them has nothing said of it.
const MAX_SHAPES: usize = 4096;

/// The index of a shape; the first is the one of which nothing is said.
pub type ShapeId = u16;

/// The places of one schema.
#[derive(Debug, Default)]
pub struct Shapes {
    all: Box<[Shape]>,
    root: ShapeId,
    is_partial: bool,
}

/// What is said of one place.
#[derive(Debug, Default)]
struct Shape {
    /// The types that it can have (`program::types`); none if nothing is said.
    types: u8,
    /// Sorted by name.
    members: Box<[(Box<str>, ShapeId)]>,
    /// Of members that have no name here.
    others: ShapeId,
    elements: ShapeId,
}

/// Schemas that apply to one place.
type Set = BTreeSet<NodeId>;

impl Shapes {
    /// The places of a program.
    pub fn of(program: &Program) -> Shapes {
        let mut builder = Builder { program, known: BTreeMap::new(), waiting: Vec::new(), is_partial: false };
        builder.id(Set::new());
        let root = builder.id(builder.closure([program.root]));
        let mut all = Vec::new();
        while let Some(set) = builder.waiting.get(all.len()).cloned() {
            all.push(builder.shape(&set));
        }
        Shapes { all: all.into(), root, is_partial: builder.is_partial }
    }

    /// Whether there are more places than are told apart.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The place of the document itself.
    pub fn root(&self) -> ShapeId {
        self.root
    }

    /// The types that a place can have; none if nothing is said.
    pub fn types(&self, shape: ShapeId) -> u8 {
        self.get(shape).map_or(0, |shape| shape.types)
    }

    /// The place of a member.
    pub fn member(&self, shape: ShapeId, name: &str) -> ShapeId {
        let Some(shape) = self.get(shape) else { return 0 };
        let found = shape.members.binary_search_by(|(known, _)| (**known).cmp(name)).ok();
        found.and_then(|index| shape.members.get(index)).map_or(shape.others, |(_, member)| *member)
    }

    /// The place of the elements of a list.
    pub fn element(&self, shape: ShapeId) -> ShapeId {
        self.get(shape).map_or(0, |shape| shape.elements)
    }

    fn get(&self, shape: ShapeId) -> Option<&Shape> {
        self.all.get(usize::from(shape))
    }
}

struct Builder<'p> {
    program: &'p Program,
    known: BTreeMap<Set, ShapeId>,
    /// The schemas of each shape, by its index.
    waiting: Vec<Set>,
    is_partial: bool,
}

impl<'p> Builder<'p> {
    /// The shape of some schemas, which is made later.
    fn id(&mut self, set: Set) -> ShapeId {
        if let Some(known) = self.known.get(&set) {
            return *known;
        }
        let next = ShapeId::try_from(self.waiting.len()).ok().filter(|_| self.waiting.len() < MAX_SHAPES);
        let Some(id) = next else {
            self.is_partial = true;
            return 0;
        };
        self.known.insert(set.clone(), id);
        self.waiting.push(set);
        id
    }

    fn node(&self, id: NodeId) -> Option<&'p Node> {
        self.program.nodes.get(usize::from(id))
    }

    /// Some schemas with those that they apply to the same value. What must not hold says nothing, nor does a test.
    fn closure(&self, from: impl IntoIterator<Item = NodeId>) -> Set {
        let mut found = Set::new();
        let mut waiting: Vec<NodeId> = from.into_iter().collect();
        while let Some(id) = waiting.pop() {
            if !found.insert(id) {
                continue;
            }
            for step in self.node(id).into_iter().flat_map(|node| &node.in_place) {
                match step {
                    InPlace::All(nodes) | InPlace::Any(nodes, _) | InPlace::One(nodes, ..) => waiting.extend(nodes),
                    InPlace::Not(..) => {}
                    InPlace::If { then, otherwise, .. } => waiting.extend([*then, *otherwise].into_iter().flatten()),
                    InPlace::Beside(_, node) => waiting.push(*node),
                }
            }
        }
        found
    }

    fn shape(&mut self, set: &Set) -> Shape {
        let nodes: Vec<&Node> = set.iter().filter_map(|id| self.node(*id)).collect();
        let types = nodes.iter().filter_map(|node| node.types).fold(0, |types, (said, _)| types | said);
        let names: BTreeSet<&str> = nodes
            .iter()
            .filter_map(|node| node.object.as_deref())
            .flat_map(|rules| rules.properties.iter().map(|(name, _)| &**name))
            .collect();
        let members: Vec<(Box<str>, ShapeId)> = names
            .into_iter()
            .map(|name| (name.into(), self.joined(nodes.iter().flat_map(|node| of_member(node, name)))))
            .collect();
        Shape {
            types,
            members: members.into(),
            others: self.joined(nodes.iter().flat_map(|node| of_others(node))),
            elements: self.joined(nodes.iter().flat_map(|node| of_elements(node))),
        }
    }

    fn joined(&mut self, nodes: impl Iterator<Item = NodeId>) -> ShapeId {
        let set = self.closure(nodes);
        self.id(set)
    }
}

/// The schemas of one member.
fn of_member(node: &Node, name: &str) -> Vec<NodeId> {
    let named = node.object.as_deref().and_then(|rules| {
        let index = rules.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        rules.properties.get(index)
    });
    named.map_or_else(|| of_others(node), |(_, below)| vec![*below])
}

/// The schemas of members that have no name in `properties`. Which pattern a name has is not asked.
fn of_others(node: &Node) -> Vec<NodeId> {
    let rules = node.object.as_deref();
    let patterns = rules.into_iter().flat_map(|rules| rules.patterns.iter().map(|(_, below)| *below));
    let rest = [rules.and_then(|rules| rules.additional), node.unevaluated_members];
    patterns.chain(rest.into_iter().flatten().filter_map(Rest::node)).collect()
}

/// The schemas of the elements of a list, wherever they stand in it.
fn of_elements(node: &Node) -> Vec<NodeId> {
    let rules = node.list.as_deref();
    let prefix = rules.into_iter().flat_map(|rules| rules.prefix.iter().copied());
    let rest = [rules.and_then(|rules| rules.rest), node.unevaluated_elements];
    prefix.chain(rest.into_iter().flatten().filter_map(Rest::node)).collect()
}
