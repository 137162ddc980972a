//! Lookups that are sent again (contract, section 14): the answers that are kept, and the requests that wait for one with
//! the same key.
//!
//! Of requests with one key at most one at a time has the lead: it asks the backend, or delivers an answer that is kept
//! and was never paid. It has the lead until its answer begins to be delivered, and is paid then; if it ends before, the
//! next one takes its place. Everybody else gets the answer that was paid, for nothing. So an answer is paid once, by whoever
//! gets its first byte first.
//!
//! Answers are in memory. Where there is a store, `operate/answer_recorder.rs` writes what has changed to it, and reads what
//! other processes have written.

pub mod kept_answer;
pub mod table;

use std::collections::hash_map::Entry as Place;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::policy::idempotency::{AnswerLimits, Fingerprint, IdempotencyRule, KeyedRequest, Secret};
use crate::policy::problem::{Problem, Row};
use kept_answer::KeptAnswer;
use table::{AnswerTable, Entry, Gone, Owner};

/// Answers that have ended and are removed with each one that is kept.
const SWEPT_AT_ONCE: usize = 8;

/// The same by upkeep.
const SWEPT_BY_UPKEEP: usize = 2000;

/// Changes that wait to be written to a store, by their keys: 64 bytes each. What is beyond is not written.
const MOST_CHANGES: usize = 100_000;

/// The refusal of a key that belongs to another request.
const REUSED: Problem = Problem::new(Row::IdempotencyKeyReused, "the key was used for another request of the account");

/// A fault that does not occur: the queue of a key is never closed.
const NO_QUEUE: Problem = Problem::new(Row::Internal, "the queue of a key was closed");

/// The answers that are kept, and the requests with a key that are under way.
#[derive(Debug)]
pub struct KeptAnswers {
    secret: Secret,
    state: Mutex<State>,
    pub figures: AnswerFigures,
}

/// What is counted of them.
#[derive(Debug, Default)]
pub struct AnswerFigures {
    /// Answers that went before their end, for want of room of their account, and in all.
    pub dropped_of_account: Counter,
    pub dropped_of_all: Counter,
    /// Answers that were too large to be kept.
    pub too_large: Counter,
    /// Requests that have waited for another one with their key.
    pub waited: Counter,
    /// Changes that are missing in the store.
    pub not_written: Counter,
}

#[derive(Debug, Default)]
struct State {
    table: AnswerTable,
    /// Requests under way, by their keys.
    queues: HashMap<Fingerprint, Queue>,
    /// The keys of answers that have changed; `None` without a store.
    changed: Option<HashSet<Fingerprint>>,
}

/// The requests with one key.
#[derive(Debug)]
struct Queue {
    request: Fingerprint,
    lead: Arc<Semaphore>,
    /// How many requests have the lead or wait for it.
    requests: usize,
}

/// How a request with a key goes on.
pub(crate) enum Entered<'k> {
    /// It gets an answer that was paid.
    Paid(Arc<KeptAnswer>),
    /// It gets an answer that nobody has paid yet, for so many credits.
    Due(Arc<KeptAnswer>, u32, Lead<'k>),
    /// It is the first.
    First(Lead<'k>),
}

/// A request's place in the queue of its key, which ends when this is dropped.
struct InQueue<'k> {
    answers: &'k KeptAnswers,
    key: Fingerprint,
}

/// The right to ask for, or to deliver, the answer of a key.
#[must_use = "whoever has the lead delivers an answer, or lets the next one try"]
pub(crate) struct Lead<'k> {
    request: KeyedRequest,
    place: InQueue<'k>,
    _permit: OwnedSemaphorePermit,
}

/// What has changed of an answer.
#[derive(Debug)]
pub enum Change {
    /// It is kept, and was paid.
    Put(Fingerprint, Entry),
    /// It is not kept any more.
    Removed(Fingerprint),
}

