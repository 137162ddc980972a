//! Stores the used part of rates across restarts.
//!
//! A rate is counted in memory, by the process's own clock. Here it is converted to times that are
//! valid across processes: for each account, when its whole burst is available again, and the
//! interval of one request, so that a changed allowance starts with as many requests used
//! (`Window::carried`). The task writes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::usage::{Kept, QuotaRow, QuotasOf, RateRow, milliseconds};
use crate::platform::clock::since_1970;
use crate::policy::account::directory::Accounts;
use crate::policy::limit;
use crate::policy::limit::{Owner, Usage};
use crate::policy::meter::Meter;
use crate::policy::now::Now;
use crate::policy::rate::{Rate, Window};

/// Bursts that are refilled within this time get no row.
const WORTH_KEEPING: Duration = Duration::from_secs(5);

/// The rates of all accounts, and what was last written.
pub struct Rates {
    accounts: Accounts,
    started: Instant,
    /// The theoretical arrival time of each account that was last written, by its slot.
    written: Vec<Duration>,
}

/// What one account has used, in times that are valid across processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// When its burst is full again, in milliseconds since 1970.
    pub full_at: i64,
    /// The time in which one request of it refills, in nanoseconds; `None` in rows of older
    /// versions.
    pub interval: Option<i64>,
}

impl Used {
    /// What was used of a window whose burst is full after `left`.
    fn of(window: &Window, left: Duration, unix: Duration) -> Used {
        // Rounded up, so that no request is gained.
        let full_at = unix.saturating_add(left).saturating_add(Duration::from_nanos(999_999));
        Used { full_at: milliseconds(full_at), interval: i64::try_from(window.interval().as_nanos()).ok() }
    }

    /// How long the burst of a window needs to be full again. It is at most the time for the whole
    /// burst, in case a clock was set back.
    fn left(self, window: &Window, unix: Duration) -> Duration {
        let full_at = Duration::from_millis(u64::try_from(self.full_at).unwrap_or(0));
        let interval = self.interval.and_then(|interval| u64::try_from(interval).ok()).filter(|interval| *interval > 0);
        window.carried(full_at.saturating_sub(unix), interval.map_or(window.interval(), Duration::from_nanos))
    }
}

impl Used {
    /// What was used as one of the rates of an account, whose period is not known any more; `None` in rows from before
    /// intervals were written.
    fn usage(self, unix: Duration) -> Option<Usage> {
        let interval = u64::try_from(self.interval?).ok().filter(|interval| *interval > 0)?;
        let full_at = Duration::from_millis(u64::try_from(self.full_at).ok()?);
        let (period, interval) = (Duration::ZERO, Duration::from_nanos(interval));
        let used = limit::Used::Rate { period, interval, left: full_at.saturating_sub(unix) };
        Some(Usage { owner: Owner::Account, used })
    }
}

/// The moment, from the process's clock and the time since 1970.
fn now(monotonic: Duration, unix: Duration) -> Now {
    Now { monotonic, unix_seconds: unix.as_secs(), unix_nanos: unix.subsec_nanos() }
}

/// An account's row: its name, and what it has used.
pub type Row<'p> = (&'p str, Used);

impl Rates {
    /// The rates of accounts, whose times count from `started`.
    pub fn new(accounts: Accounts, started: Instant) -> Rates {
        let written = vec![Duration::ZERO; accounts.slots()];
        Rates { accounts, started, written }
    }

    /// The rates of accounts that take over from these, and have their state already.
    pub fn renewed(&self, accounts: Accounts) -> Rates {
        // Everything that was used is written once more, which is harmless.
        Rates::new(accounts, self.started)
    }

    /// The same where only those of some slots are others.
    pub fn change(&mut self, accounts: Accounts, slots: &[usize]) {
        self.written.resize(accounts.slots(), Duration::ZERO);
        for slot in slots {
            if let Some(written) = self.written.get_mut(*slot) {
                *written = Duration::ZERO;
            }
        }
        self.accounts = accounts;
    }

    /// Takes over what an earlier process has counted.
    pub fn restore(&mut self, mut used: impl FnMut(&str) -> Option<Used>, mut limits: impl FnMut(&str) -> Vec<Kept>) {
        let (monotonic, unix) = self.now();
        let mut usage = |account: &str| {
            let usage = |kept: Kept| match kept {
                Kept::Rate(row) => row.usage(unix),
                Kept::Quota(row) => row.usage(),
            };
            limits(account).into_iter().filter_map(usage).collect::<Vec<Usage>>()
        };
        for (slot, account) in self.accounts.by_slot() {
            let Some(written) = self.written.get_mut(slot) else { continue };
            if let Some(meter) = &account.meter {
                let mut usage = usage(&account.name);
                usage.extend(used(&account.name).and_then(|used| used.usage(unix)));
                if !usage.is_empty() {
                    meter.add(&usage, now(monotonic, unix));
                }
                continue;
            }
            let Rate::Limited(window, arrival) = &account.rate else { continue };
            let left = match used(&account.name) {
                Some(used) => used.left(window, unix),
                None => limit::carried(window, &Owner::Account, &usage(&account.name)),
            };
            if !left.is_zero() {
                window.restore(arrival, left, monotonic);
                *written = arrival.full_at();
            }
        }
    }

