//! Judging a value by what a schema combines: all, any or one of some schemas, and conditions.

use serde_json::Value;

use super::Judging;
use super::budget::Exceeded;
use super::report::Report;
use crate::policy::check::body::program::{InPlace, NodeId, RuleId, types};

impl<'s> Judging<'s> {
    pub(super) fn in_place<R: Report>(
        &mut self,
        step: &'s InPlace,
        value: &Value,
        report: &mut R,
    ) -> Result<bool, Exceeded> {
        match step {
            InPlace::All(nodes) => {
                let mut sound = true;
                for node in nodes {
                    sound &= self.tell(*node, value, report)?;
                    if !sound && report.is_full() {
                        return Ok(false);
                    }
                }
                Ok(sound)
            }
            InPlace::Any(nodes, rule) => {
                for node in nodes {
                    if self.valid(*node, value)? {
                        return Ok(true);
                    }
                }
                self.tell_of_one(nodes, *rule, value, report)
            }
            InPlace::One(nodes, none, several) => {
                let mut found = false;
                for node in nodes {
                    if self.valid(*node, value)? {
                        if found {
                            report.broken(*several);
                            return Ok(false);
                        }
                        found = true;
                    }
                }
                if found { Ok(true) } else { self.tell_of_one(nodes, *none, value, report) }
            }
            InPlace::Not(node, rule) => {
                let refused = self.valid(*node, value)?;
                if refused {
                    report.broken(*rule);
                }
                Ok(!refused)
            }
            InPlace::If { test, then, otherwise } => {
                let branch = if self.valid(*test, value)? { then } else { otherwise };
                branch.map_or(Ok(true), |node| self.tell(node, value, report))
            }
            InPlace::Beside(name, node) => match value {
                Value::Object(members) if members.contains_key(&**name) => self.tell(*node, value, report),
                _ => Ok(true),
            },
        }
    }

    /// None of some alternatives holds. If only one can have been meant, what is wrong with it is told;
    /// otherwise that none holds.
    fn tell_of_one<R: Report>(
        &mut self,
        nodes: &'s [NodeId],
        rule: RuleId,
        value: &Value,
        report: &mut R,
    ) -> Result<bool, Exceeded> {
        if R::FIRST_ONLY {
            return Ok(false);
        }
        let mut meant = None;
        for id in nodes {
            if self.may_be_meant(*id, value)? && meant.replace(*id).is_some() {
                report.broken(rule);
                return Ok(false);
            }
        }
        match meant {
            Some(node) => self.tell(node, value, report).map(|_| false),
            None => {
                report.broken(rule);
                Ok(false)
            }
        }
    }

    /// Whether a value has the type that an alternative asks for, and its fixed members.
    fn may_be_meant(&mut self, id: NodeId, value: &Value) -> Result<bool, Exceeded> {
        self.spend(1)?;
        let node = self.node(id)?;
        if node.never.is_some() || node.types.is_some_and(|(allowed, _)| allowed & self.program.types_of(value) == 0) {
            return Ok(false);
        }
        let (Some(rules), Value::Object(members)) = (&node.object, value) else { return Ok(true) };
        for (name, node) in &rules.properties {
            let property = self.node(*node)?;
            let is_fixed = property.is_plain() && property.leaves.iter().any(|leaf| leaf.about == types::ALL);
            if is_fixed
                && let Some(value) = members.get(&**name)
                && !self.valid(*node, value)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
