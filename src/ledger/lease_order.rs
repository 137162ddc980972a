//! What requests, operators and the process tell the thread that drives leases.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::entry::Entry;
use super::lease::driver::Verdict;
use super::lease::node::TakenOver;
use super::page::Page;
use super::question::{Corrected, Correction, Refusal};
use crate::policy::credits::CreditAccount;

/// What the thread is told.
pub enum LeaseOrder {
    /// A request needs so many credits, and finds too few. With [`Verdict::Try`] it looks again.
    Short(Arc<CreditAccount>, u32, oneshot::Sender<Verdict>),
    /// Credit accounts that are in force from now on: what the configuration grants them is granted, once.
    First(Vec<Arc<CreditAccount>>),
    /// A grant or an adjustment of an operator.
    Correct(Correction, oneshot::Sender<Result<Corrected, Refusal>>),
    /// Find out what all gateways together have of these.
    Look(Vec<Arc<CreditAccount>>, oneshot::Sender<Result<(), Refusal>>),
    /// A request can take so long from here on.
    LongestRequest(Duration),
    /// Read grants and adjustments.
    Page(Page, oneshot::Sender<Result<Vec<Entry>, Refusal>>),
    /// Sell nothing from here on: another process takes over. It is told what that has to know, unless the identity is over.
    HandOver(SyncSender<Option<LeaseHandover>>),
    /// Take no more leases, and end when no request holds credits. This is told then.
    End(SyncSender<()>),
}

/// What the next process has to know of an identity beside what is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHandover {
    /// Whether it may sell, or still waits until it may.
    pub is_live: bool,
    /// The number and the nonce of the epoch.
    pub epoch: (u64, u64),
    /// Whether its counters were declared in this epoch.
    pub declared: bool,
    /// When the last heartbeat was sent that was acknowledged, and when the identity was: by the clock of this machine that
    /// counts from its start.
    pub renewed: u64,
    /// How long it could sell from then on.
    pub ttl: u64,
    pub joined: Option<u64>,
}

impl From<LeaseHandover> for TakenOver {
    fn from(told: LeaseHandover) -> TakenOver {
        let LeaseHandover { is_live, epoch: (number, nonce), declared, renewed, ttl, joined } = told;
        TakenOver { is_live, epoch: super::lease::message::Epoch { number, nonce }, declared, renewed, ttl, joined }
    }
}

impl LeaseOrder {
    /// Answers that nothing can be done. Returns whether the thread goes on.
    pub fn turn_away(self) -> bool {
        // Whoever is gone does not wait any more.
        match self {
            LeaseOrder::Short(_, _, told) => drop(told.send(Verdict::Unavailable)),
            // Read from the register by whoever begins.
            LeaseOrder::First(_) | LeaseOrder::LongestRequest(_) => {}
            LeaseOrder::Correct(_, told) => drop(told.send(Err(Refusal::Unavailable))),
            LeaseOrder::Look(_, told) => drop(told.send(Err(Refusal::Unavailable))),
            LeaseOrder::Page(_, told) => drop(told.send(Err(Refusal::Unavailable))),
            LeaseOrder::HandOver(told) => {
                let _ = told.send(None);
                return false;
            }
            LeaseOrder::End(told) => {
                let _ = told.send(());
                return false;
            }
        }
        true
    }
}
