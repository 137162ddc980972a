//! The end of a request: the bill for its answer and its record, as one value.
//!
//! A priced answer is due when its first byte, its headers included, is handed to the client's
//! connection (contract, section 7). Until then a settlement that is dropped gives the hold back;
//! from then on the charge stands, whatever the client does. The bytes are handed over in
//! `downstream/http1.rs` and `http2.rs`. An answer that is kept under a key is paid at the same moment, and costs whoever
//! sends the request again nothing from then on (contract, section 14).

use std::sync::Arc;

use super::idempotency::Lead;
use super::shares::Share;
use crate::ledger::bill::Bill;
use crate::telemetry::request_record::RequestRecord;

/// What is left to do for a request whose answer is ready.
#[must_use = "a request ends with its settlement"]
pub(crate) struct Settlement<'g> {
    bill: Bill<'g>,
    record: RequestRecord<'g>,
    /// Of an answer that is kept under a key and not paid yet.
    lead: Option<Lead<'g>>,
    /// Its part of what its account has in flight.
    _share: Option<Share<'g>>,
}

impl<'g> Settlement<'g> {
    /// The settlement of an answer. A charge that was written before the answer stands from here
    /// on: otherwise a client that disconnects now would add a charge and a refund to the ledger
    /// each time.
    pub(crate) fn new(
        bill: Bill<'g>,
        record: RequestRecord<'g>,
        lead: Option<Lead<'g>>,
        share: Option<Share<'g>>,
    ) -> Settlement<'g> {
        let mut settlement = Settlement { bill, record, lead, _share: share };
        if settlement.bill.is_written() {
            settlement.begun();
        }
        settlement
    }

    /// The first byte of the answer was handed to the client's connection. Only the first call counts.
    pub(crate) fn begun(&mut self) {
        self.record.charged(self.bill.fall_due());
        if let Some(lead) = self.lead.take() {
            lead.paid();
        }
    }

    /// The whole answer was handed to the client's connection.
    pub(crate) fn delivered(mut self) {
        self.begun();
        self.record.delivered();
    }

    /// The answer was not delivered completely. If a part of it was handed over, it stays charged;
    /// otherwise the hold is returned.
    pub(crate) fn broken_off(self) {}

    /// The account; `None` for requests without a known token.
    pub(crate) fn account(&self) -> Option<&'g Arc<str>> {
        self.record.account()
    }

    /// Whether the request was admitted, so that it counts as in flight until its answer was
    /// received. A refusal or a page does not count: strangers can request any number of them.
    pub(crate) fn is_served_customer(&self) -> bool {
        self.account().is_some() && self.record.is_answered()
    }
}
