//! The selection of rows to read.

use std::sync::Arc;

use crate::policy::credits::CreditAccount;

/// The rows to read, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Only those of one credit account.
    pub credit_account: Option<Arc<CreditAccount>>,
    /// Only those of one account.
    pub account: Option<Box<str>>,
    /// Only those written at this time or later, in seconds since 1970.
    pub since: Option<u64>,
    /// Only those written before this time.
    pub until: Option<u64>,
    /// Only rows after this id.
    pub after: i64,
    /// The most rows.
    pub rows: u32,
}
