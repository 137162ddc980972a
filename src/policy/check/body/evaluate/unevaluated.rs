//! Judging the members and elements that nothing else of a schema was about.

use serde_json::{Map, Value};

use super::Judging;
use super::budget::Exceeded;
use super::contents::property;
use super::report::Report;
use crate::policy::check::body::program::{InPlace, ListRules, Node, NodeId, ObjectRules, Rest};

impl<'s> Judging<'s> {
    /// Judges what nothing else of a node was about, once all else holds.
    pub(super) fn unevaluated<R: Report>(
        &mut self,
        node: &'s Node,
        value: &Value,
        report: &mut R,
    ) -> Result<bool, Exceeded> {
        let mut sound = true;
        if let (Some(rest), Value::Object(members)) = (node.unevaluated_members, value) {
            let mut seen = vec![false; members.len()];
            self.mark(node, value, &mut seen, &mut Vec::new(), true)?;
            for ((name, value), _) in members.iter().zip(&seen).filter(|(_, seen)| !**seen) {
                if let Rest::Judged(node) = rest {
                    report.enter(name);
                    sound &= self.tell(node, value, report)?;
                    report.leave();
                } else if let Rest::Refused(rule) = rest {
                    report.broken(rule);
                    sound = false;
                }
            }
        }
        if let (Some(rest), Value::Array(elements)) = (node.unevaluated_elements, value) {
            let mut seen = vec![false; elements.len()];
            self.mark(node, value, &mut seen, &mut Vec::new(), true)?;
            for (index, value) in elements.iter().enumerate().filter(|(index, _)| seen.get(*index) == Some(&false)) {
                report.enter_element(index);
                if let Rest::Judged(node) = rest {
                    sound &= self.tell(node, value, report)?;
                } else if let Rest::Refused(rule) = rest {
                    report.broken(rule);
                    sound = false;
                }
                report.leave();
            }
        }
        Ok(sound)
    }

    /// Marks the members or elements that a node, by which the value is valid, or what it refers to, has
    /// looked at. Each node marks once.
    fn mark(
        &mut self,
        node: &'s Node,
        value: &Value,
        seen: &mut [bool],
        through: &mut Vec<NodeId>,
        outermost: bool,
    ) -> Result<(), Exceeded> {
        self.spend(u64::try_from(seen.len()).unwrap_or(u64::MAX).saturating_add(1))?;
        match value {
            Value::Object(members) => {
                if node.unevaluated_members.is_some() && !outermost {
                    seen.fill(true);
                } else if let Some(rules) = &node.object {
                    self.mark_members(rules, members, seen)?;
                }
            }
            Value::Array(elements) => {
                if node.unevaluated_elements.is_some() && !outermost {
                    seen.fill(true);
                } else if let Some(rules) = &node.list {
                    self.mark_elements(rules, elements, seen)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        for step in &node.in_place {
            let branches: Vec<NodeId> = match step {
                InPlace::Not(..) => Vec::new(),
                InPlace::If { test, then, otherwise } => {
                    if self.valid(*test, value)? {
                        [Some(*test), *then].into_iter().flatten().collect()
                    } else {
                        otherwise.iter().copied().collect()
                    }
                }
                InPlace::Beside(name, _) if value.get(&**name).is_none() => Vec::new(),
                InPlace::All(_) | InPlace::Any(..) | InPlace::One(..) | InPlace::Beside(..) => step.nodes(),
            };
            for id in branches {
                if !through.contains(&id) && self.valid(id, value)? {
                    through.push(id);
                    let node = self.node(id)?;
                    self.mark(node, value, seen, through, false)?;
                }
            }
        }
        Ok(())
    }

    fn mark_members(
        &mut self,
        rules: &'s ObjectRules,
        members: &Map<String, Value>,
        seen: &mut [bool],
    ) -> Result<(), Exceeded> {
        if rules.additional.is_some() {
            seen.fill(true);
            return Ok(());
        }
        for ((name, _), seen) in members.iter().zip(seen).filter(|(_, seen)| !**seen) {
            *seen = property(rules, name).is_some();
            if !rules.patterns.is_empty() && !*seen {
                let text = Value::String(name.clone());
                for (pattern, _) in &rules.patterns {
                    *seen |= self.holds(pattern, &text)?;
                }
            }
        }
        Ok(())
    }

    fn mark_elements(&mut self, rules: &'s ListRules, elements: &[Value], seen: &mut [bool]) -> Result<(), Exceeded> {
        if rules.rest.is_some() {
            seen.fill(true);
            return Ok(());
        }
        seen.iter_mut().take(rules.prefix.len()).for_each(|seen| *seen = true);
        if let Some((node, _)) = &rules.contains
            && self.program.contained_is_evaluated
        {
            for (value, seen) in elements.iter().zip(seen) {
                *seen |= self.valid(*node, value)?;
            }
        }
        Ok(())
    }
}
