//! The shadow of a gateway: the one that judges now, or the last that did, for operators. Requests never look here.

use std::sync::{Arc, Mutex, PoisonError};

use super::Shadow;
use super::state::{State, Why};

/// The last shadow of a process, and how those before have ended.
#[derive(Debug, Default)]
pub struct Shadows(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Option<Arc<State>>,
    /// How many have ended before the last, by the order of [`Why::ALL`].
    ended: [u64; Why::ALL.len()],
}

impl Shadows {
    /// A shadow begins; one that still judges has ended by it.
    pub fn begins(&self, shadow: &Shadow) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.last.replace(Arc::clone(shadow.state())) {
            before.end(Why::Replaced);
            known.count(&before);
        }
    }

    /// The last one, whether it judges or has ended.
    pub fn last(&self) -> Option<Arc<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    /// The one that judges.
    pub fn running(&self) -> Option<Arc<State>> {
        self.last().filter(|state| state.ended().is_none())
    }

    /// How many have ended, by why.
    pub fn ended(&self) -> Vec<(Why, u64)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.last.as_ref().and_then(|last| last.ended()).map(|(why, _)| why);
        let counts = Why::ALL.into_iter().zip(known.ended);
        counts.map(|(why, count)| (why, count.saturating_add(u64::from(last == Some(why))))).collect()
    }
}

impl Known {
    fn count(&mut self, state: &State) {
        let Some((ended, _)) = state.ended() else { return };
        for (why, count) in Why::ALL.into_iter().zip(&mut self.ended) {
            if why == ended {
                *count = count.saturating_add(1);
            }
        }
    }
}
