//! What goes between requests and the ledger's thread: its orders, charges with the proof that they
//! were written, and what both know of how the ledger stands.
//!
//! What becomes of an order is `task.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{SendError, Sender, SyncSender};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, oneshot};

use super::balance_index::BalanceIndex;
use super::question::Question;
use crate::platform::channel::Channel;
use crate::policy::Policy;
use crate::policy::credits::CreditAccount;
use crate::policy::http::transaction_id::TransactionId;

/// What the ledger's task and everybody else both know.
#[derive(Debug, Default)]
pub struct Shared {
    /// The place of a [`BalanceState`] among all of them.
    standing: AtomicU8,
    /// Told of each change of it.
    changed: Notify,
    /// The process before this one may still have charges.
    pub predecessor: AtomicBool,
    pub figures: LedgerFigures,
}

/// Whether credits can be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BalanceState {
    #[default]
    Unusable,
    Usable,
    /// The process before this one still has the file: it will be some milliseconds.
    Awaited,
    /// A successor has the file, and holds credits for this process as well.
    HandedOver,
}

impl BalanceState {
    /// All of them, in the order in which they are declared: their discriminants are their places.
    const ALL: [BalanceState; 4] =
        [BalanceState::Unusable, BalanceState::Usable, BalanceState::Awaited, BalanceState::HandedOver];
}

impl Shared {
    /// How the ledger stands at this moment.
    pub fn standing(&self) -> BalanceState {
        let place = usize::from(self.standing.load(Ordering::SeqCst));
        BalanceState::ALL.get(place).copied().unwrap_or_default()
    }

    /// Lets everybody know how it stands.
    pub fn stand(&self, standing: BalanceState) {
        self.standing.store(standing as u8, Ordering::SeqCst);
        self.figures.usable.set(i64::from(standing == BalanceState::Usable));
        self.changed.notify_waiters();
    }

    /// Lets nobody hold a credit any more, unless a successor does.
    pub fn unusable(&self) {
        if self.standing() != BalanceState::HandedOver {
            self.stand(BalanceState::Unusable);
        }
    }

    /// Returns when nothing is awaited any more.
    pub async fn settled(&self) -> BalanceState {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Whatever changes from here on is heard of.
            changed.as_mut().enable();
            match self.standing() {
                BalanceState::Awaited => changed.await,
                settled => return settled,
            }
        }
    }

    /// Sends a charge to the task, which counts it out again.
    pub fn send(&self, orders: &Sender<LedgerCommand>, charge: Charge) -> Result<(), SendError<LedgerCommand>> {
        self.figures.waiting.inc();
        orders.send(LedgerCommand::Charge(charge))
    }
}

/// The ledger's metrics.
#[derive(Debug, Default)]
pub struct LedgerFigures {
    pub usable: Gauge,
    /// Charges on their way into the file; it also bounds the queue.
    pub waiting: Gauge,
    pub commits: Counter,
    pub failures: Counter,
    pub charged: Counter,
    pub refunded: Counter,
    pub capped: Counter,
    pub insufficient: Counter,
}

/// What the ledger's task is told, in order.
pub enum LedgerCommand {
    Charge(Charge),
    Ask(Question),
    /// A policy that is about to come into force, with its credit accounts.
    Adopt(Arc<Policy>, Arc<BalanceIndex>, SyncSender<()>),
    /// Lets the file go to a successor.
    HandOver(Channel),
    /// A request needs so much of what the successor has.
    Borrow(Arc<CreditAccount>, u32, oneshot::Sender<Option<u64>>),
    Close(SyncSender<()>),
}

/// One lookup's price on its way into the file.
pub struct Charge {
    pub credit_account: Arc<CreditAccount>,
    pub credits: u32,
    pub transaction: TransactionId,
    pub stage: Stage,
}

/// What is known of the answer that a charge is for.
pub enum Stage {
    /// It went out.
    Delivered,
    /// It waits for the charge to be written.
    Waiting(oneshot::Sender<Recorded>),
    /// It did not go out, although its charge was written.
    Undelivered,
}

/// Proof that a charge was written. Dropping it takes the charge back.
pub struct Recorded {
    pub charge: Option<Charge>,
    pub orders: Sender<LedgerCommand>,
    pub shared: Arc<Shared>,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            // Without a task there are no books to put in order.
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
