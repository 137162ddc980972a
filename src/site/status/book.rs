//! The recorded status of all products. It changes only with counts, health and time.
//!
//! `operate/status_recorder.rs` counts, reads the clock and writes; `report.rs` shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::StatusSettings;
use super::history::{DAY, DAYS_KEPT, Entry, History, Tally};
use super::incident::{Change, Incident, IncidentDetector, Kind, MAX_INCIDENTS, Measurement};
use super::notice::{MAX_NOTICES, Notice, Stage};
use crate::policy::seconds::Seconds;
use crate::telemetry::traffic::Counted;

/// The health of a product's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// At least one server can be used.
    Up,
    /// None of them has passed its health checks.
    Down,
    /// No server is known yet.
    Unknown,
}

/// The state at a moment of a product that is configured.
#[derive(Clone, Debug)]
pub struct ProductState {
    pub product: Arc<str>,
    pub health: Health,
}

/// What identifies an incident.
type Key = (Seconds, Arc<str>, Kind);

/// The book of all products.
#[derive(Clone, Debug)]
pub struct Book {
    settings: StatusSettings,
    history: History,
    watches: BTreeMap<(Arc<str>, Kind), IncidentDetector>,
    incidents: BTreeMap<Key, Incident>,
    /// Incidents that have changed since they were last saved.
    unsaved: BTreeSet<Key>,
    /// Notices from the command line; those of the configuration are in the settings.
    notices: Vec<Notice>,
}

