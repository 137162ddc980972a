//! Judges a value with a program, within a budget that no schema and no body can exceed.
//!
//! Every visit of a value, every member looked up and every byte matched is a step, and steps run out. If a schema
//! reaches the same value on several paths, the verdict for each pair of node and value is cached, so that there are at
//! most nodes times values steps: otherwise a recursive `oneOf` that names the same member in two branches doubles the
//! work with every level. The same walk decides whether a body is valid and what is wrong with it; it only differs in
//! whether it stops at the first broken rule.

mod branches;
pub mod budget;
mod contents;
pub mod report;
mod unevaluated;

use hashbrown::{HashMap, HashSet};
use serde_json::Value;

use super::program::{Cost, Leaf, Node, NodeId, Program, Whole};
use budget::{Budget, Exceeded};
use report::{Report, Verdict, length_fits};

/// One body that is being judged.
pub struct Judging<'s> {
    program: &'s Program,
    steps_left: u64,
    /// Whether values are valid, by node and the value's address.
    known: HashMap<(NodeId, usize), bool>,
    verdicts: usize,
    /// What was reported already: a value can be reached on several paths, but is reported once.
    reported: HashSet<(NodeId, usize)>,
}

/// The address of a value, which identifies it within a body.
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

    /// The steps that are left.
    pub fn steps_left(&self) -> u64 {
        self.steps_left
    }

    /// The number of cached verdicts.
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

    /// Reports every broken rule, until the report is full.
    ///
    /// # Errors
    /// The budget is used up; what was reported so far is valid.
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

    /// The verdict, with its reasons in the report.
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
}
