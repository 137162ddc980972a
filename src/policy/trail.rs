//! What is known about a request when it is admitted or refused.

use crate::policy::Product;
use crate::policy::account::Principal;

/// What became known of a request on the way, also when it was refused: an answer's headers
/// depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trail<'p> {
    pub product: Option<&'p Product>,
    pub principal: Option<Principal<'p>>,
}
