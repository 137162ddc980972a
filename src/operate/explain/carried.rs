//! A token in the place where the product of a request takes one: for requests that are judged as if they came with a
//! token that nobody has to know.

use super::asked::Asked;
use crate::policy::check::token::{Carried, TokenPlace};
use crate::policy::{Handler, Policy};

/// A text that no token has, for a request that is judged once.
pub fn secret() -> String {
    format!("tg_test_{}", uuid::Uuid::new_v4().simple())
}

/// Puts a token into a request, where the product of its path takes one first.
pub fn put(asked: &mut Asked, token: &str, policy: &Policy) {
    match place(policy, &asked.method, &asked.target) {
        None => asked.headers.insert(0, ("Auth-Token".to_owned(), token.as_bytes().to_vec())),
        Some(place) => match place.example(token) {
            Carried::Header(name, value) => asked.headers.insert(0, (name.to_owned(), value.into_bytes())),
            Carried::Query(member) => {
                let separator = if asked.target.contains('?') { '&' } else { '?' };
                asked.target = format!("{}{separator}{member}", asked.target);
            }
        },
    }
}

/// Where the product of a path takes tokens first, or any product if the path has none.
fn place<'p>(policy: &'p Policy, method: &str, target: &str) -> Option<&'p TokenPlace> {
    let path = policy.paths.find_anywhere(target.split('?').next().unwrap_or_default());
    let of_product = match path.and_then(|path| policy.at(path.endpoint(method)?)) {
        Some(Handler::Lookup(product, _)) => product.token_places.first(),
        Some(Handler::Credits | Handler::Page(_)) | None => None,
    };
    of_product.or(policy.token_places.first())
}
