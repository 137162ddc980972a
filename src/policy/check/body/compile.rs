//! A JSON Schema document to a program, or everything that is wrong with it.
//!
//! A document is one file: references lead to places in it, by pointers, anchors and `$id`s, and a
//! `$dynamicRef` is followed for each way that leads to it, so that a program has no scope to look up.
//! What it may expand to is bounded. Keywords that the draft does not know are mistakes, since a
//! misspelt one would let everything pass; those that begin with `x-` are notes.

use std::collections::{BTreeMap, HashMap};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use url::Url;

use super::keywords::{Draft, Holds, beyond_linear, escaped, within};
use super::program::{
    Bounds, Cost, InPlace, Leaf, ListRules, MAX_LEAVES, MAX_NODES, MAX_PATTERN_BYTES, MAX_PATTERN_CACHE_BYTES,
    MAX_PATTERNS, MAX_RULES, MAX_UNREMEMBERED_VISITS, Node, NodeId, ObjectRules, Program, Rest, RuleId, Whole, types,
};
use super::{MAX_NESTING, rules};

/// Flaws of one schema that are told.
const MAX_FLAWS: usize = 64;

/// References that lead on to another reference.
const MAX_HOPS: usize = 64;

/// Schemas that one document may have before references are followed.
const MAX_SCHEMAS: usize = MAX_NODES;

/// Something that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// A JSON Pointer into the document.
    pub at: String,
    pub kind: FlawKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// What it is, and how to mend it.
    Says(String),
    /// A key that the draft does not know, though it knows these.
    Unknown(Box<str>, Vec<&'static str>),
}

/// Compiles a document; `step` is called after each piece of the work, which may take long in all.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(document: &Value, step: fn()) -> Result<Program, Vec<Flaw>> {
    let flaw = |at: &str, what: String| vec![Flaw { at: at.to_owned(), kind: FlawKind::Says(what) }];
    let Some(draft) = Draft::of(document) else {
        let what =
            "names a draft that is not known; write https://json-schema.org/draft/2020-12/schema, or leave it out";
        return Err(flaw("/$schema", what.to_owned()));
    };
    let mut compiler = Compiler::new(document, draft, step);
    compiler.survey(document);
    // The library's own look comes second: of a schema that is too large it should not have one.
    if compiler.flaws.is_empty()
        && let Err(error) = jsonschema::meta::validate(document)
    {
        let keyword = error.kind().keyword().to_owned();
        let what = format!("is not what JSON Schema takes there (its rule {keyword}); look it up in the draft");
        return Err(flaw(error.instance_path().as_str(), what));
    }
    if compiler.flaws.is_empty() {
        compiler.assemble(document);
    }
    compiler.finish()
}

/// A schema of the document.
#[derive(Clone, Copy)]
struct Spot<'s> {
    schema: &'s Value,
    /// The resource that it belongs to.
    resource: usize,
}

/// A part of the document with an identity of its own: the whole, or what has an `$id`.
struct Resource<'s> {
    root: &'s Value,
    base: Option<Url>,
    anchors: BTreeMap<&'s str, &'s Value>,
    /// The anchors that a `$dynamicRef` looks for; the empty name is that of `$recursiveAnchor`.
    dynamic: BTreeMap<&'s str, &'s Value>,
}

/// What dynamic references mean on one way through the document: the outermost anchor of each name.
type Scope<'s> = Vec<(&'s str, usize)>;

