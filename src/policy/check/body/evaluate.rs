//! Judging a value with a program, within a budget that no schema and no body can pass.
//!
//! Every visit of a value, every member looked up and every byte matched is a step, and steps run out.
//! Where a schema leads to the same value by several ways, the verdict of each pair of node and value is
//! remembered, so that the steps are at most nodes times values: a recursive `oneOf` that names the same
//! member in two branches doubles with every level otherwise. One walk serves both who asks whether a
//! body passes and who asks what is wrong with it; the two differ in whether it stops at the first breach.

use hashbrown::{HashMap, HashSet};
use serde_json::{Map, Value};

use super::program::{
    Bounds, Cost, InPlace, Leaf, ListRules, Node, NodeId, ObjectRules, Program, Rest, RuleId, Whole, types,
};

/// Steps of every body, however short.
const STEPS_OF_ANY: u64 = 16 * 1024;

/// Steps for each byte of a body. The schema of the demo takes one step for about three bytes.
const STEPS_PER_BYTE: u64 = 64;

/// Verdicts that are remembered for any body, and for each of its bytes; one takes 24 bytes.
const VERDICTS_OF_ANY: usize = 4096;
const VERDICTS_PER_BYTE: usize = 2;

/// Verdicts that are remembered at most: 8 MiB.
const MAX_VERDICTS: usize = 256 * 1024;

/// The budget is used up: the value is neither valid nor invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded;

/// What may be spent on one body.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub steps: u64,
    pub verdicts: usize,
}

impl Budget {
    /// What a body of so many bytes may cost at most.
    pub fn of(bytes: usize) -> Budget {
        let length = u64::try_from(bytes).unwrap_or(u64::MAX);
        Budget {
            steps: STEPS_OF_ANY.saturating_add(length.saturating_mul(STEPS_PER_BYTE)),
            verdicts: VERDICTS_OF_ANY.saturating_add(bytes.saturating_mul(VERDICTS_PER_BYTE)).min(MAX_VERDICTS),
        }
    }
}

/// Who is told of broken rules.
pub trait Report {
    /// Whether the first breach is all that anybody wants to know.
    const FIRST_ONLY: bool;
    /// A rule is broken by the value at hand.
    fn broken(&mut self, rule: RuleId);
    /// A rule is broken by the absence of a member of it.
    fn missing(&mut self, name: &str, rule: RuleId);
    /// Goes on to a member.
    fn enter(&mut self, name: &str);
    /// Goes on to an element.
    fn enter_element(&mut self, place: usize);
    /// Goes back to what it was in.
    fn leave(&mut self);
    /// Whether it takes no more.
    fn is_full(&self) -> bool;
}

/// Nobody: only the verdict counts.
pub struct Verdict;

impl Report for Verdict {
    const FIRST_ONLY: bool = true;
    fn broken(&mut self, _: RuleId) {}
    fn missing(&mut self, _: &str, _: RuleId) {}
    fn enter(&mut self, _: &str) {}
    fn enter_element(&mut self, _: usize) {}
    fn leave(&mut self) {}
    fn is_full(&self) -> bool {
        true
    }
}

/// One body that is being judged.
pub struct Judging<'s> {
    program: &'s Program,
    steps_left: u64,
    /// Whether values are valid, by node and the value's address.
    known: HashMap<(NodeId, usize), bool>,
    verdicts: usize,
    /// What was reported on already: a value can be reached by several ways, and breaks a rule once.
    reported: HashSet<(NodeId, usize)>,
}

