//! The nodes of a program: what each schema says of a value, its members and its elements.

use serde_json::{Map, Value};

use super::compiler::{Compiler, MAX_FLAWS, Spot, address};
use crate::policy::check::body::keywords::{Draft, escaped};
use crate::policy::check::body::program::{
    Bounds, Cost, InPlace, Leaf, ListRules, Node, NodeId, ObjectRules, Rest, RuleId, types,
};
use crate::policy::check::body::rules;

impl<'s> Compiler<'s> {
    /// Makes the nodes of a document that was surveyed.
    pub(super) fn assemble(&mut self, document: &'s Value) {
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
