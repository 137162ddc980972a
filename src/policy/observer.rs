//! Who watches a request being judged: nobody in the gateway, a recorder when a decision is explained.
//!
//! Every check of `admit` is handed to an observer with its outcome. The gateway's observer is
//! [`Unobserved`], a type without size whose methods are empty, so that the compiler leaves nothing
//! of them on a request's path. An observer is only notified; it cannot change the decision. What a
//! check compares with, and in which order checks come, is not known here.

use crate::policy::problem::Problem;

/// One check of a request, from its head to the credits that pay it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'p> {
    /// The head is one well-formed head, within its limits.
    Head,
    /// No token is sent twice.
    OneToken,
    /// There is room for one more request.
    Room,
    /// A browser's question comes from a domain that some token has.
    Preflight,
    /// The path and the method have a route.
    Route,
    /// There is a token.
    Token,
    /// The token is known.
    Principal,
    /// The token is switched on, and its last day has not passed.
    InForce,
    /// The token covers the product.
    Product,
    Networks,
    Domains,
    Rate,
    Accept,
    ContentType,
    Deadline,
    /// The rule of the header with this name.
    Header(&'p str),
    /// The body has no more bytes than the route allows.
    BodySize,
    /// The body is what the product's schema wants.
    Body,
    /// The balance covers the highest price.
    Credits,
}

/// Is told of every check that is made, in order.
pub trait Observer<'p> {
    /// A check was made: it refused the request, or let it pass.
    fn saw(&mut self, check: Check<'p>, refusal: Option<Problem>);

    /// Hands an outcome on as it is, once it was seen.
    #[inline(always)]
    fn pass<T>(&mut self, check: Check<'p>, outcome: Result<T, Problem>) -> Result<T, Problem> {
        self.saw(check, outcome.as_ref().err().copied());
        outcome
    }
}

/// The gateway's observer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer<'_> for Unobserved {
    #[inline(always)]
    fn saw(&mut self, _check: Check<'_>, _refusal: Option<Problem>) {}
}

const _: () = assert!(size_of::<Unobserved>() == 0);