    /// The rows of accounts that have used more of their several rates since the last call, as of those of one rate.
    pub fn changed_of_several(&mut self, at_the_end: bool) -> Vec<(&str, RateRow)> {
        let worth_keeping = if at_the_end { Duration::ZERO } else { WORTH_KEEPING };
        let (monotonic, unix) = self.now();
        let mut rows = Vec::new();
        for account in self.accounts.iter() {
            let Some(meter) = account.meter.as_ref().filter(|meter| meter.take_touched() || at_the_end) else {
                continue;
            };
            let usage = meter.usage(now(monotonic, unix));
            let row = |usage: &Usage| Some((&*account.name, RateRow::of(usage, unix, worth_keeping)?));
            rows.extend(usage.iter().filter_map(row));
        }
        rows
    }

    /// What an account has used of its quotas, as it is to be written.
    pub fn quotas(&self, meter: &Meter) -> QuotasOf {
        let (monotonic, unix) = self.now();
        let usage = meter.written(now(monotonic, unix));
        QuotasOf { account: Arc::clone(&meter.account), rows: usage.iter().filter_map(QuotaRow::of).collect() }
    }

    /// What an account has used of its quotas since it was written, for a successor.
    pub fn handed_over(&self, meter: &Meter) -> Vec<QuotaRow> {
        let (monotonic, unix) = self.now();
        meter.hand_over(now(monotonic, unix)).iter().filter_map(QuotaRow::of).collect()
    }

    /// Counts what the process before has counted of an account's quotas; the account's meter, if it has one.
    pub fn count(&mut self, account: &str, rows: &[QuotaRow]) -> Option<Arc<Meter>> {
        let meter = Arc::clone(self.accounts.by_name(account)?.meter.as_ref()?);
        let usage: Vec<Usage> = rows.iter().filter_map(QuotaRow::usage).collect();
        let (monotonic, unix) = self.now();
        meter.add(&usage, now(monotonic, unix));
        Some(meter)
    }

    /// The rows of accounts that have used more since the last call. While the process runs, bursts
    /// that are refilled within moments are left out; at its end everything is included.
    pub fn changed(&mut self, at_the_end: bool) -> Vec<Row<'_>> {
        let worth_keeping = if at_the_end { Duration::ZERO } else { WORTH_KEEPING };
        let (monotonic, unix) = self.now();
        let mut rows = Vec::new();
        for (slot, account) in self.accounts.by_slot() {
            let Some(written) = self.written.get_mut(slot) else { continue };
            let Rate::Limited(window, arrival) = &account.rate else { continue };
            let full_at = arrival.full_at();
            let left = full_at.saturating_sub(monotonic);
            if full_at != *written && left > worth_keeping {
                *written = full_at;
                rows.push((&*account.name, Used::of(window, left, unix)));
            }
        }
        rows
    }

    /// The current time by the process's clock, and since 1970.
    fn now(&self) -> (Duration, Duration) {
        (self.started.elapsed(), since_1970())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::rate::Allowance;

    fn window(limit: u32, seconds: u64, burst: u32) -> Arc<Window> {
        let [limit, burst] = [limit, burst].map(|number| NonZeroU32::new(number).unwrap());
        Arc::new(Window::new(Allowance { limit, period: Duration::from_secs(seconds), burst }))
    }

    fn allowances() -> impl Strategy<Value = (u32, u64, u32)> {
        (1..=5000_u32, prop::sample::select(vec![1, 60, 3600, 86_400_u64]), 1..=5000_u32)
    }

    proptest! {
        /// A change of the allowance means the same while the process runs and over a restart, whose
        /// clock begins anew.
        #[test]
        fn a_restart_and_a_reload_leave_the_same(
            before in allowances(),
            after in allowances(),
            used in 0..=6000_u32,
            later_ms in 0..100_000_u64,
        ) {
            const UNIX: Duration = Duration::from_secs(1_700_000_000);
            let at = |ms: u64| Now { monotonic: Duration::from_millis(ms), unix_seconds: 0, unix_nanos: 0 };
            let old = Rate::within(window(before.0, before.1, before.2));
            let passed = (0..used).filter(|_| old.take(at(1000)).is_ok()).count();
            prop_assert_eq!(passed, usize::try_from(used.min(before.2)).unwrap());
            let Rate::Limited(old_window, old_arrival) = &old else { unreachable!() };
            let now = at(1000 + later_ms);

            let reloaded = Rate::within(window(after.0, after.1, after.2));
            reloaded.inherit(&old, now);

            let left = old_arrival.full_at().saturating_sub(now.monotonic);
            let row = Used::of(old_window, left, UNIX);
            let new_window = window(after.0, after.1, after.2);
            let restarted = Rate::within(Arc::clone(&new_window));
            if let Rate::Limited(_, arrival) = &restarted {
                new_window.restore(arrival, row.left(&new_window, UNIX), at(7).monotonic);
            }

            let remaining = |rate: &Rate, now| i64::from(rate.state(now).unwrap().remaining);
            let (one, other) = (remaining(&reloaded, now), remaining(&restarted, at(7)));
            // A row has whole milliseconds; as many requests of a fast rate are in one.
            let in_a_millisecond = 1 + 1_000_000 / i64::try_from(old_window.interval().as_nanos()).unwrap();
            prop_assert!(other <= one && one - other <= in_a_millisecond, "{} and {}", one, other);
            // What was used stays used, in requests, but for what has come back since.
            let whole = i64::from(after.2);
            let still_used = i64::try_from(left.as_nanos().div_ceil(old_window.interval().as_nanos())).unwrap();
            prop_assert!((one - (whole - still_used).max(0)).abs() <= 1, "{} of {}, {} used", one, whole, still_used);
        }
    }
}