struct Compiler<'s> {
    draft: Draft,
    flaws: Vec<Flaw>,
    /// Every schema, by its address, and its pointer.
    spots: HashMap<usize, (Spot<'s>, String)>,
    resources: Vec<Resource<'s>>,
    scopes: Vec<Scope<'s>>,
    /// Nodes by the address of their schema and their scope.
    ids: HashMap<(usize, usize), NodeId>,
    /// What has an id and waits to be made a node.
    waiting: Vec<(NodeId, Spot<'s>, usize)>,
    nodes: Vec<Node>,
    /// Where each node's schema stands.
    origins: Vec<usize>,
    rules: Vec<Box<str>>,
    rule_ids: HashMap<Box<str>, RuleId>,
    leaves: usize,
    patterns: usize,
    /// Called after each piece of the work.
    step: fn(),
}

fn address(schema: &Value) -> usize {
    std::ptr::from_ref(schema).addr()
}

impl<'s> Compiler<'s> {
    fn new(document: &'s Value, draft: Draft, step: fn()) -> Compiler<'s> {
        // Relative references need something to be relative to.
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

    fn flaw(&mut self, at: String, what: impl Into<String>) {
        let flaw = Flaw { at, kind: FlawKind::Says(what.into()) };
        // A schema that several others refer to is looked at for each.
        if self.flaws.len() < MAX_FLAWS && !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }

    /// A flaw of the schema at an address, or of one of its keywords.
    fn flaw_of(&mut self, schema: &Value, keyword: &str, what: impl Into<String>) {
        let at = self.spots.get(&address(schema)).map_or_else(String::new, |(_, pointer)| pointer.clone());
        self.flaw(if keyword.is_empty() { at } else { format!("{at}/{keyword}") }, what);
    }

    /// Finds every schema, identity and anchor of the document, and every key that is none.
    fn survey(&mut self, document: &'s Value) {
        let mut left = vec![(document, String::new(), 0_usize)];
        while let Some((schema, pointer, resource)) = left.pop() {
            (self.step)();
            if self.spots.len() >= MAX_SCHEMAS {
                return self.flaw(pointer, format!("is one schema too many; {MAX_SCHEMAS} fit into a document"));
            }
            let resource = match schema {
                Value::Object(members) => self.identify(schema, members, &pointer, resource),
                Value::Bool(_) => resource,
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    self.flaw(pointer, "is not a schema; write a mapping, true or false");
                    continue;
                }
            };
            self.spots.insert(address(schema), (Spot { schema, resource }, pointer.clone()));
            let Value::Object(members) = schema else { continue };
            for (keyword, name, below) in within(self.draft, members) {
                let name = name.map_or_else(String::new, |name| format!("/{}", escaped(&name)));
                left.push((below, format!("{pointer}/{}{name}", escaped(keyword)), resource));
            }
            self.know(members, &pointer);
        }
    }

    /// Keys that the draft does not know, and rules that it would not look at.
    fn know(&mut self, members: &'s Map<String, Value>, pointer: &str) {
        let silenced = self.draft.ref_stands_alone() && members.contains_key("$ref");
        for keyword in members.keys().filter(|keyword| !keyword.starts_with("x-")) {
            let at = || format!("{pointer}/{}", escaped(keyword));
            match self.draft.holds(keyword) {
                None if self.flaws.len() < MAX_FLAWS => {
                    let kind = FlawKind::Unknown(keyword.as_str().into(), self.draft.keywords());
                    self.flaws.push(Flaw { at: at(), kind });
                }
                None | Some(Holds::Annotation | Holds::Definitions) => {}
                Some(_) if silenced && keyword != "$ref" => self.flaw(
                    at(),
                    format!(
                        "is ignored beside $ref by {}; put both into allOf, or write a later draft into $schema",
                        self.draft.name()
                    ),
                ),
                Some(_) => {}
            }
        }
    }

    /// The resource of a schema: its own if it has an identity, else that of what it stands in.
    fn identify(&mut self, schema: &'s Value, members: &'s Map<String, Value>, pointer: &str, outer: usize) -> usize {
        let mut resource = outer;
        let keyword = if self.draft == Draft::Draft4 { "id" } else { "$id" };
        let silenced = self.draft.ref_stands_alone() && members.contains_key("$ref");
        match members.get(keyword).and_then(Value::as_str).filter(|_| !silenced) {
            Some(id) if self.draft.ref_stands_alone() && id.starts_with('#') => {
                let name = id.get(1..).unwrap_or_default();
                self.anchor(resource, name, schema, false);
            }
            Some(id) => {
                let base = self.resources.get(outer).and_then(|outer| outer.base.as_ref());
                let base = base.and_then(|base| base.join(id).ok()).map(|mut base| {
                    base.set_fragment(None);
                    base
                });
                if base.is_none() {
                    self.flaw(format!("{pointer}/{keyword}"), "is not an address; write a URI without a fragment");
                }
                if pointer.is_empty() {
                    self.resources.iter_mut().for_each(|root| root.base.clone_from(&base));
                } else {
                    if members.contains_key("$schema") {
                        let what = "changes the draft within a document; leave it out";
                        self.flaw(format!("{pointer}/$schema"), what);
                    }
                    resource = self.resources.len();
                    let none = BTreeMap::new;
                    self.resources.push(Resource { root: schema, base, anchors: none(), dynamic: none() });
                }
            }
            None => {}
        }
        for (keyword, dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            if self.draft.holds(keyword).is_some()
                && let Some(Value::String(name)) = members.get(keyword)
            {
                self.anchor(resource, name, schema, dynamic);
            }
        }
        let recursive = self.draft == Draft::Draft201909 && members.get("$recursiveAnchor") == Some(&Value::Bool(true));
        if recursive && let Some(resource) = self.resources.get_mut(resource) {
            resource.dynamic.insert("", resource.root);
        }
        resource
    }

    fn anchor(&mut self, resource: usize, name: &'s str, schema: &'s Value, dynamic: bool) {
        let Some(resource) = self.resources.get_mut(resource) else { return };
        resource.anchors.insert(name, schema);
        if dynamic {
            resource.dynamic.insert(name, schema);
        }
    }

    /// Makes the nodes of a document that was surveyed.
    fn assemble(&mut self, document: &'s Value) {
        let Some(root) = self.spots.get(&address(document)).map(|(spot, _)| *spot) else { return };
        let scope = self.entered(0, root.resource);
        self.node_of(root, scope);
        while let Some((id, spot, scope)) = self.waiting.pop() {
            (self.step)();
            if self.flaws.len() >= MAX_FLAWS {
                return;
            }
            let node = match spot.schema {
                Value::Bool(false) => Node { never: Some(self.rule(rules::NOT_ALLOWED)), ..Node::default() },
                Value::Object(members) => self.node(spot, members, scope),
                Value::Null | Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Node::default()
                }
            };
            if let Some(slot) = self.nodes.get_mut(usize::from(id)) {
                *slot = node;
            }
        }
    }

    fn finish(mut self) -> Result<Program, Vec<Flaw>> {
        if !self.flaws.is_empty() {
            return Err(self.flaws);
        }
        if let Err((node, what)) = super::reach::in_place_depth(&self.nodes) {
            let origin = self.origins.get(usize::from(node)).copied().unwrap_or_default();
            let at = self.spots.get(&origin).map_or_else(String::new, |(_, pointer)| pointer.clone());
            self.flaw(at, what);
            return Err(self.flaws);
        }
        let visits = super::reach::visits(&self.nodes, usize::from(MAX_NESTING).saturating_add(1));
        Ok(Program {
            nodes: self.nodes.into(),
            root: 0,
            rules: self.rules.into(),
            remembers: visits > MAX_UNREMEMBERED_VISITS,
            whole_floats: self.draft != Draft::Draft4,
            contained_is_evaluated: self.draft == Draft::Draft202012,
        })
    }

    /// The scope once a resource has been entered: anchors further out keep their meaning.
    fn entered(&mut self, scope: usize, resource: usize) -> usize {
        let (Some(before), Some(resource)) = (self.scopes.get(scope), self.resources.get(resource)) else {
            return scope;
        };
        let new = resource.dynamic.iter().filter(|(name, _)| !before.iter().any(|(known, _)| known == *name));
        let mut inside = before.clone();
        inside.extend(new.map(|(name, schema)| (*name, address(schema))));
        if inside.len() == before.len() {
            return scope;
        }
        inside.sort_unstable();
        match self.scopes.iter().position(|known| *known == inside) {
            Some(known) => known,
            None => {
                self.scopes.push(inside);
                self.scopes.len().saturating_sub(1)
            }
        }
    }

    /// The node of a schema that stands in another one.
    fn below(&mut self, schema: &'s Value, scope: usize) -> NodeId {
        match self.spots.get(&address(schema)).map(|(spot, _)| *spot) {
            Some(spot) => {
                let scope = self.entered(scope, spot.resource);
                self.node_of(spot, scope)
            }
            None => 0,
        }
    }

    fn node_of(&mut self, spot: Spot<'s>, scope: usize) -> NodeId {
        let (mut spot, mut scope) = (spot, scope);
        // A schema that only refers to another one is the other one.
        for _ in 0..MAX_HOPS {
            let Some((next, inside)) = self.sole_reference(spot, scope) else {
                return self.intern(spot, scope);
            };
            (spot, scope) = (next, inside);
        }
        self.flaw_of(spot.schema, "$ref", "leads back to itself; let it lead to a schema that says something");
        0
    }

    fn intern(&mut self, spot: Spot<'s>, scope: usize) -> NodeId {
        let key = (address(spot.schema), scope);
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        if self.nodes.len() >= MAX_NODES {
            if self.flaws.is_empty() {
                let what = format!(
                    "makes the document stand for more than {MAX_NODES} schemas; use fewer schemas, or fewer $dynamicRef"
                );
                self.flaw_of(spot.schema, "", what);
            }
            return 0;
        }
        self.nodes.push(Node::default());
        self.origins.push(key.0);
        self.ids.insert(key, id);
        self.waiting.push((id, spot, scope));
        id
    }

    /// Where a schema leads that says nothing but `$ref`.
    fn sole_reference(&mut self, spot: Spot<'s>, scope: usize) -> Option<(Spot<'s>, usize)> {
        let members = spot.schema.as_object()?;
        let reference = members.get("$ref")?.as_str()?;
        let says_more = members.keys().any(|keyword| {
            keyword != "$ref"
                && !matches!(self.draft.holds(keyword), None | Some(Holds::Annotation | Holds::Definitions))
        });
        if says_more {
            return None;
        }
        let target = self.resolve(spot, reference, "$ref")?;
        Some((target, self.entered(scope, target.resource)))
    }

    /// The schema that a reference names.
    fn resolve(&mut self, from: Spot<'s>, reference: &str, keyword: &str) -> Option<Spot<'s>> {
        let found = self.find(from.resource, reference);
        let target = found.and_then(|schema| self.spots.get(&address(schema)).map(|(spot, _)| *spot));
        if target.is_none() {
            let what = match (reference.starts_with('#'), found) {
                (_, Some(_)) => "leads to something that is not a schema; let it lead to one, as in #/$defs/name",
                (true, None) => {
                    "names nothing in the schema; write the way to a schema that is there, as in #/$defs/name"
                }
                (false, None) => {
                    "leads out of the schema, and nothing is fetched; put a copy under $defs and refer to it there"
                }
            };
            self.flaw_of(from.schema, keyword, what);
        }
        target
    }

    fn find(&self, resource: usize, reference: &str) -> Option<&'s Value> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let within = self.resources.get(resource)?;
        let within = if address.is_empty() {
            within
        } else {
            let wanted = within.base.as_ref()?.join(address).ok()?;
            self.resources.iter().find(|resource| resource.base.as_ref() == Some(&wanted))?
        };
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        if fragment.is_empty() || fragment.starts_with('/') {
            within.root.pointer(&fragment)
        } else {
            within.anchors.get(&*fragment).copied()
        }
    }

    /// The node that a reference of any kind leads to.
    fn refer(&mut self, spot: Spot<'s>, keyword: &str, reference: &str, scope: usize) -> Option<NodeId> {
        let mut target = self.resolve(spot, reference, keyword)?;
        let anchor = match keyword {
            "$dynamicRef" => reference.split_once('#').map(|(_, fragment)| fragment),
            "$recursiveRef" => Some(""),
            _ => None,
        };
        if let Some(name) = anchor
            && self.resources.get(target.resource).is_some_and(|resource| resource.dynamic.contains_key(name))
        {
            let scope = self.scopes.get(scope);
            let outermost = scope.and_then(|scope| scope.iter().find(|(known, _)| *known == name)).map(|(_, at)| *at);
            if let Some((spot, _)) = outermost.and_then(|at| self.spots.get(&at)) {
                target = *spot;
            }
        }
        let scope = self.entered(scope, target.resource);
        Some(self.node_of(target, scope))
    }

    fn rule(&mut self, words: &str) -> RuleId {
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

    fn node(&mut self, spot: Spot<'s>, members: &'s Map<String, Value>, scope: usize) -> Node {
        let mut node = Node::default();
        let draft = self.draft;
        let silenced = draft.ref_stands_alone() && members.contains_key("$ref");
        if !silenced {
            node.types = members.get("type").map(|named| {
                let allowed = types_named(named);
                (allowed, self.rule(&rules::of_types(allowed)))
            });
            node.leaves = self.leaves(spot, members).into();
            node.text = self.bounds(members, "minLength", "maxLength", "character");
            node.object = self.object(spot, members, scope).map(Box::new);
            node.list = self.list(members, scope).map(Box::new);
            node.unevaluated_members = self.rest(members.get("unevaluatedProperties"), scope, rules::UNKNOWN_MEMBER);
            node.unevaluated_elements = self.rest(members.get("unevaluatedItems"), scope, rules::NO_MORE_ELEMENTS);
        }
        node.in_place = self.in_place(spot, members, scope).into();
        node
    }

    fn leaves(&mut self, spot: Spot<'s>, members: &'s Map<String, Value>) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for (keyword, value) in members {
            if self.draft.holds(keyword).is_none() {
                continue;
            }
            let (about, cost) = match keyword.as_str() {
                "enum" | "const" => (types::ALL, Cost::Fixed(cost_of_values(value))),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                    (types::NUMBER, Cost::Fixed(1))
                }
                "pattern" => (types::STRING, Cost::Byte(1)),
                "format" | "contentEncoding" | "contentMediaType" if self.draft.judges_formats() => {
                    (types::STRING, Cost::Byte(1))
                }
                "uniqueItems" if *value == Value::Bool(true) => (types::ARRAY, Cost::Part(4)),
                _ => continue,
            };
            // Draft 4 writes whether a limit is allowed itself beside the limit.
            let beside = match (self.draft, keyword.as_str()) {
                (Draft::Draft4, "minimum") => members.get_key_value("exclusiveMinimum"),
                (Draft::Draft4, "maximum") => members.get_key_value("exclusiveMaximum"),
                (Draft::Draft4, "exclusiveMinimum" | "exclusiveMaximum") => continue,
                _ => None,
            };
            let mut alone = Map::new();
            alone.insert(keyword.clone(), value.clone());
            alone.extend(beside.map(|(keyword, value)| (keyword.clone(), value.clone())));
            let exclusive = beside.is_some_and(|(_, value)| *value == Value::Bool(true));
            let told = match keyword.as_str() {
                "minimum" if exclusive => "exclusiveMinimum",
                "maximum" if exclusive => "exclusiveMaximum",
                other => other,
            };
            let rule = self.rule(&rules::of_leaf(told, value));
            let pattern = if keyword == "pattern" { value.as_str() } else { None };
            match self.validator(Value::Object(alone), pattern) {
                Ok((validator, weight)) => {
                    let cost = if pattern.is_some() { Cost::Byte(weight) } else { cost };
                    leaves.push(Leaf { about, validator, whole: whole_limit(told, value), rule, cost });
                }
                Err(what) => self.flaw_of(spot.schema, keyword, what),
            }
        }
        leaves
    }

    /// A validator of the library for one rule, and what each byte costs if it is a pattern.
    fn validator(&mut self, schema: Value, pattern: Option<&str>) -> Result<(Validator, u64), String> {
        self.leaves = self.leaves.saturating_add(1);
        self.patterns = self.patterns.saturating_add(usize::from(pattern.is_some()));
        if self.leaves > MAX_LEAVES {
            return Err(format!("is one rule too many; {MAX_LEAVES} fit into a document"));
        }
        if self.patterns > MAX_PATTERNS {
            return Err(format!("is one pattern too many; {MAX_PATTERNS} fit into a document"));
        }
        (self.step)();
        let build = |bytes: usize| {
            let patterns = PatternOptions::regex().size_limit(bytes).dfa_size_limit(MAX_PATTERN_CACHE_BYTES);
            jsonschema::options().with_draft(self.draft.of_library()).with_pattern_options(patterns).build(&schema)
        };
        let Some(pattern) = pattern else {
            return build(MAX_PATTERN_BYTES)
                .map(|validator| (validator, 1))
                .map_err(|_| "is not a value that it can have; look it up in the draft".to_owned());
        };
        if let Some(found) = beyond_linear(pattern) {
            return Err(format!(
                "has {found}, with which matching a text can take for ever; say it with further patterns in allOf or not"
            ));
        }
        // The size of what is compiled is not told; it is between the last limit that was too low and the next.
        for (bytes, weight) in [(MAX_PATTERN_BYTES / 16, 1), (MAX_PATTERN_BYTES / 4, 4), (MAX_PATTERN_BYTES, 16)] {
            if let Ok(validator) = build(bytes) {
                return Ok((validator, weight));
            }
        }
        Err(format!(
            "is not a regular expression that can be used: it is wrong, or larger than {} KiB once it is compiled; \
             write one as in ^[A-Z]{{2,3}}$, with small numbers of repetitions",
            MAX_PATTERN_BYTES / 1024
        ))
    }

    fn bounds(&mut self, members: &Map<String, Value>, least: &str, most: &str, thing: &str) -> Option<Bounds> {
        let number = |keyword: &str| members.get(keyword).filter(|_| self.draft.holds(keyword).is_some()).map(whole);
        let (least, most) = (number(least), number(most));
        if least.is_none() && most.is_none() {
            return None;
        }
        let (least, most) = (least.unwrap_or(0), most.unwrap_or(u64::MAX));
        let least_rule = self.rule(&rules::of_count(true, least, thing));
        let most_rule = self.rule(&rules::of_count(false, most, thing));
        Some(Bounds { least, most, least_rule, most_rule })
    }

    fn object(&mut self, spot: Spot<'s>, members: &'s Map<String, Value>, scope: usize) -> Option<ObjectRules> {
        let required_rule = self.rule(rules::REQUIRED);
        let names = |value: Option<&'s Value>| {
            value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
        };
        let required = names(members.get("required")).into_iter().map(|name| (name.into(), required_rule)).collect();
        let mut beside: Vec<(Box<str>, Box<str>, RuleId)> = Vec::new();
        for keyword in ["dependentRequired", "dependencies"] {
            let known = members.get(keyword).filter(|_| self.draft.holds(keyword).is_some());
            for (name, others) in known.and_then(Value::as_object).into_iter().flatten() {
                let others = if let Value::String(other) = others { vec![other.as_str()] } else { names(Some(others)) };
                let words = format!("{} beside {name}", rules::REQUIRED);
                let rule = self.rule(&words);
                beside.extend(others.into_iter().map(|other| (name.as_str().into(), other.into(), rule)));
            }
        }
        let mut properties = Vec::new();
        for (name, schema) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.push((name.as_str().into(), self.below(schema, scope)));
        }
        properties.sort_unstable();
        let mut patterns = Vec::new();
        for (pattern, schema) in members.get("patternProperties").and_then(Value::as_object).into_iter().flatten() {
            let node = self.below(schema, scope);
            match self.validator(serde_json::json!({ "pattern": pattern }), Some(pattern)) {
                Ok((validator, weight)) => {
                    let leaf = Leaf { about: types::STRING, validator, whole: None, rule: 0, cost: Cost::Byte(weight) };
                    patterns.push((leaf, node));
                }
                Err(what) => {
                    let keyword = format!("patternProperties/{}", escaped(pattern));
                    self.flaw_of(spot.schema, &keyword, what);
                }
            }
        }
        let additional = self.rest(members.get("additionalProperties"), scope, rules::UNKNOWN_MEMBER);
        let names = members.get("propertyNames").filter(|_| self.draft.holds("propertyNames").is_some());
        let names = names.map(|schema| (self.below(schema, scope), self.rule(rules::NAMES)));
        let count = self.bounds(members, "minProperties", "maxProperties", "member");
        let rules = ObjectRules {
            required,
            beside: beside.into(),
            count,
            properties: properties.into(),
            patterns: patterns.into(),
            additional,
            names,
        };
        let says_nothing = rules.required.is_empty()
            && rules.beside.is_empty()
            && rules.count.is_none()
            && rules.properties.is_empty()
            && rules.patterns.is_empty()
            && rules.additional.is_none()
            && rules.names.is_none();
        (!says_nothing).then_some(rules)
    }

    /// What becomes of the rest; `false` is told of the whole, whose parts clients have named themselves.
    fn rest(&mut self, schema: Option<&'s Value>, scope: usize, refused: &str) -> Option<Rest> {
        let schema = schema.filter(|schema| self.spots.contains_key(&address(schema)))?;
        match schema {
            Value::Bool(false) => Some(Rest::Refused(self.rule(refused))),
            _ => Some(Rest::Judged(self.below(schema, scope))),
        }
    }

    fn list(&mut self, members: &'s Map<String, Value>, scope: usize) -> Option<ListRules> {
        let count = self.bounds(members, "minItems", "maxItems", "element");
        let (prefix, rest) = match (members.get("items"), members.get("prefixItems")) {
            (Some(Value::Array(prefix)), _) if self.draft < Draft::Draft202012 => {
                (prefix.as_slice(), members.get("additionalItems"))
            }
            (rest, Some(Value::Array(prefix))) if self.draft == Draft::Draft202012 => (prefix.as_slice(), rest),
            (rest, _) => ([].as_slice(), rest),
        };
        let prefix: Box<[NodeId]> = prefix.iter().map(|schema| self.below(schema, scope)).collect();
        let rest = self.rest(rest, scope, rules::NO_MORE_ELEMENTS);
        let contains = members.get("contains").filter(|_| self.draft.holds("contains").is_some()).map(|schema| {
            let node = self.below(schema, scope);
            let number =
                |keyword: &str| members.get(keyword).filter(|_| self.draft.holds(keyword).is_some()).map(whole);
            let (least, most) = (number("minContains").unwrap_or(1), number("maxContains").unwrap_or(u64::MAX));
            let least_rule = self.rule(rules::CONTAINS_LESS);
            let most_rule = self.rule(rules::CONTAINS_MORE);
            (node, Bounds { least, most, least_rule, most_rule })
        });
        let says_nothing = count.is_none() && prefix.is_empty() && rest.is_none() && contains.is_none();
        (!says_nothing).then_some(ListRules { count, prefix, rest, contains })
    }

    fn in_place(&mut self, spot: Spot<'s>, members: &'s Map<String, Value>, scope: usize) -> Vec<InPlace> {
        let mut steps = Vec::new();
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if self.draft.holds(keyword).is_some()
                && let Some(Value::String(reference)) = members.get(keyword)
                && let Some(node) = self.refer(spot, keyword, reference, scope)
            {
                steps.push(InPlace::All([node].into()));
            }
        }
        if self.draft.ref_stands_alone() && members.contains_key("$ref") {
            return steps;
        }
        let mut branches = |keyword: &str| -> Option<Box<[NodeId]>> {
            let schemas = members.get(keyword)?.as_array()?;
            Some(schemas.iter().map(|schema| self.below(schema, scope)).collect())
        };
        let (all, any, one) = (branches("allOf"), branches("anyOf"), branches("oneOf"));
        steps.extend(all.map(InPlace::All));
        let (none, several, not) = (self.rule(rules::NONE_OF), self.rule(rules::SEVERAL_OF), self.rule(rules::NOT));
        steps.extend(any.map(|nodes| InPlace::Any(nodes, none)));
        steps.extend(one.map(|nodes| InPlace::One(nodes, none, several)));
        steps.extend(members.get("not").map(|schema| InPlace::Not(self.below(schema, scope), not)));
        if self.draft.holds("if").is_some()
            && let Some(test) = members.get("if")
        {
            let test = self.below(test, scope);
            let then = members.get("then").map(|schema| self.below(schema, scope));
            let otherwise = members.get("else").map(|schema| self.below(schema, scope));
            steps.push(InPlace::If { test, then, otherwise });
        }
        for keyword in ["dependentSchemas", "dependencies"] {
            let known = members.get(keyword).filter(|_| self.draft.holds(keyword).is_some());
            for (name, schema) in known.and_then(Value::as_object).into_iter().flatten() {
                if matches!(schema, Value::Object(_) | Value::Bool(_)) {
                    steps.push(InPlace::Beside(name.as_str().into(), self.below(schema, scope)));
                }
            }
        }
        steps
    }
}

