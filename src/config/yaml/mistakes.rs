//! Mistakes in a file and their places, as lines for operators.
//!
//! A mistake is one line, `file:line:column: path: what is wrong; what to write instead`, without a path if it is about
//! the whole file.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::sync::Arc;

use super::path::push_key;

use crate::platform::count::counted;

/// Where something is written. The default place means unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The name of the file as it was given.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path from the root, such as `accounts.acme.tokens[0].hash`; `.` is the root itself.
    pub path: Arc<str>,
}

impl Place {
    /// The same spot, with one more key on the path.
    pub fn key(&self, key: &str) -> Place {
        let mut path = match &*self.path {
            "." => String::new(),
            path => String::from(path),
        };
        push_key(&mut path, key);
        Place { path: path.into(), ..self.clone() }
    }

    pub(super) fn new(file: &Arc<str>, line: usize, column: usize, path: String) -> Place {
        let path = if path.is_empty() { Arc::from(".") } else { path.into() };
        Place { file: Arc::clone(file), line, column, path }
    }
}

/// A mistake in a file: the configuration does not come into force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong and, after `; `, what to write instead.
    pub what: String,
}

/// Something in a file that is allowed, but probably not intended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where it is.
    pub place: Place,
    /// What will happen and, after `; `, what to write instead.
    pub what: String,
}

impl Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(formatter, &self.place, "", &self.what)
    }
}

impl Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(formatter, &self.place, "warning: ", &self.what)
    }
}

/// One line in a format that editors understand, even if the text has unusual characters.
fn write_line(formatter: &mut fmt::Formatter<'_>, place: &Place, severity: &str, what: &str) -> fmt::Result {
    let Place { file, line, column, path } = place;
    write!(formatter, "{file}:{line}:{column}: ")?;
    // A mistake about the whole file has no path.
    if !path.is_empty() && **path != *"." {
        write!(formatter, "{path}: ")?;
    }
    formatter.write_str(severity)?;
    for character in what.chars() {
        if character.is_control() {
            write!(formatter, "{}", character.escape_default())?;
        } else {
            write!(formatter, "{character}")?;
        }
    }
    Ok(())
}

/// The most mistakes, and the most warnings, that are kept for one configuration; a file can have millions.
pub(super) const MAX_TOLD: usize = 1000;

/// The mistakes and the warnings found so far, each once, in the order of file, line and column. What
/// goes beyond a thousand of either is only counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    mistakes: BTreeSet<Mistake>,
    warnings: BTreeSet<Warning>,
    /// The number of mistakes that were not kept.
    more: usize,
}

impl Mistakes {
    /// Adds a mistake, unless it was added already.
    pub fn push(&mut self, place: Place, what: impl Into<String>) {
        if self.mistakes.len() < MAX_TOLD {
            self.mistakes.insert(Mistake { place, what: what.into() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Adds a warning, unless it was added already. A warning does not prevent the configuration from coming into
    /// force.
    pub fn warn(&mut self, place: Place, what: impl Into<String>) {
        if self.warnings.len() < MAX_TOLD {
            self.warnings.insert(Warning { place, what: what.into() });
        }
    }

    /// Adds all mistakes and warnings of `others`, with their places moved.
    pub fn take_over(&mut self, others: Mistakes, moved: impl Fn(Place) -> Place) {
        self.more = self.more.saturating_add(others.more);
        for Mistake { place, what } in others.mistakes {
            self.push(moved(place), what);
        }
        for Warning { place, what } in others.warnings {
            self.warn(moved(place), what);
        }
    }

    /// One mistake about a key of a whole file.
    pub fn of_key(file: &str, key: &str, what: &str) -> Mistakes {
        let mut mistakes = Mistakes::default();
        mistakes.push(Place::new(&Arc::from(file), 1, 1, key.to_owned()), what);
        mistakes
    }

    /// Whether there are no mistakes. There may be warnings.
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.mistakes.len().saturating_add(self.more)
    }

    /// Whether something is wrong with the value at a place, or with a part of it.
    pub fn touch(&self, place: &Place) -> bool {
        self.mistakes.iter().any(|mistake| {
            let rest = mistake.place.path.strip_prefix(&*place.path);
            mistake.place.file == place.file && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// The mistakes in order, as far as they are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }

    /// The warnings in order, as far as they are kept.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.warnings.iter()
    }

    /// Takes the warnings out.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings).into_iter().collect()
    }
}

/// The mistakes, one per line, without the warnings.
impl Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistakes.iter().try_for_each(|mistake| writeln!(formatter, "{mistake}"))?;
        match self.more {
            0 => Ok(()),
            more => writeln!(formatter, "and {}", counted(more, "more mistake")),
        }
    }
}
