//! Judging the members of objects and the elements of arrays.

use serde_json::{Map, Value};

use super::Judging;
use super::budget::Exceeded;
use super::report::{Report, count_fits};
use crate::policy::check::body::program::{ListRules, NodeId, ObjectRules, Rest};

impl<'s> Judging<'s> {
    pub(super) fn object<R: Report>(
        &mut self,
        rules: &'s ObjectRules,
        members: &Map<String, Value>,
        report: &mut R,
    ) -> Result<bool, Exceeded> {
        let mut sound = true;
        for (name, rule) in &rules.required {
            self.spend(1)?;
            if !members.contains_key(&**name) {
                report.missing(name, *rule);
                sound = false;
                if report.is_full() {
                    return Ok(false);
                }
            }
        }
        for (name, beside, rule) in &rules.beside {
            self.spend(1)?;
            if members.contains_key(&**name) && !members.contains_key(&**beside) {
                report.missing(beside, *rule);
                sound = false;
                if report.is_full() {
                    return Ok(false);
                }
            }
        }
        if let Some(bounds) = &rules.count {
            sound &= count_fits(members.len(), bounds, report);
        }
        let looks_at_all = !rules.patterns.is_empty() || rules.additional.is_some() || rules.names.is_some();
        if rules.properties.is_empty() && !looks_at_all {
            return Ok(sound);
        }
        for (name, value) in members {
            if !sound && report.is_full() {
                return Ok(false);
            }
            report.enter(name);
            let good = self.member(rules, name, value, report)?;
            report.leave();
            if let Some(Rest::Refused(rule)) = rules.additional
                && !good.1
            {
                // The name is the client's own word, so that the object is named and not the member.
                report.broken(rule);
                sound = false;
            }
            sound &= good.0;
        }
        Ok(sound)
    }

    /// Judges one member by all that is about it: whether it is sound, and whether anything was.
    fn member<R: Report>(
        &mut self,
        rules: &'s ObjectRules,
        name: &str,
        value: &Value,
        report: &mut R,
    ) -> Result<(bool, bool), Exceeded> {
        self.spend(1)?;
        let (mut sound, mut known) = (true, false);
        if let Some(node) = property(rules, name) {
            known = true;
            sound &= self.tell(node, value, report)?;
        }
        if !rules.patterns.is_empty() || rules.names.is_some() {
            let text = Value::String(name.to_owned());
            for (pattern, node) in &rules.patterns {
                if self.holds(pattern, &text)? {
                    known = true;
                    sound &= self.tell(*node, value, report)?;
                }
            }
            if let Some((node, rule)) = rules.names
                && !self.apart(node, &text)?
            {
                report.broken(rule);
                sound = false;
            }
        }
        match rules.additional {
            Some(Rest::Judged(node)) if !known => Ok((sound & self.tell(node, value, report)?, true)),
            None | Some(Rest::Judged(_)) => Ok((sound, true)),
            Some(Rest::Refused(_)) => Ok((sound, known)),
        }
    }

    /// Judges a value that is no part of the body: its address will be another one's.
    fn apart(&mut self, node: NodeId, value: &Value) -> Result<bool, Exceeded> {
        let known = std::mem::take(&mut self.known);
        let verdict = self.valid(node, value);
        self.known = known;
        verdict
    }

    pub(super) fn list<R: Report>(
        &mut self,
        rules: &'s ListRules,
        elements: &[Value],
        report: &mut R,
    ) -> Result<bool, Exceeded> {
        let mut sound = true;
        if let Some(bounds) = &rules.count {
            sound &= count_fits(elements.len(), bounds, report);
        }
        if !rules.prefix.is_empty() || rules.rest.is_some() {
            for (index, value) in elements.iter().enumerate() {
                if !sound && report.is_full() {
                    return Ok(false);
                }
                report.enter_element(index);
                sound &= match (rules.prefix.get(index), rules.rest) {
                    (Some(node), _) => self.tell(*node, value, report)?,
                    (None, Some(Rest::Judged(node))) => self.tell(node, value, report)?,
                    (None, Some(Rest::Refused(rule))) => {
                        report.broken(rule);
                        false
                    }
                    (None, None) => true,
                };
                report.leave();
            }
        }
        if let Some((node, bounds)) = &rules.contains
            && (sound || !report.is_full())
        {
            let mut found = 0_usize;
            for value in elements {
                found = found.saturating_add(usize::from(self.valid(*node, value)?));
            }
            sound &= count_fits(found, bounds, report);
        }
        Ok(sound)
    }
}

/// What a property's name leads to.
pub(super) fn property(rules: &ObjectRules, name: &str) -> Option<NodeId> {
    let index = rules.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
    rules.properties.get(index).map(|(_, node)| *node)
}
