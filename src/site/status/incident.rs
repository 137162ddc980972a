//! Incidents, and when one begins and ends.
//!
//! One [`IncidentDetector`] for each product and kind depends only on measurements: it opens on a bad one and closes
//! once all have been calm for a while. Measurements between bad and calm change nothing.

use std::sync::Arc;

use super::history::Tally;
use crate::policy::seconds::Seconds;

/// The most incidents that are kept. Those that ended before the oldest day of the history are removed.
pub const MAX_INCIDENTS: usize = 1_000;

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Requests failed faster than the error budget allows.
    Failures,
    /// No server behind the product passed its health checks.
    Backend,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::Failures, Kind::Backend];

    /// Its name in files and feeds.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Failures => "failures",
            Kind::Backend => "backend",
        }
    }

    /// The kind with this name.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub product: Arc<str>,
    pub kind: Kind,
    pub started: Seconds,
    /// `None` while it is ongoing.
    pub ended: Option<Seconds>,
    /// For failures: the index of the fastest rule that was met.
    pub rule: usize,
    /// The product's requests during it.
    pub tally: Tally,
}

/// The state of a product at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// Something is wrong, and has been since then.
    Bad { since: Seconds, rule: usize },
    /// Neither bad enough to open an incident nor good enough to close one.
    Between,
    /// Nothing is wrong, and has not been since then.
    Calm { since: Seconds },
}

/// The effect of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Opened {
        started: Seconds,
        rule: usize,
    },
    /// A faster rule was met.
    Worsened {
        rule: usize,
    },
    Closed {
        ended: Seconds,
    },
}

/// Detects one kind of incident of one product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentDetector {
    open: Option<Open>,
    told_until: Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    started: Seconds,
    rule: usize,
    calm: Option<Calm>,
}

/// A series of calm measurements without interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calm {
    /// Since when nothing has been wrong.
    well_since: Seconds,
    /// The time of the first of them.
    read_since: Seconds,
}

impl IncidentDetector {
    /// Continues with an incident of an earlier process, open or closed.
    pub fn resume(&mut self, incident: &Incident) {
        match incident.ended {
            Some(ended) => self.told_until = self.told_until.max(ended),
            None => self.open = Some(Open { started: incident.started, rule: incident.rule, calm: None }),
        }
    }

    /// The end of the last incident; 0 if there was none.
    pub fn told_until(&self) -> Seconds {
        self.told_until
    }

    /// The fastest rule that an open incident has met.
    pub fn open_rule(&self) -> Option<usize> {
        self.open.map(|open| open.rule)
    }

    /// Takes a measurement. An incident ends when all measurements of `settle` seconds were calm; its end is the time
    /// since when nothing has been wrong.
    pub fn step(&mut self, now: Seconds, reading: Measurement, settle: Seconds) -> Change {
        let Some(open) = &mut self.open else {
            let Measurement::Bad { since, rule } = reading else { return Change::Nothing };
            // Not before the end of the last incident, and not after now.
            let started = since.min(now).max(self.told_until);
            self.open = Some(Open { started, rule, calm: None });
            return Change::Opened { started, rule };
        };
        match reading {
            Measurement::Bad { rule, .. } => {
                open.calm = None;
                if rule < open.rule {
                    open.rule = rule;
                    return Change::Worsened { rule };
                }
                Change::Nothing
            }
            Measurement::Between => {
                open.calm = None;
                Change::Nothing
            }
            Measurement::Calm { since } => {
                let calm = *open.calm.get_or_insert(Calm { well_since: since.min(now), read_since: now });
                if now.saturating_sub(calm.read_since) < settle {
                    return Change::Nothing;
                }
                // At least a second, so that the next one cannot begin at the same time.
                let ended = calm.well_since.max(open.started.saturating_add(1));
                self.open = None;
                self.told_until = ended;
                Change::Closed { ended }
            }
        }
    }
}

#[cfg(test)]
#[path = "incident_tests.rs"]
mod tests;
