//! The configuration that is in force while another one is loaded, and what the new one takes of it.

use std::cell::Cell;
use std::sync::Arc;

use crate::policy::Policy;
use crate::policy::credits::CreditAccount;

/// The configuration that is in force while another one is loaded, which goes on with what it can.
pub struct Predecessor<'p> {
    pub policy: &'p Policy,
    /// The credits of an account for a product, if they are known.
    pub credit_account: &'p dyn Fn(&str, &str) -> Option<Arc<CreditAccount>>,
}

/// Ways to the same accounts that save most of the work, and know no places: what is wrong has to be
/// looked for without them.
pub struct Shortcuts<'p> {
    pub predecessor: Option<&'p Predecessor<'p>>,
    /// Whether one of them was taken.
    pub taken: Cell<bool>,
}
