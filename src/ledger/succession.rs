//! Hands the ledger over to a successor, while requests of both processes cost credits.
//!
//! The file has one owner at a time. The predecessor releases it at once, without waiting for its
//! last requests: it reports what they hold, which the successor then holds for it. From then on it
//! sends its charges to the successor, and requests holds for its further requests from it. When it
//! has ended, what is still held for it is returned. So no credit is sold twice at any moment, and
//! requests wait for milliseconds instead of for the slowest request. The predecessor's side is
//! [`SuccessorLink`], the successor's side [`PredecessorHolds`].

use std::collections::HashMap;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::balance_index::BalanceIndex;
use super::batch::address;
use super::lease::driver::Verdict;
use super::lease_order::LeaseHandover;
use super::leases::Leases;
use super::order::{BalanceState, Charge, LedgerCommand, Lent, Recorded, Shared, Stage};
use super::usage::QuotaRow;
use crate::platform::channel::Channel;
use crate::policy::credits::CreditAccount;
use crate::policy::http::transaction_id::TransactionId;

/// How long a successor waits for the file before it tries to open it anyway.
const INHERITANCE_PATIENCE: Duration = Duration::from_secs(60);

/// Messages of the predecessor, in this order: what is held, that the file is released, the rest.
#[derive(Debug, Serialize, Deserialize)]
enum ToSuccessor {
    /// Requests in flight hold this many credits.
    Held(Name, u64),
    /// What is on lease goes on there.
    Leases(LeaseHandover),
    Free,
    /// A request needs a hold of this many credits.
    Hold(u64, Name, u32),
    /// A charge; with a number if its answer waits until it is written.
    Charge(Option<u64>, Name, u32, String),
    /// A refund of a charge that was written.
    Refund(Name, u32, String),
    /// Requests of an account were counted in its quotas; with a number if somebody waits until that is written.
    Counted(Option<u64>, String, Vec<QuotaRow>),
}

/// Messages of the successor.
#[derive(Debug, Serialize, Deserialize)]
enum FromSuccessor {
    /// The credits are held, and this many are left; `None` if there were too few.
    Held(u64, Option<u64>),
    /// Nobody can say whether there are enough credits for the hold of this number.
    Unavailable(u64),
    Recorded(u64),
}

/// The name of a credit account, for another process.
#[derive(Debug, Serialize, Deserialize)]
struct Name {
    account: String,
    product: String,
}

impl Name {
    fn of(credit_account: &CreditAccount) -> Name {
        Name { account: credit_account.account.to_string(), product: credit_account.product.to_string() }
    }
}

/// The predecessor's link to its successor. Only the ledger's task sends.
pub struct SuccessorLink {
    line: Channel,
    next: u64,
    asked: Arc<Mutex<HoldRequest>>,
}

/// Requests that the successor has not answered yet.
#[derive(Default)]
struct HoldRequest {
    holds: HashMap<u64, PendingHold>,
    charges: HashMap<u64, (Charge, oneshot::Sender<Recorded>)>,
    counts: HashMap<u64, oneshot::Sender<()>>,
}

/// A request for a hold.
struct PendingHold {
    credit_account: Arc<CreditAccount>,
    credits: u32,
    told: oneshot::Sender<Lent>,
}

