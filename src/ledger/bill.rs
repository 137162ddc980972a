//! The bill for an answer: from its price to the charge.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Ledger;
use super::order::{Recorded, Stage};
use super::settings::Durability;
use crate::policy::credits::{CreditAccount, Hold, Receipt};
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::problem::{Problem, Row};

/// The price of an answer and who pays it. A bill that is dropped before it has [fallen
/// due](Bill::fall_due) is not charged.
#[must_use = "a bill that is dropped is not charged"]
pub struct Bill<'p> {
    ledger: &'p Ledger,
    /// `None` if it costs nothing.
    due: Option<Due<'p>>,
    recorded: Option<Recorded>,
}

struct Due<'p> {
    credit_account: &'p Arc<CreditAccount>,
    hold: Hold<'p>,
    price: u32,
    transaction: TransactionId,
}

impl<'p> Bill<'p> {
    /// A bill over nothing.
    pub fn nothing(ledger: &'p Ledger) -> Bill<'p> {
        Bill { ledger, due: None, recorded: None }
    }

    /// The bill for an answer that costs `price`, limited to what was held; the rest is available from here on.
    pub fn new(ledger: &'p Ledger, mut hold: Hold<'p>, price: u32, transaction: &TransactionId) -> Bill<'p> {
        let Some(credit_account) = hold.credit_account() else { return Bill::nothing(ledger) };
        if price > hold.amount() {
            ledger.shared.figures.capped.inc();
        }
        let price = price.min(hold.amount());
        hold.reduce(price);
        let due = Due { credit_account, hold, price, transaction: *transaction };
        Bill { ledger, due: Some(due), recorded: None }
    }

    /// What it costs.
    pub fn price(&self) -> u32 {
        self.due.as_ref().map_or(0, |due| due.price)
    }

    /// The receipt; `None` for an account that does not pay.
    pub fn receipt(&self) -> Option<Receipt> {
        self.due.as_ref().map(|due| due.hold.receipt(due.price))
    }

    /// Waits until the charge is written, if that must happen before the answer.
    ///
    /// # Errors
    /// `internal` if it cannot be written; nothing is charged then.
    pub async fn record(&mut self) -> Result<(), Problem> {
        let Some(due) = self.due.as_ref().filter(|_| self.is_written_first()) else {
            return Ok(());
        };
        let (sender, written) = oneshot::channel();
        self.ledger.charge(due.credit_account, due.price, due.transaction, Stage::Waiting(sender));
        let failed = Problem::new(Row::Internal, "the charge could not be written");
        self.recorded = Some(written.await.map_err(|_| failed)?);
        Ok(())
    }

    /// Whether the charge has to be written before the answer is sent.
    pub fn is_written_first(&self) -> bool {
        self.ledger.durability == Durability::Each && self.due.as_ref().is_some_and(|due| due.price > 0)
    }

    /// Whether the charge is written already.
    pub fn is_written(&self) -> bool {
        self.recorded.is_some()
    }

    /// Charges for an answer whose first byte was handed to the client's connection (contract,
    /// section 7). Only the first call charges; returns the credits that this one has charged.
    pub fn fall_due(&mut self) -> u32 {
        let Some(Due { credit_account, hold, price, transaction }) = self.due.take() else { return 0 };
        if price > 0 {
            self.ledger.shared.figures.charged.inc_by(u64::from(price));
            match self.recorded.take() {
                Some(mut recorded) => recorded.charge = None,
                None => self.ledger.charge(credit_account, price, transaction, Stage::Delivered),
            }
        }
        // Last, so that at every moment the spent credits are held or in the queue to the file.
        hold.settle(price);
        price
    }
}
