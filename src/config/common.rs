//! Checks that several compilers use: names, ranges of numbers, lists, and suggestions for unknown
//! names.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::units::Text;
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::platform::files;

/// Checks a name that the operator has chosen; logs show it.
pub fn check_name(name: &str, place: &Place, mistakes: &mut Mistakes) {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        mistakes.push(place.clone(), "is not a name; write one of visible characters");
    }
}

/// Reports a path at which something else than a file stands. That nothing stands there is no mistake.
pub fn check_kind(path: &Path, place: &Place, mistakes: &mut Mistakes) {
    if let Some(kind) = files::other_than_a_file(path) {
        mistakes.push(place.clone(), format!("is {kind}, not a file; name a file"));
    }
}

/// A time-out, or its default.
pub fn time(written: Text<Duration>, default_seconds: u64, mistakes: &mut Mistakes) -> Duration {
    let place = written.place().cloned();
    let time = written.take().map_or(Duration::from_secs(default_seconds), |duration| duration.0);
    let sensible = Duration::from_millis(50)..=Duration::from_secs(3600);
    let range = || "a duration from 50ms to 1h".to_owned();
    out_of_range(place, sensible.contains(&time), range, mistakes);
    time
}

/// Reports a number that is out of range, if it is written.
pub fn out_of_range(place: Option<Place>, fits: bool, range: impl FnOnce() -> String, mistakes: &mut Mistakes) {
    if let Some(place) = place
        && !fits
    {
        mistakes.push(place, format!("is out of range; write {}", range()));
    }
}

/// The elements of a required list, which must not be empty.
pub fn listed<T>(
    list: Written<Listed<T>>,
    parent: &Place,
    key: &str,
    instead: &str,
    mistakes: &mut Mistakes,
) -> Vec<(T, Place)> {
    let place = list.place().cloned();
    let elements = list.require(parent, key, instead, mistakes).map(|list| list.0).unwrap_or_default();
    // A list in which all elements are wrong has its mistakes already; it is not empty.
    if let Some(place) = place
        && elements.is_empty()
        && !mistakes.touch(&place)
    {
        mistakes.push(place, format!("is an empty list; {instead}"));
    }
    elements
}

/// A hint with the known names.
pub fn known<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    match names.as_slice() {
        [only] => format!("write {only}"),
        names => format!("write one of {}", names.join(", ")),
    }
}

/// A number within a range, or its default.
pub fn number(written: Written<u32>, default: u32, range: RangeInclusive<u32>, mistakes: &mut Mistakes) -> u32 {
    let place = written.place().cloned();
    let number = written.take().unwrap_or(default);
    let wanted = || format!("a number from {} to {}", range.start(), range.end());
    out_of_range(place, range.contains(&number), wanted, mistakes);
    number
}

/// Puts the list that is equal, if there is one, in the place of this one.
pub fn share<T: Eq + Hash>(known: &mut HashSet<Arc<T>>, list: &mut Arc<T>) {
    match known.get(list) {
        Some(known) => *list = Arc::clone(known),
        None => drop(known.insert(Arc::clone(list))),
    }
}
