//! Which rows of the ledger somebody wants to read.

use std::sync::Arc;

use crate::policy::credits::CreditAccount;

/// Which rows an operator wants to see, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Those of one credit account alone.
    pub credit_account: Option<Arc<CreditAccount>>,
    /// Those of one account alone.
    pub account: Option<Box<str>>,
    /// Those written at this time or later, in seconds since 1970.
    pub since: Option<u64>,
    /// Those written before this time.
    pub until: Option<u64>,
    /// Rows after this id.
    pub after: i64,
    /// How many at the most.
    pub rows: u32,
}
