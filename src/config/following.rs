//! The configuration in force while another one is loaded, and what the new one takes over from it.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use super::source::Source;
use crate::policy::Policy;
use crate::policy::account::directory::Accounts;
use crate::policy::credits::CreditAccount;
use crate::policy::seconds::Seconds;

/// The configuration in force while another one is loaded. Unchanged parts are taken over.
pub struct Predecessor<'p> {
    pub policy: &'p Policy,
    /// The credit account of an account for a product, if it exists.
    pub credit_account: &'p dyn Fn(&str, &str) -> Option<Arc<CreditAccount>>,
}

/// What a configuration is read beside.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub source: &'a Source,
    /// All accounts in force; those of the store stay, and files cannot have what they have.
    pub from_store: Option<&'a Accounts>,
    /// Files whose accounts are read in place of all others, for an import; those of the configuration, if there are
    /// none.
    pub instead: Option<&'a [PathBuf]>,
    /// Seconds of Unix time.
    pub now: Seconds,
}

/// Shortcuts to unchanged accounts, which save most of the work but have no places: to report
/// mistakes, the configuration is compiled again without them.
pub struct Shortcuts<'p> {
    pub predecessor: Option<&'p Predecessor<'p>>,
    /// Whether one of them was used.
    pub taken: Cell<bool>,
}
