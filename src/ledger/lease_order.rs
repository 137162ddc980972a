//! What requests and the process tell the thread that drives leases.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::oneshot;

use super::lease::driver::Verdict;
use crate::policy::credits::CreditAccount;

/// What the thread is told.
pub enum LeaseOrder {
    /// A request needs so many credits, and finds too few. With [`Verdict::Try`] it looks again.
    Short(Arc<CreditAccount>, u32, oneshot::Sender<Verdict>),
    /// Take no more leases, and end when no request holds credits. This is told then.
    End(SyncSender<()>),
}
