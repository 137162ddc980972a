//! Requests of operators to the ledger, and why they can be refused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::entry::{Entry, Kind};
use super::fault::LedgerFault;
use super::file::LedgerFile;
use super::page::Page;
use crate::policy::credits::CreditAccount;
use crate::policy::credits::balance::MAX_CREDITS;

/// A function that gets the open file, or the fault because of which it is not open.
pub(super) type Errand = Box<dyn FnOnce(Result<&mut LedgerFile, LedgerFault>) + Send>;

/// A request of an operator.
pub(super) enum Question {
    Correct(Correction, oneshot::Sender<Result<Corrected, Refusal>>),
    Page(Page, oneshot::Sender<Result<Vec<Entry>, Refusal>>),
    /// A function for other tables in the file.
    Errand(Errand),
}

/// A grant or an adjustment.
#[derive(Clone, Debug)]
pub struct Correction {
    pub credit_account: Arc<CreditAccount>,
    pub kind: Kind,
    /// Credits; negative to remove some.
    pub amount: i64,
    /// The idempotency key.
    pub key: String,
    pub by: String,
    pub why: String,
}

/// A correction that is in the file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Corrected {
    pub entry: Entry,
    /// Whether it existed already, from an earlier request with this key.
    pub again: bool,
    /// The available credits.
    pub balance: u64,
}

/// Why the ledger refused a request of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file cannot be used. A correction may be in it anyway; if it is sent again with its key,
    /// it is applied only once.
    Unusable(LedgerFault),
    /// The key belongs to another correction.
    KeyTaken,
    /// The balance would have more credits than it can count.
    TooMuch,
    /// Fewer credits are available than should be removed.
    TooLittle,
    /// The database of a cluster does not answer. What was sent may be in it anyway; with its key it is applied only once.
    Unavailable,
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
            Refusal::TooLittle => formatter.write_str(
                "fewer credits than that are available; take away at most what is available, or try again if other \
                     gateways have some of them on lease",
            ),
            Refusal::Unavailable => formatter
                .write_str("the database of credits does not answer; send it again, with the same key if it has one"),
        }
    }
}

/// A pending answer of the ledger.
pub struct Answer<T>(pub(super) oneshot::Receiver<Result<T, Refusal>>);

/// The fault of a ledger without a task.
const ENDED: Refusal = Refusal::Unusable(LedgerFault::new("it has been closed; start the program again"));

impl<T> Answer<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// Why the ledger refused it.
    pub async fn wait(self) -> Result<T, Refusal> {
        self.0.await.unwrap_or(Err(ENDED))
    }

    /// Waits for it for so long.
    ///
    /// # Errors
    /// Why the ledger refused it, or that it does not answer.
    pub async fn wait_for(self, time: Duration) -> Result<T, Refusal> {
        tokio::time::timeout(time, self.wait()).await.unwrap_or(Err(Refusal::Unavailable))
    }

    /// Blocks the thread until it arrives, for the command line.
    ///
    /// # Errors
    /// Why the ledger refused it.
    pub fn wait_here(self) -> Result<T, Refusal> {
        self.0.blocking_recv().unwrap_or(Err(ENDED))
    }
}
