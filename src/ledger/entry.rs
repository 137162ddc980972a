//! The rows of the ledger, as they are written, shown and exported.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::LedgerFault;
use crate::policy::credits::CreditAccount;
use crate::policy::credits::balance::BalanceSnapshot;
use crate::policy::http::transaction_id::TransactionId;

/// The key of the row of a first grant, which operators cannot use.
pub const FIRST_GRANT: &str = "first-grant";

/// The kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Credits that were given or sold.
    Grant,
    /// A correction up or down.
    Adjustment,
    /// The price of lookups.
    Charge,
    /// A refund of a charge whose answer was not delivered.
    Refund,
}

impl Kind {
    /// The word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Grant => "grant",
            Kind::Adjustment => "adjustment",
            Kind::Charge => "charge",
            Kind::Refund => "refund",
        }
    }

    /// The kind for a word in the file.
    pub fn from_word(word: &str) -> Option<Kind> {
        [Kind::Grant, Kind::Adjustment, Kind::Charge, Kind::Refund].into_iter().find(|kind| kind.word() == word)
    }
}

/// One row, which is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Grows from row to row.
    pub id: i64,
    /// When it was written: RFC 3339, UTC, with milliseconds.
    pub at: String,
    pub account: String,
    pub product: String,
    pub kind: Kind,
    /// What it adds to the balance, in credits; charges are negative.
    pub amount: i64,
    /// The number of lookups that a charge or refund is for.
    pub lookups: i64,
    /// Its origin: the Transaction-Id of one lookup, or the batch of several.
    pub reference: String,
    /// Its idempotency key, if it has one.
    pub key: Option<String>,
    /// Who wrote it: `gateway`, `configuration`, or an operator's name.
    pub by: String,
    /// The reason, in the operator's words.
    pub why: String,
}

/// A balance at one moment, as operators see it. `granted` is always the sum of `balance`, `held`
/// and `spent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    pub account: String,
    pub product: String,
    /// The available credits.
    pub balance: u64,
    /// The credits that requests in flight hold.
    pub held: u64,
    pub spent: u64,
    pub granted: u64,
}

impl Statement {
    /// The balance of a credit account.
    pub fn of(credit_account: &Arc<CreditAccount>) -> Statement {
        let BalanceSnapshot { granted, available, held, spent } = credit_account.shown();
        let (account, product) = credit_account.key();
        let (account, product) = (account.to_owned(), product.to_owned());
        Statement { account, product, balance: available, held, spent, granted }
    }
}

/// A row to write.
#[derive(Clone, Debug)]
pub struct Draft {
    pub account: Arc<str>,
    pub product: Arc<str>,
    pub kind: Kind,
    pub amount: i64,
    pub lookups: i64,
    pub reference: Reference,
    pub key: Option<String>,
    pub by: String,
    pub why: String,
}

/// The origin of a row.
#[derive(Clone, Debug)]
pub enum Reference {
    /// The write that it is part of.
    Batch,
    /// One lookup, by its Transaction-Id.
    Transaction(TransactionId),
}

/// The last write in the file: its number, and a random nonce that distinguishes it from the write
/// with this number in another copy of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub batch: i64,
    pub nonce: i64,
}

/// A time in the format of rows.
pub fn timestamp(unix_milliseconds: i64) -> Result<String, LedgerFault> {
    DateTime::from_timestamp_millis(unix_milliseconds)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .ok_or(LedgerFault::new("the clock is outside the years that can be written"))
}
