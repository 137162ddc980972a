//! The names of the checks, their order and their rows; and who observes a request being judged: nobody in the
//! gateway, a recorder when a decision is explained.
//!
//! Every check of `admit` is handed to an observer with its outcome. The gateway's observer is
//! [`Unobserved`], a type without size whose methods are empty, so that the compiler leaves nothing of
//! them on a request's path. An observer is only notified; it cannot change the decision. What a check
//! compares with is not known here. [`CHECKS`] decides nothing either: tests hold `admit` and the contract
//! against it, and `explain` reads the rows there.

use std::mem::discriminant;

use crate::policy::problem::{Problem, Row};

/// One check of a request, from its head to the credits that pay it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'p> {
    /// The head is one well-formed head, within its limits.
    Head,
    /// No token is sent twice.
    OneToken,
    /// What the product takes as the key of a request is one (contract, section 14).
    OneKey,
    /// There is room for one more request.
    Room,
    /// A CORS preflight comes from a domain that some token has.
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
    /// The quotas of the day and the month are not used up.
    Quota,
    /// The account has not as many requests in flight as it may have.
    Concurrency,
    Accept,
    ContentType,
    Deadline,
    /// The parameters of the path and the query keep the rules of the route.
    Parameters,
    /// The rule of the header with this name.
    Header(&'p str),
    /// The body has no more bytes than the route allows.
    BodySize,
    /// The body is what the product's schema wants.
    Body,
    /// The key was not used for another request (contract, section 14).
    Idempotency,
    /// The balance covers the highest price.
    Credits,
}

/// Every check in the order in which they are made, and the rows that each can refuse with in their order; one
/// that belongs to a check before it as well stands last. A product's rows of its own are beside these: rules of
/// its body have them before [`Row::BodyInvalid`], and a header or a parameter can have one. A preflight ends with its check.
pub const CHECKS: [(Check<'static>, &[Row]); 24] = [
    (Check::Head, &[Row::MalformedRequest, Row::RequestTimeout]),
    (Check::OneToken, &[Row::MalformedRequest]),
    (Check::OneKey, &[Row::MalformedRequest]),
    (Check::Room, &[Row::Overloaded]),
    (Check::Preflight, &[Row::DomainNotAllowed]),
    (Check::Route, &[Row::EndpointUnknown]),
    (Check::Token, &[Row::TokenMissing]),
    (Check::Principal, &[Row::TokenUnknown, Row::UpstreamUnavailable]),
    (Check::InForce, &[Row::TokenDisabled, Row::TokenExpired]),
    (Check::Product, &[Row::ProductMismatch]),
    (Check::Networks, &[Row::IpNotAllowed]),
    (Check::Domains, &[Row::DomainNotAllowed]),
    (Check::Rate, &[Row::RateExceeded]),
    (Check::Quota, &[Row::QuotaExceeded]),
    (Check::Concurrency, &[Row::ConcurrencyExceeded]),
    (Check::Accept, &[Row::AcceptUnsupported]),
    (Check::ContentType, &[Row::ContentTypeUnsupported]),
    (Check::Deadline, &[Row::TimeoutInvalid]),
    (Check::Parameters, &[Row::ParameterInvalid]),
    (Check::Header(""), &[Row::ReferenceIdInvalid, Row::AddMetadataInvalid]),
    (Check::BodySize, &[Row::BodyTooLarge, Row::RequestTimeout]),
    (Check::Body, &[Row::BodyEmpty, Row::BodyMalformed, Row::BodyInvalid]),
    (Check::Idempotency, &[Row::IdempotencyKeyReused]),
    (Check::Credits, &[Row::CreditsInsufficient, Row::CreditsUnavailable, Row::Overloaded]),
];

impl Check<'_> {
    /// The rows that it can refuse with, beside those of a product's own.
    pub fn rows(self) -> &'static [Row] {
        CHECKS.get(self.position()).map_or(&[], |(_, rows)| rows)
    }

    /// Its index in [`CHECKS`].
    pub fn position(self) -> usize {
        CHECKS.iter().take_while(|(check, _)| discriminant(check) != discriminant(&self)).count()
    }
}

/// Is notified of every check that is made, in order.
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
