//! Counts of requests, rolled up into short steps, hours and days.
//!
//! Steps are for finding incidents, hours for finding slow ones, and days for the pages. All times
//! are seconds since 1970, and days are days of UTC. The newest entries change until their time is
//! over; changed entries are remembered until they are saved. Each product takes at most
//! [`STEPS_KEPT`] × 24 + [`HOURS_KEPT`] × 24 + [`DAYS_KEPT`] × 700 bytes, some 75 KB, and there are
//! at most [`MAX_SERIES`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::policy::seconds::Seconds;
use crate::telemetry::latency::Histogram;
use crate::telemetry::traffic::Counted;

pub const HOUR: Seconds = 3600;
pub const DAY: Seconds = 24 * HOUR;

/// Steps that are kept for each product: six hours of minutes, and the current one.
pub const STEPS_KEPT: u64 = 361;

/// Hours that are kept for each product: three days, and the current hour.
pub const HOURS_KEPT: u64 = 73;

/// Days that are kept for each product, including today.
pub const DAYS_KEPT: u64 = 90;

/// Products whose history is kept: twice as many as a configuration can have, to include removed
/// ones.
pub const MAX_SERIES: usize = 128;

/// Answered and failed requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answered: u64,
    pub failed: u64,
}

impl Tally {
    /// The sum of both.
    pub fn total(self) -> u64 {
        self.answered.saturating_add(self.failed)
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Tally) {
        self.answered = self.answered.saturating_add(other.answered);
        self.failed = self.failed.saturating_add(other.failed);
    }

    /// Subtracts another tally.
    pub fn without(self, other: Tally) -> Tally {
        Tally {
            answered: self.answered.saturating_sub(other.answered),
            failed: self.failed.saturating_sub(other.failed),
        }
    }

    /// The share that was answered, in thousandths of a percent, rounded down, so that 100 % means
    /// that nothing failed. `None` without traffic.
    pub fn availability(self) -> Option<u32> {
        const WHOLE: u128 = 100_000;
        let part = (u128::from(self.answered) * WHOLE).checked_div(u128::from(self.total()))?;
        u32::try_from(part).ok()
    }
}

/// The counts of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    pub tally: Tally,
    pub latency: Histogram,
}

impl Day {
    fn merge(&mut self, other: &Day) {
        self.tally.add(other.tally);
        self.latency.merge(&other.latency);
    }
}

/// The kind of an entry: a step, an hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    Step,
    Hour,
    Day,
}

/// One product's history.
#[derive(Clone, Debug, Default)]
pub struct Series {
    steps: BTreeMap<Seconds, Tally>,
    hours: BTreeMap<Seconds, Tally>,
    days: BTreeMap<Seconds, Day>,
    /// Entries that have changed since they were last saved.
    unsaved: BTreeSet<(Span, Seconds)>,
}

/// The history of all products.
#[derive(Clone, Debug)]
pub struct History {
    /// The length of a step in seconds.
    step: Seconds,
    series: BTreeMap<Arc<str>, Series>,
}

/// One entry as it is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub product: Arc<str>,
    /// Its length in seconds: that of a step, an hour or a day.
    pub seconds: Seconds,
    pub start: Seconds,
    pub tally: Tally,
    /// How long answers took; only for days.
    pub latency: Histogram,
}

impl History {
    /// An empty history with steps of this many seconds.
    pub fn new(step: Seconds) -> History {
        History { step: step.max(1), series: BTreeMap::new() }
    }

    /// The length of a step in seconds.
    pub fn step(&self) -> Seconds {
        self.step
    }

    /// Changes the length of steps. The steps so far are removed; their counts are part of hours
    /// and days.
    pub fn set_step(&mut self, step: Seconds) {
        if step == self.step {
            return;
        }
        self.step = step.max(1);
        for series in self.series.values_mut() {
            series.steps.clear();
            series.unsaved.retain(|(span, _)| *span != Span::Step);
        }
    }

    /// A product's history, if it has one.
    pub fn of(&self, product: &str) -> Option<&Series> {
        self.series.get(product)
    }

    /// Adds recent counts of one product's requests.
    pub fn count(&mut self, product: &Arc<str>, now: Seconds, counted: &Counted) {
        if counted.is_empty() || !self.make_room(product) {
            return;
        }
        let step = self.step;
        let tally = Tally { answered: counted.latency.total(), failed: counted.failed };
        let series = self.series.entry(Arc::clone(product)).or_default();
        let day = Day { tally, latency: counted.latency.clone() };
        series.add(Span::Step, now - now % step, &day);
        series.add(Span::Hour, now - now % HOUR, &day);
        series.add(Span::Day, now - now % DAY, &day);
    }

    /// Adds an entry that an earlier process has saved. A step of another length is left out: its
    /// counts are part of an hour and a day.
    pub fn absorb(&mut self, entry: &Entry) {
        let span = match entry.seconds {
            DAY => Span::Day,
            HOUR => Span::Hour,
            seconds if seconds == self.step => Span::Step,
            _ => return,
        };
        if !self.make_room(&entry.product) {
            return;
        }
        let series = self.series.entry(Arc::clone(&entry.product)).or_default();
        let day = Day { tally: entry.tally, latency: entry.latency.clone() };
        let counted_here = series.unsaved.contains(&(span, entry.start));
        series.add(span, entry.start, &day);
        if !counted_here {
            series.unsaved.remove(&(span, entry.start));
        }
    }

