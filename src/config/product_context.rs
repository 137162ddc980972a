//! What the compilers of products need.

use std::collections::BTreeSet;

use super::source::Source;
use crate::config::yaml::Place;
use crate::policy::Policy;
use crate::policy::check::body::Schema;
use crate::site::brand::Site;
use crate::upstream::settings::Upstream;

/// What the compilers of products need.
pub struct ProductContext<'c> {
    /// The root of the configuration.
    pub root: &'c Place,
    /// The text of the file that products are written in.
    pub text: &'c str,
    pub upstreams: &'c [Upstream],
    /// The token headers of all products, in lower case.
    pub token_headers: &'c BTreeSet<String>,
    pub source: &'c Source,
    /// The identity providers.
    pub jwt: &'c super::jwt::Compiled,
    /// The site, if pages are served.
    pub site: Option<&'c Site>,
    /// The previous policy, if there is one.
    pub before: Option<&'c Policy>,
}

impl<'c> ProductContext<'c> {
    /// The schemas of bodies that are compiled already.
    pub fn known_schemas(&self) -> impl Iterator<Item = &'c Schema> {
        let products = self.before.into_iter().flat_map(|before| &before.products);
        let routes = products.flat_map(|product| &product.routes);
        routes.filter_map(|route| route.body.as_ref()?.schema.as_deref())
    }
}