/// A number of characters, elements or members; a document may write it as 2.0.
fn whole(value: &Value) -> u64 {
    let float = || value.as_f64().and_then(|number| format!("{number:.0}").parse().ok());
    value.as_u64().or_else(float).unwrap_or(u64::MAX)
}

fn whole_limit(keyword: &str, limit: &Value) -> Option<Whole> {
    match keyword {
        "minimum" => limit.as_i64().map(Whole::AtLeast),
        "maximum" => limit.as_i64().map(Whole::AtMost),
        _ => None,
    }
}

fn types_named(named: &Value) -> u8 {
    let bit = |name: &Value| match name.as_str() {
        Some("null") => types::NULL,
        Some("boolean") => types::BOOLEAN,
        Some("integer") => types::INTEGER,
        Some("number") => types::NUMBER,
        Some("string") => types::STRING,
        Some("array") => types::ARRAY,
        Some("object") => types::OBJECT,
        Some(_) | None => 0,
    };
    match named {
        Value::Array(names) => names.iter().fold(0, |types, name| types | bit(name)),
        name => bit(name),
    }
}

/// Steps to compare a value with those that are allowed: they are as many as values in them, an eighth of
/// a step each.
fn cost_of_values(values: &Value) -> u64 {
    fn count(value: &Value) -> u64 {
        match value {
            Value::Array(elements) => elements.iter().map(count).sum::<u64>().saturating_add(1),
            Value::Object(members) => members.values().map(count).sum::<u64>().saturating_add(1),
            Value::String(text) => u64::try_from(text.len() / 64).unwrap_or(0).saturating_add(1),
            Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        }
    }
    count(values).saturating_div(8).saturating_add(1)
}
