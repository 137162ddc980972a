//! The file comes from the process before this one, and goes to a successor.
//!
//! What the two say to each other is `succession.rs`.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Task;
use crate::ledger::succession::{PredecessorHolds, SuccessorLink};
use crate::ledger::{BalanceState, LedgerCommand};
use crate::platform::channel::Channel;
use crate::policy::credits::CreditAccount;

impl Task {
    /// Opens the file as soon as the process before this one has let it go, and serves its last
    /// requests.
    pub(super) fn inherit(&mut self, line: Channel) {
        let predecessor_holds = PredecessorHolds::await_from(&line);
        self.predecessor_holds = Some(predecessor_holds.clone());
        self.recover();
        predecessor_holds.serve(line, Arc::clone(&self.register), self.sender.clone(), Arc::clone(&self.shared));
    }

    /// Lets the file go to a successor: all that is to be written is, and what requests hold is
    /// told, before it has the file.
    pub(super) fn hand_over(&mut self, line: Channel) {
        self.shared.stand(BalanceState::HandedOver);
        // Either this sees a request's hold, or the request sees that it is handed over.
        fence(Ordering::SeqCst);
        let held = |credit_account: &Arc<CreditAccount>| (Arc::clone(credit_account), credit_account.snapshot().held);
        let held: Vec<(Arc<CreditAccount>, u64)> =
            self.register.all().iter().map(held).filter(|(_, held)| *held > 0).collect();
        // What was settled before that is in the queue.
        let mut borrowers = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                LedgerCommand::Borrow(credit_account, credits, told) => borrowers.push((credit_account, credits, told)),
                order => self.take(order),
            }
        }
        self.write_charges();
        self.write_rates();
        self.store = None;
        match SuccessorLink::inform(line, &held, self.sender.clone(), Arc::clone(&self.shared)) {
            Ok(mut link) => {
                for charge in std::mem::take(&mut self.pending) {
                    self.count_out(1);
                    link.charge(charge);
                }
                for (credit_account, credits, told) in borrowers {
                    link.borrow(credit_account, credits, told);
                }
                self.link = Some(link);
            }
            Err(error) => {
                log::error!(target: "tollgate::ledger", "the ledger could not be handed over: {error}");
            }
        }
    }
}
