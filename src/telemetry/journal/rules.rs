//! What the rules of a policy are, for readers of the journal: each as a short digest of all that it is made of.
//!
//! Where two policies have the same digest, both decide the same of the same values. Two programs of different versions
//! may have different digests of the same rule, which only leaves more undecided.

use std::fmt::{self, Debug, Write};

use sha2::{Digest as _, Sha256};

use super::line::{ProductRules, RouteRules, Rules};
use super::note::ALWAYS_READ;
use crate::policy::http::trace_context::write_hex;
use crate::policy::route::Route;
use crate::policy::{Frame, Product};

/// Bytes of a rule's digest, of which each is two digits.
const RULE_BYTES: usize = 6;

/// Bytes of a policy's digest.
const VERSION_BYTES: usize = 8;

/// Digests what is written to it.
struct Digesting(Sha256);

impl Write for Digesting {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn digest(of: &dyn Debug, bytes: usize) -> String {
    let mut digesting = Digesting(Sha256::new());
    // Writing to a digest cannot fail.
    let _ = write!(digesting, "{of:?}");
    digits(&digesting.0.finalize(), bytes)
}

/// The first bytes of a digest, as hexadecimal digits.
pub fn digits(digest: &[u8], bytes: usize) -> String {
    let mut text = Vec::with_capacity(2 * bytes);
    write_hex(&mut text, digest.get(..bytes).unwrap_or(digest));
    String::from_utf8(text).unwrap_or_default()
}

/// A method and a path, as a route is called.
pub fn name_of(route: &Route) -> String {
    format!("{} {}", route.method, route.path.text)
}

/// The rules of a policy, but of its accounts.
pub fn of(frame: &Frame) -> Rules {
    let products = frame.products.iter().map(|product| (product.name.to_string(), of_product(product)));
    let mut headers: Vec<String> = ALWAYS_READ.iter().map(ToString::to_string).collect();
    let echoed = frame.echoed.iter().map(|rule| rule.name.to_ascii_lowercase());
    headers.extend(echoed.chain(frame.products.iter().flat_map(headers_of)));
    headers.sort_unstable();
    headers.dedup();
    let mut paths: Vec<String> = frame.products.iter().flat_map(paths_of).collect();
    paths.extend(frame.paths.iter().map(|(path, _)| path.to_owned()));
    paths.sort_unstable();
    paths.dedup();
    let mut rules = Rules {
        rules_of: String::new(),
        token_places: frame.token_places.iter().map(ToString::to_string).collect(),
        headers,
        paths,
        products: products.collect(),
    };
    let beside = (&frame.limits, &frame.trusted_proxies, &frame.products, &frame.plans, &frame.account_info.window);
    rules.rules_of = digest(&(&rules, beside, &frame.issuers), VERSION_BYTES);
    rules
}

/// The headers that a product looks at, in lower case.
pub fn headers_of(product: &Product) -> Vec<String> {
    let key = product.idempotency.as_ref().map(|rule| &*rule.header);
    let of_rules = product.headers.iter().map(|rule| &*rule.name).chain(product.deadline.header.as_deref());
    of_rules.chain(key).map(str::to_ascii_lowercase).collect()
}

fn paths_of(product: &Product) -> impl Iterator<Item = String> {
    product.routes.iter().map(|route| route.path.text.to_string())
}

/// The rules of a product.
pub fn of_product(product: &Product) -> ProductRules {
    let rule = |of: &dyn Debug| digest(of, RULE_BYTES);
    ProductRules {
        headers: product.headers.iter().map(|one| (one.name.to_ascii_lowercase(), rule(one))).collect(),
        idempotency: product.idempotency.as_ref().map(|one| rule(one)),
        routes: product.routes.iter().map(|route| (name_of(route), of_route(product, route))).collect(),
    }
}

fn of_route(product: &Product, route: &Route) -> RouteRules {
    let rule = |of: &dyn Debug| digest(of, RULE_BYTES);
    RouteRules {
        parameters: route.parameters.iter().map(|one| (one.name.to_string(), rule(one))).collect(),
        body: route.body.as_ref().map(|one| rule(one)),
        answers: rule(&(&route.answers, &product.media)),
        price: route.tariff.as_ref().map(|one| rule(one)),
    }
}