impl SuccessorLink {
    /// Reports to a successor what is held, and that the file is released.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn inform(
        line: Channel,
        (held, leases): (&[(Arc<CreditAccount>, u64)], Option<LeaseHandover>),
        orders: Sender<LedgerCommand>,
        shared: Arc<Shared>,
    ) -> std::io::Result<SuccessorLink> {
        for (credit_account, credits) in held {
            line.send(&ToSuccessor::Held(Name::of(credit_account), *credits), None)?;
        }
        if let Some(leases) = leases {
            line.send(&ToSuccessor::Leases(leases), None)?;
        }
        line.send(&ToSuccessor::Free, None)?;
        line.set_patience(None)?;
        let (answers, asked) = (line.another()?, Arc::default());
        let known = Arc::clone(&asked);
        std::thread::spawn(move || listen(&answers, &known, &orders, &shared));
        Ok(SuccessorLink { line, next: 0, asked })
    }

    /// Requests a hold for a request of this process.
    pub(super) fn borrow(&mut self, credit_account: Arc<CreditAccount>, credits: u32, told: oneshot::Sender<Lent>) {
        let (number, name) = (self.number(), Name::of(&credit_account));
        locked(&self.asked).holds.insert(number, PendingHold { credit_account, credits, told });
        if self.line.send(&ToSuccessor::Hold(number, name, credits), None).is_err() {
            // Dropping the sender informs the request that waits.
            locked(&self.asked).holds.remove(&number);
        }
    }

    /// Sends a charge to the successor.
    pub(super) fn charge(&mut self, charge: Charge) {
        let Charge { credit_account, credits, transaction, stage } = charge;
        let (name, text) = (Name::of(&credit_account), transaction.as_str().to_owned());
        let sent = match stage {
            Stage::Delivered => self.line.send(&ToSuccessor::Charge(None, name, credits, text), None),
            Stage::Undelivered => self.line.send(&ToSuccessor::Refund(name, credits, text), None),
            Stage::Waiting(waiting) => {
                let number = self.number();
                let charge = Charge { credit_account, credits, transaction, stage: Stage::Delivered };
                locked(&self.asked).charges.insert(number, (charge, waiting));
                let sent = self.line.send(&ToSuccessor::Charge(Some(number), name, credits, text), None);
                if sent.is_err() {
                    locked(&self.asked).charges.remove(&number);
                }
                sent
            }
        };
        if sent.is_err() {
            log::error!(target: "tollgate::ledger", "a charge is lost, because the successor has ended");
        }
    }

    /// Tells what was counted in quotas. Whoever waits until it is written learns it.
    pub(super) fn count(&mut self, account: String, rows: Vec<QuotaRow>, waiting: Option<oneshot::Sender<()>>) {
        if rows.is_empty() {
            // Another request has told it already.
            if let Some(waiting) = waiting {
                // A request that is gone does not wait any more.
                let _ = waiting.send(());
            }
            return;
        }
        let number = waiting.map(|waiting| {
            let number = self.number();
            locked(&self.asked).counts.insert(number, waiting);
            number
        });
        if self.line.send(&ToSuccessor::Counted(number, account, rows), None).is_err() {
            if let Some(number) = number {
                locked(&self.asked).counts.remove(&number);
            }
            log::error!(target: "tollgate::ledger", "a count is lost, because the process that took over is gone");
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Receives the successor's answers until it has ended.
fn listen(line: &Channel, asked: &Mutex<HoldRequest>, orders: &Sender<LedgerCommand>, shared: &Arc<Shared>) {
    while let Ok(Some((said, _))) = line.receive::<FromSuccessor>() {
        match said {
            FromSuccessor::Held(number, left) => {
                let Some(PendingHold { credit_account, credits, told }) = locked(asked).holds.remove(&number) else {
                    continue;
                };
                // Nothing else grants credits in a process that has released its file.
                let left = left.filter(|_| credit_account.balance().grant(u64::from(credits)));
                let _ = told.send(left.map_or(Lent::TooFew, Lent::Left));
            }
            FromSuccessor::Unavailable(number) => {
                let asked = locked(asked).holds.remove(&number);
                if let Some(PendingHold { told, .. }) = asked {
                    let _ = told.send(Lent::Unavailable);
                }
            }
            FromSuccessor::Recorded(number) => {
                let counted = locked(asked).counts.remove(&number);
                if let Some(waiting) = counted {
                    let _ = waiting.send(());
                    continue;
                }
                let Some((charge, waiting)) = locked(asked).charges.remove(&number) else { continue };
                let recorded = Recorded { charge: Some(charge), orders: orders.clone(), shared: Arc::clone(shared) };
                // If nobody receives the proof, dropping it refunds the charge.
                let _ = waiting.send(recorded);
            }
        }
    }
    *locked(asked) = HoldRequest::default();
}

/// What the process before waits for.
enum Waiting {
    Charge(oneshot::Receiver<Recorded>),
    Count(oneshot::Receiver<()>),
}

/// What the successor holds for its predecessor.
#[derive(Clone)]
pub struct PredecessorHolds(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// The holds to make once the balances are known.
    announced: Vec<(Name, u64)>,
    /// What the predecessor has said of its leases.
    leases: Option<LeaseHandover>,
    /// What is held, by the credit account's address.
    held: HashMap<usize, (Arc<CreditAccount>, u64)>,
    /// The predecessor has ended.
    closed: bool,
}

impl PredecessorHolds {
    /// Waits until the predecessor has released the file, or has ended.
    pub(super) fn await_from(line: &Channel) -> PredecessorHolds {
        let mut kept = Kept::default();
        let patience = line.set_patience(Some(INHERITANCE_PATIENCE));
        let mut outcome = patience.and_then(|()| line.receive::<ToSuccessor>());
        loop {
            match outcome {
                Ok(Some((ToSuccessor::Held(name, credits), _))) => kept.announced.push((name, credits)),
                Ok(Some((ToSuccessor::Leases(told), _))) => kept.leases = Some(told),
                _ => break,
            }
            outcome = line.receive();
        }
        match outcome {
            Ok(Some((ToSuccessor::Free, _))) => {}
            Ok(Some(_) | None) => kept.closed = true,
            Err(error) => {
                log::error!(target: "tollgate::ledger", "the predecessor does not release the ledger: {error}");
            }
        }
        PredecessorHolds(Arc::new(Mutex::new(kept)))
    }

    /// What the predecessor has said of its leases.
    pub(super) fn leases(&self) -> Option<LeaseHandover> {
        locked(&self.0).leases
    }

    /// Makes the announced holds, now that balances are known, before any request can hold credits.
    pub(super) fn hold(&self, register: &BalanceIndex) {
        let mut kept = locked(&self.0);
        let announced = std::mem::take(&mut kept.announced);
        if kept.closed {
            return;
        }
        for (Name { account, product }, credits) in announced {
            if let Some(credit_account) = register.find(&account, &product) {
                // A charge can be written and still be held; then fewer credits are available than
                // announced.
                let credits = u32::try_from(credits.min(credit_account.balance().available())).unwrap_or(u32::MAX);
                kept.hold(credit_account, credits);
            }
        }
    }

    /// Serves the predecessor until it has ended.
    pub(super) fn serve(
        self,
        line: Channel,
        register: Arc<BalanceIndex>,
        orders: Sender<LedgerCommand>,
        shared: Arc<Shared>,
    ) {
        let (recorded, waiting) = std::sync::mpsc::channel::<(u64, Waiting)>();
        let Ok(answers) = line.another().and_then(|answers| line.set_patience(None).map(|()| answers)) else { return };
        // Charges are written in the order in which they arrive, so they can be awaited one after
        // the other.
        std::thread::spawn(move || {
            for (number, written) in waiting {
                match written {
                    Waiting::Charge(written) => {
                        if let Ok(mut proof) = written.blocking_recv()
                            && answers.send(&FromSuccessor::Recorded(number), None).is_ok()
                        {
                            proof.charge = None;
                        }
                    }
                    Waiting::Count(written) => {
                        if written.blocking_recv().is_ok() {
                            // A process that is gone needs no answer.
                            let _ = answers.send(&FromSuccessor::Recorded(number), None);
                        }
                    }
                }
            }
        });
        std::thread::spawn(move || {
            while let Ok(Some((told, _))) = line.receive::<ToSuccessor>() {
                match told {
                    ToSuccessor::Hold(number, name, credits) => {
                        let credit_account = register.find(&name.account, &name.product);
                        let lent = credit_account.map_or(Lent::TooFew, |credit_account| {
                            self.lend(credit_account, credits, &orders, &shared)
                        });
                        let answer = match lent {
                            Lent::Left(left) => FromSuccessor::Held(number, Some(left)),
                            Lent::TooFew => FromSuccessor::Held(number, None),
                            Lent::Unavailable => FromSuccessor::Unavailable(number),
                        };
                        // Fails if the predecessor has ended, which then needs no answer.
                        let _ = line.send(&answer, None);
                    }
                    ToSuccessor::Charge(number, name, credits, text) => {
                        let (sender, written) = oneshot::channel();
                        let stage = number.map_or(Stage::Delivered, |_| Stage::Waiting(sender));
                        self.take(&register, name, credits, &text, stage, &orders, &shared);
                        if let Some(number) = number {
                            let _ = recorded.send((number, Waiting::Charge(written)));
                        }
                    }
                    ToSuccessor::Counted(number, account, rows) => {
                        let waiting = number.map(|number| {
                            let (sender, written) = oneshot::channel();
                            let _ = recorded.send((number, Waiting::Count(written)));
                            sender
                        });
                        // Without a task the receiver learns it from the sender that is dropped.
                        let _ = orders.send(LedgerCommand::CountedBefore(account, rows, waiting));
                    }
                    ToSuccessor::Refund(name, credits, text) => {
                        self.take(&register, name, credits, &text, Stage::Undelivered, &orders, &shared);
                    }
                    ToSuccessor::Held(..) | ToSuccessor::Leases(_) | ToSuccessor::Free => {}
                }
            }
            locked(&self.0).close();
            shared.predecessor.store(false, Ordering::Release);
        });
    }

    /// Holds credits for the predecessor. If a further successor has the file already, the request is passed on to it.
    fn lend(
        &self,
        credit_account: &Arc<CreditAccount>,
        credits: u32,
        orders: &Sender<LedgerCommand>,
        shared: &Shared,
    ) -> Lent {
        while shared.standing() == BalanceState::Usable {
            let held = locked(&self.0).hold(credit_account, credits);
            // Either the handover sees this hold, or this sees the handover.
            fence(Ordering::SeqCst);
            let is_here = shared.standing() != BalanceState::HandedOver;
            let may_sell = shared.leases.as_ref().is_none_or(Leases::may_sell);
            if held && is_here && may_sell {
                return Lent::Left(credit_account.shown().available);
            }
            if held {
                locked(&self.0).give_back(credit_account, credits);
            }
            if !is_here {
                break;
            }
            // A thread that has ended is one that another process takes over from.
            match shared.leases.as_ref().map(|leases| leases.short_here(credit_account, credits)) {
                None | Some(Some(Verdict::Insufficient)) => return Lent::TooFew,
                Some(Some(Verdict::Unavailable)) => return Lent::Unavailable,
                Some(Some(Verdict::Try)) => {}
                Some(None) => break,
            }
        }
        let (told, lent) = oneshot::channel();
        if orders.send(LedgerCommand::Borrow(Arc::clone(credit_account), credits, told)).is_err() {
            return Lent::Unavailable;
        }
        match lent.blocking_recv() {
            Ok(Lent::Left(left)) if locked(&self.0).hold(credit_account, credits) => Lent::Left(left),
            Ok(Lent::Left(_) | Lent::TooFew) => Lent::TooFew,
            Ok(Lent::Unavailable) | Err(_) => Lent::Unavailable,
        }
    }

    /// Queues a charge of the predecessor.
    #[expect(clippy::too_many_arguments, reason = "one message, and where it goes")]
    fn take(
        &self,
        register: &BalanceIndex,
        name: Name,
        credits: u32,
        text: &str,
        stage: Stage,
        orders: &Sender<LedgerCommand>,
        shared: &Shared,
    ) {
        let Some(transaction) = TransactionId::parse(text) else { return };
        // An account that is not in the configuration any more still pays for what was delivered.
        let gone = || Arc::new(CreditAccount::new(name.account.as_str().into(), name.product.as_str().into(), 0));
        let known = register.find(&name.account, &name.product).map(Arc::clone);
        let credit_account = known.as_ref().map_or_else(gone, Arc::clone);
        let is_refund = matches!(stage, Stage::Undelivered);
        if known.is_some() && is_refund {
            credit_account.balance().refund(credits);
        }
        let charge = Charge { credit_account: Arc::clone(&credit_account), credits, transaction, stage };
        // Fails only without a task, when there is no ledger.
        let _ = shared.send(orders, charge);
        // Last, so that what is spent is on its way to the file.
        if known.is_some() && !is_refund {
            locked(&self.0).spend(&credit_account, credits);
        }
    }
}

impl Kept {
    fn hold(&mut self, credit_account: &Arc<CreditAccount>, credits: u32) -> bool {
        let held = credit_account.balance().hold(credits).is_ok();
        if held {
            let (_, sum) = self.held.entry(address(credit_account)).or_insert_with(|| (Arc::clone(credit_account), 0));
            *sum = sum.saturating_add(u64::from(credits));
        }
        held
    }

    /// Spends held credits; if there are too few, the rest is taken from the available ones.
    fn spend(&mut self, credit_account: &Arc<CreditAccount>, credits: u32) {
        let missing = match self.held.get(&address(credit_account)) {
            Some((_, sum)) => u64::from(credits).saturating_sub(*sum),
            None => u64::from(credits),
        };
        if missing > 0 && !self.hold(credit_account, u32::try_from(missing).unwrap_or(u32::MAX)) {
            log::error!(target: "tollgate::ledger", "a charge of the predecessor was not covered");
            return;
        }
        if let Some((_, sum)) = self.held.get_mut(&address(credit_account)) {
            *sum = sum.saturating_sub(u64::from(credits));
            credit_account.balance().settle(credits, credits);
        }
    }

    fn give_back(&mut self, credit_account: &Arc<CreditAccount>, credits: u32) {
        if let Some((_, sum)) = self.held.get_mut(&address(credit_account)) {
            *sum = sum.saturating_sub(u64::from(credits));
            credit_account.balance().settle(credits, 0);
        }
    }

    /// Returns what is still held.
    fn close(&mut self) {
        self.closed = true;
        for (credit_account, sum) in self.held.drain().map(|(_, held)| held) {
            credit_account.balance().settle(u32::try_from(sum).unwrap_or(u32::MAX), 0);
        }
    }
}

/// Ignores poisoning: every change is a single step, so the data is consistent.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
