//! The thread of a shadow: it judges what requests have left, with a lower priority than theirs.
//!
//! It looks at the queue at intervals, so that no request has to wake it. What it may take of the processor is limited, for
//! one item and on the average; beyond that, or behind a panic, the candidate ends.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::judge::{self, Granted, Judged, Open, Outcome};
use super::state::{State, Why};
use super::tally::{Example, Found};
use crate::platform::{pace, priority};
use crate::policy::account::directory::change::AccountChange;
use crate::policy::problem::Row;
use crate::policy::{Policy, Product};
use crate::telemetry::shadow::{EndItem, Item, Then};

/// How long the thread sleeps when there is nothing to judge.
const LOOK: Duration = Duration::from_millis(5);

/// Items between two looks at the processor time.
const AT_ONCE: u32 = 512;

/// The processor time that one item may take: large bodies take some milliseconds.
pub const MOST_OF_ONE: Duration = Duration::from_millis(250);

/// The processor time that an item may take on the average of [`AT_ONCE`]; usual ones take some microseconds.
pub const MOST_ON_AVERAGE: Duration = Duration::from_millis(1);

/// What stands for an answer of status 200 where a slug would stand.
pub const ANSWERED: &str = "answered";

/// What stands for a request that would not be refused as it was, and of which no more is known.
pub const LET_FURTHER: &str = "let further";

/// A candidate and its queue.
pub struct Worker {
    pub policy: Policy,
    pub items: Receiver<Item>,
    pub state: Arc<State>,
    pub granted: Granted,
    /// The candidate limits heads otherwise than the policy in force.
    pub has_other_limits: bool,
    /// Called before each item is judged.
    pub before_each: fn(),
}

/// Why a turn of the thread is over.
enum Turned {
    /// The queue is empty.
    Empty,
    /// There may be more in the queue.
    Enough,
    Accounts(Vec<AccountChange>),
    Over,
}

impl Worker {
    /// Judges until the shadow ends.
    pub fn run(self) {
        priority::lower();
        let state = Arc::clone(&self.state);
        if catch_unwind(AssertUnwindSafe(|| self.judge_all())).is_err() {
            state.end(Why::Panicked);
        }
        state.rests(pace::used());
    }

    fn judge_all(self) {
        let mut policy = self.policy;
        let judging = Judging {
            items: self.items,
            state: self.state,
            granted: self.granted,
            has_other_limits: self.has_other_limits,
            before_each: self.before_each,
        };
        while let Some(changes) = judging.judge_by(&policy) {
            (policy, ..) = policy.with(&changes);
        }
    }
}

/// All but the policy, which changes with its accounts.
struct Judging {
    items: Receiver<Item>,
    state: Arc<State>,
    granted: Granted,
    has_other_limits: bool,
    before_each: fn(),
}

impl Judging {
    /// Judges until accounts change; `None` if the shadow has ended. Requests whose head was judged and whose end is still to
    /// come are forgotten then, and count as lost.
    fn judge_by(&self, policy: &Policy) -> Option<Vec<AccountChange>> {
        let mut open: HashMap<u64, Open<'_>> = HashMap::new();
        loop {
            let used = pace::used();
            let turned = self.turn(policy, &mut open, used);
            let now = pace::used();
            self.state.rests(now);
            match turned {
                Turned::Empty => std::thread::sleep(LOOK),
                Turned::Enough if now.saturating_sub(used) > MOST_ON_AVERAGE.saturating_mul(AT_ONCE) => {
                    self.state.end(Why::Slow);
                    return None;
                }
                Turned::Enough => {}
                Turned::Accounts(changes) => {
                    open.values().for_each(|open| self.state.queued().forgot(&open.head));
                    return Some(changes);
                }
                Turned::Over => return None,
            }
        }
    }

    /// Judges some items, with the processor time that was used before.
    fn turn<'p>(&self, policy: &'p Policy, open: &mut HashMap<u64, Open<'p>>, used: Duration) -> Turned {
        for _ in 0..AT_ONCE {
            if self.state.ended().is_some() {
                return Turned::Over;
            }
            let item = match self.items.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Empty) => return Turned::Empty,
                Err(TryRecvError::Disconnected) => return Turned::Over,
            };
            let begun = Instant::now();
            self.state.begins(begun);
            (self.before_each)();
            match item {
                Item::Head(item) => {
                    let number = item.number;
                    open.insert(number, judge::head(policy, *item, self.has_other_limits));
                }
                Item::End(end) => self.end(policy, open.remove(&end.number), &end),
                Item::Accounts(changes) => return Turned::Accounts(changes),
            }
            // The clock says it cheaply, and only the processor time counts: others may have had the processor.
            if begun.elapsed() > MOST_OF_ONE && pace::used().saturating_sub(used) > MOST_OF_ONE {
                self.state.end(Why::Slow);
                return Turned::Over;
            }
        }
        Turned::Enough
    }

    /// Compares a request that is over.
    fn end(&self, policy: &Policy, open: Option<Open<'_>>, end: &EndItem) {
        let Some(open) = open else {
            self.state.queued().judged_without_head(end);
            self.state.queued().lose(1);
            return;
        };
        let (product, at) = (open.product(), open.now.unix_seconds);
        if end.is_cut || end.then == Then::Gone {
            self.state.queued().judged(&open.head, end);
            self.state.tally().undecided();
            return;
        }
        let (head, judged) = open.judge(end, &self.granted);
        self.state.queued().judged(&head, end);
        let slug = |row: Row| slug(policy, product, row);
        self.note(end, judged, at, slug);
    }

    /// Counts what became of a request and what would have.
    fn note<'p>(&self, end: &EndItem, (outcome, price): Judged, at: u64, slug: impl Fn(Row) -> &'p str) {
        let (charged, then) = (end.charged, &end.then);
        let is_same = match (then, outcome) {
            (_, Outcome::AsThen) => true,
            (Then::Answered(then), Outcome::Answered(now)) => *then == now,
            (Then::Refused(_, then), Outcome::Refused(now)) => **then == *slug(now.row),
            (Then::Answered(_) | Then::Refused(..) | Then::Gone, _) => false,
        };
        if is_same && price.is_none_or(|price| price == charged) {
            return self.state.tally().same(charged);
        }
        let then = match then {
            Then::Answered(status) => answered(*status),
            Then::Refused(_, slug) => slug.to_string(),
            Then::Gone => String::new(),
        };
        let now = match outcome {
            Outcome::AsThen => then.clone(),
            Outcome::Answered(status) => answered(status),
            Outcome::Refused(problem) => slug(problem.row).to_owned(),
            Outcome::LetFurther => LET_FURTHER.to_owned(),
        };
        let example = Example { transaction_id: end.transaction.as_str().to_owned(), at, account: end.account.clone() };
        self.state.tally().differs(&Found {
            then: &then,
            now: &now,
            was_refused: matches!(end.then, Then::Refused(..)),
            would_be_refused: matches!(outcome, Outcome::Refused(_)),
            charged,
            price,
            example,
        });
    }
}

/// The slug that a client would read.
fn slug<'p>(policy: &'p Policy, product: Option<&'p Product>, row: Row) -> &'p str {
    &product.map_or(&policy.wording, |product| &product.wording).words(row).slug
}

fn answered(status: u16) -> String {
    if status == 200 { ANSWERED.to_owned() } else { format!("{ANSWERED} with {status}") }
}
