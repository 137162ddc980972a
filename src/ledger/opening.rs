//! Opens the ledger of a policy and, where gateways share credits, starts the thread that gets it leases.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::lease::terms::Terms;
use super::lease_order::LeaseOrder;
use super::lease_store::centre::LeaseStore;
use super::lease_task::LeaseTask;
use super::leases::{ClusterSettings, LeaseEnd, Leases};
use super::rates::Rates;
use super::store::{StoreError, open};
use super::{Ledger, LedgerSettings};
use crate::platform::channel::Channel;
use crate::platform::machine;
use crate::policy::Policy;

/// The pause before the next attempt to begin.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the ledger, and returns when it is known whether it can be used. If not, requests that cost something are
/// refused until it can.
///
/// The rates of the policy's accounts, which count from `started`, are stored in the same file. Without settings
/// there is no ledger: lookups cost nothing, and rates start from zero. With a channel to a predecessor, requests
/// that cost something wait until it has released the file.
pub fn start(
    settings: Option<LedgerSettings>,
    policy: &Arc<Policy>,
    started: Instant,
    predecessor: Option<Channel>,
) -> Arc<Ledger> {
    let credit_accounts = policy.credit_accounts().map(Arc::clone).collect();
    let cluster = settings.as_ref().and_then(|settings| settings.cluster.clone());
    let (leases, end) = cluster.is_some().then(Leases::new).unzip();
    let rates = Rates::new(policy.accounts.clone(), started);
    let ledger = Arc::new(Ledger::open(settings, credit_accounts, Some(rates), predecessor, leases));
    if let Some((cluster, end)) = cluster.zip(end) {
        let (ledger, terms) = (Arc::clone(&ledger), cluster.terms(policy.longest_request()));
        std::thread::spawn(move || take_leases(&ledger, &cluster, terms, end));
    }
    ledger
}

/// Opens the ledger for what else is in its file: nothing is taken on lease.
pub fn start_without_leases(settings: Option<LedgerSettings>, policy: &Arc<Policy>, started: Instant) -> Arc<Ledger> {
    let rates = Rates::new(policy.accounts.clone(), started);
    let accounts = policy.credit_accounts().map(Arc::clone).collect();
    Arc::new(Ledger::open(settings, accounts, Some(rates), None, None))
}

/// Begins as soon as the database answers and the ledger can be used, and returns at the end of the process.
fn take_leases(ledger: &Arc<Ledger>, settings: &ClusterSettings, terms: Terms, end: LeaseEnd) {
    let LeaseEnd { until, orders, figures } = end;
    let mut told = None;
    loop {
        let attempt = AssertUnwindSafe(|| -> Result<(), StoreError> {
            let store = connect(settings, terms)?;
            let mut task = LeaseTask::open(ledger, store, terms, (&until, &figures))?;
            task.first(ledger.register_of_licences().all().map(Arc::clone));
            task.run(&orders);
            Ok(())
        });
        match catch_unwind(attempt) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                if told.as_ref() != Some(&error) {
                    log::error!(target: "tollgate::leases", "credits cannot be sold yet: {error}");
                }
                told = Some(error);
            }
            // What is on lease is in the journal; the identity is ended as after a crash.
            Err(_) => {
                until.store(0, Ordering::Release);
                log::error!(target: "tollgate::leases", "the thread of leases has failed, and begins anew");
            }
        }
        if !turn_away_for(RETRY, &orders) {
            return;
        }
    }
}

fn connect(settings: &ClusterSettings, terms: Terms) -> Result<LeaseStore, StoreError> {
    LeaseStore::new(open(settings.location.clone())?, &machine::name(), terms)
}

/// Answers for a while that nothing can be done. Returns whether it is to be tried again.
fn turn_away_for(time: Duration, orders: &Receiver<LeaseOrder>) -> bool {
    let begun = Instant::now();
    loop {
        match orders.recv_timeout(time.saturating_sub(begun.elapsed())) {
            Ok(order) => {
                if !order.turn_away() {
                    return false;
                }
            }
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use tokio::sync::oneshot;

    use super::*;
    use crate::ledger::Refusal;
    use crate::ledger::lease::driver::Verdict;
    use crate::policy::credits::CreditAccount;

    #[test]
    fn what_is_asked_before_there_are_leases_is_answered_at_once() {
        let (leases, end) = Leases::new();
        assert!(!leases.may_sell());
        let account = Arc::new(CreditAccount::new("acme".into(), "phone".into(), 5));
        let (told, verdict) = oneshot::channel();
        leases.tell(LeaseOrder::Short(Arc::clone(&account), 1, told)).unwrap();
        let (asked, looked) = oneshot::channel();
        leases.tell(LeaseOrder::Look(vec![account], asked)).unwrap();
        assert!(turn_away_for(Duration::from_millis(1), &end.orders));
        assert_eq!(verdict.blocking_recv(), Ok(Verdict::Unavailable));
        assert_eq!(looked.blocking_recv(), Ok(Err(Refusal::Unavailable)));
        let (ended, has_ended) = sync_channel(1);
        leases.tell(LeaseOrder::End(ended)).unwrap();
        assert!(!turn_away_for(Duration::from_secs(9), &end.orders));
        has_ended.recv().unwrap();
        drop(end);
        assert!(leases.hand_over().is_none());
    }
}
