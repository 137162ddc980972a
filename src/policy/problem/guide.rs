//! What a client's developer should know of each row: what it means, what usually causes it, how to
//! mend it, what code should do, and how to see it happen.
//!
//! One exhaustive `match`, so that a row without a guide does not compile. The texts are for people
//! who see the API from outside: they name nothing that is inside.

mod account;
mod content;
pub mod entry;
mod exchange;

use super::Row;
use entry::Guide;

impl Row {
    /// The guide of a row. Rows of the operator's own share one, which the configuration completes.
    pub const fn guide(self) -> &'static Guide {
        match self {
            Row::MalformedRequest => &exchange::MALFORMED_REQUEST,
            Row::RequestTimeout => &exchange::REQUEST_TIMEOUT,
            Row::Overloaded => &exchange::OVERLOADED,
            Row::EndpointUnknown => &exchange::ENDPOINT_UNKNOWN,
            Row::TokenMissing => &account::TOKEN_MISSING,
            Row::TokenUnknown => &account::TOKEN_UNKNOWN,
            Row::TokenDisabled => &account::TOKEN_DISABLED,
            Row::TokenExpired => &account::TOKEN_EXPIRED,
            Row::ProductMismatch => &account::PRODUCT_MISMATCH,
            Row::IpNotAllowed => &account::IP_NOT_ALLOWED,
            Row::DomainNotAllowed => &account::DOMAIN_NOT_ALLOWED,
            Row::RateExceeded => &account::RATE_EXCEEDED,
            Row::QuotaExceeded => &account::QUOTA_EXCEEDED,
            Row::ConcurrencyExceeded => &account::CONCURRENCY_EXCEEDED,
            Row::AcceptUnsupported => &content::ACCEPT_UNSUPPORTED,
            Row::ContentTypeUnsupported => &content::CONTENT_TYPE_UNSUPPORTED,
            Row::TimeoutInvalid => &content::TIMEOUT_INVALID,
            Row::ParameterInvalid => &content::PARAMETER_INVALID,
            Row::ReferenceIdInvalid => &content::REFERENCE_ID_INVALID,
            Row::AddMetadataInvalid => &content::ADD_METADATA_INVALID,
            Row::BodyTooLarge => &content::BODY_TOO_LARGE,
            Row::BodyEmpty => &content::BODY_EMPTY,
            Row::BodyMalformed => &content::BODY_MALFORMED,
            Row::Own(_) => &content::OWN,
            Row::BodyInvalid => &content::BODY_INVALID,
            Row::IdempotencyKeyReused => &content::IDEMPOTENCY_KEY_REUSED,
            Row::CreditsInsufficient => &account::CREDITS_INSUFFICIENT,
            Row::CreditsUnavailable => &account::CREDITS_UNAVAILABLE,
            Row::DeadlineExceeded => &exchange::DEADLINE_EXCEEDED,
            Row::UpstreamUnavailable => &exchange::UPSTREAM_UNAVAILABLE,
            Row::UpstreamFailed => &exchange::UPSTREAM_FAILED,
            Row::Internal => &exchange::INTERNAL,
        }
    }
}
