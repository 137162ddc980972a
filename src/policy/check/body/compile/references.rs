//! Where schemas and references of a document lead, each to a node of its own for each scope.

use serde_json::Value;

use super::compiler::{Compiler, Spot, address};
use crate::policy::check::body::keywords::Holds;
use crate::policy::check::body::program::{MAX_NODES, Node, NodeId};

/// References that lead on to another reference.
const MAX_HOPS: usize = 64;

impl<'s> Compiler<'s> {
    /// The scope once a resource has been entered: anchors further out keep their meaning.
    pub(super) fn entered(&mut self, scope: usize, resource: usize) -> usize {
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
    pub(super) fn below(&mut self, schema: &'s Value, scope: usize) -> NodeId {
        match self.spots.get(&address(schema)).map(|(spot, _)| *spot) {
            Some(spot) => {
                let scope = self.entered(scope, spot.resource);
                self.node_of(spot, scope)
            }
            None => 0,
        }
    }

    pub(super) fn node_of(&mut self, spot: Spot<'s>, scope: usize) -> NodeId {
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
    pub(super) fn refer(&mut self, spot: Spot<'s>, keyword: &str, reference: &str, scope: usize) -> Option<NodeId> {
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
}
