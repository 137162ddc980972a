//! What operators ask the ledger for, and why it can refuse.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::entry::{Entry, Kind};
use super::fault::LedgerFault;
use super::file::LedgerFile;
use super::page::Page;
use crate::policy::credits::CreditAccount;
use crate::policy::credits::balance::MAX_CREDITS;

/// Work of others with the open file, or with the fault that keeps it shut.
pub(super) type Errand = Box<dyn FnOnce(Result<&mut LedgerFile, LedgerFault>) + Send>;

/// What an operator wants to know or to change.
pub(super) enum Question {
    Correct(Correction, oneshot::Sender<Result<Corrected, Refusal>>),
    Page(Page, oneshot::Sender<Result<Vec<Entry>, Refusal>>),
    /// Of somebody who has tables of its own in the file.
    Errand(Errand),
}

/// A grant or an adjustment.
#[derive(Clone, Debug)]
pub struct Correction {
    pub credit_account: Arc<CreditAccount>,
    pub kind: Kind,
    /// Credits; negative to take some away.
    pub amount: i64,
    /// What makes it happen only once, however often it is sent.
    pub key: String,
    pub by: String,
    pub why: String,
}

/// A correction that is in the file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Corrected {
    pub entry: Entry,
    /// It was there already, from an earlier request with this key.
    pub again: bool,
    /// What the next request can hold.
    pub balance: u64,
}

/// Why the ledger did not do what an operator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file cannot be used. A correction may be in it all the same: sent again with its key, it
    /// happens once.
    Unusable(LedgerFault),
    /// The key belongs to another correction.
    KeyTaken,
    /// The balance would have more credits than it can count.
    TooMuch,
    /// Fewer credits are available than are to be taken away.
    TooLittle,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unusable(fault) => write!(formatter, "the ledger cannot be used: {fault}"),
            Refusal::KeyTaken => formatter
                .write_str("the key was used for another amount or kind; use a new key, or the same words as before"),
            Refusal::TooMuch => {
                write!(formatter, "the balance would have more than {} credits; grant less", MAX_CREDITS)
            }
            Refusal::TooLittle => {
                formatter.write_str("fewer credits than that are available; take away at most what is available")
            }
        }
    }
}

/// What the ledger will answer.
pub struct Answer<T>(pub(super) oneshot::Receiver<Result<T, Refusal>>);

/// The fault of a ledger without a task.
const ENDED: Refusal = Refusal::Unusable(LedgerFault::new("it has been closed; start the program again"));

impl<T> Answer<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// Why the ledger did not do it.
    pub async fn wait(self) -> Result<T, Refusal> {
        self.0.await.unwrap_or(Err(ENDED))
    }

    /// Waits for it and lets the thread stand still, for a program that does nothing else.
    ///
    /// # Errors
    /// Why the ledger did not do it.
    pub fn wait_here(self) -> Result<T, Refusal> {
        self.0.blocking_recv().unwrap_or(Err(ENDED))
    }
}
