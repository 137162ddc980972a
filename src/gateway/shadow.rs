//! A shadow: a candidate policy that judges live requests a second time, beside the policy in force.
//!
//! Requests leave copies in a queue (`telemetry/shadow.rs`), and a thread of the candidate's own judges them by the
//! functions that the gateway calls, on copies of accounts that begin with what the live ones have used. It has no effect:
//! nothing of it is sent, counted or charged. A candidate that panics, or is slow, ends; no request notices.

pub mod copies;
mod judge;
pub mod shadows;
pub mod state;
pub mod tally;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::policy::Policy;
use crate::policy::account::directory::change::AccountChange;
use crate::policy::now::Now;
use crate::telemetry::shadow::{Feed, queue};
use state::State;
use worker::Worker;

pub use judge::Granted;

/// A candidate that judges beside the policy in force.
pub struct Shadow {
    feed: Feed,
    state: Arc<State>,
    /// The candidate without accounts, by which accounts that change are compiled.
    frame: Policy,
}

/// A candidate, and what it judges beside.
pub struct Candidate<'c> {
    /// The name of its file.
    pub file: &'c str,
    /// Its policy. Accounts that have not changed may be those in force: they are copied.
    pub policy: &'c Policy,
    /// The policy in force.
    pub in_force: &'c Policy,
    /// What the live balance of an account for a product was granted.
    pub granted: Granted,
}

impl Shadow {
    /// Has a candidate judge from `now` on. Its accounts begin with what the live ones have used.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(candidate: Candidate<'_>, now: Now) -> io::Result<Arc<Shadow>> {
        Shadow::start_with(candidate, now, || {})
    }

    /// The same with something that is done before each item is judged.
    pub(crate) fn start_with(candidate: Candidate<'_>, now: Now, before_each: fn()) -> io::Result<Arc<Shadow>> {
        let Candidate { file, policy, in_force, granted } = candidate;
        let (feed, items, queued) = queue();
        let state = Arc::new(State::new(file, queued, now));
        let worker = Worker {
            policy: copies::policy(policy, in_force, now),
            items,
            state: Arc::clone(&state),
            granted,
            has_other_limits: policy.limits.head != in_force.limits.head,
            before_each,
        };
        std::thread::Builder::new().name("shadow".to_owned()).spawn(move || worker.run())?;
        Ok(Arc::new(Shadow { feed, state, frame: policy.alone(None, || {}) }))
    }

    /// Where requests leave their copies.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What is known of it.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The candidate without accounts.
    pub fn frame(&self) -> &Policy {
        &self.frame
    }

    /// Has accounts of the store changed, which were compiled by the candidate's frame. Requests that are judged after this
    /// returns are judged by the changed accounts.
    pub fn change_accounts(&self, changes: &[AccountChange], in_force: &Policy, now: Now) {
        let copies = copies::changes(changes, (&self.frame, in_force), now);
        if !self.feed.change_accounts(copies) && self.state.ended().is_none() {
            log::warn!(target: "tollgate::shadow", "the shadow has no room for a change of accounts, which will differ");
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Shadow({})", self.state.file())
    }
}
