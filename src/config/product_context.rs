//! What all products of a configuration are compiled with.

use std::collections::BTreeSet;

use super::source::Source;
use crate::config::yaml::Place;
use crate::policy::Policy;
use crate::policy::check::body::Schema;
use crate::site::brand::Site;
use crate::upstream::settings::Upstream;

/// What products are compiled with.
pub struct ProductContext<'c> {
    /// The root of the configuration.
    pub root: &'c Place,
    /// The text of the file that products are written in.
    pub text: &'c str,
    pub upstreams: &'c [Upstream],
    /// Every product's headers for tokens, in lower case.
    pub token_headers: &'c BTreeSet<String>,
    pub source: &'c Source,
    /// Where pages are, if there are any.
    pub site: Option<&'c Site>,
    /// The policy that is followed, if there is one.
    pub before: Option<&'c Policy>,
}

impl<'c> ProductContext<'c> {
    /// The schemas of bodies that are compiled already.
    pub fn known_schemas(&self) -> impl Iterator<Item = &'c Schema> {
        let products = self.before.into_iter().flat_map(|before| &before.products);
        products.filter_map(|product| product.body.as_ref()?.schema.as_deref())
    }
}
