//! What of a request with a key is compared with another one of the same key.
//!
//! It is all that the answer depends on, by the configuration: the method, the route, the path and the query as the backend
//! gets them, the body as it was judged, the format and the types that the client accepts, and headers that the product has
//! a rule for. What differs between two attempts of one request is not in it: the token of the account, the reference, the
//! deadline, and trace headers.

use super::{IdempotencyRule, KeyedRequest, Secret};
use crate::policy::http::head::Head;
use crate::policy::lookup::Priced;

/// A header that backends may choose the language of texts by, whether or not the product has a rule for it.
const LANGUAGE: &str = "accept-language";

impl Priced<'_> {
    /// The digests of a request with a key; `None` where the product takes none, or the request has none. `sent` is its
    /// body as it came.
    #[inline]
    pub fn keyed(&self, head: &Head<'_>, sent: &[u8], secret: &Secret) -> Option<KeyedRequest> {
        let rule = self.admission().product().idempotency.as_ref()?;
        let key = rule.key(&head.lines)?;
        Some(self.keyed_by((rule, key), head, sent, secret))
    }

    #[inline(never)]
    fn keyed_by(
        &self,
        (rule, key): (&IdempotencyRule, &[u8]),
        head: &Head<'_>,
        sent: &[u8],
        secret: &Secret,
    ) -> KeyedRequest {
        let admission = self.admission();
        let (product, route) = (admission.product(), admission.route());
        let mut of_key = secret.digest(b"key");
        for part in [admission.principal().account.name.as_bytes(), product.name.as_bytes(), key] {
            of_key.add(part);
        }
        let mut request = secret.digest(b"request");
        let mut target = Vec::new();
        route.write_target(&mut target, head, &product.token_parameters);
        for part in [head.lines.method.as_bytes(), route.path.text.as_bytes(), &target] {
            request.add(part);
        }
        let body = if route.body.is_some() { self.body(sent) } else { b"" };
        request.add(body);
        let best = product.media.best_of_json(&head.lines).map_or("", |best| best.name());
        request.add(best.as_bytes());
        let mut accepted = Vec::new();
        if product.media.served.len() > 1 {
            product.media.write_accepted(&mut accepted, &head.lines);
        }
        request.add(&accepted);
        let judged = product.headers.iter().filter(|header| !header.echo).map(|header| &*header.name);
        for name in judged.chain([LANGUAGE]).filter(|name| !name.eq_ignore_ascii_case(&rule.header)) {
            request.add(name.as_bytes());
            head.lines.values(name).for_each(|value| request.add(value));
        }
        KeyedRequest { key: of_key.end(), request: request.end() }
    }
}
