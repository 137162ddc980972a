//! The file comes from the process before this one, and goes to a successor.
//!
//! What the two say to each other is `succession.rs`.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Task;
use crate::ledger::succession::{Estate, Heir};
use crate::ledger::{Order, Standing};
use crate::platform::channel::Channel;
use crate::policy::credits::Licence;

impl Task {
    /// Opens the file as soon as the process before this one has let it go, and serves its last
    /// requests.
    pub(super) fn inherit(&mut self, line: Channel) {
        let estate = Estate::await_from(&line);
        self.estate = Some(estate.clone());
        self.recover();
        estate.serve(line, Arc::clone(&self.register), self.sender.clone(), Arc::clone(&self.shared));
    }

    /// Lets the file go to a successor: all that is to be written is, and what requests hold is
    /// told, before it has the file.
    pub(super) fn hand_over(&mut self, line: Channel) {
        self.shared.stand(Standing::HandedOver);
        // Either this sees a request's hold, or the request sees that it is handed over.
        fence(Ordering::SeqCst);
        let held = |licence: &Arc<Licence>| (Arc::clone(licence), licence.snapshot().held);
        let held: Vec<(Arc<Licence>, u64)> =
            self.register.all().iter().map(held).filter(|(_, held)| *held > 0).collect();
        // What was settled before that is in the queue.
        let mut borrowers = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Borrow(licence, credits, told) => borrowers.push((licence, credits, told)),
                order => self.take(order),
            }
        }
        self.write_charges();
        self.write_rates();
        self.store = None;
        match Heir::inform(line, &held, self.sender.clone(), Arc::clone(&self.shared)) {
            Ok(mut heir) => {
                for charge in std::mem::take(&mut self.pending) {
                    self.count_out(1);
                    heir.charge(charge);
                }
                for (licence, credits, told) in borrowers {
                    heir.borrow(licence, credits, told);
                }
                self.heir = Some(heir);
            }
            Err(error) => {
                log::error!(target: "tollgate::ledger", "the ledger could not be handed over: {error}");
            }
        }
    }
}
