//! The end of a request: what its answer costs, and the record of it, as one value.
//!
//! A priced answer is due when its first byte, its headers included, is handed to the client's
//! connection (contract, section 7). Until then a settlement that is dropped gives the hold back;
//! from then on the charge stands, whatever the client does. How bytes are handed over is `http1.rs`
//! and `http2.rs`.

use std::sync::Arc;

use crate::ledger::bill::Bill;
use crate::telemetry::request_record::RequestRecord;

/// What is left to be done for a request whose answer is ready.
#[must_use = "a request ends with its settlement"]
pub(crate) struct Settlement<'g> {
    bill: Bill<'g>,
    record: RequestRecord<'g>,
}

impl<'g> Settlement<'g> {
    /// The settlement of an answer. A charge that had to be written before the answer leaves stands
    /// from here on: a client that leaves in between cannot make the ledger grow by a charge and its
    /// refund.
    pub(crate) fn new(mut bill: Bill<'g>, record: RequestRecord<'g>) -> Settlement<'g> {
        if bill.is_written() {
            bill.fall_due();
        }
        Settlement { bill, record }
    }

    /// The first byte of the answer was handed to the client's connection. Only the first call counts.
    pub(crate) fn begun(&mut self) {
        self.bill.fall_due();
    }

    /// The whole answer was handed to the client's connection.
    pub(crate) fn delivered(mut self) {
        self.begun();
        self.record.delivered();
    }

    /// The answer was not taken whole. What was handed over stays charged, and a hold on an answer of
    /// which nothing was handed over is given back.
    pub(crate) fn broken_off(self) {}

    /// Whose answer it is; `None` for strangers, and for what was refused before the token was known.
    pub(crate) fn account(&self) -> Option<&'g Arc<str>> {
        self.record.account()
    }

    /// Whether the request was let in, so that it counts as one in flight until its answer is taken. A
    /// refusal or a page does not: strangers can ask for those without end.
    pub(crate) fn is_served_customer(&self) -> bool {
        self.account().is_some() && self.record.is_answered()
    }
}
