//! Numbers for what leases are taken of, since the protocol's keys have numbers and the tables have names. They are those
//! of one process, and are never compared with another's.

use std::collections::HashMap;
use std::sync::Arc;

/// An account, and its product or quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerName {
    pub account: Arc<str>,
    /// A product, for credits; `calendar-day` and the like for a quota.
    pub subject: Arc<str>,
}

/// The names that have a number, in the order in which they came. They stay for as long as the process: at most 2^32.
#[derive(Debug, Default)]
pub struct OwnerNames {
    names: Vec<OwnerName>,
    /// By account, then by subject.
    numbers: HashMap<Arc<str>, HashMap<Arc<str>, u32>>,
}

impl OwnerNames {
    /// The number of a name, which gets the next one if it has none; `None` if there is none left.
    pub fn number(&mut self, account: &str, subject: &str) -> Option<u32> {
        if let Some(known) = self.numbers.get(account).and_then(|subjects| subjects.get(subject)) {
            return Some(*known);
        }
        let number = u32::try_from(self.names.len()).ok()?;
        let name = OwnerName { account: account.into(), subject: subject.into() };
        let subjects = self.numbers.entry(Arc::clone(&name.account)).or_default();
        subjects.insert(Arc::clone(&name.subject), number);
        self.names.push(name);
        Some(number)
    }

    /// The name that has a number.
    pub fn name(&self, owner: u32) -> Option<&OwnerName> {
        usize::try_from(owner).ok().and_then(|owner| self.names.get(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = OwnerNames::default();
        let pairs = [("acme", "phone"), ("acme", "email"), ("bee", "phone"), ("acme", "phone"), ("bee", "phone")];
        let numbers = pairs.map(|(account, subject)| names.number(account, subject).unwrap());
        assert_eq!(numbers, [0, 1, 2, 0, 2]);
        for (number, (account, subject)) in numbers.into_iter().zip(pairs) {
            let name = names.name(number).unwrap();
            assert_eq!((&*name.account, &*name.subject), (account, subject));
        }
        assert_eq!(names.name(3), None);
    }
}