/// The address of a value: values of one body are told apart by it.
fn address(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

impl<'s> Judging<'s> {
    pub fn new(program: &'s Program, budget: Budget) -> Judging<'s> {
        Judging {
            program,
            steps_left: budget.steps,
            known: HashMap::new(),
            verdicts: budget.verdicts,
            reported: HashSet::new(),
        }
    }

    /// Steps that were not needed.
    pub fn steps_left(&self) -> u64 {
        self.steps_left
    }

    /// Verdicts that were remembered.
    pub fn remembered(&self) -> usize {
        self.known.len().saturating_add(self.reported.len())
    }

    /// Whether the document is valid.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn is_valid(&mut self, document: &Value) -> Result<bool, Exceeded> {
        self.valid(self.program.root, document)
    }

    /// Tells of every broken rule, until the report is full.
    ///
    /// # Errors
    /// The budget is used up; what was told so far holds.
    pub fn report(&mut self, document: &Value, report: &mut impl Report) -> Result<(), Exceeded> {
        self.tell(self.program.root, document, report).map(|_| ())
    }

    #[inline]
    fn spend(&mut self, steps: u64) -> Result<(), Exceeded> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Exceeded)?;
        Ok(())
    }

    fn node(&self, id: NodeId) -> Result<&'s Node, Exceeded> {
        self.program.nodes.get(usize::from(id)).ok_or(Exceeded)
    }

    fn valid(&mut self, id: NodeId, value: &Value) -> Result<bool, Exceeded> {
        let node = self.node(id)?;
        if !self.program.remembers || node.is_plain() {
            return self.judge(node, value, &mut Verdict);
        }
        let key = (id, address(value));
        if let Some(verdict) = self.known.get(&key) {
            let verdict = *verdict;
            self.spend(1)?;
            return Ok(verdict);
        }
        let verdict = self.judge(node, value, &mut Verdict)?;
        if self.known.len() < self.verdicts {
            self.known.insert(key, verdict);
        }
        Ok(verdict)
    }

    /// The verdict, told to whoever wants to know why.
    fn tell<R: Report>(&mut self, id: NodeId, value: &Value, report: &mut R) -> Result<bool, Exceeded> {
        if R::FIRST_ONLY {
            return self.valid(id, value);
        }
        let key = (id, address(value));
        if self.known.get(&key) == Some(&true) {
            self.spend(1)?;
            return Ok(true);
        }
        let node = self.node(id)?;
        if self.program.remembers && !node.is_plain() {
            if self.reported.contains(&key) {
                self.spend(1)?;
                return Ok(false);
            }
            if self.reported.len() < self.verdicts {
                self.reported.insert(key);
            }
        }
        let verdict = self.judge(node, value, report)?;
        if verdict {
            self.reported.remove(&key);
        }
        Ok(verdict)
    }

    fn judge<R: Report>(&mut self, node: &'s Node, value: &Value, report: &mut R) -> Result<bool, Exceeded> {
        self.spend(1)?;
        if let Some(rule) = node.never {
            report.broken(rule);
            return Ok(false);
        }
        let of_types = self.program.types_of(value);
        if let Some((allowed, rule)) = node.types
            && allowed & of_types == 0
        {
            // What else it says is about values of other types.
            report.broken(rule);
            return Ok(false);
        }
        let mut sound = true;
        for leaf in &node.leaves {
            if leaf.about & of_types != 0 && !self.holds(leaf, value)? {
                report.broken(leaf.rule);
                sound = false;
                if report.is_full() {
                    return Ok(false);
                }
            }
        }
        sound &= match value {
            Value::String(text) => match &node.text {
                Some(bounds) => {
                    self.spend(u64::try_from(text.len() / 64).unwrap_or(u64::MAX))?;
                    length_fits(text, bounds, report)
                }
                None => true,
            },
            Value::Object(members) => match &node.object {
                Some(rules) => self.object(rules, members, report)?,
                None => true,
            },
            Value::Array(elements) => match &node.list {
                Some(rules) => self.list(rules, elements, report)?,
                None => true,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        };
        for step in &node.in_place {
            if !sound && report.is_full() {
                return Ok(false);
            }
            sound &= self.in_place(step, value, report)?;
        }
        if sound && (node.unevaluated_members.is_some() || node.unevaluated_elements.is_some()) {
            return self.unevaluated(node, value, report);
        }
        Ok(sound)
    }

    /// Whether a rule about a single value holds.
    fn holds(&mut self, leaf: &Leaf, value: &Value) -> Result<bool, Exceeded> {
        if let Some(limit) = leaf.whole
            && let Some(number) = value.as_i64()
        {
            self.spend(1)?;
            return Ok(match limit {
                Whole::AtLeast(least) => number >= least,
                Whole::AtMost(most) => number <= most,
            });
        }
        self.spend(match (leaf.cost, value) {
            (Cost::Byte(steps), Value::String(text)) => {
                u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_mul(steps).saturating_add(1)
            }
            (Cost::Part(steps), value) => self.parts(value, 0)?.saturating_mul(steps).saturating_add(1),
            (Cost::Fixed(steps), _) => steps,
            (Cost::Byte(_), _) => 1,
        })?;
        Ok(leaf.validator.is_valid(value))
    }

    /// How many values there are in one, and texts by their length: what comparing it can cost.
    fn parts(&self, value: &Value, counted: u64) -> Result<u64, Exceeded> {
        let counted = counted.saturating_add(1);
        if counted > self.steps_left {
            return Err(Exceeded);
        }
        let of_text = |text: &str| u64::try_from(text.len() / 64).unwrap_or(u64::MAX);
        match value {
            Value::Array(elements) => elements.iter().try_fold(counted, |counted, value| self.parts(value, counted)),
            Value::Object(members) => members.iter().try_fold(counted, |counted, (name, value)| {
                self.parts(value, counted.saturating_add(of_text(name)).saturating_add(1))
            }),
            Value::String(text) => Ok(counted.saturating_add(of_text(text))),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(counted),
        }
    }

    fn object<R: Report>(
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

    fn list<R: Report>(&mut self, rules: &'s ListRules, elements: &[Value], report: &mut R) -> Result<bool, Exceeded> {
        let mut sound = true;
        if let Some(bounds) = &rules.count {
            sound &= count_fits(elements.len(), bounds, report);
        }
        if !rules.prefix.is_empty() || rules.rest.is_some() {
            for (place, value) in elements.iter().enumerate() {
                if !sound && report.is_full() {
                    return Ok(false);
                }
                report.enter_element(place);
                sound &= match (rules.prefix.get(place), rules.rest) {
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

    fn in_place<R: Report>(&mut self, step: &'s InPlace, value: &Value, report: &mut R) -> Result<bool, Exceeded> {
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

    /// Judges what nothing else of a node was about, once all else holds.
    fn unevaluated<R: Report>(&mut self, node: &'s Node, value: &Value, report: &mut R) -> Result<bool, Exceeded> {
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
            for (place, value) in elements.iter().enumerate().filter(|(place, _)| seen.get(*place) == Some(&false)) {
                report.enter_element(place);
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

/// What a property's name leads to.
fn property(rules: &ObjectRules, name: &str) -> Option<NodeId> {
    let place = rules.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
    rules.properties.get(place).map(|(_, node)| *node)
}

fn count_fits<R: Report>(count: usize, bounds: &Bounds, report: &mut R) -> bool {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    if count < bounds.least {
        report.broken(bounds.least_rule);
        false
    } else if count > bounds.most {
        report.broken(bounds.most_rule);
        false
    } else {
        true
    }
}

/// Whether a text has as many characters as it may. A character takes one byte to four, which mostly
/// tells without counting.
fn length_fits<R: Report>(text: &str, bounds: &Bounds, report: &mut R) -> bool {
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes <= bounds.most && bytes / 4 >= bounds.least {
        return true;
    }
    count_fits(text.chars().count(), bounds, report)
}
