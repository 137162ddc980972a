//! The interface between requests and the ledger's thread: commands, charges with the proof that
//! they were written, and the shared state of the ledger.
//!
//! Commands are handled in `task.rs`.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{SendError, Sender, SyncSender};
use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, oneshot};

use super::balance_index::BalanceIndex;
use super::lease_order::LeaseHandover;
use super::leases::Leases;
use super::question::Question;
use super::usage::QuotaRow;
use crate::platform::channel::Channel;
use crate::policy::Policy;
use crate::policy::account::directory::Accounts;
use crate::policy::credits::CreditAccount;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::meter::Meter;

/// The state that the ledger's task shares.
#[derive(Debug, Default)]
pub struct Shared {
    /// The index of a [`BalanceState`].
    standing: AtomicU8,
    /// Notified of each change of it.
    changed: Notify,
    /// The predecessor may still have charges.
    pub predecessor: AtomicBool,
    pub figures: LedgerFigures,
    /// What is sold by lease, if gateways share credits.
    pub leases: Option<Leases>,
    /// What the predecessor has said of its leases.
    pub handover: OnceLock<LeaseHandover>,
}

/// Whether credits can be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BalanceState {
    #[default]
    Unusable,
    Usable,
    /// The predecessor still has the file, for some milliseconds.
    Awaited,
    /// A successor has the file, and holds credits for this process as well.
    HandedOver,
}

impl BalanceState {
    /// All of them, in the order of their discriminants.
    const ALL: [BalanceState; 4] =
        [BalanceState::Unusable, BalanceState::Usable, BalanceState::Awaited, BalanceState::HandedOver];
}

impl Shared {
    /// Of a ledger that sells what it has, or what it has on lease.
    pub fn new(leases: Option<Leases>) -> Shared {
        Shared { leases, ..Shared::default() }
    }

    /// The current state.
    pub fn standing(&self) -> BalanceState {
        let index = usize::from(self.standing.load(Ordering::SeqCst));
        BalanceState::ALL.get(index).copied().unwrap_or_default()
    }

    /// Sets the state and notifies everybody who waits.
    pub fn stand(&self, standing: BalanceState) {
        self.standing.store(standing as u8, Ordering::SeqCst);
        self.figures.usable.set(i64::from(standing == BalanceState::Usable));
        self.changed.notify_waiters();
    }

    /// Prevents new holds, unless a successor holds credits for this process.
    pub fn unusable(&self) {
        if self.standing() != BalanceState::HandedOver {
            self.stand(BalanceState::Unusable);
        }
    }

    /// Returns when the state is not `Awaited` any more.
    pub async fn settled(&self) -> BalanceState {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            match self.standing() {
                BalanceState::Awaited => changed.await,
                settled => return settled,
            }
        }
    }

    /// Returns when a successor has the file.
    pub async fn handed_over(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            if self.standing() == BalanceState::HandedOver {
                return;
            }
            changed.await;
        }
    }

    /// Sends a charge to the task, and counts it until it is written.
    pub fn send(&self, orders: &Sender<LedgerCommand>, charge: Charge) -> Result<(), SendError<LedgerCommand>> {
        self.figures.waiting.inc();
        orders.send(LedgerCommand::Charge(charge))
    }
}

/// The ledger's metrics.
#[derive(Debug, Default)]
pub struct LedgerFigures {
    pub usable: Gauge,
    /// Charges in the queue to the file, which this also limits.
    pub waiting: Gauge,
    pub commits: Counter,
    pub failures: Counter,
    pub charged: Counter,
    pub refunded: Counter,
    pub capped: Counter,
    pub insufficient: Counter,
}

/// Commands for the ledger's task.
pub enum LedgerCommand {
    Charge(Charge),
    /// A request was counted in quotas of an account. Whoever waits until that is written learns it.
    Count(Arc<Meter>, Option<oneshot::Sender<()>>),
    /// The process before this one has counted requests of an account.
    CountedBefore(String, Vec<QuotaRow>, Option<oneshot::Sender<()>>),
    Ask(Question),
    /// A policy that is about to come into force, with its credit accounts.
    Adopt(Arc<Policy>, Arc<BalanceIndex>, SyncSender<()>),
    /// Some accounts are others.
    Change(Box<AccountsChange>),
    /// Release the file to a successor.
    HandOver(Channel, Option<LeaseHandover>),
    /// A request needs a hold from the successor.
    Borrow(Arc<CreditAccount>, u32, oneshot::Sender<Lent>),
    Close(SyncSender<()>),
}

/// What a successor says to a request that needs a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lent {
    /// It is held, and so much is left.
    Left(u64),
    TooFew,
    /// Nobody can say whether there are enough.
    Unavailable,
}

/// Accounts that are others than they were.
pub struct AccountsChange {
    /// All accounts, as they are now.
    pub accounts: Accounts,
    /// The slots of those that have changed.
    pub slots: Box<[usize]>,
    pub register: Arc<BalanceIndex>,
    /// Credit accounts that nobody has known before.
    pub new: Vec<Arc<CreditAccount>>,
    /// Told once those have been read.
    pub done: SyncSender<()>,
}

/// The price of one lookup, to be written.
pub struct Charge {
    pub credit_account: Arc<CreditAccount>,
    pub credits: u32,
    pub transaction: TransactionId,
    pub stage: Stage,
}

/// The state of the answer that a charge is for.
pub enum Stage {
    /// It was delivered.
    Delivered,
    /// It waits for the charge to be written.
    Waiting(oneshot::Sender<Recorded>),
    /// It was not delivered, although its charge was written.
    Undelivered,
}

/// Proof that a charge was written. Dropping it refunds the charge.
pub struct Recorded {
    pub charge: Option<Charge>,
    pub orders: Sender<LedgerCommand>,
    pub shared: Arc<Shared>,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            // Fails only without a task, when there is no ledger.
            let _ = self.shared.send(&self.orders, Charge { stage: Stage::Undelivered, ..charge });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_what_it_was_set_to() {
        let shared = Shared::default();
        assert_eq!(shared.standing(), BalanceState::Unusable);
        for standing in BalanceState::ALL {
            shared.stand(standing);
            assert_eq!(shared.standing(), standing);
        }
    }
}
