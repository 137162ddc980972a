//! Taking over the file from a predecessor, and handing it over to a successor.
//!
//! The messages are in `succession.rs`.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Task;
use crate::ledger::lease_order::LeaseHandover;
use crate::ledger::order::{BalanceState, LedgerCommand};
use crate::ledger::succession::{PredecessorHolds, SuccessorLink};
use crate::platform::channel::Channel;
use crate::policy::credits::CreditAccount;

impl Task {
    /// Opens the file as soon as the predecessor has released it, and serves its last requests.
    pub(super) fn inherit(&mut self, line: Channel) {
        let predecessor_holds = PredecessorHolds::await_from(&line);
        if let Some(told) = predecessor_holds.leases() {
            // Nobody else sets it.
            let _ = self.shared.handover.set(told);
        }
        self.predecessor_holds = Some(predecessor_holds.clone());
        self.recover();
        predecessor_holds.serve(line, Arc::clone(&self.register), self.sender.clone(), Arc::clone(&self.shared));
    }

    /// Releases the file to a successor, after everything was written and the holds of requests
    /// were reported.
    pub(super) fn hand_over(&mut self, line: Channel, leases: Option<LeaseHandover>) {
        self.shared.stand(BalanceState::HandedOver);
        // Either this sees a request's hold, or the request sees the handover.
        fence(Ordering::SeqCst);
        let held = |credit_account: &Arc<CreditAccount>| (Arc::clone(credit_account), credit_account.snapshot().held);
        let held: Vec<(Arc<CreditAccount>, u64)> =
            self.register.all().map(held).filter(|(_, held)| *held > 0).collect();
        // What was settled before that is in the queue.
        let mut borrowers = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                LedgerCommand::Borrow(credit_account, credits, told) => borrowers.push((credit_account, credits, told)),
                order => self.take(order),
            }
        }
        self.write_charges();
        self.write_rates(true);
        self.store = None;
        match SuccessorLink::inform(line, (&held, leases), self.sender.clone(), Arc::clone(&self.shared)) {
            Ok(mut link) => {
                for charge in std::mem::take(&mut self.pending) {
                    self.count_out(1);
                    link.charge(charge);
                }
                // What could not be written is known nowhere else.
                self.waiting.clear();
                if let Some(rates) = &self.rates {
                    for meter in std::mem::take(&mut self.counted) {
                        meter.looked_at();
                        link.count(meter.account.to_string(), rates.handed_over(&meter), None);
                    }
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
