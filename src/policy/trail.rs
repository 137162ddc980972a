//! What is known about a request when it is admitted or refused.

use crate::policy::Product;
use crate::policy::account::Principal;
use crate::policy::check::watch::Watched;
use crate::policy::route::Route;

/// What became known of a request on the way, also when it was refused: an answer's headers
/// depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trail<'p> {
    pub product: Option<&'p Product>,
    /// The route of the product, but of a preflight.
    pub route: Option<&'p Route>,
    pub principal: Option<Principal<'p>>,
    /// What lists would have refused that are only watched.
    pub watched: Watched,
    /// A quota has counted the request.
    pub counted: bool,
}

impl Trail<'_> {
    /// Whether such lookups cost the account credits.
    pub fn pays(&self) -> bool {
        self.route.is_some_and(|route| route.tariff.is_some())
            && self
                .product
                .zip(self.principal)
                .is_some_and(|(product, principal)| principal.account.credit_accounts.of(product.balance).is_some())
    }
}