    /// Removes entries that are too old.
    pub fn forget(&mut self, now: Seconds) {
        let step = self.step;
        for series in self.series.values_mut() {
            let Series { steps, hours, days, unsaved } = series;
            let first = |span: Span| match span {
                Span::Step => oldest(now, step, STEPS_KEPT),
                Span::Hour => oldest(now, HOUR, HOURS_KEPT),
                Span::Day => oldest(now, DAY, DAYS_KEPT),
            };
            *steps = steps.split_off(&first(Span::Step));
            *hours = hours.split_off(&first(Span::Hour));
            *days = days.split_off(&first(Span::Day));
            unsaved.retain(|(span, start)| *start >= first(*span));
        }
        self.series.retain(|_, series| !series.days.is_empty());
    }

    /// The entries that have not been saved yet.
    pub fn unsaved(&self) -> Vec<Entry> {
        let step = self.step;
        let of = |(product, series): (&Arc<str>, &Series)| -> Vec<Entry> {
            series.unsaved.iter().filter_map(|(span, start)| series.entry(product, *span, step, *start)).collect()
        };
        self.series.iter().flat_map(of).collect()
    }

    /// Marks everything as saved.
    pub fn saved(&mut self) {
        self.series.values_mut().for_each(|series| series.unsaved.clear());
    }

    /// Makes room for a product; false if there is none, which cannot happen, since there is room
    /// for twice as many products as can be configured.
    fn make_room(&mut self, product: &Arc<str>) -> bool {
        if self.series.len() >= MAX_SERIES && !self.series.contains_key(product) {
            let last_day = |series: &Series| series.days.keys().next_back().copied();
            let quietest = self.series.iter().min_by_key(|(_, series)| last_day(series));
            let Some(quietest) = quietest.map(|(name, _)| Arc::clone(name)) else { return false };
            self.series.remove(&quietest);
        }
        true
    }
}

/// The start of the oldest of `kept` entries, the last of which contains `now`.
fn oldest(now: Seconds, length: Seconds, kept: u64) -> Seconds {
    (now - now % length).saturating_sub(length.saturating_mul(kept - 1))
}

impl Series {
    fn add(&mut self, span: Span, start: Seconds, day: &Day) {
        match span {
            Span::Step => self.steps.entry(start).or_default().add(day.tally),
            Span::Hour => self.hours.entry(start).or_default().add(day.tally),
            Span::Day => self.days.entry(start).or_default().merge(day),
        }
        self.unsaved.insert((span, start));
    }

    fn entry(&self, product: &Arc<str>, span: Span, step: Seconds, start: Seconds) -> Option<Entry> {
        let (seconds, tally, latency) = match span {
            Span::Step => (step, *self.steps.get(&start)?, Histogram::default()),
            Span::Hour => (HOUR, *self.hours.get(&start)?, Histogram::default()),
            Span::Day => self.days.get(&start).map(|day| (DAY, day.tally, day.latency.clone()))?,
        };
        Some(Entry { product: Arc::clone(product), seconds, start, tally, latency })
    }

    /// The requests of the last `seconds`, from steps if they go back far enough, else from hours.
    /// An entry that is partly in that time counts as a whole. Failures before `since` are left
    /// out.
    pub fn last(&self, seconds: Seconds, step: Seconds, now: Seconds, since: Seconds) -> Tally {
        let (entries, length) =
            if seconds <= step.saturating_mul(STEPS_KEPT - 1) { (&self.steps, step) } else { (&self.hours, HOUR) };
        let from = now.saturating_sub(seconds).saturating_sub(length - 1);
        entries.range(from..).fold(Tally::default(), |mut sum, (start, tally)| {
            let failed = if start.saturating_add(length) > since { tally.failed } else { 0 };
            sum.add(Tally { failed, answered: tally.total() - failed });
            sum
        })
    }

    /// The requests of all steps from a time on, as far back as steps are kept.
    pub fn since(&self, from: Seconds) -> Tally {
        self.steps.range(from..).fold(Tally::default(), |mut sum, (_, tally)| {
            sum.add(*tally);
            sum
        })
    }

    /// The start of the first step with failures since `from`, and the end of the last one.
    pub fn failures_between(&self, from: Seconds, step: Seconds) -> Option<(Seconds, Seconds)> {
        let mut failed = self.steps.range(from..).filter(|(_, tally)| tally.failed > 0).map(|(start, _)| *start);
        let first = failed.next()?;
        Some((first, failed.next_back().unwrap_or(first).saturating_add(step)))
    }

    /// The day that starts at a time.
    pub fn day(&self, start: Seconds) -> Option<&Day> {
        self.days.get(&start)
    }

    /// The sum of the last `days` days, including today.
    pub fn days(&self, now: Seconds, days: u64) -> Day {
        let mut together = Day::default();
        self.days.range(oldest(now, DAY, days.max(1))..).for_each(|(_, day)| together.merge(day));
        together
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
