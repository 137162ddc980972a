//! The first pass over a document: its schemas, identities and anchors, and unknown keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compiler::{Compiler, MAX_FLAWS, Resource, Spot, address};
use super::flaw::{Flaw, FlawKind};
use crate::policy::check::body::keywords::{Draft, Holds, escaped, within};
use crate::policy::check::body::program::MAX_NODES;

/// The most schemas of one document before references are resolved.
const MAX_SCHEMAS: usize = MAX_NODES;

impl<'s> Compiler<'s> {
    /// Finds every schema, identity and anchor of the document, and every key that is none.
    pub(super) fn survey(&mut self, document: &'s Value) {
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

    /// Reports keys that the draft does not define, and rules that it would ignore.
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
}