impl KeptAnswers {
    /// Nothing is kept yet. Keys and requests are digested with a secret; changes are noted with `has_store`.
    pub fn new(secret: Secret, has_store: bool) -> KeptAnswers {
        let state = State { changed: has_store.then(HashSet::new), ..State::default() };
        KeptAnswers { secret, state: Mutex::new(state), figures: AnswerFigures::default() }
    }

    /// Those of a process without a store, whose secret nobody else has.
    pub fn in_memory() -> KeptAnswers {
        let parts = [(); 2].map(|()| *uuid::Uuid::new_v4().as_bytes());
        KeptAnswers::new(Secret::from_bytes(parts.as_flattened()), false)
    }

    /// What keys and requests are digested with.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Says how a request goes on, once no other one with its key is under way. `waits` is called before it waits; the
    /// caller limits the time.
    ///
    /// # Errors
    /// `idempotency-key-reused`, at once.
    pub(crate) async fn enter(
        &self,
        request: KeyedRequest,
        now: impl Fn() -> Duration,
        waits: impl FnOnce(),
    ) -> Result<Entered<'_>, Problem> {
        let (place, lead) = match self.look(request, now())? {
            Looked::Paid(answer) => return Ok(Entered::Paid(answer)),
            Looked::Queued(place, lead) => (place, lead),
        };
        let permit = match Arc::clone(&lead).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.figures.waited.inc();
                waits();
                lead.acquire_owned().await.map_err(|_| NO_QUEUE)?
            }
        };
        let known = self.state().known(request, now())?;
        let lead = Lead { request, place, _permit: permit };
        Ok(match known {
            Some((answer, 0)) => Entered::Paid(answer),
            Some((answer, due)) => Entered::Due(answer, due, lead),
            None => Entered::First(lead),
        })
    }

    fn look(&self, request: KeyedRequest, now: Duration) -> Result<Looked<'_>, Problem> {
        let mut state = self.state();
        if let Some((answer, 0)) = state.known(request, now)? {
            return Ok(Looked::Paid(answer));
        }
        let queue = match state.queues.entry(request.key) {
            Place::Occupied(known) if known.get().request != request.request => return Err(REUSED),
            Place::Occupied(known) => known.into_mut(),
            Place::Vacant(place) => {
                place.insert(Queue { request: request.request, lead: Arc::new(Semaphore::new(1)), requests: 0 })
            }
        };
        queue.requests = queue.requests.saturating_add(1);
        let lead = Arc::clone(&queue.lead);
        drop(state);
        Ok(Looked::Queued(InQueue { answers: self, key: request.key }, lead))
    }

    /// How many answers are kept, and their bytes. Those that have ended go first.
    pub fn size(&self, now: Duration) -> (usize, usize) {
        let mut state = self.state();
        self.sweep(&mut state, now, SWEPT_BY_UPKEEP);
        state.table.size()
    }

    /// Keeps an answer that another process has written, which was paid.
    pub fn learn(&self, key: Fingerprint, entry: Entry, limits: AnswerLimits, most_bytes: usize, now: Duration) {
        let mut state = self.state();
        self.sweep(&mut state, now, SWEPT_AT_ONCE);
        let State { table, changed, .. } = &mut *state;
        table.put(key, entry, limits, most_bytes, |key, why| self.gone(changed, key, why));
        // It is in the store already, unless it has gone again.
        if let Some(changed) = changed
            && table.find(&key, now).is_some()
        {
            changed.remove(&key);
        }
    }

    /// What has changed since the last call, at most so much.
    pub fn take_changes(&self, most: usize, now: Duration) -> Vec<Change> {
        let mut state = self.state();
        self.sweep(&mut state, now, SWEPT_BY_UPKEEP);
        let State { table, changed, .. } = &mut *state;
        let Some(changed) = changed else { return Vec::new() };
        let keys: Vec<Fingerprint> = changed.iter().take(most).copied().collect();
        let mut changes = Vec::with_capacity(keys.len());
        for key in keys {
            changed.remove(&key);
            match table.find(&key, now) {
                // It is written once it is paid: otherwise a crash in between could make somebody pay again.
                Some(entry) if entry.due > 0 => {}
                Some(entry) => changes.push(Change::Put(key, entry.clone())),
                None => changes.push(Change::Removed(key)),
            }
        }
        changes
    }

    /// Notes changes again that could not be written.
    pub fn return_changes(&self, changes: &[Change]) {
        let mut state = self.state();
        for change in changes {
            let (Change::Put(key, _) | Change::Removed(key)) = change;
            self.note(&mut state.changed, *key);
        }
    }

    fn note(&self, changed: &mut Option<HashSet<Fingerprint>>, key: Fingerprint) {
        let Some(changed) = changed else { return };
        if changed.len() < MOST_CHANGES {
            changed.insert(key);
        } else {
            self.figures.not_written.inc();
        }
    }

    fn gone(&self, changed: &mut Option<HashSet<Fingerprint>>, key: Fingerprint, why: Gone) {
        match why {
            // The store removes those by their time itself.
            Gone::Ended => return,
            Gone::OfAccount => self.figures.dropped_of_account.inc(),
            Gone::OfAll => self.figures.dropped_of_all.inc(),
        };
        self.note(changed, key);
    }

    fn sweep(&self, state: &mut State, now: Duration, most: usize) {
        let State { table, changed, .. } = state;
        table.sweep(now, most, |key, why| self.gone(changed, key, why));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request finds.
enum Looked<'k> {
    Paid(Arc<KeptAnswer>),
    Queued(InQueue<'k>, Arc<Semaphore>),
}

impl State {
    /// The answer to a request and what it costs whoever gets it first.
    ///
    /// # Errors
    /// `idempotency-key-reused` if it is that of another request.
    fn known(&self, request: KeyedRequest, now: Duration) -> Result<Option<(Arc<KeptAnswer>, u32)>, Problem> {
        match self.table.find(&request.key, now) {
            Some(entry) if entry.request != request.request => Err(REUSED),
            Some(entry) => Ok(Some((Arc::clone(&entry.answer), entry.due))),
            None => Ok(None),
        }
    }
}

impl<'k> Lead<'k> {
    /// Keeps an answer for whoever sends the request again; `due` are the credits to be paid at its first delivery.
    /// Returns the lead if that is to come, and otherwise lets others have the answer.
    pub(crate) fn keep(
        self,
        answer: KeptAnswer,
        due: u32,
        owner: Owner,
        (rule, most_bytes): (&IdempotencyRule, usize),
        now: Duration,
    ) -> Option<Lead<'k>> {
        let answers = self.place.answers;
        if answer.bytes() > rule.limits.answer_bytes {
            answers.figures.too_large.inc();
            return None;
        }
        let ends = now.saturating_add(rule.keep);
        let entry = Entry { owner, request: self.request.request, answer: Arc::new(answer), due, ends };
        let mut state = answers.state();
        answers.sweep(&mut state, now, SWEPT_AT_ONCE);
        let State { table, changed, .. } = &mut *state;
        table.put(self.request.key, entry, rule.limits, most_bytes, |key, why| answers.gone(changed, key, why));
        if due == 0 {
            answers.note(changed, self.request.key);
        }
        drop(state);
        (due > 0).then_some(self)
    }

    /// The answer was paid: from here on it costs nothing.
    pub(crate) fn paid(self) {
        let answers = self.place.answers;
        let mut state = answers.state();
        let State { table, changed, .. } = &mut *state;
        if table.paid(&self.request.key) {
            answers.note(changed, self.request.key);
        }
        // Before the place ends, which takes the lock as well.
        drop(state);
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let mut state = self.answers.state();
        if let Place::Occupied(mut queue) = state.queues.entry(self.key) {
            let requests = queue.get().requests.saturating_sub(1);
            queue.get_mut().requests = requests;
            if requests == 0 {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;
