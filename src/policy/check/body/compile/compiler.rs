//! The state of a compilation.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use url::Url;

use super::flaw::{Flaw, FlawKind};
use crate::policy::check::body::document::MAX_NESTING;
use crate::policy::check::body::keywords::Draft;
use crate::policy::check::body::program::{MAX_RULES, MAX_UNREMEMBERED_VISITS, Node, NodeId, Program, RuleId};
use crate::policy::check::body::reach;

/// The most flaws of one schema that are reported.
pub(super) const MAX_FLAWS: usize = 64;

/// A schema of the document.
#[derive(Clone, Copy)]
pub(super) struct Spot<'s> {
    pub(super) schema: &'s Value,
    /// The resource that it belongs to.
    pub(super) resource: usize,
}

/// A part of the document with an identity of its own: the whole, or what has an `$id`.
pub(super) struct Resource<'s> {
    pub(super) root: &'s Value,
    pub(super) base: Option<Url>,
    pub(super) anchors: BTreeMap<&'s str, &'s Value>,
    /// The anchors that a `$dynamicRef` looks for; the empty name is that of `$recursiveAnchor`.
    pub(super) dynamic: BTreeMap<&'s str, &'s Value>,
}

/// What dynamic references mean on one way through the document: the outermost anchor of each name.
pub(super) type Scope<'s> = Vec<(&'s str, usize)>;

pub(super) struct Compiler<'s> {
    pub(super) draft: Draft,
    pub(super) flaws: Vec<Flaw>,
    /// Every schema, by its address, and its pointer.
    pub(super) spots: HashMap<usize, (Spot<'s>, String)>,
    pub(super) resources: Vec<Resource<'s>>,
    pub(super) scopes: Vec<Scope<'s>>,
    /// Nodes by the address of their schema and their scope.
    pub(super) ids: HashMap<(usize, usize), NodeId>,
    /// What has an id and waits to be made a node.
    pub(super) waiting: Vec<(NodeId, Spot<'s>, usize)>,
    pub(super) nodes: Vec<Node>,
    /// The schema of each node.
    pub(super) origins: Vec<usize>,
    pub(super) rules: Vec<Box<str>>,
    pub(super) rule_ids: HashMap<Box<str>, RuleId>,
    pub(super) leaves: usize,
    pub(super) patterns: usize,
    /// Called after each piece of the work.
    pub(super) step: fn(),
}

pub(super) fn address(schema: &Value) -> usize {
    std::ptr::from_ref(schema).addr()
}

impl<'s> Compiler<'s> {
    pub(super) fn new(document: &'s Value, draft: Draft, step: fn()) -> Compiler<'s> {
        // Relative references need a base.
        let base = Url::parse("json-schema:///").ok();
        let root = Resource { root: document, base, anchors: BTreeMap::new(), dynamic: BTreeMap::new() };
        Compiler {
            draft,
            flaws: Vec::new(),
            spots: HashMap::new(),
            resources: vec![root],
            scopes: vec![Vec::new()],
            ids: HashMap::new(),
            waiting: Vec::new(),
            nodes: Vec::new(),
            origins: Vec::new(),
            rules: Vec::new(),
            rule_ids: HashMap::new(),
            leaves: 0,
            patterns: 0,
            step,
        }
    }

    pub(super) fn flaw(&mut self, at: String, what: impl Into<String>) {
        let flaw = Flaw { at, kind: FlawKind::Says(what.into()) };
        // A schema that several others refer to is compiled for each.
        if self.flaws.len() < MAX_FLAWS && !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }

    /// A flaw of the schema at an address, or of one of its keywords.
    pub(super) fn flaw_of(&mut self, schema: &Value, keyword: &str, what: impl Into<String>) {
        let at = self.spots.get(&address(schema)).map_or_else(String::new, |(_, pointer)| pointer.clone());
        self.flaw(if keyword.is_empty() { at } else { format!("{at}/{keyword}") }, what);
    }

    /// The number of the rule with these words.
    pub(super) fn rule(&mut self, words: &str) -> RuleId {
        if let Some(id) = self.rule_ids.get(words) {
            return *id;
        }
        if self.rules.len() < MAX_RULES {
            self.rules.push(words.into());
        }
        let id = RuleId::try_from(self.rules.len().saturating_sub(1)).unwrap_or(RuleId::MAX);
        self.rule_ids.insert(words.into(), id);
        id
    }

    /// The program, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Program, Vec<Flaw>> {
        if !self.flaws.is_empty() {
            return Err(self.flaws);
        }
        if let Err((node, what)) = reach::in_place_depth(&self.nodes) {
            let origin = self.origins.get(usize::from(node)).copied().unwrap_or_default();
            let at = self.spots.get(&origin).map_or_else(String::new, |(_, pointer)| pointer.clone());
            self.flaw(at, what);
            return Err(self.flaws);
        }
        let visits = reach::visits(&self.nodes, usize::from(MAX_NESTING).saturating_add(1));
        Ok(Program {
            nodes: self.nodes.into(),
            root: 0,
            rules: self.rules.into(),
            remembers: visits > MAX_UNREMEMBERED_VISITS,
            whole_floats: self.draft != Draft::Draft4,
            contained_is_evaluated: self.draft == Draft::Draft202012,
        })
    }
}
