//! What accounts have used of their rates, kept over a restart.
//!
//! A rate is counted in memory alone, by the process's own clock. Here it is turned into times that
//! outlive the process: for each account the moment at which its whole burst is there again. Where
//! and when that is written is the task's.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::policy::Policy;
use crate::policy::rate::Rate;

/// Bursts that are whole again within this time are not worth a row.
const WORTH_KEEPING: Duration = Duration::from_secs(5);

/// The rates of all accounts, and what of them was written.
pub struct Rates {
    policy: Arc<Policy>,
    started: Instant,
    /// The arrival of each account as it was written last.
    written: Vec<Duration>,
}

/// An account's row: its name, and when its burst is whole again, in milliseconds since 1970.
pub type Row<'p> = (&'p str, i64);

impl Rates {
    /// The rates of a policy, whose times count from `started`.
    pub fn new(policy: Arc<Policy>, started: Instant) -> Rates {
        let written = vec![Duration::ZERO; policy.accounts.len()];
        Rates { policy, started, written }
    }

    /// The rates of a policy that takes over from these, whose accounts have their state already.
    pub fn renewed(&self, policy: Arc<Policy>) -> Rates {
        // What differs from nothing is written once more, which does no harm.
        Rates::new(policy, self.started)
    }

    /// Takes over what an earlier process has counted. A time that is further away than the whole
    /// burst needs, because a clock was set back, counts as that.
    pub fn restore(&mut self, mut full_at_unix_ms: impl FnMut(&str) -> Option<i64>) {
        let (monotonic, unix) = self.now();
        for (account, written) in self.policy.accounts.iter().zip(&mut self.written) {
            let Rate::Limited(window, arrival) = &account.rate else { continue };
            let left = full_at_unix_ms(&account.name).and_then(|full_at| u64::try_from(full_at).ok());
            let left = left.map_or(Duration::ZERO, |full_at| Duration::from_millis(full_at).saturating_sub(unix));
            if !left.is_zero() {
                *written = monotonic.saturating_add(left.min(window.time_to_refill()));
                arrival.restore(*written);
            }
        }
    }

    /// The rows of accounts that have used more since the last call.
    pub fn changed(&mut self) -> Vec<Row<'_>> {
        let (monotonic, unix) = self.now();
        let mut rows = Vec::new();
        for (account, written) in self.policy.accounts.iter().zip(&mut self.written) {
            let Rate::Limited(_, arrival) = &account.rate else { continue };
            let full_at = arrival.full_at();
            let left = full_at.saturating_sub(monotonic);
            if full_at != *written && left > WORTH_KEEPING {
                *written = full_at;
                rows.push((&*account.name, milliseconds(unix.saturating_add(left))));
            }
        }
        rows
    }

    /// The moment, by the process's clock and since 1970.
    fn now(&self) -> (Duration, Duration) {
        (self.started.elapsed(), UNIX_EPOCH.elapsed().unwrap_or_default())
    }
}

/// A time in milliseconds since 1970.
pub fn milliseconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