impl Book {
    /// An empty book.
    pub fn new(settings: StatusSettings) -> Book {
        Book {
            history: History::new(settings.step()),
            settings,
            watches: BTreeMap::new(),
            incidents: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    /// Replaces the settings.
    pub fn set(&mut self, settings: StatusSettings) {
        self.history.set_step(settings.step());
        self.settings = settings;
    }

    pub fn settings(&self) -> &StatusSettings {
        &self.settings
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    /// All incidents, the newest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values().rev()
    }

    /// All notices, those of the configuration first.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.settings.notices.iter().chain(&self.notices)
    }

    /// Adds what an earlier process has saved.
    pub fn absorb(&mut self, entries: &[Entry], incidents: Vec<Incident>, notices: Vec<Notice>) {
        entries.iter().for_each(|entry| self.history.absorb(entry));
        for incident in incidents {
            let place = (Arc::clone(&incident.product), incident.kind);
            if incident.ended.is_none() {
                // An incident that was opened here before the saved one was read is the same
                // incident.
                let same = |_: &Key, known: &mut Incident| {
                    known.ended.is_some() || (&known.product, known.kind) != (&place.0, place.1)
                };
                self.incidents.retain(same);
            }
            self.watches.entry(place).or_default().resume(&incident);
            self.incidents.insert((incident.started, Arc::clone(&incident.product), incident.kind), incident);
        }
        self.unsaved.retain(|key| self.incidents.contains_key(key));
        self.notices.extend(notices);
    }

    /// Adds the counts of a product's requests up to now.
    pub fn count(&mut self, product: &Arc<str>, now: Seconds, counted: &Counted) {
        self.history.count(product, now, counted);
        let tally = Tally { answered: counted.latency.total(), failed: counted.failed };
        if tally.total() == 0 {
            return;
        }
        let open = self.incidents.iter_mut().filter(|(_, known)| known.ended.is_none() && known.product == *product);
        for (key, incident) in open {
            incident.tally.add(tally);
            self.unsaved.insert(key.clone());
        }
    }

    /// Updates all configured products. Open incidents of other products end.
    pub fn look(&mut self, now: Seconds, seen: &[ProductState]) {
        for ProductState { product, health } in seen {
            self.step(product, Kind::Failures, now, None);
            let reading = match health {
                Health::Up => Measurement::Calm { since: now },
                Health::Down => Measurement::Bad { since: now, rule: 0 },
                Health::Unknown => Measurement::Between,
            };
            self.step(product, Kind::Backend, now, Some(reading));
        }
        let is_gone = |product: &Arc<str>| !seen.iter().any(|seen| seen.product == *product);
        let gone: Vec<(Arc<str>, Kind)> =
            self.watches.keys().filter(|(product, _)| is_gone(product)).cloned().collect();
        for (product, kind) in gone {
            self.step(&product, kind, now, Some(Measurement::Calm { since: now }));
        }
        self.forget(now);
    }

    /// Moves one detector by a measurement, or by what the history shows.
    fn step(&mut self, product: &Arc<str>, kind: Kind, now: Seconds, reading: Option<Measurement>) {
        let watch = self.watches.entry((Arc::clone(product), kind)).or_default();
        let step = self.history.step();
        let series = self.history.of(product);
        let reading = reading.unwrap_or_else(|| match series {
            Some(series) => self.settings.burn.read(series, step, now, watch.told_until(), watch.open_rule()),
            None => Measurement::Calm { since: now },
        });
        let since = |from: Seconds| series.map_or(Tally::default(), |series| series.since(from - from % step));
        match watch.step(now, reading, self.settings.burn.shortest()) {
            Change::Nothing => {}
            Change::Opened { started, rule } => {
                let tally = match kind {
                    Kind::Failures => since(started),
                    // Requests before the health checks failed are not part of the incident.
                    Kind::Backend => Tally::default(),
                };
                let product = Arc::clone(product);
                let key = (started, Arc::clone(&product), kind);
                self.unsaved.insert(key.clone());
                self.incidents.insert(key, Incident { product, kind, started, ended: None, rule, tally });
            }
            Change::Worsened { rule } => self.change(product, kind, |incident| incident.rule = rule),
            Change::Closed { ended } => {
                // The end of an incident is found some time after it; requests in between are not
                // part of it.
                let later = since(ended);
                self.change(product, kind, |incident| {
                    incident.ended = Some(ended);
                    incident.tally = incident.tally.without(later);
                });
            }
        }
    }

    /// Changes the open incident of a product.
    fn change(&mut self, product: &Arc<str>, kind: Kind, change: impl FnOnce(&mut Incident)) {
        let is_it =
            |incident: &Incident| incident.ended.is_none() && incident.kind == kind && incident.product == *product;
        if let Some((key, incident)) = self.incidents.iter_mut().rev().find(|(_, incident)| is_it(incident)) {
            change(incident);
            self.unsaved.insert(key.clone());
        }
    }

    fn forget(&mut self, now: Seconds) {
        self.history.forget(now);
        let first = now.saturating_sub(DAYS_KEPT * DAY);
        self.incidents.retain(|_, incident| incident.ended.is_none_or(|ended| ended >= first));
        while self.incidents.len() > MAX_INCIDENTS {
            self.incidents.pop_first();
        }
        self.unsaved.retain(|key| self.incidents.contains_key(key));
        self.notices.retain(|notice| notice.ends().is_none_or(|ended| ended >= first));
        let history = &self.history;
        self.watches.retain(|(product, _), watch| watch.open_rule().is_some() || history.of(product).is_some());
    }

    /// Whether there is room for one more notice.
    pub fn has_room(&self, now: Seconds) -> bool {
        self.notices.iter().filter(|notice| notice.stage(now) != Stage::Past).count() < MAX_NOTICES
    }

    /// Adds a notice. Past ones are removed to make room, the oldest first.
    pub fn add(&mut self, notice: Notice, now: Seconds) {
        if self.notices.len() >= 2 * MAX_NOTICES
            && let Some(place) = self.notices.iter().position(|notice| notice.stage(now) == Stage::Past)
        {
            self.notices.remove(place);
        }
        self.notices.push(notice);
    }

    /// A number for a notice that is not saved anywhere.
    pub fn next_number(&self) -> i64 {
        self.notices.iter().filter_map(|notice| notice.id).max().unwrap_or(0).saturating_add(1)
    }

    /// An open notice by its number.
    pub fn open_notice(&mut self, id: i64) -> Option<&mut Notice> {
        self.notices.iter_mut().find(|notice| notice.id == Some(id) && notice.closed.is_none())
    }

    /// What has not been saved yet.
    pub fn unsaved(&self) -> (Vec<Entry>, Vec<Incident>) {
        let incidents = self.unsaved.iter().filter_map(|key| self.incidents.get(key)).cloned();
        (self.history.unsaved(), incidents.collect())
    }

    /// Marks everything as saved.
    pub fn saved(&mut self) {
        self.history.saved();
        self.unsaved.clear();
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
